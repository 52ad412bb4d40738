// The queue, by the very statements of common/job.c: nobody takes another's job, nobody writes with a lost lease,
// and what a dead generator held is taken up, its interrupted call told.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startDatabase } from '../lib/postgres.js';
import { openSession } from '../lib/session.js';
import { statementsOf } from '../lib/statements.js';

const STATEMENTS = statementsOf('common/job.c');
const LEASE_SECONDS = 30;
const UNDER_WAY = { span_id: 's1', provider: 'groq', success: null, response: null, error: null };
const TOLD = { ...UNDER_WAY, success: true };
const FAILED = { ...UNDER_WAY, success: false, error_class: 'timeout' };
const SECOND = { ...UNDER_WAY, span_id: 's2' };

let database, operator, first, second;

before(async () => {
  database = await startDatabase();
  operator = openSession(database.url());
  [first, second] = await Promise.all([worker(), worker()]);
});

after(async () => {
  for (const session of [operator, first, second]) await session?.end();
  await database?.stop();
});

beforeEach(() => operator.run('DELETE FROM lessons; DELETE FROM generation_workers'));

const quote = (value) => {
  if (value === null) return 'NULL';
  return `'${(typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll("'", "''")}'`;
};

// A session of a generator: job(name, args…) runs that statement, and gives its rows, each an array.
async function worker() {
  const session = openSession(database.url('lesson_worker'));

  for (const [name, { sql, args }] of Object.entries(STATEMENTS))
    if (!sql.startsWith('LISTEN'))
      await session.run(
        `PREPARE ${name}${args ? `(${Array(args).fill('text').join(', ')})` : ''} AS ${sql}`,
      );
  return {
    end: session.end,
    run: session.run,
    async job(name, ...args) {
      assert.equal(args.length, STATEMENTS[name].args, `arguments of ${name}`);
      const text = await session.run(
        `EXECUTE ${name}${args.length ? `(${args.map(quote).join(', ')})` : ''}`,
      );
      return text === '' ? [] : text.split('\n').map((line) => line.split('|'));
    },
  };
}

// Queues n lessons, the oldest first; gives their ids.
async function queue(n) {
  const text = await operator.run(
    `WITH lesson AS (
       INSERT INTO lessons (owner, title, outline, created_at)
       SELECT 'ann', 'T', 'O' || n, now() - interval '1 hour' + n * interval '1 second'
         FROM generate_series(1, ${n}) n RETURNING *),
     trace AS (
       INSERT INTO lesson_traces (id, lesson_id, owner, request_data)
       SELECT id, id, owner, '{}' FROM lesson),
     job AS (
       INSERT INTO generation_jobs (lesson_id, trace_id, owner, created_at)
       SELECT id, id, owner, created_at FROM lesson)
     SELECT id FROM lesson ORDER BY created_at`,
  );
  return text.split('\n');
}

const state = async (id) =>
  (
    await operator.rows(
      `SELECT l.status, l.title, l.content, l.error_message, j.slot, j.epoch, j.interruptions,
              t.status AS trace_status, t.llm_calls, t.decisions, t.llm_call_count, t.error_class, t.last_error,
              t.model, t.prompt_tokens, t.total_tokens, t.cost_usd, t.response_data, t.provider_used,
              t.fallback_providers, t.total_duration_ms, t.completed_at IS NOT NULL AS completed
         FROM lessons l LEFT JOIN generation_jobs j ON j.lesson_id = l.id
         LEFT JOIN lesson_traces t ON t.lesson_id = l.id WHERE l.id = '${id}'`,
    )
  )[0];
const register = async (session, slot) => Number((await session.job('job_register', slot))[0][0]);
const claim = async (session, slot, epoch, limit = 100) =>
  (await session.job('job_claim', slot, epoch, limit)).map(([id]) => id);
const recover = async (session, slot, epoch, others = true) =>
  Number((await session.job('job_recover', slot, epoch, LEASE_SECONDS, others, 500))[0][0]);
const clock = () => operator.run('SELECT clock_timestamp()');
const reconcile = async (session, slot, epoch, known, asOf) =>
  session.job('job_reconcile', slot, epoch, `{${known.join(',')}}`, asOf ?? (await clock()));

