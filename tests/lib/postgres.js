// What may happen to PostgreSQL: it freezes, it stops, it starts. And clusters of a test's own.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const BIN = '/usr/lib/postgresql/15/bin';
const START_MS = 30_000;

const run = promisify(execFile);
const isRoot = process.getuid() === 0;

// PostgreSQL refuses root; root is postgres then, as in scripts/run. To be run by setpriv.
const serviceCommand = (program, ...args) => [
  ...(isRoot ? ['--reuid=postgres', '--regid=postgres', '--init-groups'] : []),
  join(BIN, program),
  ...args,
];
const asService = (dir, program, ...args) =>
  run('setpriv', serviceCommand(program, ...args), { cwd: dir });

const postmaster = (dir) =>
  Number(readFileSync(join(dir, 'postmaster.pid'), 'utf8').split('\n')[0]);

// The processes whose parent is pid.
function childrenOf(pid) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

// Stops every process of a stack's PostgreSQL where it is, as a stalled disk would. Gives the way to let them go on.
export function freeze(stack) {
  const first = postmaster(join(stack.runDir, 'postgres'));
  const stopped = [];
  const stop = (pid) => {
    process.kill(pid, 'SIGSTOP');
    stopped.push(pid);
  };

  stop(first); // so there are no new ones
  childrenOf(first).forEach(stop);
  return () => stopped.splice(0).reverse().forEach(proceed); // the first one last: it would reap the ended
}

// The same of the postmaster alone: who is connected notices nothing, and nobody else gets in.
export function freezePostmaster(stack) {
  const pid = postmaster(join(stack.runDir, 'postgres'));

  process.kill(pid, 'SIGSTOP');
  return () => proceed(pid);
}

function proceed(pid) {
  try {
    process.kill(pid, 'SIGCONT');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // it was just about to end
  }
}

// Stops a stack's PostgreSQL as a crash would, and gives the way to start it again.
export async function crash(stack) {
  const dir = join(stack.runDir, 'postgres');

  await asService(dir, 'pg_ctl', 'stop', '-D', dir, '-m', 'immediate');
  return async () => {
    // A file for its output: a pipe to us would stay open as long as it runs.
    await asService(dir, 'pg_ctl', 'start', '-D', dir, '-l', join(dir, 'restarted.log'), '-w');
  };
}

// A cluster of its own, empty, on a socket alone, without a password: url(database, role) and stop(). It ends with
// us, too.
export async function startCluster() {
  const dir = mkdtempSync(join(tmpdir(), 'lesson-tracer-pg.'));
  const data = join(dir, 'data');
  const settings = {
    listen_addresses: '',
    unix_socket_directories: dir,
    fsync: 'off',
    shared_buffers: '32MB',
  };
  let server;

  async function stop() {
    if (server && server.exitCode === null && server.signalCode === null) {
      server.kill('SIGQUIT');
      await once(server, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  }

  try {
    if (isRoot) chownSync(dir, Number((await run('id', ['-u', 'postgres'])).stdout), 0);
    await asService(
      dir,
      'initdb',
      '-D',
      data,
      '-U',
      'operator',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
    );
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const command = serviceCommand('postgres', '-D', data, ...args);
    const log = openSync(join(dir, 'log'), 'a');
    server = spawn('setpriv', ['--pdeathsig', 'QUIT', ...command], {
      cwd: dir,
      stdio: ['ignore', log, log],
    });
    await whenAnswering(dir, server);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: (database = 'postgres', role = 'operator') =>
      `postgresql://${role}@/${database}?host=${dir}`,
    stop,
  };
}

async function whenAnswering(dir, server) {
  const deadline = Date.now() + START_MS;

  for (;;) {
    try {
      await run('pg_isready', ['-q', '-h', dir]);
      return;
    } catch {
      if (server.exitCode !== null || Date.now() > deadline)
        throw new Error(`PostgreSQL did not start:\n${readFileSync(join(dir, 'log'), 'utf8')}`);
    }
    await sleep(20);
  }
}

// A cluster of its own with our schema in it: url(role) and stop().
export async function startDatabase() {
  const cluster = await startCluster();

  try {
    await run(join(ROOT, 'scripts/migrate'), [], {
      env: { ...process.env, DATABASE_URL: cluster.url() },
    });
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return { url: (role) => cluster.url('postgres', role), stop: cluster.stop };
}
