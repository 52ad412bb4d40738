// The product under measurement: a whole stack with traces in it, what its responders send to PostgreSQL, what stands
// beside it behind the same nginx, and the memory of its programs.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';

import { sleep, until } from '../lib/api.js';
import { ROOT, readEnv, startStack } from '../lib/stack.js';

const run = promisify(execFile);
const PATIENCE_MS = 5000;
const STOP_MS = 5000;

// Limits are not what is measured.
const SETTINGS = {
  LOG_LEVEL: 'warn',
  QUEUED_MAX: '1000000',
  USER_QUEUED_MAX: '1000000',
  ADDRESS_REQUESTS_PER_SECOND: '65535',
  ADDRESS_CONNECTIONS: '65535',
  USER_REQUESTS_PER_SECOND: '0',
  USER_POSTS_PER_MINUTE: '0',
};

export const basic = ({ user, password }) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

// Teachers: a thousand generations are not one user's. `crowd` has the Authorization of each.
const CROWD = Array.from({ length: 500 }, (_, i) => ({ user: `teacher-${i}`, password: `p${i}` }));

export async function startProduct({ env = {}, runDir } = {}) {
  const stack = await startStack({ env: { ...SETTINGS, ...env }, runDir });
  const file = join(stack.runDir, 'nginx', 'users.htpasswd');

  if (!readFileSync(file, 'utf8').includes(`${CROWD[0].user}:`))
    appendFileSync(
      file,
      CROWD.map(({ user, password }) => `${user}:{PLAIN}${password}\n`).join(''),
    );
  return Object.assign(stack, { crowd: CROWD.map(basic) });
}

// So many traces more, by scripts/demo-data; each call with a seed of its own.
export async function fill(stack, { count, days = 30, seed = 1, lean = false }, note) {
  const begin = performance.now();
  const args = [String(count), '--days', String(days), '--seed', String(seed)];
  const child = spawn(join(ROOT, 'scripts/demo-data'), lean ? [...args, '--lean'] : args, {
    env: { ...process.env, DATABASE_URL: stack.databaseUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });

  child.stdout.on('data', (text) => note(`demo-data: ${String(text).trim()}`));
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`scripts/demo-data ended with ${status}`);
  await stack.psql('VACUUM (ANALYZE)');
  await stack.psql('CHECKPOINT');
  note(`${count} traces made in ${Math.round((performance.now() - begin) / 1000)} s`);
}

export const countTraces = async (stack) =>
  Number(await stack.psql('SELECT count(*) FROM lesson_traces'));

// ---- what it sends to PostgreSQL ----

// The entries of PostgreSQL's log: a line, and those that go on with a tab.
const entriesOf = (log) => log.replaceAll('\n\t', '\n').split(/\n(?=\d{4}-\d\d-\d\d \d\d:\d\d)/);
const EXECUTE = /^\S+ \S+ \S+ \[(\d+)\] (\S+)@\S+ LOG:  execute (\S+): (.*)$/s;
const PARAMETERS = / \[(\d+)\] \S+ DETAIL:  parameters: (.*)$/s;

const valuesOf = (text) =>
  [...text.matchAll(/\$\d+ = (?:'((?:[^']|'')*)'|NULL)/g)].map(([, value]) =>
    value === undefined ? null : value.replaceAll("''", "'"),
  );

// The statements in a log, in their order: {pid, role, name, sql, values}.
export function statementsIn(log) {
  const found = [];

  for (const entry of entriesOf(log)) {
    const [, pid, role, name, sql] = EXECUTE.exec(entry.trimEnd()) ?? [];
    const [, of, parameters] = PARAMETERS.exec(entry.trimEnd()) ?? [];

    if (name !== undefined) found.push({ pid, role, name, sql, values: [] });
    else if (of !== undefined) {
      const last = found.findLast((one) => one.pid === of);
      if (last) last.values = valuesOf(parameters);
    }
  }
  return found;
}

// What PostgreSQL is told while `act` runs, by its own log: all statements, with their values.
export async function listen(stack, act) {
  const log = () => readFileSync(join(stack.logDir, 'postgresql.log'), 'utf8');
  const configure = async (command) => {
    await stack.psql(command);
    await stack.psql('SELECT pg_reload_conf()');
    await sleep(500); // for all backends to know
  };

  const before = log().length;
  await configure("ALTER SYSTEM SET log_statement = 'all'");
  try {
    const result = await act();
    await sleep(100);
    return { result, statements: statementsIn(log().slice(before)) };
  } finally {
    await configure('ALTER SYSTEM RESET log_statement');
  }
}

