// "/traces/{id}": what one generation did, call by call. Fills in while it runs. Which call and which
// tab are looked at is in the address: ?call=2&tab=response.

import { advice } from '../lib/advice.js';
import { path } from '../lib/api.js';
import { now } from '../lib/clock.js';
import { DeleteTraceDialog, RegenerateDialog } from '../lib/dialogs.js';
import { download } from '../lib/download.js';
import { cost, count, duration, firstLine, relative, traceName, UNKNOWN } from '../lib/format.js';
import { icon } from '../lib/icons.js';
import { useKeyHint, useKeys, withHint } from '../lib/keys.js';
import { Markdown } from '../lib/markdown.js';
import { listQuery, useNeighbours } from '../lib/neighbours.js';
import { sayNext } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import {
  Ago, Button, CopyButton, Cost, Elapsed, Facts, Loading, Missing, Note, Provider, Status, Tokens,
} from '../lib/parts.js';
import { Payload } from '../lib/payload.js';
import { Fragment, html, useEffect, useRef, useState } from '../lib/preact.js';
import { callCommand, regenerateCommand } from '../lib/provider.js';
import { useResource } from '../lib/resource.js';
import { isPending, outcome, storyLines, whom } from '../lib/story.js';
import { Tabs } from '../lib/tabs.js';
import { PHASE, Timeline } from '../lib/timeline.js';
import { idInPath, useQuery } from '../lib/url.js';
import { errorLabel, requestText, TRACE_STATUS } from '../lib/words.js';
import { fullTime, useZone } from '../lib/zone.js';

const POLL_MS = 1000;
const SEEN_SHARE = 0.7; // of the window: details that begin further down are not seen

const isRunning = (trace) => trace.status === 'started';

function TracePage() {
  const id = idInPath();
  const { data, error } = useResource(path.trace(id), ({ trace }) => (isRunning(trace) ? POLL_MS : null));
  const trace = data?.trace;
  const { query, replace } = useQuery();
  const [dialog, setDialog] = useState(null); // null | 'delete' | 'regenerate'
  const name = trace ? traceName(trace) : 'Trace';
  const close = () => setDialog(null);

  useEffect(() => setTitle(trace ? `Trace: ${name}` : 'Trace'), [name]);

  if (error && !error.outage) {
    return html`<${Missing} what="trace" error=${error}><${Button} href="/traces">All traces<//><//>`;
  }
  if (!trace) return html`<${Loading} what="the trace" />`;

  const calls = trace.llm_calls ?? [];
  const number = calls[Number(query.call) - 1] ? Number(query.call) : null;

  const onDeleted = (text) => {
    sayNext(text);
    location.replace(listAddress());
  };
  const onRegenerating = (lesson) => {
    sayNext('Generating the lesson again: this is its new trace');
    location.assign(`/traces/${lesson.trace_ids[0]}`);
  };

  return html`
    <div class="trace">
      <header class="page-head">
        <${Places} trace=${trace} tab=${query.tab} />
        <h1>${name}</h1>
        <p class="page-meta">
          <${Status} words=${TRACE_STATUS} status=${trace.status} />
          <span><${Moment} at=${trace.created_at} /> (<${Ago} at=${trace.created_at} />)</span>
        </p>
        <${Actions} trace=${trace} setDialog=${setDialog} />
      </header>
      ${trace.status === 'failed' && html`<${Failure} trace=${trace} />`}
      <${Summary} trace=${trace} />
      <${Story} trace=${trace} number=${number} onChoose=${(n) => replace({ call: n && String(n), tab: '' })} />
      <${Details} trace=${trace} number=${number} tab=${query.tab}
                  onTab=${(tab) => replace({ tab })} />
      ${dialog === 'delete' && html`
        <${DeleteTraceDialog} trace=${trace} onDeleted=${onDeleted} onClose=${close} />`}
      ${dialog === 'regenerate' && html`
        <${RegenerateDialog} lesson=${lessonOf(trace)} onDone=${onRegenerating} onClose=${close} />`}
    </div>`;
}