// Begins another generation of a lesson, as regenerating does; gives its trace.
async function regenerate(id) {
  return operator.run(
    `WITH trace AS (
       INSERT INTO lesson_traces (lesson_id, owner, request_data) VALUES ('${id}', 'ann', '{}') RETURNING id),
     job AS (
       INSERT INTO generation_jobs (lesson_id, trace_id, owner) SELECT '${id}', id, 'ann' FROM trace),
     lesson AS (UPDATE lessons SET status = 'generating' WHERE id = '${id}')
     SELECT id FROM trace`,
  );
}

// The progress of a generation: one call, as far as it is known. A trace has the id of its lesson here.
const progress = (id, call, more = {}) =>
  Object.values({
    trace: id,
    call,
    decisions: [{ action: 'try' }],
    model: 'm',
    errorClass: null,
    lastError: null,
    prompt: 10,
    completion: 20,
    total: 30,
    cost: '0.5',
    ...more,
  });
const record = async (session, id, slot, epoch, call, more) =>
  Number((await session.job('job_record', id, slot, epoch, ...progress(id, call, more)))[0][0]);
const SUCCESS = {
  generated: true,
  title: 'The title',
  content: '# The title',
  response: { title: 'The title' },
  error: null,
  provider: 'groq',
  duration: 1234,
};
const FAILURE = {
  ...SUCCESS,
  generated: false,
  title: null,
  content: null,
  response: null,
  error: 'every provider failed',
  provider: null,
};
const finish = async (session, id, slot, epoch, result = SUCCESS, call = TOLD) =>
  Number(
    (
      await session.job(
        'job_finish',
        id,
        slot,
        epoch,
        ...progress(id, call),
        ...Object.values(result),
      )
    )[0][0],
  );

describe('a slot', () => {
  test('has an epoch that grows with every process that takes it', async () => {
    assert.equal(await register(first, 'a'), 1);
    assert.equal(await register(first, 'a'), 2);
    assert.equal(await register(second, 'b'), 1);
    assert.equal(await register(second, 'a'), 3);
  });

  test('is kept alive by its present process alone', async () => {
    const old = await register(first, 'a');
    assert.equal((await first.job('job_beat', 'a', old, true)).length, 1);
    const epoch = await register(second, 'a');
    assert.equal((await first.job('job_beat', 'a', old, true)).length, 0);
    assert.equal((await second.job('job_beat', 'a', epoch, true)).length, 1);
    assert.equal((await first.job('job_leave', 'a', old)).length, 0);
  });
});

