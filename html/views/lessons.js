// "/": write an outline, watch lessons come into being.

import { createLesson, path } from '../lib/api.js';
import { ProviderChoice } from '../lib/choice.js';
import { DeleteLessonDialog, RegenerateDialog, removeLesson } from '../lib/dialogs.js';
import { characters, count, elapsed, plural } from '../lib/format.js';
import { icon } from '../lib/icons.js';
import { offerUndo, say } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import {
  Ago, Button, describedBy, Empty, Field, Loading, Pager, Refusal, Status,
} from '../lib/parts.js';
import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { Progress } from '../lib/progress.js';
import { useQuery } from '../lib/url.js';
import { useResource } from '../lib/resource.js';
import { Search } from '../lib/search.js';
import { held, hold, keep, kept } from '../lib/store.js';
import {
  GRADES, LEARNING_STYLES, LESSON_STATUS, OUTLINE_CHARACTERS_MAX, SECTIONS,
} from '../lib/words.js';

const PAGE_SIZE = 20;
const SEARCHED_SIZE = 200; // lessons that are looked through at a time
const POLL_RUNNING_MS = 1000;
const POLL_QUIET_MS = 10_000;
const PROGRESS_ROWS_MAX = 6; // rows that look up their trace each second

const isGenerating = (lesson) => lesson.status === 'generating';

function Lessons() {
  const { query, trail, go, replace } = useQuery();
  const cursor = query.cursor ?? '';
  const sought = query.q ?? '';
  const list = useResource(
    path.lessons({ limit: sought ? SEARCHED_SIZE : PAGE_SIZE, cursor }),
    ({ lessons }) => (lessons.some(isGenerating) ? POLL_RUNNING_MS : POLL_QUIET_MS),
  );
  const [outline, setOutline] = useOutline();
  const [dialog, setDialog] = useState(null); // {act: 'cancel' | 'again', lesson}
  const [leaving, setLeaving] = useState([]); // ids of lessons whose deletion can still be undone
  const close = () => setDialog(null);

  useEffect(() => setTitle('Lessons'), []);
  useAnnouncements(list.data?.lessons);

  const change = (how) => list.set((data) => ({ ...data, lessons: how(data.lessons) }));
  const without = (id) => (lessons) => lessons.filter((lesson) => lesson.id !== id);
  const stay = (id) => setLeaving((ids) => ids.filter((one) => one !== id));

  const onCreated = (lesson) => {
    say('Generating the lesson');
    if (cursor || sought) go({ cursor: '', q: '' });
    else change((lessons) => [lesson, ...without(lesson.id)(lessons)]);
    list.reload();
  };

  const onRegenerating = (changed) => {
    close();
    say('Generating the lesson again');
    change((lessons) => lessons.map((one) => (one.id === changed.id ? { ...one, ...changed } : one)));
    list.reload();
  };

  const onCancelled = (text) => {
    change(without(dialog.lesson.id));
    close();
    say(text);
    list.reload();
  };

  // What can be made again is gone at once and can be taken back; what runs is asked about first.
  const remove = (lesson) => {
    if (isGenerating(lesson)) {
      setDialog({ act: 'cancel', lesson });
      return;
    }
    const { id, title } = lesson;
    setLeaving((ids) => [...ids, id]);
    offerUndo(`“${title}” deleted, its traces with it`, {
      undo: () => stay(id),
      act: async () => {
        try {
          await removeLesson(id);
          change(without(id));
          list.reload(); // an answer under way still has it
        } catch (error) {
          say(`“${title}” was not deleted: ${error.message}`, 'bad');
        }
        stay(id);
      },
    });
  };

  const shown = list.data && {
    ...list.data,
    lessons: list.data.lessons.filter((one) => !leaving.includes(one.id) && matches(one, sought)),
  };

  return html`
    <div class="columns">
      <section class="panel compose" aria-labelledby="compose-title">
        <h1 id="compose-title">New lesson</h1>
        <${LessonForm} outline=${outline} setOutline=${setOutline} onCreated=${onCreated} />
      </section>
      <section class="listing" aria-labelledby="lessons-title">
        <div class="section-head">
          <h2 id="lessons-title">Lessons</h2>
          <${Search} label="Search lessons" value=${sought} onTry=${(q) => replace({ q, cursor: '' })}
                     onCommit=${(q) => go({ q, cursor: '' })} />
        </div>
        <${LessonList} list=${list} shown=${shown} sought=${sought} cursor=${cursor} go=${go}
                       onRemove=${remove} onAgain=${(lesson) => setDialog({ act: 'again', lesson })}
                       onExample=${setOutline} />
        <${Pager} cursor=${cursor} next=${list.data?.next_cursor} trail=${trail} go=${go} />
      </section>
      ${dialog?.act === 'cancel' && html`
        <${DeleteLessonDialog} lesson=${asItIs(dialog.lesson, list.data)} onDeleted=${onCancelled} onClose=${close} />`}
      ${dialog?.act === 'again' && html`
        <${RegenerateDialog} lesson=${dialog.lesson} onDone=${onRegenerating} onClose=${close} />`}
    </div>`;
}

