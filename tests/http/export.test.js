// Exports: every trace once, as a file; and deletion by filter, of exactly what was confirmed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { api, assertProblem, sleep, until } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';
import { clearTraces, insertTraces } from '../lib/traces.js';

const STALL_MS = 50_000;

let stack, call, db;

before(async () => {
  stack = await startStack({ env: { TRACES_PROCESSES: '4' } });
  call = api(stack);
  db = openSession(stack.databaseUrl);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

const fill = (count, { owner = 'user', bytes = 10, outline = "'Outline ' || n" } = {}) =>
  db.run(
    `INSERT INTO lesson_traces (owner, request_data, response_data, status, total_tokens, created_at)
     SELECT '${owner}', jsonb_build_object('outline', ${outline}), jsonb_build_object('content', repeat(md5(n::text), ${bytes} / 32 + 1)),
            CASE n % 3 WHEN 0 THEN 'failed' ELSE 'completed' END, nullif(n % 7, 0), now() - n * interval '1 second'
       FROM generate_series(1, ${count}) n`,
  );

// A text of CSV as RFC 4180 has it: rows of cells.
function readCsv(text) {
  const rows = [[]];
  let cell = '';
  let quoted = false;

  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') cell += text[++i];
      else if (c === '"') quoted = false;
      else cell += c;
    } else if (c === '"') quoted = true;
    else if (c === ',' || (c === '\r' && text[i + 1] === '\n')) {
      rows.at(-1).push(cell);
      cell = '';
      if (c === '\r') {
        rows.push([]);
        i++;
      }
    } else cell += c;
  }
  assert.deepEqual([rows.pop(), cell], [[], ''], 'ends with the end of a line');
  return rows;
}

describe('an export', () => {
  beforeEach(() => clearTraces(db));

  test('as ndjson is one whole trace a line, as the list has them, of more than a page', async () => {
    await fill(450);
    const answer = await call('GET', '/api/traces/export?format=ndjson');
    const rows = answer.text.trimEnd().split('\n').map(JSON.parse);
    const list = [];
    for (let offset = 0; offset < 450; offset += 150)
      list.push(...(await call('GET', `/api/traces?limit=150&offset=${offset}`)).body.traces);

    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson; charset=utf-8');
    assert.match(
      answer.headers.get('content-disposition'),
      /^attachment; filename="traces-\d{4}-\d\d-\d\d\.ndjson"$/,
    );
    assert.ok(answer.text.endsWith('}\n'));
    assert.deepEqual(rows, list);
  });

  test('as csv is a header and the columns of a summary', async () => {
    await fill(1200);
    const answer = await call('GET', '/api/traces/export?format=csv');
    const [header, ...rows] = readCsv(answer.text);
    const [first] = (await call('GET', '/api/traces?view=summary&limit=1')).body.traces;

    assert.equal(answer.headers.get('content-type'), 'text/csv; charset=utf-8; header=present');
    assert.match(answer.headers.get('content-disposition'), /traces-\d{4}-\d\d-\d\d\.csv"$/);
    assert.deepEqual(header, Object.keys(first));
    assert.equal(rows.length, 1200);
    assert.deepEqual(
      rows[0],
      header.map((name) => (first[name] === null ? '' : String(first[name]))),
    );
    assert.ok(rows.every((row) => row.length === header.length));
  });

  test('obeys filters, search and order', async () => {
    await fill(300);
    const rows = async (query) => readCsv((await call('GET', `/api/traces/export?format=csv&${query}`)).text).slice(1);

    assert.equal((await rows('status=failed')).length, 100);
    assert.equal((await rows('q=outline%2029')).length, 11);
    for (const sort of ['created_at', '-total_tokens']) {
      const list = (await call('GET', `/api/traces?view=summary&limit=200&sort=${sort}`)).body.traces;
      assert.deepEqual(
        (await rows(`sort=${sort}`)).slice(0, 200).map(([id]) => id),
        list.map(({ id }) => id),
      );
    }
    assert.equal((await rows('q=nothing')).length, 0);
    assert.equal((await call('GET', '/api/traces/export?format=ndjson&q=nothing')).text, '');
  });

  test('of a search has each that it finds once, on many pages or few', async () => {
    await fill(3000);
    await db.run(`UPDATE lesson_traces SET request_data = '{"outline":"moon"}' WHERE request_data->>'outline' LIKE 'Outline 299_'`);
    for (const [q, count] of [
      ['outline%201', 1111],
      ['outline', 2990],
      ['moon', 10],
    ]) {
      const ids = readCsv((await call('GET', `/api/traces/export?format=csv&q=${q}`)).text).slice(1).map(([id]) => id);
      assert.equal(ids.length, count, q);
      assert.equal(new Set(ids).size, count, q);
    }
  });

  for (const [text, cell] of [
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['\r=1', "'\r=1"],
    ['=cmd|"/C calc"!A0', `'=cmd|"/C calc"!A0`],
    ['a, "b"\r\nc', 'a, "b"\r\nc'],
    ['a=1', 'a=1'],
    [' =1', ' =1'],
    ['月亮', '月亮'],
  ])
    test(`as csv gives ${JSON.stringify(text)} as ${JSON.stringify(cell)}`, async () => {
      await insertTraces(db, [{ name: 'x', outline: text }]);
      const [header, row] = readCsv((await call('GET', '/api/traces/export?format=csv')).text);
      assert.equal(row[header.indexOf('outline_preview')], cell);
    });

  test("has a user's own traces only, an admin's all", async () => {
    await fill(3);
    await fill(2, { owner: 'somebody' });
    for (const format of ['csv', 'ndjson']) {
      assert.ok(!(await call('GET', `/api/traces/export?format=${format}`)).text.includes('somebody'));
      assert.equal((await call('GET', `/api/traces/export?format=${format}`, { as: 'admin' })).text.split('somebody').length, 3);
    }
    assertProblem(await call('GET', '/api/traces/export?format=csv', { as: null }), 401);
  });

  for (const [query, member] of [
    ['', 'format'],
    ['format=', 'format'],
    ['format=xml', 'format'],
    ['format=csv&limit=5', 'limit'],
    ['format=csv&cursor=x', 'cursor'],
  ])
    test(`with "${query}" is refused`, async () =>
      assertProblem(await call('GET', `/api/traces/export?${query}`), 400, member));

  test('answers HEAD without a body', async () => {
    await fill(3);
    const answer = await call('HEAD', '/api/traces/export?format=csv');
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '');
  });
});

