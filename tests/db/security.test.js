// Row security: what PostgreSQL lets a user do whatever the program in between does. And the audit log behind it.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';

const DENIED = { code: '42501' };
const REQUEST = 'f'.repeat(32);

let database, operator, api, admin, worker;

before(async () => {
  database = await startDatabase();
  operator = openSession(database.url());
  [api, admin, worker] = ['lesson_api', 'lesson_admin', 'lesson_worker'].map((role) =>
    openSession(database.url(role)),
  );
});

after(async () => {
  for (const session of [operator, api, admin, worker]) await session?.end();
  await database?.stop();
});

// Two users with two lessons each, a trace and a job for each lesson.
beforeEach(() =>
  operator.run(
    `DELETE FROM lessons; DELETE FROM lesson_traces; DELETE FROM audit_log;
     INSERT INTO lessons (id, owner, title, outline, idempotency_key)
     SELECT md5(owner || n)::uuid, owner, owner, 'o', 'key' || n
       FROM unnest(ARRAY['ann', 'bob']) owner, generate_series(1, 2) n;
     INSERT INTO lesson_traces (id, lesson_id, owner, request_data) SELECT id, id, owner, '{}' FROM lessons;
     INSERT INTO generation_jobs (lesson_id, trace_id, owner) SELECT id, id, owner FROM lessons`,
  ),
);

const idOf = (owner, n = 1) => `md5('${owner}${n}')::uuid`;

// The statement as a user, as a responder sends it: the identity lives for one transaction.
async function as(user, sql, session = api) {
  await session.run('BEGIN');
  try {
    await session.run(
      `SELECT set_config('app.uid', '${user}', true), set_config('app.request_id', '${REQUEST}', true)`,
    );
    const result = await session.run(sql);
    await session.run('COMMIT');
    return result;
  } catch (error) {
    await session.run('ROLLBACK');
    throw error;
  }
}

const TABLES = ['lessons', 'lesson_traces', 'generation_jobs'];
const VIEWS = ['lesson_summary', 'lesson_full', 'lesson_trace_full', 'lesson_trace_summary'];

