// Provider calls by the thousand, to an upstream that thinks for a while and is none of ours: what the generator adds to
// them, what it takes meanwhile, and how fast it stores what comes.

import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { sleep, until } from '../../lib/api.js';
import { generatorPid } from '../../lib/generator.js';
import { crash } from '../../lib/postgres.js';
import { freePort, peak, startUpstream } from '../../lib/upstream.js';
import { pgbenchCalls } from '../pgbench.js';
import {
  buildC,
  cpu_s,
  listen,
  pss_kb,
  publicDirectory,
  startProcess,
  stackCpu_s,
  startProduct,
  watchMost,
} from '../product.js';
import { figure, median, percentile, target } from '../report.js';
import { load } from '../wrk.js';
import { believed, postLoad, withoutGenerator } from './read.js';

const run = promisify(execFile);
const BENCH = join(dirname(fileURLToPath(import.meta.url)), '..');
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';
const SOCKETS = 64;
const THINK_S = 2;
const LONG_S = 10;
const LOOK_MS = 200;
const WAITING = 500; // jobs, so that one is at hand whenever one has ended
const PATIENCE_MS = 180_000;

// ---- the parts ----

// A lesson's worth of words, in no order that a compressor would find: 6 KB.
function lessonText() {
  const words = readFileSync(join(BENCH, '../../README.md'), 'utf8').match(/[A-Za-z]{2,12}/g);
  const some = Array.from({ length: 1100 }, (_, i) => words[(i * 7919) % words.length]);

  return some.join(' ').slice(0, 6200);
}

async function certificate(dir) {
  const files = { certificate: join(dir, 'tls.crt'), key: join(dir, 'tls.key') };

  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '30', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', files.key, '-out', files.certificate],
  ]);
  return files;
}

// A stack whose only provider is the upstream, and whose generator's loop is watched.
export async function withStack({ tools, upstream, note }, { tls = false, inFlight = 5000 }, use) {
  const stack = await startProduct({
    env: {
      LLM_PROVIDERS: 'openai',
      OPENAI_BASE_URL: `${tls ? upstream.tlsUrl : upstream.url}/v1`,
      OPENAI_API_KEY: 'sk-test-bench',
      OPENAI_MODEL: 'slow',
      GENERATIONS_IN_FLIGHT_MAX: String(inFlight),
      LD_PRELOAD: tools.library,
      WATCH_FILE: tools.watchFile,
      ...(tls && { WATCH_AUTHORITIES: tools.authorities }),
    },
  });

  try {
    note(`   the product runs in ${stack.runDir}`);
    return await use(stack);
  } finally {
    await stack.stop();
  }
}

// The longest pauses of the loop since this was asked last: {wall_ms, cpu_ms}.
async function pauses(stack, { watchFile }) {
  const lines = () => readFileSync(watchFile, 'utf8').match(/^PAUSES .*$/gm) ?? [];
  const before = lines().length;

  process.kill(generatorPid(stack), 'SIGUSR2');
  await until('the loop tells of its pauses', () => lines().length > before);
  const [, wall_us, cpu_us] = lines().at(-1).split(' ').map(Number);
  return { wall_ms: wall_us / 1000, cpu_ms: cpu_us / 1000 };
}

// POSTs so many lessons, `rate` of them a second, evenly, whatever becomes of those before: the milliseconds of each.
async function post(stack, { count, rate, think_s }) {
  const agent = new Agent({ keepAlive: true, maxSockets: SOCKETS });
  const headers = (i) => ({
    authorization: stack.crowd[i % stack.crowd.length],
    'content-type': 'application/json',
  });
  const began = performance.now();
  const all = [];
  const one = (i) =>
    new Promise((resolve, reject) => {
      const at = performance.now();
      const asked = request(`${stack.baseUrl}/api/lessons`, {
        method: 'POST',
        agent,
        headers: headers(i),
      });

      asked.on('error', reject).on('response', (answer) => {
        let text = '';

        answer.setEncoding('utf8').on('data', (part) => (text += part));
        answer.on('end', () => {
          if (answer.statusCode === 201) resolve(performance.now() - at);
          else reject(new Error(`POST: ${answer.statusCode} ${text.slice(0, 200)}`));
        });
      });
      asked.end(JSON.stringify({ outline: `Bench ${i} thinks ${think_s} s` }));
    });

  while (all.length < count) {
    const due = Math.min(count, Math.ceil(((performance.now() - began) / 1000) * rate));
    while (all.length < due) {
      all.push(one(all.length));
      all.at(-1).catch(() => {}); // told below
    }
    await sleep(2);
  }
  const ms = await Promise.all(all);
  agent.destroy();
  return ms;
}