// The segment that a request is, as its responder sends it: set_identity with the request's id, and what follows in
// the same backend. And the answer's text.
export async function segmentOf(stack, path, options) {
  const { result, statements } = await listen(stack, async () => {
    const answer = await stack.fetch(path, options);
    return { id: answer.headers.get('x-request-id'), text: await answer.text(), ok: answer.ok };
  });
  const first = statements.findIndex(
    ({ name, values }) => name === 'set_identity' && values[1] === result.id,
  );

  if (!result.ok || first === -1)
    throw new Error(`${path}: no segment of it in the log: ${result.text.slice(0, 200)}`);
  const { pid } = statements[first];
  const rest = statements.slice(first + 1).filter((one) => one.pid === pid);
  const next = rest.findIndex(({ name }) => name === 'set_identity');
  const calls = [statements[first], ...(next === -1 ? rest : rest.slice(0, next))];

  return { role: calls[0].role, calls, text: result.text };
}

// How to connect as one of the product's roles: what libpq reads from the environment.
export function connection(stack, role) {
  const url = new URL(stack.databaseUrl.replace('@/', '@localhost/'));
  const secrets = readEnv(join(stack.runDir, 'secrets'));
  const name = role === url.username ? 'operator' : role.replace('lesson_', '');

  return {
    PGHOST: url.searchParams.get('host'),
    PGDATABASE: url.pathname.slice(1),
    PGUSER: role,
    PGPASSWORD: secrets[`${name.toUpperCase()}_DATABASE_PASSWORD`],
  };
}

// ---- what stands beside it ----

export async function buildC(source, output, ...args) {
  await run('cc', ['-O2', '-D_GNU_SOURCE', '-Wall', '-o', output, source, ...args]);
  chmodSync(output, 0o755);
}

// A directory that the service's user reaches, too.
export function publicDirectory() {
  const dir = mkdtempSync(join(tmpdir(), 'bench.'));

  chmodSync(dir, 0o755);
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

// A process that ends with us: {pid, stop()}.
export function startProcess(command, args, { env = {}, cwd } = {}) {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', command, ...args], {
    env: { ...process.env, ...env },
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true, // a group of its own, of which nothing is left
  });
  const exit = once(child, 'exit');

  return {
    pid: child.pid,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
        child.kill('SIGTERM');
        await exit;
        clearTimeout(late);
      }
      for (const pid of processGroup(child.pid)) process.kill(pid, 'SIGKILL');
    },
  };
}

// Locations in the product's own server, and upstreams beside it: the same nginx, with the same limits and log.
export async function addToNginx(stack, { upstreams, locations }) {
  const file = join(stack.runDir, 'nginx/site.conf');
  const site = readFileSync(file, 'utf8');
  const [head, tail] = site.split('    # The API\n');

  if (tail === undefined) throw new Error('nginx/site.conf: no line "# The API"');
  writeFileSync(file, `${upstreams}\n${head}${locations}\n    # The API\n${tail}`);
  process.kill(Number(readFileSync(join(stack.runDir, 'nginx/tmp/nginx.pid'), 'utf8')), 'SIGHUP');
  await sleep(1000); // for the workers before to end
}

// ---- what it takes ----

// Kilobytes of memory that are its own, or its share of what others have, too (PSS), of processes together.
export function pss_kb(pids) {
  const of = (pid) => {
    try {
      return Number(
        /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1],
      );
    } catch {
      return 0; // it ended
    }
  };
  return pids.map(of).reduce((a, b) => a + b, 0);
}

export const pidsOf = (stack, pattern) =>
  stack
    .processes()
    .filter(({ command }) => pattern.test(command.split(' ')[0]))
    .map(({ pid }) => pid);

// Seconds of CPU that a process has taken.
export function cpu_s(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');

  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

const TICKS = Number(execFileSync('getconf', ['CLK_TCK']));

// Seconds of CPU that all processes of a stack have taken: nginx, programs, PostgreSQL.
export const stackCpu_s = (stack) =>
  stack
    .processes()
    .map(({ pid }) => {
      try {
        return cpu_s(pid);
      } catch {
        return 0; // it ended
      }
    })
    .reduce((a, b) => a + b, 0);

// The most that `measure()` gives, looked at now and then until stop().
export function watchMost(measure, every_ms = 250) {
  let most = measure();
  const timer = setInterval(() => (most = Math.max(most, measure())), every_ms);

  timer.unref(); // if it is never stopped, since what it watched broke off

  return () => {
    clearInterval(timer);
    return Math.max(most, measure());
  };
}

export const whenServed = (stack, path, options) =>
  until(
    `${path} is served`,
    async () => {
      const answer = await stack.fetch(path, options).catch(() => null);
      await answer?.arrayBuffer();
      return answer?.ok;
    },
    PATIENCE_MS,
  );

// The processes of a group.
export function processGroup(id) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === id;
      } catch {
        return false; // it ended
      }
    })
    .map(Number);
}
