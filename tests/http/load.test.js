// One generator with very much to do, and one that is killed in the middle of it.

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, test } from 'node:test';

import { api, sleep, until } from '../lib/api.js';
import { assertTruthful, generatorPid, memory_kb, post, story } from '../lib/generator.js';
import { startStack } from '../lib/stack.js';
import { peak, startUpstream } from '../lib/upstream.js';

const THINKING_S = 2;
const LESSONS = 1000;
const POSTING_AT_A_TIME = 16;
const MEMORY_MAX_KB = 150 * 1024;
const IN_FLIGHT = 100;
const EVERY_MS = 50;
const PATIENCE_MS = 60_000;
const EXPORTED = 4000;
const EXPORT_MORE_KB = 16_000;
const LARGE = 60;
const LARGE_MB = 2;

let stack, upstream, call;

before(async () => {
  upstream = await startUpstream({ seconds: THINKING_S });
  stack = await startStack({
    env: {
      LLM_PROVIDERS: 'openai',
      OPENAI_BASE_URL: `${upstream.url}/v1`,
      OPENAI_API_KEY: 'sk-test-load',
      OPENAI_MODEL: 'slow',
    },
  });
  call = api(stack);
});

after(() => Promise.all([stack?.stop(), upstream?.stop()]));

const number = async (sql) => Number(await stack.psql(sql));
const sanitized = () => (process.env.TEST_BUILD_DIR ?? 'build') !== 'build';

// As fast as they are taken: fetch takes longer to ask than the stack to answer. Gives the statuses.
async function postAll(outlines) {
  const agent = new Agent({ keepAlive: true, maxSockets: POSTING_AT_A_TIME });
  const one = (outline) =>
    new Promise((resolve, reject) => {
      request(`${stack.baseUrl}/api/lessons`, {
        method: 'POST',
        agent,
        auth: `${stack.user.user}:${stack.user.password}`,
        headers: { 'content-type': 'application/json' },
      })
        .on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode)))
        .on('error', reject)
        .end(JSON.stringify({ outline }));
    });
  const statuses = await Promise.all(outlines.map(one));

  agent.destroy();
  return statuses;
}

test(`${LESSONS}_lessons_at_once`, { timeout: 2 * PATIENCE_MS }, async (t) => {
  const begin = performance.now();
  const statuses = await postAll(Array.from({ length: LESSONS }, (_, i) => `Load ${i + 1}`));
  const posting_ms = performance.now() - begin;

  assert.ok(statuses.every((status) => status === 201));
  await until(
    'all lessons done',
    async () =>
      (await number(
        `SELECT count(*) FROM lessons WHERE outline LIKE 'Load %' AND status <> 'generating'`,
      )) === LESSONS,
    PATIENCE_MS,
  );
  const [seen] = JSON.parse(
    await stack.psql(
      `SELECT json_agg(r) FROM (
         SELECT count(*) AS lessons, count(DISTINCT l.id) AS different,
                count(*) FILTER (WHERE l.status = 'generated') AS generated,
                count(*) FILTER (WHERE t.status = 'completed' AND t.provider_used = 'openai') AS completed,
                min(t.llm_call_count) AS calls_min, max(t.llm_call_count) AS calls_max,
                round(extract(epoch FROM max(l.updated_at) - min(l.created_at)) * 1000) AS ms
           FROM lessons l JOIN lesson_traces t ON t.lesson_id = l.id
          WHERE l.outline LIKE 'Load %') r`,
    ),
  );
  const calls = upstream.calls();
  const memory = memory_kb(generatorPid(stack), 'VmHWM');

  t.diagnostic(
    `${LESSONS} lessons posted in ${Math.round(posting_ms)} ms, generated in ${seen.ms} ms in all; ` +
      `at most ${peak(calls)} calls at a time; the generator's VmHWM ${memory} kB`,
  );
  assert.equal(seen.generated, LESSONS);
  assert.equal(seen.completed, LESSONS);
  assert.deepEqual([seen.lessons, seen.different], [LESSONS, LESSONS], 'one trace each');
  assert.deepEqual([seen.calls_min, seen.calls_max], [1, 1], 'one call each');
  assert.equal(calls.length, LESSONS);
  assert.ok(calls.every(({ status }) => status === 200));
  if (sanitized()) t.diagnostic('memory not judged: the programs have sanitizers');
  else assert.ok(memory <= MEMORY_MAX_KB, `${memory} kB`);
});