const unfinished = async (stack) =>
  Number(await stack.psql('SELECT count(*) FROM generation_jobs'));
const held = async (stack) =>
  Number(await stack.psql('SELECT count(*) FROM generation_jobs WHERE slot IS NOT NULL'));
const whenAllDone = (stack) =>
  until('everything generated', async () => (await unfinished(stack)) === 0, PATIENCE_MS);

// The calls of the traces that there are: {id, duration_ms, total_ms}. One that failed, or was made again, is an error.
async function callsOf(stack) {
  const rows = await stack.psql(
    `SELECT status, llm_call_count, llm_calls->0->'response'->>'id', llm_calls->0->>'duration_ms',
            total_duration_ms FROM lesson_traces WHERE request_data->>'outline' LIKE 'Bench %'`,
  );
  const calls = rows.split('\n').map((row) => {
    const [status, count, id, duration_ms, total_ms] = row.split('|');
    return { status, count, id, duration_ms: Number(duration_ms), total_ms: Number(total_ms) };
  });
  const bad = calls.filter(({ status, count }) => status !== 'completed' || count !== '1').length;

  if (bad > 0) throw new Error(`${bad} of ${calls.length} generations failed or called again`);
  return calls;
}

// ---- in flight ----

// What was added to the calls that began between two times, beside how late the upstream itself was.
async function overheadOf(stack, upstream, think_s, from_ms, to_ms) {
  const own = await callsOf(stack);
  const ids = new Set(own.map(({ id }) => id));
  const all = upstream.calls().filter(({ id }) => ids.has(id));
  const there = new Map(all.map((call) => [call.id, call]));
  const seen = own.filter(({ id }) => {
    const call = there.get(id);
    return call !== undefined && call.began_ms >= from_ms && call.began_ms < to_ms;
  });

  if (seen.length === 0) throw new Error('no call began meanwhile');
  return {
    count: seen.length,
    call: seen.map((one) => one.duration_ms - 1000 * think_s),
    generation: seen.map((one) => one.total_ms - 1000 * think_s),
    upstream: seen.map(({ id }) => {
      const { began_ms, ended_ms } = there.get(id);
      return ended_ms - began_ms - 1000 * think_s;
    }),
    peak: peak(all.filter((one) => one.ended_ms >= from_ms && one.began_ms < to_ms)),
  };
}

async function inFlight(context, { count, think_s, tls, burst }) {
  const { upstream, tools, quick, note } = context;
  const window_s = quick ? think_s + 1 : 3 * think_s;

  return withStack(context, { tls, inFlight: count }, async (stack) => {
    const pid = generatorPid(stack);
    await post(stack, { count: 20, rate: 100, think_s: 0.1 }); // to be warm
    await whenAllDone(stack);
    await stack.psql('DELETE FROM lessons');
    const idle_kb = pss_kb([pid]);

    let posting;
    if (burst) {
      process.kill(pid, 'SIGSTOP');
      await post(stack, { count, rate: Infinity, think_s });
    } else
      posting = post(stack, {
        count: Math.round((count / think_s) * (think_s + 1 + window_s)),
        rate: count / think_s,
        think_s,
      });
    await pausesAfterRamp(stack, tools, { burst, pid, ramp_s: think_s + 1 });
    const from_ms = Date.now() - (burst ? 100 : 0);
    const cpu = cpu_s(pid);
    const stackCpu = stackCpu_s(stack);
    const ownCpu = process.cpuUsage();
    const mostMemory = watchMost(() => pss_kb([pid]));
    await sleep(1000 * window_s);
    const to_ms = Date.now();
    const window_ms = to_ms - from_ms;
    const used = (1000 * (cpu_s(pid) - cpu)) / window_ms;
    const stackUsed_ms = 1000 * (stackCpu_s(stack) - stackCpu);
    const { user, system } = process.cpuUsage(ownCpu);
    const load = (user + system) / 1000 / window_ms;
    const paused = await pauses(stack, tools);
    const posts = await posting;
    await whenAllDone(stack);
    const most_kb = mostMemory();
    const seen = await overheadOf(stack, upstream, think_s, from_ms, to_ms);
    note(`   ${seen.count} calls, at most ${seen.peak} at a time`);
    const core_ms = stackUsed_ms / seen.count;
    return { ...seen, used, core_ms, load, paused, posts, memory_kb: most_kb - idle_kb, most_kb };
  });
}

