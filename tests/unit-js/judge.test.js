// The judge of the faults' harness can say no: each thing that may go wrong with a lesson is seen.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { judgeLesson } from '../chaos/lib/judge.js';

const lost = (span) => ({ span, success: false, class: 'worker_lost', answer: null });
const answered = (span, answer) => ({ span, success: true, class: null, answer });
const trace = (calls, more = {}) => ({
  status: 'completed',
  count: calls.length,
  same: true,
  calls,
  ...more,
});
const lesson = (traces, more = {}) => ({ status: 'generated', answer: 'b', traces, ...more });

// What is said of a lesson whose provider was asked, and gave a and b.
function said(one, asked = ['a', 'b']) {
  const texts = [];
  judgeLesson(one, asked, (text) => texts.push(text));
  return texts.join('; ');
}

const GOOD = [lost('1'), answered('2', 'b')];

test('says nothing of a lesson whose every request is told', () => {
  assert.equal(said(lesson([trace(GOOD)])), '');
});

test('takes a trace for each time a lesson was generated anew', () => {
  const texts = [];
  const twice = lesson([trace([answered('0', 'a')], { same: false }), trace([answered('2', 'b')])]);
  const judgeAgain = (again) => judgeLesson(twice, ['a', 'b'], (text) => texts.push(text), again);

  judgeAgain({ told: 1, unknown: 0 });
  judgeAgain({ told: 0, unknown: 1 });
  assert.deepEqual(texts, []);
  judgeAgain({ told: 2, unknown: 0 });
  assert.match(texts.join(), /2 traces, of 3 generations/);
});

test('takes a call that was cut off before its first byte', () => {
  assert.equal(said(lesson([trace(GOOD)]), ['b']), '');
});

const BAD = [
  ['no trace', lesson([]), /^no trace/],
  ['two traces', lesson([trace([]), trace(GOOD)]), /2 traces, of 1 generations/],
  ['a trace left started', lesson([trace(GOOD, { status: 'started' })]), /a trace left started/],
  ['a lesson left generating', lesson([trace(GOOD)], { status: 'generating' }), /left generating/],
  [
    'a lesson and a trace that disagree',
    lesson([trace(GOOD)], { status: 'error' }),
    /lesson error, trace completed/,
  ],
  [
    'a call without an end',
    lesson([trace([{ ...lost('1'), success: null }, GOOD[1]])]),
    /without an end/,
  ],
  ['a wrong count', lesson([trace(GOOD, { count: 1 })]), /llm_call_count 1 of 2/],
  ['a call told twice', lesson([trace([GOOD[1], GOOD[1]])]), /told twice/],
  [
    'an answer told twice',
    lesson([trace([answered('1', 'b'), answered('2', 'b')])]),
    /answer told twice/,
  ],
  [
    'an answer that nobody gave',
    lesson([trace([lost('1'), lost('3'), answered('2', 'c')])]),
    /nobody gave/,
  ],
  ['a request without a call', lesson([trace([GOOD[1]])]), /2 requests, of which 1 without a call/],
  [
    'a failure that nobody caused',
    lesson([trace([{ ...lost('1'), class: 'timeout' }, GOOD[1]])]),
    /nobody broke/,
  ],
  ['a content of another answer', lesson([trace(GOOD)], { answer: 'a' }), /none of its answers/],
  [
    'a content that is not that of the trace',
    lesson([trace(GOOD, { same: false })]),
    /none of its answers/,
  ],
];

for (const [what, one, text] of BAD)
  test(`sees ${what}`, () => {
    assert.match(said(one), text);
  });
