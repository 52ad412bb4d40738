// The story of a trace on one time axis, from the request to the end. Pure: the trace in, rows with
// places as fractions of the axis out; timeline.js draws them.
//
// A row is {kind, tone, name, label, call, callNumber, bar, side}:
//   kind   whole | queue | call | wait | skip | end | note
//   name   what it is, `label` what became of it: read one after the other they are a sentence
//   bar    {x, width, open, phases: [{name, ms, x, width}]}; null where the time is not known;
//          `open`: when it began is known, when it ended is not
//   side   where the label has room: after | before | inside the bar
//
// The axis is {spanMs, endX, ticks: [{x, label}], gaps: [{x, width, ms}]}: gaps are the long times in
// which no call ran; `short` draws each of them short, so that the calls have the room.

import { duration } from './format.js';
import { callEnd, isPending, outcome, story, whom } from './story.js';

const GAP_LEAST_MS = 200;
const GAP_LEAST_SHARE = 0.1; // of the whole
const GAP_SHORT_SHARE = 0.05; // of the axis, when drawn short
const GAPS_SHORT_SHARE_MAX = 0.4; // of the axis, all of them
const TICKS_MAX = 7;
const TICK_LAST_X = 0.9; // further right its label would hang over
const TICKS_APART = 0.09;
const LABEL_ROOM = 0.4; // of the axis: enough for a label
const LABEL_ROOM_LEAST = 0.25; // enough for one in two or three lines

// `now` in ms is for a trace that runs; `spanMs` the length of the axis, if it is to be that of another.
export function waterfall(trace, { now = 0, short = false, spanMs = 0 } = {}) {
  const clock = clockOf(trace, now);
  const rows = rowsOf(trace, clock);
  const span = Math.max(1, spanMs, clock.end, ...rows.map((row) => row.until ?? 0));
  const gaps = gapsOf(rows, span);
  const x = scaleOf(span, short ? gaps : []);

  return {
    rows: rows.map((row) => placed(row, x)),
    spanMs: span,
    endX: x(clock.end),
    ticks: ticksOf(span, short ? gaps : [], x),
    gaps: gaps.map(({ from, to }) => ({ x: x(from), width: x(to) - x(from), ms: to - from })),
  };
}

// ---- times: ms since the request; null is unknown ----------------------------------------------

const known = (value) => value !== null && value !== undefined;

function clockOf(trace, now) {
  const running = trace.status === 'started';
  const start = Date.parse(trace.created_at);
  const since = (ms) => (Number.isFinite(ms - start) ? Math.max(0, ms - start) : null);
  const at = (iso) => since(Date.parse(iso ?? ''));
  // By the clock that the request's time is from, too; the duration is from another, a little apart.
  const end = (running ? since(now) : at(trace.completed_at)) ?? trace.total_duration_ms ?? 0;

  return { at, running, end, lasted: running ? end : (trace.total_duration_ms ?? end) };
}

// ---- rows, in ms -------------------------------------------------------------------------------

function rowsOf(trace, clock) {
  const steps = story(trace);
  const times = steps.map((step) => clock.at(step.call?.timestamp ?? step.at));
  // What was under way with no end told had one before the next thing that is known to have been.
  const after = (i) => times.slice(i + 1).find((time) => known(time) && time >= times[i]) ?? clock.end;
  const rows = steps.map((step, i) => ROW[rowKind(step)](step, times[i], { clock, trace, after: after(i) }));
  const first = times.find(known);

  return [wholeRow(trace, clock), queueRow(clock, first), ...rows, endRow(trace, steps, clock)]
    .filter(Boolean);
}

const rowKind = ({ call, kind }) => (call ? 'call' : kind in ROW ? kind : 'note');

function wholeRow(trace, { end, lasted: ms }) {
  const { status, provider_used: provider } = trace;
  const lasted = duration(ms);
  const words = {
    started: ['run', `running for ${lasted}`],
    completed: ['ok', `lesson written by ${provider} after ${lasted}`],
    failed: ['bad', `no lesson after ${lasted}`],
  };
  const [tone, label] = words[status] ?? ['quiet', `${status} after ${lasted}`];

  return { kind: 'whole', tone, name: 'Whole generation', label, from: 0, until: end };
}

