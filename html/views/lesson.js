// "/lessons/{id}": read a lesson, or watch it being written.

import { path, regenerateLesson } from '../lib/api.js';
import { ProviderChoice } from '../lib/choice.js';
import { ActionDialog, DeleteLessonDialog } from '../lib/dialogs.js';
import { dateTime, plural } from '../lib/format.js';
import { Markdown } from '../lib/markdown.js';
import { say, sayNext } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import { Button, CopyButton, Loading, Missing, Note, Status } from '../lib/parts.js';
import { html, useEffect, useState } from '../lib/preact.js';
import { Progress } from '../lib/progress.js';
import { idInPath } from '../lib/url.js';
import { useResource } from '../lib/resource.js';
import { LESSON_STATUS } from '../lib/words.js';

const POLL_MS = 1000;

const isGenerating = (lesson) => lesson.status === 'generating';

function LessonPage() {
  const { data, error, reload, set } = useResource(path.lesson(idInPath()), ({ lesson }) =>
    isGenerating(lesson) ? POLL_MS : null);
  const lesson = data?.lesson;
  const [dialog, setDialog] = useState(null); // null | 'delete' | 'regenerate'
  const close = () => setDialog(null);

  useEffect(() => setTitle(lesson?.title ?? 'Lesson'), [lesson?.title]);

  if (error && !error.outage) {
    return html`<${Missing} what="lesson" error=${error}><${Button} href="/">All lessons<//><//>`;
  }
  if (!lesson) return html`<${Loading} what="the lesson" />`;

  const onDeleted = (text) => {
    sayNext(text);
    location.replace('/');
  };

  const onRegenerating = (changed) => {
    close();
    say('Generating the lesson again');
    set(() => ({ lesson: { ...lesson, ...changed } }));
    reload();
  };

  return html`
    <article class="lesson">
      <header class="page-head">
        <p class="crumbs"><a href="/">Lessons</a></p>
        <h1>${lesson.title}</h1>
        <p class="page-meta">
          <${Status} words=${LESSON_STATUS} status=${lesson.status} />
          <span>${optionsText(lesson.options)}</span>
          <time datetime=${lesson.created_at}>${dateTime(lesson.created_at)}</time>
        </p>
        <${Actions} lesson=${lesson} setDialog=${setDialog} />
      </header>
      <${State} lesson=${lesson} />
      ${lesson.content && html`<${Markdown} text=${lesson.content} title=${lesson.title} />`}
      <details class="outline">
        <summary>The outline it was made from</summary>
        <pre class="text">${lesson.outline}</pre>
      </details>
      ${dialog === 'regenerate' && html`
        <${RegenerateDialog} lesson=${lesson} onDone=${onRegenerating} onClose=${close} />`}
      ${dialog === 'delete' && html`
        <${DeleteLessonDialog} lesson=${lesson} onDeleted=${onDeleted} onClose=${close} />`}
    </article>`;
}

function optionsText({ gradeLevel, sections, learningStyle, includeExamples, includeExercises }) {
  const extras = [includeExamples && 'examples', includeExercises && 'exercises'].filter(Boolean);

  return [
    `Grade ${gradeLevel}`, plural(sections, 'section'), learningStyle, extras.join(' and '),
  ].filter(Boolean).join(' · ');
}

function Actions({ lesson, setDialog }) {
  const { content } = lesson;

  return html`
    <div class="actions">
      <${TraceLinks} lesson=${lesson} />
      ${content && html`<${CopyButton} text=${content} label="Copy Markdown" />`}
      ${content && html`<${Button} icon="print" onClick=${() => print()}>Print<//>`}
      <${Button} icon="again" disabled=${isGenerating(lesson)} onClick=${() => setDialog('regenerate')}>
        Generate again
      <//>
      <${Button} icon="trash" onClick=${() => setDialog('delete')}>Delete<//>
    </div>`;
}

function TraceLinks({ lesson }) {
  const ids = lesson.trace_ids ?? [];

  if (ids.length === 0) return null;
  if (ids.length === 1) return html`<${Button} icon="arrow" href="/traces/${ids[0]}">Trace<//>`;
  return html`
    <${Button} icon="arrow" href="/traces/${ids[0]}">Latest trace<//>
    <${Button} href="/traces?lesson_id=${lesson.id}">All ${ids.length} traces<//>`;
}

function State({ lesson }) {
  const earlier = lesson.content ? 'Below is what it said before.' : '';

  if (isGenerating(lesson)) {
    return html`
      <${Note} tone="run">
        <b>This lesson is being written.</b> The page updates itself. ${earlier}<br />
        <${Progress} lesson=${lesson} />
      <//>`;
  }
  if (lesson.status === 'error') {
    return html`
      <${Note} tone="bad">
        <b>The lesson could not be generated.</b> ${earlier}<br />
        ${lesson.error_message ?? 'No reason was recorded.'}
      <//>`;
  }
  return null;
}

function RegenerateDialog({ lesson, onDone, onClose }) {
  const [choice, setChoice] = useState({ provider: '', model: '' });
  const before = [lesson.options.provider, lesson.options.model].filter(Boolean).join(' ');

  const act = async () => {
    const chosen = Object.entries(choice).filter(([, value]) => value.trim() !== '');
    const { data } = await regenerateLesson(lesson.id, Object.fromEntries(chosen));
    onDone(data.lesson);
  };

  return html`
    <${ActionDialog} title="Generate this lesson again?" action="Generate again" look="primary"
                     act=${act} onClose=${onClose}>
      <p>The same outline and options make a new text and a new trace. The earlier traces stay.</p>
      <div class="field-grid">
        <${ProviderChoice} ...${choice} otherwise=${before ? `as before: ${before}` : 'automatic'}
                           onChange=${(change) => setChoice({ ...choice, ...change })} />
      </div>
    <//>`;
}

mount('Lessons', LessonPage);
