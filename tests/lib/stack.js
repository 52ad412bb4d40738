// A whole lesson-tracer of its own, started by scripts/run in a directory of its own: the real PostgreSQL, nginx,
// spawn-fcgi and programs. What is started here is stopped here, also if the test's process dies.
//
//   const stack = await startStack({ env: { SAMPLE_MODEL: 'fail-500' } });
//   await stack.fetch('/api/traces', { as: 'admin' });
//   await stack.stop();

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const READY_MS = 180_000;
const STOP_MS = 90_000;

// What of the tester's environment may reach the stack: nothing that would configure it.
const PASSED_ON = [
  'ASAN_OPTIONS',
  'HOME',
  'LANG',
  'LC_ALL',
  'LSAN_OPTIONS',
  'NODE_EXTRA_CA_CERTS',
  'PATH',
  'SSL_CERT_FILE',
  'TMPDIR',
  'UBSAN_OPTIONS',
];

// A test asks more of a service in a second than people do, from one address, as one user. Its limits have tests of
// their own.
const UNLIMITED = {
  ADDRESS_CONNECTIONS: '65535',
  ADDRESS_REQUESTS_PER_SECOND: '65535',
  USER_POSTS_PER_MINUTE: '0',
  USER_REQUESTS_PER_SECOND: '0',
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// The values of ready.env, as a shell would read them.
export function readEnv(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name, value] = [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)];
      return [name, value.startsWith("'") ? value.slice(1, -1).replaceAll("'\\''", "'") : value];
    }),
  );
}

const alive = (child) => child.exitCode === null && child.signalCode === null;

// Starts scripts/run without waiting for it. `env`: its settings. Gives {child, runDir, output()}.
export async function spawnRun({ env = {}, runDir = mkdtempSync(join(tmpdir(), 'lesson-tracer-test.')) } = {}) {
  mkdirSync(runDir, { recursive: true });
  const log = join(runDir, 'run.log');
  const out = openSync(log, 'a');
  const inherited = Object.fromEntries(PASSED_ON.map((name) => [name, process.env[name]]));
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'scripts/run'], {
    cwd: ROOT,
    env: {
      ...inherited,
      RUN_DIR: runDir,
      PORT: await freePort(),
      TLS_PORT: await freePort(),
      BUILD_DIR: process.env.TEST_BUILD_DIR,
      ...UNLIMITED,
      ...env,
    },
    stdio: ['ignore', out, out],
    detached: true, // a Ctrl-C reaches us, and stops it by way of pdeathsig
  });
  closeSync(out);
  return { child, runDir, output: () => readFileSync(log, 'utf8') };
}

async function whenReady({ child, runDir, output }) {
  const deadline = Date.now() + READY_MS;

  for (;;) {
    if (!alive(child)) throw new Error(`scripts/run ended:\n${output()}`);
    if (Date.now() > deadline) throw new Error(`not ready after ${READY_MS} ms:\n${output()}`);
    try {
      return readEnv(join(runDir, 'ready.env'));
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    await sleep(20);
  }
}

// What a sanitizer says goes to the logs. It fails the test.
function sanitizerReports(logDir) {
  return readdirSync(logDir).flatMap((name) => {
    const text = readFileSync(join(logDir, name), 'utf8');
    const at = text.search(/^.*(ERROR: \w+Sanitizer|: runtime error: )/m);
    return at === -1 ? [] : [`${name}: ${text.slice(at, at + 4000)}`];
  });
}

async function end({ child, output }) {
  if (!alive(child)) return;
  child.kill('SIGTERM');
  await Promise.race([once(child, 'exit'), sleep(STOP_MS, null, { ref: false })]);
  if (!alive(child)) return;
  child.kill('SIGKILL');
  throw new Error(`scripts/run did not stop in ${STOP_MS} ms:\n${output()}`);
}

// `env`: settings of the stack. `runDir`: that of an earlier one, to go on with its data; stop({ keep: true })
// leaves it.
export async function startStack({ env, runDir: given } = {}) {
  const run = await spawnRun({ env, runDir: given });
  const { child, runDir, output } = run;
  let values;

  try {
    values = await whenReady(run);
  } catch (error) {
    await end(run).catch(() => {});
    if (!given) rmSync(runDir, { recursive: true, force: true });
    throw error;
  }
  const users = {
    admin: { user: values.ADMIN_USER, password: values.ADMIN_PASSWORD },
    user: { user: values.USER, password: values.PASSWORD },
  };
  const basic = ({ user, password }) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  return {
    ...users,
    baseUrl: values.BASE_URL,
    tlsUrl: values.TLS_URL,
    logDir: values.LOG_DIR,
    databaseUrl: values.DATABASE_URL,
    runDir,
    child,
    output,

    // As the fetch there is, on a path; `as`: 'user', 'admin', or null for nobody.
    fetch(path, { as = 'user', headers, ...options } = {}) {
      const all = new Headers(headers);
      if (as !== null) all.set('authorization', basic(users[as]));
      return fetch(values.BASE_URL + path, { ...options, headers: all });
    },

    // What psql prints, unaligned and without titles, as the operator.
    psql(sql) {
      return new Promise((resolve, reject) => {
        const args = ['-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', values.DATABASE_URL, '-c', sql];
        execFile('psql', args, { maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
          error ? reject(new Error(stderr || error.message)) : resolve(stdout.trimEnd()),
        );
      });
    },

    processes: () => processesOf(runDir),

    async stop({ keep = false } = {}) {
      await end(run);
      const reports = sanitizerReports(values.LOG_DIR);
      if (!keep) rmSync(runDir, { recursive: true, force: true });
      if (reports.length > 0) throw new Error(reports.join('\n'));
    },
  };
}

// The processes of a stack, as {pid, command}: those with its RUN_DIR in their environment, and those that work
// in it, since nginx and PostgreSQL write over theirs.
export function processesOf(runDir) {
  const found = [];

  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      const cwd = readlinkSync(`/proc/${pid}/cwd`);
      if (environ.includes(`RUN_DIR=${runDir}`) || cwd === runDir || cwd.startsWith(`${runDir}/`))
        found.push({
          pid: Number(pid),
          command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
        });
    } catch {
      // it ended meanwhile, or is not ours to look at
    }
  }
  return found;
}
