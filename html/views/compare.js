// "/traces/compare?a=ID&b=ID": two generations side by side. Which, is in the address; without one of
// them it is chosen here: another of the same lesson, or any by its id.

import { path } from '../lib/api.js';
import { useNow } from '../lib/clock.js';
import { diffSize, diffTexts } from '../lib/diff.js';
import { cost, count, duration, plural, traceName, UNKNOWN } from '../lib/format.js';
import { mount, setTitle } from '../lib/page.js';
import { Button, Field, Loading, Missing, Note, Status } from '../lib/parts.js';
import { html, useEffect, useId, useMemo, useState } from '../lib/preact.js';
import { useResource } from '../lib/resource.js';
import { whom } from '../lib/story.js';
import { TICK_MS, Timeline } from '../lib/timeline.js';
import { useQuery } from '../lib/url.js';
import { waterfall } from '../lib/waterfall.js';
import { TRACE_STATUS } from '../lib/words.js';
import { fullTime, useZone } from '../lib/zone.js';

const POLL_MS = 1000;
const CHOICES_MAX = 50;
const CONTEXT_LINES = 3; // of what is the same, beside a difference

const isRunning = ({ status }) => status === 'started';

const useTrace = (id) =>
  useResource(id ? path.trace(id) : null, ({ trace }) => (isRunning(trace) ? POLL_MS : null));

function ComparePage() {
  const { query, go } = useQuery();
  const a = useTrace(query.a ?? null);
  const b = useTrace(query.b ?? null);
  const before = a.data?.trace;
  const after = b.data?.trace;
  const wrong = [a, b].find(({ error }) => error && !error.outage);

  useEffect(() => setTitle('Compare two traces'), []);

  if (wrong) {
    return html`
      <${Missing} what="trace" error=${wrong.error}><${Button} href="/traces">All traces<//><//>`;
  }
  return html`
    <div class="compare">
      <header class="page-head">
        <p class="crumbs"><a href="/traces">Traces</a></p>
        <h1>Compare two traces</h1>
      </header>
      <section class="panel compare-choose" aria-label="The two traces">
        <${Choice} name="a" title="Before" id=${query.a} trace=${before} other=${after} go=${go} />
        <${Choice} name="b" title="After" id=${query.b} trace=${after} other=${before} go=${go} />
      </section>
      ${before && after
        ? html`<${Comparison} before=${before} after=${after} />`
        : (query.a && query.b && html`<${Loading} what="the traces" />`)}
    </div>`;
}

// ---- which -----------------------------------------------------------------------------------

