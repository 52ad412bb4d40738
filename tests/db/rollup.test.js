// What is summed up of six hours that are over: whoever adds it to what is counted from the traces has the truth, at any
// moment, whatever others change, delete and sum up meanwhile.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';

const HOURS = ['2026-03-01T00:00Z', '2026-03-01T06:00Z', '2026-03-01T12:00Z'];
// One call failed, at a cost, before one that did not.
const CALLS = `'[{"provider": "gemini", "error_class": "empty", "cost_usd": 0.01}, {"provider": "groq", "cost_usd": 0.09}]'`;
const ROLL = "SELECT trace_roll_up('1 minute')";
const RUNNING = 'trace_slot(clock_timestamp())';

let database, db, admin, user, worker;

before(async () => {
  database = await startDatabase();
  db = openSession(database.url());
  [admin, user, worker] = ['lesson_admin', 'lesson_api', 'lesson_worker'].map((role) => openSession(database.url(role)));
});

after(async () => {
  for (const session of [db, admin, user, worker]) await session?.end();
  await database?.stop();
});

// Three of each six hours for each of two owners, all summed up.
beforeEach(async () => {
  await db.run('DELETE FROM lesson_traces');
  for (const [i, from] of HOURS.entries())
    await db.run(
      `INSERT INTO lesson_traces (id, owner, request_data, status, provider_used, total_duration_ms, total_tokens, cost_usd, llm_calls, created_at)
       SELECT md5(owner || ${i} || n)::uuid, owner, '{}', 'completed', 'groq', 1000 * n, 10, 0.1, ${CALLS}, '${from}'::timestamptz + n * interval '1 hour'
         FROM unnest('{user,other}'::text[]) owner, generate_series(1, 3) n`,
    );
  await admin.run(ROLL);
});

const id = (owner, i, n) => `md5('${owner}${i}${n}')::uuid`;

// Of each six hours: how many traces there are by what is summed up, if that counts, else null.
const summed = (session = db, owner = 'owner IS NULL') =>
  session
    .run(
      `SELECT json_agg(n ORDER BY at) FROM (
         SELECT at, CASE WHEN EXISTS (SELECT FROM trace_rolled r WHERE r.at = s.at)
                          AND NOT EXISTS (SELECT FROM trace_touched t WHERE t.at = s.at)
                         THEN (SELECT coalesce(sum(n), 0) FROM trace_rollups u WHERE u.at = s.at AND ${owner}) END AS n
           FROM unnest('{${HOURS}}'::timestamptz[]) s (at)) x`,
    )
    .then(JSON.parse);

test('sums what is over, for each owner and for all', async () => {
  assert.deepEqual(await summed(), [6, 6, 6]);
  assert.deepEqual(await summed(db, "owner = 'user'"), [3, 3, 3]);
  assert.deepEqual(
    await db.rows(
      `SELECT n, calls, tokens, cost, known, durations, counts FROM trace_rollups WHERE owner IS NULL AND at = '${HOURS[0]}'`,
    ),
    [{ n: 6, calls: 0, tokens: 60, cost: 0.6, known: 6, durations: [1000, 2000, 3000], counts: [2, 2, 2] }],
  );
  assert.deepEqual(
    await db.rows(
      `SELECT owner, status, provider_used, failed_provider, failed_class, n, cost FROM trace_rollup_failures WHERE at = '${HOURS[0]}' ORDER BY owner NULLS FIRST`,
    ),
    [
      { owner: null, status: 'completed', provider_used: 'groq', failed_provider: 'gemini', failed_class: 'empty', n: 6, cost: 0.06 },
      { owner: 'other', status: 'completed', provider_used: 'groq', failed_provider: 'gemini', failed_class: 'empty', n: 3, cost: 0.03 },
      { owner: 'user', status: 'completed', provider_used: 'groq', failed_provider: 'gemini', failed_class: 'empty', n: 3, cost: 0.03 },
    ],
  );
});

