// The statements of a module of common/, as the compiler sees them: {name: {sql, args}} of every
// `static const struct db_statement`. So a test runs what the program runs.

import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const STATEMENT = /static const struct db_statement \w+ = \{\s*"(\w+)",(.*?),\s*(\w+),?\s*\};/gs;

export function statementsOf(path) {
  const source = execFileSync('cc', ['-E', '-P', '-I.', path], { cwd: ROOT, encoding: 'utf8' });
  const numbers = new Map(
    [...source.matchAll(/\b([A-Z_]+) = (\d+)/g)].map(([, name, value]) => [name, Number(value)]),
  );
  const text = (literals) =>
    literals
      .match(/"(?:[^"\\]|\\.)*"/g)
      .map(JSON.parse)
      .join('');

  return Object.fromEntries(
    [...source.matchAll(STATEMENT)].map(([, name, literals, args]) => [
      name,
      { sql: text(literals), args: numbers.get(args) ?? Number(args) },
    ]),
  );
}
