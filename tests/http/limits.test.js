// What one address and one user may ask for: of nginx, and of all responders together. And that nobody else notices.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { NOBODY, UUID, sleep, until } from '../lib/api.js';
import { startStack } from '../lib/stack.js';

const ADDRESS_REQUESTS = 10;
const ADDRESS_CONNECTIONS = 5;
const USER_REQUESTS = 20;
const POSTS = 5;
const TOKENS = 1_000_000;
const DAY_S = 24 * 60 * 60;
const PASSWORD = 'of-the-limits-test';
const JSON_TYPE = { 'content-type': 'application/json' };

let stack, slowUser, silent;
let addresses = 2;

before(async () => {
  stack = await startStack({
    env: {
      ADDRESS_CONNECTIONS,
      ADDRESS_REQUESTS_PER_SECOND: ADDRESS_REQUESTS,
      USER_POSTS_PER_MINUTE: POSTS,
      USER_REQUESTS_PER_SECOND: USER_REQUESTS,
      USER_TOKENS_PER_DAY: TOKENS,
    },
  });
  slowUser = newUser();
  silent = SILENT.map(([, bytes, drip]) => lifeOf(bytes(), drip));
});

after(() => stack?.stop());

// Nobody has asked anything from there, or as that user, before.
const newAddress = () => `127.1.${++addresses >> 8}.${addresses & 255}`;
function newUser() {
  const user = `user${++addresses}`;

  appendFileSync(join(stack.runDir, 'nginx', 'users.htpasswd'), `${user}:{PLAIN}${PASSWORD}\n`);
  return user;
}

// From an address, as a user, or nobody.
async function ask(path, { from = newAddress(), as, method = 'GET', json, agent, headers } = {}) {
  const sent = request(stack.baseUrl + path, {
    method,
    agent: agent ?? new Agent(),
    localAddress: from,
    headers: { ...(json !== undefined && JSON_TYPE), ...headers },
    ...(as && { auth: `${as}:${PASSWORD}` }),
  });

  sent.end(json && JSON.stringify(json));
  const [answer] = await once(sent, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return { status: answer.statusCode, headers: answer.headers, text };
}

// `n` times, over a few connections. Gives the answers, and how long it took.
async function storm(n, path, { from = newAddress(), ...options } = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: 4, localAddress: from });
  const begin = performance.now();
  const answers = await Promise.all(
    Array.from({ length: n }, (_, i) =>
      ask(typeof path === 'string' ? path : path[i % path.length], { from, agent, ...options }),
    ),
  );

  agent.destroy();
  return { answers, seconds: (performance.now() - begin) / 1000 };
}

const countOf = (answers, status) => answers.filter((answer) => answer.status === status).length;

function assertRefused(answer, about) {
  assert.equal(answer.status, 429, answer.text);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const body = JSON.parse(answer.text);
  assert.deepEqual(
    [body.status, body.title, body.code, body.request_id],
    [429, 'Too Many Requests', 'rate_limited', answer.headers['x-request-id']],
  );
  assert.ok(body.detail.startsWith(`${about}:`), body.detail);
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
}

// A bucket of `rate`, that fills in a second, gave so many of many.
function assertRate(given, rate, seconds) {
  assert.ok(given >= rate, `${given} given, at least ${rate} expected`);
  assert.ok(given <= rate + 2 + rate * seconds, `${given} given in ${seconds} s at ${rate}/s`);
}

