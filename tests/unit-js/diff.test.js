// What differs between two texts: by lines, and within changed lines by words.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { diffSize, diffTexts } from '../../html/lib/diff.js';

// "-a [old] b": the mark, and what changed in brackets.
const drawn = (before, after) =>
  diffTexts(before, after).flatMap(({ lines }) =>
    lines.map(({ mark, parts }) =>
      mark + parts.map(({ text, changed }) => (changed ? `[${text}]` : text)).join('')));

const CASES = [
  ['nothing', '', '', []],
  ['the same', 'a\nb\n', 'a\nb\n', [' a', ' b']],
  ['only a last newline', 'a\nb', 'a\nb\n', [' a', ' b']],
  ['a word', 'the old lesson\n', 'the new lesson\n', ['-the [old] lesson', '+the [new] lesson']],
  ['a line more', 'a\nc', 'a\nb\nc', [' a', '+[b]', ' c']],
  ['a line less', 'a\nb\nc', 'a\nc', [' a', '-[b]', ' c']],
  ['from nothing', '', 'a\n\nb', ['+[a]', '+', '+[b]']],
  ['to nothing', 'a', '', ['-[a]']],
];

for (const [what, before, after, lines] of CASES) {
  test(`tells_apart ${what}`, () => {
    assert.deepEqual(drawn(before, after), lines);
  });
}

test('keeps_every_character_of_both', () => {
  const before = '# Volcanoes\n\nMountains *spit* fire.\nLava is hot.\n';
  const after = '# Volcanoes!\n\nMountains spit fire, and ash.\n\nLava is very hot.\n';
  const side = (mark) =>
    diffTexts(before, after)
      .flatMap(({ lines }) => lines)
      .filter((line) => line.mark !== mark)
      .map(({ parts }) => `${parts.map(({ text }) => text).join('')}\n`)
      .join('');

  assert.equal(side('+'), before);
  assert.equal(side('-'), after);
});

test('counts_lines_added_and_removed', () => {
  assert.deepEqual(diffSize(diffTexts('a\nb\nc', 'a\nx\ny\nc')), { added: 2, removed: 1 });
});

test('ends_on_texts_that_have_nothing_in_common', () => {
  const text = (seed) =>
    Array.from({ length: 20_000 }, (_, i) => `${(i * seed) % 7919} ${(i * seed) % 104_729}`).join('\n');
  const size = diffSize(diffTexts(text(3), text(5)));

  assert.ok(size.added > 0 && size.removed > 0);
});
