import { setTimeout as sleep } from 'node:timers/promises';

import { api, until } from '../../lib/api.js';
import { openSession } from '../../lib/session.js';
import { between } from '../lib/random.js';
import { withService } from '../lib/service.js';

const BATCH = 40;
const THINK_S = [0.15, 0.7];
const ALL_EVERY = 20; // every so manieth race is with deleteAll
const PATIENCE_MS = 60_000;

// One batch: lessons that end about now, and deletions of them, of their traces, or of all traces.
async function race({ call, random, batch, seen }) {
  const lessons = await Promise.all(
    Array.from({ length: batch.length }, async (_, i) => {
      const think = between(random, ...THINK_S);
      const outline = `tag-deletes-${batch.first + i} thinks ${think.toFixed(2)} s`;
      const { body, status } = await call('POST', '/api/lessons', { json: { outline } });
      if (status !== 201) throw new Error(`POST: ${status}`);
      return { ...body.lesson, think };
    }),
  );

  await Promise.all(
    lessons.map(async ({ id, trace_ids: [trace], think }, i) => {
      await sleep(Math.max(0, 1000 * think + between(random, -150, 150)));
      if ((batch.first + i) % ALL_EVERY === 0) {
        const answer = await call('DELETE', '/api/traces?deleteAll=true');
        if (answer.status === 200) lessons.forEach((one) => seen.traces.add(one.trace_ids[0]));
        else seen.failed.push(`deleteAll: ${answer.status}`);
      } else if (random() < 0.5) {
        const answer = await call('DELETE', `/api/lessons/${id}`);
        if (answer.status === 200) seen.lessons.add(id);
        else seen.failed.push(`lesson: ${answer.status}`);
      } else {
        const answer = await call('DELETE', `/api/traces/${trace}`);
        if (answer.status === 200 || answer.status === 404)
          seen.traces.add(trace); // 404: deleteAll was first
        else seen.failed.push(`trace: ${answer.status}`);
      }
    }),
  );
}

const listed = (ids) => `'{${[...ids].join(',')}}'`;

export default {
  name: 'deletes',
  fault: 'DELETE and deleteAll racing with finish',
  full: { count: 2000, seconds: 90 },

  run: ({ count, random, note }) =>
    withService({}, async ({ stack }) => {
      const call = api(stack);
      const seen = { lessons: new Set(), traces: new Set(), failed: [] };

      for (let first = 1; first <= count; first += BATCH) {
        await race({
          call,
          random,
          seen,
          batch: { first, length: Math.min(BATCH, count - first + 1) },
        });
        if (first % (10 * BATCH) === 1) note(`${first + BATCH - 1} races`);
      }
      await until(
        'nothing in the making',
        async () => (await stack.psql('SELECT count(*) FROM generation_jobs')) === '0',
        PATIENCE_MS,
      );
      const session = openSession(stack.databaseUrl); // the ids are too many for a command's arguments
      const [lessons, traces, orphans, unfinished, audited] = (
        await session.run(
          `SELECT (SELECT count(*) FROM lessons WHERE id = ANY (${listed(seen.lessons)})),
                  (SELECT count(*) FROM lesson_traces
                    WHERE id = ANY (${listed(seen.traces)}) OR lesson_id = ANY (${listed(seen.lessons)})),
                  (SELECT count(*) FROM lesson_traces WHERE lesson_id IS NULL),
                  (SELECT count(*) FROM lessons WHERE outline LIKE 'tag-deletes-%' AND status <> 'generated'),
                  (SELECT count(DISTINCT gone) FROM audit_log, unnest(ids) AS gone
                    WHERE object = 'lesson' AND gone = ANY (${listed(seen.lessons)}))`,
        )
      )
        .split('|')
        .map(Number);
      await session.end();
      const violations = seen.failed.map((what) => `a DELETE failed: ${what}`);

      if (lessons > 0) violations.push(`${lessons} deleted lessons came back`);
      if (traces > 0) violations.push(`${traces} deleted traces came back`);
      if (orphans > 0) violations.push(`${orphans} traces of no lesson`);
      if (unfinished > 0)
        violations.push(`${unfinished} lessons whose trace alone was deleted did not finish`);
      if (audited < seen.lessons.size)
        violations.push(`${seen.lessons.size - audited} deletions are not in the audit log`);
      return {
        figures:
          `${count} races: ${seen.lessons.size} lessons and ${seen.traces.size} traces deleted, ` +
          `${lessons + traces} came back, ${unfinished} of the other lessons unfinished`,
        violations,
      };
    }),
};
