// "/traces/{id}": what one generation did, call by call. Fills in while it runs.

import { path } from '../lib/api.js';
import { now, useNow } from '../lib/clock.js';
import { DeleteTraceDialog } from '../lib/dialogs.js';
import {
  bytes, cost, count, dateTime, duration, firstLine, plural, relative, UNKNOWN,
} from '../lib/format.js';
import { icon } from '../lib/icons.js';
import { Markdown } from '../lib/markdown.js';
import { sayNext } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import {
  Ago, Button, CopyButton, Cost, Elapsed, ErrorNote, Facts, Loading, Missing, Provider, Status, Tokens,
} from '../lib/parts.js';
import { Fragment, html, useEffect, useRef, useState } from '../lib/preact.js';
import { useResource } from '../lib/resource.js';
import { keep, kept } from '../lib/store.js';
import { isPending, outcome, story } from '../lib/story.js';
import { idInPath } from '../lib/url.js';
import { TRACE_STATUS } from '../lib/words.js';

const POLL_MS = 1000;
const TICK_MS = 250; // how often the bar of a running call grows
const PAYLOAD_SHOWN_MAX = 256 * 1024; // characters; what is larger waits behind a button

const isRunning = (trace) => trace.status === 'started';

function TracePage() {
  const { data, error } = useResource(path.trace(idInPath()), ({ trace }) =>
    (isRunning(trace) ? POLL_MS : null));
  const trace = data?.trace;
  const [deleting, setDeleting] = useState(false);
  const name = firstLine(trace?.outline_preview) || 'Trace';

  useEffect(() => setTitle(trace ? `Trace: ${name}` : 'Trace'), [name]);

  if (error && !error.outage) {
    return html`<${Missing} what="trace" error=${error}><${Button} href="/traces">All traces<//><//>`;
  }
  if (!trace) return html`<${Loading} what="the trace" />`;

  const onDeleted = (text) => {
    sayNext(text);
    location.replace('/traces');
  };

  return html`
    <div class="trace">
      <header class="page-head">
        <p class="crumbs"><a href="/traces">Traces</a></p>
        <h1>${name}</h1>
        <p class="page-meta">
          <${Status} words=${TRACE_STATUS} status=${trace.status} />
          <span>${dateTime(trace.created_at)} (<${Ago} at=${trace.created_at} />)</span>
        </p>
        <${Actions} trace=${trace} onDelete=${() => setDeleting(true)} />
      </header>
      ${trace.status === 'failed' && html`
        <${ErrorNote} errorClass=${trace.error_class} text=${trace.error_message} />`}
      <${Summary} trace=${trace} />
      <${Story} trace=${trace} />
      <${Calls} trace=${trace} />
      <${Request} trace=${trace} />
      <${Result} trace=${trace} />
      ${deleting && html`
        <${DeleteTraceDialog} trace=${trace} onDeleted=${onDeleted} onClose=${() => setDeleting(false)} />`}
    </div>`;
}

// ---- the whole ------------------------------------------------------------------------------