describe('an address', () => {
  test('may ask so much in a second, whoever it says it is, and is then told to wait', async () => {
    const { answers, seconds } = await storm(20 * ADDRESS_REQUESTS, '/api/traces');

    assertRate(countOf(answers, 401), ADDRESS_REQUESTS, seconds);
    assert.equal(countOf(answers, 401) + countOf(answers, 429), answers.length);
    assertRefused(
      answers.find(({ status }) => status === 429),
      'requests',
    );
  });

  test('is told so by a page where it asks for a page', async () => {
    const { answers } = await storm(20 * ADDRESS_REQUESTS, '/');
    const refused = answers.find(({ status }) => status === 429);

    assert.match(refused.headers['content-type'], /^text\/html/);
    assert.equal(refused.headers['retry-after'], '1');
    assert.match(refused.text, /<title>Too Many Requests · lesson-tracer<\/title>/);
  });

  test('takes nothing from another, and the watch on our health is not counted', async () => {
    const from = newAddress();
    const other = newAddress();

    for (let i = 0; i < 2; i++) {
      const { answers } = await storm(20 * ADDRESS_REQUESTS, '/api/traces', { from });
      assert.ok(countOf(answers, 429) > 0);
      assert.equal((await ask('/api/traces', { from: other })).status, 401);
      for (const path of ['/healthz', '/healthz/traces', '/readyz'])
        assert.equal((await ask(path, { from: '127.0.0.1' })).status, 200, path);
    }
    const { answers } = await storm(20 * ADDRESS_REQUESTS, ['/healthz', '/healthz/traces'], { from });
    assert.equal(countOf(answers, 200), answers.length);
  });

  test('may have so many requests under way', async () => {
    const from = newAddress();
    const as = newUser();
    const { hostname, port } = new URL(stack.baseUrl);
    const held = [];
    const hold = () => {
      const socket = connect({ host: hostname, port, localAddress: from }).on('error', () => {});

      socket.write(halfBody(as));
      held.push(socket);
    };

    for (let i = 0; i < ADDRESS_CONNECTIONS; i++) hold();
    const refused = await until('one too many', async () => {
      const answer = await ask('/api/traces', { from, as });
      if (answer.status === 429) return answer;
      hold(); // this one may have had the place of one of them, which then was one too many itself
      await sleep(400); // not too many a second
      return null;
    });
    assertRefused(refused, 'requests');
    assert.equal((await ask('/api/traces', { as })).status, 200, 'from another address');
    assert.equal((await ask('/healthz', { from })).status, 200);
    for (const socket of held) socket.destroy();
    await until('let in again', async () => {
      await sleep(200);
      return (await ask('/api/traces', { from, as })).status === 200;
    });
  });
});

describe('a user', () => {
  const PATHS = ['/api/traces?limit=1', '/api/lessons?limit=1', '/api/providers', `/api/traces/${NOBODY}`];

  // The address changes, so that it is not what is counted.
  async function userStorm(n, as, options) {
    const begin = performance.now();
    const parts = await Promise.all(
      Array.from({ length: n / ADDRESS_REQUESTS }, () => storm(ADDRESS_REQUESTS, PATHS, { as, ...options })),
    );

    return {
      answers: parts.flatMap(({ answers }) => answers),
      seconds: (performance.now() - begin) / 1000,
    };
  }

  test('may ask so much in a second, of all responders together', async () => {
    const { answers, seconds } = await userStorm(20 * USER_REQUESTS, newUser());

    assertRate(countOf(answers, 200) + countOf(answers, 404), USER_REQUESTS, seconds);
    assert.ok(countOf(answers, 429) > 0);
    assertRefused(
      answers.find(({ status }) => status === 429),
      'user',
    );
  });

  test('takes nothing from another', async () => {
    const [one, other] = [newUser(), newUser()];
    const { answers } = await userStorm(20 * USER_REQUESTS, one);

    assert.ok(countOf(answers, 429) > 0);
    for (const path of PATHS.slice(0, 3)) assert.equal((await ask(path, { as: other })).status, 200);
  });

  test('pays nothing for what another site has the browser ask', async () => {
    const { answers } = await userStorm(20 * USER_REQUESTS, newUser(), {
      method: 'DELETE',
      headers: { 'sec-fetch-site': 'cross-site' },
    });

    // /api/providers knows no DELETE.
    assert.deepEqual([...new Set(answers.map(({ status }) => status))].sort(), [403, 405]);
  });

  test('may ask for so many generations in a minute', async () => {
    const as = newUser();
    const post = (json) => ask('/api/lessons', { as, method: 'POST', json });
    const answers = [];

    for (let i = 0; i < POSTS; i++) assert.equal((await post({ outline: ' ' })).status, 400);
    for (let i = 0; i < POSTS; i++) answers.push(await post({ outline: `Number ${i}` }));
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 201),
    );
    const refused = await post({ outline: 'One too many' });
    assertRefused(refused, 'user');
    assert.ok(Number(refused.headers['retry-after']) <= 60 / POSTS, refused.headers['retry-after']);
    const { id } = JSON.parse(answers[0].text).lesson;
    assert.match(id, UUID);
    assertRefused(await ask(`/api/lessons/${id}/regenerate`, { as, method: 'POST', json: {} }), 'user');
    assert.equal((await ask(`/api/lessons/${id}`, { as })).status, 200, 'looking is something else');
    assert.equal(
      await stack.psql(`SELECT count(*) FROM lesson_traces WHERE owner = '${as}'`),
      String(POSTS),
    );
  });
});

