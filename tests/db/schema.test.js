// The tables as clients of the seed know them, and who may do what with them, said by PostgreSQL itself.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';

const ROLES = ['lesson_api', 'lesson_admin', 'lesson_worker'];

let database, db;

before(async () => {
  database = await startDatabase();
  db = openSession(database.url());
});

after(async () => {
  await db?.end();
  await database?.stop();
});

const columnsOf = (table) =>
  db.rows(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, NOT attnotnull AS "null",
            pg_get_expr(adbin, adrelid) AS "default", attcompression AS compression
       FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
  );
const constraintsOf = async (table) =>
  (
    await db.rows(
      `SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint
        WHERE conrelid = '${table}'::regclass ORDER BY 1`,
    )
  ).map(({ text }) => text);

// The seed's table, word for word.
const SEED = [
  ['id', 'uuid', false, 'gen_random_uuid()'],
  ['lesson_id', 'uuid', true, null],
  ['request_data', 'jsonb', false, null],
  ['response_data', 'jsonb', true, null],
  ['provider_used', 'text', true, null],
  ['fallback_providers', 'text[]', true, null],
  ['total_duration_ms', 'integer', true, null],
  ['llm_calls', 'jsonb', false, "'[]'::jsonb"],
  ['error_message', 'text', true, null],
  ['status', 'text', false, "'started'::text"],
  ['created_at', 'timestamp with time zone', true, 'now()'],
  ['completed_at', 'timestamp with time zone', true, null],
];

test('lesson_traces begins with the columns of the seed: names, order, types, nulls, defaults', async () =>
  assert.deepEqual(
    (await columnsOf('lesson_traces'))
      .slice(0, SEED.length)
      .map((column) => [column.name, column.type, column.null, column.default]),
    SEED,
  ));

test('a row that the seed would insert is taken, with the defaults of the seed', async () => {
  await db.run('BEGIN');
  const [row] = JSON.parse(
    await db.run(
      `INSERT INTO lesson_traces (request_data) VALUES ('{"outline": "x"}')
       RETURNING json_build_array(row_to_json(lesson_traces))`,
    ),
  );
  await db.run('ROLLBACK');

  assert.equal(row.status, 'started');
  assert.deepEqual(row.llm_calls, []);
  assert.ok(row.id && row.created_at);
});

test('lesson_traces has the constraints of the seed', async () => {
  const constraints = await constraintsOf('lesson_traces');

  for (const text of [
    'PRIMARY KEY (id)',
    'FOREIGN KEY (lesson_id) REFERENCES lessons(id) ON DELETE CASCADE',
    "CHECK ((status = ANY (ARRAY['started'::text, 'completed'::text, 'failed'::text])))",
  ])
    assert.ok(constraints.includes(text), `${text}\nnot in\n${constraints.join('\n')}`);
});

for (const [table, column, good, bad] of [
  ['lesson_traces', 'status', ['started', 'completed', 'failed'], ['done', '', 'Started']],
  ['lessons', 'status', ['generating', 'generated', 'error'], ['failed', '', 'ERROR']],
  ['provider_health', 'state', ['closed', 'open', 'half_open'], ['ajar', '']],
])
  test(`${table}.${column} takes its words and no others`, async () => {
    const insert = (value) =>
      db.run(
        {
          lesson_traces: `INSERT INTO lesson_traces (request_data, status) VALUES ('{}', '${value}')`,
          lessons: `INSERT INTO lessons (title, outline, status) VALUES ('t', 'o', '${value}')`,
          provider_health: `INSERT INTO provider_health (provider, state) VALUES ('x${value}', '${value}')`,
        }[table],
      );

    await db.run('BEGIN');
    for (const value of good) await insert(value);
    for (const value of bad) {
      await db.run('SAVEPOINT s');
      await assert.rejects(insert(value), { code: '23514' });
      await db.run('ROLLBACK TO s');
    }
    await db.run('ROLLBACK');
  });

