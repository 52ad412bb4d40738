// What differs between two texts: by lines, and within the lines that were changed by words.
// Pure: two texts in, blocks out; views/compare.js draws them.
//
// A block is {kind, lines}: kind same | changed. A line is {mark, parts}: mark is ' ', '-' or '+',
// parts are [{text, changed}], in order.

import { diffLines } from '../vendor/diff-line.js';
import { diffWordsWithSpace } from '../vendor/diff-word.js';

// Two texts that have nothing in common would keep the page busy: then all of both is shown as changed.
const LINES_TIMEOUT_MS = 1000;
const WORDS_TIMEOUT_MS = 100;

export function diffTexts(before, after) {
  const changes = diffLines(ended(before), ended(after), { timeout: LINES_TIMEOUT_MS }) ?? [
    { removed: true, value: ended(before) },
    { added: true, value: ended(after) },
  ];
  const blocks = [];

  for (let i = 0; i < changes.length; i++) {
    const { added, removed, value } = changes[i];

    if (!added && !removed) {
      blocks.push({ kind: 'same', lines: linesOf([{ text: value, changed: false }], ' ') });
    } else if (removed && changes[i + 1]?.added) {
      blocks.push({ kind: 'changed', lines: replaced(value, changes[i + 1].value) });
      i += 1;
    } else {
      blocks.push({ kind: 'changed', lines: linesOf([{ text: value, changed: true }], added ? '+' : '-') });
    }
  }
  return blocks;
}

// {added, removed}: how many lines.
export function diffSize(blocks) {
  const lines = blocks.flatMap((block) => block.lines);
  const n = (mark) => lines.filter((line) => line.mark === mark).length;

  return { added: n('+'), removed: n('-') };
}

// A last line without its newline would differ from the same line with one.
const ended = (text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

function replaced(before, after) {
  const words = diffWordsWithSpace(before, after, { timeout: WORDS_TIMEOUT_MS });

  if (!words) {
    return [
      ...linesOf([{ text: before, changed: true }], '-'),
      ...linesOf([{ text: after, changed: true }], '+'),
    ];
  }
  const side = (other) =>
    words.filter((word) => !word[other]).map(({ value, added, removed }) => ({
      text: value,
      changed: Boolean(added || removed),
    }));
  return [...linesOf(side('added'), '-'), ...linesOf(side('removed'), '+')];
}

// Parts of a text that ends with a newline, cut into its lines.
function linesOf(parts, mark) {
  const lines = [[]];

  for (const { text, changed } of parts) {
    text.split('\n').forEach((piece, i) => {
      if (i > 0) lines.push([]);
      if (piece !== '') lines.at(-1).push({ text: piece, changed });
    });
  }
  lines.pop(); // after the last newline
  return lines.map((one) => ({ mark, parts: one }));
}