// A client that takes the first bytes and then no more.
async function stalledExport(as = 'user', format = 'ndjson') {
  const { user, password } = stack[as];
  const child = spawn('curl', ['-qsN', '--limit-rate', '20k', '-u', `${user}:${password}`, `${stack.baseUrl}/api/traces/export?format=${format}`]);
  await once(child.stdout, 'data');
  child.stdout.pause();
  return child;
}

const responders = () => stack.processes().filter(({ command }) => /^\S*traces\.fcgi/.test(command));

describe('an export that takes long', () => {
  before(async () => {
    await clearTraces(db);
    await fill(4000, { bytes: 20000 });
  });

  test('leaves half of the processes to others, and is refused beyond', async () => {
    const clients = [await stalledExport(), await stalledExport('admin')];

    try {
      appendFileSync(join(stack.runDir, 'nginx', 'users.htpasswd'), 'third:{PLAIN}secret\n');
      const authorization = `Basic ${Buffer.from('third:secret').toString('base64')}`;
      const third = await call('GET', '/api/traces/export?format=ndjson', { as: null, headers: { authorization } });
      assertProblem(third, 503, 'export');
      assert.match(third.body.detail, /as many as may are running/);
      assert.match(third.headers.get('retry-after'), /^\d+$/);
      const answers = await Promise.all(Array.from({ length: 8 }, () => call('GET', '/api/traces?view=summary')));
      for (const answer of answers) assert.equal(answer.status, 200);
    } finally {
      for (const client of clients) client.kill('SIGKILL');
    }
    await until('the slots are free', async () => (await call('HEAD', '/api/traces/export?format=csv')).status === 200);
  });

  test("is its user's only one, and others have theirs", async () => {
    const client = await stalledExport();

    try {
      const second = await call('GET', '/api/traces/export?format=csv');
      assertProblem(second, 503, 'export');
      assert.match(second.body.detail, /one of yours is running/);
      assert.equal((await call('HEAD', '/api/traces/export?format=csv', { as: 'admin' })).status, 200);
    } finally {
      client.kill('SIGKILL');
    }
    await until('the slot is free', async () => (await call('HEAD', '/api/traces/export?format=csv')).status === 200);
    for (let i = 0; i < 20; i++) assert.equal((await call('HEAD', '/api/traces/export?format=csv')).status, 200);
  });

  test('is given up when its client takes next to nothing', { timeout: 2 * STALL_MS }, async () => {
    const client = await stalledExport();
    const refused = async () => (await call('HEAD', '/api/traces/export?format=csv')).status === 503;

    try {
      assert.ok(await refused());
      await until('it is given up', async () => (await sleep(500), !(await refused())), STALL_MS);
    } finally {
      client.kill('SIGKILL');
    }
  });

  test('gives its slot back when its process is killed, and its client sees it broken', async () => {
    const clients = [await stalledExport(), await stalledExport('admin')];
    const broken = clients.map((client) => once(client, 'exit'));

    assert.equal((await call('HEAD', '/api/traces/export?format=csv')).status, 503);
    for (const { pid } of responders()) process.kill(pid, 'SIGKILL');
    for (const client of clients) client.stdout.resume();
    await until('exports again', async () => (await call('HEAD', '/api/traces/export?format=csv')).status === 200);
    for (const client of clients) client.kill('SIGTERM');
    await Promise.all(broken);
  });
});

