// PostgreSQL is away, or no provider is configured: clear answers in time, and nothing that was acknowledged is lost.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { NOBODY, api, assertProblem, sleep, until, whenDone } from '../lib/api.js';
import { crash, freeze } from '../lib/postgres.js';
import { startStack } from '../lib/stack.js';

const REFUSED_WITHIN_MS = 2000;
const AWAY_MS = 2500; // at least: longer than some of the generations that run meanwhile
const BUSY_MS = 500; // a machine that has other things to do, too
const BACK_WITHIN_MS = 5000;

const OUTAGES = [
  ['frozen', async (stack) => freeze(stack)],
  ['stopped', crash],
];

let stack, call;

const slow = (outline, ms) => ({ json: { outline, provider: 'sample', model: `slow-${ms}` } });
const keyed = (key) => ({
  json: { outline: `Lesson ${key}` },
  headers: { 'idempotency-key': key },
});

function assertUnavailable(answer) {
  assertProblem(answer, 503);
  assert.match(answer.headers.get('retry-after'), /^[1-9]\d*$/);
  assertInTime(answer);
}

const assertInTime = ({ ms }) => assert.ok(ms <= REFUSED_WITHIN_MS + BUSY_MS, `after ${ms} ms`);

// Clients that post one lesson after the other until stop(), which gives what they were answered.
function startClients(name) {
  const answers = [];
  let over = false;
  const clients = ['a', 'b', 'c'].map(async (client) => {
    for (let i = 0; !over; i++)
      answers.push(await call('POST', '/api/lessons', keyed(`${name}-${client}-${i}`)));
  });

  return async () => {
    over = true;
    await Promise.all(clients);
    return answers;
  };
}

const isGood = ({ status }) => status < 300;

// So many at once that each process of the responders has its share.
const askEverything = (key) =>
  Promise.all(
    Array.from({ length: 8 }, () => [
      call('POST', '/api/lessons', keyed(key)),
      call('GET', '/api/traces'),
      call('GET', '/api/traces', { as: 'admin' }),
      call('GET', '/api/lessons'),
      call('GET', '/api/lessons', { as: 'admin' }),
      call('GET', '/readyz', { as: null }),
    ]).flat(),
  );

// What is there, though a process may still believe that PostgreSQL is away.
const read = (path) =>
  until(path, async () => {
    const answer = await call('GET', path);
    return isGood(answer) && answer.body;
  });

// One outage, from before until after, and what all who asked were told.
async function outage(what, breakIt, seen) {
  await until('it serves', async () => (await askEverything(`${what}-first`)).every(isGood));
  const running = await Promise.all(
    [1, 700, 1500, 3000].map((ms) => call('POST', '/api/lessons', slow(`${what} ${ms}`, ms))),
  );
  const stopClients = startClients(`${what}-before`);

  seen.running = running.map(({ body }) => body.lesson.id);
  await sleep(300);
  const repair = await breakIt(stack);
  const away = sleep(AWAY_MS);
  try {
    seen.surprised = await stopClients();
    seen.refused = await Promise.all([
      call('GET', '/api/traces'),
      call('GET', '/api/traces?view=summary&count=exact', { as: 'admin' }),
      call('GET', `/api/traces/${NOBODY}`),
      call('DELETE', '/api/traces?deleteAll=true'),
      call('GET', '/api/lessons'),
      call('POST', '/api/lessons', keyed(`${what}-refused`)),
      call('DELETE', `/api/lessons/${NOBODY}`),
      call('POST', `/api/lessons/${NOBODY}/regenerate`, { json: {} }),
    ]);
    [seen.ready, ...seen.health] = await Promise.all([
      call('GET', '/readyz', { as: null }),
      call('GET', '/healthz', { as: null }),
      call('GET', '/healthz/traces', { as: null }),
    ]);
    seen.crowd = await Promise.all(
      Array.from({ length: 24 }, (_, i) => {
        const as = i % 3 ? 'user' : 'admin';
        return i % 2
          ? call('POST', '/api/lessons', { ...keyed(`${what}-crowd-${i}`), as })
          : call('GET', '/api/traces', { as });
      }),
    );
    await away;
  } finally {
    await repair();
  }
  const begin = performance.now();
  await until('it serves again', async () =>
    (await askEverything(`${what}-refused`)).every(isGood),
  );
  seen.backAfterMs = performance.now() - begin;
}