describe('a user', () => {
  for (const table of [...TABLES, ...VIEWS])
    test(`sees own rows of ${table} and no others`, async () => {
      assert.equal(await as('ann', `SELECT string_agg(owner, ' ') FROM ${table}`), 'ann ann');
      assert.equal(await as('ann', `SELECT count(*) FROM ${table} WHERE owner = 'bob'`), '0');
      assert.equal(await as('nobody', `SELECT count(*) FROM ${table}`), '0');
    });

  for (const table of [...TABLES, ...VIEWS])
    test(`who is nobody sees no row of ${table}`, async () => {
      assert.equal(await api.run(`SELECT count(*) FROM ${table}`), '0');
      assert.equal(await as('', `SELECT count(*) FROM ${table}`), '0');
    });

  test('is nobody again when the transaction is over, also after an error', async () => {
    await as('ann', 'SELECT 1');
    assert.equal(await api.run('SELECT count(*) FROM lessons'), '0');
    await assert.rejects(as('ann', 'SELECT 1 / 0'));
    assert.equal(await api.run('SELECT count(*) FROM lessons'), '0');
  });

  for (const table of ['lessons', 'lesson_traces']) {
    test(`deletes own rows of ${table} and no others`, async () => {
      assert.equal(
        await as(
          'ann',
          `WITH gone AS (DELETE FROM ${table} RETURNING owner) SELECT string_agg(owner, ' ') FROM gone`,
        ),
        'ann ann',
      );
      assert.equal(await operator.run(`SELECT string_agg(owner, ' ') FROM ${table}`), 'bob bob');
    });

    test(`deletes no row of ${table} of another, by its id`, async () => {
      await as('ann', `DELETE FROM ${table} WHERE id = ${idOf('bob')}`);
      assert.equal(await operator.run(`SELECT count(*) FROM ${table}`), '4');
    });
  }

  test('changes own lessons and no others', async () => {
    await as('ann', `UPDATE lessons SET status = 'error'`);
    assert.equal(
      await operator.run(`SELECT string_agg(owner || status, ' ' ORDER BY owner) FROM lessons`),
      'annerror annerror bobgenerating bobgenerating',
    );
  });

  const DENIALS = [
    [
      'inserts a lesson for another',
      `INSERT INTO lessons (owner, title, outline) VALUES ('bob', 't', 'o')`,
    ],
    [
      'inserts a trace for another',
      `INSERT INTO lesson_traces (owner, request_data) VALUES ('bob', '{}')`,
    ],
    [
      'inserts a job for another',
      `INSERT INTO generation_jobs (lesson_id, trace_id, owner) VALUES (${idOf('bob')}, gen_random_uuid(), 'bob')`,
    ],
    ['gives a lesson away', `UPDATE lessons SET owner = 'bob'`],
    ['changes what a lesson says', `UPDATE lessons SET content = 'x'`],
    ['changes a trace', `UPDATE lesson_traces SET status = 'completed'`],
    ['takes a job', `UPDATE generation_jobs SET slot = 'x', epoch = 1`],
    ['removes a job', 'DELETE FROM generation_jobs'],
    ...TABLES.map((table) => [`truncates ${table}`, `TRUNCATE ${table} CASCADE`]),
    ['truncates the audit log', 'TRUNCATE audit_log'],
    ['reads the audit log', 'SELECT * FROM audit_log'],
    ['changes the audit log', `UPDATE audit_log SET actor = 'x'`],
    ['clears the audit log', 'DELETE FROM audit_log'],
    [
      'writes the audit log in the name of another',
      `INSERT INTO audit_log (actor, action, object, count) VALUES ('bob', 'delete', 'trace', 1)`,
    ],
    ['changes the state of a provider', `UPDATE provider_health SET state = 'open'`],
    ['becomes an admin', 'SET ROLE lesson_admin'],
    ['becomes the owner', 'SET ROLE lesson_owner'],
    ['takes row security off a table', 'ALTER TABLE lessons DISABLE ROW LEVEL SECURITY'],
    ['adds a policy', 'CREATE POLICY mine ON lessons USING (true)'],
    ['removes a trigger', 'DROP TRIGGER audit_delete ON lessons'],
    ['makes a table', 'CREATE TABLE mine (id int)'],
    ['asks for no row security', 'SET LOCAL row_security = off; SELECT * FROM lessons'],
    ['runs without triggers', `SET LOCAL session_replication_role = 'replica'`],
  ];

  for (const [what, sql] of DENIALS)
    test(`never ${what}`, () => assert.rejects(as('ann', sql), DENIED));

  test('who is nobody inserts nothing', async () => {
    await assert.rejects(api.run(`INSERT INTO lessons (title, outline) VALUES ('t', 'o')`), DENIED);
    await assert.rejects(
      api.run(`INSERT INTO lessons (owner, title, outline) VALUES ('ann', 't', 'o')`),
      DENIED,
    );
  });

  test('may use a key that another uses', async () => {
    await as(
      'cid',
      `INSERT INTO lessons (title, outline, idempotency_key) VALUES ('t', 'o', 'key1')`,
    );
    await assert.rejects(
      as('cid', `INSERT INTO lessons (title, outline, idempotency_key) VALUES ('t', 'o', 'key1')`),
      { code: '23505' },
    );
  });
});

describe('an admin', () => {
  test('sees and deletes the rows of all', async () => {
    assert.equal(await as('root', 'SELECT count(*) FROM lessons', admin), '4');
    await as('root', `DELETE FROM lesson_traces WHERE owner = 'bob'`, admin);
    assert.equal(await operator.run('SELECT count(*) FROM lesson_traces'), '2');
  });

  for (const [what, sql] of [
    ['changes the audit log', `UPDATE audit_log SET actor = 'x'`],
    ['clears the audit log', 'DELETE FROM audit_log'],
    ['truncates the audit log', 'TRUNCATE audit_log'],
    ['truncates traces', 'TRUNCATE lesson_traces'],
    [
      'writes the audit log in the name of another',
      `INSERT INTO audit_log (actor, action, object, count) VALUES ('ann', 'delete', 'trace', 1)`,
    ],
    ['changes a trace', `UPDATE lesson_traces SET error_message = 'x'`],
  ])
    test(`never ${what}`, () => assert.rejects(as('root', sql, admin), DENIED));
});

