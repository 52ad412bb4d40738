import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { api, until } from '../../lib/api.js';
import { crash } from '../../lib/postgres.js';
import { judge, summary } from '../lib/judge.js';
import { withService } from '../lib/service.js';

const SIZE_MB = 16;
const IN_FLIGHT = 1300; // their results are more than the spool can hold
const FULL_KB = 4096; // the reserve, and what the next batch did not fit in
const RED_MS = 10_000;
const THINK_S = [8, 14]; // longer than it takes to post them
const AWAY_MS = 16_000; // longer than they think
const PATIENCE_MS = 60_000;

const run = promisify(execFile);
const isRoot = process.getuid() === 0;
const asRoot = (...command) =>
  isRoot ? run(command[0], command.slice(1)) : run('sudo', ['-n', ...command]);

// A file system so small; null where nobody may mount one.
async function mountSmall() {
  const dir = mkdtempSync(join(tmpdir(), 'chaos-disk.'));
  const owner = isRoot ? 'postgres' : String(process.getuid());

  try {
    await asRoot(
      'mount',
      '-t',
      'tmpfs',
      '-o',
      `size=${SIZE_MB}m,mode=0700,uid=${owner}`,
      'tmpfs',
      dir,
    );
    return dir;
  } catch {
    rmSync(dir, { recursive: true });
    return null;
  }
}

async function unmount(dir) {
  await asRoot('umount', '-l', dir);
  rmSync(dir, { recursive: true, force: true });
}

const fill = (dir) => asRoot('dd', 'if=/dev/zero', `of=${dir}/filler`, 'bs=64k').catch(() => {});
const empty = (dir) => asRoot('rm', '-f', `${dir}/filler`);

const isReady = async (call) => (await call('GET', '/readyz', { as: null })).status === 200;

// Somebody else fills it while PostgreSQL is there: red, and nothing new is begun, until there is room again.
async function filled({ stack, dir, clients }) {
  const call = api(stack);
  const begin = performance.now();

  await fill(dir);
  await until('/readyz red', async () => !(await isReady(call)), 2 * RED_MS);
  const red_ms = performance.now() - begin;
  await sleep(2000);
  const claimed = await stack.psql('SELECT max(claimed_at) FROM generation_jobs');
  await sleep(1000);
  const idle = claimed === (await stack.psql('SELECT max(claimed_at) FROM generation_jobs'));
  const waiting = Number(
    await stack.psql('SELECT count(*) FROM generation_jobs WHERE slot IS NULL'),
  );
  await empty(dir);
  await until('/readyz green', () => isReady(call), PATIENCE_MS);
  await until(
    'more lessons',
    async () => {
      const left = Number(
        await stack.psql('SELECT count(*) FROM generation_jobs WHERE slot IS NULL'),
      );
      return clients.ledger.ids.size > 0 && left < Math.max(1, waiting);
    },
    PATIENCE_MS,
  );
  return { red_ms, idle };
}

// PostgreSQL goes while more is under way than the spool can hold: the rest stays in memory.
async function overflow({ stack, dir }) {
  const start = await crash(stack);
  const gone = Date.now();
  await sleep(AWAY_MS);
  const { stdout } = await asRoot('df', '--output=avail', '-k', dir);
  await start();
  return { gone, free_kb: Number(stdout.trim().split('\n')[1]) };
}

export default {
  name: 'disk',
  fault: `spool on a full ${SIZE_MB} MiB file system (SPOOL_RESERVE_MB=1)`,
  full: { count: 5, seconds: 200 },

  async run({ count, random, clients: chance, note }) {
    const dir = await mountSmall();

    if (dir === null)
      return {
        figures: 'only who may mount a file system can play this',
        violations: [],
        skipped: true,
      };
    try {
      return await withService(
        { STATE_DIR: dir, SPOOL_RESERVE_MB: '1' },
        async ({ stack, upstream, startClients }) => {
          const violations = [];
          let slowest = 0;
          const totals = { acknowledged: 0, lessons: 0, generated: 0, traces: 0, calls: 0, lost: 0 };
          let least_kb = Infinity;

          for (let i = 1; i <= count; i++) {
            const one = startClients({
              name: `full${i}`,
              random: chance,
              inFlight: 100,
              think: [0.2, 1],
            });
            await sleep(2000);
            const { red_ms, idle } = await filled({ stack, dir, clients: one });
            slowest = Math.max(slowest, red_ms);
            if (red_ms > RED_MS) violations.push(`${i}: red only after ${Math.round(red_ms)} ms`);
            if (!idle) violations.push(`${i}: jobs were claimed with no room to spool`);
            const first = await judge(stack, upstream, await one.stop());

            const options = {
              name: `over${i}`,
              random,
              inFlight: IN_FLIGHT,
              think: THINK_S,
              most: IN_FLIGHT,
              again: 0,
            };
            const many = startClients(options);
            await until('all posted', () => many.ledger.ids.size === IN_FLIGHT, PATIENCE_MS);
            const { gone, free_kb } = await overflow({ stack, dir });
            least_kb = Math.min(least_kb, free_kb);
            if (free_kb > FULL_KB)
              violations.push(`${i}: ${free_kb} KiB were left: it was never full`);
            const second = await judge(stack, upstream, await many.stop(), {
              mustBeTold: ({ ended_ms }) => ended_ms > gone,
            });
            await until('/readyz green again', () => isReady(api(stack)), PATIENCE_MS);

            for (const seen of [first, second]) {
              violations.push(...seen.violations);
              for (const key of Object.keys(totals)) totals[key] += seen[key];
            }
            note(
              `${i} times; red after ${Math.round(red_ms)} ms; ${free_kb} KiB were left of the disk`,
            );
          }
          return {
            figures:
              `${count} times filled, ${count} times overflown (${least_kb} KiB left): ${summary(totals)}; ` +
              `/readyz red at most ${Math.round(slowest)} ms later, green by itself`,
            violations,
          };
        },
      );
    } finally {
      await unmount(dir);
    }
  },
};
