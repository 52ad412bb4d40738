// The waterfall: a trace in, rows at their places on one axis out.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { phases, waterfall } from '../../html/lib/waterfall.js';

const START = Date.parse('2026-11-23T12:00:00.000Z');
const at = (ms) => new Date(START + ms).toISOString();

const decide = (action, provider, ms, more = {}) => ({
  action,
  provider,
  at: ms === null ? null : at(ms),
  reason: null,
  wait_ms: null,
  ...more,
});
const call = (provider, ms, lasted, more = {}) => ({
  provider,
  attempt: 1,
  request: { model: 'm' },
  success: true,
  timestamp: ms === null ? null : at(ms),
  duration_ms: lasted,
  timing: null,
  ...more,
});
const failed = (provider, ms, lasted, more = {}) =>
  call(provider, ms, lasted, { success: false, http_status: 429, error_class: 'rate_limited', ...more });
const trace = (more) => ({
  status: 'completed',
  created_at: at(0),
  completed_at: at(10_000),
  total_duration_ms: 10_000,
  provider_used: 'sample',
  decisions: [],
  llm_calls: [],
  ...more,
});

const plain = (text) => text.replaceAll('\u00a0', ' ');
const round = (x) => Math.round(x * 1000) / 1000;
const told = ({ rows }) =>
  rows.map(({ kind, name, label, bar }) => [
    kind,
    plain(`${name} ${label}`),
    bar && [round(bar.x), round(bar.width)],
  ]);

const FALLBACK = trace({
  decisions: [
    decide('skip', 'qwen', 100, { reason: 'breaker open' }),
    decide('try', 'openai', 100),
    decide('wait', 'openai', 1000, { reason: 'rate_limited', wait_ms: 2000 }),
    decide('retry', 'openai', 3000, { reason: 'rate_limited' }),
    decide('fallback', 'sample', 4000, { reason: 'rate_limited' }),
  ],
  llm_calls: [
    failed('openai', 100, 900),
    failed('openai', 3000, 1000, { attempt: 2 }),
    call('sample', 4000, 5500, { attempt: 3, timing: { queue_ms: 500 } }),
  ],
});

test('lays_a_fallback_on_one_axis_from_the_request_to_the_end', () => {
  assert.deepEqual(told(waterfall(FALLBACK)), [
    ['whole', 'Whole generation lesson written by sample after 10.0 s', [0, 1]],
    ['queue', 'Queue waited 100 ms for its turn', [0, 0.01]],
    ['skip', 'qwen skipped: breaker open', [0.01, 0]],
    ['call', 'openai m attempt 1 failed: 429 rate limited after 900 ms', [0.01, 0.09]],
    ['wait', 'Wait waited 2.00 s for openai: rate limited', [0.1, 0.2]],
    ['call', 'openai m attempt 2 failed: 429 rate limited after 1.00 s', [0.3, 0.1]],
    ['call', 'fell back to sample m attempt 3 answered in 5.50 s', [0.4, 0.6]],
    ['end', 'Lesson stored written by sample', [1, 0]],
  ]);
});

test('puts_the_label_where_there_is_room', () => {
  const sides = waterfall(FALLBACK).rows.map(({ side }) => side);

  assert.deepEqual(sides, ['inside', 'after', 'after', 'after', 'after', 'after', 'before', 'before']);
});

test('splits_a_call_into_what_it_waited_for', () => {
  const timing = { queue_ms: 10, dns_ms: 20, connect_ms: 30, tls_ms: 40, ttfb_ms: 300 };
  const named = phases(call('a', 0, 400, { timing })).map(({ name, from, ms }) => [name, from, ms]);

  assert.deepEqual(named, [
    ['queue', 0, 10],
    ['dns', 10, 20],
    ['connect', 30, 30],
    ['tls', 60, 40],
    ['waiting', 100, 210],
    ['receiving', 310, 100],
  ]);
});

