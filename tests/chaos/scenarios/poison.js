import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { api, until } from '../../lib/api.js';
import { post } from '../../lib/generator.js';
import { judge, summary } from '../lib/judge.js';
import { between } from '../lib/random.js';
import { pidsOf, signal, withService } from '../lib/service.js';

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), '../lib/poison.c');
const DEATHS_MAX = 3;
const KILLS = 6; // of a poisonous lesson, so that innocents die as often as the guilty
const PATIENCE_MS = 120_000;

// The library that makes one job crash its process, in a directory that every user can read.
function buildPoison() {
  const dir = mkdtempSync(join(tmpdir(), 'chaos-poison.'));
  const library = join(dir, 'poison.so');

  chmodSync(dir, 0o755);
  execFileSync('cc', ['-shared', '-fPIC', '-D_GNU_SOURCE', '-o', library, SOURCE]);
  return { library, remove: () => rmSync(dir, { recursive: true }) };
}

export default {
  name: 'poison',
  fault:
    'a job whose code aborts its process, among 100 in flight, and SIGKILLs of the process besides',
  full: { count: 10, seconds: 150, least: 2 },

  async run({ count, random, clients: chance, note }) {
    const { library, remove } = buildPoison();
    const env = {
      LD_PRELOAD: library,
      ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'verify_asan_link_order=0']
        .filter(Boolean)
        .join(':'),
    };

    try {
      return await withService(env, async ({ stack, upstream, startClients }) => {
        const call = api(stack);
        const clients = startClients({
          name: 'among',
          random: chance,
          inFlight: 100,
          think: [0.2, 2],
        });
        const guilty = [];
        let kills = 0;

        for (let i = 1; i <= count; i++) {
          await sleep(between(random, 200, 800));
          // One dies as its request is sent, the next as its answer is read.
          const outline = i % 2 === 0 ? `tag-venom-${i}` : `poison ${i}`;
          const { id } = await post(call, { outline });
          guilty.push(id);
          const isOver = async () =>
            (await stack.psql(`SELECT status FROM lessons WHERE id = '${id}'`)) === 'error';
          for (let k = 0; k < KILLS && !(await isOver()); k++) {
            await sleep(between(random, 200, 1200));
            for (const pid of pidsOf(stack, 'lesson-generator')) signal(pid, 'SIGKILL');
            kills++;
          }
          await until(`poison ${i} failed`, isOver, PATIENCE_MS);
          note(`${i} poisonous lessons, ${kills} kills`);
        }
        const seen = await judge(stack, upstream, await clients.stop());
        const log = readFileSync(join(stack.logDir, 'lesson-generator.log'), 'utf8');
        const charged = log
          .split('\n')
          .filter((line) => line.includes('charged with the death'))
          .map((line) => /\bid=(\S+)/.exec(line)?.[1]);
        const innocent = charged.filter((id) => !guilty.includes(id));

        if (innocent.length > 0)
          seen.violations.push(
            `${innocent.length} charges without guilt: ${innocent.slice(0, 5).join(' ')}`,
          );
        for (const id of guilty) {
          const deaths = charged.filter((one) => one === id).length;
          if (deaths !== DEATHS_MAX) seen.violations.push(`poison ${id}: ${deaths} deaths`);
        }
        return {
          figures:
            `${count} poisonous lessons failed after ${DEATHS_MAX} deaths each, ${kills} kills besides, ` +
            `${innocent.length} innocents charged: ${summary(seen)}`,
          violations: seen.violations,
        };
      });
    } finally {
      remove();
    }
  },
};
