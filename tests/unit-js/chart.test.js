// The numbers behind the charts, and the stretches of time that they are about.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bucketAt, lonely, stack } from '../../html/lib/chart.js';
import {
  change, COMPARED, length, periodOf, rangeBackTo, spansOf, spanText, tickTexts, timesQuery,
} from '../../html/lib/period.js';

const NOW = Date.parse('2026-11-25T14:00:00Z');
const at = (text) => Date.parse(text);
const UTC = {
  utc: true,
  name: 'UTC',
  minute: format({ hour: '2-digit', minute: '2-digit' }),
  day: format({ day: 'numeric', month: 'short' }),
  dayMinute: format({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }),
  date: format({ day: 'numeric', month: 'short', year: 'numeric' }),
};

function format(options) {
  return new Intl.DateTimeFormat('en-GB', { ...options, hourCycle: 'h23', timeZone: 'UTC' });
}

// [range, bucket, how many]
const RANGES = [
  ['1h', 'minute', 60],
  ['24h', '15min', 96],
  ['7d', '6h', 28],
  ['30d', 'day', 30],
  ['12mo', 'week', 365 / 7],
];

for (const [range, bucket, n] of RANGES) {
  test(`${range}_is_told_in_buckets_of_${bucket}`, () => {
    const ms = { minute: 60e3, '15min': 900e3, '6h': 216e5, day: 864e5, week: 6048e5 }[bucket];
    const period = periodOf({ range }, NOW);
    assert.deepEqual(
      [period.range, period.bucket, period.to],
      [range, bucket, '2026-11-25T14:00:00.000Z'],
    );
    assert.equal((at(period.to) - at(period.from)) / ms, n);
  });
}

test('a_range_that_is_not_known_is_the_last_24_h', () => {
  assert.equal(periodOf({ range: 'forever' }, NOW).from, '2026-11-24T14:00:00.000Z');
  assert.equal(periodOf({}, NOW).range, '24h');
});