function Choice({ name, title, id, trace, other, go }) {
  const lesson = trace?.lesson_id ?? other?.lesson_id;
  const list = useResource(lesson
    ? path.traces({ lesson_id: lesson, view: 'summary', limit: CHOICES_MAX })
    : null).data?.traces ?? [];
  const own = useId();
  const zone = useZone();
  const known = list.some((one) => one.id === id);

  return html`
    <div class="compare-choice" role="group" aria-label=${title}>
      <h2>${title}${trace && html`: <a href="/traces/${trace.id}">${traceName(trace)}</a>`}</h2>
      ${list.length > 0 && html`
        <${Field} id="${own}-list" label="Trace of this lesson">
          <select id="${own}-list" value=${id ?? ''} onChange=${(event) => go({ [name]: event.currentTarget.value })}>
            ${!known && html`<option value=${id ?? ''}>${id ? 'of another lesson' : 'choose one'}</option>`}
            ${list.map((one) => html`<option key=${one.id} value=${one.id}>${choiceText(one, zone)}</option>`)}
          </select>
        <//>`}
      <${IdForm} id=${own} label="Or any trace, by its id or address" value=${id ?? ''} onId=${(given) => go({ [name]: given })} />
    </div>`;
}

function choiceText({ created_at: at, provider_used: provider, model, status }, zone) {
  const who = provider ? whom(provider, { request: { model } }) : (TRACE_STATUS[status]?.label ?? status);

  return `${fullTime(at, zone)} · ${who}`;
}

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

function IdForm({ id, label, value, onId }) {
  const [text, setText] = useState(value);
  const [error, setError] = useState(null);

  useEffect(() => setText(value), [value]);

  const submit = (event) => {
    const found = UUID.exec(text)?.[0];

    event.preventDefault();
    setError(found ? null : 'This holds no id of a trace');
    if (found) onId(found);
  };

  return html`
    <form onSubmit=${submit}>
      <${Field} id="${id}-id" label=${label} error=${error}>
        <div class="with-button">
          <input id="${id}-id" type="text" value=${text} autocomplete="off" spellcheck="false"
                 aria-invalid=${Boolean(error)} aria-describedby=${error ? `${id}-id-error` : null}
                 onInput=${(event) => setText(event.currentTarget.value)} />
          <${Button} type="submit">Show<//>
        </div>
      <//>
    </form>`;
}

// ---- what differs ----------------------------------------------------------------------------

function Comparison({ before, after }) {
  return html`
    ${before.id === after.id && html`<${Note} tone="quiet">This is one trace, twice.<//>`}
    <section aria-labelledby="facts-title">
      <h2 id="facts-title">Settings and totals</h2>
      <${FactsTable} before=${before} after=${after} />
    </section>
    <${CallsBeside} before=${before} after=${after} />
    <${TextDiff} before=${before} after=${after} />`;
}

const yesNo = (value) => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : value);
const NOT_KEPT = 'content not kept';
const missing = (of) => (of?.content_kept === false ? NOT_KEPT : UNKNOWN);
const asked = (name) => (trace) => yesNo(trace.request_data?.[name]) ?? UNKNOWN;
const outline = (trace) => trace.request_data?.outline ?? missing(trace);
const answering = ({ llm_calls: calls }) => calls?.findLast((call) => call.success) ?? calls?.at(-1);
const part = (name) => (trace) => {
  const call = answering(trace);
  const value = call?.request?.[name] ?? null;

  return value === null ? missing(call) : typeof value === 'string' ? value : JSON.stringify(value);
};

const SETTINGS = [
  ['Provider', (trace) => trace.provider_used ?? UNKNOWN],
  ['Model', (trace) => trace.model ?? UNKNOWN],
  ['Provider asked for', asked('provider')],
  ['Model asked for', asked('model')],
  ['Grade', asked('gradeLevel')],
  ['Sections', asked('sections')],
  ['Learning style', asked('learningStyle')],
  ['Examples', asked('includeExamples')],
  ['Exercises', asked('includeExercises')],
  ['Outline', outline],
  ['Parameters', part('parameters')],
];

// What is too long to stand in a cell: whether it is the same.
const TEXTS = [
  ['Prompt', part('prompt')],
  ['System prompt', part('system')],
];

const TOTALS = [
  ['Duration', (trace) => trace.total_duration_ms, duration],
  ['Calls', (trace) => trace.llm_call_count, count],
  ['Tokens in', (trace) => trace.prompt_tokens, count],
  ['Tokens out', (trace) => trace.completion_tokens, count],
  ['Cost', (trace) => trace.cost_usd, cost],
];

function FactsTable({ before, after }) {
  const zone = useZone();

  return html`
    <div class="scroll panel" tabindex="0" role="group" aria-label="Settings and totals">
      <table class="plain compare-table">
        <caption class="unseen">Settings and totals of both; what differs is marked ≠</caption>
        <thead>
          <tr>
            <td></td><th scope="col">Before</th><th scope="col">After</th>
            <th scope="col" class="right">Difference</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">Status</th>
            <td><${Status} words=${TRACE_STATUS} status=${before.status} /></td>
            <td><${Status} words=${TRACE_STATUS} status=${after.status} /></td>
            <td></td>
          </tr>
          <tr>
            <th scope="row">When</th>
            <td>${fullTime(before.created_at, zone)}</td><td>${fullTime(after.created_at, zone)}</td><td></td>
          </tr>
          ${TOTALS.map(([name, value, format]) => html`
            <tr key=${name}>
              <th scope="row">${name}</th>
              <td class="number">${format(value(before))}</td>
              <td class="number">${format(value(after))}</td>
              <td class="right number">${difference(value(before), value(after), format)}</td>
            </tr>`)}
          ${SETTINGS.map(([name, value]) => html`
            <${SettingRow} key=${name} name=${name} before=${value(before)} after=${value(after)} />`)}
          ${TEXTS.map(([name, value]) => html`
            <${SettingRow} key=${name} name=${name} before=${value(before)} after=${value(after)} long />`)}
        </tbody>
      </table>
    </div>`;
}

function SettingRow({ name, before, after, long = false }) {
  const differs = before !== after;
  const shown = (text) => (long && ![UNKNOWN, NOT_KEPT].includes(text) ? plural([...text].length, 'character') : text);

  return html`
    <tr class=${differs ? 'differs' : ''}>
      <th scope="row">${name}</th>
      <td>${shown(before)}</td>
      <td>${shown(after)}</td>
      <td class="right">${differs ? 'differs' : html`<span class="quiet">same</span>`}</td>
    </tr>`;
}

const known = (value) => value !== null && value !== undefined;

// "+1.20 s (+40 %)"; of what is unknown, unknown.
function difference(before, after, format) {
  if (!known(before) || !known(after)) return UNKNOWN;
  const by = Number(after) - Number(before);
  const sign = by > 0 ? '+' : '−';
  const share = Number(before) === 0 ? '' : ` (${sign}${Math.round((100 * Math.abs(by)) / Number(before))} %)`;

  return by === 0 ? '±0' : `${sign}${format(Math.abs(by))}${share}`;
}

// Both on one axis, so that what took longer is longer.
function CallsBeside({ before, after }) {
  const now = useNow([before, after].some(isRunning) ? TICK_MS : null);
  const spanMs = Math.max(...[before, after].map((trace) => waterfall(trace, { now }).spanMs));

  return html`
    <section class="panel" aria-labelledby="calls-title">
      <h2 id="calls-title">Calls, on one scale</h2>
      <div class="compare-calls">
        ${[['Before', before], ['After', after]].map(([title, trace]) => html`
          <div key=${title}>
            <h3><a href="/traces/${trace.id}">${title}</a></h3>
            <${Timeline} trace=${trace} spanMs=${spanMs} label="Timeline: ${title}" />
          </div>`)}
      </div>
    </section>`;
}

// ---- the lessons -----------------------------------------------------------------------------

const lessonOf = ({ response_data: result }) => result?.content ?? '';
const isNotKept = ({ response_data: result }) => result?.content_kept === false;

function TextDiff({ before, after }) {
  const [from, to] = [lessonOf(before), lessonOf(after)];
  const blocks = useMemo(() => diffTexts(from, to), [from, to]);
  const { added, removed } = diffSize(blocks);
  const same = from === to;
  const notKept = isNotKept(before) || isNotKept(after);

  return html`
    <section aria-labelledby="diff-title">
      <h2 id="diff-title">Lesson</h2>
      ${notKept
        ? html`<p class="quiet">Content not kept: the traces do not both have the lesson.</p>`
        : same
        ? html`<p class="quiet">${from ? 'Both lessons are the same, word for word.' : 'There is no lesson in either.'}</p>`
        : !from || !to
        ? html`<p class="quiet">Only the one ${from ? 'before' : 'after'} has a lesson, of ${plural((from || to).split('\n').length, 'line')}.</p>`
        : html`
          <p class="quiet diff-size">
            ${plural(added, 'line')} added (+), ${plural(removed, 'line')} removed (−); what changed within a line is
            ${' '}<ins>underlined</ins> or <del>struck out</del>.
          </p>
          <div class="diff" role="group" aria-label="Differences" tabindex="0">
            ${blocks.map((block, i) => html`
              <${Block} key=${i} block=${block} first=${i === 0} last=${i === blocks.length - 1} />`)}
          </div>`}
    </section>`;
}

// Of what is the same, only the lines beside a difference, until more are asked for.
function Block({ block: { kind, lines }, first, last }) {
  const [open, setOpen] = useState(false);
  const head = first ? 0 : CONTEXT_LINES;
  const tail = last ? 0 : CONTEXT_LINES;
  const folded = lines.length - head - tail;

  if (kind === 'changed' || open || folded < 2) return lines.map((line, i) => html`<${Line} key=${i} line=${line} />`);
  return html`
    ${lines.slice(0, head).map((line, i) => html`<${Line} key=${i} line=${line} />`)}
    <button type="button" class="diff-fold" onClick=${() => setOpen(true)}>Show ${plural(folded, 'line')} that are the same</button>
    ${tail > 0 && lines.slice(-tail).map((line, i) => html`<${Line} key="tail-${i}" line=${line} />`)}`;
}

const MARK = { '+': ['added', '+', 'added: '], '-': ['removed', '−', 'removed: '], ' ': ['', '', ''] };

function Line({ line: { mark, parts } }) {
  const [look, sign, spoken] = MARK[mark];
  const changed = mark === '+' ? 'ins' : 'del';

  return html`
    <div class="diff-line ${look}">
      <span class="diff-mark" aria-hidden="true">${sign}</span>
      <span>${spoken && html`<span class="unseen">${spoken}</span>`}${parts.map((one, i) =>
        (one.changed ? html`<${changed} key=${i}>${one.text}<//>` : one.text))}</span>
    </div>`;
}

mount('Traces', ComparePage);
