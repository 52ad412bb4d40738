import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { until } from '../../lib/api.js';
import { crash } from '../../lib/postgres.js';
import { judge, summary } from '../lib/judge.js';
import { pidsOf, signal, withService } from '../lib/service.js';

const AWAY_S = 180;
const AWAY_LEAST_S = 14;
const IN_FLIGHT = 2000;
const IN_FLIGHT_LEAST = 100;
const REPLAY_MS = 30_000;
const SPOOLED_WITHIN_MS = 3000; // what ended so shortly before the kill may still have been in memory
const PATIENCE_MS = 120_000;

const UNDER_WAY = `SELECT count(*) FROM lesson_traces WHERE status = 'started' AND llm_calls -> 0 -> 'success' = 'null'`;

export default {
  name: 'outage',
  fault:
    'PostgreSQL down 3 minutes with 2,000 in flight, one SIGKILL of the generator in the middle',
  full: { count: 1, seconds: 330 },

  run({ share, clients: chance, note }) {
    const away_s = Math.max(AWAY_LEAST_S, Math.round(AWAY_S * share));
    const inFlight = Math.max(IN_FLIGHT_LEAST, Math.round(IN_FLIGHT * share));
    const think = [0.1 * away_s + 2.5, 0.6 * away_s + 1]; // they end in all of it, before and after the kill

    return withService({ LOG_LEVEL: 'info' }, async ({ stack, upstream, startClients }) => {
      const clients = startClients({
        name: 'outage',
        random: chance,
        inFlight,
        think,
        most: inFlight,
        again: 0,
      });
      const replays = () =>
        readFileSync(join(stack.logDir, 'lesson-generator.log'), 'utf8').split(
          'event="spool replayed"',
        ).length - 1;

      await until('all posted', () => clients.ledger.ids.size === inFlight, PATIENCE_MS);
      await until(
        'all under way',
        async () => Number(await stack.psql(UNDER_WAY)) > 0.8 * inFlight,
        PATIENCE_MS,
      );
      note(`${inFlight} in flight; PostgreSQL goes`);
      const start = await crash(stack);
      const gone = Date.now();

      await sleep(500 * away_s);
      const killed = Date.now();
      for (const pid of pidsOf(stack, 'lesson-generator')) signal(pid, 'SIGKILL');
      await sleep(500 * away_s);
      const ended = ({ ended_ms }) => ended_ms > gone && ended_ms < killed - SPOOLED_WITHIN_MS;
      const before = replays();
      const isSpooled = upstream.calls().some(ended);
      await start();
      const back = performance.now();
      if (isSpooled) await until('the spool replayed', () => replays() > before, 4 * REPLAY_MS);
      const replay_ms = Math.round(performance.now() - back);
      note(`replayed after ${replay_ms} ms`);

      const seen = await judge(stack, upstream, await clients.stop(), {
        mustBeTold: ended,
        drainMs: 2 * PATIENCE_MS,
      });

      if (replay_ms > REPLAY_MS) seen.violations.push(`replayed only after ${replay_ms} ms`);
      return {
        figures:
          `${away_s} s, ${inFlight} in flight, ${upstream.calls().filter(ended).length} calls ended before the kill: ` +
          `${summary(seen)}; replayed ${replay_ms} ms after it was back`,
        violations: seen.violations,
      };
    });
  },
};