// A burst has no ramp: it begins now.
async function pausesAfterRamp(stack, tools, { burst, pid, ramp_s }) {
  if (burst) process.kill(pid, 'SIGCONT');
  else await sleep(1000 * ramp_s);
  if (!burst) await pauses(stack, tools); // those before do not count
}

function flight(name, title, how) {
  return {
    name,
    title,
    async run(context) {
      const count = context.quick ? how.count / 10 : how.count;
      const rounds = [];

      for (let i = 0; i < context.rounds; i++)
        rounds.push(await inFlight(context, { ...how, count }));
      const of = (value) => rounds.map(value);
      const added = (p) => of((one) => percentile(one.call, p));
      const atMost = (what, values, most, unit, ever) =>
        target(title, what, values, { atMost: most, unit, ever });
      const spreadOf = (what, values) => [
        figure(
          `${what}, p50`,
          'ms',
          values.map((one) => percentile(one, 0.5)),
        ),
        figure(
          `${what}, p99`,
          'ms',
          values.map((one) => percentile(one, 0.99)),
        ),
      ];

      return {
        targets: [
          atMost('p50 added to a call', added(0.5), how.most.p50, 'ms'),
          atMost('p99 added to a call', added(0.99), how.most.p99, 'ms'),
          atMost(
            'CPU of the generator',
            of((one) => one.used),
            1,
            'cores',
          ),
          atMost(
            'memory of a generation (PSS)',
            of((one) => one.memory_kb / one.peak),
            50,
            'KB',
          ),
          ...(how.count >= 5000
            ? [
                atMost(
                  'memory in all (PSS)',
                  of((one) => one.most_kb / 1000),
                  350,
                  'MB',
                  true,
                ),
              ]
            : []),
          atMost(
            'longest pause of the loop',
            of((one) => one.paused.wall_ms),
            20,
            'ms',
            true,
          ),
        ],
        figures: [
          figure(
            'calls at a time',
            '',
            of((one) => one.peak),
          ),
          figure(
            'calls looked at',
            '',
            of((one) => one.count),
          ),
          figure(
            'added to a call, mean',
            'ms',
            of((one) => mean(one.call)),
          ),
          ...spreadOf(
            'the upstream itself was late',
            of((one) => one.upstream),
          ),
          ...spreadOf(
            'added to a generation, with queue, intent and storing',
            of((one) => one.generation),
          ),
          figure(
            'longest pause of the loop, its own CPU',
            'ms',
            of((one) => one.paused.cpu_ms),
          ),
          figure(
            'CPU of a generation',
            'core-ms',
            of((one) => one.core_ms),
            `nginx, programs and PostgreSQL together, ${how.burst ? 'without' : 'with'} its POST`,
          ),
          figure(
            'CPU of who posts',
            'cores',
            of((one) => one.load),
          ),
          ...(how.burst
            ? []
            : spreadOf(
                'POST meanwhile, paced',
                of((one) => one.posts),
              )),
        ],
      };
    },
  };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

// ---- POST, while generations are in flight ----

// What `ask` gives, again and again until stop(), which gives all of it: calls end together, so one look says little.
function lookAt(ask) {
  const seen = [];
  let over = false;
  const looking = (async () => {
    while (!over) {
      seen.push(await ask());
      await sleep(LOOK_MS);
    }
    return seen;
  })();

  return {
    stop() {
      over = true;
      return looking;
    },
  };
}

const postMeanwhile = {
  name: 'post',
  title: 'POST /api/lessons, committed, 8 clients',
  async run(context) {
    const { rounds, seconds, quick, note } = context;
    const count = quick ? 100 : 1000;

    return withStack(context, { inFlight: count }, async (stack) => {
      const seen = { idle: [], busy: [] };
      const more = ` that thinks ${LONG_S} s`;
      const measure = async (s, waiting) =>
        believed('POST', await postLoad(stack, { clients: 8, seconds: s, waiting, more }));

      await withoutGenerator(stack, () => measure(1)); // to be warm
      for (let round = 1; round <= rounds; round++) {
        seen.idle.push(await withoutGenerator(stack, () => measure(seconds)));
        await post(stack, { count, rate: 400, think_s: LONG_S });
        await until(
          `${count} in flight`,
          async () => (await held(stack)) >= 0.95 * count,
          PATIENCE_MS,
        );
        const looks = lookAt(() => held(stack));
        let usual;
        try {
          seen.busy.push(await measure(seconds, WAITING));
        } finally {
          usual = median(await looks.stop());
        }
        if (usual < 0.9 * count) throw new Error(`${usual} of ${count} were in flight`);
        await stack.psql("DELETE FROM lessons WHERE status = 'generating'");
        await whenAllDone(stack);
        note(
          `   round ${round} of ${rounds}: p99 ${seen.idle.at(-1).p99_ms}, ${seen.busy.at(-1).p99_ms} ms`,
        );
      }
      const of = (when, name) => seen[when].map((one) => one[name]);
      return {
        targets: [
          target(postMeanwhile.title, 'p50, nothing in flight', of('idle', 'p50_ms'), {
            atMost: 1.5,
            unit: 'ms',
          }),
          target(postMeanwhile.title, 'p99, nothing in flight', of('idle', 'p99_ms'), {
            atMost: 8,
            unit: 'ms',
          }),
          target(postMeanwhile.title, `p99, ${count} in flight`, of('busy', 'p99_ms'), {
            atMost: 25,
            unit: 'ms',
          }),
        ],
        figures: ['idle', 'busy'].flatMap((when) => [
          figure(`${when}: POST`, 'a second', of(when, 'rps')),
          figure(`${when}: p50`, 'ms', of(when, 'p50_ms')),
        ]),
      };
    });
  },
};

// ---- Portkey ----

const CHAT = JSON.stringify({
  model: 'slow',
  max_completion_tokens: 8192,
  messages: [
    { role: 'system', content: lessonText().slice(0, 900) },
    { role: 'user', content: lessonText().slice(900, 1600) },
  ],
});

const portkey = {
  name: 'portkey',
  title: "the same calls through Portkey's gateway",
  async run(context) {
    const { upstream, rounds, quick, note } = context;
    const clients = quick ? 100 : 1000;
    const port = await freePort();
    const seconds = quick ? 4 : 8;
    const gateway = startProcess(
      process.execPath,
      [join(BENCH, 'peers/portkey.js'), `--port=${port}`, '--headless'],
      {
        env: { NODE_ENV: 'production' },
      },
    );
    const headers = {
      'Content-Type': 'application/json',
      Authorization: 'Bearer sk-test-bench',
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${upstream.url}/v1`,
    };
    const measure = async (url, spread_ms) =>
      believed(
        url,
        await load(url, {
          post: '/v1/chat/completions',
          bodies: [CHAT],
          headers,
          clients,
          seconds,
          spread_ms,
        }),
      );
    const added = (one, name) => one[name] - 1000 * THINK_S;
    let most = 0;

    async function compare({ spread_ms, burst }, how) {
      const seen = { direct: [], gateway: [], own: [] };

      for (let round = 1; round <= rounds; round++) {
        seen.direct.push(await measure(upstream.url, spread_ms));
        const mostMemory = watchMost(() => pss_kb([gateway.pid]));
        seen.gateway.push(await measure(`http://127.0.0.1:${port}`, spread_ms));
        most = Math.max(most, mostMemory());
        seen.own.push(await inFlight(context, { count: clients, think_s: THINK_S, burst }));
        const told = added(seen.gateway.at(-1), 'p50_ms').toFixed(1);
        note(`   ${how}, round ${round} of ${rounds}: ${told} ms added`);
      }
      const own = (p) => seen.own.map((one) => percentile(one.call, p));
      const theirs = (who, name) => seen[who].map((one) => added(one, name));
      // Calls are told in whole milliseconds: none is less than half of one.
      const times = own(0.5).map((ms, i) => theirs('gateway', 'p50_ms')[i] / Math.max(ms, 0.5));

      return {
        times,
        figures: [
          figure(`${how}: added by Portkey, p50`, 'ms', theirs('gateway', 'p50_ms')),
          figure(`${how}: added by Portkey, p99`, 'ms', theirs('gateway', 'p99_ms')),
          figure(`${how}: added by us, p50`, 'ms', own(0.5)),
          figure(`${how}: added by us, p99`, 'ms', own(0.99)),
          figure(
            `${how}: added by us, with queue, intent and storing, p50`,
            'ms',
            seen.own.map((one) => percentile(one.generation, 0.5)),
          ),
          figure(`${how}: wrk and the upstream alone, p50`, 'ms', theirs('direct', 'p50_ms')),
          figure(`${how}: wrk and the upstream alone, p99`, 'ms', theirs('direct', 'p99_ms')),
        ],
      };
    }

    try {
      await until(
        'the gateway is there',
        async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => null))?.ok,
      );
      const idle_kb = pss_kb([gateway.pid]);
      const evenly = await compare({ spread_ms: 1000 * THINK_S, burst: false }, 'begun evenly');
      // Ours do not all begin at once: each waits until it is stored that it will.
      const atOnce = await compare({ spread_ms: 0, burst: true }, 'begun at once');

      return {
        targets: [
          target(`${clients} in flight`, 'p50 added by Portkey, × ours', evenly.times, {
            atLeast: 20,
          }),
        ],
        figures: [
          ...evenly.figures,
          ...atOnce.figures,
          figure(
            'memory of Portkey (PSS)',
            'MB',
            most / 1000,
            `before: ${Math.round(idle_kb / 1000)} MB`,
          ),
        ],
      };
    } finally {
      await gateway.stop();
    }
  },
};

