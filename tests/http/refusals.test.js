// PostgreSQL is there and does not take what the generator writes: what can pass is waited for, what cannot is set
// apart, loudly; its neighbours are stored, and no paid answer is thrown away.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import { api, sleep, until, whenDone } from '../lib/api.js';
import { generatorPid, post, traceOf, underWay } from '../lib/generator.js';
import { startStack } from '../lib/stack.js';

const NEIGHBOURS = 20;
const WAITS_MS = 1500; // longer than the generator waits before it spools

let stack, call;

before(async () => {
  stack = await startStack({ env: { LEASE_SECONDS: '6' } });
  call = api(stack);
});

after(() => stack?.stop());

// `condition` on NEW: an update of a trace that it holds for fails so.
const refuse = (sqlstate, condition) =>
  stack.psql(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
         RAISE EXCEPTION 'refused' USING ERRCODE = '${sqlstate}';
     END $$;
     CREATE TRIGGER refuse BEFORE UPDATE ON lesson_traces FOR EACH ROW WHEN (${condition})
         EXECUTE FUNCTION refuse()`,
  );
const accept = () => stack.psql('DROP FUNCTION IF EXISTS refuse() CASCADE');
const log = () => readFileSync(join(stack.logDir, 'lesson-generator.log'), 'utf8');
const state = (pattern) =>
  readdirSync(join(stack.runDir, 'state')).filter((name) => pattern.test(name));
const spooled = () =>
  state(/^spool-/).reduce((sum, name) => sum + statSync(join(stack.runDir, 'state', name)).size, 0);

const lessons = (outlines, model = 'slow-300') =>
  Promise.all(outlines.map((outline) => post(call, { outline, provider: 'sample', model })));
const named = (name) => Array.from({ length: NEIGHBOURS }, (_, i) => `${name} ${i}`);

afterEach(accept);

describe('what will pass', () => {
  for (const [sqlstate, what] of [
    ['53100', 'a full disk'],
    ['40P01', 'a deadlock'],
    ['55P03', 'a lock'],
    ['58030', 'an I/O error'],
  ])
    test(`is waited for, on the disk, and then stored: ${what}`, async () => {
      const before = spooled();
      const [first] = await lessons([`Refused ${sqlstate}`], 'slow-700');

      await underWay(call, first);
      await refuse(sqlstate, 'true');
      await until('the result is spooled', () => spooled() > before);
      assert.match(log(), new RegExp(`does not take what is written.*${sqlstate}`));
      await accept();
      const lesson = await whenDone(call, first.id);
      const { llm_calls } = await traceOf(call, first.trace_ids[0]);
      assert.equal(lesson.status, 'generated');
      assert.deepEqual(
        llm_calls.map(({ success }) => success),
        [true],
        'the answer that was paid for',
      );
    });
});

describe('what never will', () => {
  test('is set apart, and its neighbours are stored', async () => {
    await refuse('22P02', `NEW.request_data ->> 'outline' = 'Bad item'`);
    const all = await lessons(['Bad item', ...named('Neighbour')]);
    const done = await Promise.all(all.slice(1).map(({ id }) => whenDone(call, id)));

    assert.ok(done.every(({ status }) => status === 'generated'));
    await until('a dead letter', () => state(/^dead-/).length > 0);
    assert.match(log(), /event="write refused".*22P02/);
    await accept();
  });

  test('of an answer alone, ends the lesson in error, and says so', async () => {
    await refuse(
      '22P05',
      `NEW.status = 'completed' AND NEW.request_data ->> 'outline' = 'Bad answer'`,
    );
    const [
      {
        id,
        trace_ids: [trace],
      },
    ] = await lessons(['Bad answer']);
    const lesson = await whenDone(call, id);

    assert.equal(lesson.status, 'error');
    assert.match(lesson.error_message, /could not be stored/);
    const { llm_calls } = await traceOf(call, trace);
    assert.equal(llm_calls.at(-1).error_class, 'invalid_response');
    assert.equal(llm_calls.at(-1).response?.content ?? null, null);
  });

  test('of the end itself, is kept and not paid for again, and /readyz is red', async () => {
    await refuse('42501', `NEW.status <> 'started' AND NEW.request_data ->> 'outline' = 'Never'`);
    const [
      {
        id,
        trace_ids: [trace],
      },
    ] = await lessons(['Never', 'Another']);

    await until('it is stuck', () => /event="generation stuck"/.test(log()));
    await until(
      '/readyz red',
      async () => (await call('GET', '/readyz', { as: null })).status === 503,
    );
    await sleep(WAITS_MS);
    assert.equal((await traceOf(call, trace)).llm_calls.length, 1, 'one call');
    assert.equal((await call('GET', `/api/lessons/${id}`)).body.lesson.status, 'generating');

    // A person has looked: the next process does it again.
    await accept();
    process.kill(generatorPid(stack), 'SIGTERM');
    assert.equal((await whenDone(call, id)).status, 'generated');
    await until(
      '/readyz green',
      async () => (await call('GET', '/readyz', { as: null })).status === 200,
    );
  });
});

describe('a process that is told to stop while nothing is taken', () => {
  test('brings its results to the disk, and the next one stores them', async () => {
    const all = await lessons(named('Stopped'), 'slow-700');

    await underWay(call, all[0]);
    await refuse('53100', 'true');
    await sleep(1000); // the answers have come
    const pid = generatorPid(stack);
    process.kill(pid, 'SIGTERM');
    await until('another process', () => ![pid, undefined].includes(generatorPid(stack)));
    await accept();
    const done = await Promise.all(all.map(({ id }) => whenDone(call, id)));

    assert.ok(done.every(({ status }) => status === 'generated'));
    assert.doesNotMatch(log(), /writes_lost/);
    for (const {
      trace_ids: [trace],
    } of all) {
      const { llm_calls } = await traceOf(call, trace);
      assert.deepEqual(
        llm_calls.map(({ success }) => success),
        [true],
        'no answer was paid for twice',
      );
    }
  });
});

test('a slot that cannot be taken at once is taken later', async () => {
  const release = sleep(3000);
  const locked = stack.psql(
    `BEGIN; SELECT 1 FROM generation_workers FOR UPDATE; SELECT pg_sleep(3); COMMIT`,
  );

  await sleep(200);
  process.kill(generatorPid(stack), 'SIGKILL');
  await Promise.all([release, locked]);
  const [{ id }] = await lessons(['After the lock']);
  assert.equal((await whenDone(call, id)).status, 'generated');
});
