// The clients of a stack under fault: they keep lessons in the making, and remember what they were told. That is one
// half of the ledger; the upstream's log is the other.

import { Agent, request } from 'node:http';

import { sleep } from '../../lib/api.js';
import { between } from './random.js';

const TIMEOUT_MS = 20_000; // of one request; the service answers within 2 s
const LOOK_MS = 100;
const AGAIN_MS = 300; // after it may have ended
const BURST = 64;

// Posts as a client does that fears to lose its lesson: with a key, and again until it is told. Gives the ledger.
//
//   tag       in each outline: tag-NAME-N
//   ids       tag → the id that a 201 told
//   again     id → {told, unknown}: how often it was to be generated anew
//   statuses  status → how often; 0: no answer
function openLedger(stack, { name, random, think, again }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const auth = `${stack.user.user}:${stack.user.password}`;
  const ledger = {
    name,
    ids: new Map(),
    again: new Map(),
    statuses: {},
    posted: 0,
    mismatches: [],
  };

  function send(path, json, more = {}) {
    return new Promise((resolve) => {
      const headers = { 'content-type': 'application/json', ...more };
      const options = { method: 'POST', agent, auth, headers, timeout: TIMEOUT_MS };
      const done = (status, text) => {
        ledger.statuses[status] = (ledger.statuses[status] ?? 0) + 1;
        resolve({ status, text });
      };
      const asked = request(stack.baseUrl + path, options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part) => (text += part));
        answer.on('error', () => done(0));
        answer.on('end', () => done(answer.statusCode, text));
      });

      asked.on('timeout', () => asked.destroy());
      asked.on('error', () => done(0));
      asked.end(JSON.stringify(json));
    });
  }

  // Once it may have ended; while it has not, that is a 409.
  async function regenerate(id) {
    const count = ledger.again.get(id) ?? { told: 0, unknown: 0 };
    ledger.again.set(id, count);
    const { status } = await send(`/api/lessons/${id}/regenerate`, {});

    if (status === 201) count.told++;
    else if (status !== 409) count.unknown++;
  }

  // Until it is told an id, or `isOver()`; now and then once more later.
  ledger.post = async (isOver) => {
    const tag = `tag-${name}-${++ledger.posted}`;
    const outline = `${tag} thinks ${between(random, ...think).toFixed(2)} s`;
    const isAgain = random() < again;

    for (;;) {
      const { status, text } = await send('/api/lessons', { outline }, { 'idempotency-key': tag });
      if (status === 201) {
        const { id } = JSON.parse(text).lesson;
        if (ledger.ids.has(tag) && ledger.ids.get(tag) !== id) ledger.mismatches.push(tag);
        ledger.ids.set(tag, id);
        if (isAgain) {
          await sleep(1000 * between(random, ...think) + AGAIN_MS);
          if (!isOver()) await regenerate(id);
        }
        return;
      }
      if (isOver()) return;
      await sleep(between(random, 50, 400));
    }
  };
  ledger.close = () => agent.destroy();
  return ledger;
}

// So many lessons in the making, until stop(), which gives the ledger. `think`: the seconds that a call takes, from
// and to. `most`: no more lessons than so many in all. `again`: which part of them is generated anew.
export function startClients(
  stack,
  { name, random, inFlight, think, most = Infinity, again = 0.05 },
) {
  const ledger = openLedger(stack, { name, random, think, again });
  const posting = new Set();
  let over = false;

  async function look() {
    while (!over) {
      const unfinished = Number(
        await stack.psql('SELECT count(*) FROM generation_jobs').catch(() => inFlight),
      );
      const room = Math.min(inFlight - unfinished - posting.size, BURST, most - ledger.posted);

      for (let i = 0; i < room; i++) {
        const one = ledger.post(() => over).finally(() => posting.delete(one));
        posting.add(one);
      }
      await sleep(LOOK_MS);
    }
    await Promise.all(posting);
  }
  const looking = look();

  return {
    ledger,
    async stop() {
      over = true;
      await looking;
      ledger.close();
      return ledger;
    },
  };
}
