// A million traces over 12 months: what a page, a search, a sum costs, and how it grows from ten thousand on.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { openBrowser } from '../../browser/browser.js';
import { ROOT } from '../../lib/stack.js';
import { basic, connection, countTraces, fill, startProduct } from '../product.js';
import { digits, median, percentile, spread, target } from '../report.js';
import { load } from '../wrk.js';
import { believed } from './read.js';

const run = promisify(execFile);
const SIZES = [10_000, 100_000, 1_000_000];
const QUICK_SIZES = [1000, 2000, 5000];
const DAYS = 366;
const DEPTH = 50_000;
const PAGE = 200;
const DAY_MS = 86_400_000;
const PAGE_P95_MS = 50;
const VIEWPORT = 'table.trace-rows tbody tr';

// ---- asking ----

// One request after the other on one connection: {ms, bytes, text}. `discard`: without the text.
function client(stack, as) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const headers = { authorization: basic(stack[as]) };

  async function ask(path, { method = 'GET', discard = false } = {}) {
    const begin = performance.now();
    const asked = request(stack.baseUrl + path, { method, agent, headers }).end();
    const [answer] = await once(asked, 'response');
    const parts = [];
    let bytes = 0;

    for await (const part of answer) {
      bytes += part.length;
      if (!discard || answer.statusCode >= 400) parts.push(part);
    }
    const ms = performance.now() - begin;
    const text = Buffer.concat(parts).toString();
    if (answer.statusCode >= 300)
      throw new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 300)}`);
    return { ms, bytes, text };
  }

  return {
    ask,
    json: async (path) => JSON.parse((await ask(path)).text),
    close: () => agent.destroy(),
  };
}

// Each path `times` in turn, after once to be warm: the milliseconds of each.
async function timesOf(ask, paths, times) {
  const ms = new Map(paths.map((path) => [path, []]));

  for (const path of paths) await ask(path);
  for (let i = 0; i < times; i++) for (const path of paths) ms.get(path).push((await ask(path)).ms);
  return ms;
}

// ---- what is asked ----

// The cursor behind so many traces or a few more, as a client comes to it: page by page.
async function cursorAt(json, least) {
  let cursor = '';
  let depth = 0;

  for (; depth < least; depth += PAGE) {
    const page = await json(`/api/traces?view=summary&limit=${PAGE}${cursor}`);
    if (!page.has_more) throw new Error(`there are no ${least} traces`);
    cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
  }
  return { cursor, depth };
}

const valuesOf = (facets, name) =>
  Object.values(facets.facets[name])
    .map((one) => one.value)
    .filter((value) => value !== null);

// The values that filters take here: those that are there.
async function questionsOf(json, now) {
  const facets = await json('/api/traces/facets');
  const [newest] = (await json('/api/traces?view=summary&limit=1')).traces;
  const iso = (days) => new Date(now - days * DAY_MS).toISOString();
  const list = (query) => `/api/traces?view=summary&limit=50&${query}`;
  const [provider, other] = valuesOf(facets, 'provider');
  const text = encodeURIComponent;

  return {
    list: { 'first page': list(''), 'first page, full rows': '/api/traces?view=full&limit=50' },
    filter: {
      'status=failed': list('status=failed'),
      'status=started (few)': list('status=started'),
      provider: list(`provider=${text(provider)}`),
      'two providers': list(`provider=${text(provider)},${text(other)}`),
      'provider=none': list('provider=none'),
      model: list(`model=${text(valuesOf(facets, 'model').at(-1))}`),
      error_class: list(`error_class=${text(valuesOf(facets, 'error_class').at(-1))}`),
      'fallback=true': list('fallback=true'),
      'fallback=false': list('fallback=false'),
      failed_provider: list(`failed_provider=${text(provider)}`),
      'failed_provider (nobody)': list('failed_provider=nobody'),
      lesson_id: list(`lesson_id=${newest.lesson_id}`),
      'from, to: a day half a year ago': list(`from=${iso(183)}&to=${iso(182)}`),
      'min_duration_ms (few)': list('min_duration_ms=170000'),
      'max_duration_ms (few)': list('max_duration_ms=300'),
      'status, provider, from': list(`status=failed&provider=${text(provider)}&from=${iso(30)}`),
    },
    search: {
      'common word': list('q=moon'),
      'rare phrase': list(`q=${text('within 100: with many pictures (7c)')}`),
      'absent word': list('q=zyxwvutsrq'),
      'absent word, a month': list(`q=zyxwvutsrq&from=${iso(30)}`),
      Arabic: list(`q=${text('القمر')}`),
      Chinese: list(`q=${text('古罗马')}`),
      Hindi: list(`q=${text('चंद्रमा')}`),
      Russian: list(`q=${text('Луны')}`),
      Japanese: list(`q=${text('月の形')}`),
      'with status=failed': list('q=moon&status=failed'),
    },
    sort: Object.fromEntries(
      ['created_at', 'total_duration_ms', 'total_tokens', 'cost_usd'].flatMap((name) => [
        [`sort=${name}`, list(`sort=${name}`)],
        [`sort=-${name}`, list(`sort=-${name}`)],
      ]),
    ),
    count: {
      'count=exact': list('count=exact'),
      'count=exact, status=failed': list('count=exact&status=failed'),
    },
    facets: {
      facets: '/api/traces/facets',
      'facets, status=failed': '/api/traces/facets?status=failed',
      'histogram, 12 months': `/api/traces/histogram?from=${iso(365)}&to=${iso(0)}`,
      'histogram, min_duration_ms=1000': `/api/traces/histogram?from=${iso(365)}&to=${iso(0)}&min_duration_ms=1000`,
    },
    stats: {
      '24 h': `/api/traces/stats?from=${iso(1)}&to=${iso(0)}`,
      '30 days': `/api/traces/stats?from=${iso(30)}&to=${iso(0)}`,
      '12 months': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}`,
      '12 months, bucket=day': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}&bucket=day`,
      '12 months, provider': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}&provider=${text(provider)}`,
      // What is not summed up is counted one by one.
      '12 months, q=moon': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}&q=moon`,
      '12 months, fallback=true': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}&fallback=true`,
      '12 months, min_duration_ms=1000': `/api/traces/stats?from=${iso(365)}&to=${iso(0)}&min_duration_ms=1000`,
    },
  };
}

