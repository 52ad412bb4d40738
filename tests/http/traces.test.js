// The traces API: lists and their pages, one trace, deletions, and who may do what.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { NOBODY, TIMESTAMP, UUID, api, assertProblem, sleep, until, withoutIds } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';

const SUMMARY_KEYS = [
  'completed_at',
  'completion_tokens',
  'content_kept',
  'cost_usd',
  'created_at',
  'error_class',
  'error_message',
  'fallback_providers',
  'id',
  'last_error',
  'lesson_id',
  'llm_call_count',
  'model',
  'outline_preview',
  'owner',
  'prompt_tokens',
  'provider_used',
  'request_id',
  'status',
  'total_duration_ms',
  'total_tokens',
];
const FULL_KEYS = [
  ...SUMMARY_KEYS,
  'decisions',
  'llm_calls',
  'request_data',
  'response_data',
].sort();
const LESSON = '11111111-1111-4111-8111-111111111111';
const BAD_UUIDS = [
  'x',
  '1234',
  `${NOBODY}0`,
  NOBODY.slice(1),
  NOBODY.replaceAll('-', ''),
  NOBODY.replace('0', 'g'),
  `{${NOBODY}}`,
];

const DEADLOCK_MS = 1200; // more than PostgreSQL's deadlock_timeout, less than our lock_timeout

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

// What the tests of a group find: nothing.
const empty = () => db.run('DELETE FROM lesson_traces; DELETE FROM lessons; DELETE FROM audit_log');

// Inserts `count` traces; `more` are columns by name and the SQL of their values, in which n counts from 1.
async function insert(count, more = {}) {
  const columns = {
    owner: "'user'",
    request_data: `jsonb_build_object('outline', 'Outline ' || n)`,
    ...more,
  };

  await db.run(
    `INSERT INTO lesson_traces (${Object.keys(columns)})
     SELECT ${Object.values(columns)} FROM generate_series(1, ${count}) n`,
  );
}

// All ids of a list, page by page: `next` says from a page's answer where to go on.
async function walk(path, next, options) {
  const ids = [];
  let pages = 0;

  for (let at = path; at; pages++) {
    const answer = await call('GET', at, options);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.has_more, answer.body.next_cursor !== null);
    assert.ok(answer.body.traces.length <= answer.body.limit);
    ids.push(...answer.body.traces.map((trace) => trace.id));
    at = next(answer);
    assert.ok(pages < 1000, 'the walk does not end');
  }
  return { ids, pages };
}

const byCursor = (path) => (answer) =>
  answer.body.next_cursor && `${path}&cursor=${answer.body.next_cursor}`;
const byLink = (answer) => {
  const link = answer.headers.get('link');
  return link && /^<([^>]+)>; rel="next"$/.exec(link)[1];
};
const inOrder = async (where = 'true') =>
  (
    await db.rows(`SELECT id FROM lesson_traces WHERE ${where} ORDER BY created_at DESC, id DESC`)
  ).map((row) => row.id);

// As fetch would not send it: byte for byte.
async function rawGet(path) {
  const { user, password } = stack.user;
  const [answer] = await once(get(`${stack.baseUrl}/`, { path, auth: `${user}:${password}` }), 'response');
  let text = '';

  for await (const part of answer.setEncoding('utf8')) text += part;
  return { status: answer.statusCode, headers: new Headers(answer.headers), text };
}

