// scripts/restart, several generators, and what a stop leaves for the next start.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { api, sleep, until, whenDone } from '../lib/api.js';
import { assertTruthful, post, story, traceOf, underWay } from '../lib/generator.js';
import { openSession } from '../lib/session.js';
import { ROOT, processesOf, startStack } from '../lib/stack.js';

const WAITING = 8; // clients at a time: more than there are responders
const STOP_MS = 2000;

// Runs scripts/restart; gives {code, stdout, stderr}.
function restart(args = [], env = {}) {
  return new Promise((resolve) => {
    execFile('scripts/restart', args, { cwd: ROOT, env: { PATH: process.env.PATH, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
  });
}

// Clients that ask without a pause, each over a connection of its own; stop() gives the statuses, and 0 for a
// connection that was refused or reset.
function crowd(stack, path) {
  const agent = new Agent({ keepAlive: true, maxSockets: WAITING });
  const auth = `${stack.user.user}:${stack.user.password}`;
  const statuses = new Map();
  let over = false;
  const one = () =>
    new Promise((resolve) => {
      request(stack.baseUrl + path, { agent, auth })
        .on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode)))
        .on('error', () => resolve(0))
        .end();
    });
  const client = async () => {
    while (!over) {
      const status = await one();
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const clients = Array.from({ length: WAITING }, client);

  return {
    count: () => [...statuses.values()].reduce((a, b) => a + b, 0),
    async stop() {
      over = true;
      await Promise.all(clients);
      agent.destroy();
      return [...statuses.keys()];
    },
  };
}

describe('while it runs', () => {
  let stack, call;

  before(async () => {
    stack = await startStack({
      env: { GENERATOR_PROCESSES: '2', LESSONS_PROCESSES: '1', TRACES_PROCESSES: '2', DRAIN_SECONDS: '1' },
    });
    call = api(stack);
    await until('two slots', async () => (await epochs()).length === 2);
  });

  after(() => stack?.stop());

  const find = (pattern) => stack.processes().filter(({ command }) => pattern.test(command));
  const pids = (pattern) => find(pattern).map(({ pid }) => pid);
  const PROGRAMS = /^\S*\/(traces\.fcgi|lessons\.fcgi|sample\.fcgi|lesson-generator)$/;
  const GENERATORS = /^\S*\/lesson-generator$/;
  const slotOf = (pid) =>
    readFileSync(`/proc/${pid}/environ`, 'utf8').match(/\0GENERATOR_SLOT=([^\0]*)/)[1];
  const epochs = async () =>
    (await stack.psql('SELECT slot, epoch FROM generation_workers ORDER BY slot'))
      .split('\n')
      .map((line) => line.split('|'))
      .map(([slot, epoch]) => [slot.replace(/.*:/, ''), Number(epoch)]);

  test('a_responder_that_is_never_idle_ends_all_the_same', async () => {
    const [pid] = pids(/^\S*\/lessons\.fcgi$/);

    // Answers that take it longer than they take us.
    await stack.psql(
      `INSERT INTO lessons (owner, title, outline, status)
       SELECT 'user', n, repeat('Much to tell. ', 50), 'error' FROM generate_series(1, 200) n`,
    );
    const clients = crowd(stack, '/api/lessons?limit=200');

    await until('a crowd', async () => clients.count() > 100);
    process.kill(pid, 'SIGTERM');
    await until('another', async () => !pids(/^\S*\/lessons\.fcgi$/).includes(pid), STOP_MS).finally(clients.stop);
    assert.deepEqual(await clients.stop(), [200]);
  });

  test('each_generator_has_a_slot_and_a_log', async () => {
    assert.deepEqual(
      (await epochs()).map(([slot]) => slot),
      ['1', '1.2'],
    );
    assert.deepEqual(pids(GENERATORS).map(slotOf).sort(), ['1', '1.2']);
  });

  test('a_killed_generator_comes_back_in_its_slot', async () => {
    const [[, first], [, second]] = await epochs();
    const killed = pids(GENERATORS).find((pid) => slotOf(pid) === '1.2');

    process.kill(killed, 'SIGKILL');
    await until('a higher epoch', async () => (await epochs())[1][1] > second);
    assert.equal((await epochs())[0][1], first, 'the other goes on');
  });

  test('so_does_one_whose_multiwatch_is_killed', async () => {
    const before = await epochs();
    const watchers = pids(/^\S*multiwatch .*lesson-generator/);

    assert.equal(watchers.length, 2);
    for (const pid of watchers) process.kill(pid, 'SIGKILL');
    await until('higher epochs', async () =>
      (await epochs()).every(([, epoch], i) => epoch > before[i][1]),
    );
    assert.equal(pids(/^\S*multiwatch .*lesson-generator/).length, 2);
  });

  // As a supervisor does that tells a whole group, and multiwatch, which passes it on.
  test('a_generator_that_is_told_twice_to_stop_drains', async () => {
    const lesson = await post(call, { outline: 'Told twice', provider: 'sample', model: 'slow-700' });
    const { slot } = await until('a claim', async () => {
      const slot = await stack.psql(`SELECT slot FROM generation_jobs WHERE lesson_id = '${lesson.id}'`);
      return slot !== '' && { slot: slot.replace(/.*:/, '') };
    });
    const pid = pids(GENERATORS).find((one) => slotOf(one) === slot);

    await underWay(call, lesson);
    process.kill(pid, 'SIGTERM');
    await sleep(50);
    process.kill(pid, 'SIGUSR1');
    assert.equal((await whenDone(call, lesson.id)).status, 'generated');
    const { llm_calls } = await traceOf(call, lesson.trace_ids[0]);
    assert.deepEqual(llm_calls.map(({ error_class }) => error_class), [null]);
    await until('another process', () => ![0, pid].includes(pids(GENERATORS).find((one) => slotOf(one) === slot) ?? 0));
  });

  test('a_claim_that_is_answered_after_the_drain_is_given_back', async () => {
    const session = openSession(stack.databaseUrl);
    const old = pids(GENERATORS);

    await session.run('BEGIN; LOCK TABLE generation_workers IN ACCESS EXCLUSIVE MODE');
    const lesson = await post(call, { outline: 'Claimed late', provider: 'sample', model: 'slow-7000' });
    await sleep(100);
    for (const pid of old) process.kill(pid, 'SIGTERM');
    await sleep(1500); // DRAIN_SECONDS, and more
    await session.run('COMMIT');
    await session.end();
    await until('others', async () => pids(GENERATORS).length === 2 && !pids(GENERATORS).some((pid) => old.includes(pid)));
    assert.equal((await whenDone(call, lesson.id)).status, 'generated');
    const { llm_calls } = await traceOf(call, lesson.trace_ids[0]);
    assert.deepEqual(llm_calls.map(({ error_class }) => error_class).filter((why) => why !== 'cancelled'), [null]);
  });

  test('a_rolling_restart_replaces_all_and_refuses_nobody', async () => {
    const old = pids(PROGRAMS);
    const kept = pids(/^(nginx: master|\S*postgres -D|\S*multiwatch)/);
    const ready = crowd(stack, '/readyz');
    const clients = crowd(stack, '/api/lessons?limit=5');
    const { code, stdout, stderr } = await restart([], { RUN_DIR: stack.runDir });
    const statuses = [await clients.stop(), await ready.stop()];

    assert.equal(code, 0, stderr);
    assert.match(stdout, /^lesson-generator \d+: \d+ took its place after \d+ ms\n/);
    assert.match(stdout, new RegExp(`\nAll ${old.length} processes are new, after \\d+ s\n$`));
    assert.deepEqual(statuses, [[200], [200]]);
    assert.equal(pids(PROGRAMS).length, old.length);
    assert.deepEqual(pids(PROGRAMS).filter((pid) => old.includes(pid)), []);
    assert.deepEqual(pids(/^(nginx: master|\S*postgres -D|\S*multiwatch)/), kept);
  });

  test('some_by_the_numbers_of_their_multiwatch', async () => {
    const lessons = pids(/^\S*\/lessons\.fcgi$/);
    const [traces, watcher] = [pids(/^\S*\/traces\.fcgi$/), pids(/^\S*multiwatch .*traces\.fcgi/)];
    const { code, stdout } = await restart(watcher.map(String));

    assert.equal(code, 0);
    assert.match(stdout, /\nAll 2 processes are new/);
    assert.deepEqual(pids(/^\S*\/traces\.fcgi$/).filter((pid) => traces.includes(pid)), []);
    assert.deepEqual(pids(/^\S*\/lessons\.fcgi$/), lessons);
  });

  test('one_at_a_time', async () => {
    await underWay(call, await post(call, { outline: 'Long', provider: 'sample', model: 'slow-3000' }));
    const both = await Promise.all([1, 2].map(() => restart([], { RUN_DIR: stack.runDir })));

    assert.deepEqual(both.map(({ code }) => code).sort(), [0, 1]);
    assert.match(both.map(({ stderr }) => stderr).join(''), /another scripts\/restart is at work/);
  });

  const REFUSED = [
    ['a directory without a service', [], { RUN_DIR: '/nonexistent' }, 1, /nothing runs in \/nonexistent/],
    ['no number', ['lessons'], {}, 1, /lessons: the number of a process expected/],
    ['no process', ['99999999'], {}, 1, /99999999: no such process/],
    ['another program', [String(process.pid)], {}, 1, /: this is .*, not multiwatch/],
    ['an option', ['--fast'], {}, 2, /^$/],
  ];
  for (const [name, args, env, status, message] of REFUSED)
    test(`${name} is refused`, async () => {
      const { code, stderr } = await restart(args, env);

      assert.equal(code, status);
      assert.match(stderr, message);
    });
});

// A program of ours as far as scripts/restart can tell: it says its version, and takes SIGTERM.
const program = (version, runs) => `#!/bin/bash
[ "$1" != --version ] || exit ${version}
trap 'exit 0' TERM
${runs ? 'while :; do sleep 0.05; done' : 'exit 3'}
`;

describe('a new program', () => {
  let dir, watcher;

  const install = (version, runs) => {
    writeFileSync(join(dir, 'new'), program(version, runs), { mode: 0o755 });
    renameSync(join(dir, 'new'), join(dir, 'traces.fcgi'));
  };
  const children = () =>
    execFileSync('pgrep', ['-P', String(watcher.pid)], { encoding: 'utf8' }).trim().split('\n').sort();

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'lesson-tracer-test.'));
    install(0, true);
    const args = ['--pdeathsig', 'TERM', 'multiwatch', '-f', '2', '-r', '5', '-t', '100', '-s', 'TERM', '--'];
    watcher = spawn('setpriv', [...args, join(dir, 'traces.fcgi')], { stdio: 'ignore' });
    await sleep(300);
  });

  after(async () => {
    const exit = once(watcher, 'exit');
    const left = children();
    watcher.kill('SIGKILL'); // having given up on a child, multiwatch waits for it for ever
    await exit;
    for (const pid of left) process.kill(Number(pid), 'SIGKILL');
    rmSync(dir, { recursive: true });
  });

  test('that_works_takes_each_place', async () => {
    const old = children();
    const { code, stderr } = await restart([String(watcher.pid)]);

    assert.equal(code, 0, stderr);
    assert.equal(children().length, 2);
    assert.deepEqual(children().filter((pid) => old.includes(pid)), []);
  });

  test('that_does_not_run_ends_nothing', async () => {
    const old = children();

    install(1, true);
    const { code, stderr } = await restart([String(watcher.pid)]);
    assert.equal(code, 1);
    assert.match(stderr, /traces\.fcgi does not run, so all stay as they are/);
    assert.deepEqual(children(), old);
  });

  test('that_ends_at_its_start_takes_one_place_at_most', async () => {
    const old = children();

    install(0, false);
    const { code, stderr } = await restart([String(watcher.pid)]);
    assert.equal(code, 1);
    assert.match(stderr, /gave up starting another/);
    assert.equal(children().length, 1);
    assert.ok(old.includes(children()[0]));
  });
});