// ---- rows ----

// What was seen, as a table: a line for each thing, a column for each size.
function growthOf(seen, sizes, heads, textOf) {
  const names = [...new Set(seen.map(({ what }) => what))];
  const at = (what, size) => seen.find((one) => one.what === what && one.size === size);

  return {
    heads: [...heads, ...sizes.map((size) => size.toLocaleString('en'))],
    lines: names.map((what) => [what, ...sizes.map((size) => textOf(at(what, size)))].join(' | ')),
  };
}

// The questions of a kind, as admin and as a user; targets are of the largest size.
function questions(name, title, kinds, targetOf) {
  return {
    name,
    title: `${title}, p50 / p95 ms`,
    async measure({ stack, now, times }) {
      const seen = [];

      for (const as of ['admin', 'user']) {
        const { json, ask, close } = client(stack, as);
        const all = await questionsOf(json, now);
        const paths = kinds.flatMap((kind) => Object.entries(all[kind]));
        const ms = await timesOf(
          ask,
          paths.map(([, path]) => path),
          times,
        );

        for (const [what, path] of paths)
          seen.push({ what: `${what} | ${as}`, name: what, as, ms: ms.get(path) });
        close();
      }
      return seen;
    },
    report(seen, sizes) {
      const text = ({ ms }) =>
        `${percentile(ms, 0.5).toFixed(1)} / ${percentile(ms, 0.95).toFixed(1)}`;

      return {
        targets: seen
          .filter(({ size }) => size === sizes.at(-1))
          .flatMap((one) => targetOf(one) ?? []),
        tables: [growthOf(seen, sizes, ['question', 'as'], text)],
      };
    },
  };
}

const within = (most, p) => (one) =>
  target(`${one.name}, as ${one.as}`, `p${100 * p}`, percentile(one.ms, p), {
    atMost: most,
    unit: 'ms',
  });

const STATS_MS = { '24 h': 300, '30 days': 300, '12 months': 1000, '12 months, bucket=day': 1000 };
const stats = (one) => (STATS_MS[one.name] ? within(STATS_MS[one.name], 0.95)(one) : undefined);

// A row that measures amounts: what it sees is [{what, values, unit, text}], a value for each time.
function amounts(name, title, measure, targetsOf = () => []) {
  const text = ({ values, unit, text: more }) =>
    [
      `${digits(median(values))} ${unit}`,
      spread(values) && ` (${spread(values)})`,
      more && `: ${more}`,
    ]
      .filter(Boolean)
      .join('');

  return {
    name,
    title,
    measure,
    report: (seen, sizes) => ({
      targets: targetsOf(seen.filter(({ size }) => size === sizes.at(-1))),
      tables: [growthOf(seen, sizes, ['what'], text)],
    }),
  };
}