describe('a job', () => {
  test('is claimed oldest first, with what its generation needs', async () => {
    const ids = await queue(5);
    const epoch = await register(first, 'a');
    await operator.run(
      `UPDATE lessons SET options = '{"sections": 5}' WHERE id = '${ids[0]}';
       UPDATE generation_jobs SET provider = 'groq', model = 'm' WHERE lesson_id = '${ids[0]}'`,
    );
    const [[id, traceId, outline, options, provider, model, decisions, calls, age, deaths]] =
      await first.job('job_claim', 'a', epoch, 1);

    assert.deepEqual(
      [id, traceId, outline, options, provider, model, decisions, calls, deaths],
      [ids[0], ids[0], 'O1', '{"sections": 5}', 'groq', 'm', '[]', '0', '0'],
    );
    assert.ok(Number(age) >= 3_590_000 && Number(age) < 3_700_000, age);
    assert.deepEqual((await claim(first, 'a', epoch, 2)).sort(), ids.slice(1, 3).sort());
    assert.deepEqual((await claim(first, 'a', epoch)).sort(), ids.slice(3).sort());
    assert.deepEqual(await claim(first, 'a', epoch), []);
    assert.equal((await state(ids[0])).slot, 'a');
  });

  test('is claimed by one of two who ask at once', async () => {
    const ids = await queue(40);
    const epochs = [await register(first, 'a'), await register(second, 'b')];

    await first.run('BEGIN');
    const mine = await claim(first, 'a', epochs[0], 15); // not committed: the other passes it by
    const others = await claim(second, 'b', epochs[1], 15);
    await first.run('COMMIT');
    const rest = await claim(second, 'b', epochs[1]);

    assert.deepEqual([mine.length, others.length, rest.length], [15, 15, 10]);
    assert.deepEqual([...mine, ...others, ...rest].sort(), ids.sort());
  });

  test('is not claimed by a process that has lost its slot, nor by one that never had it', async () => {
    await queue(3);
    const old = await register(first, 'a');
    const epoch = await register(second, 'a');

    assert.deepEqual(await claim(first, 'a', old), []);
    assert.deepEqual(await claim(first, 'nowhere', 1), []);
    assert.equal((await claim(second, 'a', epoch)).length, 3);
  });

  test('is told as it goes: intent, result, next intent', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);

    assert.equal(
      await record(first, id, 'a', epoch, UNDER_WAY, {
        prompt: null,
        completion: null,
        total: null,
        cost: null,
      }),
      1,
    );
    let now = await state(id);
    assert.deepEqual(now.llm_calls, [UNDER_WAY]);
    assert.equal(now.prompt_tokens, null);
    assert.equal(now.cost_usd, null);
    assert.equal(now.trace_status, 'started');
    await record(first, id, 'a', epoch, FAILED, { errorClass: 'timeout', lastError: 'e' });
    await record(first, id, 'a', epoch, SECOND, { model: null });
    await record(first, id, 'a', epoch, SECOND, { model: null }); // sent again
    now = await state(id);
    assert.deepEqual(now.llm_calls, [FAILED, SECOND]);
    assert.equal(now.llm_call_count, 2);
    assert.equal(now.model, 'm', 'what is known stays');
    assert.equal(now.error_class, 'timeout');
    assert.equal(now.last_error, 'e');
    assert.equal(now.total_tokens, 30);
    assert.equal(now.cost_usd, 0.5);
  });

  test('is finished once: lesson and trace together, and gone', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);

    assert.equal(await finish(first, id, 'a', epoch), 1);
    assert.equal(await finish(first, id, 'a', epoch), 0);
    const { decisions, ...now } = await state(id);
    assert.deepEqual(now, {
      status: 'generated',
      title: 'The title',
      content: '# The title',
      error_message: null,
      slot: null,
      epoch: null,
      interruptions: null,
      trace_status: 'completed',
      llm_calls: [TOLD],
      llm_call_count: 1,
      error_class: null,
      last_error: null,
      model: 'm',
      prompt_tokens: 10,
      total_tokens: 30,
      cost_usd: 0.5,
      response_data: { title: 'The title', content: '# The title' },
      provider_used: 'groq',
      fallback_providers: [],
      total_duration_ms: 1234,
      completed: true,
    });
    assert.deepEqual(decisions, [{ action: 'try' }]);
  });

  test('that failed leaves title and content of the lesson, and says why in both', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await operator.run(`UPDATE lessons SET content = 'of before' WHERE id = '${id}'`);
    await claim(first, 'a', epoch);
    await finish(first, id, 'a', epoch, FAILURE, FAILED);
    const now = await state(id);

    assert.equal(now.status, 'error');
    assert.equal(now.title, 'T');
    assert.equal(now.content, 'of before');
    assert.equal(now.error_message, 'every provider failed');
    assert.equal(now.trace_status, 'failed');
    assert.equal(now.response_data, null);
    assert.equal(now.completed, true);
  });

  test('takes the late word of a process whose lease is lost while nobody else has begun', async () => {
    const [one, two] = await queue(2);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await record(first, one, 'a', old, UNDER_WAY);
    const epoch = await register(second, 'a');
    assert.equal(await recover(second, 'a', epoch), 2);

    assert.equal(await record(first, two, 'a', old, UNDER_WAY), 1);
    assert.equal(await finish(first, one, 'a', old), 1);
    const now = await state(one);
    assert.equal(now.status, 'generated');
    assert.deepEqual(now.llm_calls, [TOLD], 'the call that seemed lost was not');
    assert.deepEqual(await claim(second, 'a', epoch), [two]);
  });

  test('whose lease is lost to another is not finished, but its call is told', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await record(first, id, 'a', old, UNDER_WAY);
    const epoch = await register(second, 'a');
    await recover(second, 'a', epoch);
    await claim(second, 'a', epoch);
    await record(second, id, 'a', epoch, SECOND);
    const before = await state(id);

    assert.equal(await record(first, id, 'a', old, TOLD), 0);
    assert.equal(await finish(first, id, 'a', old), 0);
    assert.equal((await first.job('job_release', id, 'a', old, id)).length, 0);
    assert.deepEqual(await state(id), { ...before, llm_calls: [TOLD, SECOND] });
    assert.equal(await finish(second, id, 'a', epoch, SUCCESS, { ...SECOND, success: true }), 1);
    assert.equal((await state(id)).llm_call_count, 2);
  });

  test('whose lease is lost to another is not begun: a late intent is no call', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    const epoch = await register(second, 'a');
    await recover(second, 'a', epoch);
    await claim(second, 'a', epoch);

    assert.equal(await record(first, id, 'a', old, UNDER_WAY), 0);
    assert.deepEqual((await state(id)).llm_calls, []);
  });

  test('tells a call that was spooled and then lost, with its end if that was spooled, too', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await register(second, 'b');
    await operator.run(
      `UPDATE generation_workers SET beat = now() - interval '1 hour' WHERE slot = 'a'`,
    );
    await recover(second, 'b', 1);
    await claim(second, 'b', 1);
    const replay = (call) => first.job('job_record_spooled', id, 'a', old, ...progress(id, call));

    for (let i = 0; i < 2; i++) {
      await replay(UNDER_WAY);
      await replay(SECOND);
      await replay(TOLD); // its end: the other has none
    }
    const { llm_calls, llm_call_count } = await state(id);
    assert.deepEqual(
      llm_calls.map(({ span_id, success, error_class }) => [span_id, success, error_class]),
      [
        ['s1', true, undefined],
        ['s2', false, 'worker_lost'],
      ],
    );
    assert.equal(llm_call_count, 2);
  });

  test('is not ended by a late word about an earlier generation of its lesson', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await record(first, id, 'a', epoch, UNDER_WAY);
    await finish(first, id, 'a', epoch);
    const trace = await regenerate(id);
    await claim(first, 'a', epoch);

    assert.equal(await record(first, id, 'a', epoch, SECOND), 0);
    assert.equal(await finish(first, id, 'a', epoch), 0);
    assert.equal((await first.job('job_release', id, 'a', epoch, id)).length, 0);
    const [now] = await operator.rows(
      `SELECT l.status, j.slot, t.status AS trace_status, t.llm_calls
         FROM lessons l JOIN generation_jobs j ON j.lesson_id = l.id
         JOIN lesson_traces t ON t.id = '${trace}'`,
    );
    assert.deepEqual(now, {
      status: 'generating',
      slot: 'a',
      trace_status: 'started',
      llm_calls: [],
    });
  });

  test('that ended well after it seemed lost says no more that it was', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await record(first, id, 'a', old, UNDER_WAY);
    await recover(second, 'a', await register(second, 'a'));
    assert.equal((await state(id)).error_class, 'worker_lost');

    assert.equal(await finish(first, id, 'a', old), 1);
    const { error_class, last_error, llm_calls } = await state(id);
    assert.deepEqual([error_class, last_error], [null, null]);
    assert.deepEqual(llm_calls, [TOLD]);
  });

  test('ends with an end of every call', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await record(first, id, 'a', epoch, SECOND);

    await finish(first, id, 'a', epoch);
    assert.deepEqual(
      (await state(id)).llm_calls.map(({ span_id, success }) => [span_id, success]),
      [
        ['s2', false],
        ['s1', true],
      ],
    );
  });

  test('has calls that stay ended, whatever old write comes late', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await record(first, id, 'a', epoch, UNDER_WAY);
    await record(first, id, 'a', epoch, TOLD);

    await record(first, id, 'a', epoch, UNDER_WAY);
    assert.deepEqual((await state(id)).llm_calls, [TOLD]);
    await finish(first, id, 'a', epoch);
    await record(first, id, 'a', epoch, UNDER_WAY);
    assert.deepEqual((await state(id)).llm_calls, [TOLD]);
  });

  test('whose lesson was deleted ends without a word', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await operator.run(`DELETE FROM lessons WHERE id = '${id}'`);

    assert.equal(await record(first, id, 'a', epoch, TOLD), 0);
    assert.equal(await finish(first, id, 'a', epoch), 0);
  });

  test('whose trace was deleted is finished all the same', async () => {
    const [id] = await queue(1);
    const epoch = await register(first, 'a');
    await operator.run(`DELETE FROM lesson_traces WHERE id = '${id}'`);

    assert.deepEqual(await claim(first, 'a', epoch), [id]);
    assert.equal(await record(first, id, 'a', epoch, TOLD), 1);
    assert.equal(await finish(first, id, 'a', epoch), 1);
    assert.equal((await state(id)).status, 'generated');
  });

  test('that is released is claimed again, uncharged', async () => {
    const [id] = await queue(1);
    const epochs = [await register(first, 'a'), await register(second, 'b')];
    await claim(first, 'a', epochs[0]);

    assert.equal((await first.job('job_release', id, 'a', epochs[0], id)).length, 1);
    assert.deepEqual(await claim(second, 'b', epochs[1]), [id]);
    assert.equal((await state(id)).interruptions, 0);
  });

  test('that its holder knows nothing of is freed by reconciling', async () => {
    const ids = await queue(3);
    const epochs = [await register(first, 'a'), await register(second, 'b')];
    await claim(first, 'a', epochs[0], 2);
    await claim(second, 'b', epochs[1]);

    assert.deepEqual(await reconcile(first, 'a', epochs[0], [ids[0]]), [['1']]);
    assert.equal((await state(ids[0])).slot, 'a');
    assert.equal((await state(ids[1])).slot, null);
    assert.equal((await state(ids[2])).slot, 'b');
  });
});