const PHASE_CASES = [
  ['a reused connection', { timing: { queue_ms: 2, ttfb_ms: 90 }, duration_ms: 100 }, ['queue', 'waiting', 'receiving']],
  ['a first byte later than the end, by rounding', { timing: { ttfb_ms: 2 }, duration_ms: 1 }, ['waiting']],
  ['no timing', { timing: null, duration_ms: 5 }, ['unsplit']],
  ['no first byte', { timing: { connect_ms: 3 }, duration_ms: 5 }, ['connect', 'unsplit']],
  ['0 ms', { timing: { queue_ms: 0, ttfb_ms: 0 }, duration_ms: 0 }, []],
  ['no duration', { timing: null, duration_ms: null }, []],
];

for (const [what, one, names] of PHASE_CASES) {
  test(`splits_a_call_with ${what}`, () => {
    const found = phases(one);

    assert.deepEqual(found.map(({ name }) => name), names);
    for (const { ms } of found) assert.ok(ms > 0);
  });
}

test('keeps_a_call_of_0_ms_at_its_place', () => {
  const { rows } = waterfall(trace({ llm_calls: [failed('openai', 5000, 0), call('sample', 5000, 0)] }));
  const bars = rows.filter((row) => row.call).map(({ bar }) => [bar.x, bar.width]);

  assert.deepEqual(bars, [[0.5, 0], [0.5, 0]]);
});

test('draws_a_lost_call_open_until_the_next_thing_that_is_known', () => {
  const lost = failed('openai', 1000, null, { error_class: 'worker_lost', http_status: null });
  const { rows } = waterfall(
    trace({
      decisions: [decide('try', 'openai', 1000), decide('retry', 'openai', 6000)],
      llm_calls: [lost, call('openai', 6000, 3000)],
    }),
  );
  const row = rows.find((one) => one.call === lost);

  assert.deepEqual([row.bar.x, row.bar.width, row.bar.open], [0.1, 0.5, true]);
  assert.equal(row.label, 'failed: interrupted, after how long is not known');
});

test('draws_a_lost_call_that_was_the_last_until_the_end', () => {
  const lost = failed('openai', 1000, null, { error_class: 'worker_lost', http_status: null });
  const { rows } = waterfall(trace({ status: 'failed', llm_calls: [lost] }));

  assert.equal(round(rows.find((one) => one.call).bar.width), 0.9);
});

test('says_rather_than_draws_what_has_no_known_time', () => {
  const { rows } = waterfall(
    trace({
      decisions: [decide('wait', 'openai', null, { wait_ms: 500 }), decide('skip', 'groq', null)],
      llm_calls: [call('openai', null, 100), failed('groq', null, null)],
    }),
  );
  const bars = rows.filter(({ kind }) => ['call', 'wait', 'skip'].includes(kind)).map(({ bar }) => bar);

  assert.deepEqual(bars, [null, null, null, null]);
});

test('bears_a_trace_without_times_calls_or_decisions', () => {
  const bare = { status: 'failed', created_at: null, total_duration_ms: null, decisions: null, llm_calls: null };
  const { rows, ticks, spanMs } = waterfall(bare);

  assert.equal(spanMs, 1);
  assert.ok(ticks.length > 0);
  assert.deepEqual(rows.map(({ kind }) => kind), ['whole', 'end']);
});

test('makes_the_axis_longer_for_a_call_that_ended_late', () => {
  const { rows, spanMs, endX } = waterfall(
    trace({ llm_calls: [call('openai', 1000, 19_000), call('sample', 2000, 3000)] }),
  );

  assert.equal(spanMs, 20_000);
  assert.equal(endX, 0.5);
  const [long, other] = rows.filter((row) => row.call).map(({ bar }) => bar);
  assert.ok(other.x > long.x && other.x + other.width < long.x + long.width, 'they overlap');
});