// ---- storing ----

const LESSON = 'b0000000-0000-4000-8000-';
const TRACE = 'b0000000-0000-4000-9000-';
const FIRST = 100_000_000_000; // twelve digits
const CLIENTS = 8;

// So many lessons in flight, whose intents are stored, and which end when all have begun.
async function fly(stack, count) {
  const think_s = Math.ceil(count / 250) + 5;
  const begin = performance.now();
  const begun = async () =>
    Number(
      await stack.psql(
        "SELECT count(*) FROM lesson_traces WHERE status = 'started' AND llm_call_count = 1",
      ),
    );

  await stack.psql('DELETE FROM lessons');
  await post(stack, { count, rate: 400, think_s });
  await until(`${count} in flight`, async () => (await begun()) === count, PATIENCE_MS);
  return { left_ms: 1000 * think_s - (performance.now() - begin), think_s };
}

// PostgreSQL is stopped while calls are under way, and comes back when all have ended: what was spooled is stored, and
// nothing else goes on but `meanwhile`. PostgreSQL tells itself when each transaction was committed.
export async function replay(stack, count, meanwhile = async () => {}) {
  const { think_s } = await fly(stack, count);
  const start = await crash(stack);

  await sleep(1000 * think_s + 2000);
  await start();
  await Promise.all([whenAllDone(stack), meanwhile()]);
  const [stored, seconds] = (
    await stack.psql(
      `WITH committed AS (SELECT pg_xact_commit_timestamp(xmin) AS at FROM lesson_traces WHERE status = 'completed'),
            first AS (SELECT min(at) AS at, max(at) AS last, count(*) AS n FROM committed)
       SELECT f.n, (SELECT count(*) FROM committed c WHERE c.at > f.at) / extract(epoch FROM f.last - f.at) FROM first f`,
    )
  )
    .split('|')
    .map(Number);

  if (stored !== count) throw new Error(`${stored} stored of ${count}`);
  return seconds;
}

