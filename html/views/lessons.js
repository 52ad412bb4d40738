// "/": write an outline, watch lessons come into being.

import { createLesson, path } from '../lib/api.js';
import { ProviderChoice } from '../lib/choice.js';
import { DeleteLessonDialog } from '../lib/dialogs.js';
import { characters, count, plural } from '../lib/format.js';
import { say } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import {
  Ago, Button, describedBy, Empty, Field, Loading, Pager, Refusal, Status,
} from '../lib/parts.js';
import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { Progress } from '../lib/progress.js';
import { useQuery } from '../lib/url.js';
import { useResource } from '../lib/resource.js';
import { held, hold, keep, kept } from '../lib/store.js';
import {
  GRADES, LEARNING_STYLES, LESSON_STATUS, OUTLINE_CHARACTERS_MAX, SECTIONS,
} from '../lib/words.js';

const PAGE_SIZE = 20;
const POLL_RUNNING_MS = 1000;
const POLL_QUIET_MS = 10_000;
const PROGRESS_ROWS_MAX = 6; // rows that look up their trace each second

const isGenerating = (lesson) => lesson.status === 'generating';

function Lessons() {
  const { query, trail, go } = useQuery();
  const cursor = query.cursor ?? '';
  const list = useResource(path.lessons({ limit: PAGE_SIZE, cursor }), ({ lessons }) =>
    lessons.some(isGenerating) ? POLL_RUNNING_MS : POLL_QUIET_MS);
  const [leaving, setLeaving] = useState(null); // the lesson to delete

  useEffect(() => setTitle('Lessons'), []);
  useAnnouncements(list.data?.lessons);

  const change = (how) => list.set((data) => ({ ...data, lessons: how(data.lessons) }));
  const without = (id) => (lessons) => lessons.filter((lesson) => lesson.id !== id);

  const onCreated = (lesson) => {
    say('Generating the lesson');
    if (cursor) go({ cursor: '' });
    else change((lessons) => [lesson, ...without(lesson.id)(lessons)]);
    list.reload();
  };

  const onDeleted = (text) => {
    change(without(leaving.id));
    setLeaving(null);
    say(text);
    list.reload();
  };

  return html`
    <div class="columns">
      <section class="panel compose" aria-labelledby="compose-title">
        <h1 id="compose-title">New lesson</h1>
        <${LessonForm} onCreated=${onCreated} />
      </section>
      <section class="listing" aria-labelledby="lessons-title">
        <div class="section-head"><h2 id="lessons-title">Lessons</h2></div>
        <${LessonList} list=${list} cursor=${cursor} go=${go} onDelete=${setLeaving} />
        <${Pager} cursor=${cursor} next=${list.data?.next_cursor} trail=${trail} go=${go} />
      </section>
      ${leaving && html`
        <${DeleteLessonDialog} lesson=${leaving} onDeleted=${onDeleted}
                               onClose=${() => setLeaving(null)} />`}
    </div>`;
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

// ---- the list -------------------------------------------------------------------------------

function LessonList({ list, cursor, go, onDelete }) {
  const newest = html`<${Button} onClick=${() => go({ cursor: '' })}>Newest lessons<//>`;

  if (list.data === null) {
    if (list.error && !list.error.outage) {
      return html`
        <${Empty} title="This page of the list does not exist"><p>${list.error.reason}</p>${newest}<//>`;
    }
    return html`<${Loading} what="lessons" />`;
  }
  const { lessons } = list.data;
  if (lessons.length > 0) return html`<${LessonTable} lessons=${lessons} onDelete=${onDelete} />`;
  if (cursor) return html`<${Empty} title="Nothing older here">${newest}<//>`;
  return html`
    <${Empty} title="No lessons yet">
      <p>Write an outline and generate the first one. It shows up here and updates itself.</p>
    <//>`;
}

function LessonTable({ lessons, onDelete }) {
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
          <${LessonRow} key=${lesson.id} lesson=${lesson} watched=${watched.has(lesson.id)}
                        onDelete=${() => onDelete(lesson)} />`)}
      </tbody>
    </table>`;
}

function LessonRow({ lesson, watched, onDelete }) {
  const { id, title, status, created_at: createdAt } = lesson;

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
        <${Button} look="quiet tight" icon="trash" label="Delete ${title}" title="Delete" onClick=${onDelete} />
      </td>
    </tr>`;
}

function RowNote({ lesson, watched }) {
  const { gradeLevel, sections } = lesson.options;

  if (lesson.status === 'error') return html`<span class="row-note tone-bad">${lesson.error_message}</span>`;
  return html`
    <span class="row-note">
      ${isGenerating(lesson) && watched
        ? html`<${Progress} lesson=${lesson} />`
        : `Grade ${gradeLevel} · ${plural(sections, 'section')}`}
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

// The outline is held for this tab until it was sent; the options are kept for the next lesson.
function LessonForm({ onCreated }) {
  const [outline, setOutline] = useState(() => held('outline', ''));
  const [options, setOptions] = useState(keptOptions);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const form = useRef(null);
  const sending = useRef(false); // a second submit may come before the first one is drawn

  const write = (text) => {
    setOutline(text);
    hold('outline', text);
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
    form.current.elements[failure.member]?.focus?.();
  };

  const submit = async (event) => {
    event.preventDefault();
    if (sending.current) return;
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

  return html`
    <form class="lesson-form" ref=${form} onSubmit=${submit} noValidate>
      <${Outline} text=${outline} busy=${busy} error=${errors.outline} onInput=${write} submit=${submit} />
      <div class="field-grid">
        ${CHOICES.map((choice) => html`
          <${Choice} key=${choice.name} ...${choice} value=${options[choice.name]} set=${set}
                     error=${errors[choice.name]} />`)}
        <fieldset class="checks">
          <legend>Include</legend>
          <${Check} name="includeExamples" label="Examples" options=${options} set=${set} />
          <${Check} name="includeExercises" label="Exercises" options=${options} set=${set} />
        </fieldset>
        <${ProviderChoice} provider=${options.provider} model=${options.model} errors=${errors}
                           onChange=${set} />
      </div>
      ${error && !named && html`<${Refusal} error=${error} then="Your text is kept." />`}
      <${Button} type="submit" look="primary wide" busy=${busy} disabled=${busy}>
        ${busy ? 'Sending' : 'Generate lesson'}
      <//>
    </form>`;
}

function Outline({ text, busy, error, onInput, submit }) {
  const length = characters(text);
  const over = length - OUTLINE_CHARACTERS_MAX;
  const hint = html`
    <span class=${over > 0 ? 'counter over' : 'counter'}>
      ${count(length)} / ${count(OUTLINE_CHARACTERS_MAX)} characters${over > 0 && `, ${count(over)} too many`}
    </span>`;
  const onKeyDown = (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event);
  };

  return html`
    <${Field} id="outline" label="Outline" error=${error} hint=${hint}>
      <textarea id="outline" name="outline" rows="7" required value=${text} readOnly=${busy}
                placeholder="What should the lesson teach? One line is enough; a list of points is better."
                aria-invalid=${Boolean(error) || over > 0}
                aria-describedby=${describedBy('outline', { error, hint })}
                onInput=${(event) => onInput(event.currentTarget.value)} onKeyDown=${onKeyDown}></textarea>
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