test('reconciling, however late, frees nothing that was claimed since', async () => {
  const ids = await queue(2);
  const epoch = await register(first, 'a');
  await claim(first, 'a', epoch, 1);
  const asOf = await clock();
  await claim(first, 'a', epoch, 1);

  assert.deepEqual(await reconcile(first, 'a', epoch, [], asOf), [['1']]);
  assert.equal((await state(ids[0])).slot, null);
  assert.equal((await state(ids[1])).slot, 'a');
  assert.equal(await finish(first, ids[0], 'a', epoch), 1, 'a late word is as good');
});

describe('what a dead generator held', () => {
  test('is freed by its successor at once, the interrupted call told', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await record(first, id, 'a', old, FAILED);
    await record(first, id, 'a', old, SECOND);
    const epoch = await register(second, 'a');

    assert.equal(await recover(second, 'a', epoch), 1);
    const now = await state(id);
    assert.equal(now.slot, null);
    assert.equal(now.interruptions, 1);
    assert.equal(now.status, 'generating');
    assert.deepEqual(now.llm_calls[0], FAILED);
    const { error, ...lost } = now.llm_calls[1];
    assert.deepEqual(
      { ...lost, error: null },
      { ...SECOND, success: false, error_class: 'worker_lost' },
    );
    assert.ok(error.length > 0);
    assert.equal(now.error_class, 'worker_lost');
    const { action, reason } = now.decisions.at(-1);
    assert.deepEqual([action, reason], ['retry', 'worker_lost']);
    assert.deepEqual(await claim(second, 'a', epoch), [id]);
  });

  test('without a call under way is freed, and no call is blamed', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await record(first, id, 'a', old, TOLD);
    const epoch = await register(second, 'a');

    assert.equal(await recover(second, 'a', epoch, false), 1);
    const now = await state(id);
    assert.deepEqual(now.llm_calls, [TOLD]);
    assert.equal(now.error_class, null);
  });

  test('in another slot is left by who is not yet to look at others', async () => {
    await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await first.job('job_leave', 'a', epoch);

    assert.equal(await recover(second, 'b', await register(second, 'b'), false), 0);
  });

  for (const [what, sql, freed] of [
    ['alive', '', 0],
    [
      'late, but within its lease',
      `UPDATE generation_workers SET beat = now() - interval '25 s' WHERE slot = 'a'`,
      0,
    ],
    [
      'beyond its lease',
      `UPDATE generation_workers SET beat = now() - interval '31 s' WHERE slot = 'a'`,
      1,
    ],
    ['gone in good order', `SELECT 1`, 1],
    ['unknown', `DELETE FROM generation_workers WHERE slot = 'a'`, 1],
  ])
    test(`is ${freed ? 'freed' : 'left'} by another slot when it is ${what}`, async () => {
      const [id] = await queue(1);
      const epoch = await register(first, 'a');
      const other = await register(second, 'b');
      await claim(first, 'a', epoch);
      if (sql) await operator.run(sql);
      if (what === 'gone in good order') await first.job('job_leave', 'a', epoch);

      assert.equal(await recover(second, 'b', other), freed);
      assert.equal((await state(id)).slot, freed ? null : 'a');
      assert.equal((await state(id)).interruptions, freed);
    });

  test('is freed once, by whoever comes first', async () => {
    await queue(10);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    await first.job('job_leave', 'a', old);
    const epochs = [await register(first, 'b'), await register(second, 'c')];

    await first.run('BEGIN');
    assert.equal(await recover(first, 'b', epochs[0]), 10);
    assert.equal(await recover(second, 'c', epochs[1]), 0);
    await first.run('COMMIT');
    assert.equal(await recover(second, 'c', epochs[1]), 0);
    assert.equal(await operator.run('SELECT DISTINCT interruptions FROM generation_jobs'), '1');
  });

  test('never is what the asker holds itself', async () => {
    await queue(1);
    const epoch = await register(first, 'a');
    await claim(first, 'a', epoch);
    await operator.run(`UPDATE generation_workers SET beat = '-infinity'`);

    assert.equal(await recover(first, 'a', epoch), 0);
  });
});

