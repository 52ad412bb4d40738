// Stretches of time: the ranges one may look at, their pieces, what they are called, and how a
// number of one compares with that of the one before. Pure functions; times are in ms since 1970.

import { count } from './format.js';
import { span } from './zone.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BUCKETS_MAX = 100;
// Less of a change is neither better nor worse.
const PERCENT_JUDGED = 1;
const POINTS_JUDGED = 0.1;
const TIMES_MIN = 10; // from here on it is told as "12 times" and not in percent
const NBSP = '\u00a0';
const RANGE_DEFAULT = '24h';

export const RANGES = [
  { value: '1h', label: '1 h', words: 'the last hour', ms: HOUR },
  { value: '24h', label: '24 h', words: 'the last 24 h', ms: DAY },
  { value: '7d', label: '7 d', words: 'the last 7 days', ms: 7 * DAY },
  { value: '30d', label: '30 d', words: 'the last 30 days', ms: 30 * DAY },
  { value: '12mo', label: '12 months', words: 'the last 12 months', ms: 365 * DAY },
];

// As the API names them.
const BUCKETS = [
  { name: 'minute', ms: MINUTE },
  { name: '5min', ms: 5 * MINUTE },
  { name: '15min', ms: 15 * MINUTE },
  { name: 'hour', ms: HOUR },
  { name: '6h', ms: 6 * HOUR },
  { name: 'day', ms: DAY },
  { name: 'week', ms: 7 * DAY },
  { name: 'month', ms: 30 * DAY },
];

const bucketOf = (ms) =>
  BUCKETS.find((bucket) => ms / bucket.ms <= BUCKETS_MAX) ?? BUCKETS.at(-1);

// What an address asks for: {range, from, to, bucket}. `range` is null where it names two times,
// which are passed on as they are written: the API says what is wrong with them.
export function periodOf({ range, from, to }, nowMs) {
  if (from && to) {
    const ms = Date.parse(to) - Date.parse(from);
    return { range: null, from, to, bucket: ms > 0 ? bucketOf(ms).name : 'hour' };
  }
  const { value, ms } = rangeNamed(range) ?? rangeNamed(RANGE_DEFAULT);

  return {
    range: value,
    from: new Date(nowMs - ms).toISOString(),
    to: new Date(nowMs).toISOString(),
    bucket: bucketOf(ms).name,
  };
}

const rangeNamed = (value) => RANGES.find((range) => range.value === value);

// The members of an address for a range, or for two times.
export const rangeQuery = (value) => ({
  range: value === RANGE_DEFAULT ? '' : value,
  from: '',
  to: '',
});
export const timesQuery = (from, to) => ({
  range: '',
  from: new Date(from).toISOString(),
  to: new Date(to).toISOString(),
});

// The shortest range until now that reaches back to a time; null: none does.
export const rangeBackTo = (at, nowMs) => RANGES.find(({ ms }) => at > nowMs - ms) ?? null;

export const isRange = (value) => rangeNamed(value) !== undefined;

// In UTC the API begins a day, a week and what is like it: said where the reader's own days begin at another time.
export function bucketNote({ from, to, bucket }, zone) {
  const words = { '6h': 'six hours', day: 'days', week: 'weeks, from Monday', month: 'months' }[bucket];
  const isAside = [from, to].some((at) => new Date(at).getTimezoneOffset() !== 0);

  return words && !zone.utc && isAside ? `by ${words}, of UTC` : '';
}

// What a series of buckets covers: for each its start, its end, and both cut to [from, to].
export function spansOf({ from, to, bucket, series }) {
  const [first, last] = [Date.parse(from), Date.parse(to)];
  const starts = series.map(({ at }) => Date.parse(at));
  const width = BUCKETS.find(({ name }) => name === bucket)?.ms ?? last - first;

  return starts.map((start, i) => {
    const end = starts[i + 1] ?? start + width;

    return { start, end, from: Math.max(start, first), to: Math.min(end, last) };
  });
}

// "24 h", "3 d 4 h": how long it is, in its two largest units.
export function length(ms) {
  const units = [
    [DAY, 'd'],
    [HOUR, 'h'],
    [MINUTE, 'min'],
  ];
  const named = RANGES.find((range) => range.ms === ms);
  if (named) return named.label;
  const parts = [];
  let rest = Math.max(MINUTE, Math.round(ms / MINUTE) * MINUTE);

  for (const [size, unit] of units) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(' ');
}

// ---- times as text --------------------------------------------------------------------------

// "25 Nov 10:15 – 10:30"; by whole days where it is long, with their year.
export function spanText(from, to, zone) {
  if (to - from < 7 * DAY) return span(from, to, zone);
  return `${zone.date.format(from)} – ${zone.date.format(to)}`;
}

// Below the ticks of an axis, `step` apart: as little as tells them apart, and the larger unit
// where it turns.
export function tickTexts(ticks, step, zone) {
  const [small, large] =
    step < DAY ? [zone.minute, zone.day] : step < 28 * DAY ? [zone.day, zone.day] : monthsOf(zone);

  return ticks.map((tick, i) => {
    const unit = large.format(tick);
    return i > 0 && unit !== large.format(ticks[i - 1]) ? unit : small.format(tick);
  });
}

const months = new Map(); // name of a zone → the formats of a month and of a year; to make them is dear

function monthsOf({ name }) {
  if (!months.has(name)) {
    const format = (options) => new Intl.DateTimeFormat('en-GB', { ...options, timeZone: name });
    months.set(name, [format({ month: 'short' }), format({ year: 'numeric' })]);
  }
  return months.get(name);
}

// ---- comparing ------------------------------------------------------------------------------

// Of a number, what more of it is called, what less, and which of the two is better if any is.
export const COMPARED = {
  requests: { up: 'more', down: 'fewer' },
  error_rate: { up: 'higher', down: 'lower', better: 'down', points: true },
  duration: { up: 'slower', down: 'faster', better: 'down' },
  fallbacks: { up: 'more', down: 'fewer', better: 'down' },
  tokens: { up: 'more', down: 'fewer' },
  cost: { up: 'more', down: 'less' },
  failed_cost: { up: 'more', down: 'less', better: 'down' },
};

// {text: "12 % slower", direction: up|down|same, tone: ok|bad|quiet}; null where either is unknown.
export function change({ up, down, better = null, points = false }, value, before) {
  if (value === null || before === null || value === undefined || before === undefined) return null;
  const [a, b] = [Number(value), Number(before)];
  if (a === b) return { text: 'unchanged', direction: 'same', tone: 'quiet' };
  if (b === 0 && !points) return { text: 'none before', direction: 'up', tone: 'quiet' };
  if (!points && a / b >= TIMES_MIN) {
    const times = `${count(Math.round(a / b))} times ${up}`.replaceAll(' ', NBSP);
    return { text: times, direction: 'up', tone: better === null ? 'quiet' : 'bad' };
  }
  const amount = points ? Math.abs(a - b) * 100 : (Math.abs(a - b) / b) * 100;
  const text = amount < 10 ? amount.toFixed(1) : count(Math.round(amount));
  if (Number(text) === 0) return { text: 'about the same', direction: 'same', tone: 'quiet' };
  const direction = a > b ? 'up' : 'down';
  const judged = better !== null && amount >= (points ? POINTS_JUDGED : PERCENT_JUDGED);
  const tone = judged ? (direction === better ? 'ok' : 'bad') : 'quiet';

  return {
    text: `${text} ${points ? 'points' : '%'} ${direction === 'up' ? up : down}`.replaceAll(' ', NBSP),
    direction,
    tone,
  };
}