describe('the tokens of a day', () => {
  const send = (as, path, json, headers) => ask(path, { as, method: 'POST', json, headers });
  const post = (as, outline, key) => send(as, '/api/lessons', { outline }, key && { 'idempotency-key': key });
  const used = async (as) =>
    Number(await stack.psql(`SELECT coalesce(sum(tokens), 0) FROM user_tokens WHERE owner = '${as}'`));

  test('are those that the calls used, and stay when what they made is deleted', async () => {
    const as = newUser();
    const { id } = JSON.parse((await post(as, 'Tokens')).text).lesson;
    const total = await until('its end', async () =>
      Number(
        await stack.psql(
          `SELECT total_tokens FROM lesson_traces WHERE lesson_id = '${id}' AND status = 'completed'`,
        ),
      ),
    );

    assert.ok(total > 0);
    assert.equal(await used(as), total);
    assert.equal((await ask(`/api/lessons/${id}`, { as, method: 'DELETE' })).status, 200);
    assert.equal(await used(as), total);
  });

  test('are a limit until the next one', async () => {
    const [as, other] = [newUser(), newUser()];
    const answer = await post(as, 'The last one', 'last');
    const { id } = JSON.parse(answer.text).lesson;

    await stack.psql(
      `INSERT INTO user_tokens VALUES ('${as}', (now() AT TIME ZONE 'UTC')::date, 0, ${TOKENS})`,
    );
    const refused = await post(as, 'One more');
    const left = DAY_S - (Date.now() / 1000) % DAY_S;
    assertRefused(refused, 'user');
    assert.match(refused.text, new RegExp(`the ${TOKENS} tokens of this day are used`));
    const wait = Number(refused.headers['retry-after']);
    assert.ok(wait >= left - 1 && wait <= left + 60, `${wait} of ${left} s`);
    await until('its end', async () => {
      const { text } = await ask(`/api/lessons/${id}`, { as });
      return JSON.parse(text).lesson.status !== 'generating';
    });
    assertRefused(await send(as, `/api/lessons/${id}/regenerate`, {}), 'user');
    assert.equal((await post(as, 'The last one', 'last')).status, 201, 'that is the lesson it made before');
    assert.equal((await post(other, 'Of another')).status, 201);
    assert.equal(await stack.psql(`SELECT count(*) FROM lesson_traces WHERE owner = '${as}'`), '1');
  });
});

// Who says nothing, or hardly anything, is given up: without an answer.
const HALF_HEADER = 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ';
const halfBody = (as) =>
  'POST /api/lessons HTTP/1.1\r\nHost: a\r\n' +
  `Authorization: Basic ${Buffer.from(`${as}:${PASSWORD}`).toString('base64')}\r\n` +
  'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{';
const SILENT = [
  ['says nothing at all', () => '', false],
  ['stops in its header', () => HALF_HEADER, false],
  ['sends its header byte by byte', () => HALF_HEADER, true],
  ['stops in its body', () => halfBody(slowUser), false],
];

function lifeOf(bytes, drip) {
  const { hostname, port } = new URL(stack.baseUrl);
  const socket = connect({ host: hostname, port, localAddress: '127.0.0.2' });
  const drops = drip && setInterval(() => socket.write('x'), 1000);
  let text = '';

  socket.write(bytes);
  socket.setEncoding('utf8').on('data', (part) => (text += part));
  socket.on('error', () => {});
  return new Promise((resolve) =>
    socket.on('close', () => {
      clearInterval(drops);
      resolve(text);
    }),
  );
}

describe('a client that', () => {
  for (const [i, [what]] of SILENT.entries())
    test(`${what} is given up`, async () => assert.equal(await silent[i], ''));
});