// The share of its time that the generator's backend computes, looked at for a second.
async function busyShare(stack) {
  const find = () =>
    stack.processes().find(({ command }) => /^postgres: lesson_worker/.test(command));
  const { pid } = await until('the backend is there', find);

  await sleep(300);
  const before = cpu_s(pid);
  const begin = performance.now();
  await sleep(1000);
  return (1000 * (cpu_s(pid) - before)) / (performance.now() - begin);
}

// The statement that ends a generation, as PostgreSQL was told it.
async function finishOf(stack) {
  const { statements } = await listen(stack, async () => {
    await post(stack, { count: 1, rate: 1, think_s: 0.5 });
    await whenAllDone(stack);
  });
  const finish = statements.find(({ name }) => name === 'job_finish');

  if (finish === undefined) throw new Error('no job_finish in the log');
  return { role: finish.role, calls: [finish], span: JSON.parse(finish.values[4]).span_id };
}

// pgbench does the same to jobs that a generator, which stands still, has in flight: each transaction ends one.
async function endByPgbench(stack, finish, count) {
  const pid = generatorPid(stack);
  const each = count / CLIENTS;

  await fly(stack, count);
  process.kill(pid, 'SIGSTOP');
  try {
    await stack.psql(
      `SET session_replication_role = replica;
       CREATE TEMP TABLE numbered AS
         SELECT lesson_id, trace_id, ${FIRST} + (n - 1) % ${CLIENTS} * 1000000 + (n - 1) / ${CLIENTS} + 1 AS i
           FROM (SELECT *, row_number() OVER () AS n FROM generation_jobs) j;
       UPDATE lessons l SET id = ('${LESSON}' || i)::uuid FROM numbered WHERE l.id = lesson_id;
       UPDATE lesson_traces t SET id = ('${TRACE}' || i)::uuid, lesson_id = ('${LESSON}' || i)::uuid,
              llm_calls = jsonb_set(llm_calls, '{0,span_id}', '"${finish.span}"')
         FROM numbered n WHERE t.id = n.trace_id;
       UPDATE generation_jobs j SET lesson_id = ('${LESSON}' || i)::uuid, trace_id = ('${TRACE}' || i)::uuid
         FROM numbered n WHERE j.lesson_id = n.lesson_id`,
    );
    await stack.psql('VACUUM ANALYZE');
    const { tps } = await pgbenchCalls(stack, finish, {
      clients: CLIENTS,
      each,
      before: `\\set n :n + 1\n\\set i ${FIRST} + :client_id * 1000000 + :n\n`,
      defines: ['-D', 'n=0'],
      vary: (_, n) => ({ 1: `('${LESSON}' || :i)`, 4: `('${TRACE}' || :i)` })[n],
    });
    const ended = await stack.psql("SELECT count(*) FROM lesson_traces WHERE status = 'completed'");
    if (Number(ended) !== count) throw new Error(`pgbench ended ${ended} of ${count}`);
    return tps;
  } finally {
    process.kill(pid, 'SIGCONT');
    await whenAllDone(stack);
  }
}

