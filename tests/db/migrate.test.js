// scripts/migrate, on databases of its own: once each, in order, never half, also when two run.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { startCluster } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const FILES = readdirSync(join(ROOT, 'sql/migrations')).sort();
const NAMES = FILES.map((file) => file.replace(/\.sql$/, ''));

let cluster, operator, copy, url, db;
let databases = 0;

before(async () => {
  cluster = await startCluster();
  operator = openSession(cluster.url());
});

after(async () => {
  await operator?.end();
  await cluster?.stop();
});

// Each test has a copy of script and SQL that it may spoil.
beforeEach((t) => {
  copy = mkdtempSync(join(tmpdir(), 'lesson-tracer-sql.'));
  for (const name of ['scripts', 'sql'])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  t.after(async () => {
    await db?.end();
    db = null;
    rmSync(copy, { recursive: true, force: true });
  });
});

async function useDatabase(options = '') {
  const name = `database_${databases++}`;

  await operator.run(`CREATE DATABASE ${name} ${options}`);
  url = cluster.url(name);
  db = openSession(url);
}

const useEmpty = () => useDatabase();
const useMigrated = () => useDatabase('TEMPLATE database_0'); // that of the first test

const migration = (name) => join(copy, 'sql/migrations', `${name}.sql`);

// Runs it; gives {status, out, err}.
function migrate(args = [], env = { DATABASE_URL: url }) {
  return new Promise((resolve) => {
    execFile(
      join(copy, 'scripts/migrate'),
      args,
      { env: { PATH: process.env.PATH, ...env } },
      (error, out, err) => resolve({ status: error ? error.code : 0, out, err }),
    );
  });
}

const relations = () =>
  db.run(`SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')`);
const applied = () => db.rows('SELECT * FROM schema_migrations ORDER BY name');
const sha256 = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

// The first to run, on a cluster without our roles.
test('two at once on an empty cluster apply each file once', async () => {
  await useEmpty();
  const runs = await Promise.all([migrate(), migrate()]);

  for (const { status, err } of runs) assert.deepEqual({ status, err }, { status: 0, err: '' });
  assert.deepEqual(
    runs.flatMap(({ out }) => out.trim().split('\n').filter(Boolean)).sort(),
    NAMES.map((name) => `migrate: ${name}`),
  );
  assert.deepEqual(
    (await applied()).map(({ name, sha256: sum }) => [name, sum]),
    NAMES.map((name) => [name, sha256(migration(name))]),
  );
  assert.equal(
    await relations(),
    'api_tokens audit_log generation_jobs generation_workers lesson_full lesson_summary lesson_trace_full ' +
      'lesson_trace_summary lesson_traces lessons provider_health schema_migrations trace_rolled trace_rollup_failures trace_rollups trace_touched user_tokens',
  );
});

test('again does nothing', async () => {
  await useMigrated();
  const before = await applied();

  assert.deepEqual(await migrate(), { status: 0, out: '', err: '' });
  assert.deepEqual(await migrate(['--dry-run']), { status: 0, out: '', err: '' });
  assert.deepEqual(await applied(), before);
});

test('data survives another run', async () => {
  await useMigrated();
  await db.run(`INSERT INTO lessons (owner, title, outline) VALUES ('user', 't', 'o')`);
  await migrate();
  assert.equal(await db.run('SELECT owner, title FROM lesson_full'), 'user|t');
});

test('a trace that is there without a time, or at no time there is, is given one', async () => {
  const later = NAMES.filter((name) => name >= '0017');
  const texts = later.map((name) => readFileSync(migration(name)));

  await useEmpty();
  for (const name of later) rmSync(migration(name));
  assert.equal((await migrate()).status, 0);
  await db.run(`INSERT INTO lesson_traces (request_data, created_at, completed_at)
                VALUES ('{}', NULL, NULL), ('{}', 'infinity', '2026-03-01'), ('{}', '-infinity', NULL), ('{}', '2026-03-02', NULL)`);
  for (const [i, name] of later.entries()) writeFileSync(migration(name), texts[i]);
  assert.deepEqual(await migrate(), { status: 0, out: later.map((name) => `migrate: ${name}\n`).join(''), err: '' });
  assert.deepEqual(
    await db.rows(`SELECT created_at > now() - interval '1 minute' AS now, created_at < '2026-03-02' AS then, count(*)::int AS n
                     FROM lesson_traces GROUP BY 1, 2 ORDER BY 1, 2`),
    [
      { now: false, then: false, n: 1 },
      { now: false, then: true, n: 1 },
      { now: true, then: false, n: 2 },
    ],
  );
  assert.equal(await db.run("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'lesson_traces'"), 't');
});