test('shows_a_running_trace_up_to_now', () => {
  const running = trace({
    status: 'started',
    total_duration_ms: null,
    completed_at: null,
    decisions: [decide('try', 'openai', 1000)],
    llm_calls: [call('openai', 1000, null, { success: null })],
  });
  const { rows, spanMs } = waterfall(running, { now: START + 5000 });

  assert.equal(spanMs, 5000);
  assert.deepEqual(told({ rows }), [
    ['whole', 'Whole generation running for 5.00 s', [0, 1]],
    ['queue', 'Queue waited 1.00 s for its turn', [0, 0.2]],
    ['call', 'openai m attempt 1 running for 4.00 s', [0.2, 0.8]],
  ]);
  const waiting = waterfall({ ...running, decisions: [], llm_calls: [] }, { now: START + 500 });
  assert.equal(plain(waiting.rows[1].label), 'waiting for its turn for 500 ms');
});

test('ends_when_it_was_completed_and_tells_the_duration_that_was_measured', () => {
  const { rows, endX, spanMs } = waterfall(
    trace({ total_duration_ms: 37, completed_at: at(40), llm_calls: [call('sample', 25, 14)] }),
  );

  assert.deepEqual([spanMs, endX], [40, 1]);
  assert.match(plain(rows[0].label), /after 37 ms$/);
});

test('takes_the_duration_where_the_end_is_not_known', () => {
  assert.equal(waterfall(trace({ completed_at: null, total_duration_ms: 5000 })).spanMs, 5000);
});

test('bears_a_clock_that_is_behind', () => {
  const { rows } = waterfall(trace({ llm_calls: [call('openai', -50, 100)] }));

  assert.equal(rows.find((row) => row.call).bar.x, 0);
});

test('lays_out_forty_calls_in_order_and_within_the_axis', () => {
  const llmCalls = Array.from({ length: 40 }, (_, i) => failed('openai', i * 250, 200, { attempt: i + 1 }));
  const { rows } = waterfall(trace({ llm_calls: llmCalls }));
  const bars = rows.filter((row) => row.call).map(({ bar }) => bar);

  assert.equal(bars.length, 40);
  bars.forEach((bar, i) => {
    assert.ok(bar.x >= 0 && bar.x + bar.width <= 1 + 1e-9);
    assert.ok(i === 0 || bar.x > bars[i - 1].x);
  });
});

const TICKS = [
  [7, '0 1 ms 2 ms 3 ms 4 ms 5 ms 6 ms'],
  [1960, '0 500 ms 1 s 1.5 s'],
  [180_000, '0 30 s 1 min 1 min 30 s 2 min 2 min 30 s'],
  [3 * 86_400_000, null],
];

for (const [ms, labels] of TICKS) {
  test(`marks_round_times_on_an_axis_of ${ms} ms`, () => {
    const { ticks } = waterfall(trace({ total_duration_ms: ms, completed_at: at(ms) }));

    assert.ok(ticks.length >= 2 && ticks.length <= 12);
    if (labels) assert.equal(plain(ticks.map(({ label }) => label).join(' ')), labels);
  });
}

test('draws_long_idle_times_short_when_asked', () => {
  const idle = trace({ llm_calls: [failed('openai', 0, 100), call('sample', 9900, 100)] });
  const whole = waterfall(idle);
  const short = waterfall(idle, { short: true });

  assert.deepEqual(whole.gaps.map(({ ms }) => ms), [9800]);
  assert.equal(round(whole.gaps[0].width), 0.98);
  assert.equal(round(short.gaps[0].width), 0.05);
  const [first, second] = short.rows.filter((row) => row.call).map(({ bar }) => bar);
  assert.equal(round(first.width), 0.475);
  assert.equal(round(second.x + second.width), 1);
  for (let i = 1; i < short.ticks.length; i++) assert.ok(short.ticks[i].x > short.ticks[i - 1].x);
});

test('leaves_the_axis_as_it_is_when_all_of_it_is_idle', () => {
  const { rows } = waterfall(trace({ llm_calls: [failed('openai', 5000, 0)] }), { short: true });

  assert.equal(rows.find((row) => row.call).bar.x, 0.5);
});

test('takes_the_length_of_another_axis', () => {
  const { rows } = waterfall(trace({}), { spanMs: 40_000 });

  assert.equal(rows[0].bar.width, 0.25);
});
