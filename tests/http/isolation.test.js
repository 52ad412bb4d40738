// No byte of another's: a thousand requests of three users, over every endpoint, with ids of their own, of others and of
// nobody, on shared connections, while statements fail and connections to PostgreSQL are lost.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { NOBODY, withoutIds } from '../lib/api.js';
import { ROOT, startStack } from '../lib/stack.js';

const REQUESTS = 1000;
const USERS = ['ann', 'bob', 'cid'];
const EACH = 12; // lessons and traces of each
const FAULT_EVERY = 50;
const OUTCOMES = [200, 201, 304, 400, 403, 404, 405, 409, 415, 422, 429, 503];

let stack;
const passwords = {};
// Two connections to nginx and one process of each responder, for all of them: whatever stuck to one would be seen.
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });

// In every text of a user's, in a form that nothing else has.
const canary = (user) => `canary${user}canary`;
const idOf = (user, n, what = 'trace') => {
  const owner = (USERS.indexOf(user) + 1).toString(16).padStart(8, '0');
  return `${owner}-${what === 'trace' ? '0000' : '1111'}-4000-8000-${n.toString(16).padStart(12, '0')}`;
};

async function send(user, method, path, { headers = {}, body } = {}) {
  const { hostname, port } = new URL(stack.baseUrl);
  const authorization = `Basic ${Buffer.from(`${user}:${passwords[user]}`).toString('base64')}`;
  const request = http.request({
    hostname,
    port,
    method,
    path,
    agent,
    headers: { authorization, ...(body && { 'content-type': 'application/json' }), ...headers },
  });

  request.end(body);
  const [answer] = await once(request, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return { status: answer.statusCode, headers: answer.headers, text, raw: `${answer.rawHeaders.join('\n')}\n\n${text}` };
}

before(async () => {
  stack = await startStack({ env: { TRACES_PROCESSES: '1', LESSONS_PROCESSES: '1', LLM_PROVIDERS: 'sample' } });
  for (const user of USERS)
    passwords[user] = execFileSync(join(ROOT, 'scripts/user'), ['add', user, '--generate'], {
      env: { PATH: process.env.PATH, RUN_DIR: stack.runDir },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim();
  for (const user of USERS)
    await stack.psql(
      `INSERT INTO lessons (id, owner, title, outline, content, status, idempotency_key)
       SELECT ('${idOf(user, 0, 'lesson').slice(0, 24)}' || lpad(to_hex(n), 12, '0'))::uuid, '${user}', '${canary(user)} title',
              '${canary(user)} outline', '${canary(user)} content', 'generated', 'key' || n
         FROM generate_series(1, ${EACH}) n;
       INSERT INTO lesson_traces (id, lesson_id, owner, request_data, response_data, provider_used, model, status, llm_calls,
                                  error_message, total_duration_ms, error_class)
       SELECT ('${idOf(user, 0).slice(0, 24)}' || lpad(to_hex(n), 12, '0'))::uuid,
              ('${idOf(user, 0, 'lesson').slice(0, 24)}' || lpad(to_hex(n), 12, '0'))::uuid, '${user}',
              '{"outline": "${canary(user)} outline"}', '{"content": "${canary(user)} content"}', '${canary(user)}p',
              '${canary(user)}m', 'completed', '[{"provider": "${canary(user)}"}]', '${canary(user)} error', n * 100, 'timeout'
         FROM generate_series(1, ${EACH}) n`,
    );
  // What fails while it runs, with a text of the row in what PostgreSQL says of it.
  await stack.psql(
    `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN RAISE EXCEPTION 'no: %', OLD USING ERRCODE = '58030'; END $$;
     CREATE TRIGGER fail BEFORE DELETE ON lesson_traces FOR EACH ROW WHEN (OLD.total_duration_ms = 700) EXECUTE FUNCTION fail()`,
  );
});

after(async () => {
  agent.destroy();
  await stack?.stop();
});

// The same numbers each time.
function numbers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

// What may be asked: {method, path, headers, body}. Whose ids and words they are is drawn, one's own or another's.
const QUESTIONS = [
  (r) => ['GET', `/api/traces?limit=${1 + r.n(20)}`],
  (r) => ['GET', `/api/traces?view=summary&limit=${1 + r.n(5)}&offset=${r.n(15)}`],
  (r) => ['GET', `/api/traces?count=exact&limit=3&sort=-total_duration_ms`],
  (r) => ['GET', `/api/traces?q=${canary(r.who)}&limit=200`],
  (r) => ['GET', `/api/traces?lesson_id=${r.lesson}`],
  (r) => ['GET', `/api/traces?provider=${canary(r.who)}p&model=${canary(r.who)}m`],
  (r) => ['GET', `/api/traces?limit=4&cursor=${r.cursor}`],
  (r) => ['GET', `/api/traces/${r.trace}`],
  (r) => ['GET', `/api/traces/${r.trace}`, { headers: { 'if-none-match': r.tag } }],
  (r) => ['HEAD', `/api/traces/${r.trace}`],
  (r) => ['DELETE', `/api/traces/${r.trace}`],
  (r) => ['DELETE', `/api/traces?id=${r.trace}`],
  (r) => ['DELETE', `/api/traces?q=${canary(r.who)}`],
  (r) => ['DELETE', `/api/traces?q=${canary(r.other)}&confirm=${r.n(20)}`],
  (r) => ['DELETE', `/api/traces?min_duration_ms=700&max_duration_ms=700&confirm=1`], // fails
  (r) => ['DELETE', `/api/traces/${idOf(r.user, 7)}`], // fails
  (r) => ['GET', '/api/traces/facets'],
  (r) => ['GET', `/api/traces/facets?provider=${canary(r.who)}p`],
  (r) => ['GET', '/api/traces/histogram?from=2020-01-01T00:00:00Z&bucket=month'],
  (r) => ['GET', '/api/traces/stats?from=2020-01-01T00:00:00Z&bucket=month'],
  (r) => ['GET', `/api/traces/stats?q=${canary(r.who)}&from=2020-01-01T00:00:00Z&bucket=month`],
  (r) => ['GET', '/api/traces/export?format=ndjson'],
  (r) => ['GET', `/api/traces/export?format=csv&model=${canary(r.who)}m`],
  (r) => ['GET', `/api/lessons?limit=${1 + r.n(20)}`],
  (r) => ['GET', `/api/lessons?limit=3&offset=${r.n(15)}`],
  (r) => ['GET', `/api/lessons/${r.lesson}`],
  (r) => ['DELETE', `/api/lessons/${r.lesson}`],
  (r) => ['POST', `/api/lessons/${r.lesson}/regenerate`, { body: '{"model":"fail-500"}' }],
  (r) => ['POST', '/api/lessons', { body: `{"outline":"${canary(r.user)} new"}` }],
  // another's key, one's own with another body
  (r) => ['POST', '/api/lessons', { body: `{"outline":"${canary(r.user)} keyed"}`, headers: { 'idempotency-key': `key${1 + r.n(12)}` } }],
  (r) => ['POST', '/api/lessons', { body: '{"outline":""}' }],
  (r) => ['GET', '/api/providers'],
  (r) => ['GET', `/api/audit?actor=${r.who}`],
  (r) => ['GET', `/api/traces/${r.trace}x`],
  (r) => ['GET', `/api/traces?limit=0&q=${canary(r.who)}`],
  (r) => ['PUT', `/api/traces/${r.trace}`],
];

// The bytes in an answer that are another's: canaries and ids, but for those that the request itself has.
function foreignBytes(user, asked, { raw }) {
  return USERS.filter((other) => other !== user)
    .flatMap((other) => [canary(other), ...[...Array(EACH + 1).keys()].flatMap((n) => [idOf(other, n), idOf(other, n, 'lesson')])])
    .filter((mark) => !asked.includes(mark))
    .reduce((sum, mark) => sum + (raw.split(mark).length - 1) * mark.length, 0);
}

test(`of ${REQUESTS} answers none has a byte of another's`, { timeout: 120_000 }, async (t) => {
  const n = numbers(20261125);
  const cursors = {};
  const tags = {};
  const counts = {};
  let foreign = 0;
  let own = 0;
  let faults = 0;

  for (const user of USERS) {
    cursors[user] = JSON.parse((await send(user, 'GET', '/api/traces?limit=4')).text).next_cursor;
    tags[user] = (await send(user, 'GET', `/api/traces/${idOf(user, 1)}`)).headers.etag;
  }
  await Promise.all(
    Array.from({ length: REQUESTS }, async (_, i) => {
      const user = USERS[i % 3];
      const who = USERS[n(3)];
      const what = {
        n,
        user,
        who,
        other: USERS[(i + 1 + n(2)) % 3],
        trace: n(5) === 0 ? NOBODY : idOf(who, 1 + n(EACH)),
        lesson: n(5) === 0 ? NOBODY : idOf(who, 1 + n(EACH), 'lesson'),
        cursor: cursors[who],
        tag: tags[who],
      };
      const [method, path, options] = QUESTIONS[i % QUESTIONS.length](what);

      if (i % FAULT_EVERY === FAULT_EVERY - 1) {
        faults++;
        stack.psql(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lesson_api'`,
        );
      }
      const answer = await send(user, method, path, options);
      const bytes = foreignBytes(user, `${path}${options?.body ?? ''}`, answer);
      counts[answer.status] = (counts[answer.status] ?? 0) + 1;
      own += answer.raw.split(canary(user)).length - 1;
      foreign += bytes;
      assert.equal(bytes, 0, `${user}: ${method} ${path}: ${answer.status}`);
      assert.ok(OUTCOMES.includes(answer.status), `${user}: ${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
    }),
  );
  assert.ok(own > REQUESTS, 'what one may see is there');
  assert.ok(counts[503] > 0, 'some have failed');
  assert.ok(foreignBytes('ann', '', { raw: (await stack.fetch('/api/traces?limit=200', { as: 'admin' }).then((a) => a.text())) }) > 0, 'what is looked for can be found');
  t.diagnostic(
    `${REQUESTS} requests x ${USERS.length} users x ${QUESTIONS.length} questions, ${faults} times all connections lost: ` +
      `${foreign} foreign bytes, ${own} marks of one's own; by status ${JSON.stringify(counts)}`,
  );
});

test('nobody has deleted what is not theirs', async () => {
  const rows = await stack.psql(
    `SELECT count(*) FROM audit_log a, unnest(a.ids) gone
      WHERE a.actor IN ('ann', 'bob', 'cid') AND gone::text ~ '^0000000[123]-'
        AND left(gone::text, 8) <> CASE a.actor WHEN 'ann' THEN '00000001' WHEN 'bob' THEN '00000002' ELSE '00000003' END`,
  );
  assert.equal(rows, '0');
  assert.notEqual(await stack.psql(`SELECT count(*) FROM audit_log WHERE actor IN ('ann', 'bob', 'cid')`), '0');
});

describe('an id of another', () => {
  const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
  const PLACES = [
    ['trace', (id) => `/api/traces/${id}`],
    ['trace', (id) => `/api/traces?id=${id}`],
    ['lesson', (id) => `/api/traces?lesson_id=${id}`],
    ['lesson', (id) => `/api/traces?lesson_id=${id}&count=exact&view=summary`],
    ['lesson', (id) => `/api/traces?lesson_id=${id}&confirm=0`],
    ['lesson', (id) => `/api/traces/facets?lesson_id=${id}`],
    ['lesson', (id) => `/api/traces/histogram?lesson_id=${id}&from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z&bucket=month`],
    ['lesson', (id) => `/api/traces/stats?lesson_id=${id}&from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z&bucket=month`],
    ['lesson', (id) => `/api/traces/export?format=ndjson&lesson_id=${id}`],
    ['lesson', (id) => `/api/lessons/${id}`],
    ['lesson', (id) => `/api/lessons/${id}/regenerate`],
    ['trace', (id) => `/traces/${id}`],
    ['lesson', (id) => `/lessons/${id}`],
  ];
  const shown = (answer) => {
    const { date, 'x-request-id': id, location, ...headers } = answer.headers;
    return `${withoutIds(answer)} ${JSON.stringify(headers)}`;
  };

  test('is_answered_as_one_that_nothing_has', async (t) => {
    await stack.psql(
      `INSERT INTO lessons (id, owner, title, outline) VALUES ('${idOf('cid', 99, 'lesson')}', 'cid', 't', 'o');
       INSERT INTO lesson_traces (id, lesson_id, owner, request_data)
       VALUES ('${idOf('cid', 99)}', '${idOf('cid', 99, 'lesson')}', 'cid', '{}')`,
    );
    let asked = 0;
    for (const [what, path] of PLACES)
      for (const method of METHODS) {
        const options = method === 'POST' ? { body: '{}' } : {};
        const foreign = await send('ann', method, path(idOf('cid', 99, what)), options);
        const missing = await send('ann', method, path(NOBODY), options);
        asked++;
        assert.equal(shown(foreign), shown(missing), `${method} ${path(what)}`);
        assert.ok(!foreign.raw.includes('cid'), `${method} ${path(what)}`);
      }
    assert.equal((await send('cid', 'GET', `/api/traces/${idOf('cid', 99)}`)).status, 200, 'it is there all the while');
    assert.equal((await send('cid', 'GET', `/api/lessons/${idOf('cid', 99, 'lesson')}`)).status, 200);
    t.diagnostic(`${asked} pairs of requests, ${PLACES.length} places x ${METHODS.length} methods: 0 differ`);
  });
});
