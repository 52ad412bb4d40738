// Figures: medians, spreads, the ratios beside their targets; and tests/bench/RESULTS.md.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const TITLE = '# What was measured\n';

// The value below which the part p of the values is; values may be in any order.
export function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b);

  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);

  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Three digits that say something, and no exponent.
export function digits(value) {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 100) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

// "1–3", or nothing of one value.
export const spread = (values) =>
  values.length > 1 ? `${digits(Math.min(...values))}–${digits(Math.max(...values))}` : '';

// A figure: what was seen, in each round. `note` says under which circumstances.
export const figure = (what, unit, values, note = '') => ({
  what,
  unit,
  values: [values].flat(),
  note,
});

// A target: `values` in each round, of which the median counts, or the greatest, if it is of the most that there may
// ever be. One of atLeast, atMost.
export const target = (work, what, values, { atLeast, atMost, unit = '', ever = false }) => ({
  work,
  what,
  unit,
  values: [values].flat(),
  atLeast,
  atMost,
  ever,
});

const countedOf = ({ values, ever }) => (ever ? Math.max(...values) : median(values));
const isMet = ({ atLeast, atMost, ...one }) => {
  const value = countedOf(one);

  return atLeast !== undefined ? value >= atLeast : value <= atMost;
};
const wanted = ({ atLeast, atMost, unit }) =>
  `${atLeast !== undefined ? '≥' : '≤'} ${atLeast ?? atMost}${unit && ` ${unit}`}`;

export const targetLine = (one) =>
  [
    one.work,
    one.what,
    `${digits(countedOf(one))}${one.unit && ` ${one.unit}`}`,
    spread(one.values),
    wanted(one),
    isMet(one) ? 'met' : '**not met**',
  ].join(' | ');

const figureLine = ({ what, unit, values, note }) =>
  [what, `${digits(median(values))} ${unit}`, spread(values), note].join(' | ');

const table = (heads, lines) => [
  `| ${heads.join(' | ')} |`,
  `|${heads.map(() => '---').join('|')}|`,
  ...lines.map((line) => `| ${line} |`),
  '',
];

// What a command says of itself; nothing where it is not there.
function version(command, ...args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch (error) {
    return `${error.stdout ?? ''}${error.stderr ?? ''}`.trim().split('\n')[0] || 'unknown';
  }
}

const packageVersion = (name) =>
  JSON.parse(readFileSync(join(HERE, 'node_modules', name, 'package.json'), 'utf8')).version;

export function circumstances(command) {
  const [cpu] = cpus();
  const versions = [
    version('/usr/lib/postgresql/15/bin/postgres', '--version'),
    version('sh', '-c', 'PATH=$PATH:/usr/sbin nginx -v 2>&1'),
    version('sh', '-c', 'wrk -v | head -n 1').replace(/ Copyright.*/, ''),
    `Node.js ${process.version}`,
    ...['fastify', 'postgres', '@portkey-ai/gateway'].map(
      (name) => `${name} ${packageVersion(name)}`,
    ),
  ];
  const commit = version('git', 'rev-parse', '--short', 'HEAD');
  const changed =
    version('git', 'status', '--porcelain', '--untracked-files=no') !== '' ? ' and changes' : '';

  return [
    `\`${command}\`, ${new Date().toISOString().slice(0, 16)}Z, commit ${commit}${changed}`,
    `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    versions.join(', '),
    `load of the machine before: ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`,
  ];
}

// Gives a function that says which share of the processors' time that was asked for since went to others on
// the host: how far a figure is one of this machine.
export function stealing() {
  const times = () => {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
      .split('\n')[0]
      .split(/\s+/)
      .slice(1)
      .map(Number);

    return { steal, asked: user + nice + system + irq + softirq + steal };
  };
  const before = times();

  return () => {
    const { steal, asked } = times();

    return (steal - before.steal) / Math.max(1, asked - before.asked);
  };
}

// The part of a suite: `outcomes` are {row, seconds, stolen, targets, figures, tables, failure}; `told`: lines about
// the run.
export function sectionOf({ title, method }, outcomes, told) {
  const targets = outcomes.flatMap((one) => one.targets);

  return [
    `## ${title}`,
    '',
    ...told.map((line) => `- ${line}`),
    '',
    method,
    '',
    ...(targets.length > 0
      ? table(['work', 'what', 'measured', 'spread', 'target', ''], targets.map(targetLine))
      : []),
    ...outcomes.flatMap(({ row, seconds, stolen, figures, tables, failure }) => [
      `### ${row.name}: ${row.title}`,
      '',
      ...(failure ? [`**Not valid**: ${failure}`, ''] : []),
      ...(figures.length > 0
        ? table(['what', 'median', 'spread', ''], figures.map(figureLine))
        : []),
      ...tables.flatMap(({ heads, lines }) => table(heads, lines)),
      ...(seconds >= 1 // else it was asked elsewhere
        ? [
            `${Math.round(seconds)} s; of the processors' time it asked for, ${(100 * stolen).toFixed(1)} % went to others on the host.`,
            '',
          ]
        : []),
    ]),
  ].join('\n');
}

// Puts the suite's part into the file, and leaves those of the others.
export function write(file, name, section) {
  const before = existsSync(file) ? readFileSync(file, 'utf8') : TITLE;
  const mark = (word) => `<!-- ${word}${name} -->`;
  const part = `${mark('')}\n${section}${mark('/')}\n`;
  const at = before.indexOf(mark(''));

  if (at === -1) {
    writeFileSync(file, `${before}\n${part}`);
    return;
  }
  const end = before.indexOf(mark('/')) + mark('/').length + 1;
  writeFileSync(file, before.slice(0, at) + part + before.slice(end));
}
