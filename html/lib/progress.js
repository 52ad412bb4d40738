// What a running generation is doing right now, and what failed on the way.

import { path } from './api.js';
import { duration } from './format.js';
import { Elapsed } from './parts.js';
import { html } from './preact.js';
import { useResource } from './resource.js';
import { isPending, outcome, progressText } from './story.js';

const POLL_MS = 1000;

// The newest trace of a lesson that is being generated; undefined until there is one.
function useNewestTrace(lesson) {
  return useResource(path.traces({ lesson_id: lesson.id, limit: 1 }), () => POLL_MS).data?.traces[0];
}

// In one line, for a list.
export function Progress({ lesson }) {
  return html`<${ProgressLine} lesson=${lesson} trace=${useNewestTrace(lesson)} />`;
}

// With every attempt that failed so far.
export function ProgressStory({ lesson }) {
  const trace = useNewestTrace(lesson);
  const running = trace?.status === 'started';
  const failed = running ? trace.llm_calls.filter((call) => !isPending(call) && !call.success) : [];

  return html`
    <div class="progress-story">
      <${ProgressLine} lesson=${lesson} trace=${trace} />
      ${failed.length > 0 && html`
        <ol class="attempts" aria-label="Attempts that failed">
          ${failed.map((call, i) => html`<li key=${i}><${Attempt} call=${call} /></li>`)}
        </ol>`}
      ${running && html`<a href="/traces/${trace.id}">Watch it in its trace</a>`}
    </div>`;
}

function ProgressLine({ lesson, trace }) {
  const running = trace?.status === 'started';
  const attempt = running ? trace.llm_calls.length : 0;

  return html`
    <span class="progress">
      <${Elapsed} since=${running ? trace.created_at : lesson.updated_at} />
      ${attempt > 1 && ` · attempt ${attempt}`}${` · ${progressText(trace)}`}
    </span>`;
}

function Attempt({ call }) {
  const { provider, request, error, duration_ms: ms } = call;

  return html`
    <b>${provider}</b>${request?.model && request.model !== provider && ` ${request.model}`}:
    ${' '}<span class="tone-bad">${outcome(call).text}</span> after ${duration(ms)}
    ${error && html`<span class="attempt-error">${error}</span>`}`;
}
