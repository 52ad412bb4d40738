// Where the time goes: perf looks at the whole machine while one thing is asked for again and again.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { sleep, until } from '../../lib/api.js';
import { basic, countTraces, fill, startProduct } from '../product.js';
import { figure } from '../report.js';
import { load } from '../wrk.js';
import generate, { replay, withStack } from './generate.js';
import { believed, postLoad, someIds, withoutGenerator } from './read.js';

const run = promisify(execFile);
const TRACES = 20_000;
const RESULTS = 5000;
const CLIENTS = 8;
const WARM_MS = 1000;
const SECONDS = 3; // of the machine
const DEEP_SECONDS = 1.5; // of PostgreSQL's processes, with their stacks
const SLACK_S = 4; // perf begins and ends
const OURS = /nginx|postgres|traces\.fcgi|lessons\.fcgi|lesson-generato|wrk/;
const SYMBOLS = 40;
const INCLUSIVE = 40;
const REQUESTS = /^postgres: lesson_(api|admin) /;
const GENERATOR = /^postgres: lesson_worker /;
const NAMELESS =
  /0x0000|0xffff|\(inlined\)|\] (_start|main|__libc_start\S*|PostmasterMain|PostgresMain)$/;

// ---- perf ----

const perf = async (...args) =>
  (await run('perf', args.map(String), { maxBuffer: 1 << 28 })).stdout.trimEnd();

// {share, rest} of each line of a report, the greatest first.
const linesOf = (report) =>
  report
    .split('\n')
    .map((line) => /^ +([0-9.]+)% +(.*\S)/.exec(line))
    .filter((found) => found !== null)
    .map(([, share, rest]) => ({ share: Number(share), rest: rest.replace(/ {2,}/g, ' ') }));

const percents = (share) => `${share.toFixed(1)} %`;

// Who took how much of what our programs took, and in which functions.
async function lookAtMachine(dir) {
  const data = join(dir, 'machine');
  const report = (keys) =>
    perf('report', '-i', data, '--no-children', '-g', 'none', '--stdio', '-s', keys);

  await perf('record', '-q', '-a', '-F', 2000, '-o', data, '--', 'sleep', SECONDS);
  const programs = linesOf(await report('comm')).filter(({ rest }) => OURS.test(rest));
  const whole = programs.reduce((sum, { share }) => sum + share, 0);
  const symbols = linesOf(await report('comm,sym')).filter(({ rest }) => OURS.test(rest));
  const ofWhole = ({ share, rest }) => `${percents((100 * share) / whole)} | ${rest}`;

  return [
    { heads: ['of all', 'program'], lines: programs.map(ofWhole) },
    {
      heads: ['of all', 'program and function; [k] is the kernel'],
      lines: symbols.slice(0, SYMBOLS).map(ofWhole),
    },
  ];
}

// What PostgreSQL's backends were in, with what that called. Functions that nobody named are left out.
async function lookIntoPostgres(stack, dir, whose) {
  const data = join(dir, 'postgres');
  const find = () =>
    stack
      .processes()
      .filter(({ command }) => whose.test(command))
      .map(({ pid }) => pid);
  const backends = await until('PostgreSQL has them', () => find().length > 0 && find());
  const record = ['record', '-q', '-F', 2000, '--call-graph', 'dwarf,24576', '-o', data];

  await perf(...record, '-p', backends.join(','), '--', 'sleep', DEEP_SECONDS);
  const report = ['report', '-i', data, '--children', '-g', 'none', '--stdio', '-s', 'sym'];
  const lines = linesOf(await perf(...report)).filter(({ rest }) => !NAMELESS.test(rest));

  return [
    {
      heads: ["of PostgreSQL's", 'itself', 'function, with what it calls'],
      lines: lines.slice(0, INCLUSIVE).map(({ share, rest }) => {
        const [, self, name] = /^([0-9.]+)% +(.*)/.exec(rest) ?? [, '', rest];
        return `${percents(share)} | ${self && `${self} %`} | ${name}`;
      }),
    },
  ];
}

async function look(stack) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-perf.'));

  try {
    await sleep(WARM_MS);
    return [...(await lookAtMachine(dir)), ...(await lookIntoPostgres(stack, dir, REQUESTS))];
  } finally {
    rmSync(dir, { recursive: true });
  }
}

// ---- what is asked for ----

const LOADED_S = Math.ceil(WARM_MS / 1000 + SECONDS + DEEP_SECONDS + SLACK_S);

async function whileLooking(stack, act) {
  const [seen, tables] = await Promise.all([act(LOADED_S), look(stack)]);

  believed('load', seen);
  return { tables, figures: [figure('answered, while perf looks', 'a second', seen.rps)] };
}

const reading = (name, title, pathsOf) => ({
  name,
  title,
  run: async ({ stack }) => {
    const paths = await pathsOf(stack);
    const headers = { Authorization: basic(stack.user) };

    return whileLooking(stack, (seconds) =>
      load(stack.baseUrl, { paths, headers, clients: CLIENTS, seconds }),
    );
  },
});

const posting = {
  name: 'post',
  title: 'POST /api/lessons',
  run: ({ stack }) =>
    withoutGenerator(stack, () =>
      whileLooking(stack, (seconds) => postLoad(stack, { clients: CLIENTS, seconds })),
    ),
};

// Through one connection, without a break: results that were spooled while PostgreSQL was away.
const storing = {
  name: 'store',
  title: 'generations ended, through one connection',
  run: (context) =>
    withStack(context, { inFlight: RESULTS }, async (stack) => {
      const dir = mkdtempSync(join(tmpdir(), 'bench-perf.'));
      let tables;

      await stack.psql('ALTER SYSTEM SET track_commit_timestamp = on');
      try {
        const rate = await replay(stack, RESULTS, async () => {
          tables = await lookIntoPostgres(stack, dir, GENERATOR);
        });
        return { tables, figures: [figure('stored, while perf looks', 'a second', rate)] };
      } finally {
        rmSync(dir, { recursive: true });
      }
    }),
};

export default {
  title: 'Where the time goes',
  file: 'PROFILE.md',
  method: [
    '`perf record` looks 2,000 times a second at what every processor is in, while 8 clients ask for one thing; "of all" is of',
    'what nginx, the programs, PostgreSQL and wrk took. Then it looks at the backends of PostgreSQL alone, with their stacks: a',
    "function's time is with all that it calls. Debian's PostgreSQL names its public functions only.",
  ].join('\n'),
  rows: [
    reading('list-full', 'list of 50, full rows', () => ['/api/traces?view=full&limit=50']),
    reading('list-summary', 'list of 50, summary', () => ['/api/traces?view=summary&limit=50']),
    reading('by-id', 'trace by id', async (stack) =>
      (await someIds(stack)).map((id) => `/api/traces/${id}`),
    ),
    posting,
    storing,
  ],

  async start({ quick, runDir, note }) {
    const stack = await startProduct({ runDir });
    const wanted = quick ? 2000 : TRACES;

    if ((await countTraces(stack)) < wanted) await fill(stack, { count: wanted }, note);
    const provider = await generate.start({ quick });
    return {
      ...provider,
      stack,
      async stop() {
        await provider.stop();
        await stack.stop({ keep: runDir !== undefined });
      },
    };
  },
};