// Whether each of these lessons is generated, and told by one trace.
const whenGenerated = (ids) =>
  until(`${ids.length} lessons generated`, async () => {
    const count = await stack.psql(
      `SELECT count(*) FROM lessons l
        WHERE status = 'generated' AND id = ANY ('{${ids}}')
          AND ARRAY['completed'] = ARRAY(SELECT status FROM lesson_traces WHERE lesson_id = l.id)`,
    );
    return Number(count) === ids.length;
  });

describe('PostgreSQL', () => {
  before(async () => {
    stack = await startStack();
    call = api(stack);
  });

  after(() => stack?.stop());

  for (const [what, breakIt] of OUTAGES)
    describe(what, () => {
      const seen = {};

      // No before(): were that to fail, Node.js would not wait for our after().
      test('comes and goes while many ask', () => outage(what, breakIt, seen));

      test('is told in time to everybody who reads or writes', () =>
        seen.refused.forEach(assertUnavailable));

      test('is told in time to each of a crowd', () => seen.crowd.forEach(assertUnavailable));

      test('is told to those it surprised, or they were served', () => {
        const served = seen.surprised.filter(({ status }) => status === 201);

        assert.ok(served.length > 0);
        seen.surprised.filter(({ status }) => status !== 201).forEach(assertUnavailable);
      });

      test('makes /readyz red', () => {
        assert.equal(seen.ready.status, 503);
        assert.equal(seen.ready.body.status, 'unavailable');
        assert.equal(seen.ready.body.checks.database, false);
        assertInTime(seen.ready);
      });

      test('leaves /healthz as it is', () => {
        for (const answer of seen.health) {
          assert.equal(answer.status, 200);
          assert.equal(answer.text, 'ok\n');
          assertInTime(answer);
        }
      });

      test('is over for all soon after it is back', () =>
        assert.ok(seen.backAfterMs <= BACK_WITHIN_MS, `after ${seen.backAfterMs} ms`));

      test('makes nothing twice that was asked for again', async () =>
        assert.equal(
          await stack.psql(
            `SELECT count(*) FROM lessons WHERE idempotency_key = '${what}-refused'`,
          ),
          '1',
        ));

      test('loses no lesson that was being generated, and no call', async () => {
        await whenGenerated(seen.running);
        for (const id of seen.running) {
          const { lesson } = await read(`/api/lessons/${id}`);
          const { trace } = await read(`/api/traces/${lesson.trace_ids[0]}`);

          assert.deepEqual(
            trace.llm_calls.map(({ success, error_class }) => [success, error_class]),
            [[true, null]],
            JSON.stringify(trace.decisions),
          );
          assert.equal(trace.response_data.content, lesson.content);
        }
      });

      test('loses no lesson that was acknowledged', async () =>
        whenGenerated(
          seen.surprised.filter(({ status }) => status === 201).map(({ body }) => body.lesson.id),
        ));
    });
});

describe('without a provider', () => {
  const KEYLESS = { LLM_PROVIDERS: 'openai' };

  before(async () => {
    stack = await startStack({ env: KEYLESS });
    call = api(stack);
  });

  after(() => stack?.stop());

  test('a lesson ends in error, with a failed trace that says so', async () => {
    const posted = await call('POST', '/api/lessons', { json: { outline: 'Nobody writes this' } });
    assert.equal(posted.status, 201);
    const lesson = await whenDone(call, posted.body.lesson.id);
    const { trace } = (await call('GET', `/api/traces/${lesson.trace_ids[0]}`)).body;

    assert.equal(lesson.status, 'error');
    assert.match(lesson.error_message, /no provider .*configured/);
    assert.equal(lesson.content, null);
    assert.equal(lesson.title, 'Nobody writes this');
    assert.equal(trace.status, 'failed');
    assert.equal(trace.error_message, lesson.error_message);
    assert.deepEqual(trace.llm_calls, []);
    assert.equal(trace.provider_used, null);
    assert.equal(trace.response_data, null);
    assert.ok(trace.completed_at !== null);
    assert.deepEqual(
      trace.decisions.map(({ action, provider }) => [action, provider]),
      [
        ['skip', 'openai'],
        ['give_up', null],
      ],
    );
    const found = await call('GET', '/api/traces?status=failed&view=summary');
    assert.deepEqual(
      found.body.traces.map(({ id, error_message }) => [id, error_message]),
      [[trace.id, lesson.error_message]],
    );
  });

  test('/readyz is red and says why', async () => {
    const { status, body } = await call('GET', '/readyz', { as: null });

    assert.equal(status, 503);
    assert.deepEqual(body.checks, {
      database: true,
      schema: true,
      generator: true,
      provider: false,
    });
  });
});
