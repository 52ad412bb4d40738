import { setTimeout as sleep } from 'node:timers/promises';

import { api } from '../../lib/api.js';
import { crash, freeze, freezePostmaster } from '../../lib/postgres.js';
import { judge, summary } from '../lib/judge.js';
import { between } from '../lib/random.js';
import { signal, withService } from '../lib/service.js';

const BACK_MS = 5000;
const STOPPED_MS = 20_000;
const STOPPED_SHORT_MS = 7_000; // in a run of a few minutes
const SHORT = 0.2;
const NOTE_EVERY = 10;

// How long, from now, until it takes lessons, tells them, and begins them.
async function untilServing(stack) {
  const call = api(stack);
  const begin = performance.now();
  const since = new Date().toISOString();
  const isServing = async () => {
    const [posted, listed] = await Promise.all([
      call('POST', '/api/lessons', { json: { outline: 'Are you there?' } }),
      call('GET', '/api/traces?limit=1'),
    ]);
    return (
      posted.status === 201 &&
      listed.status === 200 &&
      (await stack.psql(
        `SELECT EXISTS (SELECT FROM generation_jobs WHERE claimed_at > '${since}')
                OR EXISTS (SELECT FROM lesson_traces WHERE completed_at > '${since}' AND created_at > '${since}')`,
      )) === 't'
    );
  };

  while (!(await isServing())) {
    if (performance.now() - begin > 6 * BACK_MS) break;
    await sleep(50);
  }
  return performance.now() - begin;
}

// Every second time all processes stop, as on a stalled disk; else the connections end, and nobody gets in any more.
function stop(stack, i) {
  if (i % 2 === 0) return freeze(stack);
  const proceed = freezePostmaster(stack);
  const backends = stack
    .processes()
    .filter(({ command }) => /^postgres: lesson_\w+ /.test(command));

  backends.forEach(({ pid }) => signal(pid, 'SIGTERM'));
  return proceed;
}

// `breakIt(stack, i, {random, share})` breaks, and repairs.
const scenario = (name, fault, full, rest, breakIt, env = {}) => ({
  name,
  fault,
  full,

  run: ({ count, share, random, clients: chance, note }) =>
    withService(env, async ({ stack, upstream, startClients }) => {
      const clients = startClients({ name, random: chance, inFlight: 200, think: [0.2, 4] });
      const violations = [];
      let slowest = 0;

      await sleep(1500);
      for (let i = 1; i <= count; i++) {
        await breakIt(stack, i, { random, share });
        const ms = await untilServing(stack);
        slowest = Math.max(slowest, ms);
        if (ms > BACK_MS)
          violations.push(`${i}: serving again only ${Math.round(ms)} ms after it was back`);
        if (i % NOTE_EVERY === 0 || full.count < 30)
          note(`${i} times, serving again after ${Math.round(ms)} ms`);
        await sleep(between(random, ...rest));
      }
      const seen = await judge(stack, upstream, await clients.stop());

      return {
        figures: `${count} times: ${summary(seen)}; serving again at most ${Math.round(slowest)} ms after it was back`,
        violations: [...violations, ...seen.violations],
      };
    }),
});

export default [
  scenario(
    'pg-restart',
    'PostgreSQL: `immediate` restart',
    { count: 50, seconds: 170 },
    [500, 2000],
    async (stack, i, { random }) => {
      const start = await crash(stack);
      await sleep(between(random, 0, 1000));
      await start();
    },
  ),
  scenario(
    'pg-terminate',
    'PostgreSQL: all backends terminated',
    { count: 200, seconds: 130 },
    [50, 600],
    (stack) =>
      stack.psql(
        `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      ),
  ),
  scenario(
    'pg-stop',
    'PostgreSQL: postmaster stopped 20 s, its backends ended; every second time all of its processes stopped',
    { count: 20, seconds: 470, least: 2 },
    [500, 2000],
    async (stack, i, { share }) => {
      const proceed = stop(stack, i);
      await sleep(share < SHORT ? STOPPED_SHORT_MS : STOPPED_MS);
      proceed();
    },
    { LEASE_SECONDS: '10' }, // so that who hears nothing for 5 s looks for another connection
  ),
];
