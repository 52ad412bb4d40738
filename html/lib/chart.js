// A chart of numbers over time, drawn by uPlot, with what a canvas lacks: a legend, the exact values
// at the crosshair, the keyboard, and a table of the same numbers. Charts on one page share their
// crosshair. Colours come from style.css, and follow the theme and the printer.

import uPlot from '../vendor/uplot.js';
import { Button } from './parts.js';
import { spanText, tickTexts } from './period.js';
import { html, useId, useLayoutEffect, useRef, useState } from './preact.js';

const AXIS_WIDTH = 56; // the same for all, so that the crosshairs stand below each other
const TICK_SPACE_X = 64;
const TICK_SPACE_Y = 34;
const DRAG_MIN = 5; // pixels; less is a click
const HEADROOM = 1.08;
// How a line of series is drawn, so that its colour is not all that tells it from the others.
const STROKES = { plain: { width: 2 }, dashed: { width: 1.75, dash: [6, 3] }, thin: { width: 1 } };
const WHOLE = Array.from({ length: 12 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();
const NOTHING = { left: 0, width: 0, top: 0, height: 0 };
const AWAY = { left: -10, top: -10 };

// `spans`: of each bucket {start, end, from, to} in ms (period.js). `form`: bars (on each other if
// several) or lines. `series`: [{label, tone, stroke, values, href(i)}], a value null where there is
// none, `stroke` of lines only. `text(value)` is exact, `tick(value)` short; `top` is what the axis reaches at least,
// `whole` where there are no halves; `note(i)` is said beside the values of a bucket. onZoom(from,
// to) in ms. `table`: shown as one; onTable turns that.
export function Chart({ title, table, onTable, wide = false, ...drawing }) {
  const id = useId();

  return html`
    <section class="panel chart ${wide ? 'wide' : ''}" aria-labelledby=${id}>
      <div class="chart-head">
        <h2 id=${id}>${title}</h2>
        ${drawing.series.length > 1 && html`<${Legend} series=${drawing.series} />`}
        <${Button} look="quiet chart-turn" aria-pressed=${String(table)} onClick=${onTable}
                   label="${title} as a table">
          Table
        <//>
      </div>
      ${table
        ? html`<${Numbers} title=${title} ...${drawing} />`
        : html`<${Plot} title=${title} ...${drawing} />`}
    </section>`;
}

function Legend({ series }) {
  return html`
    <ul class="legend">
      ${series.map(({ label, tone, stroke }) => html`
        <li key=${label}><${Swatch} tone=${tone} stroke=${stroke} />${label}</li>`)}
    </ul>`;
}

const Swatch = ({ tone, stroke = 'block' }) => html`<i class="swatch ${stroke} series-${tone}"></i>`;

// ---- as a table -----------------------------------------------------------------------------

function Numbers({ title, spans, series, zone, text }) {
  return html`
    <div class="plot numbers" tabindex="0" role="region" aria-label="${title}, table">
      <table class="figures">
        <caption>${title}, ${spanText(spans[0].from, spans.at(-1).to, zone)} (${zone.name})</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            ${series.map(({ label }) => html`<th key=${label} scope="col" class="right">${label}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${spans.map(({ start, from, to }, i) => html`
            <tr key=${start}>
              <th scope="row">${spanText(from, to, zone)}</th>
              ${series.map(({ label, values, href }) => html`
                <td key=${label} class="right number">
                  ${values[i] && href ? html`<a href=${href(i)}>${text(values[i])}</a>` : text(values[i])}
                </td>`)}
            </tr>`)}
        </tbody>
      </table>
    </div>`;
}

// ---- as a drawing ---------------------------------------------------------------------------

function Plot({ title, ...drawing }) {
  const { spans, series, zone, onZoom } = drawing;
  const box = useRef(null);
  const plot = useRef(null);
  const latest = useRef(drawing);
  const [at, setAt] = useState(null); // {i, left, width}: the bucket under the crosshair, and where
  const [mark, setMark] = useState(null); // the bucket that the keyboard selects from

  latest.current = drawing;

  useLayoutEffect(() => {
    const ink = inkOf(box.current);
    const u = new uPlot(optionsOf(box.current, ink, latest, setAt), dataOf(drawing), box.current);
    const sizes = new ResizeObserver(() => fit(u, box.current));
    const forget = onLook(() => {
      ink.forget();
      fit(u, box.current);
      u.redraw(false);
    });

    plot.current = u;
    sizes.observe(box.current);
    return () => {
      forget();
      sizes.disconnect();
      u.destroy();
    };
  }, []);

  useLayoutEffect(() => {
    plot.current.setData(dataOf(drawing));
    plot.current.setSelect(NOTHING, false);
    setMark(null);
  }, [spans, series, zone]);

  const put = (i, from) => {
    const u = plot.current;

    setMark(from);
    u.setSelect(from === null ? NOTHING : boxOf(u, spans, from, i), false);
    u.setCursor({ left: u.valToPos(middle(spans[i]), 'x'), top: 1 });
  };
  const leave = () => {
    setMark(null);
    plot.current.setSelect(NOTHING, false);
    plot.current.setCursor(AWAY);
  };
  const onKeyDown = (event) => {
    const i = at?.i ?? null;
    const to = keyTo(event.key, i, spans.length - 1);

    if (to !== null) put(to, event.shiftKey ? (mark ?? i ?? to) : null);
    else if (event.key === 'Enter' && i !== null) zoom(spans, mark ?? i, i, onZoom);
    else if (event.key === 'Escape') leave();
    else return;
    event.preventDefault();
  };

  return html`
    <div class="plot" tabindex="0" role="slider" aria-label="${title} over time"
         aria-valuemin="1" aria-valuemax=${spans.length} aria-valuenow=${(at?.i ?? 0) + 1}
         aria-valuetext=${spoken(drawing, at?.i ?? null)} onKeyDown=${onKeyDown} onBlur=${leave}>
      <div class="plot-box" ref=${box}>
        ${series.map(({ label, tone }) => html`<i key=${label} class="series-${tone}" hidden></i>`)}
      </div>
      ${at !== null && at.i < spans.length && html`<${Tip} ...${drawing} at=${at} />`}
    </div>`;
}

function Tip({ spans, series, zone, text, note, at: { i, left, width } }) {
  const side = left > width / 2 ? { right: `${width - left + 12}px` } : { left: `${left + 12}px` };

  return html`
    <div class="tip" style=${side} aria-hidden="true">
      <p class="quiet">${spanText(spans[i].from, spans[i].to, zone)}</p>
      ${[...series].reverse().map(({ label, tone, stroke, values }) => html`
        <p key=${label} class="tip-row">
          <${Swatch} tone=${tone} stroke=${stroke} />${label}<b class="number">${text(values[i])}</b>
        </p>`)}
      ${note && html`<p class="quiet">${note(i)}</p>`}
    </div>`;
}

function spoken({ spans, series, zone, text, note }, i) {
  if (i === null || i >= spans.length) return 'arrow keys go through it, with Shift they select, Enter zooms in';
  const values = series.map(({ label, values: all }) => `${label} ${text(all[i])}`);

  return [spanText(spans[i].from, spans[i].to, zone), ...values, ...(note ? [note(i)] : [])].join(', ');
}

// The bucket that a key goes to from bucket i; null: the key goes nowhere.
function keyTo(key, i, last) {
  switch (key) {
    case 'ArrowLeft':
      return i === null ? last : Math.max(0, i - 1);
    case 'ArrowRight':
      return i === null ? 0 : Math.min(last, i + 1);
    case 'Home':
      return 0;
    case 'End':
      return last;
    default:
      return null;
  }
}

// ---- numbers --------------------------------------------------------------------------------

const middle = ({ start, end }) => (start + end) / 2;

// Of bars on each other the sums are drawn, the highest first.
export function stack(series) {
  const sums = series[0].values.map(() => 0);

  return series.map(({ values }) => values.map((value, i) => (sums[i] += value ?? 0))).reverse();
}

// The points that no line leads to.
export function lonely(values) {
  const empty = (i) => (values[i] ?? null) === null;

  return [...values.keys()].filter((i) => !empty(i) && empty(i - 1) && empty(i + 1));
}

// The bucket that a time is in; the last where it is after all.
export function bucketAt(spans, at) {
  const i = spans.findIndex(({ end }) => at < end);

  return i === -1 ? spans.length - 1 : i;
}

// Whole buckets, whichever of the two is the first.
function zoom(spans, a, b, onZoom) {
  onZoom(spans[Math.min(a, b)].from, spans[Math.max(a, b)].to);
}

function dataOf({ spans, series, form }) {
  return [spans.map(middle), ...(form === 'bars' ? stack(series) : series.map(({ values }) => values))];
}

// ---- uPlot ----------------------------------------------------------------------------------

function optionsOf(box, ink, latest, setAt) {
  const { form, series, whole } = latest.current;
  const font = `11px ${getComputedStyle(box).fontFamily}`;
  const one = form === 'bars' ? bars : line;
  const order = [...series.keys()];
  if (form === 'bars') order.reverse();

  return {
    ...sizeOf(box),
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), latest.current.zone.name),
    padding: [10, 18, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: form === 'bars' ? { show: false } : { size: 7 },
      drag: { x: true, y: false, setScale: false, dist: DRAG_MIN },
      sync: { key: 'charts', scales: ['x', null], filters: { pub: (type) => !/^mouse(down|up)$/.test(type) } },
    },
    scales: {
      x: { range: () => [latest.current.spans[0].start, latest.current.spans.at(-1).end] },
      y: { range: (u, min, max) => [0, Math.max(latest.current.top, (max ?? 0) * HEADROOM)] },
    },
    axes: [
      {
        ...axis(ink, font),
        size: 26,
        space: TICK_SPACE_X,
        grid: { show: false },
        ticks: { stroke: () => ink.get().line, width: 1, size: 4 },
        values: (u, ticks, i, space, step) => tickTexts(ticks, step, latest.current.zone),
      },
      {
        ...axis(ink, font),
        size: AXIS_WIDTH,
        space: TICK_SPACE_Y,
        ...(whole ? { incrs: WHOLE } : {}),
        grid: { stroke: () => ink.get().line, width: 1 },
        ticks: { show: false },
        values: (u, ticks) => ticks.map(latest.current.tick),
      },
    ],
    series: [{}, ...order.map((i) => one(series[i], () => ink.get().series[i]))],
    hooks: {
      setCursor: [(u) => setAt((before) => whereIs(u, latest.current.spans, before))],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          const { spans, onZoom } = latest.current;
          const [a, b] = [left, left + width].map((x) => bucketAt(spans, u.posToVal(x, 'x')));

          u.setSelect(NOTHING, false);
          if (width >= DRAG_MIN) zoom(spans, a, b, onZoom);
        },
      ],
    },
  };
}

const axis = (ink, font) => ({ font, gap: 5, stroke: () => ink.get().text });

const bars = (one, ink) => ({
  width: 0,
  fill: () => ink().fill,
  points: { show: false },
  paths: uPlot.paths.bars({ size: [0.84, 40, 1] }),
});

const line = ({ stroke }, ink) => ({
  ...STROKES[stroke],
  stroke: () => ink().stroke,
  paths: pathOf,
  points: {
    show: true,
    size: 5,
    fill: () => ink().stroke,
    filter: (u, i) => lonely(u.data[i]),
  },
});

// From point to point, and nothing where there is none: uPlot's own leaves specks beside a gap.
function pathOf(u, series, first, last) {
  const path = new Path2D();
  let drawing = false;

  for (let i = first; i <= last; i++) {
    const value = u.data[series][i] ?? null;
    if (value !== null) {
      const [x, y] = [u.valToPos(u.data[0][i], 'x', true), u.valToPos(value, 'y', true)];
      if (drawing) path.lineTo(x, y);
      else path.moveTo(x, y);
    }
    drawing = value !== null;
  }
  return { stroke: path, fill: null, clip: null };
}

// The same object as long as it is the same bucket, so that nothing is drawn again.
function whereIs(u, spans, before) {
  const { left, idx: i } = u.cursor;
  if (left < 0 || !(i >= 0) || i >= spans.length) return null;
  const at = { i, left: u.over.offsetLeft + u.valToPos(middle(spans[i]), 'x'), width: u.width };

  return before !== null && Object.keys(at).every((key) => at[key] === before[key]) ? before : at;
}

function boxOf(u, spans, a, b) {
  const left = u.valToPos(spans[Math.min(a, b)].start, 'x');
  const right = u.valToPos(spans[Math.max(a, b)].end, 'x');

  return { left, width: right - left, top: 0, height: u.over.clientHeight };
}

const sizeOf = (box) => ({ width: box.clientWidth, height: box.clientHeight });

function fit(u, box) {
  const size = sizeOf(box);

  if (size.width > 0 && (size.width !== u.width || size.height !== u.height)) u.setSize(size);
}

// ---- colours --------------------------------------------------------------------------------

// What style.css makes of the parts of a chart: read when it is first drawn with, until forgotten.
function inkOf(box) {
  let ink = null;

  const read = () => {
    const { color: text, borderTopColor: lines } = getComputedStyle(box);
    const series = [...box.querySelectorAll(':scope > i')].map((one) => {
      const { color: stroke, backgroundColor: fill } = getComputedStyle(one);
      return { stroke, fill };
    });

    return { text, line: lines, series };
  };
  return {
    get: () => (ink ??= read()),
    forget: () => (ink = null),
  };
}

// Calls `tell` whenever colours or paper may have become others. Gives the way to stop that.
function onLook(tell) {
  const media = ['(prefers-color-scheme: dark)', 'print'].map((query) => matchMedia(query));
  const theme = new MutationObserver(tell);

  theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  media.forEach((one) => one.addEventListener('change', tell));
  return () => {
    theme.disconnect();
    media.forEach((one) => one.removeEventListener('change', tell));
  };
}
