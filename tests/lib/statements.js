// The statements of a module of common/, read from its source: {name: {sql, args}} of every
// `static const struct db_statement`. So a test runs what the program runs.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const TEXT = /"((?:[^"\\]|\\.)*)"|\b([A-Z][A-Z_]+)\b/gs;

export function statementsOf(path) {
  const source = readFileSync(join(ROOT, path), 'utf8').replace(/\\\n/g, '');
  const numbers = new Map(
    [...source.matchAll(/\b([A-Z_]+) = (\d+)/g)].map(([, name, value]) => [name, Number(value)]),
  );
  const macros = new Map();
  const text = (code) =>
    [...code.matchAll(TEXT)]
      .map(([, literal, macro]) => (macro ? macros.get(macro) ?? '' : JSON.parse(`"${literal}"`)))
      .join('');

  for (const [, name, code] of source.matchAll(/^#define ([A-Z_]+)\s+(".*)$/gm))
    macros.set(name, text(code));
  return Object.fromEntries(
    [...source.matchAll(/static const struct db_statement \w+ = \{\s*"(\w+)",(.*?)\};/gs)].map(
      ([, name, rest]) => {
        const [, sql, args] = /^(.*),\s*(\w+),?\s*$/s.exec(rest);
        return [name, { sql: text(sql), args: numbers.get(args) ?? Number(args) }];
      },
    ),
  );
}
