// The list of traces, filtered, searched and sorted: every way by itself, all of them together, page by page.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { NOBODY, api, assertProblem } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';
import { clearTraces, insertTraces, namesOf, walkTraces } from '../lib/traces.js';

const LESSON = '11111111-1111-4111-8111-111111111111';
const at = (minute, rest = '') => `2026-03-01T10:${String(minute).padStart(2, '0')}:00${rest}Z`;

// Newest last; what is not said is null.
const TRACES = [
  { name: 'running', status: 'started', created_at: at(0), model: 'gpt-6-luna', outline: 'The moon' },
  {
    name: 'quick',
    status: 'completed',
    created_at: at(1),
    provider_used: 'groq',
    model: 'openai/gpt-oss-20b',
    total_duration_ms: 900,
    total_tokens: 500,
    cost_usd: 0.001,
    outline: 'Fractions for 100% of a class_7',
  },
  {
    name: 'slow',
    status: 'completed',
    created_at: at(2),
    provider_used: 'openai',
    model: 'gpt-6-luna',
    total_duration_ms: 90000,
    total_tokens: 500,
    cost_usd: 0.02,
    fallback_providers: ['openai'],
    llm_calls: JSON.stringify([
      { provider: 'gemini', error_class: 'server_error' },
      { provider: 'groq', error_class: 'rate_limited' },
      { provider: 'openai', error_class: null },
    ]),
    error_class: 'rate_limited',
    last_error: 'HTTP 429, Rate Limit Reached',
    outline: 'The MOON has phases',
  },
  {
    name: 'failed',
    status: 'failed',
    created_at: at(3),
    model: 'gpt-6-luna',
    total_duration_ms: 900,
    error_class: 'timeout',
    last_error: 'no answer in time',
    llm_calls: JSON.stringify([{ provider: 'openai', error_class: 'timeout' }]),
    error_message: 'every provider failed: openai: timeout',
    outline: 'Magnets \\ and iron',
  },
  {
    name: 'local',
    status: 'completed',
    created_at: at(4),
    provider_used: 'ollama',
    model: 'gemma4',
    total_duration_ms: 30000,
    total_tokens: 900,
    cost_usd: 0,
    lesson_id: LESSON,
    outline: 'Why leaves are green: θάλασσες, cafe\u0301, ＡＢＣ５０％',
  },
];
const NAMES = TRACES.map(({ name }) => name);
const newestFirst = (...names) => NAMES.filter((name) => names.includes(name)).reverse();

let stack, call, db;

