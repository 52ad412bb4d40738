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

// ---- the catalogue: what holds for every table, view and function that there is or will be ----

const OURS = `relnamespace = 'public'::regnamespace AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')`;
const LOGINS = ['lesson_admin', 'lesson_api', 'lesson_worker'];
const words = async (sql) => (await operator.run(sql)).split('\n').filter(Boolean).sort();

// The rights of another role are on loan in these alone, for what the caller's cannot do.
const DEFINERS = {
  'api_token_use(text)': ['lesson_api'], // whose token it is, of a table that nobody may read
  'trace_roll_up(interval)': ['lesson_admin', 'lesson_api'], // sums of everybody's, into a table of sums
  'trace_search_every(text)': ['lesson_admin'], // an index that row security keeps LIKE from
  'trace_search_own(text)': ['lesson_api'], // the same, of the caller's rows
  'trace_touch()': [], // a trigger's
  'user_tokens_add(text,bigint)': ['lesson_worker'], // counts what a deleted trace would have said
};

// What tells a value from a missing one must belong to the caller: each of these is a key of random UUIDs, of what is
// nobody's, or begins with the owner.
const UNIQUE_OF_NOBODYS = [
  'api_tokens', // closed to all
  'audit_log', // a number that the database gives
  'generation_workers',
  'provider_health',
  'schema_migrations',
  'trace_rolled',
  'trace_touched',
];