function Actions({ trace, onDelete }) {
  const { id, lesson_id: lessonId } = trace;

  return html`
    <div class="actions">
      ${lessonId && html`
        <${Button} icon="arrow" href="/lessons/${lessonId}">Lesson<//>
        <${Button} href="/traces?lesson_id=${lessonId}">Its traces<//>`}
      <${CopyButton} text=${() => JSON.stringify(trace, null, 2)} label="Copy JSON" />
      <${Button} icon="download" href=${path.trace(id)} download="trace-${id}.json">JSON<//>
      <${Button} icon="trash" onClick=${onDelete}>Delete<//>
    </div>`;
}

function Summary({ trace }) {
  const provider = html`
    <${Provider} provider=${trace.provider_used} model=${trace.model}
                 fallbacks=${trace.fallback_providers} />`;
  const lasted = isRunning(trace)
    ? html`<${Elapsed} since=${trace.created_at} />`
    : duration(trace.total_duration_ms);

  return html`
    <section class="panel" aria-label="Summary">
      <${Facts} rows=${[
        ['Provider → model', provider],
        ['Duration', lasted],
        ['Calls', count(trace.llm_call_count)],
        ['Tokens in / out', html`<${Tokens} input=${trace.prompt_tokens} output=${trace.completion_tokens} />`],
        ['Cost', html`<${Cost} usd=${trace.cost_usd} />`],
        ['Completed', html`<${Moment} at=${trace.completed_at} />`],
        ['Owner', trace.owner],
      ]} />
      <${Ids} rows=${[['Trace', trace.id], ['Request', trace.request_id]]} />
    </section>`;
}

// ---- the story ------------------------------------------------------------------------------

function Story({ trace }) {
  const steps = story(trace);
  const time = useNow(isRunning(trace) ? TICK_MS : null);
  const start = Date.parse(trace.created_at);
  const scale = { start, length: Math.max(1, trace.total_duration_ms ?? time - start), time };

  return html`
    <section class="panel" aria-labelledby="story-title">
      <h2 id="story-title">What happened</h2>
      <ol class="story">
        ${steps.map((step, i) => html`<${Step} key=${i} step=${step} scale=${scale} />`)}
        ${steps.at(-1)?.kind !== 'give_up' && html`<${LastStep} trace=${trace} />`}
      </ol>
    </section>`;
}

const STEP_ICON = { wait: 'clock', skip: 'skip', give_up: 'flag', fallback: 'fall', note: 'arrow' };

function Step({ step, scale }) {
  const { at, call, callNumber, kind, reason, title } = step;
  const end = call && outcome(call);
  const tone = end?.tone ?? (kind === 'give_up' ? 'bad' : 'quiet');

  return html`
    <li class="step tone-${tone}">
      <span class="step-at number">${at && `+${duration(Math.max(0, Date.parse(at) - scale.start))}`}</span>
      <span class="step-icon">${icon(end?.icon ?? STEP_ICON[kind])}</span>
      <span class="step-text">
        <span class="step-title">
          ${callNumber ? html`<a href="#call-${callNumber}">${title}</a>` : title}
        </span>
        ${reason && html`<span class="quiet"> · ${reason}</span>`}
        ${call && html`<span class="step-end"><${CallEnd} call=${call} text=${end.text} /></span>`}
      </span>
      <${Track} step=${step} scale=${scale} />
    </li>`;
}

function CallEnd({ call, text }) {
  if (isPending(call)) return html`${text} for <${Elapsed} since=${call.timestamp} />`;
  const tokens = call.response?.usage?.completion_tokens;
  const lasted = duration(call.duration_ms);

  if (!call.success) return `${text} after ${lasted}`;
  return `${text} in ${lasted}${tokens ? ` with ${plural(tokens, 'token')}` : ''}`;
}

const LAST_STEP = {
  started: { icon: 'spinner', tone: 'run', text: () => 'Still running' },
  completed: { icon: 'flag', tone: 'ok', text: (who) => `Lesson stored, written by ${who}` },
  failed: { icon: 'flag', tone: 'bad', text: () => 'No lesson' },
};

function LastStep({ trace }) {
  const { status, provider_used: provider, total_duration_ms: lasted } = trace;
  const last = LAST_STEP[status];

  if (!last) return null;
  return html`
    <li class="step tone-${last.tone}">
      <span class="step-at number">${lasted !== null && `+${duration(lasted)}`}</span>
      <span class="step-icon">${icon(last.icon)}</span>
      <span class="step-text"><span class="step-title">${last.text(provider)}</span></span>
      <span class="track" aria-hidden="true"></span>
    </li>`;
}

// A call or a wait as a length of time; the whole width is the whole generation. For the eye: the
// words beside it say the same.
function Track({ step: { at, call, waitMs }, scale: { start, length, time } }) {
  const from = Date.parse(call?.timestamp ?? at);
  const ms = call ? call.duration_ms ?? time - from : waitMs;
  const left = Math.min(99, Math.max(0, (100 * (from - start)) / length));
  const width = Math.min(100 - left, (100 * ms) / length);

  return html`
    <span class="track" aria-hidden="true">
      ${ms > 0 && html`
        <span class=${call ? 'bar' : 'bar idle'} style=${{ left: `${left}%`, width: `${width}%` }}></span>`}
    </span>`;
}

// ---- calls ----------------------------------------------------------------------------------

function Calls({ trace }) {
  const calls = trace.llm_calls ?? [];
  const answered = calls.findLastIndex((call) => call.success);
  const opened = answered < 0 ? calls.length - 1 : answered;

  return html`
    <section aria-labelledby="calls-title">
      <h2 id="calls-title">${calls.length === 0 ? 'No call yet' : plural(calls.length, 'call')}</h2>
      ${calls.map((call, i) => html`
        <${Call} key=${call.span_id ?? i} call=${call} number=${i + 1} opened=${i === opened} />`)}
    </section>`;
}

function Call({ call, number, opened }) {
  const element = useRef(null);
  const [open] = useState(opened); // at first; from then on it is the reader's
  const end = outcome(call);
  const { usage } = call.response ?? {};

  useEffect(() => {
    const onHash = () => {
      if (location.hash !== `#call-${number}`) return;
      element.current.open = true;
      element.current.scrollIntoView();
    };

    onHash();
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, [number]);

  return html`
    <details class="panel call" id="call-${number}" ref=${element} open=${open}>
      <summary>
        <span class="call-number number">${number}</span>
        <span class="call-who"><b>${call.provider}</b> <span class="model">${call.request?.model}</span></span>
        <span class="status tone-${end.tone}">${icon(end.icon)}${end.text}</span>
        <span class="call-figure number">
          ${isPending(call) ? html`<${Elapsed} since=${call.timestamp} />` : duration(call.duration_ms)}
        </span>
        <span class="call-figure">
          <${Tokens} input=${usage?.prompt_tokens} output=${usage?.completion_tokens} />
        </span>
        <span class="call-figure"><${Cost} usd=${call.cost_usd} /></span>
      </summary>
      <div class="call-body"><${CallBody} call=${call} /></div>
    </details>`;
}

