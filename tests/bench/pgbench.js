// PostgreSQL alone: pgbench runs a segment as the product sends it, in a pipeline, its statements prepared.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { connection } from './product.js';

const run = promisify(execFile);
const THREADS = 2;
const CONNECT_MS = 30_000; // for pgbench to end after its time

// A segment as a script: $n of call i is the variable pi_n, or NULL, or the expression that `vary(call, n)` gives; a text,
// as the product declares all of them. (pgbench sends a variable once for each place where it stands.)
function scriptOf(calls, vary) {
  const defines = [];
  const statements = calls.map(({ name, sql, values }, i) =>
    sql.replace(/\$(\d+)/g, (_, n) => {
      const value = values[n - 1];
      const expression = vary(name, Number(n));

      if (expression !== undefined) return expression;
      if (value === null || value === undefined) return 'NULL::text';
      if (value === '') return "''::text"; // -D takes no empty one
      defines.push(['-D', `p${i}_${n}=${value}`]);
      return `:p${i}_${n}::text`;
    }),
  );
  const unique = new Map(defines.map((one) => [one[1], one]));

  return {
    text: ['\\startpipeline', ...statements.map((sql) => `${sql};`), '\\endpipeline', ''].join(
      '\n',
    ),
    defines: [...unique.values()].flat(),
  };
}

// Runs segments in turn by chance: {tps, failed}. `before`: lines of pgbench in front of the pipeline; `each`: so many
// transactions of each client, instead of `seconds`; `vary`, `defines`: see scriptOf, and -D.
export async function pgbench(
  stack,
  segments,
  { clients = 8, seconds, each, before = '', vary = () => undefined, defines = [] },
) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-pgbench.'));
  const scripts = segments.map(({ calls }, i) => {
    const { text, defines: own } = scriptOf(calls, (name, n) => vary(name, n, i));
    const prefix = `s${i}_`;
    const file = join(dir, `${i}.sql`);

    writeFileSync(file, before + text.replace(/:p(\d+_\d+)/g, `:${prefix}p$1`));
    return { file, own: own.map((one) => one.replace(/^p(?=\d+_\d+=)/, `${prefix}p`)) };
  });
  const threads = Math.min(THREADS, clients);
  const args = [
    ...['-n', '-M', 'prepared', '-c', String(clients), '-j', String(threads)],
    ...(each ? ['-t', String(each)] : ['-T', String(seconds)]),
    ...scripts.flatMap(({ own }) => own),
    ...defines,
    ...scripts.flatMap(({ file }) => ['-f', file]),
  ];

  try {
    const { stdout, stderr } = await run('pgbench', args, {
      env: { ...process.env, ...connection(stack, segments[0].role) },
      timeout: each ? 0 : 1000 * seconds + CONNECT_MS,
      maxBuffer: 1 << 26,
    });
    if (/ERROR|aborted/.test(stderr)) throw new Error(stderr.slice(0, 2000));
    const [, tps] = /^tps = ([0-9.]+)/m.exec(stdout) ?? [];
    if (!(Number(tps) > 0)) throw new Error(`no transaction ended:\n${stdout}`);
    return {
      tps: Number(tps),
      failed: Number(/failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0),
    };
  } catch (error) {
    throw new Error(`pgbench: ${error.stderr || error.message}`);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
