import { setTimeout as sleep } from 'node:timers/promises';

import { judge, summary } from '../lib/judge.js';
import { between, pick } from '../lib/random.js';
import { pidsOf, signal, withService } from '../lib/service.js';

const IN_FLIGHT = 500;
const THINK_S = [0.2, 2.5];
const GAP_MS = [30, 1500];
const LONG_GAP_MS = [2500, 8000]; // now and then, so that also the slowest call ends
const LONG = 0.12;
const READ_WITHIN_MS = 1000; // the upstream may read a request when who sent it is dead
const STORED_WITHIN_MS = 5000; // an answer that came longer before the kill is stored, on a busy machine, too
const RESPONDER_EVERY = 5;
const NOTE_EVERY = 50;

export default {
  name: 'kill',
  fault:
    'SIGKILL of the generator (and, every fifth time, of a lessons.fcgi) at random moments, 500 in flight',
  full: { count: 1000, seconds: 1500 },

  run: ({ count, random, clients: chance, note }) =>
    withService({}, async ({ stack, upstream, startClients }) => {
      const kills = [];
      const options = { name: 'kill', random: chance, inFlight: IN_FLIGHT, think: THINK_S };
      const clients = startClients(options);

      await sleep(2000);
      for (let i = 1; i <= count; i++) {
        await sleep(between(random, ...(random() < LONG ? LONG_GAP_MS : GAP_MS)));
        for (const pid of pidsOf(stack, 'lesson-generator')) signal(pid, 'SIGKILL');
        kills.push(Date.now());
        if (i % RESPONDER_EVERY === 0) {
          const responders = pidsOf(stack, 'lessons.fcgi');
          if (responders.length > 0) signal(pick(random, responders), 'SIGKILL');
        }
        if (i % NOTE_EVERY === 0)
          note(`${i} kills, ${clients.ledger.ids.size} lessons acknowledged`);
      }
      const seen = await judge(stack, upstream, await clients.stop(), {
        mustBeTold: ({ began_ms, ended_ms }) =>
          !kills.some((at) => at > began_ms - READ_WITHIN_MS && at < ended_ms + STORED_WITHIN_MS),
      });

      return {
        figures: `${count} kills: ${summary(seen)}; all ended ${Math.round(seen.drain_ms / 1000)} s after the last`,
        violations: seen.violations,
      };
    }),
};
