// "/lessons/{id}": read a lesson, or watch it being written.

import { path } from '../lib/api.js';
import { DeleteLessonDialog, RegenerateDialog } from '../lib/dialogs.js';
import { download } from '../lib/download.js';
import { duration, plural } from '../lib/format.js';
import { Markdown } from '../lib/markdown.js';
import { say, sayNext } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import { Ago, Button, CopyButton, Loading, Missing, Note, Provider, Status } from '../lib/parts.js';
import { html, useEffect, useRef, useState } from '../lib/preact.js';
import { ProgressStory } from '../lib/progress.js';
import { idInPath } from '../lib/url.js';
import { useResource } from '../lib/resource.js';
import { ERROR_CLASS, LESSON_STATUS, requestText, TRACE_STATUS } from '../lib/words.js';
import { fullTime, useZone } from '../lib/zone.js';

const POLL_MS = 1000;
const GENERATIONS_SHOWN = 20;

const isGenerating = (lesson) => lesson.status === 'generating';

function LessonPage() {
  const id = idInPath();
  const { data, error, reload, set } = useResource(path.lesson(id), ({ lesson }) =>
    isGenerating(lesson) ? POLL_MS : null);
  const lesson = data?.lesson;
  const traces = useTraces(lesson);
  const [dialog, setDialog] = useState(null); // null | 'delete' | 'again'
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
        <${Meta} lesson=${lesson} traces=${traces} />
        <${Actions} lesson=${lesson} setDialog=${setDialog} />
      </header>
      <${State} lesson=${lesson} newest=${traces[0]} setDialog=${setDialog} />
      ${lesson.content && html`<${Markdown} text=${lesson.content} title=${lesson.title} sections />`}
      <footer class="lesson-foot">
        <${Generations} lesson=${lesson} traces=${traces} />
        <details class="outline">
          <summary>The outline it was made from</summary>
          <pre class="text">${lesson.outline}</pre>
        </details>
      </footer>
      ${dialog === 'again' && html`
        <${RegenerateDialog} lesson=${lesson} onDone=${onRegenerating} onClose=${close} />`}
      ${dialog === 'delete' && html`
        <${DeleteLessonDialog} lesson=${lesson} onDeleted=${onDeleted} onClose=${close} />`}
    </article>`;
}

// The lesson's newest traces as summaries, again whenever the lesson changed.
function useTraces(lesson) {
  const version = useRef(null); // of the lesson they were asked for
  const { data, reload } = useResource(
    lesson ? path.traces({ lesson_id: lesson.id, view: 'summary', limit: GENERATIONS_SHOWN }) : null,
  );

  useEffect(() => {
    if (lesson && version.current) reload();
    version.current = lesson?.updated_at ?? null;
  }, [lesson?.updated_at]);
  return data?.traces ?? [];
}

// ---- the head -------------------------------------------------------------------------------

function Meta({ lesson, traces }) {
  const zone = useZone();
  const ids = lesson.trace_ids ?? [];
  const author = traces.find(({ status }) => status === 'completed');

  return html`
    <p class="page-meta">
      <${Status} words=${LESSON_STATUS} status=${lesson.status} />
      <span>${requestText(lesson.options)}</span>
      ${author && lesson.content && html`
        <${Provider} provider=${author.provider_used} model=${author.model}
                     fallbacks=${author.fallback_providers} />`}
      <time datetime=${lesson.created_at}>${fullTime(lesson.created_at, zone)}</time>
      ${ids.length > 0 && html`
        <a href="/traces/${ids[0]}">${ids.length === 1 ? 'Trace' : 'Latest trace'}</a>`}
      ${ids.length > 1 && html`
        <a href="/traces?lesson_id=${lesson.id}">All ${ids.length} traces</a>`}
    </p>`;
}

function Actions({ lesson, setDialog }) {
  const { content, title } = lesson;
  const running = isGenerating(lesson);

  return html`
    <div class="actions">
      ${lesson.status !== 'error' && html`
        <${Button} icon="again" disabled=${running} onClick=${() => setDialog('again')}>Generate again<//>`}
      ${content && html`<${CopyButton} text=${content} label="Copy Markdown" />`}
      ${content && html`
        <${Button} icon="download" onClick=${() => download(content, fileName(title))}>Download .md<//>`}
      ${content && html`<${Button} icon="print" onClick=${() => print()}>Print<//>`}
      <${Button} icon=${running ? 'cross' : 'trash'} onClick=${() => setDialog('delete')}>
        ${running ? 'Cancel' : 'Delete'}
      <//>
    </div>`;
}

// "The water cycle" → "the-water-cycle.md"; letters of any script stay.
function fileName(title) {
  const words = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '');

  return `${words || 'lesson'}.md`;
}

// ---- how it stands --------------------------------------------------------------------------

function State({ lesson, newest, setDialog }) {
  const earlier = lesson.content ? 'Below is what it said before.' : '';

  if (isGenerating(lesson)) {
    return html`
      <div class="lesson-state">
        <${Note} tone="run"><b>This lesson is being written.</b> The page updates itself. ${earlier}<//>
        <${ProgressStory} lesson=${lesson} />
      </div>`;
  }
  if (lesson.status === 'error') {
    const hint = ERROR_CLASS[newest?.error_class]?.hint;
    return html`
      <div class="lesson-state">
        <${Note} tone="bad">
          <b>The lesson could not be generated.</b> ${earlier}<br />
          ${lesson.error_message ?? 'No reason was recorded.'}
          ${hint && html`<br /><span class="quiet">${hint}</span>`}
        <//>
        <div class="actions">
          <${Button} look="primary" icon="again" onClick=${() => setDialog('again')}>
            Try again, or another provider
          <//>
          ${newest && html`<${Button} icon="arrow" href="/traces/${newest.id}">See what was tried<//>`}
        </div>
      </div>`;
  }
  return null;
}

// ---- its generations ------------------------------------------------------------------------

// Only where there is more than one: the newest is in the head.
function Generations({ lesson, traces }) {
  const total = lesson.trace_ids?.length ?? 0;
  const more = total - traces.length;

  if (traces.length < 2) return null;
  return html`
    <section aria-labelledby="generations">
      <h2 id="generations">${plural(total, 'generation')}</h2>
      <ol class="generations">
        ${traces.map((trace, i) => html`
          <${Generation} key=${trace.id} trace=${trace} newest=${i === 0 ? null : traces[0]} />`)}
      </ol>
      ${more > 0 && html`<p><a href="/traces?lesson_id=${lesson.id}">${plural(more, 'older one')}</a></p>`}
    </section>`;
}

function Generation({ trace, newest }) {
  const { id, status, created_at: at, provider_used: provider, model, fallback_providers: fallbacks } = trace;

  return html`
    <li class="generation">
      <${Status} words=${TRACE_STATUS} status=${status} />
      <span class="generation-who">
        <${Provider} provider=${provider} model=${model} fallbacks=${fallbacks} />
        <span class="quiet number">${duration(trace.total_duration_ms)}</span>
      </span>
      <a href="/traces/${id}"><${Ago} at=${at} /></a>
      ${newest === null
        ? html`<span class="quiet">newest</span>`
        : html`<a href="/traces/compare?a=${id}&b=${newest.id}">Compare with newest</a>`}
    </li>`;
}

mount('Lessons', LessonPage);