before(async () => {
  stack = await startStack();
  call = api(stack);
  db = openSession(stack.databaseUrl);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

const found = async (query, options) => namesOf(await walkTraces(db, call, query, options), NAMES);

describe('a filter', () => {
  before(async () => {
    await clearTraces(db);
    await db.run(`INSERT INTO lessons (id, owner, title, outline) VALUES ('${LESSON}', 'user', 't', 'o')`);
    await insertTraces(db, TRACES);
    // Another's, of every kind: a user never finds them.
    await insertTraces(
      db,
      TRACES.map((trace) => ({ ...trace, name: `not ${trace.name}`, owner: 'somebody', lesson_id: null })),
    );
  });

  const CASES = [
    ['', NAMES],
    ['status=failed', ['failed']],
    ['status=failed,started', ['failed', 'running']],
    ['status=completed,failed,started', NAMES],
    ['provider=groq', ['quick']],
    ['provider=groq,ollama', ['quick', 'local']],
    ['provider=none', ['running', 'failed']],
    ['provider=none,groq', ['running', 'failed', 'quick']],
    ['provider=openrouter', []],
    ['model=gpt-6-luna', ['running', 'slow', 'failed']],
    ['model=openai/gpt-oss-20b,gemma4', ['quick', 'local']],
    ['model=none', []],
    ['error_class=timeout', ['failed']],
    ['error_class=none', ['running', 'quick', 'local']],
    ['error_class=timeout,none', ['running', 'quick', 'local', 'failed']],
    ['fallback=true', ['slow']],
    ['fallback=false', ['running', 'quick', 'failed', 'local']],
    ['failed_provider=gemini', ['slow']],
    ['failed_provider=openai', ['failed']],
    ['failed_provider=groq,openai', ['slow', 'failed']],
    ['failed_provider=ollama', []],
    ['failed_provider=groq&fallback=true&provider=openai', ['slow']],
    [`lesson_id=${LESSON}`, ['local']],
    [`from=${at(2)}`, ['slow', 'failed', 'local']],
    [`to=${at(2)}`, ['running', 'quick']],
    [`from=${at(1)}&to=${at(3)}`, ['quick', 'slow']],
    ['from=2026-03-01T12:02:00%2B02:00', ['slow', 'failed', 'local']],
    ['from=2026-03-01T10:02:00.000001Z', ['failed', 'local']],
    ['min_duration_ms=30000', ['slow', 'local']],
    ['max_duration_ms=900', ['quick', 'failed']],
    ['min_duration_ms=900&max_duration_ms=900', ['quick', 'failed']],
    ['min_duration_ms=901&max_duration_ms=89999', ['local']],
    ['q=moon', ['running', 'slow']],
    ['q=MoOn', ['running', 'slow']],
    ['q=rate%20limit', ['slow']],
    ['q=every%20provider', ['failed']],
    ['q=GPT-OSS', ['quick']],
    ['q=100%25', ['quick']],
    ['q=100%25%20of', ['quick']],
    [`q=${encodeURIComponent('ΘΆΛΑΣΣΕΣ')}`, ['local']],
    [`q=${encodeURIComponent('θάλασσεσ')}`, ['local']],
    [`q=${encodeURIComponent('caf\u00e9')}`, ['local']],
    [`q=${encodeURIComponent('CAFE\u0301')}`, ['local']],
    [`q=${encodeURIComponent('bc50%')}`, ['local']],
    [`q=${encodeURIComponent('５０％')}`, ['local']],
    [`q=${encodeURIComponent('ab％％')}`, []],
    [`q=%25%25%25&from=${at(0)}`, []],
    [`q=___&from=${at(0)}`, []],
    ['q=class_7', ['quick']],
    ['q=class-7', []],
    ['q=s%20%5C%20a', ['failed']],
    [`q=oo&from=${at(0)}`, ['running', 'slow']],
    [`q=%25&from=${at(0)}`, ['quick', 'local']],
    [`q=_&from=${at(0)}`, ['quick']],
    [`q=%5C&from=${at(0)}`, ['failed']],
    ['status=completed&provider=openai&model=gpt-6-luna&error_class=rate_limited&q=phases', ['slow']],
    [
      `status=completed,failed&provider=ollama,none&model=gemma4,none&error_class=none&lesson_id=${LESSON}` +
        `&from=${at(0)}&to=${at(9)}&min_duration_ms=1&max_duration_ms=99999&q=GREEN`,
      ['local'],
    ],
  ];

  for (const [query, names] of CASES)
    test(`${query || 'that is none'} finds exactly its traces`, async () => {
      assert.deepEqual(await found(query), newestFirst(...names));
      assert.deepEqual(await found(query, { view: 'full', limit: 50 }), newestFirst(...names));
      const counted = await call('GET', `/api/traces?count=exact&limit=1&${query}`);
      assert.equal(counted.body.total, names.length);
    });

  test('finds those of everybody for an admin', async () => {
    assert.equal((await walkTraces(db, call, 'q=moon', { as: 'admin' })).length, 4);
    assert.equal((await walkTraces(db, call, 'status=failed', { as: 'admin' })).length, 2);
  });
});

describe('an order', () => {
  before(async () => {
    await clearTraces(db);
    await insertTraces(
      db,
      TRACES.map(({ lesson_id: _, ...trace }) => trace),
    );
  });

  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  // What the rule says: by value, unknown last, then by id.
  async function expected(sort) {
    const column = sort.replace('-', '');
    const sign = sort.startsWith('-') ? -1 : 1;
    const rows = await db.rows(`SELECT id, ${column} AS value FROM lesson_traces`);

    rows.sort(
      (a, b) =>
        compare(a.value === null, b.value === null) || sign * compare(a.value, b.value) || sign * compare(a.id, b.id),
    );
    return namesOf(
      rows.map(({ id }) => id),
      NAMES,
    );
  }

  for (const column of ['created_at', 'total_duration_ms', 'total_tokens', 'cost_usd'])
    for (const sort of [column, `-${column}`])
      for (const limit of [1, 2, 50])
        test(`sort=${sort} is kept over pages of ${limit}, unknown values last`, async () => {
          const order = await expected(sort);

          assert.deepEqual(await found(`sort=${sort}`, { limit }), order);
          assert.deepEqual(
            await found(`sort=${sort}&status=completed,failed&q=%20an`, { limit }),
            order.filter((name) => ['failed'].includes(name)),
          );
          assert.deepEqual(
            await found(`sort=${sort}&model=gpt-6-luna`, { limit }),
            order.filter((name) => ['running', 'slow', 'failed'].includes(name)),
          );
        });

  test('is kept by offset, too', async () => {
    const order = await expected('-cost_usd');
    const { body } = await call('GET', '/api/traces?sort=-cost_usd&limit=2&offset=2');

    assert.deepEqual(await namesOf(body.traces.map(({ id }) => id), NAMES), order.slice(2, 4));
  });

  test('binds the cursor: with another sort or filter it is refused', async () => {
    const cursors = {};
    const ways = ['', 'sort=created_at', 'sort=-cost_usd', 'sort=cost_usd', 'sort=-total_tokens', 'q=gpt', 'status=completed'];

    for (const way of ways)
      cursors[way] = (await call('GET', `/api/traces?limit=1&${way}`)).body.next_cursor;
    for (const way of ways)
      for (const other of ways) {
        const answer = await call('GET', `/api/traces?${other}&cursor=${cursors[way]}`);
        if (way === other) assert.equal(answer.status, 200);
        else assertProblem(answer, 400, 'cursor');
      }
    const same = await call('GET', `/api/traces?sort=-created_at&cursor=${cursors['']}`);
    assert.equal(same.status, 200, 'the default said aloud');
  });
});

describe('a search', () => {
  // Word, and how it may be asked for.
  const LANGUAGES = [
    ['Die GRÖßE der Flächen', ['größe', 'GRÖßE', 'FLÄCHEN', 'Die Gr']],
    ['Pourquoi la LUNE? L’été à l’école', ['L’ÉTÉ', 'l’École', 'lune?']],
    ['El niño y la montaña', ['NIÑO', 'montaÑa']],
    ['Почему у Луны бывают фазы: ёлка', ['ПОЧЕМУ', 'луны', 'ЁЛКА']],
    ['لماذا يتغير شكل القمر', ['القمر', 'شكل ال']],
    ['月亮为什么有圆缺', ['为什么', '月亮为']],
    ['चंद्रमा की कलाएँ क्यों बदलती हैं', ['कलाएँ', 'चंद्रमा की']],
    ['月の形が変わる理由', ['の形が', '変わる']],
    ['Η ΣΕΛΗΝΗ', ['σεληνη']],
    ['🌱 plants 🌍', ['🌱 p', 'PLANTS 🌍']],
  ];

  before(async () => {
    await clearTraces(db);
    await insertTraces(
      db,
      LANGUAGES.map(([outline], i) => ({ name: outline, outline, status: i % 3 === 0 ? 'started' : 'completed' })),
    );
    await insertTraces(db, [{ name: 'another', owner: 'somebody', outline: LANGUAGES.map(([o]) => o).join(' ').slice(0, 190) }]);
  });

  for (const [outline, questions] of LANGUAGES)
    for (const words of questions)
      for (const [where, rows] of [
        ['among the newest', 0],
        ['by its index', 10100],
      ])
        test(`for “${words}” finds “${outline}” ${where}`, async () => {
          await db.run(
            `INSERT INTO lesson_traces (owner, request_data, status) SELECT 'user', '{"outline": "x"}', 'completed'
               FROM generate_series(1, ${rows})`,
          );
          const ids = await walkTraces(db, call, `q=${encodeURIComponent(words)}`, { limit: 50 });
          await db.run(`DELETE FROM lesson_traces WHERE request_data = '{"outline": "x"}'`);
          assert.deepEqual(await namesOf(ids, [outline]), [outline]);
        });

  test('shows all that have a value before those that have none, wherever they are found', async () => {
    await clearTraces(db);
    await db.run(
      `INSERT INTO lesson_traces (id, owner, request_data, status, cost_usd)
       SELECT md5(n::text)::uuid, 'user', jsonb_build_object('outline', CASE WHEN n > 10500 THEN 'a needle' ELSE 'hay' END),
              'completed', CASE WHEN n <= 10505 THEN n END FROM generate_series(1, 10515) n`,
    );
    const ids = await walkTraces(db, call, 'q=needle&sort=cost_usd', { limit: 4 });
    const known = (await db.rows('SELECT id FROM lesson_traces WHERE cost_usd > 10500 ORDER BY cost_usd')).map(({ id }) => id);

    assert.equal(ids.length, 15);
    assert.deepEqual(ids.slice(0, 5), known);
    await clearTraces(db);
  });

  test('has a cursor that another filter, however it is spelt, does not take', async () => {
    await clearTraces(db);
    await insertTraces(db, [
      { name: 'one', status: 'failed', model: 'a&error_class=b' },
      { name: 'two', status: 'failed', model: 'a&error_class=b' },
    ]);
    const { next_cursor } = (await call('GET', '/api/traces?limit=1&model=a%26error_class%3Db')).body;
    assert.match(next_cursor, /./);
    assert.equal((await call('GET', `/api/traces?model=a%26error_class%3Db&cursor=${next_cursor}`)).body.traces.length, 1);
    for (const other of ['model=a&error_class=b', 'model=a%2526error_class%253Db'])
      assertProblem(await call('GET', `/api/traces?${other}&cursor=${next_cursor}`), 400, 'cursor');
    assert.equal((await call('DELETE', '/api/traces?model=a%26error_class%3Db&confirm=2')).status, 200);
    assert.equal(await db.run('SELECT DISTINCT filter FROM audit_log'), 'model=a%26error_class%3Db');
  });

  test('goes on behind its cursor, wherever it was found', async () => {
    await clearTraces(db);
    await db.run(
      `INSERT INTO lesson_traces (id, owner, request_data, status, created_at)
       SELECT md5(n::text)::uuid, 'user', jsonb_build_object('outline', CASE WHEN n % 700 = 0 THEN 'a needle' ELSE 'hay' END),
              'completed', now() - n * interval '1 second' FROM generate_series(1, 8000) n`,
    );
    const ids = await walkTraces(db, call, 'q=NEEDLE', { limit: 3 });
    const wanted = await db.rows(`SELECT id FROM lesson_traces WHERE outline_preview = 'a needle' ORDER BY created_at DESC`);

    assert.equal(wanted.length, 11);
    assert.deepEqual(
      ids,
      wanted.map(({ id }) => id),
    );
  });
});

describe('a search that is sorted by what may be unknown', () => {
  before(async () => {
    await clearTraces(db);
    await db.run(
      `INSERT INTO lesson_traces (owner, request_data, status, total_tokens, total_duration_ms)
       SELECT 'user', jsonb_build_object('outline', CASE WHEN n <= 20 THEN 'zebrafish' ELSE 'hay' END), 'completed', n, n
         FROM generate_series(1, 3000) n;
       INSERT INTO lesson_traces (owner, request_data, status, total_duration_ms)
       SELECT 'user', '{"outline": "zebrafish"}', 'failed', 3001 + n FROM generate_series(1, 120) n`,
    );
  });

  test('gives those that have a value first, however far behind they are', async () => {
    const { traces, total } = (await call('GET', '/api/traces?q=zebrafish&sort=-total_tokens&limit=50&count=exact')).body;
    assert.equal(total, 140);
    assert.deepEqual(
      traces.map(({ total_tokens }) => total_tokens),
      [...Array.from({ length: 20 }, (_, i) => 20 - i), ...Array(30).fill(null)],
    );
  });

  for (const sort of ['-total_tokens', 'total_tokens', '-total_duration_ms', '-cost_usd'])
    for (const limit of [7, 50, 200])
      test(`by ${sort} gives each once, ${limit} at a time`, async () => {
        const ids = await walkTraces(db, call, `q=zebrafish&sort=${sort}`, { limit });
        const way = sort.startsWith('-') ? 'DESC' : 'ASC';
        const wanted = await db.rows(
          `SELECT id FROM lesson_traces WHERE outline_preview = 'zebrafish'
            ORDER BY ${sort.replace('-', '')} ${way} NULLS LAST, id ${way}`,
        );
        assert.deepEqual(
          ids,
          wanted.map(({ id }) => id),
        );
      });
});

describe('a bad filter is refused, and the member named:', () => {
  for (const [query, member] of [
    ['status=done', 'status'],
    ['status=', 'status'],
    ['status=failed,', 'status'],
    ['status=failed,done', 'status'],
    ['provider=', 'provider'],
    ['provider=,', 'provider'],
    [`model=${'x'.repeat(201)}`, 'model'],
    [`model=${Array(51).fill('x')}`, 'model'],
    ['error_class=', 'error_class'],
    ['lesson_id=x', 'lesson_id'],
    ['from=yesterday', 'from'],
    ['from=2026-03-01', 'from'],
    ['from=2026-02-30T00:00:00Z', 'from'],
    ['from=2026-03-01T10:00:00', 'from'],
    ['from=2026-03-01T24:00:00Z', 'from'],
    ['to=2026-03-01T10:00:00%2B25:00', 'to'],
    ['to=infinity', 'to'],
    ['min_duration_ms=-1', 'min_duration_ms'],
    ['min_duration_ms=1.5', 'min_duration_ms'],
    ['max_duration_ms=2147483648', 'max_duration_ms'],
    ['max_duration_ms=', 'max_duration_ms'],
    ['min_duration_ms=901&max_duration_ms=900', 'min_duration_ms'],
    ['from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z', 'from'],
    ['from=2026-03-02T01:00:00%2B01:00&to=2026-03-02T00:00:00Z', 'from'],
    ['fallback=', 'fallback'],
    ['fallback=yes', 'fallback'],
    ['failed_provider=', 'failed_provider'],
    ['failed_provider=a,,b', 'failed_provider'],
    [`q=${encodeURIComponent('e\u0301e\u0301')}`, 'q'], // two letters
    ['q=', 'q'],
    ['q=ab', 'q'],
    ['q=%D0%B6%D0%B6', 'q'],
    ['q=%25%25%25', 'q'],
    ['q=a--', 'q'],
    ['q=%E2%80%94%E2%80%94%E2%80%94', 'q'], // dashes
    [`q=${'x'.repeat(201)}`, 'q'],
    ['sort=', 'sort'],
    ['sort=-', 'sort'],
    ['sort=--created_at', 'sort'],
    ['sort=owner', 'sort'],
    ['sort=created_at%3B', 'sort'],
    ['status=failed&status=started', 'status'],
    ['colour=red', 'colour'],
  ])
    test(query.slice(0, 60), async () => {
      assertProblem(await call('GET', `/api/traces?${query}`), 400, member);
      if (member !== 'sort') {
        assertProblem(await call('GET', `/api/traces/facets?${query}`), 400, member);
        assertProblem(await call('GET', `/api/traces/stats?${query}`), 400, member);
        assertProblem(await call('GET', `/api/traces/histogram?${query}`), 400, member);
        assertProblem(await call('DELETE', `/api/traces?${query}&confirm=0`), 400, member);
      }
      assertProblem(await call('GET', `/api/traces/export?format=csv&${query}`), 400, member);
    });
});

describe('a list answer', () => {
  test('has an ETag that answers 304 until a row of it changes, facets and statistics likewise', async () => {
    await clearTraces(db);
    await insertTraces(db, [{ name: 'one', status: 'completed', created_at: at(5), total_duration_ms: 5 }]);
    for (const path of [
      '/api/traces?view=summary&status=completed',
      '/api/traces/facets?status=completed',
      `/api/traces/stats?from=${at(0)}&to=${at(9)}`,
    ]) {
      const etag = (await call('GET', path)).headers.get('etag');
      const headers = { 'if-none-match': etag };

      assert.match(etag, /^W\/"[0-9a-f]{16}"$/);
      const again = await call('GET', path, { headers });
      assert.equal(again.status, 304);
      assert.equal(again.text, '');
      await db.run('UPDATE lesson_traces SET total_duration_ms = total_duration_ms + 1, model = total_duration_ms');
      assert.equal((await call('GET', path, { headers })).status, 200);
    }
  });

  test('of view=summary reads nothing that is stored out of line', async () => {
    await clearTraces(db);
    const long = `(SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 400) i)`;
    await db.run(
      `INSERT INTO lesson_traces (owner, request_data, response_data, llm_calls, decisions, status, provider_used, model)
       SELECT 'user', jsonb_build_object('outline', 'moon ' || n, 'more', ${long}), jsonb_build_object('content', ${long}),
              jsonb_build_array(${long}), jsonb_build_array(${long}), 'completed', 'groq', 'm' FROM generate_series(1, 200) n`,
    );
    const toasted = async () => {
      await db.run('SELECT pg_stat_force_next_flush()');
      return Number(
        await db.run(
          `SELECT coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_hit, 0)
             FROM pg_statio_user_tables WHERE relname = 'lesson_traces'`,
        ),
      );
    };
    const settled = async () => {
      let before = -1;
      for (let now = await toasted(); now !== before; now = await toasted()) {
        before = now;
        await new Promise((resolve) => setTimeout(resolve, 1500));
      }
      return before;
    };
    const before = await settled();

    for (const query of ['', 'q=moon', 'q=moon%2011', 'status=completed', 'provider=groq', 'sort=-total_tokens', 'count=exact'])
      for (const as of ['user', 'admin'])
        assert.equal((await call('GET', `/api/traces?view=summary&${query}`, { as })).status, 200);
    for (const name of ['facets', 'histogram', 'stats'])
      for (const query of ['', '?q=moon']) assert.equal((await call('GET', `/api/traces/${name}${query}`)).status, 200);
    assert.equal((await settled()) - before, 0);
    assert.equal((await call('GET', '/api/traces?limit=10')).status, 200);
    assert.ok((await settled()) > before, 'whole rows do');
  });

  test('of an unknown lesson is empty', async () =>
    assert.deepEqual(await walkTraces(db, call, `lesson_id=${NOBODY}`), []));
});