function CallBody({ call }) {
  const { request = {}, response } = call;
  const { parameters = {} } = request;

  return html`
    <${Fragment}>
      ${call.success === false && html`<${ErrorNote} errorClass=${call.error_class} text=${call.error} />`}
      <${CallFacts} call=${call} />
      <${Ids} rows=${[
        ['Provider’s request id', call.provider_request_id],
        ['Answer’s id', response?.id],
      ]} />
      ${Object.keys(parameters).length > 0 && html`<${Payload} title="Parameters" content=${parameters} />`}
      ${request.system && html`<${Payload} title="System prompt" content=${request.system} />`}
      ${request.prompt && html`<${Payload} title="Prompt" content=${request.prompt} />`}
      ${response?.content && html`<${Payload} title="Response" content=${response.content} markdown open />`}
    <//>`;
}

function CallFacts({ call }) {
  const { response } = call;
  const { usage = {} } = response ?? {};
  const asOf = call.price_as_of && html` <span class="quiet">prices of ${call.price_as_of}</span>`;

  return html`
    <${Facts} rows=${[
      ['Attempt', count(call.attempt)],
      ['Sent', html`<${Moment} at=${call.timestamp} />`],
      ['HTTP status', call.http_status],
      call.error_class ? ['Error class', html`<code>${call.error_class}</code>`] : null,
      ['Finish reason', response?.finish_reason && html`<code>${response.finish_reason}</code>`],
      ['Model that answered', response?.model],
      ['Tokens in', count(usage.prompt_tokens) + part(usage.cached_tokens, 'cached')],
      ['Tokens out', count(usage.completion_tokens) + part(usage.reasoning_tokens, 'reasoning')],
      ['Cost', html`${cost(call.cost_usd)}${asOf}`],
      ['Timing', timingText(call.timing)],
    ]} />`;
}

const part = (n, word) => (n ? ` · ${count(n)} ${word}` : '');

const TIMING = {
  queue_ms: 'queue', dns_ms: 'DNS', connect_ms: 'connect', tls_ms: 'TLS', ttfb_ms: 'first byte',
};

function timingText(timing) {
  const told = Object.entries(TIMING).filter(([name]) => Number.isFinite(timing?.[name]));

  return told.map(([name, word]) => `${word} ${duration(timing[name])}`).join(' · ') || UNKNOWN;
}

// ---- request and result ---------------------------------------------------------------------