// Of the lesson, as much as its trace knows.
const lessonOf = ({ lesson_id: id, outline_preview: outline, request_data: options }) =>
  ({ id, title: firstLine(outline), options });

// ---- the whole ------------------------------------------------------------------------------

const listAddress = () => `/traces${listQuery() ? `?${listQuery()}` : ''}`;

// Back to the list, and on to the traces beside this one in it.
function Places({ trace, tab }) {
  const { previous, next } = useNeighbours(trace.id, trace.created_at);
  const address = (other) => other && `/traces/${other}${tab ? `?tab=${encodeURIComponent(tab)}` : ''}`;
  const go = (other) => () => (other ? location.assign(address(other)) : false);

  useKeys([
    { key: 'j', words: 'Next trace of the list', act: go(next) },
    { key: 'k', words: 'Previous trace of the list', act: go(previous) },
    { key: '↑ ↓', words: 'From call to call, in the timeline' },
    { key: '← →', words: 'From tab to tab' },
  ]);

  return html`
    <div class="places">
      <p class="crumbs"><a href=${listAddress()}>Traces</a></p>
      <nav class="neighbours" aria-label="Traces of the list">
        <${Neighbour} href=${address(previous)} icon="left" words="Previous" keyName="k" />
        <${Neighbour} href=${address(next)} icon="right" words="Next" keyName="j" />
      </nav>
    </div>`;
}

function Neighbour({ href, icon: shape, words, keyName }) {
  const title = withHint(`${words} trace of the list`, useKeyHint()(keyName));

  if (!href) return html`<${Button} look="quiet" icon=${shape} title=${title} disabled>${words}<//>`;
  return html`<${Button} look="quiet" icon=${shape} title=${title} href=${href}>${words}<//>`;
}

function Actions({ trace, setDialog }) {
  const { id, lesson_id: lessonId } = trace;

  return html`
    <div class="actions">
      ${lessonId && html`
        <${Fragment}>
          <${Button} icon="arrow" href="/lessons/${lessonId}">Lesson<//>
          <${CompareLink} trace=${trace} />
          <${Button} icon="again" onClick=${() => setDialog('regenerate')}>Generate again…<//>
        <//>`}
      <${CopyButton} text=${() => location.href} label="Copy link" />
      <${Button} icon="download" onClick=${() => download(JSON.stringify(trace, null, 2), `trace-${id}.json`)}>JSON<//>
      <${Button} icon="trash" onClick=${() => setDialog('delete')}>Delete<//>
    </div>`;
}

// With the generation before this one of the same lesson; the first has none, and one chooses there.
function CompareLink({ trace: { id, lesson_id: lessonId } }) {
  const ids = useResource(path.lesson(lessonId)).data?.lesson.trace_ids ?? [];
  const before = ids[ids.indexOf(id) + 1];

  if (before) {
    return html`<${Button} icon="compare" href="/traces/compare?a=${before}&b=${id}"
                           title="Compare with the previous generation of this lesson">Compare<//>`;
  }
  return html`<${Button} icon="compare" href="/traces/compare?b=${id}"
                         title="Compare with another trace">Compare…<//>`;
}

// Why there is no lesson: what the last call of each provider failed of, and what to do.
function Failure({ trace }) {
  const failed = (trace.llm_calls ?? []).filter((call) => call.success === false);
  const lasts = [...new Map(failed.map((call) => [call.provider, call])).values()];

  return html`
    <${Note} tone="bad">
      <b>No lesson.</b> ${trace.error_message}
      ${lasts.map((call) => html`<${Advice} key=${call.provider} call=${call} trace=${trace} named />`)}
    <//>`;
}

function CallFailure({ call, trace }) {
  return html`
    <${Note} tone="bad">
      <b>${capital(errorLabel(call.error_class))}.</b> ${call.error}
      <${Advice} call=${call} trace=${trace} />
    <//>`;
}