const store = {
  name: 'store',
  title: 'generations ended a second, through one connection',
  async run(context) {
    const { rounds, quick, note } = context;
    const count = quick ? 200 : 4000;

    return withStack(context, {}, async (stack) => {
      const seen = { product: [], pgbench: [], busy: [] };
      await stack.psql('ALTER SYSTEM SET track_commit_timestamp = on'); // from its next start on
      const finish = await finishOf(stack);

      for (let round = 1; round <= rounds; round++) {
        seen.product.push(
          await replay(stack, count, async () => {
            if (!quick) seen.busy.push(await busyShare(stack)); // so few are stored too soon
          }),
        );
        seen.pgbench.push(await endByPgbench(stack, finish, count));
        note(
          `   round ${round} of ${rounds}: product ${Math.round(seen.product.at(-1))}, ` +
            `pgbench ${Math.round(seen.pgbench.at(-1))}`,
        );
      }
      const sizes = finish.calls[0].values.map((value) => value?.length ?? 0);
      return {
        targets: [
          target(
            store.title,
            `× pgbench with ${CLIENTS} clients`,
            seen.product.map((one, i) => one / seen.pgbench[i]),
            { atLeast: 1.2 },
          ),
        ],
        figures: [
          figure(
            'product, one connection',
            'a second',
            seen.product,
            `${count} results, spooled while PostgreSQL was stopped`,
          ),
          figure(
            `pgbench, ${CLIENTS} clients`,
            'a second',
            seen.pgbench,
            'job_finish, as it was logged, each on a job of its own; by EXECUTE, its values in the text',
          ),
          ...(quick ? [] : [figure('its backend computes', 'of its time', seen.busy)]),
          figure(
            'values of the statement',
            'bytes',
            sizes.reduce((a, b) => a + b),
          ),
        ],
      };
    });
  },
};

