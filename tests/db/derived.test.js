// What the database makes of a trace by itself: it never says another thing than what it is made of, whoever writes, and
// however. Beside it stand the expressions themselves, as PostgreSQL reckons them anew.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';

let database, db;

before(async () => {
  database = await startDatabase();
  db = openSession(database.url());
});

after(async () => {
  await db?.end();
  await database?.stop();
});

const quote = (value) => {
  if (value === null) return 'NULL';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return `'${text.replaceAll("'", "''")}'`;
};

const ID = 'a0000000-0000-4000-8000-000000000001';
const FAILED = (provider, error_class, cost_usd) => ({ span_id: provider, provider, success: false, error_class, cost_usd });
const DONE = { span_id: 'ok', provider: 'openai', success: true, error_class: null, cost_usd: 0.5 };

// As migrations 0002, 0009 and 0010 had them in generated columns.
const EXPECTED = {
  outline_preview: `left(request_data ->> 'outline', 200)`,
  search_text: `translate(lower(normalize(coalesce(left(request_data ->> 'outline', 200), '') || E'\\n' || coalesce(last_error, '')
    || E'\\n' || coalesce(error_message, '') || E'\\n' || coalesce(model, ''), NFKC)), 'ς', 'σ')`,
  failed_providers: `(SELECT array_agg(c ->> 'provider' ORDER BY n) FROM jsonb_array_elements(llm_calls) WITH ORDINALITY AS x (c, n)
    WHERE c ->> 'error_class' IS NOT NULL)`,
  failed_classes: `(SELECT array_agg(c ->> 'error_class' ORDER BY n) FROM jsonb_array_elements(llm_calls) WITH ORDINALITY AS x (c, n)
    WHERE c ->> 'error_class' IS NOT NULL)`,
  failed_costs: `CASE WHEN llm_calls @? '$[*] ? (@.error_class != null && @.cost_usd != null)' THEN
    (SELECT array_agg((c ->> 'cost_usd')::numeric ORDER BY n) FROM jsonb_array_elements(llm_calls) WITH ORDINALITY AS x (c, n)
      WHERE c ->> 'error_class' IS NOT NULL) END`,
};

async function assertDerived() {
  const [row] = await db.rows(
    `SELECT ${Object.entries(EXPECTED)
      .map(([name, expression]) => `${name}, ${expression} AS expected_${name}`)
      .join(', ')} FROM lesson_traces WHERE id = '${ID}'`,
  );

  for (const name of Object.keys(EXPECTED)) assert.deepEqual(row[name], row[`expected_${name}`], name);
  return row;
}