describe('list', () => {
  beforeEach(empty);

  test('is an empty page where there is nothing', async () => {
    const answer = await call('GET', '/api/traces');

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(answer.headers.get('link'), null);
    assert.deepEqual(answer.body, {
      traces: [],
      limit: 50,
      offset: 0,
      has_more: false,
      next_cursor: null,
    });
  });

  test('is the newest 50, newest first', async () => {
    await insert(60, { created_at: "now() - n * interval '1 hour'" });
    const { body } = await call('GET', '/api/traces');

    assert.deepEqual(
      body.traces.map((trace) => trace.id),
      (await inOrder()).slice(0, 50),
    );
    assert.equal(body.traces[0].outline_preview, 'Outline 1');
    assert.equal(body.limit, 50);
    assert.equal(body.has_more, true);
  });

  test('has whole rows with every member of the seed, unknown ones null', async () => {
    await insert(1);
    const [trace] = (await call('GET', '/api/traces')).body.traces;

    assert.deepEqual(Object.keys(trace).sort(), FULL_KEYS);
    assert.match(trace.id, UUID);
    assert.match(trace.created_at, TIMESTAMP);
    assert.deepEqual(trace.request_data, { outline: 'Outline 1' });
    assert.deepEqual(trace.llm_calls, []);
    assert.equal(trace.status, 'started');
    for (const name of [
      'lesson_id',
      'response_data',
      'provider_used',
      'fallback_providers',
      'total_duration_ms',
      'error_message',
      'completed_at',
      'model',
      'prompt_tokens',
      'completion_tokens',
      'total_tokens',
      'cost_usd',
      'error_class',
      'last_error',
    ])
      assert.equal(trace[name], null, name);
  });

  test('gives numbers as numbers and zone with every time', async () => {
    await insert(1, {
      status: "'completed'",
      completed_at: "'2026-03-04 05:06:07.5+02'",
      created_at: "'2026-03-04 05:06:07+02'",
      total_duration_ms: '500',
      prompt_tokens: '5000000000',
      cost_usd: '0.000123',
      fallback_providers: "ARRAY['groq', 'sample']",
    });
    const [trace] = (await call('GET', '/api/traces')).body.traces;

    assert.equal(trace.created_at, '2026-03-04T03:06:07+00:00');
    assert.equal(trace.completed_at, '2026-03-04T03:06:07.5+00:00');
    assert.equal(trace.total_duration_ms, 500);
    assert.equal(trace.prompt_tokens, 5_000_000_000);
    assert.equal(trace.cost_usd, 0.000123);
    assert.deepEqual(trace.fallback_providers, ['groq', 'sample']);
  });

  for (const [view, keys] of [
    ['full', FULL_KEYS],
    ['summary', SUMMARY_KEYS],
  ])
    test(`view=${view} has exactly its members`, async () => {
      await insert(2);
      for (const trace of (await call('GET', `/api/traces?view=${view}`)).body.traces)
        assert.deepEqual(Object.keys(trace).sort(), keys);
    });

  test('the preview is the first 200 characters of the outline', async () => {
    await insert(1, { request_data: `jsonb_build_object('outline', repeat('ä😀', 150))` });
    const [trace] = (await call('GET', '/api/traces?view=summary')).body.traces;

    assert.equal(trace.outline_preview, 'ä😀'.repeat(100));
  });

  test('bytes of other scripts pass unharmed', async () => {
    const text = 'Photosynthèse "光合作用" \\ \t \u2028 😀 </script>';
    await insert(1, { request_data: `'${JSON.stringify({ outline: text })}'` });

    assert.equal((await call('GET', '/api/traces')).body.traces[0].request_data.outline, text);
  });
});

