// The time just after that of a trace: a list up to there holds the trace, and nothing newer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { microsecondAfter } from '../../html/lib/neighbours.js';

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
