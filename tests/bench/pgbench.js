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

// A segment as a script: $n of call i is the variable pi_n, or NULL; a text, as the product declares all of them. (pgbench
// sends a variable once for each place where it stands.)
function scriptOf(calls) {
  const defines = [];
  const statements = calls.map(({ sql, values }, i) =>
    sql.replace(/\$(\d+)/g, (_, n) => {
      const value = values[n - 1];

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

// Calls as a script in which each value is sent once, however often it stands in the statement: prepared by the first
// transaction of a client, executed by all, in one message. `:prepared` is 0 at first.
function executedScriptOf(calls, vary) {
  const literal = (value) =>
    value === null || value === undefined ? 'NULL' : `'${value.replaceAll("'", "''")}'`;
  const argsOf = ({ name, values }) =>
    values.map((value, i) => vary(name, i + 1) ?? literal(value)).join(', ');

  return [
    '\\if :prepared = 0',
    ...calls.map(
      ({ name, sql, values }) =>
        `PREPARE ${name} (${values.map(() => 'text').join(', ')}) AS ${sql};`,
    ),
    '\\set prepared 1',
    '\\endif',
    `${calls.map((one) => `EXECUTE ${one.name} (${argsOf(one)})`).join('\\; ')};`,
    '',
  ].join('\n');
}

async function runPgbench(stack, role, args, timeout) {
  const { stdout, stderr } = await run('pgbench', args, {
    env: { ...process.env, ...connection(stack, role) },
    timeout,
    maxBuffer: 1 << 26,
  }).catch((error) => {
    throw new Error(`pgbench: ${error.stderr || error.message}`);
  });
  if (/ERROR|aborted/.test(stderr)) throw new Error(`pgbench: ${stderr.slice(0, 2000)}`);
  const [, tps] = /^tps = ([0-9.]+)/m.exec(stdout) ?? [];
  if (!(Number(tps) > 0)) throw new Error(`pgbench: no transaction ended:\n${stdout}`);
  return { tps: Number(tps), failed: Number(/failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0) };
}

// The calls of a segment, whose values vary or are large, `each` times by each client or for some seconds: {tps, failed}.
// `vary(name, n)`: an expression for $n, or undefined; `before`: lines of pgbench in front; `defines`: its -D.
export async function pgbenchCalls(
  stack,
  { role, calls },
  { clients = 8, each, seconds, vary, before = '', defines = [] },
) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-pgbench.'));
  const file = join(dir, 'calls.sql');

  try {
    writeFileSync(file, before + executedScriptOf(calls, vary));
    const args = [
      ...['-n', '-M', 'simple', '-c', String(clients), '-j', String(Math.min(THREADS, clients))],
      ...(each ? ['-t', String(each)] : ['-T', String(seconds)]),
      ...['-D', 'prepared=0', ...defines, '-f', file],
    ];
    return await runPgbench(stack, role, args, each ? 0 : 1000 * seconds + CONNECT_MS);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

// Runs segments in turn by chance, for some seconds: {tps, failed}.
export async function pgbench(stack, segments, { clients = 8, seconds }) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-pgbench.'));
  const scripts = segments.map(({ calls }, i) => {
    const { text, defines } = scriptOf(calls);
    const prefix = `s${i}_`;
    const file = join(dir, `${i}.sql`);

    writeFileSync(file, text.replace(/:p(\d+_\d+)/g, `:${prefix}p$1`));
    return { file, own: defines.map((one) => one.replace(/^p(?=\d+_\d+=)/, `${prefix}p`)) };
  });
  const args = [
    ...['-n', '-M', 'prepared', '-c', String(clients), '-j', String(Math.min(THREADS, clients))],
    ...['-T', String(seconds)],
    ...scripts.flatMap(({ own }) => own),
    ...scripts.flatMap(({ file }) => ['-f', file]),
  ];

  try {
    return await runPgbench(stack, segments[0].role, args, 1000 * seconds + CONNECT_MS);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