function Advice({ call, trace, named = false }) {
  const said = advice(call, trace);

  if (!said) return null;
  return html`
    <span class="advice">
      ${named && html`<b>${call.provider}, ${errorLabel(call.error_class)}:</b> `}${said.what}
      ${' '}<b>What to do:</b> ${said.next}
    </span>`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function Summary({ trace }) {
  const calls = trace.llm_calls ?? [];
  const failed = calls.filter((call) => call.success === false);
  const lasted = isRunning(trace)
    ? html`<${Elapsed} since=${trace.created_at} />`
    : duration(trace.total_duration_ms);

  return html`
    <section class="panel" aria-label="Summary">
      <${Facts} rows=${[
        ['Duration', lasted],
        ['Provider → model', html`
          <${Provider} provider=${trace.provider_used} model=${trace.model}
                       fallbacks=${trace.fallback_providers} />`],
        ['Calls', `${count(trace.llm_call_count)}${failed.length > 0 ? `, ${count(failed.length)} failed` : ''}`],
        ['Tokens in / out', html`<${Tokens} input=${trace.prompt_tokens} output=${trace.completion_tokens} />`],
        ['Cost', html`<${Cost} usd=${trace.cost_usd} />`],
        failed.length > 0 ? ['Cost of failed calls', html`<${Cost} usd=${sum(failed.map((call) => call.cost_usd))} />`] : null,
        ['Completed', html`<${Moment} at=${trace.completed_at} />`],
        ['Owner', trace.owner],
        ['Asked for', requestText(trace.request_data) || null],
      ]} />
      <${Ids} rows=${[['Trace', trace.id], ['Request', trace.request_id], ['Lesson', trace.lesson_id]]} />
    </section>`;
}

// Of what is known; unknown if nothing is.
function sum(values) {
  const known = values.filter((value) => value !== null && value !== undefined);

  return known.length > 0 ? known.reduce((total, value) => total + Number(value), 0) : null;
}

// ---- the story ------------------------------------------------------------------------------

function Story({ trace, number, onChoose }) {
  const lines = storyLines(trace);
  const text = lines.map((line, i) => `${i + 1}. ${line}`).join('\n');

  return html`
    <section class="panel" aria-labelledby="story-title">
      <h2 id="story-title">What happened</h2>
      <${Timeline} trace=${trace} chosen=${number} onChoose=${onChoose} label="Timeline" />
      <details class="in-words">
        <summary>In words</summary>
        <div class="in-words-body">
          <ol class="words">${lines.map((line, i) => html`<li key=${i}>${line}</li>`)}</ol>
          <${CopyButton} text=${text} label="Copy the story" />
        </div>
      </details>
    </section>`;
}

// ---- the details of the whole, or of one call -----------------------------------------------

const TABS = [
  { name: 'lesson', title: 'Lesson', Panel: LessonPanel },
  { name: 'prompt', title: 'Prompt', Panel: PromptPanel },
  { name: 'response', title: 'Response', Panel: ResponsePanel },
  { name: 'json', title: 'JSON', Panel: JsonPanel },
  { name: 'timing', title: 'Timing', Panel: TimingPanel },
];

function Details({ trace, number, tab, onTab }) {
  const element = useRef(null);
  const before = useRef(number);
  const calls = trace.llm_calls ?? [];
  const call = number === null ? null : calls[number - 1];
  const chosen = TABS.find(({ name }) => name === (tab || defaultTab(trace, call))) ?? TABS[0];

  // What was chosen above is to be seen.
  useEffect(() => {
    if (before.current === number) return;
    before.current = number;
    if (element.current.getBoundingClientRect().top > innerHeight * SEEN_SHARE) element.current.scrollIntoView();
  }, [number]);

  return html`
    <section class="panel call" aria-labelledby="details-title" ref=${element}>
      <div class="section-head">
        <h2 id="details-title">${call ? html`Call ${number}: ${whom(call.provider, call)}` : 'Whole generation'}</h2>
        ${call && html`<${CallStatus} call=${call} />`}
        <div class="actions"><${Commands} trace=${trace} call=${call} /></div>
      </div>
      ${call?.success === false && html`<${CallFailure} call=${call} trace=${trace} />`}
      <${Tabs} label="Details" tabs=${TABS} chosen=${chosen.name} onChoose=${onTab}>
        <${chosen.Panel} key=${number} trace=${trace} call=${call} number=${number} />
      <//>
    </section>`;
}

// What does it again, from a shell: the call, or the lesson.
function Commands({ trace, call }) {
  const command = call
    ? !isNotKept(call) && callCommand(call, location.origin)
    : trace.lesson_id && regenerateCommand(trace, location.origin);

  if (!command) return null;
  return html`<${CopyButton} text=${command} label=${call ? 'Copy as curl' : 'Copy curl to regenerate'} />`;
}

function defaultTab(trace, call) {
  if (!call) return trace.response_data ? 'lesson' : 'prompt';
  return call.response?.content ? 'response' : 'prompt';
}

function CallStatus({ call }) {
  const end = outcome(call);

  return html`<span class="status tone-${end.tone}">${icon(end.icon)}${end.text}</span>`;
}

// The call whose answer became the lesson, or else the last one.
const telling = ({ llm_calls: calls }) => calls?.findLast((call) => call.success) ?? calls?.at(-1) ?? null;

const fileName = (trace, number, what) =>
  `trace-${trace.id.slice(0, 8)}${number === null ? '' : `-call-${number}`}-${what}`;

// A trace, a call or a result whose texts were not stored: TRACE_CONTENT was off.
const isNotKept = (what) => what?.content_kept === false;

const NotKept = ({ what }) => html`<p class="quiet">Content not kept: ${what}, as this service is set up.</p>`;

function LessonPanel({ trace, call, number }) {
  const { response_data: result } = trace;

  if (call && !call.success) return html`<p class="quiet">This call gave no lesson.</p>`;
  if (!result) {
    return html`<p class="quiet">${isRunning(trace) ? 'The lesson is not there yet.' : 'There is no lesson.'}</p>`;
  }
  return html`
    <${Facts} rows=${[
      ['Title', result.title],
      ['Sections', count(result.estimatedSections)],
      ['Grade', result.gradeLevel],
    ]} />
    <div class="result-lists">
      <${ResultList} title="Key concepts" items=${result.keyConcepts} />
      <${ResultList} title="Prerequisites" items=${result.prerequisites} />
    </div>
    ${isNotKept(result) && html`<${NotKept} what="the trace has no copy of the lesson" />`}
    ${result.content && html`
      <${Payload} title="Lesson" content=${result.content} markdown file=${fileName(trace, number, 'lesson.md')} />`}`;
}

// Items as they stand in the lesson: Markdown.
function ResultList({ title, items }) {
  if (!items?.length) return null;
  return html`<div><h3>${title}</h3><${Markdown} text=${items.map((item) => `- ${item}`).join('\n')} /></div>`;
}

function PromptPanel({ trace, call, number }) {
  const asked = call ?? telling(trace);
  const { parameters, prompt, system } = asked?.request ?? {};
  const file = (what) => fileName(trace, number, what);

  return html`
    ${!call && trace.request_data?.outline && html`
      <${Payload} title="Outline" content=${trace.request_data.outline} file=${file('outline.txt')} />`}
    ${!call && asked && html`
      <p class="quiet">As it was sent to ${whom(asked.provider, asked)}:</p>`}
    ${prompt && html`<${Payload} title="Prompt" content=${prompt} file=${file('prompt.txt')} open=${Boolean(call)} />`}
    ${system && html`<${Payload} title="System prompt" content=${system} file=${file('system.txt')} open=${Boolean(call)} />`}
    ${parameters && Object.keys(parameters).length > 0 && html`
      <${Payload} title="Parameters" content=${parameters} file=${file('parameters.json')} open=${Boolean(call)} />`}
    ${isNotKept(asked ?? trace)
      ? html`<${NotKept} what="the trace has neither outline nor prompt" />`
      : !prompt && !system && html`<p class="quiet">Nothing was sent yet.</p>`}`;
}

function ResponsePanel({ trace, call, number }) {
  const asked = call ?? telling(trace);
  const { response } = asked ?? {};

  if (!response) {
    return html`<p class="quiet">${asked && isPending(asked) ? 'No answer yet.' : 'There was no answer to keep.'}</p>`;
  }
  const { usage } = response;

  return html`
    <${Facts} rows=${[
      ['From', whom(asked.provider, asked)],
      ['Model that answered', response.model],
      ['Finish reason', response.finish_reason && html`<code>${response.finish_reason}</code>`],
      ['Tokens in', count(usage?.prompt_tokens) + part(usage?.cached_tokens, 'cached')],
      ['Tokens out', count(usage?.completion_tokens) + part(usage?.reasoning_tokens, 'reasoning')],
      response.replaced_characters ? ['Replaced characters', count(response.replaced_characters)] : null,
    ]} />
    ${response.content
      ? html`
        <${Payload} title="Response" content=${response.content} markdown file=${fileName(trace, number, 'response.md')} />`
      : isNotKept(asked)
        ? html`<${NotKept} what="the trace has no text of the answer" />`
        : html`<p class="quiet">The answer has no text.</p>`}
    <${Ids} rows=${[['Answer’s id', response.id], ['Provider’s request id', asked.provider_request_id]]} />`;
}

const part = (n, word) => (n ? ` · ${count(n)} ${word}` : '');

function JsonPanel({ trace, call, number }) {
  return html`
    <${Payload} title=${call ? `Call ${number}` : 'Whole trace'} content=${call ?? trace}
                file=${fileName(trace, number, call ? 'call.json' : 'whole.json')} />`;
}

function TimingPanel({ trace, call, number }) {
  const calls = trace.llm_calls ?? [];
  const rows = call ? [[call, number]] : calls.map((one, i) => [one, i + 1]);

  if (rows.length === 0) return html`<p class="quiet">No call yet.</p>`;
  return html`
    <div class="scroll" tabindex="0" role="group" aria-label="Times of the calls">
      <table class="plain">
        <caption class="unseen">What the calls spent their time on</caption>
        <thead>
          <tr>
            <th scope="col">Call</th><th scope="col">Sent</th>
            ${TIMES.map(([title]) => html`<th key=${title} scope="col" class="right">${title}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(([one, n]) => html`
            <tr key=${n}>
              <th scope="row">${n} ${whom(one.provider, one)}</th>
              <td class="number">${sentAfter(trace, one)}</td>
              ${TIMES.map(([title, ms]) => html`
                <td key=${title} class="right number">${duration(ms(one))}</td>`)}
            </tr>`)}
        </tbody>
      </table>
    </div>
    ${call && html`
      <${Facts} rows=${[
        ['Sent', html`<${Moment} at=${call.timestamp} />`],
        ['Attempt', count(call.attempt)],
        ['HTTP status', call.http_status],
        call.error_class ? ['Error class', html`<code>${call.error_class}</code>`] : null,
        ['Cost', html`${cost(call.cost_usd)}${call.price_as_of && html`
          <span class="quiet"> prices of ${call.price_as_of}</span>`}`],
      ]} />
      <${Ids} rows=${[['Provider’s request id', call.provider_request_id], ['Span', call.span_id]]} />`}`;
}

// What is not known is —: a call over a connection that was there looks no name up, for example.
const TIMES = [
  [PHASE.queue, ({ timing }) => timing?.queue_ms],
  [PHASE.dns, ({ timing }) => timing?.dns_ms],
  [PHASE.connect, ({ timing }) => timing?.connect_ms],
  [PHASE.tls, ({ timing }) => timing?.tls_ms],
  ['first byte', ({ timing }) => timing?.ttfb_ms],
  [PHASE.receiving, ({ timing, duration_ms: ms }) =>
    (Number.isFinite(timing?.ttfb_ms) && Number.isFinite(ms) ? Math.max(0, ms - timing.ttfb_ms) : null)],
  ['whole call', ({ duration_ms: ms }) => ms],
];

function sentAfter(trace, call) {
  const ms = Date.parse(call.timestamp ?? '') - Date.parse(trace.created_at);

  return Number.isFinite(ms) ? `+${duration(Math.max(0, ms))}` : UNKNOWN;
}

// ---- parts ----------------------------------------------------------------------------------

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
  const zone = useZone();

  if (!at) return UNKNOWN;
  return html`<time datetime=${at} title=${relative(at, now())}>${fullTime(at, zone)}</time>`;
}

mount('Traces', TracePage);