// As it comes, with one generator: there is a moment without any.
test('a_rolling_restart_of_the_default_turns_nothing_red', async () => {
  const stack = await startStack();

  try {
    const ready = crowd(stack, '/readyz');
    const { code, stderr } = await restart([], { RUN_DIR: stack.runDir });

    assert.equal(code, 0, stderr);
    assert.deepEqual(await ready.stop(), [200]);
  } finally {
    await stack.stop();
  }
});

test('what_a_stop_cuts_off_the_next_start_finishes', async () => {
  const env = { GENERATOR_PROCESSES: '2', DRAIN_SECONDS: '1' };
  const request = { provider: 'sample', model: 'slow-5000' };
  const first = await startStack({ env });
  let stack = first;

  try {
    let call = api(first);
    const lessons = await Promise.all([1, 2].map((n) => post(call, { outline: `Cut off ${n}`, ...request })));
    await Promise.all(lessons.map((lesson) => underWay(call, lesson)));
    const begin = performance.now();
    first.child.kill('SIGINT'); // Ctrl-C
    await once(first.child, 'exit');
    const ms = performance.now() - begin;
    assert.ok(ms < 6000, `the generators drain at the same time: ${ms} ms`);
    assert.deepEqual(processesOf(first.runDir), []);

    // As if the second still had something to tell: it is started to tell it.
    const spool = join(first.runDir, 'state', 'spool-1.2-1');
    writeFileSync(spool, 'no frame, but something');
    stack = await startStack({ env: { ...env, GENERATOR_PROCESSES: '1' }, runDir: first.runDir });
    call = api(stack);
    assert.match(stack.output(), /spool-1\.2-1 has results that PostgreSQL has not: starting generators up to number 2/);
    await until('nothing spooled', async () => !existsSync(spool) || statSync(spool).size === 0);
    await Promise.all(lessons.map((lesson) => underWay(call, lesson)));
    assert.equal(
      await stack.psql('SELECT count(*), sum(deaths), sum(interruptions) FROM generation_jobs'),
      '2|0|0',
      'nobody is charged',
    );
    for (const lesson of lessons) {
      assert.equal((await whenDone(call, lesson.id)).status, 'generated');
      const trace = await traceOf(call, lesson.trace_ids[0]);
      assertTruthful(trace);
      assert.deepEqual(
        trace.llm_calls.map(({ error_class }) => error_class),
        ['cancelled', null],
      );
      assert.deepEqual(story(trace), ['try sample', 'retry sample the service was stopped', 'try sample']);
    }
  } finally {
    await stack.stop();
  }
});