describe('a deletion by filter', () => {
  beforeEach(() => clearTraces(db));

  const left = async (where = 'true') => Number(await db.run(`SELECT count(*) FROM lesson_traces WHERE ${where}`));

  // A 400 is of the question: nothing is deleted.
  function assertCount(answer, status, about, count, deleted = status === 400 ? undefined : 0) {
    const { count: told, deleted: gone, ...rest } = answer.body;
    assert.deepEqual([told, gone], [count, deleted]);
    assertProblem({ ...answer, body: rest }, status, about);
  }

  test('without confirm is refused with the count, with another number, too', async () => {
    await fill(30);
    assertCount(await call('DELETE', '/api/traces?status=failed'), 400, 'confirm', 10);
    assertCount(await call('DELETE', '/api/traces?status=failed&confirm=9'), 409, 'confirm', 10);
    assertCount(await call('DELETE', '/api/traces?status=failed&confirm=11'), 409, 'confirm', 10);
    assertCount(await call('DELETE', '/api/traces?q=outline%202&confirm=1'), 409, 'confirm', 11);
    assert.equal(await left(), 30);
    assert.equal(await db.run('SELECT count(*) FROM audit_log'), '0');
  });

  test('of exactly the confirmed number takes them and no others, and tells the audit log', async () => {
    await fill(3600);
    await fill(50, { owner: 'somebody' });
    const answer = await call('DELETE', '/api/traces?status=failed&confirm=1200');

    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.body, { message: '1200 traces deleted', deleted: 1200 });
    assert.equal(await left("owner = 'user' AND status = 'failed'"), 0);
    assert.equal(await left("owner = 'user'"), 2400);
    assert.equal(await left("owner = 'somebody'"), 50);
    assert.deepEqual(
      await db.rows('SELECT actor, object, sum(count)::int AS count, filter FROM audit_log GROUP BY 1, 2, 4'),
      [{ actor: 'user', object: 'trace', count: 1200, filter: 'status=failed' }],
    );
  });

  // Runs `act` while another has `sql` done, and not yet committed.
  async function meanwhile(sql, act) {
    const other = openSession(stack.databaseUrl);
    try {
      await other.run(`BEGIN; ${sql}`);
      return await act(() => other.run('COMMIT'));
    } finally {
      await other.end();
    }
  }
  const locked = `SELECT FROM lesson_traces WHERE id = (SELECT max(id::text)::uuid FROM lesson_traces WHERE status = 'failed') FOR UPDATE`;
  const waits = () =>
    until('the deletion waits', async () => (await db.run("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) !== '0');

  test('waits longer than a lock may take for a row that another has', async () => {
    await fill(3600);
    await meanwhile(locked, async (commit) => {
      const answer = call('DELETE', '/api/traces?status=failed&confirm=1200');
      await waits();
      await db.run('SELECT pg_sleep(3)');
      await commit();
      assert.deepEqual((await answer).body, { message: '1200 traces deleted', deleted: 1200 });
    });
    assert.equal(await left("status = 'failed'"), 0);
  });

  test('that fails in the middle tells how many are deleted, and how many are left', async () => {
    await fill(3600);
    await meanwhile(locked, async () => {
      const answer = await call('DELETE', '/api/traces?status=failed&confirm=1200');
      assertCount(answer, 503, 'confirm', 200, 1000);
      assert.match(answer.headers.get('retry-after'), /^\d+$/);
    });
    assert.equal(await left("status = 'failed'"), 200);
    assert.equal((await call('DELETE', '/api/traces?status=failed&confirm=200')).status, 200);
  });

  // The plan of a small table looks at the rows of a status, and asks of each whether it is one of the ids.
  test('reads the ids of a batch once, not again for each row', async () => {
    const settings = { session_preload_libraries: 'auto_explain', 'auto_explain.log_min_duration': '0' };
    const reconnect = () => db.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'lesson_api'");
    const log = () => readFileSync(join(stack.runDir, 'logs', 'postgresql.log'), 'utf8');
    const conditions = () => log().match(/(?:Filter|Cond): .*\bid = ANY .*/g);

    await fill(3600);
    await db.run("LOAD 'auto_explain'");
    for (const [name, value] of Object.entries(settings)) await db.run(`ALTER ROLE lesson_api SET ${name} = '${value}'`);
    try {
      await reconnect();
      assert.equal((await call('DELETE', '/api/traces?status=failed&confirm=1200')).status, 200);
      for (const condition of await until('the plans are logged', conditions)) assert.doesNotMatch(condition, /ANY \(\('/, 'a text cast to ids');
    } finally {
      for (const name of Object.keys(settings)) await db.run(`ALTER ROLE lesson_api RESET ${name}`);
      await reconnect();
    }
  });

  for (const [others, deleted] of [
    ["DELETE FROM lesson_traces WHERE status = 'failed'", 0],
    ["DELETE FROM lesson_traces WHERE total_tokens = 1 AND status = 'failed'", 9],
    ["UPDATE lesson_traces SET status = 'completed' WHERE total_tokens = 1", 9],
  ])
    test(`tells that it did not delete all when another does “${others}” meanwhile`, async () => {
      await fill(30);
      await meanwhile(others, async (commit) => {
        const answer = call('DELETE', '/api/traces?status=failed&confirm=10');
        await waits();
        await commit();
        assertCount(await answer, 409, 'confirm', 0, deleted);
      });
      assert.equal(await left("status = 'failed'"), 0);
    });

  for (const [query, count] of [
    ['q=OUTLINE%2012', 1],
    [`to=2000-01-01T00:00:00Z`, 0],
    ['status=failed,completed&model=none&min_duration_ms=1', 0],
    ['from=2000-01-01T00:00:00Z&provider=none', 12],
  ])
    test(`by ${query} works`, async () => {
      await fill(12);
      const answer = await call('DELETE', `/api/traces?${query}&confirm=${count}`);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.deleted, count);
      assert.equal(await left(), 12 - count);
    });

  test('of those of everybody is for an admin', async () => {
    await fill(5);
    await fill(5, { owner: 'somebody' });
    const answer = await call('DELETE', '/api/traces?status=completed&confirm=8', { as: 'admin' });
    assert.equal(answer.body.deleted, 8);
  });

  for (const [query, member] of [
    ['deleteAll=true&status=failed', 'deleteAll'],
    ['deleteAll=true&q=moon', 'deleteAll'],
    ['deleteAll=true&confirm=3', 'deleteAll'],
    ['id=11111111-1111-4111-8111-111111111111&status=failed', 'id'],
    ['confirm=3', 'id'],
    ['status=failed&confirm=x', 'confirm'],
    ['status=failed&confirm=-1', 'confirm'],
    ['status=done&confirm=0', 'status'],
    ['q=ab&confirm=0', 'q'],
    ['status=failed&confirm=1&limit=1', 'limit'],
  ])
    test(`with "${query}" is refused and deletes nothing`, async () => {
      await fill(3);
      assertProblem(await call('DELETE', `/api/traces?${query}`), 400, member);
      assert.equal(await left(), 3);
    });
});