test('lessons has its columns, and none may be without owner', async () => {
  const names = (await columnsOf('lessons')).map(({ name }) => name);

  for (const name of ['id', 'title', 'outline', 'content', 'status', 'created_at', 'updated_at'])
    assert.ok(names.includes(name), name);
  for (const table of ['lessons', 'lesson_traces', 'generation_jobs']) {
    const owner = (await columnsOf(table)).find(({ name }) => name === 'owner');
    assert.equal(owner.null, false, table);
    assert.ok(
      (await constraintsOf(table)).some((text) => text.includes("(owner <> ''::text)")),
      table,
    );
  }
});

test('what is large is compressed by lz4', async () => {
  const compression = async (table) =>
    Object.fromEntries((await columnsOf(table)).map((column) => [column.name, column.compression]));

  const traces = await compression('lesson_traces');
  for (const name of ['request_data', 'response_data', 'llm_calls', 'decisions'])
    assert.equal(traces[name], 'l', name);
  assert.equal((await compression('lessons')).content, 'l');
});

test('row security is forced on every table, and those of the API are owned by nobody who logs in', async () => {
  const tables = await db.rows(
    `SELECT relname AS name, relrowsecurity AS enabled, relforcerowsecurity AS forced,
            relowner::regrole::text AS owner
       FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname`,
  );
  const names = [
    'api_tokens',
    'audit_log',
    'generation_jobs',
    'generation_workers',
    'lesson_traces',
    'lessons',
    'provider_health',
    'schema_migrations',
    'trace_rolled',
    'trace_rollup_failures',
    'trace_rollups',
    'trace_touched',
    'user_tokens',
  ];

  assert.deepEqual(
    tables,
    names.map((name) => ({
      name,
      enabled: true,
      forced: true,
      owner: name === 'schema_migrations' ? 'operator' : 'lesson_owner', // whoever migrates
    })),
  );
});

test('no role of ours is above row security or may become one that is', async () =>
  assert.deepEqual(
    await db.rows(
      `SELECT rolname AS name, rolcanlogin AS login,
              rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS power,
              (SELECT count(*)::int FROM pg_auth_members WHERE member = r.oid) AS memberships,
              (SELECT count(*)::int FROM pg_class WHERE relowner = r.oid AND relkind <> 'i') > 0 AS owns
         FROM pg_roles r WHERE rolname LIKE 'lesson%' ORDER BY rolname`,
    ),
    [
      { name: 'lesson_admin', login: true, power: false, memberships: 0, owns: false },
      { name: 'lesson_api', login: true, power: false, memberships: 0, owns: false },
      { name: 'lesson_owner', login: false, power: false, memberships: 0, owns: true },
      { name: 'lesson_worker', login: true, power: false, memberships: 0, owns: false },
    ],
  ));

test('every view asks with the rights of who asks', async () => {
  const views = await db.rows(
    `SELECT relname AS name, coalesce(reloptions, '{}') AS options FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm') ORDER BY relname`,
  );

  assert.ok(views.length >= 4);
  for (const { name, options } of views) assert.ok(options.includes('security_invoker=true'), name);
});

test('a function that runs with the rights of its owner says where it looks', async () =>
  assert.deepEqual(
    await db.rows(
      `SELECT proname FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
          AND NOT EXISTS (SELECT FROM unnest(proconfig) c WHERE c LIKE 'search_path=%')`,
    ),
    [],
  ));