describe('pages', () => {
  beforeEach(empty);

  test('500 rows of one instant are walked by cursor without loss or repetition', async () => {
    await insert(500, { created_at: "'2026-01-02 03:04:05.678901+00'" });
    const expected = await inOrder();

    for (const limit of [37, 100, 200]) {
      const path = `/api/traces?view=summary&limit=${limit}`;
      const { ids, pages } = await walk(path, byCursor(path));

      assert.deepEqual(ids, expected);
      assert.equal(pages, Math.ceil(500 / limit));
    }
  });

  test('rows a microsecond apart keep their order across pages', async () => {
    await insert(20, {
      created_at: "timestamptz '2026-01-01 00:00:00.000001+00' + n * interval '1 microsecond'",
    });
    const path = '/api/traces?limit=1';

    assert.deepEqual((await walk(path, byCursor(path))).ids, await inOrder());
  });

  test('are walked by offset', async () => {
    await insert(45);
    const { ids } = await walk(
      '/api/traces?limit=20',
      ({ body }) => body.has_more && `/api/traces?limit=20&offset=${body.offset + body.limit}`,
    );

    assert.deepEqual(ids, await inOrder());
  });

  test('are walked by the Link header, which keeps filter, view and limit', async () => {
    await insert(30, { status: "CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'completed' END" });
    const first = await call('GET', '/api/traces?status=failed&view=summary&limit=4');
    const second = await call('GET', byLink(first));
    const { ids } = await walk('/api/traces?status=failed&view=summary&limit=4', byLink);

    assert.deepEqual(ids, await inOrder("status = 'failed'"));
    assert.equal(second.body.limit, 4);
    assert.deepEqual(Object.keys(second.body.traces[0]).sort(), SUMMARY_KEYS);
  });

  for (const [what, outline, q] of [
    ['a search as long as may be', '月'.repeat(200), encodeURIComponent('月'.repeat(200))],
    ['a search that is not encoded', 'a <"moon"> é', 'a%20<"moon">%20\xc3\xa9'],
  ])
    test(`are walked by the Link header with ${what}`, async () => {
      await insert(3, { request_data: `jsonb_build_object('outline', '${outline}')` });
      await insert(3);
      const first = await rawGet(`/api/traces?q=${q}&view=summary&limit=2`);
      const second = await call('GET', byLink(first));

      assert.deepEqual(
        [...JSON.parse(first.text).traces, ...second.body.traces].map(({ id }) => id),
        await inOrder(`outline_preview = '${outline}'`),
      );
      for (const name of readdirSync(stack.logDir))
        assert.doesNotMatch(readFileSync(join(stack.logDir, name), 'utf8'), /header dropped/);
    });

  test('have no Link that is longer than a client may take, and the cursor still', async () => {
    await insert(3);
    const first = await rawGet(`/api/traces?limit=2&model=none,${'>'.repeat(200)},${`${'>'.repeat(160)},`.repeat(17)}x`);
    assert.equal(first.status, 200, first.text);
    assert.equal(first.headers.get('link'), null);
    assert.match(JSON.parse(first.text).next_cursor, /./);
  });

  test('a page reached by offset links to the one behind it', async () => {
    await insert(30);
    const answer = await call('GET', '/api/traces?limit=10&offset=10');

    assert.deepEqual(
      (await call('GET', byLink(answer))).body.traces.map((trace) => trace.id),
      (await inOrder()).slice(20),
    );
  });

  test('what is added meanwhile moves nothing', async () => {
    await insert(30, { created_at: "now() - interval '1 hour'" });
    const expected = await inOrder();
    const first = (await call('GET', '/api/traces?limit=20')).body;

    await insert(5);
    const second = (await call('GET', `/api/traces?limit=20&cursor=${first.next_cursor}`)).body;
    assert.deepEqual(
      [...first.traces, ...second.traces].map((trace) => trace.id),
      expected,
    );
  });

  test('the page goes on where the row of its cursor was deleted', async () => {
    await insert(10);
    const expected = await inOrder();
    const { next_cursor, traces } = (await call('GET', '/api/traces?limit=5')).body;

    await call('DELETE', `/api/traces/${traces[4].id}`);
    assert.deepEqual(
      (await call('GET', `/api/traces?cursor=${next_cursor}`)).body.traces.map((trace) => trace.id),
      expected.slice(5),
    );
  });

  const ENDS = [
    ['limit=10', 10, false],
    ['limit=9', 9, true],
    ['limit=11', 10, false],
    ['limit=5&offset=5', 5, false],
    ['limit=4&offset=5', 4, true],
    ['limit=1', 1, true],
    ['limit=200', 10, false],
    ['offset=10', 0, false],
    ['offset=1000000000', 0, false],
  ];

  for (const [query, count, more] of ENDS)
    test(`of ten rows ${query} shows ${count}${more ? ', and that there are more' : ''}`, async () => {
      await insert(10);
      const { body, headers } = await call('GET', `/api/traces?${query}`);

      assert.equal(body.traces.length, count);
      assert.equal(body.has_more, more);
      assert.equal(typeof body.next_cursor, more ? 'string' : 'object');
      assert.equal(headers.get('link') !== null, more);
      const asked = new URLSearchParams(query);
      assert.equal(body.limit, Number(asked.get('limit') ?? 50));
      assert.equal(body.offset, Number(asked.get('offset') ?? 0));
    });

  test('a cursor is base64url and works with another limit and view', async () => {
    await insert(10);
    const { next_cursor } = (await call('GET', '/api/traces?limit=4')).body;
    const { body } = await call('GET', `/api/traces?limit=6&view=summary&cursor=${next_cursor}`);

    assert.match(next_cursor, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(
      body.traces.map((trace) => trace.id),
      (await inOrder()).slice(4),
    );
    assert.equal(body.next_cursor, null);
  });

  test('count=exact adds the number of all that match and that the caller may see', async () => {
    await insert(7, { status: "'failed'" });
    await insert(3);
    await insert(5, { owner: "'somebody'" });

    for (const [query, total] of [
      ['count=exact&limit=2', 10],
      ['count=exact&limit=2&offset=9', 10],
      ['count=exact&status=failed', 7],
      ['count=exact&provider=nobody', 0],
    ])
      assert.equal((await call('GET', `/api/traces?${query}`)).body.total, total, query);
    assert.equal((await call('GET', '/api/traces?count=exact', { as: 'admin' })).body.total, 15);
    assert.ok(!('total' in (await call('GET', '/api/traces')).body));
  });
});

describe('filters', () => {
  beforeEach(empty);

  const FILTERS = [
    ['status=started', "status = 'started'"],
    ['status=completed', "status = 'completed'"],
    ['status=failed', "status = 'failed'"],
    ['provider=openai', "provider_used = 'openai'"],
    ['provider=open', 'false'],
    ['provider=%25', 'false'],
    ["provider='%20OR%20true--", 'false'],
    [`provider=${'%F0%9F%98%80'.repeat(200)}`, 'false'],
    [`lesson_id=${LESSON}`, `lesson_id = '${LESSON}'`],
    [`lesson_id=${LESSON.toUpperCase()}`, `lesson_id = '${LESSON}'`],
    [`lesson_id=${NOBODY}`, 'false'],
    ['status=failed&provider=openai', "status = 'failed' AND provider_used = 'openai'"],
    [`provider=groq&lesson_id=${LESSON}`, `provider_used = 'groq' AND lesson_id = '${LESSON}'`],
    [
      `status=completed&provider=groq&lesson_id=${LESSON}`,
      `status = 'completed' AND provider_used = 'groq' AND lesson_id = '${LESSON}'`,
    ],
  ];

  for (const [query, where] of FILTERS)
    test(`${query.slice(0, 60)} finds exactly its traces, on every page`, async () => {
      await db.run(
        `INSERT INTO lessons (id, owner, title, outline) VALUES ('${LESSON}', 'user', 't', 'o')`,
      );
      await insert(36, {
        status: "(ARRAY['started', 'completed', 'failed'])[1 + n % 3]",
        provider_used: "(ARRAY['openai', 'groq', null, 'sample'])[1 + n / 3 % 4]",
        lesson_id: `CASE WHEN n / 12 % 2 = 0 THEN '${LESSON}'::uuid END`,
      });
      const path = `/api/traces?limit=2&${query}`;

      assert.deepEqual((await walk(path, byCursor(path))).ids, await inOrder(where));
    });

  test('a cursor of another filter or list is refused, with whatever it came', async () => {
    await insert(5, { status: "'failed'" });
    await db.run(
      `INSERT INTO lessons (owner, title, outline) SELECT 'user', 't', 'o' FROM generate_series(1, 2)`,
    );
    const of = async (path) => (await call('GET', path)).body.next_cursor;
    const plain = await of('/api/traces?limit=1');
    const failed = await of('/api/traces?limit=1&status=failed');
    const lessons = await of('/api/lessons?limit=1');

    for (const path of [
      `/api/traces?status=failed&cursor=${plain}`,
      `/api/traces?cursor=${failed}`,
      `/api/traces?status=completed&cursor=${failed}`,
      `/api/traces?provider=failed&cursor=${failed}`,
      `/api/traces?cursor=${lessons}`,
      `/api/lessons?cursor=${plain}`,
    ])
      assertProblem(await call('GET', path), 400, 'cursor');
  });

  test('a cursor together with an offset is refused', async () => {
    await insert(3);
    const { next_cursor } = (await call('GET', '/api/traces?limit=1')).body;

    for (const offset of [0, 5])
      assertProblem(
        await call('GET', `/api/traces?cursor=${next_cursor}&offset=${offset}`),
        400,
        'offset',
      );
  });

  test('a forged cursor is refused like any other, without a word of the database', async () => {
    await insert(3);
    const { next_cursor } = (await call('GET', '/api/traces?limit=1')).body;
    const plain = Buffer.from(next_cursor, 'base64url').toString();

    for (const time of ['2026-13-45T99:99:99+00:00', '::', '0', '1-1-1-1'])
      assertProblem(
        await call(
          'GET',
          `/api/traces?cursor=${Buffer.from(plain.replace(/\d{4}-\S+T\S+/, time)).toString('base64url')}`,
        ),
        400,
        'cursor',
      );
  });
});

describe('a query', () => {
  const REFUSED = [
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=%2B5', 'limit'],
    ['limit=1.5', 'limit'],
    ['limit=1e1', 'limit'],
    ['limit=0x10', 'limit'],
    ['limit=many', 'limit'],
    ['limit=%205', 'limit'],
    ['limit=5%20', 'limit'],
    ['limit=99999999999999999999', 'limit'],
    ['limit=', 'limit'],
    ['limit', 'limit'],
    ['offset=-1', 'offset'],
    ['offset=1000000001', 'offset'],
    ['offset=99999999999999999999', 'offset'],
    ['offset=x', 'offset'],
    ['offset=', 'offset'],
    ['view=whole', 'view'],
    ['view=', 'view'],
    ['count=yes', 'count'],
    ['count=', 'count'],
    ['status=done', 'status'],
    ['status=', 'status'],
    ['status=Failed', 'status'],
    ['provider=', 'provider'],
    [`provider=${'x'.repeat(201)}`, 'provider'],
    ...BAD_UUIDS.map((id) => [`lesson_id=${id}`, 'lesson_id']),
    ['lesson_id=', 'lesson_id'],
    ['cursor=', 'cursor'],
    ['cursor=x', 'cursor'],
    ['cursor=!!!!', 'cursor'],
    [`cursor=${'A'.repeat(5000)}`, 'cursor'],
    [`cursor=${Buffer.from('1 00000000 now x').toString('base64url')}`, 'cursor'],
    ['sort=title', 'sort'],
    ['Limit=5', 'Limit'],
    ['limit=5&page=2', 'page'],
    ['limit=5&limit=5', 'limit'],
    ['limit=%ZZ', 'limit'],
    ['limit=%5', 'limit'],
    ['provider=%00', 'provider'],
    ['provider=%FF', 'provider'],
    ['provider=%ED%A0%80', 'provider'],
    ['%F0%9F%98%80=1', '😀'],
  ];

  for (const [query, member] of REFUSED)
    test(`${query.slice(0, 60)} is refused, and says so of ${member}`, async () =>
      assertProblem(await call('GET', `/api/traces?${query}`), 400, member));
});

describe('one trace', () => {
  let id;

  beforeEach(async () => {
    await empty();
    await insert(1, { llm_calls: `'[{"provider": "sample", "success": true}]'` });
    [id] = await inOrder();
  });

  test('is the whole row, as in the list', async () => {
    const answer = await call('GET', `/api/traces/${id}`);

    assert.equal(answer.status, 200);
    assert.deepEqual(Object.keys(answer.body), ['trace']);
    assert.deepEqual(Object.keys(answer.body.trace).sort(), FULL_KEYS);
    assert.deepEqual(answer.body.trace, (await call('GET', '/api/traces')).body.traces[0]);
    assert.equal((await call('GET', `/api/traces/${id.toUpperCase()}`)).text, answer.text);
  });

  test('has an ETag that answers 304 until the row changes', async () => {
    const first = await call('GET', `/api/traces/${id}`);
    const etag = first.headers.get('etag');
    const ask = (match) =>
      call('GET', `/api/traces/${id}`, { headers: { 'if-none-match': match } });

    assert.match(etag, /^(W\/)?"[^"]+"$/);
    assert.equal((await call('GET', `/api/traces/${id}`)).headers.get('etag'), etag);
    for (const match of [etag, `"other", ${etag}`, etag.replace(/^W\//, ''), '*']) {
      const again = await ask(match);
      assert.equal(again.status, 304, match);
      assert.equal(again.text, '');
      assert.equal(again.headers.get('etag'), etag);
    }
    assert.equal((await ask('"other"')).status, 200);

    await db.run(`UPDATE lesson_traces SET llm_call_count = llm_call_count + 1`);
    const changed = await ask(etag);
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.get('etag'), etag);
    assert.equal(changed.body.trace.llm_call_count, 1);
  });

  test('answers HEAD with the same headers and no body', async () => {
    for (const path of [`/api/traces/${id}`, '/api/traces', '/api/traces?view=summary&limit=1']) {
      const whole = await call('GET', path);
      const head = await call('HEAD', path);

      assert.equal(head.status, 200);
      assert.equal(head.text, '');
      for (const name of ['etag', 'content-type', 'content-length', 'link'])
        assert.equal(head.headers.get(name), whole.headers.get(name), name);
      assert.equal(
        (await call('HEAD', path, { headers: { 'if-none-match': whole.headers.get('etag') } }))
          .status,
        304,
      );
    }
    assert.equal((await call('HEAD', `/api/traces/${NOBODY}`)).status, 404);
    assert.equal((await call('HEAD', '/api/traces?limit=0')).status, 400);
  });

  test('is not found by an unknown id', async () =>
    assertProblem(await call('GET', `/api/traces/${NOBODY}`), 404, 'id'));

  test('is refused by what is not a UUID', async () => {
    for (const bad of BAD_UUIDS) {
      assertProblem(await call('GET', `/api/traces/${bad}`), 400, 'id');
      assertProblem(await call('DELETE', `/api/traces/${bad}`), 400, 'id');
      assertProblem(await call('DELETE', `/api/traces?id=${bad}`), 400, 'id');
    }
  });

  test('takes no query parameter', async () =>
    assertProblem(await call('GET', `/api/traces/${id}?view=full`), 400, 'view'));
});

const audits = (where = 'true') =>
  db.rows(
    `SELECT actor, action, object, count, ids, filter, request_id, at > now() - interval '1 minute' AS recent
       FROM audit_log WHERE ${where} ORDER BY audit_log.id`,
  );
const left = async (where = 'true') =>
  Number(await db.run(`SELECT count(*) FROM lesson_traces WHERE ${where}`));

describe('deletion', () => {
  beforeEach(empty);

  const BY = [
    ['path', (id) => `/api/traces/${id}`],
    ['parameter', (id) => `/api/traces?id=${id}`],
    ['path in upper case', (id) => `/api/traces/${id.toUpperCase()}`],
    ['parameter in upper case', (id) => `/api/traces?id=${id.toUpperCase()}`],
  ];

  for (const [what, path] of BY)
    test(`of one trace by ${what}: gone once, then not found, and audited`, async () => {
      await insert(3);
      const [, id] = await inOrder();
      const answer = await call('DELETE', path(id));

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(Object.keys(answer.body).sort(), ['deleted', 'message']);
      assert.equal(answer.body.deleted, 1);
      assert.equal(typeof answer.body.message, 'string');
      assert.equal(await left(), 2);
      assert.equal(await left(`id = '${id}'`), 0);
      assertProblem(await call('DELETE', path(id)), 404, 'id');
      assertProblem(await call('GET', `/api/traces/${id}`), 404, 'id');
      assert.deepEqual(await audits(), [
        {
          actor: 'user',
          action: 'delete',
          object: 'trace',
          count: 1,
          ids: [id],
          filter: null,
          request_id: answer.headers.get('x-request-id'),
          recent: true,
        },
      ]);
    });

  const REFUSED = [
    ['', 'id'],
    ['?', 'id'],
    ['?id=', 'id'],
    ['?deleteAll=', 'deleteAll'],
    ['?deleteAll=false', 'deleteAll'],
    ['?deleteAll=TRUE', 'deleteAll'],
    ['?deleteAll=1', 'deleteAll'],
    [`?id=${NOBODY}&deleteAll=true`, 'deleteAll'],
    [`?deleteAll=true&id=${NOBODY}`, 'deleteAll'],
    ['?id=x&deleteAll=true', 'deleteAll'],
    ['?deleteAll=true&status=failed', undefined],
    ['?deleteAll=true&limit=1', 'limit'],
    ['?deleteAll=true&deleteAll=true', 'deleteAll'],
    ['?delete_all=true', 'delete_all'],
  ];

  for (const [query, member] of REFUSED)
    test(`with "${query}" is refused and deletes nothing`, async () => {
      await insert(2);
      assertProblem(await call('DELETE', `/api/traces${query}`), 400, member);
      assert.equal(await left(), 2);
      assert.deepEqual(await audits(), []);
    });

  test('of an unknown trace leaves no audit row', async () => {
    assertProblem(await call('DELETE', `/api/traces/${NOBODY}`), 404, 'id');
    assertProblem(await call('DELETE', `/api/traces?id=${NOBODY}`), 404, 'id');
    assert.deepEqual(await audits(), []);
  });

  test('of all traces where there are none answers 0 and leaves no audit row', async () => {
    const answer = await call('DELETE', '/api/traces?deleteAll=true');

    assert.equal(answer.status, 200);
    assert.equal(answer.body.deleted, 0);
    assert.deepEqual(await audits(), []);
  });

  test('of all traces of a user leaves those of others', async () => {
    await insert(2500);
    await insert(3, { owner: "'admin'" });
    await insert(3, { owner: "'somebody'" });
    const answer = await call('DELETE', '/api/traces?deleteAll=true');

    assert.equal(answer.body.deleted, 2500);
    assert.equal(await left("owner = 'user'"), 0);
    assert.equal(await left(), 6);
  });

  test('of 2,500 traces by an admin takes those of everybody, and tells the audit log of each', async () => {
    await insert(2000);
    await insert(500, { owner: "'somebody'" });
    const ids = await inOrder();
    const answer = await call('DELETE', '/api/traces?deleteAll=true', { as: 'admin' });
    const told = await audits();

    assert.equal(answer.body.deleted, 2500);
    assert.equal(await left(), 0);
    assert.deepEqual(told.flatMap((row) => row.ids).sort(), ids.sort());
    for (const row of told) {
      assert.equal(row.actor, 'admin');
      assert.equal(row.object, 'trace');
      assert.equal(row.filter, 'deleteAll=true');
      assert.equal(row.request_id, answer.headers.get('x-request-id'));
      assert.equal(row.count, row.ids.length);
      assert.ok(row.count <= 1000);
    }
  });

  test('of all traces is complete although another deletes the same ones', async () => {
    await insert(2500);
    const other = openSession(stack.databaseUrl);
    let answer, remaining;

    try {
      await other.run(
        `BEGIN;
         DELETE FROM lesson_traces
          WHERE id IN (SELECT id FROM lesson_traces ORDER BY created_at, id LIMIT 1000)`,
      );
      const asked = call('DELETE', '/api/traces?deleteAll=true');
      await until('the deletion waits for the other one', async () =>
        Number(
          await db.run(
            `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
              WHERE NOT l.granted AND a.usename LIKE 'lesson%'`,
          ),
        ),
      );
      await other.run('COMMIT');
      answer = await asked;
      remaining = await left();
    } finally {
      await other.end();
    }
    assert.equal(answer.status, 200, answer.text);
    assert.equal(remaining, 0, 'gone when the answer arrives');
    assert.equal(answer.body.deleted, 1500);
  });

  test('of all traces is complete although it is in the way of one that is written to', async () => {
    await insert(3);
    const [a, m, b] = (await inOrder()).reverse(); // as they lie in the table
    const [middle, writer] = [openSession(stack.databaseUrl), openSession(stack.databaseUrl)];
    const touch = (id) => `UPDATE lesson_traces SET model = 'touched' WHERE id = '${id}'`;
    const waiting = (n) =>
      until(`${n} wait`, async () =>
        (await db.run('SELECT count(*) FROM pg_locks WHERE NOT granted')) === String(n),
      );
    let answer;

    try {
      // The deletion has a and waits for m; the writer has b and waits for a: then the deletion comes to b.
      await middle.run(`BEGIN; ${touch(m)}`);
      await writer.run(`BEGIN; ${touch(b)}`);
      const asked = call('DELETE', '/api/traces?deleteAll=true', { as: 'admin' });
      await waiting(1);
      const written = writer.run(`${touch(a)}; COMMIT`).catch((error) => error.code);
      await waiting(2);
      await sleep(DEADLOCK_MS); // so that it is the deletion that finds out, and is undone
      await middle.run('COMMIT');
      await written;
      answer = await asked;
    } finally {
      await Promise.all([middle.end(), writer.end()]);
    }
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.deleted, 3);
    assert.equal(await left(), 0);
  });

  test('of all traces many times at once counts each trace once', async () => {
    await insert(2500);
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => call('DELETE', '/api/traces?deleteAll=true')),
    );

    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
    assert.equal(
      answers.reduce((sum, answer) => sum + answer.body.deleted, 0),
      2500,
    );
    assert.equal(await left(), 0);
  });

  test('of one trace many times at once succeeds once', async () => {
    await insert(1);
    const [id] = await inOrder();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => call('DELETE', `/api/traces/${id}`)),
    );

    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(7).fill(404)]);
    assert.equal((await audits()).length, 1);
  });
});