test('dry run tells what it would do and does nothing', async () => {
  await useEmpty();
  assert.deepEqual(await migrate(['--dry-run']), {
    status: 0,
    out: NAMES.map((name) => `migrate: would apply ${name}\n`).join(''),
    err: '',
  });
  assert.equal(await relations(), '');
});

test('a new file is applied alone', async () => {
  await useMigrated();
  writeFileSync(migration('9000_create_thing'), 'CREATE TABLE thing (id int);\n');
  assert.equal((await migrate(['--dry-run'])).out, 'migrate: would apply 9000_create_thing\n');
  assert.deepEqual(await migrate(), { status: 0, out: 'migrate: 9000_create_thing\n', err: '' });
  assert.equal(await db.run("SELECT to_regclass('thing')"), 'thing');
});

test('a changed file is refused and nothing is done', async () => {
  await useMigrated();
  const before = await applied();
  writeFileSync(migration('9000_create_thing'), 'CREATE TABLE thing (id int);\n');
  appendFileSync(migration(NAMES[1]), '-- a word more\n');

  for (const args of [[], ['--dry-run']]) {
    const { status, out, err } = await migrate(args);
    assert.equal(status, 1);
    assert.equal(out, '');
    assert.match(err, new RegExp(`${NAMES[1]}\\.sql: changed after it was applied`));
  }
  assert.deepEqual(await applied(), before);
  assert.equal(await db.run("SELECT to_regclass('thing')"), '');
});

test('a file that fails leaves nothing of itself', async () => {
  await useEmpty();
  writeFileSync(migration('9000_create_half'), 'CREATE TABLE half (id int);\nSELECT 1 / 0;\n');
  writeFileSync(migration('9001_create_thing'), 'CREATE TABLE thing (id int);\n');
  const failed = await migrate();

  assert.notEqual(failed.status, 0);
  assert.match(failed.err, /division by zero/);
  assert.equal(await db.run("SELECT to_regclass('half'), to_regclass('thing')"), '|');
  assert.deepEqual(
    (await applied()).map(({ name }) => name),
    NAMES,
  );

  writeFileSync(migration('9000_create_half'), 'CREATE TABLE half (id int);\n');
  assert.equal((await migrate()).status, 0);
  assert.equal(await db.run("SELECT to_regclass('half'), to_regclass('thing')"), 'half|thing');
});

test('a changed view is made anew', async () => {
  await useMigrated();
  writeFileSync(
    join(copy, 'sql/views/lesson.sql'),
    'CREATE VIEW lesson_summary WITH (security_invoker) AS SELECT id FROM lessons;\n',
  );
  assert.equal((await migrate()).status, 0);
  assert.equal(await db.run("SELECT to_regclass('lesson_full')"), '');
  assert.equal(
    await db.run("SELECT has_table_privilege('lesson_api', 'lesson_summary', 'SELECT')"),
    't',
  );
});

test('a role that is no superuser may run it', async () => {
  await operator.run(
    `CREATE ROLE deployer LOGIN CREATEROLE BYPASSRLS; CREATE DATABASE deployed OWNER deployer`,
  );
  const { status, err } = await migrate([], { DATABASE_URL: cluster.url('deployed', 'deployer') });

  assert.deepEqual({ status, err }, { status: 0, err: '' });
});

test('what it was not told or does not know is said', async () => {
  await useEmpty();
  const without = await migrate([], {});
  assert.equal(without.status, 2);
  assert.match(without.err, /DATABASE_URL/);

  const unknown = await migrate(['--force']);
  assert.equal(unknown.status, 2);

  const help = await migrate(['--help']);
  assert.equal(help.status, 0);
  assert.match(help.out, /--dry-run/);

  const away = await migrate([], { DATABASE_URL: cluster.url('nowhere') });
  assert.notEqual(away.status, 0);
  assert.match(away.err, /"nowhere" does not exist/);
  assert.equal(await relations(), '');
});
