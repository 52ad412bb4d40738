import { Agent, request } from 'node:http';

import { judge } from '../lib/judge.js';
import { withService } from '../lib/service.js';

const CLIENTS = 32;
const CUT = 0.1; // of them hang up before they are told

// One request; gives {status, id}, or nothing for one that hung up.
function post(stack, agent, { outline, key, cut_ms }) {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const auth = `${stack.user.user}:${stack.user.password}`;
    const asked = request(
      `${stack.baseUrl}/api/lessons`,
      { method: 'POST', agent, auth, headers },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => (text += part));
        answer.on('error', () => resolve());
        answer.on('end', () =>
          resolve({
            status: answer.statusCode,
            id: answer.statusCode === 201 ? JSON.parse(text).lesson.id : null,
          }),
        );
      },
    );

    asked.on('error', () => resolve());
    asked.end(JSON.stringify({ outline }));
    if (cut_ms !== null) setTimeout(() => asked.destroy(), cut_ms);
  });
}

export default {
  name: 'keys',
  fault: `same Idempotency-Key from ${CLIENTS} clients`,
  full: { count: 5000, seconds: 60 },

  run: ({ count, random, note }) =>
    withService({}, async ({ stack, upstream }) => {
      const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
      const ledger = { name: 'keys', ids: new Map(), mismatches: [] };
      const keys = Math.ceil(count / CLIENTS);
      const statuses = {};
      let cut = 0;

      for (let i = 1; i <= keys; i++) {
        const tag = `tag-keys-${i}`;
        const answers = await Promise.all(
          Array.from({ length: CLIENTS }, () =>
            post(stack, agent, {
              outline: `${tag} thinks 0.1 s`,
              key: tag,
              cut_ms: random() < CUT ? 20 * random() : null,
            }),
          ),
        );
        const told = answers.filter(Boolean);

        cut += CLIENTS - told.length;
        for (const { status } of told) statuses[status] = (statuses[status] ?? 0) + 1;
        const ids = new Set(told.map(({ id }) => id).filter(Boolean));
        if (ids.size > 1) ledger.mismatches.push(tag);
        if (ids.size > 0) ledger.ids.set(tag, [...ids][0]);
        if (i % 50 === 0) note(`${i} keys`);
      }
      agent.destroy();
      const seen = await judge(stack, upstream, ledger);
      const [lessons, different] = (
        await stack.psql(
          `SELECT count(*), count(DISTINCT idempotency_key) FROM lessons WHERE idempotency_key LIKE 'tag-keys-%'`,
        )
      )
        .split('|')
        .map(Number);

      if (lessons !== different) seen.violations.push(`${lessons} lessons of ${different} keys`);
      for (const status of Object.keys(statuses))
        if (status !== '201') seen.violations.push(`${statuses[status]} answers of ${status}`);
      return {
        figures:
          `${keys * CLIENTS} requests of ${keys} keys, ${cut} cut: ${lessons} lessons of ${different} keys, ` +
          `${statuses[201]} answers of 201`,
        violations: seen.violations,
      };
    }),
};