describe('a generator', () => {
  for (const [what, sql] of [
    ['deletes a lesson', 'DELETE FROM lessons'],
    ['deletes a trace', 'DELETE FROM lesson_traces'],
    ['makes a lesson', `INSERT INTO lessons (owner, title, outline) VALUES ('ann', 't', 'o')`],
    ['makes a job', `INSERT INTO generation_jobs (lesson_id, trace_id) SELECT id, id FROM lessons`],
    ['reads the audit log', 'SELECT * FROM audit_log'],
  ])
    test(`never ${what}`, () => assert.rejects(worker.run(sql), DENIED));
});

const audits = () =>
  operator.rows(
    `SELECT actor, action, object, count, array_length(ids, 1) AS ids, filter, request_id FROM audit_log ORDER BY id`,
  );

describe('the audit log', () => {
  test('tells of a deletion, whoever does it and however', async () => {
    await as('ann', 'DELETE FROM lesson_traces');
    await as('root', `DELETE FROM lesson_traces WHERE owner = 'bob'`, admin);
    assert.deepEqual(
      await audits(),
      ['ann', 'root'].map((actor) => ({
        actor,
        action: 'delete',
        object: 'trace',
        count: 2,
        ids: 2,
        filter: null,
        request_id: REQUEST,
      })),
    );
  });

  test('tells of the traces that go with a lesson', async () => {
    await as('ann', `DELETE FROM lessons WHERE id = ${idOf('ann')}`);
    assert.deepEqual(
      (await audits())
        .map(({ actor, object, count, request_id }) => [actor, object, count, request_id])
        .sort(),
      [
        ['ann', 'lesson', 1, REQUEST],
        ['ann', 'trace', 1, REQUEST],
      ],
    );
  });

  test('names who is signed in to PostgreSQL where there is no user', async () => {
    await admin.run('DELETE FROM lesson_traces');
    assert.deepEqual(
      (await audits()).map(({ actor }) => actor),
      ['lesson_admin'],
    );
  });

  test('says nothing of a deletion that deleted nothing', async () => {
    await as('nobody', 'DELETE FROM lesson_traces');
    assert.deepEqual(await audits(), []);
  });

  test('goes back with the deletion', async () => {
    await assert.rejects(as('ann', 'DELETE FROM lesson_traces; SELECT 1 / 0'));
    assert.deepEqual(await audits(), []);
    assert.equal(await operator.run('SELECT count(*) FROM lesson_traces'), '4');
  });

  for (const [n, ids] of [
    [1000, 1000],
    [1001, null],
  ])
    test(`of ${n} deleted at once has ${ids ? 'all ids' : 'the count and the filter'}`, async () => {
      await operator.run(
        `DELETE FROM lesson_traces;
         DELETE FROM audit_log;
         INSERT INTO lesson_traces (owner, request_data) SELECT 'ann', '{}' FROM generate_series(1, ${n})`,
      );
      await as(
        'ann',
        `SELECT set_config('app.filter', 'status=failed', true); DELETE FROM lesson_traces`,
      );
      assert.deepEqual(
        (await audits()).map(({ count, ids: told, filter }) => [count, told, filter]),
        [[n, ids, 'status=failed']],
      );
    });
});

describe('the list of a user among many', () => {
  test('is read from its index, with row security', async () => {
    await operator.run(
      `INSERT INTO lesson_traces (owner, request_data, created_at)
       SELECT 'user' || n % 50, '{}', now() - n * interval '1 second' FROM generate_series(1, 20000) n;
       ANALYZE lesson_traces`,
    );
    const plan = await as(
      'user7',
      `EXPLAIN SELECT * FROM lesson_trace_summary
        WHERE (created_at, id) < (now(), '${'f'.repeat(8)}-ffff-ffff-ffff-ffffffffffff')
        ORDER BY created_at DESC, id DESC LIMIT 51`,
    );

    assert.match(plan, /Index Scan using lesson_traces_owner/);
    assert.doesNotMatch(plan, /Sort|Seq Scan/);
  });
});
