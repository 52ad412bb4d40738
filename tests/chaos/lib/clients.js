// The clients of a stack under fault: they keep lessons in the making, and remember what they were told. That is one
// half of the ledger; the upstream's log is the other.

import { Agent, request } from 'node:http';

import { sleep } from '../../lib/api.js';
import { between } from './random.js';

const TIMEOUT_MS = 20_000; // of one request; the service answers within 2 s
const LOOK_MS = 100;
const BURST = 64;

// Posts as a client does that fears to lose its lesson: with a key, and again until it is told. Gives the ledger.
//
//   tag       in each outline: tag-NAME-N
//   ids       tag → the id that a 201 told
//   statuses  status → how often; 0: no answer
function openLedger(stack, name, random, think) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const auth = `${stack.user.user}:${stack.user.password}`;
  const ledger = { name, ids: new Map(), statuses: {}, posted: 0, mismatches: [] };

  function send(outline, key) {
    return new Promise((resolve) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': key };
      const options = { method: 'POST', agent, auth, headers, timeout: TIMEOUT_MS };
      const asked = request(`${stack.baseUrl}/api/lessons`, options, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part) => (text += part));
        answer.on('error', () => resolve({ status: 0 }));
        answer.on('end', () => resolve({ status: answer.statusCode, text }));
      });

      asked.on('timeout', () => asked.destroy());
      asked.on('error', () => resolve({ status: 0 }));
      asked.end(JSON.stringify({ outline }));
    });
  }

  // Until it is told an id, or `isOver()`.
  ledger.post = async (isOver = () => false) => {
    const tag = `tag-${name}-${++ledger.posted}`;
    const outline = `${tag} thinks ${between(random, ...think).toFixed(2)} s`;

    for (;;) {
      const { status, text } = await send(outline, tag);
      ledger.statuses[status] = (ledger.statuses[status] ?? 0) + 1;
      if (status === 201) {
        const { id } = JSON.parse(text).lesson;
        if (ledger.ids.has(tag) && ledger.ids.get(tag) !== id) ledger.mismatches.push(tag);
        ledger.ids.set(tag, id);
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
// and to. `most`: no more lessons than so many in all.
export function startClients(stack, { name, random, inFlight, think, most = Infinity }) {
  const ledger = openLedger(stack, name, random, think);
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
