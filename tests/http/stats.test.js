// Facets and statistics: counted from the traces that are there, and the caller's own.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { NOBODY, api, assertProblem } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';
import { clearTraces, insertTraces } from '../lib/traces.js';

const at = (minute, second = 0) =>
  `2026-03-01T10:${String(minute).padStart(2, '0')}:${String(second).padStart(2, '0')}Z`;
const DAY_MS = 86_400_000;
const HOUR = 'from=2026-03-01T10:00:00Z&to=2026-03-01T11:00:00Z';

// ok: completed by groq; with two fallbacks; failed; running; the hour before; another's.
const ok = (n, more = {}) => ({
  name: `ok ${n}`,
  status: 'completed',
  provider_used: 'groq',
  model: 'm',
  created_at: at(n),
  total_duration_ms: (n + 1) * 100,
  llm_call_count: 1,
  prompt_tokens: 10,
  completion_tokens: 20,
  total_tokens: 30,
  cost_usd: 0.01,
  ...more,
});
const calls = (...list) =>
  JSON.stringify(list.map(([provider, error_class, cost_usd]) => ({ provider, error_class, cost_usd })));
const TRACES = [
  ...Array.from({ length: 10 }, (_, n) => ok(n)),
  ok(20, {
    provider_used: 'openai',
    model: 'n',
    fallback_providers: ['openai'],
    error_class: 'timeout',
    llm_call_count: 3,
    llm_calls: calls(['gemini', 'server_error', null], ['gemini', 'truncated', 0.02], ['openai', null, 0.3]),
    cost_usd: null,
  }),
  ok(21, {
    status: 'failed',
    provider_used: null,
    error_class: 'auth',
    total_duration_ms: 7,
    cost_usd: 0.5,
    total_tokens: null,
    prompt_tokens: null,
    llm_calls: calls(['openai', 'auth', 0.5]),
  }),
  ok(22, { status: 'started', provider_used: null, total_duration_ms: null, llm_call_count: 0, cost_usd: null, total_tokens: null, prompt_tokens: null, completion_tokens: null }),
  { ...ok(0), name: 'before', created_at: '2026-03-01T09:30:00Z', total_duration_ms: 42, llm_calls: calls(['groq', 'empty', 0.01]) },
  { ...ok(0), name: 'edge', created_at: '2026-03-01T11:00:00Z' },
  { ...ok(0), name: 'foreign', owner: 'somebody', provider_used: 'gemini', created_at: at(5), llm_calls: calls(['qwen', 'quota', 9]) },
];

let stack, call, db;

