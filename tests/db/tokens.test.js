// The tokens that the calls of a user used in a day: counted once, whatever is told twice, deleted or done beside.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';
import { statementsOf } from '../lib/statements.js';

const FINISH = statementsOf('common/job.c').job_finish;
const DENIED = { code: '42501' };

let database, operator, api, admin, first, second;

before(async () => {
  database = await startDatabase();
  operator = openSession(database.url());
  [api, admin, first, second] = ['lesson_api', 'lesson_admin', 'lesson_worker', 'lesson_worker'].map((role) =>
    openSession(database.url(role)),
  );
  await first.run(`PREPARE finish(${Array(FINISH.args).fill('text')}) AS ${FINISH.sql}`);
});

after(async () => {
  for (const session of [operator, api, admin, first, second]) await session?.end();
  await database?.stop();
});

// A lesson of ann and one of bob, each with its trace of the same id, and held by slot a.
const ID = Object.fromEntries(['ann', 'bob'].map((owner, i) => [owner, `00000000-0000-4000-8000-00000000000${i}`]));

beforeEach(() =>
  operator.run(
    `DELETE FROM lessons; DELETE FROM lesson_traces; DELETE FROM user_tokens;
     ${Object.entries(ID)
       .map(
         ([owner, id]) =>
           `INSERT INTO lessons (id, owner, title, outline) VALUES ('${id}', '${owner}', 't', 'o');
            INSERT INTO lesson_traces (id, lesson_id, owner, request_data) VALUES ('${id}', '${id}', '${owner}', '{}');
            INSERT INTO generation_jobs (lesson_id, trace_id, owner, slot, epoch) VALUES ('${id}', '${id}', '${owner}', 'a', 1);`,
       )
       .join('')}`,
  ),
);

const told = (total, owner = 'ann') =>
  `UPDATE lesson_traces SET total_tokens = ${total} WHERE id = '${ID[owner]}'`;
const used = async (owner = 'ann') =>
  Number(await operator.run(`SELECT coalesce(sum(tokens), 0) FROM user_tokens WHERE owner = '${owner}'`));
// The end of a generation, whose calls used so many in all.
const finish = async (total, owner = 'ann') => {
  const call = `{"span_id": "s", "provider": "groq", "success": true}`;
  const args = [ID[owner], 'a', 1, ID[owner], call, '[]', 'm', null, null, 1, 1, total, null];
  const result = [true, 't', '# t', '{}', null, 'groq', 5];
  const text = await first.run(
    `EXECUTE finish(${[...args, ...result].map((value) => (value === null ? 'NULL' : `'${value}'`))})`,
  );
  return Number(text.split('|')[0]);
};

describe('tokens', () => {
  test('are those that a trace says more than before', async () => {
    for (const [total, sum] of [
      [30, 30],
      [30, 30],
      [70, 70],
      ['NULL', 0],
      [70, 70],
    ]) {
      await first.run(told(total));
      assert.equal(await used(), sum);
    }
    assert.equal(await used('bob'), 0);
  });

  test('go back with the transaction', async () => {
    await first.run('BEGIN');
    await first.run(told(30));
    await first.run('ROLLBACK');
    assert.equal(await used(), 0);
  });

  test('stay when the trace and the lesson are deleted', async () => {
    await first.run(told(30));
    await operator.run(`DELETE FROM lesson_traces; DELETE FROM lessons`);
    assert.equal(await used(), 30);
  });

  test('of a generation are counted at its end', async () => {
    assert.equal(await finish(50), 1);
    assert.equal(await used(), 50);
  });

  test('that were counted before the end are not counted again', async () => {
    await first.run(told(30));
    assert.equal(await finish(50), 1);
    assert.equal(await used(), 50);
  });

  test('of a generation whose trace was deleted meanwhile are counted, too', async () => {
    await operator.run(`DELETE FROM lesson_traces WHERE owner = 'ann'`);
    assert.equal(await finish(50), 1);
    assert.equal(await used(), 50);
    assert.equal(await finish(50), 0, 'it has ended');
    assert.equal(await used(), 50);
  });

  test('that nobody knows are none', async () => {
    await operator.run(`DELETE FROM lesson_traces WHERE owner = 'ann'`);
    assert.equal(await finish(null), 1);
    assert.equal(await finish(null, 'bob'), 1);
    assert.equal(await used(), 0);
    assert.equal(await used('bob'), 0);
  });

  test('are counted by two sessions at a time, without waiting for each other', async () => {
    for (const session of [first, second]) await session.run('BEGIN');
    await first.run(told(30, 'ann'));
    await second.run(told(7, 'bob'));
    await second.run(`SELECT user_tokens_add('ann', 5)`);
    await first.run(`SELECT user_tokens_add('bob', 5)`);
    for (const session of [first, second]) await session.run('COMMIT');
    assert.deepEqual([await used(), await used('bob')], [35, 12]);
  });

  test('of a week ago go when a day begins', async () => {
    await operator.run(
      `INSERT INTO user_tokens SELECT owner, (now() AT TIME ZONE 'UTC')::date - n, 1, 1
         FROM generate_series(0, 30) n, unnest('{ann,bob}'::text[]) owner`,
    );
    await first.run(told(30));
    assert.equal(await operator.run(`SELECT count(*) FROM user_tokens WHERE owner = 'ann'`), '9');
    assert.equal(await operator.run(`SELECT count(*) FROM user_tokens WHERE owner = 'bob'`), '31');
  });
});

describe('the limit', () => {
  const as = async (user, sql, session = api) => {
    await session.run('BEGIN');
    await session.run(`SELECT set_config('app.uid', '${user}', true)`);
    const result = await session.run(sql).finally(() => session.run('ROLLBACK'));
    return result;
  };
  const spent = (most, user = 'ann', session = api) => as(user, `SELECT user_tokens_spent('ann', ${most})`, session);

  test('is reached by those of today', async () => {
    assert.equal(await spent(1), 'f');
    await first.run(told(30));
    assert.deepEqual([await spent(31), await spent(30), await spent(1)], ['f', 't', 't']);
    assert.equal(await spent(30, 'root', admin), 't');
    await operator.run('UPDATE user_tokens SET day = day - 1');
    assert.equal(await spent(1), 'f');
  });

  test('that is null is none', async () => {
    await first.run(told(30));
    assert.equal(await spent('NULL'), '');
  });

  test('tells nobody of another', async () => {
    await first.run(told(30));
    assert.equal(await spent(1, 'bob'), 'f');
    assert.equal(await as('ann', 'SELECT sum(tokens) FROM user_tokens'), '30');
    assert.equal(await as('bob', 'SELECT count(*) FROM user_tokens'), '0');
    assert.equal(await api.run('SELECT count(*) FROM user_tokens'), '0');
  });

  for (const [what, sql] of [
    ['gives tokens back', 'UPDATE user_tokens SET tokens = 0'],
    ['forgets tokens', 'DELETE FROM user_tokens'],
    ['adds tokens', `SELECT user_tokens_add('ann', -1000)`],
  ])
    test(`is no user's, nor an admin's, who ${what}`, async () => {
      await assert.rejects(as('ann', sql), DENIED);
      await assert.rejects(as('root', sql, admin), DENIED);
    });
});