test('two_times_are_passed_on_as_they_are_written', () => {
  const times = { from: '2026-11-25T10:00:00+01:00', to: '2026-11-25T12:00:00Z' };
  assert.deepEqual(periodOf({ range: '7d', ...times }, NOW), { range: null, ...times, bucket: '5min' });
  assert.equal(periodOf({ from: 'never', to: 'ever' }, NOW).from, 'never');
  assert.equal(periodOf({ from: '1990-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }, NOW).bucket, 'month');
  assert.deepEqual(timesQuery(0, 1), {
    range: '',
    from: '1970-01-01T00:00:00.000Z',
    to: '1970-01-01T00:00:00.001Z',
  });
});

test('a_time_is_found_in_the_shortest_range_that_reaches_it', () => {
  assert.equal(rangeBackTo(NOW - 1000, NOW).value, '1h');
  assert.equal(rangeBackTo(NOW - 3 * 864e5, NOW).value, '7d');
  assert.equal(rangeBackTo(NOW - 500 * 864e5, NOW), null);
});

test('the_first_and_the_last_bucket_are_cut_to_what_was_asked', () => {
  const spans = spansOf({
    from: '2026-11-25T10:20:00Z',
    to: '2026-11-25T12:10:00Z',
    bucket: 'hour',
    series: [10, 11, 12].map((hour) => ({ at: `2026-11-25T${hour}:00:00Z` })),
  });
  const texts = spans.map((span) => Object.values(span).map((ms) => UTC.minute.format(ms)).join(' '));
  assert.deepEqual(texts, ['10:00 11:00 10:20 11:00', '11:00 12:00 11:00 12:00', '12:00 13:00 12:00 12:10']);
});

test('a_month_is_as_long_as_it_is', () => {
  const [january] = spansOf({
    from: '2026-01-01T00:00:00Z',
    to: '2026-03-01T00:00:00Z',
    bucket: 'month',
    series: [{ at: '2026-01-01T00:00:00Z' }, { at: '2026-02-01T00:00:00Z' }],
  });
  assert.equal((january.end - january.start) / 864e5, 31);
});

test('lengths_are_told_in_their_two_largest_units', () => {
  const minutes = [1, 60, 90, 24 * 60, 76 * 60, 7 * 24 * 60, 365 * 24 * 60];
  assert.deepEqual(minutes.map((n) => length(n * 60e3)), [
    '1 min', '1 h', '1 h 30 min', '24 h', '3 d 4 h', '7 d', '12 months',
  ]);
});

test('spans_are_told_as_shortly_as_they_can_be', () => {
  const from = at('2026-11-25T10:15:00Z');
  assert.equal(spanText(from, from + 900e3, UTC), '25 Nov 10:15 – 10:30');
  assert.equal(spanText(from, from + 864e5, UTC), '25 Nov 10:15 – 26 Nov 10:15');
  assert.equal(spanText(from, from + 30 * 864e5, UTC), '25 Nov 2026 – 25 Dec 2026');
});

test('ticks_say_the_larger_unit_where_it_turns', () => {
  const ticks = (from, step, n) => Array.from({ length: n }, (_, i) => at(from) + i * step);
  assert.deepEqual(tickTexts(ticks('2026-11-24T20:00:00Z', 4 * 36e5, 3), 4 * 36e5, UTC), ['20:00', '25 Nov', '04:00']);
  assert.deepEqual(tickTexts(ticks('2026-11-30T00:00:00Z', 864e5, 2), 864e5, UTC), ['30 Nov', '1 Dec']);
  const months = ['2026-11-01', '2026-12-01', '2027-01-01'].map(at);
  assert.deepEqual(tickTexts(months, 30 * 864e5, UTC), ['Nov', 'Dec', '2027']);
});

// [compared as, now, before, text, tone]
const CHANGES = [
  ['requests', 110, 100, '10 % more', 'quiet'],
  ['requests', 50, 100, '50 % fewer', 'quiet'],
  ['requests', 100, 100, 'unchanged', 'quiet'],
  ['requests', 5, 0, 'none before', 'quiet'],
  ['fallbacks', 1, 0, 'none before', 'quiet'],
  ['requests', 0, 0, 'unchanged', 'quiet'],
  ['requests', 1200, 100, '12 times more', 'quiet'],
  ['requests', 100_001, 100_000, 'about the same', 'quiet'],
  ['error_rate', 0.05, 0.02, '3.0 points higher', 'bad'],
  ['error_rate', 0.02, 0.05, '3.0 points lower', 'ok'],
  ['error_rate', 0.02, 0, '2.0 points higher', 'bad'],
  ['duration', 1200, 1000, '20 % slower', 'bad'],
  ['duration', 800, 1000, '20 % faster', 'ok'],
  ['duration', 1002, 1000, '0.2 % slower', 'quiet'],
  ['cost', '0.5', '1.0', '50 % less', 'quiet'],
  ['failed_cost', 2, 1, '100 % more', 'bad'],
];

for (const [as, now, before, text, tone] of CHANGES) {
  test(`${as} ${now} after ${before} is ${text}, which is ${tone}`, () => {
    const told = change(COMPARED[as], now, before);
    assert.deepEqual([told.text.replaceAll('\u00a0', ' '), told.tone], [text, tone]);
  });
}

test('what_is_unknown_is_not_compared', () => {
  assert.equal(change(COMPARED.cost, null, 1), null);
  assert.equal(change(COMPARED.cost, 1, null), null);
});

test('bars_stand_on_each_other', () => {
  assert.deepEqual(stack([{ values: [1, 2, 0] }, { values: [10, null, 0] }]), [[11, 2, 0], [1, 2, 0]]);
});

test('a_point_without_neighbours_is_drawn_as_one', () => {
  assert.deepEqual(lonely([1, null, 2, 3, null, null, 0]), [0, 6]);
  assert.deepEqual(lonely([null, null]), []);
  assert.deepEqual(lonely([5]), [0]);
});

test('a_time_is_in_the_bucket_that_begins_with_it', () => {
  const spans = [0, 10, 20].map((start) => ({ start, end: start + 10 }));
  assert.deepEqual([-5, 0, 9, 10, 29, 99].map((ms) => bucketAt(spans, ms)), [0, 0, 0, 1, 2, 2]);
});
