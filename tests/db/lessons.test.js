// A POST of a lesson, by the very statements of common/lesson.c: it is made once, and what stands in its way is told.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';
import { statementsOf } from '../lib/statements.js';

const STATEMENTS = statementsOf('common/lesson.c');
const QUEUED_MAX = '3';
const TOKENS_MAX = '1000';

let database, operator, api;

before(async () => {
  database = await startDatabase();
  operator = openSession(database.url());
  api = openSession(database.url('lesson_api'));
  for (const name of ['lesson_create', 'lesson_explain']) {
    const { sql, args } = STATEMENTS[name];
    await api.run(`PREPARE ${name}(${Array(args).fill('text').join(', ')}) AS ${sql}`);
  }
});

after(async () => {
  for (const session of [operator, api]) await session?.end();
  await database?.stop();
});

beforeEach(() => operator.run('DELETE FROM lessons; DELETE FROM user_tokens'));

const quote = (value) => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`);

// Runs the statement as the user; its row as [what, id, document], or undefined.
async function as(user, name, ...values) {
  await api.run('BEGIN');
  try {
    await api.run(`SELECT set_config('app.uid', ${quote(user)}, true)`);
    const text = await api.run(`EXECUTE ${name}(${values.map(quote).join(', ')})`);
    return text === '' ? undefined : text.split('|');
  } finally {
    await api.run('COMMIT');
  }
}

const lesson = (more = {}) => ({
  user: 'ann',
  id: randomUUID(),
  trace: randomUUID(),
  outline: 'Photosynthesis',
  options: '{"grade_level": "7"}',
  key: null,
  tokens: TOKENS_MAX,
  ...more,
});

const create = (l) =>
  as(
    l.user,
    'lesson_create',
    ...[l.id, l.user, 'Title', l.outline, l.options, l.key, l.trace, 'r1', QUEUED_MAX, l.tokens],
    'true',
  );
const explain = (l) =>
  as(l.user, 'lesson_explain', l.id, l.user, l.outline, l.options, l.key, QUEUED_MAX, l.tokens);

const counted = async () =>
  (
    await operator.run(
      'SELECT (SELECT count(*) FROM lessons), (SELECT count(*) FROM lesson_traces), (SELECT count(*) FROM generation_jobs)',
    )
  ).split('|');

async function fill(user) {
  for (let i = 0; i < Number(QUEUED_MAX); i++)
    assert.equal((await create(lesson({ user })))[0], 'created');
}

describe('a POST', () => {
  test('makes a lesson, its trace and its job, and gives the lesson', async () => {
    const one = lesson();
    const [what, id, document] = await create(one);

    assert.deepEqual([what, id], ['created', one.id]);
    assert.deepEqual(JSON.parse(document).trace_ids, [one.trace]);
    assert.deepEqual(await counted(), ['1', '1', '1']);
  });

  test('that is sent again, since nobody heard that it was committed, is told as created', async () => {
    const one = lesson();

    await create(one);
    assert.equal(await create(one), undefined);
    const [what, id, document] = await explain(one);
    assert.deepEqual([what, id], ['created', one.id]);
    assert.deepEqual(JSON.parse(document).trace_ids, [one.trace]);
    assert.deepEqual(await counted(), ['1', '1', '1']);
  });

  test('that is sent again is told as created though it fills the queue', async () => {
    await fill('ann');
    const last = { ...lesson(), id: await operator.run('SELECT max(id::text) FROM lessons') };

    assert.equal(await create(last), undefined);
    assert.deepEqual((await explain(last)).slice(0, 2), ['created', last.id]);
  });

  test('with a key that was used for the same gives what was made then', async () => {
    const first = lesson({ key: 'k' });
    const again = lesson({ key: 'k', options: '{"grade_level":  "7"}' });

    await create(first);
    assert.equal(await create(again), undefined);
    assert.deepEqual((await explain(again)).slice(0, 2), ['same', first.id]);
  });

  for (const [what, other] of [
    ['outline', { outline: 'Osmosis' }],
    ['options', { options: '{"grade_level": "8"}' }],
  ])
    test(`with a key that was used for another ${what} says so`, async () => {
      const again = lesson({ key: 'k', ...other });

      await create(lesson({ key: 'k' }));
      assert.equal(await create(again), undefined);
      assert.equal((await explain(again))[0], 'other');
    });

  test('with the key of another user makes a lesson of its own', async () => {
    await create(lesson({ key: 'k' }));
    assert.equal((await create(lesson({ user: 'bob', key: 'k' })))[0], 'created');
  });

  test('of a user with too many in the queue is told so, and one of another is not', async () => {
    const one = lesson();

    await fill('ann');
    assert.equal(await create(one), undefined);
    assert.deepEqual(await explain(one), ['full', '', '']);
    assert.equal((await create(lesson({ user: 'bob' })))[0], 'created');
  });

  test('of a user who has used all tokens of the day is told so, without a limit it is not', async () => {
    const one = lesson();

    await operator.run(
      `INSERT INTO user_tokens VALUES ('ann', (now() AT TIME ZONE 'UTC')::date, 1, ${TOKENS_MAX})`,
    );
    assert.equal(await create(one), undefined);
    assert.deepEqual(await explain(one), ['spent', '', '']);
    assert.equal((await create(lesson({ tokens: null })))[0], 'created');
  });

  test('with nothing in its way any more is told nothing', async () => {
    assert.equal(await explain(lesson({ key: 'k' })), undefined);
  });
});