// A lesson that a dialog is about may end meanwhile.
const asItIs = (lesson, data) => data?.lessons.find(({ id }) => id === lesson.id) ?? lesson;

// The outline is held for this tab until it was sent.
function useOutline() {
  const [outline, setOutline] = useState(() => held('outline', ''));
  const write = (text) => {
    setOutline(text);
    hold('outline', text);
  };

  return [outline, write];
}

// Says when a lesson that was seen generating is done.
function useAnnouncements(lessons) {
  const before = useRef(new Map());

  useEffect(() => {
    for (const lesson of lessons ?? []) {
      if (before.current.get(lesson.id) === 'generating' && !isGenerating(lesson)) {
        if (lesson.status === 'generated') say(`“${lesson.title}” is ready`);
        else say(`“${lesson.title}” could not be generated`, 'bad');
      }
      before.current.set(lesson.id, lesson.status);
    }
  }, [lessons]);
}

// ---- search ---------------------------------------------------------------------------------

// In what a list of lessons has: the API has no search of its own for them.
function matches({ title, outline, error_message: error, options }, sought) {
  const text = [title, outline, error, options.provider, options.model].join('\n').toLowerCase();

  return text.includes(sought.trim().toLowerCase());
}

// ---- the list -------------------------------------------------------------------------------

function LessonList({ list, shown, sought, cursor, go, onExample, ...actions }) {
  const newest = html`<${Button} onClick=${() => go({ cursor: '' })}>Newest lessons<//>`;

  if (shown === null) {
    if (list.error && !list.error.outage) {
      return html`
        <${Empty} title="This page of the list does not exist"><p>${list.error.reason}</p>${newest}<//>`;
    }
    return html`<${Loading} what="lessons" />`;
  }
  if (shown.lessons.length > 0) return html`<${LessonTable} lessons=${shown.lessons} ...${actions} />`;
  if (sought) return html`<${NoMatch} all=${list.data} sought=${sought} cursor=${cursor} go=${go} />`;
  if (cursor) return html`<${Empty} title="Nothing older here">${newest}<//>`;
  return html`<${FirstRun} onExample=${onExample} />`;
}

function NoMatch({ all, sought, cursor, go }) {
  const n = all.lessons.length;
  const which = cursor ? 'these' : 'the newest';
  const where = all.next_cursor || cursor ? `${which} ${plural(n, 'lesson')}` : plural(n, 'lesson');

  return html`
    <${Empty} title="No lesson matches">
      <p>
        Looked for “${sought.trim()}” in title, outline, error, provider and model of ${where}.
        ${all.next_cursor && ' “Older” looks on.'}
      </p>
      <${Button} onClick=${() => go({ q: '', cursor: '' })}>All lessons<//>
    <//>`;
}

const EXAMPLES = [
  'How plants make their own food from light, water and air',
  'Fractions: halves, quarters and eighths of a pizza',
  'Why the moon changes its shape\n- what a month is\n- the phases, with a lamp and a ball',
];

function FirstRun({ onExample }) {
  const take = (text) => {
    onExample(text);
    document.getElementById('outline').focus();
  };

  return html`
    <${Empty} title="No lessons yet">
      <p>Write an outline and generate the first one. It shows up here and updates itself. Or begin with one of these:</p>
      <ul class="examples">
        ${EXAMPLES.map((text) => html`
          <li key=${text}><${Button} onClick=${() => take(text)}>${text.split('\n', 1)[0]}<//></li>`)}
      </ul>
    <//>`;
}

function LessonTable({ lessons, ...actions }) {
  const running = lessons.filter(isGenerating).map(({ id }) => id);
  const watched = new Set(running.slice(0, PROGRESS_ROWS_MAX));

  return html`
    <table class="rows lesson-rows">
      <caption class="unseen">Lessons, newest first</caption>
      <thead>
        <tr>
          <th scope="col" class="col-status">Status</th>
          <th scope="col">Title</th>
          <th scope="col" class="col-time">Created</th>
          <th scope="col" class="col-actions"><span class="unseen">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${lessons.map((lesson) => html`
          <${LessonRow} key=${lesson.id} lesson=${lesson} watched=${watched.has(lesson.id)} ...${actions} />`)}
      </tbody>
    </table>`;
}

