import { setTimeout as sleep } from 'node:timers/promises';

import { judge, summary } from '../lib/judge.js';
import { between } from '../lib/random.js';
import { pidsOf, signal, withService } from '../lib/service.js';

const GENERATORS = 4; // of which one goes on
const LEASE_S = 3;
const STALL_MS = [3500, 5500]; // beyond the lease
const STORED_WITHIN_MS = 5000;
const REST_MS = [300, 2000];

export default {
  name: 'stall',
  fault: `SIGSTOP past the lease (LEASE_SECONDS=${LEASE_S}), then CONT`,
  full: { count: 100, seconds: 260 },

  run: ({ count, random, clients: chance, note }) =>
    withService(
      { GENERATOR_PROCESSES: String(GENERATORS), LEASE_SECONDS: String(LEASE_S) },
      async ({ stack, upstream, startClients }) => {
        const options = { name: 'stall', random: chance, inFlight: 300, think: [0.3, 6] };
        const clients = startClients(options);
        const takenOver = async () =>
          Number(await stack.psql('SELECT coalesce(sum(interruptions), 0) FROM generation_jobs'));
        const times = []; // [from, to] of each
        let stalls = 0;
        let interrupted = 0;

        while (stalls < count) {
          await sleep(between(random, ...REST_MS));
          const pids = pidsOf(stack, 'lesson-generator').sort(() => random() - 0.5);
          const stalled = pids.slice(0, Math.min(GENERATORS - 1, count - stalls));

          const from = Date.now();
          stalled.forEach((pid) => signal(pid, 'SIGSTOP'));
          try {
            await sleep(between(random, ...STALL_MS));
            interrupted = Math.max(interrupted, await takenOver());
          } finally {
            stalled.forEach((pid) => signal(pid, 'SIGCONT'));
          }
          times.push([from, Date.now()]);
          stalls += stalled.length;
          note(`${stalls} stalls, ${clients.ledger.ids.size} lessons acknowledged`);
        }
        const seen = await judge(stack, upstream, await clients.stop(), {
          mustBeTold: ({ began_ms, ended_ms }) =>
            !times.some(([from, to]) => from < ended_ms + STORED_WITHIN_MS && to > began_ms),
        });

        if (interrupted === 0) seen.violations.push('no generation was ever taken over');
        return {
          figures: `${stalls} stalls: ${summary(seen)}; 0 ended twice`,
          violations: seen.violations,
        };
      },
    ),
};