test('shows a user own sums alone', async () => {
  await user.run("SELECT set_config('app.uid', 'user', false)");
  for (const table of ['trace_rollups', 'trace_rollup_failures'])
    assert.deepEqual(await user.rows(`SELECT DISTINCT owner FROM ${table}`), [{ owner: 'user' }], table);
  assert.equal(await worker.run("SELECT has_table_privilege('trace_rollups', 'SELECT')"), 'f');
});

for (const [what, sql, counts] of [
  ['deletes', `DELETE FROM lesson_traces WHERE id = ${id('user', 1, 2)}`, [6, 5, 6]],
  ['adds', `INSERT INTO lesson_traces (request_data, created_at) VALUES ('{}', '${HOURS[1]}')`, [6, 7, 6]],
  ['changes', `UPDATE lesson_traces SET status = 'failed' WHERE id = ${id('user', 1, 2)}`, [6, 6, 6]],
  ['moves', `UPDATE lesson_traces SET created_at = '${HOURS[0]}' WHERE id = ${id('user', 1, 2)}`, [7, 5, 6]],
  ['truncates', 'TRUNCATE lesson_traces CASCADE', [0, 0, 0]],
])
  test(`counts from the traces what a transaction ${what}, once it has ended, until it is summed up anew`, async () => {
    const touched = { moves: [null, null, 6], truncates: [null, null, null] }[what] ?? [6, null, 6];
    const other = openSession(database.url());

    await other.run('BEGIN');
    await other.run(sql);
    if (what !== 'truncates') assert.deepEqual(await summed(), [6, 6, 6]);
    await other.run('COMMIT');
    await other.end();
    assert.deepEqual(await summed(), touched);
    await admin.run(ROLL);
    assert.deepEqual(await summed(), counts);
  });

test('counts from the traces what a transaction deletes that began before, and ends after they were summed up', async () => {
  await user.run("BEGIN; SELECT set_config('app.uid', 'user', true)");
  await user.run(`DELETE FROM lesson_traces WHERE id = ${id('user', 1, 2)}`);
  await db.run(`DELETE FROM lesson_traces WHERE id = ${id('other', 1, 1)}`);
  assert.deepEqual(await summed(), [6, null, 6]);
  await admin.run(ROLL);
  assert.deepEqual(await summed(), [6, 5, 6], 'it does not know of the other');
  await user.run('COMMIT');
  assert.deepEqual(await summed(), [6, null, 6]);
  await admin.run(ROLL);
  assert.deepEqual(await summed(), [6, 4, 6]);
});

test('takes back what a transaction noted that is rolled back', async () => {
  await db.run('BEGIN; DELETE FROM lesson_traces; ROLLBACK');
  assert.deepEqual(await summed(), [6, 6, 6]);
});

test('sums up one at a time: who comes second does nothing', async () => {
  await db.run('DELETE FROM lesson_traces');
  await admin.run('BEGIN');
  assert.equal(await admin.run(ROLL), '3');
  assert.equal(await db.run(ROLL), '0');
  await admin.run('COMMIT');
  assert.equal(await db.run(ROLL), '0');
  assert.deepEqual(await summed(), [0, 0, 0]);
});

test('writes nothing where nothing may be written', async () => {
  await db.run('DELETE FROM lesson_traces');
  await admin.run('BEGIN READ ONLY');
  assert.equal(await admin.run(ROLL), '0');
  await admin.run('ROLLBACK');
});

test('neither notes nor sums up what runs', async () => {
  await db.run(
    `INSERT INTO lesson_traces (request_data, created_at)
     SELECT '{}', t FROM unnest(ARRAY[${RUNNING}, clock_timestamp()]) t`,
  );
  await db.run(`UPDATE lesson_traces SET status = 'failed' WHERE created_at >= ${RUNNING}`);
  await db.run(`DELETE FROM lesson_traces WHERE created_at >= ${RUNNING}`);
  assert.equal(await db.run('SELECT count(*) FROM trace_touched'), '0');
  await admin.run(ROLL);
  assert.equal(await db.run(`SELECT count(*) FROM trace_rolled WHERE at >= ${RUNNING}`), '0');
});
