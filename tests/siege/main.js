// How much somebody notices of it when others besiege the service: the quantiles of one user's requests, alone, and
// again while 1,000 sockets send their headers byte by byte and another user asks 500 times a second. The limits are
// those that a service has by default; every besieger has an address of its own.
//
// Alone and besieged take turns, so that what else this machine does is in both. The besiegers are a process of their
// own, so that what they cost is not in the times of the besieged; that they cost this machine something is.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sleep } from '../lib/api.js';
import { startStack } from '../lib/stack.js';

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const ROUND_S = 8; // alone, and so long besieged
const SETTLE_MS = 2000; // until a siege is up, or over
const VICTIM_PER_S = 25;
const SLOW_SOCKETS = 1000;
const SLOW_ADDRESSES = 20;
const FLOOD_PER_S = 500;
const TICK_MS = 20;
const TICKS_PER_S = 100; // of /proc, on Linux
const FLOOD_ADDRESSES = 4; // so that it is the user that is limited, not the address
const BYTE_MS = 3000;
const PASSWORD = 'of-the-siege';
const PATHS = ['/api/lessons?limit=10', '/api/traces?limit=10&view=summary'];
const DEFAULTS = {
  ADDRESS_CONNECTIONS: '',
  ADDRESS_REQUESTS_PER_SECOND: '',
  USER_POSTS_PER_MINUTE: '',
  USER_REQUESTS_PER_SECOND: '',
  LOG_LEVEL: 'warn',
};

const BESIEGER = 'besieger'; // the argument, with the address, that makes this one

let target;

// One request; gives its status, 0 if there was no answer, and how long it took.
async function ask(user, path, agent, localAddress) {
  const begin = performance.now();
  const sent = request(target + path, { agent, localAddress, auth: `${user}:${PASSWORD}` });

  try {
    sent.end();
    const [answer] = await once(sent, 'response');
    await answer.toArray();
    return { status: answer.statusCode, ms: performance.now() - begin };
  } catch {
    return { status: 0, ms: performance.now() - begin };
  }
}

// Requests at a pace of their own, whatever the answers take, until stop(), which gives the answers.
function askAt(per_s, user, addresses) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const pending = [];
  const begin = performance.now();
  const timer = setInterval(() => {
    for (const due = ((performance.now() - begin) / 1000) * per_s; pending.length < due; ) {
      const i = pending.length;
      pending.push(ask(user, PATHS[i % PATHS.length], agent, addresses[i % addresses.length]));
    }
  }, TICK_MS);

  return async () => {
    clearInterval(timer);
    const answers = await Promise.all(pending);
    agent.destroy();
    return { answers, seconds: (performance.now() - begin) / 1000 };
  };
}

// So many sockets, each with a header that never ends: one that is closed is opened again.
function startSlowloris() {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  let stopped = false;
  let opened = 0;

  function open() {
    const socket = connect({ host: hostname, port, localAddress: `127.2.0.${1 + (opened++ % SLOW_ADDRESSES)}` });

    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      if (!stopped) open();
    });
    socket.write('GET /api/traces HTTP/1.1\r\nHost: a\r\nX-Slow: ');
  }

  for (let i = 0; i < SLOW_SOCKETS; i++) open();
  const drip = setInterval(() => {
    for (const socket of sockets) socket.write('x');
  }, BYTE_MS);

  return () => {
    stopped = true;
    clearInterval(drip);
    for (const socket of sockets) socket.destroy();
    return opened;
  };
}

function quantile(answers, q) {
  const sorted = answers.map(({ ms }) => ms).sort((a, b) => a - b);

  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

const tally = (answers) =>
  Object.entries(Object.groupBy(answers, ({ status }) => status || 'none'))
    .map(([status, of]) => `${status}: ${of.length}`)
    .join(', ');

// The other process: besieges until it gets a word, and tells what came of it.
async function besiege() {
  const stopSlow = startSlowloris();
  const stopFlood = askAt(FLOOD_PER_S, 'besieger', addressesOf('127.3.0', FLOOD_ADDRESSES));

  await once(process, 'message');
  const { answers, seconds } = await stopFlood();
  process.send({ opened: stopSlow(), said: tally(answers), per_s: Math.round(answers.length / seconds) });
  process.disconnect();
}

async function round(besieged) {
  const besieger = besieged && fork(fileURLToPath(import.meta.url), [BESIEGER, target]);

  await sleep(SETTLE_MS);
  const stopVictim = askAt(VICTIM_PER_S, 'besieged', ['127.0.0.1']);
  const used_s = cpuSeconds();
  await sleep(ROUND_S * 1000);
  const cores = (cpuSeconds() - used_s) / ROUND_S;
  const { answers } = await stopVictim();
  if (!besieged) return { answers, cores };
  besieger.send('enough');
  const [outcome] = await once(besieger, 'message');

  return { answers, cores, outcome };
}

const addressesOf = (net, n) => Array.from({ length: n }, (_, i) => `${net}.${i + 1}`);
// The processor seconds that the service has used, nginx and PostgreSQL with it.
function cpuSeconds() {
  let ticks = 0;

  for (const { pid } of stack.processes())
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [utime, stime] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
      ticks += Number(utime) + Number(stime);
    } catch {
      // it ended meanwhile
    }
  return ticks / TICKS_PER_S;
}

const show = (name, answers, cores) =>
  console.log(
    `${name.padEnd(9)} p50 ${quantile(answers, 0.5).toFixed(1)} ms, p95 ${quantile(answers, 0.95).toFixed(1)} ms, ` +
      `p99 ${quantile(answers, 0.99).toFixed(1)} ms  (${tally(answers)})` +
      (cores === undefined ? '' : `, the service on ${cores.toFixed(2)} cores`),
  );

if (process.argv[2] === BESIEGER) {
  target = process.argv[3];
  process.on('disconnect', () => process.exit());
  await besiege();
  process.exit();
}

const stack = await startStack({ env: DEFAULTS });
const late = setTimeout(() => process.exit(2), 118_000).unref(); // stack.js ends with us

try {
  target = stack.baseUrl;
  for (const user of ['besieged', 'besieger'])
    appendFileSync(join(stack.runDir, 'nginx', 'users.htpasswd'), `${user}:{PLAIN}${PASSWORD}\n`);
  const all = { alone: [], besieged: [] };

  await round(false); // connections, plans
  for (let i = 0; i < ROUNDS; i++) {
    const alone = await round(false);
    const under = await round(true);
    all.alone.push(...alone.answers);
    all.besieged.push(...under.answers);
    show('alone', alone.answers, alone.cores);
    show('besieged', under.answers, under.cores);
    const { per_s, said, opened } = under.outcome;
    console.log(`besieger  ${per_s} requests/s (${said}), ${SLOW_SOCKETS} slow sockets, opened ${opened} times`);
  }
  const ratio = quantile(all.besieged, 0.99) / quantile(all.alone, 0.99);
  const refused = [...all.alone, ...all.besieged].filter(({ status }) => status !== 200).length;
  console.log('in all');
  show('alone', all.alone);
  show('besieged', all.besieged);
  console.log(`p99 besieged / alone: ${ratio.toFixed(2)}; ${refused} of the user's requests not answered with 200`);
  process.exitCode = ratio < 2 && refused === 0 ? 0 : 1;
} finally {
  clearTimeout(late);
  await stack.stop();
}