describe('a user', () => {
  let own, foreign;

  beforeEach(async () => {
    await empty();
    await insert(2);
    await insert(2, { owner: "'somebody'", status: "'failed'", provider_used: "'groq'" });
    [own] = await inOrder("owner = 'user'");
    [foreign] = await inOrder("owner = 'somebody'");
  });

  test('sees and counts own traces only, an admin all', async () => {
    const ids = async (query, as) =>
      (await call('GET', `/api/traces${query}`, { as })).body.traces.map((trace) => trace.id);

    assert.deepEqual(await ids('', 'user'), await inOrder("owner = 'user'"));
    assert.deepEqual(await ids('?status=failed', 'user'), []);
    assert.deepEqual(await ids('?provider=groq', 'user'), []);
    assert.deepEqual(await ids('', 'admin'), await inOrder());
    assert.equal((await call('GET', `/api/traces/${foreign}`, { as: 'admin' })).status, 200);
  });

  test("cannot tell another's trace from none", async () => {
    for (const [method, path] of [
      ['GET', (id) => `/api/traces/${id}`],
      ['DELETE', (id) => `/api/traces/${id}`],
      ['DELETE', (id) => `/api/traces?id=${id}`],
      ['GET', (id) => `/api/traces?lesson_id=${id}`],
    ]) {
      const answer = await call(method, path(foreign));
      const missing = await call(method, path(NOBODY));

      assert.equal(withoutIds(answer), withoutIds(missing));
      assert.deepEqual([...answer.headers.keys()], [...missing.headers.keys()]);
    }
    assert.equal(await left(), 4);
    assert.deepEqual(await audits(), []);
  });

  test('does not become another by headers', async () => {
    const headers = {
      'remote-user': 'admin',
      remote_user: 'admin',
      'x-remote-user': 'admin',
      'auth-role': 'admin',
      auth_role: 'admin',
      'x-auth-role': 'admin',
      'x-forwarded-user': 'admin',
      'http-remote-user': 'admin',
      proxy: 'http://127.0.0.1:1',
    };

    assert.equal((await call('GET', '/api/traces', { headers })).body.traces.length, 2);
    assertProblem(await call('GET', `/api/traces/${foreign}`, { headers }), 404, 'id');
    assertProblem(await call('GET', '/api/traces', { as: null, headers }), 401, 'user');
    assert.equal((await call('DELETE', '/api/traces?deleteAll=true', { headers })).body.deleted, 2);
  });

  test("is the actor of own deletions, an admin of the admin's", async () => {
    await call('DELETE', `/api/traces/${own}`);
    await call('DELETE', `/api/traces/${foreign}`, { as: 'admin' });
    assert.deepEqual(
      (await audits()).map(({ actor, ids }) => [actor, ...ids]),
      [
        ['user', own],
        ['admin', foreign],
      ],
    );
  });
});