function queueRow({ running, end }, first) {
  if (!known(first) && !running) return null;
  const until = first ?? end;

  return {
    kind: 'queue',
    tone: 'quiet',
    name: 'Queue',
    label: known(first)
      ? `waited ${duration(until)} for its turn`
      : `waiting for its turn for ${duration(until)}`,
    from: 0,
    until,
  };
}

const ROW = {
  call(step, from, { clock, trace, after }) {
    const { call, callNumber, kind, provider } = step;
    const live = isPending(call) && clock.running;
    const queue = call.timing?.queue_ms ?? 0;
    const lasted = live ? clock.end - from - queue : call.duration_ms;
    const open = !known(lasted);
    const who = `${kind === 'fallback' ? 'fell back to ' : ''}${whom(provider, call)}`;
    const end = live && known(from) ? `running for ${duration(clock.end - from)}` : callEnd(call, trace);

    return {
      kind: 'call',
      fallback: kind === 'fallback',
      tone: outcome(call).tone,
      name: `${who} attempt ${call.attempt ?? callNumber}`,
      label: `${call.success === false ? 'failed: ' : ''}${end}`,
      call,
      callNumber,
      open,
      from,
      until: known(from) ? (open ? after : from + queue + Math.max(0, lasted)) : null,
      phases: open || live ? [] : phases(call, Math.max(0, lasted)),
    };
  },

  wait({ provider, reason, waitMs }, from, { after, clock }) {
    const until = known(from) && known(waitMs) ? Math.min(from + waitMs, Math.max(from, after)) : null;
    const verb = clock.running && until === clock.end ? 'waiting' : 'waited';

    return {
      kind: 'wait',
      tone: 'quiet',
      name: 'Wait',
      label: `${verb} ${duration(waitMs)}${provider ? ` for ${provider}` : ''}${reason ? `: ${reason}` : ''}`,
      from,
      until,
    };
  },

  skip: ({ provider, reason }, from) => ({
    kind: 'skip',
    tone: 'quiet',
    name: provider ?? 'Skip',
    label: `skipped${reason ? `: ${reason}` : ''}`,
    from,
    until: from,
  }),

  give_up: ({ reason }, from) => ({
    kind: 'end',
    tone: 'bad',
    name: 'Gave up',
    label: reason || 'no lesson',
    from,
    until: from,
  }),

  note: ({ reason, title }, from) => ({
    kind: 'note',
    tone: 'quiet',
    name: title,
    label: reason,
    from,
    until: from,
  }),
};

function endRow(trace, steps, { end, running }) {
  if (running || steps.at(-1)?.kind === 'give_up') return null;
  const completed = trace.status === 'completed';

  return {
    kind: 'end',
    tone: completed ? 'ok' : 'bad',
    name: completed ? 'Lesson stored' : 'Ended',
    label: completed ? `written by ${trace.provider_used}` : 'no lesson',
    from: end,
    until: end,
  };
}

// What a call spent its time on, in order: [{name, from, ms}], ms since its timestamp. `lasted` is
// without the queue. Steps that did not happen, or took no time, are left out.
export function phases(call, lasted = call.duration_ms ?? 0) {
  const timing = call.timing ?? {};
  const whole = (timing.queue_ms ?? 0) + lasted;
  const found = [];
  let from = 0;

  const add = (name, until) => {
    const ms = Math.min(until, whole) - from;

    if (!(ms > 0)) return;
    found.push({ name, from, ms });
    from += ms;
  };

  add('queue', timing.queue_ms ?? 0);
  for (const name of ['dns', 'connect', 'tls']) add(name, from + (timing[`${name}_ms`] ?? 0));
  if (known(timing.ttfb_ms)) {
    add('waiting', (timing.queue_ms ?? 0) + timing.ttfb_ms);
    add('receiving', whole);
  } else {
    add('unsplit', whole);
  }
  return found;
}