function LessonRow({ lesson, watched, onAgain, onRemove }) {
  const { id, title, status, created_at: createdAt } = lesson;
  const running = isGenerating(lesson);

  // The row may go with the button that has the focus: its neighbour gets it.
  const remove = (event) => {
    const row = event.currentTarget.closest('tr');
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    if (!running) neighbour?.querySelector('.row-link').focus();
    onRemove(lesson);
  };

  return html`
    <tr>
      <td class="cell-status"><${Status} words=${LESSON_STATUS} status=${status} /></td>
      <td class="cell-main">
        <a class="row-link" href="/lessons/${id}">${title}</a>
        <${RowNote} lesson=${lesson} watched=${watched} />
      </td>
      <td class="cell-time"><${Ago} at=${createdAt} /></td>
      <td class="cell-actions">
        <${Button} look="quiet" href="/traces?lesson_id=${id}" label="Traces of ${title}">Traces<//>
        ${!running && html`
          <${Button} look="quiet tight" icon="again" label="Generate again: ${title}" title="Generate again"
                     onClick=${() => onAgain(lesson)} />`}
        <${Button} look="quiet tight" icon=${running ? 'cross' : 'trash'} title=${running ? 'Cancel' : 'Delete'}
                   label="${running ? 'Cancel' : 'Delete'} ${title}" onClick=${remove} />
      </td>
    </tr>`;
}

function RowNote({ lesson, watched }) {
  const { gradeLevel, sections, provider, model } = lesson.options;
  const asked = [provider, model !== provider && model].filter(Boolean).join(' ');

  if (lesson.status === 'error') {
    return html`
      <span class="row-note tone-bad" title=${lesson.error_message}>${lesson.error_message}</span>`;
  }
  return html`
    <span class="row-note">
      ${isGenerating(lesson) && watched
        ? html`<${Progress} lesson=${lesson} />`
        : [`Grade ${gradeLevel}`, plural(sections, 'section'), asked].filter(Boolean).join(' · ')}
    </span>`;
}

// ---- the form -------------------------------------------------------------------------------

const DEFAULTS = {
  gradeLevel: '2',
  sections: 4,
  learningStyle: 'reading',
  includeExamples: true,
  includeExercises: true,
  provider: '',
  model: '',
};

// The options of the last lesson; what an older page may have left behind besides is not sent.
function keptOptions() {
  const last = kept('options', {});

  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, last[name] ?? value]));
}

// The options are kept for the next lesson.
function LessonForm({ outline, setOutline, onCreated }) {
  const [options, setOptions] = useState(keptOptions);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const form = useRef(null);
  const sending = useRef(false); // a second submit may come before the first one is drawn
  const [notBefore, setNotBefore] = useState(null); // when the service takes the next one, of Date.now

  const write = (text) => {
    setOutline(text);
    if (error?.member === 'outline') setError(null);
  };

  const set = (change) => {
    const next = { ...options, ...change };
    setOptions(next);
    keep('options', next);
    if (error && error.member in change) setError(null);
  };

  const fail = (failure) => {
    setError(failure);
    if (failure.retryAfterMs) setNotBefore(Date.now() + failure.retryAfterMs);
    form.current.elements[failure.member]?.focus?.();
  };

  const submit = async (event) => {
    event.preventDefault();
    if (sending.current || notBefore !== null) return;
    const wrong = outlineProblem(outline);
    if (wrong !== null) {
      fail({ member: 'outline', reason: wrong });
      return;
    }
    const body = requestBody(outline, options);
    sending.current = true;
    setBusy(true);
    setError(null);
    try {
      const { data } = await createLesson(body, idempotencyKey(body));
      hold('attempt', null);
      write('');
      onCreated(data.lesson);
    } catch (failure) {
      fail(failure);
    } finally {
      sending.current = false;
      setBusy(false);
    }
  };

  const named = error !== null && (error.member === 'outline' || error.member in options);
  const errors = named ? { [error.member]: error.reason } : {};

  const onKeyDown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event);
  };

  return html`
    <form class="lesson-form" ref=${form} onSubmit=${submit} onKeyDown=${onKeyDown} noValidate>
      <${Outline} text=${outline} busy=${busy} error=${errors.outline} onInput=${write} />
      <div class="field-grid">
        ${CHOICES.map((choice) => html`
          <${Choice} key=${choice.name} ...${choice} value=${options[choice.name]} set=${set}
                     error=${errors[choice.name]} />`)}
        <fieldset class="checks">
          <legend>Include</legend>
          <${Check} name="includeExamples" label="Examples" options=${options} set=${set} />
          <${Check} name="includeExercises" label="Exercises" options=${options} set=${set} />
          <${CheckError} text=${errors.includeExamples ?? errors.includeExercises} />
        </fieldset>
        <${ProviderChoice} provider=${options.provider} model=${options.model} errors=${errors}
                           onChange=${set} />
      </div>
      ${error && !named && html`<${Refusal} error=${error} then="Your text is kept." />`}
      <${Button} type="submit" look="primary wide" busy=${busy} disabled=${busy || notBefore !== null}
                 title="Ctrl+Enter" aria-keyshortcuts="Control+Enter">
        ${busy ? 'Sending' : 'Generate lesson'}
      <//>
      ${notBefore !== null && html`
        <${Wait} key=${notBefore} until=${notBefore} onOver=${() => setNotBefore(null)} />`}
    </form>`;
}

