// Numbers and times as text. What is unknown is never 0.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../../html/lib/format.js';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const ago = (seconds) => format.relative(new Date(NOW - seconds * 1000).toISOString(), NOW);

// The space between a number and its unit does not break.
const plain = (text) => (typeof text === 'string' ? text.replaceAll('\u00a0', ' ') : text);

// [function, arguments, text]
const CASES = [
  ['cost', [null], '—'],
  ['cost', [undefined], '—'],
  ['cost', [0], '$0'],
  ['cost', [1.5], '$1.50'],
  ['cost', [0.0123], '$0.0123'],
  ['cost', [0.000988], '$0.00099'],
  ['cost', [0.0000021], '$0.0000021'],
  ['cost', ['0.000988'], '$0.00099'],
  ['count', [null], '—'],
  ['count', [0], '0'],
  ['count', [12345], '12,345'],
  ['percent', [null], '—'],
  ['percent', [0], '0 %'],
  ['percent', [0.0004], '0.04 %'],
  ['percent', [0.0123], '1.2 %'],
  ['percent', [1], '100 %'],
  ['plural', [1, 'trace'], '1 trace'],
  ['plural', [0, 'trace'], '0 traces'],
  ['duration', [null], '—'],
  ['duration', [0], '0 ms'],
  ['duration', [999.4], '999 ms'],
  ['duration', [1843], '1.84 s'],
  ['duration', [12_340], '12.3 s'],
  ['duration', [125_000], '2 min 05 s'],
  ['duration', [3_725_000], '1 h 02 min'],
  ['elapsed', [-5], '0 s'],
  ['elapsed', [59_999], '59 s'],
  ['elapsed', [61_000], '1 min 01 s'],
  ['bytes', [35], '35 B'],
  ['bytes', [1234], '1.2 kB'],
  ['bytes', [2_500_000], '2.5 MB'],
  ['firstLine', ['  one\ntwo'], 'one'],
  ['firstLine', [null], ''],
  ['characters', ['😀é'], 2],
];

for (const [name, args, text] of CASES) {
  test(`${name}(${args.map((arg) => JSON.stringify(arg) ?? 'undefined')}) is ${text}`, () => {
    assert.equal(plain(format[name](...args)), text);
  });
}

test('tells_how_long_ago', () => {
  assert.deepEqual([-30, 2, 42, 90, 7200, 90_000, 40 * 86_400].map(ago), [
    'just now',
    'just now',
    '42 s ago',
    '1 min ago',
    '2 h ago',
    '1 day ago',
    '14 Oct 2026',
  ]);
});