describe('the catalogue', () => {
  test('has row security on every table, for its owner, too', async () => {
    assert.deepEqual(
      await words(
        `SELECT relname FROM pg_class c WHERE relkind IN ('r', 'p') AND ${OURS}
            AND NOT (relrowsecurity AND relforcerowsecurity)`,
      ),
      [],
    );
    assert.ok((await words(`SELECT relname FROM pg_class c WHERE relkind = 'r' AND ${OURS}`)).length >= 11);
  });

  test('gives no role that logs in a way around it', async () => {
    assert.deepEqual(
      await words(`SELECT rolname FROM pg_roles WHERE rolname LIKE 'lesson%' AND rolcanlogin`),
      LOGINS,
    );
    assert.deepEqual(
      await words(
        `SELECT rolname FROM pg_roles WHERE rolname LIKE 'lesson%'
            AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)`,
      ),
      [],
    );
    assert.deepEqual(
      await words(
        `SELECT pg_get_userbyid(member) || ' in ' || pg_get_userbyid(roleid) FROM pg_auth_members
          WHERE pg_get_userbyid(member) IN ('${LOGINS.join("','")}')`,
      ),
      [],
      'in no other role',
    );
    assert.deepEqual(
      await words(
        `SELECT relname FROM pg_class c WHERE relkind IN ('r', 'v', 'm', 'S') AND ${OURS}
            AND pg_get_userbyid(relowner) IN ('${LOGINS.join("','")}')`,
      ),
      [],
      'owner of nothing',
    );
  });

  test('has no view that sees more than who looks', async () => {
    assert.deepEqual(
      await words(
        `SELECT relname FROM pg_class c WHERE relkind IN ('v', 'm') AND ${OURS}
            AND NOT coalesce(reloptions @> '{security_invoker=true}', false)`,
      ),
      [],
    );
    assert.deepEqual(await words(`SELECT relname FROM pg_class c WHERE relkind = 'm' AND ${OURS}`), []);
  });

  test('has no function with the rights of another but these, each with a search_path of its own', async () => {
    const rows = await operator.rows(
      `SELECT p.oid::regprocedure::text AS name, array_to_string(proconfig, ' ') AS config,
              has_function_privilege('public', p.oid, 'EXECUTE') AS "public",
              ARRAY(SELECT r FROM unnest('{${LOGINS}}'::text[]) r WHERE has_function_privilege(r, p.oid, 'EXECUTE')) AS callers
         FROM pg_proc p WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1`,
    );

    assert.deepEqual(Object.fromEntries(rows.map(({ name, callers }) => [name, callers])), DEFINERS);
    for (const row of rows) {
      assert.match(row.config, /search_path=pg_catalog, public, pg_temp/, row.name);
      assert.equal(row.public, false, row.name);
    }
  });

  // A unique index or a foreign key looks past row security: what it says of a value must be the caller's own to know.
  test('lets everyone who may change the tokens of a trace count them', async () => {
    const told = await operator.rows(
      `SELECT rolname, has_column_privilege(oid, 'lesson_traces', 'total_tokens', 'UPDATE') AS changes,
              has_function_privilege(oid, 'user_tokens_add(text, bigint)', 'EXECUTE') AS counts
         FROM pg_roles WHERE rolname LIKE 'lesson\\_%'`,
    );

    assert.ok(told.some(({ changes }) => changes));
    assert.deepEqual(
      told.filter(({ changes, counts }) => changes && !counts),
      [],
    );
  });

  test('has no key that tells of the rows of another', async () => {
    const keys = await operator.rows(
      `SELECT i.indrelid::regclass::text AS "table", a.attname AS first, format_type(a.atttypid, NULL) AS type, i.indnatts AS columns
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND ${OURS}`,
    );
    const telling = keys.filter(
      ({ table, first, type, columns }) =>
        !UNIQUE_OF_NOBODYS.includes(table) && first !== 'owner' && !(type === 'uuid' && columns === 1),
    );
    assert.deepEqual(telling, []);
    assert.ok(keys.some(({ table, first }) => table === 'lessons' && first === 'owner'));
    // By a reference one would learn that an id is there; only ids that the caller drew itself are inserted.
    assert.deepEqual(
      await words(
        `SELECT conrelid::regclass || ' -> ' || confrelid::regclass FROM pg_constraint WHERE contype = 'f'
            AND connamespace = 'public'::regnamespace`,
      ),
      ['generation_jobs -> lessons', 'lesson_traces -> lessons'],
    );
  });

  test('lets roles do what they are for, and nothing to whole tables', async () => {
    assert.deepEqual(
      await words(
        `SELECT r || ' ' || p || ' ' || relname FROM pg_class c, unnest('{public,${LOGINS}}'::text[]) r,
                unnest('{TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
          WHERE relkind = 'r' AND ${OURS} AND has_table_privilege(r, c.oid, p)`,
      ),
      [],
    );
    assert.deepEqual(
      await words(
        `SELECT relname FROM pg_class c
          WHERE relkind IN ('r', 'v') AND ${OURS} AND (has_any_column_privilege('public', c.oid, 'SELECT, INSERT, UPDATE')
                                                       OR has_table_privilege('public', c.oid, 'DELETE'))`,
      ),
      [],
      'to everybody nothing',
    );
    assert.equal(await operator.run(`SELECT has_schema_privilege('public', 'public', 'USAGE')`), 'f');
  });

  test('decides by the owner for users, and by nothing else', async () => {
    const rows = await operator.rows(
      `SELECT tablename AS "table", policyname AS name, cmd, qual, with_check FROM pg_policies
        WHERE 'lesson_api' = ANY (roles) AND permissive = 'PERMISSIVE' ORDER BY 1, 2`,
    );
    const own = '(owner = ( SELECT app_uid() AS app_uid))';
    const open = rows.filter(({ qual }) => qual === 'true').map(({ table, cmd }) => `${table} ${cmd}`);

    // nobody's rows: what is configured, which generators there are, which hours are summed up
    assert.deepEqual(open, [
      'generation_workers SELECT',
      'provider_health SELECT',
      'trace_rolled SELECT',
      'trace_touched SELECT',
    ]);
    for (const { table, cmd, qual, with_check } of rows.filter((row) => row.qual !== 'true' && row.table !== 'audit_log')) {
      assert.equal(qual, own, table);
      if (cmd === 'ALL') assert.equal(with_check, own, table);
    }
    assert.ok(rows.length >= 8);
  });
});

// ---- tokens ----