describe('a trace', () => {
  beforeEach(() =>
    db.run(`DELETE FROM lesson_traces;
            INSERT INTO lesson_traces (id, owner, request_data, llm_calls, model, last_error, error_message)
            VALUES ('${ID}', 'user', ${quote({ outline: 'Why the MOON ﬁnally has Φάσεις' })},
                    ${quote([FAILED('groq', 'timeout', 0.25), DONE])}, 'GPT-X', 'Timed OUT', NULL)`),
  );

  test('has them from the beginning', async () => {
    const row = await assertDerived();

    assert.equal(row.outline_preview, 'Why the MOON ﬁnally has Φάσεις');
    assert.equal(row.search_text, 'why the moon finally has φάσεισ\ntimed out\n\ngpt-x');
    assert.deepEqual(row.failed_providers, ['groq']);
    assert.deepEqual(row.failed_classes, ['timeout']);
    assert.deepEqual(row.failed_costs, [0.25]);
  });

  const calls = {
    'none that failed': [DONE],
    none: [],
    'two that failed, of one the cost is known': [FAILED('groq', 'timeout', null), DONE, FAILED('openai', 'refused', 1)],
    'two that failed, of none the cost is known': [FAILED('a', 'x', null), FAILED('b', 'y', null)],
    'one without the members': [{ span_id: 'x' }],
  };
  for (const [what, value] of Object.entries(calls))
    test(`has them when its calls are ${what}`, async () => {
      await db.run(`UPDATE lesson_traces SET llm_calls = ${quote(value)} WHERE id = '${ID}'`);
      await assertDerived();
    });

  const changes = {
    'its request': `request_data = '{"outline": "Ëlse"}'`,
    'its request, to one without outline': `request_data = '{"content_kept": false}'`,
    'its last error': `last_error = 'ANOTHER'`,
    'its error message': `error_message = 'WORSE'`,
    'its model': `model = NULL`,
    'all at once': `request_data = '{"outline": "A"}', last_error = 'B', error_message = 'C', model = 'D', llm_calls = '[]'`,
  };
  for (const [what, set] of Object.entries(changes))
    test(`has them when ${what} changes`, async () => {
      const before = await assertDerived();
      await db.run(`UPDATE lesson_traces SET ${set} WHERE id = '${ID}'`);
      assert.notDeepEqual(await assertDerived(), before);
    });

  for (const [name, value] of Object.entries({
    outline_preview: 'forged',
    search_text: 'forged',
    failed_providers: '{forged}',
    failed_classes: '{forged}',
    failed_costs: '{7}',
  })) {
    test(`lets nobody write ${name}`, async () => {
      await db.run(`UPDATE lesson_traces SET ${name} = '${value}' WHERE id = '${ID}'`);
      await assertDerived();
    });
    test(`lets nobody insert ${name}`, async () => {
      await db.run(`DELETE FROM lesson_traces;
                    INSERT INTO lesson_traces (id, owner, request_data, ${name}) VALUES ('${ID}', 'user', '{"outline": "x"}', '${value}')`);
      await assertDerived();
    });
  }

  test('keeps them when what they are not made of changes', async () => {
    const before = await assertDerived();
    await db.run(`UPDATE lesson_traces SET status = 'completed', total_tokens = 7, response_data = '{}' WHERE id = '${ID}'`);
    assert.deepEqual(await assertDerived(), before);
  });
});

// ---- functions of calls ----

const A = { span_id: 'a', provider: 'groq', success: null };
const B = { span_id: 'b', provider: 'openai', success: true, error_class: null };
const C = { span_id: 'c', provider: 'groq', success: false, error_class: 'timeout', http_status: 504 };
const LISTS = [[], [A], [B], [A, B], [C, B], [B, C, A], [C, { ...C, span_id: 'd' }, B], [{}], [{ span_id: null }], [B, { ...B }]];

// As SQL that is read anew each time: the functions before they kept their plans.
const BEFORE = {
  trace_fallbacks: (calls) => `ARRAY(SELECT c ->> 'provider' FROM jsonb_array_elements(${calls}) WITH ORDINALITY AS x (c, n)
    GROUP BY 1 ORDER BY min(n) OFFSET 1)`,
  trace_failures: (calls) => `(SELECT string_agg(concat(c ->> 'provider', ': ', c ->> 'error_class',
    ' (HTTP ' || (c ->> 'http_status') || ')'), '; ' ORDER BY n) FROM jsonb_array_elements(${calls}) WITH ORDINALITY AS x (c, n)
    WHERE c ->> 'error_class' IS NOT NULL)`,
  trace_spent: (calls) => `(SELECT count(*)::integer FROM jsonb_array_elements(${calls}) AS c
    WHERE coalesce(c ->> 'error_class', '') NOT IN ('worker_lost', 'cancelled'))`,
  trace_end_calls: (calls) => `(SELECT coalesce(jsonb_agg(CASE WHEN NOT c @? '$ ? (@.success == null)' THEN c ELSE trace_lose_call(c) END ORDER BY n), '[]')
    FROM jsonb_array_elements(${calls}) WITH ORDINALITY AS x (c, n))`,
};

const putCall = (calls, call) => `(SELECT CASE WHEN old.success IS NOT NULL AND ${call} ->> 'success' IS NULL THEN ${calls}
    ELSE jsonb_set(${calls}, ARRAY[coalesce(old.place, jsonb_array_length(${calls}))::text], ${call}, true) END
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (SELECT n - 1 AS place, c ->> 'success' AS success
                       FROM jsonb_array_elements(${calls}) WITH ORDINALITY AS x (c, n)
                      WHERE c ->> 'span_id' = ${call} ->> 'span_id' ORDER BY n LIMIT 1) AS old ON true)`;