const RATIO = 'of the first page';

const cursor = amounts(
  'cursor',
  'a page far down by cursor, 8 clients, summary',
  async ({ stack, rounds, seconds, size }) => {
    const { json, close } = client(stack, 'admin');
    const headers = { Authorization: basic(stack.admin) };
    const first = '/api/traces?view=summary&limit=50';
    const { cursor: behind, depth } = await cursorAt(json, Math.min(DEPTH, size / 2));
    const deep = first + behind;
    const seen = { first: [], deep: [] };

    close();
    for (let round = 0; round < rounds; round++) {
      const turn = [
        ['first', first],
        ['deep', deep],
      ];
      if (round % 2 === 1) turn.reverse();
      for (const [name, path] of turn)
        seen[name].push(
          believed(name, await load(stack.baseUrl, { paths: [path], headers, seconds })).rps,
        );
    }
    const ratio = seen.deep.map((rps, i) => rps / seen.first[i]);
    return [
      { what: 'first page', unit: 'a second', values: seen.first },
      {
        what: 'page far down',
        unit: 'a second',
        values: seen.deep,
        text: `offset ${depth.toLocaleString('en')}`,
        depth,
      },
      { what: RATIO, unit: '×', values: ratio },
    ];
  },
  (seen) => [
    target(
      `page at offset ${seen.find(({ depth }) => depth).depth.toLocaleString('en')} by cursor`,
      '× the first page',
      seen.find(({ what }) => what === RATIO).values,
      { atLeast: 0.9 },
    ),
  ],
);

const perSecond = (what, count, ms, more) => ({
  what,
  unit: 'traces a second',
  values: [(1000 * count) / ms],
  text: `${count.toLocaleString('en')} in ${(ms / 1000).toFixed(1)} s${more ?? ''}`,
});

const exported = amounts('export', 'export, as admin', async ({ stack }) => {
  const { ask, json, close } = client(stack, 'admin');
  const count = await countTraces(stack);
  const seen = [];

  const measure = async (what, query, of) => {
    const { ms, bytes } = await ask(`/api/traces/export?${query}`, { discard: true });
    seen.push(perSecond(what, of, ms, `, ${(bytes / 1e6).toFixed(0)} MB`));
  };
  for (const format of ['ndjson', 'csv']) await measure(format, `format=${format}`, count);
  const { total } = await json('/api/traces?view=summary&limit=1&count=exact&q=moon');
  await measure('csv, q=moon', 'format=csv&q=moon', total);
  close();
  return seen;
});

const removed = amounts(
  'delete',
  'delete what a filter matches, as admin',
  async ({ stack, now }) => {
    const { ask, json, close } = client(stack, 'admin');
    const query = 'provider=openai';
    const { total } = await json(`/api/traces?view=summary&limit=1&count=exact&${query}`);
    const { ms, text } = await ask(`/api/traces?${query}&confirm=${total}`, { method: 'DELETE' });
    const { deleted } = JSON.parse(text);

    if (deleted !== total || total === 0) throw new Error(`${deleted} deleted of ${total}`);
    const iso = (days) => new Date(now - days * DAY_MS).toISOString();
    const stats = await ask(`/api/traces/stats?from=${iso(365)}&to=${iso(0)}`);
    const since = performance.now();
    await stack.psql("SELECT trace_roll_up('10 minutes')"); // or the next row would do what this one left
    const rolled_ms = performance.now() - since;
    close();
    return [
      perSecond(query, deleted, ms),
      { what: '12 months of statistics right after', unit: 'ms', values: [stats.ms] },
      { what: 'summing up again what it touched, all at once', unit: 'ms', values: [rolled_ms] },
    ];
  },
);

const retention = amounts('retention', 'scripts/cleanup --older-than 300', async ({ stack }) => {
  const { PGUSER, PGPASSWORD, PGHOST, PGDATABASE } = connection(stack, 'lesson_admin');
  const before = await countTraces(stack);
  const begin = performance.now();

  await run(join(ROOT, 'scripts/cleanup'), ['--older-than', '300'], {
    env: {
      ...process.env,
      DATABASE_ADMIN_URL: `postgresql://${PGUSER}:${PGPASSWORD}@/${PGDATABASE}?host=${PGHOST}`,
    },
    maxBuffer: 1 << 26,
  });
  const ms = performance.now() - begin;
  const count = before - (await countTraces(stack));
  if (count === 0) throw new Error('nothing was old enough');
  return [perSecond('deleted', count, ms)];
});