test('a_killed_generator_loses_nothing', { timeout: 2 * PATIENCE_MS }, async (t) => {
  const outlines = Array.from({ length: IN_FLIGHT }, (_, i) => `Lost ${i + 1}`);
  const release = upstream.hold(); // no call may end before it is killed
  const lessons = await Promise.all(outlines.map((outline) => post(call, { outline })));
  const pid = generatorPid(stack);
  const meanwhile = [];
  let refused = [];
  let over = false;

  await until(
    'all calls under way',
    async () =>
      (await number(
        `SELECT count(*) FROM lesson_traces
          WHERE status = 'started' AND llm_calls -> 0 -> 'success' = 'null'`,
      )) === IN_FLIGHT,
  );

  // Users who notice nothing.
  async function user() {
    while (!over) {
      const next = sleep(EVERY_MS);
      const answers = await Promise.all([
        call('POST', '/api/lessons', { json: { outline: 'Meanwhile' } }),
        call('GET', '/api/lessons?limit=5'),
        call('GET', '/api/traces?view=summary&limit=5'),
        call('GET', `/api/lessons/${lessons[0].id}`),
      ]);

      refused.push(...answers.filter(({ status }) => status !== 200 && status !== 201));
      if (answers[0].status === 201) meanwhile.push(answers[0].body.lesson.id);
      await next;
    }
  }
  const users = user();
  await sleep(2 * EVERY_MS);
  const killed = Date.now();
  process.kill(pid, 'SIGKILL');
  release();

  try {
    await until(
      'all lessons done',
      async () =>
        (await number(
          `SELECT count(*) FROM lessons WHERE outline LIKE 'Lost %' AND status <> 'generating'`,
        )) === IN_FLIGHT,
      PATIENCE_MS,
    );
  } finally {
    over = true;
    await users;
  }
  assert.deepEqual(refused, []);
  assert.notEqual(generatorPid(stack), pid);

  const traces = await Promise.all(
    lessons.map(async ({ id }) => (await call('GET', `/api/traces?lesson_id=${id}`)).body.traces),
  );
  const taken_up = [];
  for (const [i, [trace, ...more]] of traces.entries()) {
    const [lost, again] = trace.llm_calls;

    assert.deepEqual(more, [], 'one trace each');
    assert.equal(trace.status, 'completed');
    assert.equal(trace.llm_calls.length, 2);
    assert.equal(lost.success, false);
    assert.equal(lost.error_class, 'worker_lost');
    assert.equal(lost.response, null);
    assert.equal(lost.duration_ms, null, 'nobody knows');
    assert.ok(lost.request.prompt.includes(`Outline: "${outlines[i]}"`), 'what was sent is told');
    assert.equal(lost.request.model, 'slow');
    assert.equal(again.success, true);
    assert.deepEqual(story(trace), ['try openai', 'retry worker_lost', 'try openai']);
    assertTruthful(trace);
    taken_up.push(Date.parse(again.timestamp) - killed);
  }
  t.diagnostic(
    `${IN_FLIGHT} calls killed; taken up again after ${Math.min(...taken_up)} to ${Math.max(...taken_up)} ms; ` +
      `${meanwhile.length} lessons posted meanwhile`,
  );

  await until(
    'those posted meanwhile are done',
    async () =>
      (await number(
        `SELECT count(*) FROM lessons WHERE outline = 'Meanwhile' AND status = 'generated'`,
      )) === meanwhile.length,
  );
  assert.equal(await number('SELECT count(*) FROM generation_jobs'), 0);
});

const most_kb = () =>
  Math.max(
    ...stack
      .processes()
      .filter(({ command }) => /^\S*traces\.fcgi/.test(command))
      .map(({ pid }) => memory_kb(pid, 'VmHWM')),
  );
const lines = async (query) =>
  (await call('GET', `/api/traces/export?format=ndjson&${query}`)).text.split('\n').length - 1;

test('an_export_takes_no_more_memory_for_more_traces', { timeout: 2 * PATIENCE_MS }, async (t) => {
  await stack.psql(
    `INSERT INTO lesson_traces (owner, status, model, request_data, response_data)
     SELECT 'user', 'failed', CASE WHEN n > 10 THEN 'many' ELSE 'few' END, '{"outline": "Large"}',
            jsonb_build_object('content', repeat(md5(n::text), 640))
       FROM generate_series(1, ${EXPORTED}) n`,
  );
  assert.equal(await lines('model=few'), 10);
  const before = most_kb();
  const begin = performance.now();
  assert.equal(await lines('model=many'), EXPORTED - 10);
  const ms = performance.now() - begin;
  const more = most_kb() - before;
  t.diagnostic(`${more} kB more for ${EXPORTED} traces of 20 KB, in ${Math.round(ms)} ms`);
  assert.ok(more < EXPORT_MORE_KB, `${more} kB more`);
});

test('an_export_takes_the_memory_of_one_large_trace', { timeout: 2 * PATIENCE_MS }, async (t) => {
  if (sanitized()) {
    t.diagnostic('not judged: the programs have sanitizers');
    return;
  }
  await stack.psql(
    `INSERT INTO lesson_traces (owner, status, model, request_data, response_data)
     SELECT 'user', 'failed', 'large', '{"outline": "Large"}',
            jsonb_build_object('content', repeat(md5(n::text), ${(LARGE_MB * 1024 * 1024) / 32}))
       FROM generate_series(1, ${LARGE}) n`,
  );
  const before = most_kb();
  const begin = performance.now();
  assert.equal(await lines('model=large'), LARGE);
  const ms = performance.now() - begin;
  const more = most_kb() - before;
  t.diagnostic(`${more} kB more for ${LARGE} traces of ${LARGE_MB} MB, in ${Math.round(ms)} ms`);
  assert.ok(more < EXPORT_MORE_KB, `${more} kB more`);
});