describe('a job whose code kills its process', () => {
  const charge = (session, id, slot) => session.job('job_charge', id, slot);

  test('is charged by the successor in its slot, and by nobody else', async () => {
    const [id] = await queue(1);
    const old = await register(first, 'a');
    await claim(first, 'a', old);
    const other = await register(second, 'b');

    assert.equal((await charge(second, id, 'b')).length, 0, 'another slot');
    assert.equal((await charge(first, id, 'a')).length, 0, 'it lives');
    const epoch = await register(first, 'a');
    assert.equal((await charge(first, id, 'a')).length, 1);
    await recover(first, 'a', epoch);
    assert.equal((await charge(first, id, 'a')).length, 0, "it is nobody's now");
    const [row] = await first.job('job_claim', 'a', epoch, 1);
    assert.equal(row[9], '1');
  });

  test('is charged once for one death, whoever has requeued it since', async () => {
    const [id] = await queue(1);
    await claim(first, 'a', await register(first, 'a'));
    const other = await register(second, 'b');
    await operator.run(`UPDATE generation_workers SET beat = '-infinity' WHERE slot = 'a'`);
    assert.equal(await recover(second, 'b', other), 1);

    await register(first, 'a');
    assert.equal((await charge(first, id, 'a')).length, 1);
    assert.equal((await charge(first, id, 'a')).length, 0, 'told again');
    await register(first, 'a');
    assert.equal((await charge(first, id, 'a')).length, 0, 'and again, by another process');
    assert.equal(await operator.run('SELECT deaths FROM generation_jobs'), '1');
  });

  test('is run by the generator that has least to do', async () => {
    await queue(3);
    const epochs = [await register(first, 'a'), await register(second, 'b')];
    await claim(first, 'a', epochs[0], 1);
    await operator.run('UPDATE generation_jobs SET deaths = 2 WHERE slot IS NULL');
    const isMine = async (session, slot, epoch) =>
      (await session.job('job_recover', slot, epoch, LEASE_SECONDS, true, 500))[0][1] === 't';

    assert.equal(await isMine(first, 'a', epochs[0]), false);
    assert.equal(await isMine(second, 'b', epochs[1]), true);
  });

  test('is, from its second death on, claimed alone, and counted as suspect', async () => {
    const ids = await queue(4);
    const old = await register(first, 'a');
    await operator.run(
      `UPDATE generation_jobs SET deaths = 2 WHERE lesson_id IN ('${ids[0]}', '${ids[2]}')`,
    );

    assert.deepEqual((await claim(first, 'a', old)).sort(), [ids[1], ids[3]].sort());
    const epoch = await register(first, 'a');
    const [[requeued, mine]] = await first.job('job_recover', 'a', epoch, LEASE_SECONDS, true, 500);
    assert.deepEqual([requeued, mine], ['2', 't']);
    const suspect = async () =>
      (await first.job('job_claim_suspect', 'a', epoch)).map(([id]) => id);
    assert.deepEqual(await suspect(), [ids[0]]);
    assert.deepEqual(await suspect(), [ids[2]]);
    assert.deepEqual(await suspect(), []);
  });
});

test('a deletion of lessons that are being finished is no deadlock', async () => {
  const ids = await queue(200);
  const epoch = await register(first, 'a');
  const admin = openSession(database.url('lesson_admin'));
  await claim(first, 'a', epoch, 1000);

  const finishing = Promise.all(ids.map((id) => finish(first, id, 'a', epoch)));
  const telling = Promise.all(ids.map((id) => record(second, id, 'a', epoch, TOLD)));
  const deleting = Promise.all(
    ids.map((id) => admin.run(`DELETE FROM lessons WHERE id = '${id}'`)),
  );
  await Promise.all([finishing, telling, deleting]);
  await admin.end();
  assert.equal(await operator.run('SELECT count(*) FROM lessons'), '0');
  assert.equal(await operator.run('SELECT count(*) FROM generation_jobs'), '0');
});
