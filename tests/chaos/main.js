// Faults, not arguments: each scenario breaks something again and again under load, and judges what is left by a ledger
// kept outside. Called by `make chaos`.
//
//   --seed N         the same gaps, targets and orders again [a new one, which is printed]
//   --time SECONDS   about so long in all: as many faults as fit [as many as the promise names, about an hour]
//   --only A,B       these scenarios
//   --results FILE   write the table there, too
//   --list           what there is

import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { randomOf } from './lib/random.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const ORDER = [
  'kill',
  'stall',
  'postgres',
  'outage',
  'disk',
  'faults',
  'texts',
  'deletes',
  'keys',
  'restart',
  'poison',
];

async function loadAll() {
  const names = readdirSync(join(HERE, 'scenarios')).map((file) => file.replace(/\.js$/, ''));
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  names.sort((a, b) => place(a) - place(b));
  return (
    await Promise.all(names.map(async (name) => (await import(`./scenarios/${name}.js`)).default))
  ).flat();
}

function readOptions(all) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      time: { type: 'string' },
      only: { type: 'string', default: '' },
      results: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  const number = (name) => {
    const value = values[name] === undefined ? undefined : Number(values[name]);
    if (value !== undefined && !(Number.isInteger(value) && value >= 0))
      throw new Error(`--${name}: whole number expected, not "${values[name]}"`);
    return value;
  };
  const only = values.only === '' ? all.map(({ name }) => name) : values.only.split(',');

  for (const name of only)
    if (!all.some((one) => one.name === name))
      throw new Error(
        `--only: no scenario ${name}; there are: ${all.map((one) => one.name).join(', ')}`,
      );
  return {
    ...values,
    seed: number('seed'),
    time: number('time'),
    chosen: all.filter(({ name }) => only.includes(name)),
  };
}

// Which part of the full number, so that all together take about so long.
function shareFor(chosen, time) {
  const full = chosen.reduce((sum, one) => sum + one.full.seconds, 0);

  return time === undefined ? 1 : Math.min(1, time / full);
}

async function runOne(scenario, share, seed) {
  const { count: most, least = 1 } = scenario.full;
  const count = Math.max(Math.min(least, most), Math.round(most * share));
  const begin = performance.now();
  const seconds = () => Math.round((performance.now() - begin) / 1000);
  const note = (text) => console.log(`   ${String(seconds()).padStart(4)} s  ${text}`);
  let outcome;

  console.log(`\n== ${scenario.name}: ${scenario.fault}: ${count} of ${scenario.full.count}`);
  try {
    outcome = await scenario.run({
      count,
      share,
      random: randomOf(seed),
      clients: randomOf(~seed), // of their own: who draws when depends on the time
      note,
    });
  } catch (error) {
    outcome = { figures: 'it broke off', violations: [error.stack] };
  }
  for (const text of outcome.violations) console.log(`   VIOLATION  ${text}`);
  note(`${verdict(outcome)}: ${outcome.figures}`);
  return { scenario, count, seconds: seconds(), ...outcome };
}

// A scenario that cannot be played here has no violations, and says why in `figures`.
function verdict({ violations, skipped = false }) {
  if (skipped) return 'not run';
  return violations.length === 0 ? 'yes' : `**no**: ${violations.length}`;
}

// The command that plays all of it again.
function commandFor({ seed, time, only }) {
  const build = process.env.TEST_BUILD_DIR ?? 'build';

  return [
    'make chaos',
    ...(only === '' ? [] : [`ONLY=${only}`]),
    `SEED=${seed}`,
    ...(time === undefined ? [] : [`TIME=${time}`]),
    ...(build === 'build' ? [] : [`SAN=${build.replace('build-', '')}`]),
  ].join(' ');
}

// What a command says of itself; nothing where it is not there, as git is not on every machine.
function version(command, ...args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return 'unknown';
  }
}

function table(outcomes, options) {
  const where = [
    `\`${commandFor(options)}\``,
    new Date().toISOString().slice(0, 10),
    `${cpus().length} cores`,
    version('/usr/lib/postgresql/15/bin/postgres', '--version'),
    `commit ${version('git', 'rev-parse', '--short', 'HEAD')}`,
  ];

  return [
    '# What was broken, and what was lost',
    '',
    where.join(', '),
    '',
    '| fault | `ONLY=` | seen | seconds | holds |',
    '|---|---|---|---|---|',
    ...outcomes.map(
      (one) =>
        `| ${one.scenario.fault} | ${one.scenario.name} | ${one.figures} | ${one.seconds} | ${verdict(one)} |`,
    ),
    '',
  ].join('\n');
}

async function main() {
  const all = await loadAll();
  const options = readOptions(all);
  const share = shareFor(options.chosen, options.time);
  const outcomes = [];

  if (options.list) {
    for (const { name, fault, full } of all)
      console.log(`${name.padEnd(10)} ${full.count} × ${fault}`);
    return;
  }
  console.log(`seed ${options.seed}`);
  for (const scenario of options.chosen) {
    outcomes.push(await runOne(scenario, share, options.seed));
    if (options.results) writeFileSync(options.results, table(outcomes, options));
  }
  const failed = outcomes.filter(({ violations }) => violations.length > 0).length;

  console.log(`\n${table(outcomes, options)}`);
  console.log(failed > 0 ? `${failed} of ${outcomes.length} do not hold` : 'All of it holds.');
  process.exitCode = failed > 0 ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(`chaos: ${error.message}`);
  process.exitCode = 2;
}
