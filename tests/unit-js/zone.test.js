// Times as they are entered, and whose days the bars of a chart are, where the clocks are set back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

process.env.TZ = 'Europe/Berlin';
const { ambiguous, fromInput, toInput } = await import('../../html/lib/zone.js');
const { bucketNote } = await import('../../html/lib/period.js');

const LOCAL = { utc: false, name: 'Europe/Berlin' };
const UTC = { utc: true, name: 'UTC' };

for (const [text, zone, twice] of [
  ['2026-10-25T01:59:59', LOCAL, false],
  ['2026-10-25T02:00:00', LOCAL, true],
  ['2026-10-25T02:30:00', LOCAL, true],
  ['2026-10-25T02:59', LOCAL, true],
  ['2026-10-25T03:00:00', LOCAL, false],
  ['2026-10-25T02:30:00', UTC, false],
  ['2026-03-29T02:30:00', LOCAL, false],
  ['', LOCAL, false],
])
  test(`${text || 'nothing'} in ${zone.name} is ${twice ? 'there twice' : 'one moment'}`, () =>
    assert.equal(ambiguous(text, zone), twice));

test('of_an_hour_that_is_there_twice_the_first_is_meant', () => {
  assert.equal(fromInput('2026-10-25T02:30:00', LOCAL), '2026-10-25T00:30:00.000Z');
  assert.equal(toInput('2026-10-25T01:30:00.000Z', LOCAL), '2026-10-25T02:30:00');
});

test('days_of_utc_are_named_where_the_reader_has_others', () => {
  const period = { from: '2026-11-01T00:00:00Z', to: '2026-11-25T00:00:00Z' };

  assert.equal(bucketNote({ ...period, bucket: 'day' }, LOCAL), 'by days, of UTC');
  assert.equal(bucketNote({ ...period, bucket: 'hour' }, LOCAL), '');
  assert.equal(bucketNote({ ...period, bucket: 'day' }, UTC), '');
});
