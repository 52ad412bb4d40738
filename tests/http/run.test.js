// scripts/run itself: one at a time, the same data again, what dies is replaced, and nothing is left behind.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { until } from '../lib/api.js';
import { processesOf, readEnv, spawnRun, startStack } from '../lib/stack.js';

const newDir = () => mkdtempSync(join(tmpdir(), 'lesson-tracer-test.'));
const remove = (dir) => rmSync(dir, { recursive: true, force: true });
const works = async (stack, path = '/api/traces') => (await stack.fetch(path).catch(() => ({}))).status === 200;

// Ends the run of a directory; what is left of it then, bar what was there before.
async function endOf({ child, runDir }, signal = 'SIGTERM') {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, 'exit');
  }
  await until('all have ended', async () => processesOf(runDir).length === 0);
  assert.ok(!existsSync(join(runDir, 'ready.env')) || signal === 'SIGKILL');
}

describe('while it runs', () => {
  let stack;

  before(async () => {
    stack = await startStack({ env: { OPENAI_API_KEY: 'sk-test-of-the-run', LLM_PROVIDERS: 'sample' } });
  });

  after(() => stack?.stop());

  const find = (pattern) => stack.processes().filter(({ command }) => pattern.test(command));

  test('a_second_one_is_refused', async () => {
    const second = await spawnRun({ runDir: stack.runDir });
    const [code] = await once(second.child, 'exit');

    assert.equal(code, 1);
    assert.match(second.output(), /already running in /);
    assert.ok(existsSync(join(stack.runDir, 'ready.env')));
    assert.ok(await works(stack));
  });

  test('ready_env_is_private_and_a_shell_reads_it', () => {
    const file = join(stack.runDir, 'ready.env');
    const names = ['BASE_URL', 'TLS_URL', 'ADMIN_USER', 'ADMIN_PASSWORD', 'USER', 'PASSWORD', 'LOG_DIR', 'DATABASE_URL'];
    const print = names.map((name) => `"$${name}"`).join(' ');
    const read = execFileSync('sh', ['-euc', `. "$1"; printf '%s\\n' ${print}`, 'sh', file], { encoding: 'utf8' });

    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(read.trim().split('\n'), Object.values(readEnv(file)));
    assert.deepEqual(Object.keys(readEnv(file)), names);
  });

  test('only_the_generator_holds_keys', () => {
    const holders = stack.processes().filter(({ pid }) =>
      readFileSync(`/proc/${pid}/environ`, 'utf8').includes('sk-test-of-the-run'),
    );
    const programs = new Set(holders.map(({ command }) => command.split('/').at(-1).split(' ')[0]));

    assert.ok(programs.delete('lesson-generator'));
    assert.deepEqual([...programs].filter((name) => name.endsWith('.fcgi')), []);
  });

  test('everything_listens_on_loopback', () => {
    const rows = ['tcp', 'tcp6'].flatMap((name) => readFileSync(`/proc/net/${name}`, 'utf8').trim().split('\n').slice(1));
    const ports = [stack.baseUrl, stack.tlsUrl].map((url) => Number(new URL(url).port));
    const listening = rows
      .map((row) => row.trim().split(/\s+/))
      .filter(([, local, , state]) => state === '0A' && ports.includes(parseInt(local.split(':')[1], 16)));

    assert.deepEqual(listening.map(([, local]) => local.split(':')[0]), ['0100007F', '0100007F']);
  });

  const KILLED = [
    ['a responder', /^\S*traces\.fcgi/],
    ['a responder’s multiwatch', /multiwatch .*traces\.fcgi/],
    ['the generator', /^\S*lesson-generator/],
    ['the generator’s multiwatch', /multiwatch .*lesson-generator/],
    ['nginx', /nginx: master/],
    ['PostgreSQL', /^\S*postgres -D/],
  ];
  for (const [name, pattern] of KILLED)
    test(`${name} is replaced when it is killed`, async () => {
      const [{ pid }] = find(pattern);

      process.kill(pid, 'SIGKILL');
      await until('another is there', async () => find(pattern).some((found) => found.pid !== pid));
      await until('all works', async () => (await works(stack)) && (await works(stack, '/readyz')));
      assert.ok(find(pattern).every((found) => found.pid !== pid));
    });
});

test('the_same_data_again', async () => {
  const first = await startStack();
  const ids = await first.psql('SELECT id FROM lesson_traces');
  await first.stop({ keep: true });
  assert.deepEqual(first.processes(), []);
  assert.ok(!existsSync(join(first.runDir, 'ready.env')));

  const second = await startStack({ runDir: first.runDir });
  try {
    assert.deepEqual([second.admin, second.user], [first.admin, first.user]);
    assert.equal(await second.psql('SELECT id FROM lesson_traces'), ids);
    assert.ok(await works(second));
  } finally {
    await second.stop();
  }
});

test('nothing_outlives_it_even_if_it_is_killed', async () => {
  const stack = await startStack();

  try {
    await endOf(stack, 'SIGKILL');
  } finally {
    remove(stack.runDir);
  }
});

test('the_next_free_port_if_one_is_busy', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address();
  let stack;

  try {
    stack = await startStack({ env: { PORT: port } });
    assert.ok(Number(new URL(stack.baseUrl).port) > port);
    assert.match(stack.output(), new RegExp(`PORT ${port} is busy: taking `));
    assert.ok(await works(stack));
  } finally {
    await stack?.stop();
    holder.close();
  }
});

test('a_long_path_with_spaces', async () => {
  const parent = newDir();
  const runDir = join(parent, 'a path of so many letters that no socket could be named in it', 'and more of them and more');
  mkdirSync(runDir, { recursive: true });
  execFileSync('chmod', ['-R', 'go+x', parent]);
  const stack = await startStack({ runDir });

  try {
    assert.ok(await works(stack));
    assert.equal(await stack.psql('SELECT count(*) FROM lessons'), '1');
  } finally {
    await stack.stop();
    remove(parent);
  }
});

describe('while it starts', () => {
  for (const ms of [100, 400, 800, 1200, 1600, 2000])
    test(`a stop after ${ms} ms leaves nothing`, async () => {
      const run = await spawnRun();

      try {
        await sleep(ms);
        await endOf(run);
        assert.notEqual(run.child.exitCode, null);
      } finally {
        remove(run.runDir);
      }
    });

  const REFUSED = [
    ['PORT', { PORT: 'http' }, /PORT: whole number expected, not "http"/],
    ['GENERATOR_PROCESSES', { GENERATOR_PROCESSES: '0' }, /GENERATOR_PROCESSES: 1 to 99 expected, not 0/],
    ['BUILD_DIR', { BUILD_DIR: 'elsewhere' }, /BUILD_DIR: .*"elsewhere"/],
    ['a program’s setting', { LOG_LEVEL: 'loud' }, /LOG_LEVEL: .*"loud"/],
  ];
  for (const [name, env, message] of REFUSED)
    test(`a bad ${name} ends it, with a word about it`, async () => {
      const run = await spawnRun({ env });

      try {
        await once(run.child, 'exit');
        assert.equal(run.child.exitCode, 1);
        assert.match(run.output(), message);
        await endOf(run);
      } finally {
        remove(run.runDir);
      }
    });
});