// From the start of the navigation to the frame behind the one in which the rows are there; the page is new each time.
const painted = amounts(
  'page',
  'first rows of /traces in Chromium, nothing cached',
  async ({ stack, rounds }) => {
    const browser = await openBrowser(stack);
    const ms = [];

    try {
      for (let i = 0; i <= rounds; i++) {
        const page = await browser.page();
        await page.addInitScript((rows) => {
          const look = () => {
            if (document.querySelector(rows) === null) requestAnimationFrame(look);
            else requestAnimationFrame(() => (window.rowsPainted = performance.now()));
          };
          requestAnimationFrame(look);
        }, VIEWPORT);
        await page.goto('/traces', { waitUntil: 'commit' });
        const handle = await page.waitForFunction(() => window.rowsPainted);
        if (i > 0) ms.push(await handle.jsonValue()); // the first one starts the browser's processes
        if (page.faults.length > 0) throw new Error(page.faults.join('; '));
        await page.context().close();
      }
    } finally {
      await browser.close();
    }
    return [{ what: 'first rows painted', unit: 'ms', values: ms }];
  },
);

// In this order at each size; the last two take traces away, which the next size makes up for.
const ROWS = [
  questions('list', 'the first page', ['list'], (one) =>
    one.name === 'first page' ? within(PAGE_P95_MS, 0.95)(one) : undefined,
  ),
  questions('filter', 'each filter, first page', ['filter'], within(PAGE_P95_MS, 0.95)),
  questions('search', 'searches, first page', ['search'], within(PAGE_P95_MS, 0.95)),
  questions('sort', 'each sort, first page', ['sort'], within(PAGE_P95_MS, 0.95)),
  questions('count', 'exact counts', ['count'], () => undefined),
  questions(
    'facets',
    'facets and the histogram, which /traces asks for',
    ['facets'],
    () => undefined,
  ),
  questions('stats', 'statistics', ['stats'], stats),
  cursor,
  painted,
  exported,
  removed,
  retention,
];

// What was seen while it grew is told when the rows are run.
const told = (row) => ({
  name: row.name,
  title: row.title,
  async run({ seen, failures, sizes }) {
    if (failures.has(row.name)) throw failures.get(row.name);
    return row.report(seen.get(row.name), sizes);
  },
});

async function grow({ stack, sizes, rows, note, ...context }) {
  const chosen = ROWS.filter(({ name }) => rows.some((row) => row.name === name));
  const seen = new Map(chosen.map(({ name }) => [name, []]));
  const failures = new Map();
  const reached = [];

  for (const size of sizes) {
    const there = await countTraces(stack);
    if (there >= 1.5 * size) continue; // of an earlier run
    if (there < 0.9 * size)
      await fill(stack, { count: size - there, days: DAYS, seed: there + 1, lean: true }, note);
    reached.push(size);
    for (const row of chosen) {
      note(`of ${size} traces: ${row.title}`);
      try {
        const found = await row.measure({ stack, size, now: Date.now(), ...context });
        seen.get(row.name).push(...found.map((one) => ({ ...one, size })));
      } catch (error) {
        failures.set(row.name, error);
        note(`   ${error.message}`);
      }
    }
  }
  return { seen, failures, sizes: reached };
}

export default {
  title: 'A million traces over 12 months',
  method: [
    'Each question is asked 30 times, in turn with the others, by one client on one connection, through nginx; p50 and p95 of',
    'the milliseconds until the last byte. Export, deletion and retention are done once. Traces are those of `scripts/demo-data --lean --days 366`; after each growth the',
    'tables are vacuumed and analyzed. Each table is one of growth: a column for each number of traces.',
  ].join('\n'),
  rows: ROWS.map(told),

  async start({ quick, runDir, rows, rounds, note }) {
    const stack = await startProduct({ runDir });
    const stop = () => stack.stop({ keep: runDir !== undefined });

    try {
      note(`the product runs in ${stack.runDir}`);
      const sizes = quick ? QUICK_SIZES : SIZES;
      const [times, seconds] = quick ? [3, 1] : [30, 5];
      return { stop, ...(await grow({ stack, sizes, rows, rounds, times, seconds, note })) };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