const same = async (got, expected, what) => {
  const [row] = await db.rows(`SELECT to_jsonb(${got}) AS got, to_jsonb(${expected}) AS expected`);
  assert.deepEqual(row.got, row.expected, what);
};

for (const [name, expression] of Object.entries(BEFORE))
  test(`${name} says what its definition says`, async () => {
    for (const list of LISTS) {
      const calls = `${quote(list)}::jsonb`;
      await same(`${name}(${calls})`, expression(calls), JSON.stringify(list));
    }
  });

test('trace_put_call says what its definition says, for every call in every list', async () => {
  for (const list of LISTS)
    for (const call of [A, B, C, { ...A, success: false }, { ...B, success: null }, {}, { span_id: 'new' }]) {
      const [calls, one] = [`${quote(list)}::jsonb`, `${quote(call)}::jsonb`];
      await same(`trace_put_call(${calls}, ${one})`, putCall(calls, one), `${JSON.stringify(call)} in ${JSON.stringify(list)}`);
    }
});

test('a cell of CSV is quoted, and is no formula', async () => {
  for (const [value, expected] of [
    ['plain', 'plain'],
    [null, ''],
    ['', ''],
    ['a,b', '"a,b"'],
    ['a"b', '"a""b"'],
    ['a\nb', '"a\nb"'],
    ['=1+1', "'=1+1"],
    ['＝1', "'＝1"],
    ['-1,"', `"'-1,"""`],
  ])
    assert.equal((await db.rows(`SELECT trace_cell(${value === null ? 'NULL' : `E${quote(value).replaceAll('\n', '\\n')}`}) AS cell`))[0].cell, expected);
});

test('a trace always has a time', async () => {
  const made = "SELECT created_at = $1 AS same FROM lesson_traces";
  for (const [values, expected] of [
    ["NULL, '2026-03-01T10:00:00Z'", "'2026-03-01T10:00:00Z'"],
    ['NULL, NULL', 'now()'],
    ["'2026-03-02T10:00:00Z', '2026-03-01T10:00:00Z'", "'2026-03-02T10:00:00Z'"],
  ]) {
    await db.run('BEGIN; DELETE FROM lesson_traces');
    await db.run(`INSERT INTO lesson_traces (request_data, created_at, completed_at) VALUES ('{}', ${values})`);
    assert.deepEqual(await db.rows(made.replace('$1', expected)), [{ same: true }], values);
    await db.run('UPDATE lesson_traces SET created_at = NULL');
    assert.equal(await db.run('SELECT count(*) FROM lesson_traces WHERE created_at IS NULL'), '0');
    await db.run('ROLLBACK');
  }
  for (const at of ['infinity', '-infinity'])
    await assert.rejects(db.run(`INSERT INTO lesson_traces (request_data, created_at) VALUES ('{}', '${at}')`), /lesson_traces_created_at_check/);
});

// ---- plans that are kept ----

test('a list that is planned while there is nothing still goes by its index when there are many', async () => {
  const session = openSession(database.url('lesson_admin'));

  try {
    await db.run('DELETE FROM lesson_traces');
    await db.run('VACUUM ANALYZE lesson_traces');
    await session.run(`PREPARE list AS SELECT id FROM lesson_traces ORDER BY created_at DESC, id DESC LIMIT 201`);
    for (let i = 0; i < 8; i++) await session.run('EXECUTE list');
    await db.run(`ALTER TABLE lesson_traces SET (autovacuum_enabled = off);
                  INSERT INTO lesson_traces (owner, request_data) SELECT 'user', '{}' FROM generate_series(1, 2000)`);
    assert.doesNotMatch(await session.run('EXPLAIN EXECUTE list'), /Seq Scan|Sort/);
  } finally {
    await db.run('ALTER TABLE lesson_traces RESET (autovacuum_enabled)');
    await session.end();
  }
});
