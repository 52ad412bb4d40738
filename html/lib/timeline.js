// The waterfall as a reader sees it: a list on one time axis, each call a button.

import { useNow } from './clock.js';
import { duration } from './format.js';
import { icon } from './icons.js';
import { html, useState } from './preact.js';
import { keep, kept } from './store.js';
import { outcome } from './story.js';
import { waterfall } from './waterfall.js';

export const TICK_MS = 250; // how often the bar of a running call grows
const CROWDED_X = 0.8; // on a narrow page a tick further right has no room for its label

const STEP = { ArrowDown: 1, ArrowUp: -1 };

// `chosen` is the number of the call whose details are shown, null for the whole; without `onChoose`
// nothing can be chosen. `spanMs`: the length of the axis, if it is to be that of another; then it is not
// shortened.
export function Timeline({ trace, chosen = null, onChoose = null, spanMs = 0, label }) {
  const [wanted, setWanted] = useState(() => kept('idle-short', false));
  const short = wanted && !spanMs;
  const now = useNow(trace.status === 'started' ? TICK_MS : null);
  const plan = waterfall(trace, { now, short, spanMs });

  const turn = () => {
    setWanted(!wanted);
    keep('idle-short', !wanted);
  };

  return html`
    <div class="timeline">
      <div class="timeline-head">
        <${Legend} rows=${plan.rows} />
        ${plan.gaps.length > 0 && !spanMs && html`
          <div class="switch">
            <button type="button" aria-pressed=${String(short)} onClick=${turn}>Shorten idle time</button>
          </div>`}
      </div>
      <div class="timeline-plan">
        <${Axis} plan=${plan} short=${short} />
        <ol class="timeline-rows story" role="list" aria-label=${label} onKeyDown=${onChoose && moveFocus}>
          ${plan.rows.map((row, i) => html`
            <${Row} key=${i} row=${row} chosen=${chosen} onChoose=${onChoose} />`)}
        </ol>
      </div>
    </div>`;
}

// Up and down go between the buttons, beside Tab.
function moveFocus(event) {
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const to = buttons[buttons.indexOf(document.activeElement) + (STEP[event.key] ?? NaN)];

  if (!to) return;
  event.preventDefault();
  to.focus();
}

// ---- the axis, for the eye alone: the rows say their times ---------------------------------------

const percent = (x) => `${(100 * x).toFixed(3)}%`;
const place = ({ x, width = 0 }) => ({ '--x': percent(x), '--w': percent(width) });

function Axis({ plan: { ticks, gaps, endX }, short }) {
  return html`
    <div class="timeline-axis" aria-hidden="true">
      ${gaps.map((gap, i) => html`
        <span key="gap-${i}" class=${short ? 'timeline-gap short' : 'timeline-gap'} style=${place(gap)} title="${duration(gap.ms)} idle">
          ${short && html`<span>//</span>`}
        </span>`)}
      ${ticks.map((tick, i) => html`
        <span key=${tick.label} class=${i % 2 || tick.x > CROWDED_X ? 'timeline-tick minor' : 'timeline-tick'} style=${place(tick)}><span>${tick.label}</span></span>`)}
      ${endX < 0.999 && html`<span class="timeline-tick end" style=${place({ x: endX })}></span>`}
    </div>`;
}

// ---- rows -----------------------------------------------------------------------------------------

const ICON = { whole: 'flag', queue: 'clock', wait: 'clock', skip: 'skip', end: 'flag', note: 'arrow' };

function Row({ row, chosen, onChoose }) {
  const { kind, tone, call, callNumber } = row;
  const choosable = onChoose && (kind === 'whole' || call);
  const isChosen = choosable && callNumber === chosen;
  const line = html`
    <span class="timeline-name">
      ${icon(rowIcon(row))}<span>${callNumber && html`<span class="quiet number">${callNumber}</span> `}${row.name}</span>
    </span>
    ${' '}<${Bar} row=${row} />
    ${' '}<span class="timeline-label side-${row.side}" style=${row.bar && place(row.bar)}>${row.label}</span>`;

  return html`
    <li class="timeline-row kind-${kind} tone-${tone}">
      ${choosable
        ? html`
          <button type="button" class="timeline-line" aria-current=${isChosen ? 'true' : null}
                  onClick=${() => onChoose(callNumber)}>${line}</button>`
        : html`<div class="timeline-line">${line}</div>`}
    </li>`;
}

function rowIcon({ kind, call, tone, fallback }) {
  if (call) return fallback && tone === 'bad' ? 'fall' : outcome(call).icon;
  return kind === 'whole' && tone === 'run' ? 'spinner' : ICON[kind];
}

function Bar({ row: { bar, kind } }) {
  if (!bar) return html`<span class="timeline-track" aria-hidden="true"></span>`;
  const shape = bar.width > 0 || kind === 'call' ? 'timeline-bar' : 'timeline-mark';

  return html`
    <span class="timeline-track" aria-hidden="true">
      <span class="${shape} ${bar.open ? 'open' : ''}" style=${place(bar)}>
        ${bar.phases.map(({ name, ms, x, width }) => html`
          <span key=${name} class="timeline-phase timeline-phase-${name}" title="${PHASE[name]}: ${duration(ms)}"
                style=${place({ x: within(x - bar.x, bar), width: within(width, bar) })}></span>`)}
      </span>
    </span>`;
}

const within = (length, bar) => (bar.width > 0 ? length / bar.width : 0);

// ---- what the patterns mean -----------------------------------------------------------------------

export const PHASE = {
  queue: 'queue',
  dns: 'DNS',
  connect: 'connect',
  tls: 'TLS',
  waiting: 'waiting for the first byte',
  receiving: 'receiving',
  unsplit: 'not split up',
};

function Legend({ rows }) {
  const drawn = new Set(rows.flatMap(({ bar }) => bar?.phases.map(({ name }) => name) ?? []));
  const failed = rows.some(({ call }) => call?.success === false);
  const idle = rows.some(({ kind }) => kind === 'wait');
  const phases = Object.keys(PHASE).filter((name) => drawn.has(name));

  return html`
    <ul class="timeline-legend" role="list" aria-label="What the bars mean">
      ${phases.map((name) => html`
        <li key=${name}><span class="timeline-swatch timeline-phase-${name}" aria-hidden="true"></span>${PHASE[name]}</li>`)}
      ${failed && html`<li key="failed"><span class="timeline-swatch failed" aria-hidden="true"></span>failed</li>`}
      ${idle && html`<li key="wait"><span class="timeline-swatch idle" aria-hidden="true"></span>waiting between calls</li>`}
    </ul>`;
}