// ---- from ms to places -------------------------------------------------------------------------

// Long times without a call, in order and apart.
function gapsOf(rows, span) {
  const calls = rows.filter(({ kind, from }) => kind === 'call' && known(from));
  const least = Math.max(GAP_LEAST_MS, GAP_LEAST_SHARE * span);
  const gaps = [];
  let idleFrom = 0;

  for (const { from, until } of [...calls].sort((a, b) => a.from - b.from)) {
    if (from - idleFrom >= least) gaps.push({ from: idleFrom, to: from });
    idleFrom = Math.max(idleFrom, until);
  }
  if (calls.length > 0 && span - idleFrom >= least) gaps.push({ from: idleFrom, to: span });
  return gaps;
}

// ms → fraction of the axis; linear, but for the gaps, which take a small share each.
function scaleOf(span, gaps) {
  const share = Math.min(GAP_SHORT_SHARE, GAPS_SHORT_SHARE_MAX / Math.max(1, gaps.length));
  const idle = gaps.reduce((sum, { from, to }) => sum + to - from, 0);
  // With nothing but gaps there is nobody to give the room to.
  if (gaps.length === 0 || span - idle < 1) return (ms) => Math.min(1, ms / span);
  const perMs = (1 - share * gaps.length) / (span - idle);

  return (ms) => {
    let x = perMs * ms;

    for (const { from, to } of gaps) {
      const inside = Math.min(Math.max(ms - from, 0), to - from);
      x += (share / (to - from) - perMs) * inside;
    }
    return Math.min(1, Math.max(0, x));
  };
}

function placed({ from, until, open = false, phases: parts = [], ...row }, x) {
  const { call = null, callNumber = null, fallback = false, kind, label, name, tone } = row;
  const shared = { kind, tone, name, label, call, callNumber, fallback };

  if (!known(from) || !known(until)) return { ...shared, bar: null, side: 'after' };
  const left = x(from);
  const width = x(until) - left;

  return {
    ...shared,
    bar: {
      x: left,
      width,
      open,
      phases: parts.map(({ name: phase, from: begin, ms }) => ({
        name: phase,
        ms,
        x: x(from + begin),
        width: x(from + begin + ms) - x(from + begin),
      })),
    },
    side: sideOf(left, 1 - left - width),
  };
}

function sideOf(before, after) {
  if (after >= LABEL_ROOM) return 'after';
  if (Math.max(before, after) < LABEL_ROOM_LEAST) return 'inside';
  return after >= before ? 'after' : 'before';
}

// ---- ticks ---------------------------------------------------------------------------------------

const ROUND_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
  300_000, 600_000, 1_800_000, 3_600_000,
];

function ticksOf(span, gaps, x) {
  const shown = span - gaps.reduce((sum, { from, to }) => sum + to - from, 0);
  const step = ROUND_MS.find((ms) => shown / ms <= TICKS_MAX) ?? Math.ceil(shown / TICKS_MAX);
  const ticks = [];

  // What a gap hides is not walked through: it may be hours long.
  for (let ms = 0; ms <= span; ) {
    const gap = gaps.find(({ from, to }) => ms > from && ms < to);

    if (gap) {
      ms = Math.ceil(gap.to / step) * step;
      continue;
    }
    const far = ticks.length === 0 || x(ms) - ticks.at(-1).x >= TICKS_APART;
    if (x(ms) <= TICK_LAST_X && far) ticks.push({ x: x(ms), label: tickLabel(ms) });
    ms += step;
  }
  return ticks;
}

function tickLabel(ms) {
  if (ms === 0) return '0';
  if (ms < 1000) return `${ms}\u00a0ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(3))}\u00a0s`;
  const seconds = Math.round(ms / 1000);
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)}\u00a0min${rest ? `\u00a0${rest}\u00a0s` : ''}`;
}