before(async () => {
  stack = await startStack();
  call = api(stack);
  db = openSession(stack.databaseUrl);
  await clearTraces(db);
  await insertTraces(db, TRACES);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

async function ask(path, options) {
  const answer = await call('GET', path, options);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

const facets = (query = '', options = {}) => ask(`/api/traces/facets?${query}`, options);
const stats = async (query, options) => (await ask(`/api/traces/stats?${query}`, options)).stats;
const histogram = async (query, options) => (await ask(`/api/traces/histogram?${query}`, options)).histogram;
// What a histogram has of statistics.
const countsOf = ({ from, to, bucket, series }) => ({
  from,
  to,
  bucket,
  series: series.map(({ at: time, completed, failed, started }) => ({ at: time, completed, failed, started })),
});

describe('facets', () => {
  test('are the values of status, provider, model and error class with their counts, most first', async () =>
    assert.deepEqual(await facets(), {
      facets: {
        status: [
          { value: 'completed', count: 13 },
          { value: 'failed', count: 1 },
          { value: 'started', count: 1 },
        ],
        provider: [
          { value: 'groq', count: 12 },
          { value: null, count: 2 },
          { value: 'openai', count: 1 },
        ],
        model: [
          { value: 'm', count: 14 },
          { value: 'n', count: 1 },
        ],
        error_class: [
          { value: null, count: 13 },
          { value: 'auth', count: 1 },
          { value: 'timeout', count: 1 },
        ],
      },
      total: 15,
    }));

  test('each obeys all filters but its own, the total obeys all', async () => {
    const { facets: f, total } = await facets('status=failed&model=m');

    assert.equal(total, 1);
    assert.deepEqual(f.status, [
      { value: 'completed', count: 12 },
      { value: 'failed', count: 1 },
      { value: 'started', count: 1 },
    ]);
    assert.deepEqual(f.model, [{ value: 'm', count: 1 }]);
    assert.deepEqual(f.provider, [{ value: null, count: 1 }]);
    assert.deepEqual(f.error_class, [{ value: 'auth', count: 1 }]);
  });

  test('obey from, to, durations and search', async () => {
    assert.equal((await facets(HOUR)).total, 13);
    assert.equal((await facets('min_duration_ms=1000')).total, 2);
    assert.equal((await facets('q=outline')).total, 15);
    assert.equal((await facets('q=nothing')).total, 0);
    assert.deepEqual((await facets('q=nothing')).facets, { status: [], provider: [], model: [], error_class: [] });
  });

  test('are at most 50 values', async () => {
    await db.run(
      `INSERT INTO lesson_traces (owner, request_data, model, created_at)
       SELECT 'many', '{}', 'model ' || n, now() FROM generate_series(1, 60) n`,
    );
    const { facets: f } = await facets('', { as: 'admin' });
    assert.equal(f.model.length, 50);
    await db.run("DELETE FROM lesson_traces WHERE owner = 'many'");
  });

  test('count own traces for a user, those of all for an admin', async () => {
    assert.ok(!JSON.stringify(await facets()).includes('gemini'));
    assert.equal((await facets('', { as: 'admin' })).total, 16);
    assert.equal((await facets('provider=gemini', { as: 'admin' })).total, 1);
    assert.equal((await facets('provider=gemini')).total, 0);
  });
});

const TOTALS = {
  requests: 13,
  completed: 11,
  failed: 1,
  started: 1,
  error_rate: 0.083333,
  fallbacks: 1,
  duration_ms: { p50: 500, p95: 2100, p99: 2100, n: 12 },
  llm_call_count: 14,
  prompt_tokens: 110,
  completion_tokens: 240,
  total_tokens: 330,
  cost_usd: 0.6,
  cost_known: 11,
};

describe('statistics', () => {
  test('have totals, the previous period, groups and a series', async () => {
    const s = await stats(HOUR);

    assert.equal(s.from, '2026-03-01T10:00:00+00:00');
    assert.equal(s.to, '2026-03-01T11:00:00+00:00');
    assert.equal(s.bucket, 'minute');
    assert.deepEqual(s.totals, { ...TOTALS, failed_calls: 3, failed_cost_usd: 0.52 });
    assert.deepEqual([s.previous.requests, s.previous.failed_calls, s.previous.failed_cost_usd], [1, 1, 0.01]);
    assert.deepEqual(s.previous.duration_ms, { p50: 42, p95: 42, p99: 42, n: 1 });
    assert.deepEqual(
      s.by_provider.map(({ provider, requests, cost_usd, error_rate }) => [provider, requests, cost_usd, error_rate]),
      [
        ['groq', 10, 0.1, 0],
        [null, 2, 0.5, 1],
        ['openai', 1, null, 0],
      ],
    );
    assert.deepEqual(Object.keys(s.by_provider[0]), ['provider', ...Object.keys(TOTALS)]);
    assert.deepEqual(
      s.by_model.map(({ provider, model, requests }) => [provider, model, requests]),
      [
        ['groq', 'm', 10],
        [null, 'm', 2],
        ['openai', 'n', 1],
      ],
    );
    assert.deepEqual(s.calls_by_provider, [
      { provider: 'groq', answered: 10, failed_calls: 0, error_rate: 0, failed_cost_usd: null },
      { provider: 'gemini', answered: 0, failed_calls: 2, error_rate: 1, failed_cost_usd: 0.02 },
      { provider: 'openai', answered: 1, failed_calls: 1, error_rate: 0.5, failed_cost_usd: 0.5 },
    ]);
    assert.deepEqual(s.failed_calls, [
      { provider: 'gemini', error_class: 'server_error', count: 1, cost_usd: null },
      { provider: 'gemini', error_class: 'truncated', count: 1, cost_usd: 0.02 },
      { provider: 'openai', error_class: 'auth', count: 1, cost_usd: 0.5 },
    ]);
    assert.deepEqual(s.by_error_class, [
      { error_class: 'auth', count: 1, cost_usd: 0.5 },
      { error_class: 'timeout', count: 1, cost_usd: null },
    ]);
    assert.equal(s.series.length, 60);
    assert.deepEqual(s.series[21], {
      at: '2026-03-01T10:21:00+00:00',
      started: 0,
      completed: 0,
      failed: 1,
      requests: 1,
      error_rate: 1,
      duration_ms: { p50: 7, p95: 7, p99: 7, n: 1 },
      total_tokens: null,
      cost_usd: 0.5,
    });
    assert.deepEqual(s.series[30], {
      at: '2026-03-01T10:30:00+00:00',
      started: 0,
      completed: 0,
      failed: 0,
      requests: 0,
      error_rate: null,
      duration_ms: { p50: null, p95: null, p99: null, n: 0 },
      total_tokens: null,
      cost_usd: null,
    });
  });

  test('of a time without traces are zeros, and null where nothing is known', async () => {
    const s = await stats('from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z');

    for (const totals of [s.totals, s.previous])
      assert.deepEqual(totals, {
        requests: 0,
        completed: 0,
        failed: 0,
        started: 0,
        error_rate: null,
        fallbacks: 0,
        duration_ms: { p50: null, p95: null, p99: null, n: 0 },
        llm_call_count: 0,
        prompt_tokens: null,
        completion_tokens: null,
        total_tokens: null,
        cost_usd: null,
        failed_cost_usd: null,
        cost_known: 0,
        failed_calls: 0,
      });
    assert.deepEqual([s.by_provider, s.by_model, s.calls_by_provider, s.failed_calls, s.by_error_class], [[], [], [], [], []]);
    assert.equal(s.series.length, 96);
  });

  test('obey every filter', async () => {
    assert.equal((await stats(`${HOUR}&provider=groq`)).totals.requests, 10);
    assert.equal((await stats(`${HOUR}&status=failed,started`)).totals.requests, 2);
    assert.equal((await stats(`${HOUR}&q=outline`)).totals.requests, 13);
    assert.equal((await stats(`${HOUR}&q=nothing`)).totals.requests, 0);
    assert.equal((await stats(`${HOUR}&max_duration_ms=100`)).totals.requests, 2);
  });

  test('obey all filters at once, as do facets, lists and counts', async () => {
    const all =
      'status=completed&provider=openai&model=n&error_class=timeout&fallback=true&failed_provider=gemini' +
      `&lesson_id=${NOBODY}&min_duration_ms=1&max_duration_ms=99999&q=outline&${HOUR}`;
    for (const as of ['user', 'admin']) {
      assert.equal((await stats(all, { as })).totals.requests, 0, as);
      assert.equal((await facets(all, { as })).total, 0, as);
      assert.equal((await ask(`/api/traces?${all}&count=exact&sort=-cost_usd`, { as })).total, 0, as);
      assert.equal((await stats(all.replace(/&lesson_id=[^&]*/, ''), { as })).totals.requests, 1, as);
    }
  });

  test('are the last 24 hours if nothing is said, in 15 minutes', async () => {
    const s = await stats('');

    assert.equal(Date.parse(s.to) - Date.parse(s.from), 86_400_000);
    assert.ok(Math.abs(Date.parse(s.to) - Date.now()) < 60_000);
    assert.equal(s.bucket, '15min');
  });

  for (const [from, to, bucket, least] of [
    ['2026-03-01T00:00:00Z', '2026-03-01T01:00:00Z', 'minute', 60],
    ['2026-03-01T00:00:00Z', '2026-03-01T06:00:00Z', '5min', 72],
    ['2026-03-01T00:00:00Z', '2026-03-04T00:00:00Z', 'hour', 72],
    ['2026-03-01T00:00:00Z', '2026-03-31T00:00:00Z', '6h', 120],
    ['2026-01-01T00:00:00Z', '2026-04-01T00:00:00Z', 'day', 90],
    ['2025-04-01T00:00:00Z', '2026-04-01T00:00:00Z', 'week', 53],
    ['2022-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'month', 48],
  ])
    test(`from ${from} to ${to} come by ${bucket}`, async () => {
      const s = await stats(`from=${from}&to=${to}`);

      assert.equal(s.bucket, bucket);
      assert.ok(Math.abs(s.series.length - least) <= 1, String(s.series.length));
      assert.ok(Date.parse(s.series[0].at) <= Date.parse(from));
      assert.ok(Date.parse(s.series.at(-1).at) < Date.parse(to));
      for (const { at: time } of s.series) {
        if (bucket === 'week') assert.equal(new Date(time).getUTCDay(), 1);
        if (bucket === 'month') assert.equal(new Date(time).getUTCDate(), 1);
      }
      assert.equal(
        s.series.reduce((sum, { requests }) => sum + requests, 0),
        s.totals.requests,
      );
      assert.deepEqual(await histogram(`from=${from}&to=${to}`), countsOf(s));
    });

  test('have a histogram of their counts alone, that obeys every filter', async () => {
    for (const query of ['', '&provider=groq', '&status=failed,started', '&q=outline', '&q=nothing', '&max_duration_ms=100', '&bucket=minute'])
      for (const as of ['user', 'admin']) assert.deepEqual(await histogram(HOUR + query, { as }), countsOf(await stats(HOUR + query, { as })), query);
    const { bucket, series } = await histogram('');
    assert.equal(bucket, '15min');
    assert.ok(Math.abs(series.length - 96) <= 1, String(series.length));
  });

  for (const [query, member] of [
    ['bucket=second', 'bucket'],
    ['bucket=', 'bucket'],
    ['from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&bucket=minute', 'bucket'],
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'],
    ['from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z', 'from'],
    ['from=0001-01-01T00:00:00Z&to=0001-01-02T00:00:00Z', 'from'],
    ['to=0001-01-01T12:00:00Z', 'from'],
    ['limit=1', 'limit'],
  ])
    test(`refuse ${query}`, async () => {
      assertProblem(await call('GET', `/api/traces/stats?${query}`), 400, member);
      // It has no period before.
      if (query.includes('0001-01-01')) assert.equal((await call('GET', `/api/traces/histogram?${query}`)).status, 200);
      else assertProblem(await call('GET', `/api/traces/histogram?${query}`), 400, member);
    });

  test('are of own traces for a user, of all for an admin', async () => {
    assert.ok(!JSON.stringify(await stats(HOUR)).includes('qwen'));
    assert.equal((await stats(HOUR, { as: 'admin' })).totals.requests, 14);
  });

  test('forget a deleted trace at once', async () => {
    await insertTraces(db, [{ ...ok(40), name: 'gone' }]);
    assert.equal((await stats(HOUR)).totals.requests, 14);
    const [{ id }] = await db.rows("SELECT md5('gone')::uuid AS id");
    await call('DELETE', `/api/traces/${id}`);
    assert.equal((await stats(HOUR)).totals.requests, 13);
    assert.equal((await facets(HOUR)).total, 13);
  });

  test('of many traces have percentiles within 1 %, of few the exact ones', async () => {
    await db.run(
      `INSERT INTO lesson_traces (owner, request_data, status, total_duration_ms, created_at, provider_used)
       SELECT 'crowd', '{}', 'completed', exp(5 + 6 * (hashint4(n) & 65535) / 65536.0)::int, '2026-05-01T10:30:00Z',
              CASE WHEN n <= 5 THEN 'rare' ELSE 'usual' END
         FROM generate_series(1, 30000) n`,
    );
    const s = await stats('from=2026-05-01T10:00:00Z&to=2026-05-01T11:00:00Z', { as: 'admin' });
    const exact = async (where) =>
      (
        await db.rows(
          `SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY total_duration_ms) AS p50,
                  percentile_disc(0.95) WITHIN GROUP (ORDER BY total_duration_ms) AS p95,
                  percentile_disc(0.99) WITHIN GROUP (ORDER BY total_duration_ms) AS p99
             FROM lesson_traces WHERE owner = 'crowd' AND ${where}`,
        )
      )[0];

    const all = await exact('true');
    assert.equal(s.totals.duration_ms.n, 30000);
    for (const p of ['p50', 'p95', 'p99'])
      assert.ok(Math.abs(s.totals.duration_ms[p] / all[p] - 1) <= 0.01, `${p}: ${s.totals.duration_ms[p]}, not ${all[p]}`);
    const { n, ...rare } = s.by_provider.find(({ provider }) => provider === 'rare').duration_ms;
    assert.equal(n, 5);
    assert.deepEqual(rare, await exact("provider_used = 'rare'"));
    const few = await stats('from=2026-05-01T10:00:00Z&to=2026-05-01T11:00:00Z&max_duration_ms=300', { as: 'admin' });
    const { n: some, ...of } = few.totals.duration_ms;
    assert.ok(some <= 5000);
    assert.deepEqual(of, await exact('total_duration_ms <= 300'));
  });

  // Every three minutes of 20 days, by two owners; some fail, some cost nothing that is known.
  describe('of months', () => {
    const BEGIN = Math.floor(Date.now() / DAY_MS - 60) * DAY_MS;
    const on = (day, time = '00:00') => `${new Date(BEGIN + day * DAY_MS).toISOString().slice(0, 11)}${time}:00Z`;
    const RANGE = `from=${on(21, '01:30')}&to=${on(36, '22:10')}`;
    // As the API counts while nothing may be summed up: all from the traces.
    const counted = async (ask, query, options) => {
      const other = openSession(stack.databaseUrl);

      await db.run('DELETE FROM trace_rolled');
      await other.run("BEGIN; SELECT pg_advisory_xact_lock(hashtext('trace_roll_up'))");
      const answer = await ask(query, options);
      await other.run('ROLLBACK');
      await other.end();
      return answer;
    };
    // Percentiles are within 1 % either way; all else is the same.
    const same = (a, b, path = 'stats') => {
      if (/\.p(50|95|99)$/.test(path)) assert.ok(a === b || Math.abs(a / b - 1) <= 0.02, `${path}: ${a}, not ${b}`);
      else if (a === null || typeof a !== 'object') assert.equal(a, b, path);
      else {
        assert.deepEqual(Object.keys(a), Object.keys(b), path);
        for (const key of Object.keys(a)) same(a[key], b[key], `${path}.${key}`);
      }
    };

    before(() =>
      db.run(
        `INSERT INTO lesson_traces (owner, request_data, status, provider_used, model, error_class, fallback_providers,
                                    total_duration_ms, llm_call_count, total_tokens, cost_usd, created_at)
         SELECT CASE WHEN n % 3 = 0 THEN 'somebody' ELSE 'user' END, '{}', CASE WHEN n % 50 = 0 THEN 'started' WHEN n % 7 = 0 THEN 'failed' ELSE 'completed' END,
                CASE WHEN n % 7 > 0 THEN 'p' || n % 2 END, 'm' || n % 5, CASE WHEN n % 7 = 0 THEN 'timeout' END,
                CASE WHEN n % 11 = 0 THEN '{p}'::text[] END, CASE WHEN n % 50 > 0 THEN 50 + (hashint4(n) & 65535) END, 1 + n % 3,
                n % 100, CASE WHEN n % 4 > 0 THEN n / 1000.0 END, '${on(0)}'::timestamptz + n * interval '1 minute'
           FROM generate_series(1, 60000) n`,
      ));

    for (const bucket of ['6h', 'day', 'week', 'month'])
      for (const [query, as] of [
        ['', 'admin'],
        ['', 'user'],
        ['&provider=p1,none', 'admin'],
        ['&status=completed,failed&model=m1,m2', 'admin'],
      ])
        test(`are by ${bucket} what is counted from the traces, for ${as}${query}`, async () => {
          const found = `${RANGE}&bucket=${bucket}${query}`;
          const expected = await counted(stats, found, { as });

          await db.run("SELECT trace_roll_up('1 minute')");
          same(await stats(found, { as }), expected);
          assert.deepEqual(await histogram(found, { as }), countsOf(expected));
        });

    test('have a histogram that reads what is summed up', async () => {
      const found = `${RANGE}&bucket=day`;
      const expected = await counted(histogram, found, { as: 'admin' });
      const sums = async () => (await histogram(found, { as: 'admin' })).series.map(({ completed }) => completed);

      await db.run("SELECT trace_roll_up('1 minute')");
      const before = await sums();
      assert.deepEqual(before, expected.series.map(({ completed }) => completed));
      await db.run(`UPDATE trace_rollups SET n = n + 1000 WHERE at = '${on(26, '06:00')}'`);
      assert.notDeepEqual(await sums(), before);
      await db.run(`UPDATE trace_rollups SET n = n - 1000 WHERE at = '${on(26, '06:00')}'`);
      await db.run(`UPDATE lesson_traces SET last_error = NULL WHERE created_at = '${on(26, '12:00')}'`);
      assert.deepEqual(await sums(), before);
    });

    test('forget a deleted trace at once', async () => {
      const { requests } = (await stats(`${RANGE}&bucket=day`, { as: 'admin' })).totals;
      const [{ id }] = await db.rows(`SELECT id FROM lesson_traces WHERE created_at = '${on(26, '12:00')}'`);

      assert.equal((await call('DELETE', `/api/traces/${id}`, { as: 'admin' })).status, 200);
      assert.equal((await stats(`${RANGE}&bucket=day`, { as: 'admin' })).totals.requests, requests - 1);
    });

    // Beside those of months one of the six hours that run, one of the future, and one too old to be summed up.
    describe('have the facets that are counted from the traces', () => {
      const slot = on(26, '06:00');

      before(() =>
        db.run(
          `INSERT INTO lesson_traces (owner, request_data, status, created_at)
           SELECT 'user', '{}', 'completed', at FROM unnest(ARRAY[now(), now() + interval '1 year', now() - interval '3 years']) at`,
        ));

      for (const [query, as, isRolled = true] of [
        ['', 'admin'],
        ['', 'user'],
        ['provider=p1,none&status=failed,started', 'admin'],
        ['model=m1,m2', 'user'],
        [RANGE, 'user'],
        [`from=${on(21, '01:30')}&error_class=timeout`, 'admin'],
        [`to=${on(27, '01:30')}`, 'admin'],
        [`to=${on(26, '11:59')}`, 'admin', false],
        ['min_duration_ms=1000&model=m1', 'admin', false],
      ])
        test(`for ${as}: ${query}`, async () => {
          const expected = await counted(facets, query, { as });
          const isFalsified = async () => {
            await db.run(`UPDATE trace_rollups SET n = n + 1000 WHERE at = '${slot}'`); // or they are not looked at
            const { total } = await facets(query, { as });
            await db.run(`UPDATE trace_rollups SET n = n - 1000 WHERE at = '${slot}'`);
            return total > expected.total;
          };

          assert.ok(expected.total > 0);
          await db.run("SELECT trace_roll_up('1 minute')");
          assert.deepEqual(await facets(query, { as }), expected);
          assert.equal(await isFalsified(), isRolled);
          await db.run(`UPDATE lesson_traces SET last_error = NULL WHERE created_at = '${on(26, '12:00')}'`); // the next six hours
          assert.deepEqual(await facets(query, { as }), expected);
        });
    });

    test('have facets that forget a deleted trace at once', async () => {
      const { total } = await facets('', { as: 'admin' });
      const [{ id }] = await db.rows(`SELECT id FROM lesson_traces WHERE created_at = '${on(27, '12:00')}'`);

      assert.equal((await call('DELETE', `/api/traces/${id}`, { as: 'admin' })).status, 200);
      assert.equal((await facets('', { as: 'admin' })).total, total - 1);
    });

    test('are summed up by who asks', async () => {
      await db.run('DELETE FROM trace_rolled');
      await stats(`${RANGE}&bucket=day`, { as: 'admin' });
      assert.ok(Number(await db.run('SELECT count(*) FROM trace_rolled')) > 0);
    });
  });
});