// Each line: what a role may do with a whole table; in brackets with some of its columns.
const RIGHTS = {
  'api_tokens lesson_admin': null,
  'api_tokens lesson_api': null,
  'api_tokens lesson_worker': null,
  'audit_log lesson_admin': 'SELECT INSERT',
  'audit_log lesson_api': 'INSERT',
  'audit_log lesson_worker': 'INSERT',
  'generation_jobs lesson_admin': 'SELECT INSERT',
  'generation_jobs lesson_api': 'SELECT INSERT',
  'generation_jobs lesson_worker': 'SELECT UPDATE DELETE',
  'generation_workers lesson_admin': 'SELECT',
  'generation_workers lesson_api': 'SELECT',
  'generation_workers lesson_worker': 'SELECT INSERT UPDATE DELETE',
  'lesson_traces lesson_admin': 'SELECT INSERT DELETE',
  'lesson_traces lesson_api': 'SELECT INSERT DELETE',
  'lesson_traces lesson_worker': 'SELECT UPDATE',
  'lessons lesson_admin': 'SELECT INSERT (UPDATE) DELETE',
  'lessons lesson_api': 'SELECT INSERT (UPDATE) DELETE',
  'lessons lesson_worker': 'SELECT UPDATE',
  'provider_health lesson_admin': 'SELECT',
  'provider_health lesson_api': 'SELECT',
  'provider_health lesson_worker': 'SELECT INSERT UPDATE DELETE',
  'schema_migrations lesson_admin': 'SELECT',
  'schema_migrations lesson_api': 'SELECT',
  'schema_migrations lesson_worker': 'SELECT',
  'trace_rolled lesson_admin': 'SELECT',
  'trace_rolled lesson_api': 'SELECT',
  'trace_rolled lesson_worker': null,
  'trace_rollup_failures lesson_admin': 'SELECT',
  'trace_rollup_failures lesson_api': 'SELECT',
  'trace_rollup_failures lesson_worker': null,
  'trace_rollups lesson_admin': 'SELECT',
  'trace_rollups lesson_api': 'SELECT',
  'trace_rollups lesson_worker': null,
  'trace_touched lesson_admin': 'SELECT',
  'trace_touched lesson_api': 'SELECT',
  'trace_touched lesson_worker': null,
  'user_tokens lesson_admin': 'SELECT',
  'user_tokens lesson_api': 'SELECT',
  'user_tokens lesson_worker': null,
};

test('each role may do with each table what it must, and nothing else', async () => {
  const found = await db.rows(
    `SELECT t.relname || ' ' || r.rolname AS who, string_agg(
              CASE WHEN has_table_privilege(r.oid, t.oid, p) THEN p
                   WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
                        AND has_any_column_privilege(r.oid, t.oid, p) THEN '(' || p || ')' END, ' ' ORDER BY n) AS may
       FROM pg_class t, pg_roles r,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
              WITH ORDINALITY x(p, n)
      WHERE t.relnamespace = 'public'::regnamespace AND t.relkind = 'r' AND r.rolname IN ('${ROLES.join("','")}')
      GROUP BY 1 ORDER BY 1`,
  );

  assert.deepEqual(Object.fromEntries(found.map(({ who, may }) => [who, may])), RIGHTS);
});

test('of a lesson the API may change its status and nothing else', async () => {
  for (const role of ['lesson_api', 'lesson_admin'])
    assert.equal(
      await db.run(
        `SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute
          WHERE attrelid = 'lessons'::regclass AND attnum > 0
            AND has_column_privilege('${role}', attrelid, attnum, 'UPDATE')`,
      ),
      'error_message status updated_at',
    );
});

test('whoever is nobody in particular may do nothing', async () => {
  assert.equal(
    await db.run(
      `SELECT has_schema_privilege('pg_monitor', 'public', 'USAGE'), has_schema_privilege('lesson_api', 'public', 'CREATE')`,
    ),
    'f|f',
  );
  assert.equal(
    await db.run(
      `SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relnamespace = 'public'::regnamespace AND grantee = 0`,
    ),
    '0',
  );
});

test('a role waits for nothing for ever', async () => {
  for (const role of ROLES) {
    const session = openSession(database.url(role));
    for (const setting of [
      'statement_timeout',
      'lock_timeout',
      'idle_in_transaction_session_timeout',
    ])
      assert.notEqual(await session.run(`SHOW ${setting}`), '0', `${role} ${setting}`);
    assert.equal(await session.run('SHOW timezone'), 'UTC');
    await session.end();
  }
});