// The service said when it takes the next request: until then the button rests.
function Wait({ until, onOver }) {
  const [left, setLeft] = useState(until - Date.now());

  useEffect(() => {
    const timer = setInterval(() => setLeft(until - Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (left <= 0) onOver();
  }, [left]);

  return html`
    <p class="field-hint">${icon('clock')} Can be sent again in ${elapsed(Math.ceil(left / 1000) * 1000)}</p>`;
}

function Outline({ text, busy, error, onInput }) {
  const length = characters(text);
  const over = length - OUTLINE_CHARACTERS_MAX;
  const hint = html`
    <span class=${over > 0 ? 'counter over' : 'counter'}>
      ${count(length)} / ${count(OUTLINE_CHARACTERS_MAX)} characters${over > 0 && `, ${count(over)} too many`}
    </span>`;

  return html`
    <${Field} id="outline" label="Outline" error=${error} hint=${hint}>
      <textarea id="outline" name="outline" rows="7" required value=${text} readOnly=${busy}
                placeholder="What should the lesson teach? One line is enough; a list of points is better."
                aria-invalid=${Boolean(error) || over > 0}
                aria-describedby=${describedBy('outline', { error, hint })}
                onInput=${(event) => onInput(event.currentTarget.value)}></textarea>
    <//>`;
}

const CHOICES = [
  { name: 'gradeLevel', label: 'Grade', values: GRADES, read: String },
  { name: 'sections', label: 'Sections', values: SECTIONS, read: Number },
  { name: 'learningStyle', label: 'Learning style', values: LEARNING_STYLES, read: String },
];

function Choice({ name, label, values, read, value, set, error }) {
  return html`
    <${Field} id=${name} label=${label} error=${error}>
      <select id=${name} name=${name} value=${value} aria-invalid=${Boolean(error)}
              aria-describedby=${describedBy(name, { error })}
              onChange=${(event) => set({ [name]: read(event.currentTarget.value) })}>
        ${values.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}
      </select>
    <//>`;
}

function Check({ name, label, options, set }) {
  return html`
    <label class="check">
      <input type="checkbox" name=${name} checked=${options[name]}
             onChange=${(event) => set({ [name]: event.currentTarget.checked })} />${label}
    </label>`;
}

function CheckError({ text }) {
  return text && html`<p class="field-error" role="alert">${icon('warning')}${text}</p>`;
}

// The words for what is wrong with it, or null. The API checks the rest.
function outlineProblem(outline) {
  if (outline.trim() === '') return 'write what the lesson is about';
  if (characters(outline) > OUTLINE_CHARACTERS_MAX) {
    return `at most ${count(OUTLINE_CHARACTERS_MAX)} characters`;
  }
  return null;
}

function requestBody(outline, { provider, model, ...rest }) {
  return {
    outline,
    ...rest,
    ...(provider ? { provider } : {}),
    ...(model.trim() ? { model: model.trim() } : {}),
  };
}

// One key for one filled form: sent again after a failure it makes no second lesson; changed, it is
// another wish. Held with the text, so that a reload in between does not forget it.
function idempotencyKey(body) {
  const text = JSON.stringify(body);
  const last = held('attempt', null);

  if (last?.text === text) return last.key;
  const key = randomKey();
  hold('attempt', { text, key });
  return key;
}

// crypto.randomUUID would not do: plain HTTP away from loopback does not have it.
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));

  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

mount('Lessons', Lessons);
