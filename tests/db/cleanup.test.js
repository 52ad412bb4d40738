// scripts/cleanup: deletes what is old, all of it and nothing else, and says so.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';
import { clearTraces } from '../lib/traces.js';

const CLEANUP = join(dirname(fileURLToPath(import.meta.url)), '../../scripts/cleanup');
const LIMIT_MS = 60_000;

let database, db;

before(async () => {
  database = await startDatabase();
  db = openSession(database.url());
});

after(async () => {
  await db?.end();
  await database?.stop();
});

beforeEach(async () => {
  await clearTraces(db);
  await db.run('DELETE FROM audit_log');
});

const cleanup = (args, env = { DATABASE_ADMIN_URL: database.url('lesson_admin') }) =>
  new Promise((resolve) =>
    execFile(CLEANUP, args, { env: { PATH: process.env.PATH, ...env }, timeout: LIMIT_MS }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    ),
  );

const fill = (count, age, status = 'completed') =>
  db.run(
    `INSERT INTO lesson_traces (owner, request_data, status, created_at)
     SELECT CASE n % 2 WHEN 0 THEN 'user' ELSE 'other' END, '{}', '${status}', now() - (${age}) FROM generate_series(1, ${count}) n`,
  );
const DAYS = (n) => `interval '${n} days'`;
const left = (where = 'true') => db.run(`SELECT count(*) FROM lesson_traces WHERE ${where}`).then(Number);

test('deletes what is older than so many days, of everybody, in batches, and no other', async () => {
  await fill(2300, `${DAYS(31)} - n * interval '1 second'`);
  await fill(40, DAYS(29));
  const { code, stdout } = await cleanup(['--older-than', '30']);

  assert.equal(code, 0);
  assert.match(stdout, /^cleanup: 1000 of 2300 traces deleted\ncleanup: 2000 of 2300 traces deleted\ncleanup: deleted 2300 traces, up to \S+ \S+\n$/);
  assert.equal(await left(), 40);
  assert.deepEqual(
    await db.rows('SELECT actor, action, object, count, filter FROM audit_log ORDER BY at'),
    [1000, 1000, 300].map((count) => ({ actor: 'cleanup', action: 'delete', object: 'trace', count, filter: '--older-than 30' })),
  );
});

test('deletes those of one moment, though a batch ends among them', async () => {
  await fill(2500, DAYS(40));
  await cleanup(['--older-than', '30']);
  assert.equal(await left(), 0);
});

test('leaves traces of running generations, wherever they stand', async () => {
  await fill(1500, `${DAYS(40)} - n * interval '1 second'`, 'started');
  await fill(1500, `${DAYS(40)} - n * interval '2 seconds'`, 'failed');
  const { stdout } = await cleanup(['--older-than', '30']);

  assert.match(stdout, /deleted 1500 traces/);
  assert.equal(await left("status = 'started'"), 1500);
  assert.equal(await left(), 1500);
});

test('keeps the newest, and exactly so many', async () => {
  await fill(1200, `n * interval '1 minute'`);
  await cleanup(['--keep', '150']);
  assert.equal(await left(), 150);
  assert.equal(await left(`created_at < now() - interval '151 minutes'`), 0);
  assert.match((await cleanup(['--keep', '150'])).stdout, /deleted 0 traces/);
  assert.match((await cleanup(['--keep', '0'])).stdout, /deleted 150 traces/);
  assert.equal(await left(), 0);
});

test('--dry-run tells how many, and deletes none', async () => {
  await fill(30, DAYS(40));
  const { code, stdout } = await cleanup(['--older-than', '30', '--dry-run']);

  assert.equal(code, 0);
  assert.match(stdout, /^cleanup: would delete 30 traces, up to /);
  assert.equal(await left(), 30);
});

test('leaves sums that are true', async () => {
  await fill(60, `${DAYS(35)} - n * interval '1 hour'`);
  await db.run("SELECT trace_roll_up('1 minute')");
  await cleanup(['--older-than', '34']);
  const sums = await db.run(
    'SELECT sum(n) FROM trace_rollups JOIN trace_rolled USING (at) WHERE owner IS NULL AND at NOT IN (SELECT at FROM trace_touched)',
  );
  const rest = await left();
  assert.ok(rest > 0 && rest < 60, String(rest));
  assert.equal(Number(sums), rest);
});

for (const [args, what] of [
  [[], /Delete old traces/],
  [['--older-than'], /--older-than: a number expected/],
  [['--older-than', 'x'], /--older-than: whole number expected, not "x"/],
  [['--older-than', '-1'], /whole number expected/],
  [['--keep', '1', '--older-than', '1'], /--older-than: not together with --keep/],
  [['--all'], /--all: no such option/],
])
  test(`with "${args.join(' ')}" is refused and deletes nothing`, async () => {
    await fill(3, DAYS(400));
    const { code, stdout, stderr } = await cleanup(args);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, what);
    assert.equal(await left(), 3);
  });

test('without the setting, or a server, says which', async () => {
  const none = await cleanup(['--keep', '1'], {});
  assert.equal(none.code, 2);
  assert.match(none.stderr, /DATABASE_ADMIN_URL/);
  const away = await cleanup(['--keep', '1'], { DATABASE_ADMIN_URL: 'postgresql://lesson_admin@127.0.0.1:1/none' });
  assert.notEqual(away.code, 0);
  assert.match(away.stderr, /Connection refused/);
});