const outage = {
  name: 'outage',
  title: 'PostgreSQL stopped while generations are in flight',
  async run(context) {
    const { tools, quick, rounds } = context;
    const count = quick ? 100 : 1000;

    return withStack(context, {}, async (stack) => {
      const pid = generatorPid(stack);
      const away = [];
      const back = [];

      for (let i = 0; i < rounds; i++) {
        const { think_s } = await fly(stack, count);
        await pauses(stack, tools);
        const start = await crash(stack);
        await sleep(1000 * think_s + 2000);
        away.push(await pauses(stack, tools));
        await start();
        await whenAllDone(stack);
        back.push(await pauses(stack, tools));
        await callsOf(stack);
      }
      if (generatorPid(stack) !== pid) throw new Error('the generator is another one');
      const longest = (when, seen) =>
        target(outage.title, `longest pause of the loop, ${when}`, wallOf(seen), {
          atMost: 20,
          unit: 'ms',
          ever: true,
        });
      const wallOf = (seen) => seen.map((one) => one.wall_ms);
      const cpuOf = (seen) => seen.map((one) => one.cpu_ms);
      return {
        targets: [longest('while it is away', away), longest('when it is back', back)],
        figures: [
          figure(
            'its own CPU in one round, away',
            'ms',
            cpuOf(away),
            `${count} answers came and were spooled`,
          ),
          figure('its own CPU in one round, back', 'ms', cpuOf(back)),
        ],
      };
    });
  },
};

const USUAL = { p50: 2, p99: 10 };
const MANY = { p50: 3, p99: 40 };

export default {
  title: 'Provider calls in flight',
  method: [
    'The upstream is an nginx with the echo module that answers 6 KB after 2 s (5,000 in flight: after 10 s, so that 500 begin a',
    'second; `burst`: after 2 s, all of them queued before). What is added to a call is `duration_ms` of its trace less that time,',
    'in whole milliseconds, whatever the upstream itself was late. Lessons come by POST, evenly. Pauses of the event loop are',
    'measured in the process (`watch.c`, by LD_PRELOAD): from the return of epoll_wait to its next call, by the wall clock, and by',
    'the CPU that the thread itself took. Memory is PSS, the most of it, less that of the generator before, by the calls at a',
    'time. TLS is HTTP/2 with verification. Stored a second: results that were spooled while PostgreSQL was stopped, by the',
    'times at which PostgreSQL committed them.',
  ].join('\n'),
  rows: [
    postMeanwhile,
    flight('plain-1000', '1,000 in flight, plain', { count: 1000, think_s: THINK_S, most: USUAL }),
    flight('plain-5000', '5,000 in flight, plain', { count: 5000, think_s: LONG_S, most: MANY }),
    flight('burst-5000', '5,000 begun at once, plain', {
      count: 5000,
      think_s: THINK_S,
      burst: true,
      most: MANY,
    }),
    flight('tls-1000', '1,000 in flight, TLS', {
      count: 1000,
      think_s: THINK_S,
      tls: true,
      most: USUAL,
    }),
    flight('tls-5000', '5,000 in flight, TLS', {
      count: 5000,
      think_s: LONG_S,
      tls: true,
      most: MANY,
    }),
    portkey,
    store,
    outage,
  ],

  async start({ quick }) {
    const { dir, remove } = publicDirectory();
    const tools = {
      library: join(dir, 'watch.so'),
      watchFile: join(dir, 'watch.log'),
      authorities: join(dir, 'authorities.crt'),
    };

    try {
      await buildC(join(BENCH, 'watch.c'), tools.library, '-shared', '-fPIC');
      writeFileSync(tools.watchFile, '');
      chmodSync(tools.watchFile, 0o666);
      const tls = await certificate(dir);
      writeFileSync(
        tools.authorities,
        readFileSync(AUTHORITIES, 'utf8') + readFileSync(tls.certificate, 'utf8'),
      );
      const upstream = await startUpstream({ seconds: THINK_S, text: lessonText(), tls });
      return {
        tools,
        upstream,
        seconds: quick ? 2 : 5,
        async stop() {
          await upstream.stop();
          remove();
        },
      };
    } catch (error) {
      remove();
      throw error;
    }
  },
};
