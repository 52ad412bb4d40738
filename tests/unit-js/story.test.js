// The story of a trace: decisions and calls as steps, in order, none left out.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { outcome, progressText, story, storyLines } from '../../html/lib/story.js';

const decide = (action, provider, more = {}) => ({
  action,
  provider,
  at: '2026-11-23T12:00:00.000Z',
  reason: null,
  wait_ms: null,
  ...more,
});
const call = (provider, model, more = {}) => ({
  provider,
  request: { model },
  success: true,
  duration_ms: 1000,
  timestamp: '2026-11-23T12:00:00.000Z',
  ...more,
});
const failed = (provider, model, more = {}) =>
  call(provider, model, {
    success: false,
    http_status: 429,
    error_class: 'rate_limited',
    duration_ms: 300,
    ...more,
  });

// The space between a number and its unit does not break.
const plain = (text) => (typeof text === 'string' ? text.replaceAll('\u00a0', ' ') : text);

const told = (trace) =>
  story(trace).map(({ kind, callNumber, title, reason }) => [
    kind,
    callNumber,
    plain(reason ? `${title} (${reason})` : title),
  ]);

test('tells_a_fallback_in_order', () => {
  assert.deepEqual(
    told({
      decisions: [
        decide('skip', 'groq', { reason: 'breaker_open' }),
        decide('try', 'openai'),
        decide('wait', 'openai', { reason: 'rate_limited', wait_ms: 500 }),
        decide('retry', 'openai', { reason: 'rate_limited' }),
        decide('fallback', 'sample', { reason: 'rate_limited' }),
      ],
      llm_calls: [
        failed('openai', 'gpt-6-luna'),
        failed('openai', 'gpt-6-luna'),
        call('sample', 'sample'),
      ],
    }),
    [
      ['skip', null, 'Skipped groq (breaker open)'],
      ['call', 1, 'Tried openai gpt-6-luna'],
      ['wait', null, 'Waited 500 ms for openai (rate limited)'],
      ['call', 2, 'Tried openai gpt-6-luna again (rate limited)'],
      ['fallback', 3, 'Fell back to sample (rate limited)'],
    ],
  );
});

test('gives_a_call_to_the_last_decision_before_it', () => {
  const at = (seconds) => `2026-11-23T12:00:${String(seconds).padStart(2, '0')}.000Z`;

  assert.deepEqual(
    told({
      decisions: [
        decide('try', 'openai', { at: at(0) }),
        decide('retry', 'openai', { at: at(3), reason: 'the service was stopped' }),
        decide('try', 'openai', { at: at(9) }),
      ],
      llm_calls: [
        failed('openai', 'gpt', { timestamp: at(0), error_class: 'cancelled' }),
        call('openai', 'gpt', { timestamp: at(9) }),
      ],
    }),
    [
      ['call', 1, 'Tried openai gpt'],
      ['note', null, 'To try openai again (the service was stopped)'],
      ['call', 2, 'Tried openai gpt'],
    ],
  );
});

test('tells_calls_that_no_decision_announced', () => {
  assert.deepEqual(told({ decisions: [], llm_calls: [call('ollama', 'gemma4')] }), [
    ['call', 1, 'Tried ollama gemma4'],
  ]);
});

test('tells_an_action_it_does_not_know', () => {
  assert.deepEqual(told({ decisions: [decide('ponder', 'openai')], llm_calls: [] }), [
    ['note', null, 'ponder openai'],
  ]);
});

test('bears_a_trace_without_decisions_and_calls', () => {
  assert.deepEqual(story({ decisions: null, llm_calls: null }), []);
});

test('tells_the_story_in_sentences', () => {
  const decisions = [
    decide('skip', 'groq', { reason: 'breaker open' }),
    decide('try', 'openai'),
    decide('wait', 'openai', { reason: 'rate_limited', wait_ms: 500 }),
    decide('retry', 'openai', { reason: 'rate_limited' }),
    decide('fallback', 'sample', { reason: 'rate_limited' }),
  ];
  const calls = [
    failed('openai', 'gpt'),
    failed('openai', 'gpt', { duration_ms: null, http_status: null, error_class: 'worker_lost' }),
    call('sample', 'sample', { response: { usage: { completion_tokens: 851 } } }),
  ];
  const trace = { decisions, llm_calls: calls, provider_used: 'sample', total_duration_ms: 2000 };
  const lines = (more) => storyLines({ ...trace, ...more }).map(plain);

  assert.deepEqual(lines({ status: 'completed' }), [
    'Skipped groq: breaker open',
    'Tried openai gpt: 429 rate limited after 300 ms',
    'Waited 500 ms for openai: rate limited',
    'Tried openai gpt again: interrupted, after how long is not known',
    'Fell back to sample: answered in 1.00 s with 851 tokens',
    'Lesson stored, written by sample, 2.00 s after the request',
  ]);
  assert.equal(lines({ status: 'started' }).at(-1), 'Still running');
  assert.equal(lines({ status: 'failed' }).at(-1), 'No lesson');
  assert.equal(
    lines({ status: 'failed', decisions: [...decisions, decide('give_up', null, { reason: 'every provider failed' })] }).at(-1),
    'Gave up: every provider failed',
  );
});

test('does_not_take_a_status_of_200_for_what_failed', () => {
  assert.equal(outcome(failed('a', 'b', { http_status: 200, error_class: 'truncated' })).text, 'cut off');
});

test('names_how_a_call_ended', () => {
  assert.equal(outcome(call('a', 'b')).text, 'answered');
  assert.equal(outcome(failed('a', 'b')).text, '429 rate limited');
  assert.equal(
    outcome(failed('a', 'b', { http_status: null, error_class: 'timeout' })).text,
    'timeout',
  );
  assert.equal(outcome(call('a', 'b', { success: null })).text, 'running');
});

const PROGRESS = [
  ['nothing yet', undefined, 'waiting for its turn'],
  ['an older trace', { status: 'completed', llm_calls: [call('a', 'b')] }, 'waiting for its turn'],
  ['no call yet', { status: 'started', llm_calls: [] }, 'waiting for its turn'],
  [
    'a call under way',
    { status: 'started', llm_calls: [call('openai', 'gpt', { success: null })] },
    'asking openai gpt',
  ],
  [
    'a second one',
    {
      status: 'started',
      llm_calls: [failed('openai', 'gpt'), call('sample', 'sample', { success: null })],
    },
    'asking sample, 1 attempt failed so far',
  ],
  [
    'a wait',
    {
      status: 'started',
      llm_calls: [failed('openai', 'gpt')],
      decisions: [decide('wait', 'openai', { wait_ms: 500 })],
    },
    'openai: rate limited, waiting 500 ms',
  ],
  ['an answer', { status: 'started', llm_calls: [call('a', 'b')] }, 'storing the lesson'],
];

for (const [what, trace, text] of PROGRESS) {
  test(`says_what_goes_on_at ${what}`, () => assert.equal(plain(progressText(trace)), text));
}