describe('api_tokens', () => {
  const SECRET = `sha256('lt_x')`;
  const use = (session, sql = SECRET) =>
    session.run(`SELECT name, role FROM api_token_use(encode(${sql}, 'hex'))`);
  const make = (values = '') =>
    operator.run(
      `DELETE FROM api_tokens; DELETE FROM audit_log;
       INSERT INTO api_tokens (sha256, name, role, expires_at${values && ', revoked_at'})
       VALUES (${SECRET}, 'ci', 'admin', now() + interval '1 day'${values})`,
    );

  for (const [role, session] of [
    ['lesson_api', () => api],
    ['lesson_admin', () => admin],
    ['lesson_worker', () => worker],
  ])
    test(`is closed to ${role}`, async () => {
      for (const sql of [
        'SELECT 1 FROM api_tokens',
        'SELECT count(*) FROM api_tokens',
        `UPDATE api_tokens SET role = 'admin'`,
        'DELETE FROM api_tokens',
        `INSERT INTO api_tokens (sha256, name, role, expires_at) VALUES (${SECRET}, 'x', 'admin', 'infinity')`,
        `SELECT audit_token()`,
      ])
        await assert.rejects(session().run(sql), /42501|0A000/, sql);
      if (role !== 'lesson_api') await assert.rejects(use(session()), DENIED);
    });

  test('says whose a token is, and of no other anything', async () => {
    await make();
    assert.equal(await use(api), 'ci|admin');
    assert.equal(await use(api, `sha256('lt_y')`), '');
    assert.equal(await api.run(`SELECT name FROM api_token_use(NULL)`), '');
    await assert.rejects(api.run(`SELECT name FROM api_token_use('xyz')`), { code: '22023' });
  });

  test('knows none that is over or revoked', async () => {
    await make();
    await operator.run(`UPDATE api_tokens SET expires_at = now()`);
    assert.equal(await use(api), '');
    await make(', now()');
    assert.equal(await use(api), '');
  });

  test('is looked up by its index', async () => {
    await make();
    await operator.run(
      `INSERT INTO api_tokens (sha256, name, role, expires_at)
       SELECT sha256(n::text::bytea), 'ci', 'user', now() + interval '1 day' FROM generate_series(1, 5000) n;
       ANALYZE api_tokens`,
    );
    assert.match(
      await operator.run(
        `EXPLAIN SELECT * FROM api_tokens t WHERE t.sha256 = ${SECRET} AND t.revoked_at IS NULL AND t.expires_at > now()`,
      ),
      /Index Scan using api_tokens_sha256_key/,
    );
  });

  test('answers where nothing can be written', async () => {
    await make();
    await api.run('BEGIN READ ONLY');
    assert.equal(await use(api), 'ci|admin');
    await api.run('COMMIT');
    assert.equal(await operator.run('SELECT last_used_at IS NULL FROM api_tokens'), 't');
  });

  test('leaves rows in the audit log when one is made, changed, revoked or deleted, and not when it is used', async () => {
    await make();
    await use(api);
    await operator.run(
      `UPDATE api_tokens SET role = 'user'; UPDATE api_tokens SET revoked_at = now(); DELETE FROM api_tokens`,
    );
    assert.deepEqual(
      (await operator.rows('SELECT action, object, subject, count FROM audit_log ORDER BY id')).map((row) =>
        Object.values(row),
      ),
      [
        ['create', 'token', 'ci (admin)', 1],
        ['change', 'token', 'ci (user)', 1],
        ['revoke', 'token', 'ci (user)', 1],
        ['delete', 'token', null, 1],
      ],
    );
  });
});

describe('the list of a user among many', () => {
  before(() =>
    operator.run(
      `INSERT INTO lesson_traces (owner, request_data, created_at, llm_calls)
       SELECT 'user' || n % 50, '{}', now() - n * interval '1 second',
              CASE WHEN n % 11 = 0 THEN '[{"provider": "gemini", "error_class": "empty", "success": false}]'::jsonb ELSE '[]' END
         FROM generate_series(1, 20000) n;
       ANALYZE lesson_traces`,
    ));

  test('is read from its index, with row security', async () => {
    const plan = await as(
      'user7',
      `EXPLAIN SELECT * FROM lesson_trace_summary
        WHERE (created_at, id) < (now(), '${'f'.repeat(8)}-ffff-ffff-ffff-ffffffffffff')
        ORDER BY created_at DESC, id DESC LIMIT 51`,
    );

    assert.match(plan, /Index Scan using lesson_traces_owner/);
    assert.doesNotMatch(plan, /Sort|Seq Scan/);
  });

  for (const provider of ['gemini', 'nobody'])
    test(`is read from the index of failed calls, if it is of those of ${provider}`, async () => {
      const plan = await as(
        'user7',
        `EXPLAIN SELECT v.* FROM (SELECT id AS found FROM lesson_traces
                                   WHERE owner = 'user7' AND failed_providers && string_to_array('${provider}', ',')
                                   ORDER BY created_at DESC, id DESC LIMIT 51) f
                             JOIN lesson_trace_summary v ON v.id = f.found`,
      );

      assert.match(plan, / (using|on) lesson_traces_failed /);
    });
});