const REQUEST_WORDS = {
  gradeLevel: 'Grade',
  sections: 'Sections',
  learningStyle: 'Learning style',
  includeExamples: 'Examples',
  includeExercises: 'Exercises',
  provider: 'Provider asked for',
  model: 'Model asked for',
};

function Request({ trace: { request_data: request } }) {
  if (!request) return null;
  const given = Object.entries(REQUEST_WORDS).filter(([name]) => (request[name] ?? null) !== null);

  return html`
    <section aria-labelledby="request-title">
      <h2 id="request-title">Request</h2>
      <div class="panel">
        <${Facts} rows=${given.map(([name, word]) => [word, yesNo(request[name])])} />
        <${Payload} title="Outline" content=${request.outline ?? ''} open />
      </div>
    </section>`;
}

function yesNo(value) {
  if (typeof value !== 'boolean') return String(value);
  return value ? 'yes' : 'no';
}

function Result({ trace: { response_data: result } }) {
  if (!result) return null;
  return html`
    <section aria-labelledby="result-title">
      <h2 id="result-title">Result</h2>
      <div class="panel">
        <${Facts} rows=${[
          ['Title', result.title],
          ['Sections', count(result.estimatedSections)],
          ['Grade', result.gradeLevel],
        ]} />
        <div class="result-lists">
          <${ResultList} title="Key concepts" items=${result.keyConcepts} />
          <${ResultList} title="Prerequisites" items=${result.prerequisites} />
        </div>
        ${result.content && html`<${Payload} title="Lesson" content=${result.content} markdown />`}
      </div>
    </section>`;
}

// Items as they stand in the lesson: Markdown.
function ResultList({ title, items }) {
  if (!items?.length) return null;
  return html`<div><h3>${title}</h3><${Markdown} text=${items.map((item) => `- ${item}`).join('\n')} /></div>`;
}

// ---- parts ----------------------------------------------------------------------------------

// What was sent or received, exactly; what is not text, as JSON. Large ones are drawn only when asked.
function Payload({ title, content, markdown = false, open = false }) {
  const text = typeof content === 'string' ? content : JSON.stringify(content, null, 2);
  const [rendered, setRendered] = useState(() => kept('rendered', true));
  const [asked, setAsked] = useState(false);
  const size = bytes(new Blob([text]).size);

  const turn = (value) => {
    setRendered(value);
    keep('rendered', value);
  };

  return html`
    <details class="payload" open=${open}>
      <summary><span class="payload-title">${title}</span> <span class="quiet number">${size}</span></summary>
      <div class="payload-bar">
        ${markdown && html`
          <div class="switch" role="group" aria-label="Show as">
            <button type="button" aria-pressed=${String(rendered)} onClick=${() => turn(true)}>Rendered</button>
            <button type="button" aria-pressed=${String(!rendered)} onClick=${() => turn(false)}>Raw</button>
          </div>`}
        <${CopyButton} compact text=${text} label="Copy: ${title}" />
      </div>
      ${asked || text.length <= PAYLOAD_SHOWN_MAX
        ? html`<${PayloadText} title=${title} text=${text} rendered=${markdown && rendered} />`
        : html`<${Button} onClick=${() => setAsked(true)}>Show ${size}<//>`}
    </details>`;
}

// Tall ones scroll, also by keyboard.
function PayloadText({ title, text, rendered }) {
  const frame = { tabindex: 0, role: 'group', 'aria-label': title };

  if (!rendered) return html`<pre class="text" ...${frame}>${text}</pre>`;
  return html`<div class="payload-prose" ...${frame}><${Markdown} text=${text} below=${2} /></div>`;
}

// What one copies into a search or a support mail.
function Ids({ rows }) {
  const known = rows.filter(([, value]) => value);

  if (known.length === 0) return null;
  return html`
    <p class="ids">
      ${known.map(([name, value]) => html`
        <span key=${name}>
          ${name}
          <span class="id">
            <code>${value}</code><${CopyButton} compact text=${value} label="Copy: ${name}" />
          </span>
        </span>`)}
    </p>`;
}

function Moment({ at }) {
  if (!at) return UNKNOWN;
  return html`<time datetime=${at} title=${relative(at, now())}>${dateTime(at)}</time>`;
}

mount('Traces', TracePage);
