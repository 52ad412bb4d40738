// The time just after that of a trace: a list up to there holds the trace, and nothing newer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isWithin, microsecondAfter } from '../../html/lib/neighbours.js';

const CASES = [
  ['2026-11-25T10:00:00+00:00', '2026-11-25T10:00:00.000001Z'],
  ['2026-11-25T10:00:00.9+00:00', '2026-11-25T10:00:00.900001Z'],
  ['2026-11-25T10:00:00.123456+00:00', '2026-11-25T10:00:00.123457Z'],
  ['2026-12-31T23:59:59.999999+00:00', '2027-01-01T00:00:00.000000Z'],
  ['2026-11-25T10:00:00.5+05:30', '2026-11-25T04:30:00.500001Z'],
];

for (const [at, after] of CASES) {
  test(`the_microsecond_after ${at}`, () => assert.equal(microsecondAfter(at), after));
}

const AT = '2026-11-25T10:00:00.123456+00:00';

for (const [time, expected] of [
  [{}, true],
  [{ from: '2026-11-25T10:00:00.123456Z' }, true],
  [{ from: '2026-11-25T10:00:00.123457Z' }, false],
  [{ to: '2026-11-25T10:00:00.123457Z' }, true],
  [{ to: '2026-11-25T10:00:00.123456Z' }, false],
  [{ from: '2026-11-25T10:00:00Z', to: '2026-11-25T11:00:01+01:00' }, true],
  [{ from: '2026-11-25T10:00:00Z', to: '2026-11-25T11:00:00.123+01:00' }, false],
])
  test(`a_trace_is_within ${JSON.stringify(time)}: ${expected}`, () => assert.equal(isWithin(AT, time), expected));
