// When it happened: a bar for each bucket of time, stacked by status. Drag over it, or use the arrow keys, to
// choose a part of it. The same numbers as a table are below.

import { count } from './format.js';
import { bucketNote } from './period.js';
import { html, useRef, useState } from './preact.js';
import { TRACE_STATUS } from './words.js';
import { span } from './zone.js';

// From the baseline up: what went wrong stands on it, where the eye compares best.
const STACK = ['failed', 'started', 'completed'];
const HEIGHT = 100;
const DAY_MS = 86_400_000;

// `data` is the API's answer, or null while it is on its way: the place is kept. onZoom(from, to).
export function Histogram({ data, zone, onZoom }) {
  const series = data?.series ?? [];

  return html`
    <section class="histogram" aria-label="Traces over time" aria-busy=${String(data === null)}>
      ${series.length > 0
        ? html`<${Bars} key="${data.from} ${data.to}" series=${series} end=${data.to} zone=${zone} onZoom=${onZoom} />`
        : html`<div class="histogram-plot"></div>`}
      <div class="histogram-foot">
        ${data && html`<${Axis} from=${series[0]?.at ?? data.from} to=${data.to} zone=${zone} />`}
      </div>
      ${series.length > 0 && html`
        <${AsTable} series=${series} end=${data.to} zone=${zone} />
        <${Legend} series=${series} note=${bucketNote(data, zone)} />`}
    </section>`;
}

const endOf = (series, end, i) => series[i + 1]?.at ?? end;

function Bars({ series, end, zone, onZoom }) {
  const [range, setRange] = useState(null); // [anchor, other end], or null: nothing under the pointer
  const [dragging, setDragging] = useState(false);
  const element = useRef(null);
  const last = series.length - 1;
  const top = Math.max(1, ...series.map(total));
  const [low, high] = range ? [Math.min(...range), Math.max(...range)] : [last, last];

  const at = (event) => {
    const box = element.current.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * series.length);
    return Math.max(0, Math.min(last, i));
  };
  const zoom = () => onZoom(series[low].at, endOf(series, end, high));
  const onDown = (event) => {
    if (event.button !== 0) return;
    element.current.setPointerCapture(event.pointerId);
    setDragging(true);
    setRange([at(event), at(event)]);
  };
  const onMove = (event) => setRange(dragging ? [range[0], at(event)] : [at(event), at(event)]);
  const onUp = () => {
    if (!dragging) return;
    setDragging(false);
    zoom();
  };
  const onCancel = () => {
    setDragging(false);
    setRange(null);
  };
  const onKey = (event) => {
    const to = moved(event.key, range?.[1] ?? last, last);
    if (to !== null) setRange([event.shiftKey && range ? range[0] : to, to]);
    else if (event.key === 'Enter' && range) zoom();
    else if (event.key === 'Escape' && range) onCancel();
    else return;
    event.preventDefault();
  };
  const text = range ? bucketText(series.slice(low, high + 1), endOf(series, end, high), zone) : '';

  return html`
    <div class="histogram-plot ${dragging ? 'dragging' : ''}" ref=${element} tabindex="0" role="slider"
         aria-label="Time. Arrow keys move, Shift and arrows choose a part, Enter shows it alone"
         aria-valuemin="0" aria-valuemax=${last} aria-valuenow=${range ? range[1] : last}
         aria-valuetext=${text || 'nothing chosen'}
         onPointerDown=${onDown} onPointerMove=${onMove} onPointerUp=${onUp} onPointerCancel=${onCancel}
         onPointerLeave=${() => !dragging && setRange(null)} onBlur=${() => !dragging && setRange(null)} onKeyDown=${onKey}>
      <svg viewBox="0 0 ${series.length} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true" focusable="false">
        ${range && html`<rect class="histogram-chosen" x=${low} width=${high - low + 1} y="0" height=${HEIGHT} />`}
        ${series.map((bucket, i) => html`<${Bar} key=${bucket.at} bucket=${bucket} x=${i} top=${top} />`)}
      </svg>
      <span class="histogram-top number" aria-hidden="true">${count(top)}</span>
      ${text && html`<span class="histogram-tip number" aria-hidden="true">${text}</span>`}
    </div>`;
}

const total = ({ started, completed, failed }) => started + completed + failed;
const sumOf = (buckets, status) => buckets.reduce((n, bucket) => n + bucket[status], 0);

function Bar({ bucket, x, top }) {
  let y = HEIGHT;

  return STACK.filter((status) => bucket[status] > 0).map((status) => {
    const height = Math.max(1.5, (bucket[status] / top) * HEIGHT); // one in a thousand is still seen
    y -= height;
    return html`<rect key=${status} class="bar-${status}" x=${x + 0.08} width="0.84" y=${y} height=${height} />`;
  });
}

function moved(key, from, last) {
  const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[key];

  return to === undefined ? null : Math.max(0, Math.min(last, to));
}

function bucketText(buckets, end, zone) {
  const sums = STACK.map((status) => [status, sumOf(buckets, status)]);
  const parts = sums
    .filter(([, n]) => n > 0)
    .map(([status, n]) => `${count(n)} ${TRACE_STATUS[status].label}`);

  return `${span(buckets[0].at, end, zone)}: ${parts.join(', ') || 'none'}`;
}

// The begin, the middle and the end, in as few words as tell them apart.
function Axis({ from, to, zone }) {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  const format = last - first > 3 * DAY_MS ? zone.day : last - first > DAY_MS / 2 ? zone.dayMinute : zone.minute;
  const text = (ms) => format.format(new Date(ms)).replace(',', '');

  return [first, (first + last) / 2, last].map((ms) => html`<span key=${ms} class="number">${text(ms)}</span>`);
}

function Legend({ series, note }) {
  return html`
    <p class="histogram-legend number">
      ${note && html`<span>${note}</span>`}
      ${[...STACK].reverse().map((status) => html`
        <span key=${status} class="key-${status}">${count(sumOf(series, status))} ${TRACE_STATUS[status].label}</span>`)}
    </p>`;
}

function AsTable({ series, end, zone }) {
  const [open, setOpen] = useState(false);

  return html`
    <details class="histogram-table" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      ${open && html`
        <div class="histogram-scroll" tabindex="0" role="group" aria-label="Traces over time">
          <table>
            <caption class="unseen">Traces over time, empty times left out</caption>
            <thead>
              <tr>
                <th scope="col">Time (${zone.name})</th>
                ${STACK.map((status) => html`<th key=${status} scope="col" class="right">${TRACE_STATUS[status].label}</th>`)}
              </tr>
            </thead>
            <tbody>
              ${series.map((bucket, i) => total(bucket) > 0 && html`
                <tr key=${bucket.at}>
                  <th scope="row">${span(bucket.at, endOf(series, end, i), zone)}</th>
                  ${STACK.map((status) => html`<td key=${status} class="right number">${count(bucket[status])}</td>`)}
                </tr>`)}
            </tbody>
          </table>
        </div>`}
    </details>`;
}
