// Measures, and says what was promised beside it. Called by scripts/bench.
//
//   [read]           lists, traces by id and POSTs, side by side with pgbench, the floor and the peers
//   large            a million traces over 12 months
//   generate         provider calls, in flight by the thousand
//   profile          where the time goes, by perf, into tests/bench/PROFILE.md
//
//   --rounds N       of each measurement, one after the other [3]
//   --quick          short rounds and little data: shows that it works, and no figures to believe
//   --only A,B       these rows; --list tells which there are
//   --run-dir DIR    the stack lives there, and its data stays there, for the next time
//   --results FILE   write there [tests/bench/RESULTS.md, of a run of all rows that is not quick]
//   --list           what there is

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { circumstances, digits, median, sectionOf, stealing, targetLine, write } from './report.js';
import generate from './rows/generate.js';
import large from './rows/large.js';
import profile from './rows/profile.js';
import read from './rows/read.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const SUITES = { read, large, generate, profile };

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      'run-dir': { type: 'string' },
      results: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  const [name = 'read', ...others] = positionals;
  const suite = SUITES[name];

  if (suite === undefined || others.length > 0)
    throw new Error(`one of ${Object.keys(SUITES).join(', ')} expected`);
  if (!/^[1-9]\d?$/.test(values.rounds))
    throw new Error(`--rounds: 1 to 99 expected, not "${values.rounds}"`);
  const only = values.only === '' ? suite.rows.map((row) => row.name) : values.only.split(',');
  const unknown = only.find((one) => !suite.rows.some((row) => row.name === one));
  if (unknown !== undefined)
    throw new Error(
      `--only: no row ${unknown}; there are: ${suite.rows.map((row) => row.name).join(', ')}`,
    );
  return {
    name,
    suite,
    rounds: Number(values.rounds),
    quick: values.quick,
    runDir: values['run-dir'],
    list: values.list,
    rows: suite.rows.filter((row) => only.includes(row.name)),
    results:
      values.results ??
      (values.quick || values.only !== '' ? undefined : join(HERE, suite.file ?? 'RESULTS.md')),
  };
}

const begin = performance.now();

function note(text) {
  const seconds = Math.round((performance.now() - begin) / 1000);

  console.log(`${String(seconds).padStart(5)} s  ${text}`);
}

async function runRow(row, context) {
  const since = performance.now();
  const stolen = stealing();
  const empty = { targets: [], figures: [], tables: [] };
  let outcome;

  note(`== ${row.name}: ${row.title}`);
  try {
    outcome = { ...empty, ...(await row.run(context)) };
  } catch (error) {
    outcome = { ...empty, failure: error.message.split('\n')[0] };
    console.error(error.stack);
  }
  for (const { what, unit, values } of outcome.figures)
    note(`   ${what}: ${digits(median(values))} ${unit}`);
  for (const one of outcome.targets) note(`   ${targetLine(one)}`);
  return { row, seconds: (performance.now() - since) / 1000, stolen: stolen(), ...outcome };
}

async function main() {
  const options = readOptions();
  const { name, suite, rows, results } = options;
  const command = ['make', name === 'read' ? 'bench' : `bench-${name}`].join(' ');

  if (options.list) {
    for (const row of suite.rows) console.log(`${row.name.padEnd(14)} ${row.title}`);
    return;
  }
  const told = circumstances(
    options.rounds === 3 ? command : `${command} ROUNDS=${options.rounds}`,
  );
  const outcomes = [];
  const context = await suite.start({ ...options, note });
  told.push(...(context.about ?? []));
  try {
    for (const row of rows) outcomes.push(await runRow(row, { ...context, ...options, note }));
  } finally {
    await context.stop();
  }
  if (results) write(results, name, sectionOf(suite, outcomes, told));
  console.log(`\n${sectionOf(suite, outcomes, told)}`);
  const invalid = outcomes.filter(({ failure }) => failure !== undefined);
  if (invalid.length > 0) {
    console.log(`Not valid: ${invalid.map(({ row }) => row.name).join(', ')}`);
    process.exitCode = 1;
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
