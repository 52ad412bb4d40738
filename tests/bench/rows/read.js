// Lists, traces by id and POSTs, round by round beside what else is possible on the same machine: PostgreSQL alone, FastCGI
// alone, and the peers.

import assert from 'node:assert/strict';
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sleep } from '../../lib/api.js';
import { generatorPid } from '../../lib/generator.js';
import { openSession } from '../../lib/session.js';
import { pgbench, pgbenchCalls } from '../pgbench.js';
import {
  addToNginx,
  basic,
  buildC,
  connection,
  countTraces,
  fill,
  pidsOf,
  processGroup,
  pss_kb,
  publicDirectory,
  segmentOf,
  startProcess,
  stackCpu_s,
  startProduct,
  watchMost,
  whenServed,
} from '../product.js';
import { figure, median, target } from '../report.js';
import { load } from '../wrk.js';

const BENCH = join(dirname(fileURLToPath(import.meta.url)), '..');
const CLIENTS = 8;
const FLOOR_PROCESSES = 4; // as many as there are responders of traces
const IDS = 20; // pgbench prepares each in each of its connections
const DRAIN_MS = 250;
const RESPONDERS = /\/(traces|lessons|sample)\.fcgi$/;
const FASTIFY = { fastify: 'idiomatic', 'fastify-pg': 'postgresql' };

// ---- what stands side by side ----

const WORK = {
  full: {
    path: '/api/traces?view=full&limit=50',
    peer: '/full?owner=user&limit=50',
    many: true,
  },
  summary: {
    path: '/api/traces?view=summary&limit=50',
    peer: '/summary?owner=user&limit=50',
    many: true,
  },
  'by-id': { path: '/api/traces/ID', peer: '/traces/ID', many: false },
};

// The whole of it: the floors' sizes are those of the product's answers.
async function startBeside(stack) {
  const { dir, remove } = publicDirectory();
  const started = [];
  const floors = {};
  const socketOf = (name) => join(dir, `${name}.sock`);

  await buildC(join(BENCH, 'floor.c'), join(dir, 'floor'), '-lfcgi');
  const ids = await someIds(stack);
  for (const [name, { path }] of Object.entries(WORK)) {
    const answer = await stack.fetch(path.replace('ID', ids[0]));
    floors[name] = Buffer.byteLength(await answer.text());
    const command = ['/usr/bin/multiwatch', '-f', FLOOR_PROCESSES, '--'];
    started.push(
      startProcess('spawn-fcgi', [
        ...['-n', '-b', '4096', '-s', socketOf(name), '-M', '0666', '--'],
        ...[...command, join(dir, 'floor'), floors[name]].map(String),
      ]),
    );
  }
  for (const [name, how] of Object.entries(FASTIFY))
    started.push(
      Object.assign(
        startProcess(process.execPath, [join(BENCH, 'peers/fastify.js'), socketOf(name), how], {
          env: { ...connection(stack, 'lesson_operator'), NODE_ENV: 'production' },
        }),
        { name },
      ),
    );
  await addToNginx(stack, {
    upstreams: Object.keys(FASTIFY)
      .map((name) => `upstream ${name} { server "unix:${socketOf(name)}"; keepalive 16; }`)
      .join('\n'),
    locations: [
      ...Object.keys(floors).map((name) => floorLocation(name, socketOf(name))),
      ...Object.keys(FASTIFY).map(peerLocation),
    ].join('\n'),
  });
  return {
    ids,
    pss_kb: (name) =>
      pss_kb(started.filter((one) => one.name === name).flatMap(({ pid }) => processGroup(pid))),
    async stop() {
      for (const one of started) await one.stop();
      remove();
    },
  };
}

const floorLocation = (name, socket) => `
    location = /bench/floor/${name} {
        fastcgi_pass "unix:${socket}";
        include snippets/fastcgi.conf;
        include snippets/headers-api.conf;
    }`;

const peerLocation = (name) => `
    location /bench/${name}/ {
        include snippets/auth-none.conf;
        proxy_pass http://${name}/;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_buffer_size 32k;
        proxy_buffers 16 64k;
    }`;

// Evenly from all of the user's.
export async function someIds(stack) {
  const ids = await stack.psql(
    `SELECT id FROM (SELECT id, row_number() OVER (ORDER BY created_at, id) AS n,
                            count(*) OVER () AS all FROM lesson_traces
                      WHERE owner = 'user' AND status = 'completed') t
      WHERE n % greatest(t.all / ${IDS}, 1) = 0 LIMIT ${IDS}`,
  );
  return ids.split('\n');
}

// The same traces, in the same order: else nothing is compared.
async function checkPeers(stack, work, ids) {
  const idsOf = (doc) => (doc.traces ?? [doc.trace]).map(({ id }) => id);
  const own = await (await stack.fetch(work.path.replace('ID', ids[0]))).json();

  for (const name of Object.keys(FASTIFY)) {
    const path = `/bench/${name}${work.peer.replace('ID', ids[0])}`;
    await whenServed(stack, path);
    const theirs = await (await stack.fetch(path)).json();
    assert.deepEqual(idsOf(theirs), idsOf(own), `${name} answers with other traces`);
  }
}

// What a load has seen, if it is to be believed.
export function believed(name, seen, size) {
  if (seen.errors > 0 || seen.requests === 0)
    throw new Error(`${name}: ${seen.errors} of ${seen.requests} requests failed`);
  if (size !== undefined && (seen.bytes < 0.9 * size || seen.bytes > 1.1 * size + 1000))
    throw new Error(`${name}: answers of ${Math.round(seen.bytes)} bytes, not ${size}`);
  return seen;
}

// ---- a work, side by side ----

async function contendersOf(name, { stack, beside, seconds }) {
  const work = WORK[name];
  const { ids } = beside;
  const pathsOf = (path) => (work.many ? [path] : ids.map((id) => path.replace('ID', id)));
  const segment = await segmentOf(stack, pathsOf(work.path)[0]);
  const size = Buffer.byteLength(segment.text);
  const headers = { Authorization: basic(stack.user) };
  const segments = work.many
    ? [segment]
    : ids.map((id) => ({
        ...segment,
        calls: segment.calls.map((one) => ({
          ...one,
          values: one.values.map((value) => (value === ids[0] ? id : value)),
        })),
      }));
  const http = (what, paths, bytes) => async (s) => {
    const before = stackCpu_s(stack);
    const seen = await load(stack.baseUrl, { paths, headers, clients: CLIENTS, seconds: s });

    // Of the stack alone; so it is told of the product only.
    seen.core_ms = (1000 * (stackCpu_s(stack) - before)) / seen.requests;
    return believed(what, seen, bytes);
  };

  return {
    segment,
    size,
    run: {
      product: http('product', pathsOf(work.path), work.many ? size : undefined),
      pgbench: async (s) => ({
        rps: (await pgbench(stack, segments, { clients: CLIENTS, seconds: s })).tps,
      }),
      floor: http('floor', [`/bench/floor/${name}`], size),
      fastify: http('fastify', pathsOf(`/bench/fastify${work.peer}`)),
      'fastify-pg': http('fastify-pg', pathsOf(`/bench/fastify-pg${work.peer}`)),
    },
    seconds,
  };
}

// Each in turn, round by round, so that what else the machine does befalls all; every second round goes the other way
// round, so that what one leaves behind does not always befall the same one.
async function interleave(run, { rounds, seconds, note }) {
  const seen = Object.fromEntries(Object.keys(run).map((name) => [name, []]));

  for (const measure of Object.values(run)) await measure(2); // to be warm
  for (let round = 1; round <= rounds; round++) {
    const turn = Object.entries(run);
    if (round % 2 === 0) turn.reverse();
    for (const [name, measure] of turn) seen[name].push(await measure(seconds));
    note(
      `   round ${round} of ${rounds}: ` +
        Object.entries(seen)
          .map(([name, all]) => `${name} ${Math.round(all.at(-1).rps)}`)
          .join(', '),
    );
  }
  return seen;
}

const each = (seen, name, value) => seen[name].map(value);
const ratio = (a, b) => a.map((value, i) => value / b[i]);

function sideBySide(name, title, wanted) {
  return {
    name: `list-${name}`.replace('list-by-id', 'by-id'),
    title,
    async run(context) {
      const { stack, beside, note } = context;
      await checkPeers(stack, WORK[name], beside.ids);
      const { run, size, segment } = await contendersOf(name, context);
      const stopWatching = watchMost(() => pss_kb(pidsOf(stack, RESPONDERS)));
      const seen = await interleave(run, context);
      const most = stopWatching();
      const rps = Object.fromEntries(
        Object.keys(seen).map((one) => [one, each(seen, one, (s) => s.rps)]),
      );
      const bound = rps.pgbench.map((tps, i) => 1 / (1 / tps + 1 / rps.floor[i]));

      note(
        `   the segment is ${segment.calls.map((one) => one.name).join(', ')} as ${segment.role}`,
      );
      return {
        targets: wanted.map(([what, against, atLeast]) =>
          target(title, what, ratio(rps.product, against === 'B' ? bound : rps[against]), {
            atLeast,
          }),
        ),
        figures: [
          figure('answer', 'bytes', size),
          ...Object.entries(rps).map(([one, values]) =>
            figure(
              one,
              'a second',
              values,
              one === 'pgbench'
                ? ''
                : `p50 ${median(each(seen, one, (s) => s.p50_ms)).toFixed(2)} ms, ` +
                    `p99 ${median(each(seen, one, (s) => s.p99_ms)).toFixed(2)} ms, wrk ` +
                    `${Math.round(100 * median(each(seen, one, (s) => s.cpu)))} % of a core`,
            ),
          ),
          figure('B', 'a second', bound),
          figure('product against pgbench', '×', ratio(rps.product, rps.pgbench)),
          figure(
            'CPU of an answer',
            'core-ms',
            each(seen, 'product', (one) => one.core_ms),
            'nginx, responder and PostgreSQL together',
          ),
          figure('memory of the responders (PSS)', 'MB', most / 1000),
          figure('memory of fastify (PSS)', 'MB', beside.pss_kb('fastify') / 1000),
        ],
      };
    },
  };
}

// ---- POST ----

const outlines = (count, more) =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      outline: `Bench ${i}: why the moon has phases, with an experiment to do at home and questions to talk about in pairs${more}`,
    }),
  );

// Lessons that nobody generates meanwhile: those of a POST stand in the queue, and are taken out of it.
export async function withoutGenerator(stack, act) {
  const pid = generatorPid(stack);

  process.kill(pid, 'SIGSTOP');
  try {
    return await act();
  } finally {
    await stack.psql("DELETE FROM lessons WHERE status = 'generating'");
    await stack.psql('VACUUM lessons, lesson_traces, generation_jobs, audit_log');
    process.kill(pid, 'SIGCONT');
  }
}

// The queue is kept at `waiting` jobs meanwhile: a POST counts those that wait, and in service there are never more than the
// limits let in, which are not what is measured. Their lessons stay, which cost more to delete than to make.
async function withQueueOf(stack, waiting, act) {
  const session = openSession(stack.databaseUrl);
  const drain = async () => {
    await session.run(
      `DELETE FROM generation_jobs WHERE lesson_id IN (SELECT lesson_id FROM generation_jobs
                                                        WHERE slot IS NULL
                                                        ORDER BY created_at OFFSET ${waiting})`,
    );
  };
  const timer = setInterval(() => drain().catch(() => {}), DRAIN_MS);

  try {
    return await act();
  } finally {
    clearInterval(timer);
    await session.end();
  }
}

// As many POSTs as the clients can. `more`: at the end of each outline.
export const postLoad = (stack, { clients, seconds, waiting = 0, more = '' }) =>
  withQueueOf(stack, waiting, () =>
    load(stack.baseUrl, {
      post: '/api/lessons',
      bodies: outlines(1024, more),
      crowd: stack.crowd,
      headers: { 'Content-Type': 'application/json' },
      clients,
      seconds,
    }),
  );

// The segment of a POST, for pgbench: lesson and trace are new ones each time.
async function postSegment(stack) {
  const segment = await segmentOf(stack, '/api/lessons', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: outlines(1, '')[0],
  });
  const wanted = ['set_identity', 'lesson_create'];

  return { ...segment, calls: segment.calls.filter(({ name }) => wanted.includes(name)) };
}
function newIds(name, n) {
  if (n === (name === 'set_identity' ? 1 : 2)) return "'teacher-' || :u";
  return name === 'lesson_create' && (n === 1 || n === 7) ? 'gen_random_uuid()::text' : undefined;
}
const SOMEONE = `\\set u random(0, 63)\n`;

// How long the disk takes to have a page of 8 KB: no commit is faster.
function fdatasync_ms(stack) {
  const path = join(stack.runDir, 'fdatasync.tmp');
  const fd = openSync(path, 'w');
  const page = Buffer.alloc(8192, 1);
  const seen = [];

  for (let i = 0; i < 50; i++) {
    const begin = performance.now();
    writeSync(fd, page, 0, page.length, 0);
    fdatasyncSync(fd);
    seen.push(performance.now() - begin);
  }
  closeSync(fd);
  unlinkSync(path);
  return median(seen);
}

// While commits do not wait for the disk: what is left is the product and PostgreSQL.
async function withoutDisk(stack, act) {
  const set = async (command) => {
    await stack.psql(command);
    await stack.psql('SELECT pg_reload_conf()');
    await sleep(500);
  };

  await set("ALTER SYSTEM SET synchronous_commit = 'off'");
  try {
    return await act();
  } finally {
    await set('ALTER SYSTEM RESET synchronous_commit');
  }
}

const post = {
  name: 'post',
  title: 'POST /api/lessons, committed, nothing in flight',
  async run({ stack, rounds, seconds, note }) {
    const segment = await postSegment(stack);
    const disk = [];
    const posts = async (s) =>
      believed(
        'POST',
        await withoutGenerator(stack, () => postLoad(stack, { clients: CLIENTS, seconds: s })),
      );
    const alone = (s) =>
      withoutGenerator(stack, () =>
        withQueueOf(stack, 0, async () => ({
          rps: (
            await pgbenchCalls(stack, segment, {
              clients: CLIENTS,
              seconds: s,
              vary: newIds,
              before: SOMEONE,
            })
          ).tps,
        })),
      );
    const run = {
      async post(s) {
        if ((await stack.psql('SHOW synchronous_commit')) !== 'on')
          throw new Error('commits do not wait for the disk here');
        disk.push(fdatasync_ms(stack));
        return posts(s);
      },
      pgbench: alone,
      'post without disk': (s) => withoutDisk(stack, () => posts(s)),
      'pgbench without disk': (s) => withoutDisk(stack, () => alone(s)),
    };
    const seen = await interleave(run, { rounds, seconds, note });
    const of = (name, value) => each(seen, name, (one) => one[value]);
    const meanOf = (name) => of(name, 'rps').map((rps) => (1000 * CLIENTS) / rps);

    return {
      targets: [
        target(post.title, `p50 at ${CLIENTS} clients`, of('post', 'p50_ms'), {
          atMost: 1.5,
          unit: 'ms',
        }),
        target(post.title, `p99 at ${CLIENTS} clients`, of('post', 'p99_ms'), {
          atMost: 8,
          unit: 'ms',
        }),
      ],
      figures: [
        figure('POST', 'a second', of('post', 'rps'), '4 responders: so many commits at a time'),
        figure(
          'pgbench, mean',
          'ms',
          meanOf('pgbench'),
          'the segment alone: what PostgreSQL takes',
        ),
        figure('POST against pgbench', '×', ratio(of('post', 'rps'), of('pgbench', 'rps'))),
        figure('fdatasync of 8 KB on this disk', 'ms', disk, 'a commit takes at least one'),
        figure('POST, p50, commits not waiting for it', 'ms', of('post without disk', 'p50_ms')),
        figure('POST, p99, commits not waiting for it', 'ms', of('post without disk', 'p99_ms')),
        figure('pgbench, mean, commits not waiting for it', 'ms', meanOf('pgbench without disk')),
        figure('CPU of wrk', 'cores', of('post', 'cpu')),
      ],
    };
  },
};

// ---- memory ----

const memory = {
  name: 'memory',
  title: 'responders under load (PSS), all of them',
  async run({ stack, seconds, beside }) {
    const headers = { Authorization: basic(stack.user) };
    const stopWatching = watchMost(() => pss_kb(pidsOf(stack, RESPONDERS)));
    const idle = pss_kb(pidsOf(stack, RESPONDERS));

    for (const { path, many } of Object.values(WORK)) {
      const paths = many ? [path] : beside.ids.map((id) => path.replace('ID', id));
      believed(path, await load(stack.baseUrl, { paths, headers, clients: 32, seconds }));
    }
    await withoutGenerator(stack, async () =>
      believed('POST', await postLoad(stack, { clients: 32, seconds })),
    );
    const most = stopWatching();
    return {
      targets: [target(memory.title, 'at most', most / 1000, { atMost: 40, unit: 'MB' })],
      figures: [
        figure('before', 'MB', idle / 1000),
        figure('processes', '', pidsOf(stack, RESPONDERS).length),
      ],
    };
  },
};

export default {
  title: 'Lists, traces by id and POSTs',
  method: [
    'A round runs each contender in turn, for some seconds, with 8 clients; the rounds interleave them, every second one the',
    'other way round. Ratios are taken within a round; the median counts, the spread is from the least to the most. All of it',
    'shares the cores: wrk, nginx, programs and PostgreSQL. pgbench runs the statements that PostgreSQL logged',
    '(`log_statement`) while the responder answered that very request: identity, row security, SQL, as one pipeline,',
    'prepared, as the same role. The floor is a responder of libfcgi that answers so many bytes, behind the same nginx, in',
    'the same server. B = 1/(1/pgbench + 1/floor). Fastify runs two processes behind the same nginx, and is spared passwords,',
    'identity and row security. For POSTs pgbench gets its new ids by EXECUTE of a prepared statement, values in the text of',
    'the query; a POST announces the lesson, too.',
  ].join('\n'),
  rows: [
    sideBySide('full', 'list of 50, full rows', [
      ['of B', 'B', 0.85],
      ['× Fastify', 'fastify', 2.3],
    ]),
    sideBySide('summary', 'list of 50, summary', [
      ['of B', 'B', 0.7],
      ['× Fastify', 'fastify', 1.9],
      ['× Fastify, JSON by PostgreSQL', 'fastify-pg', 1.2],
    ]),
    sideBySide('by-id', 'trace by id', [
      ['of B', 'B', 0.9],
      ['× Fastify', 'fastify', 1.7],
    ]),
    post,
    memory,
  ],

  async start({ quick, runDir, note }) {
    const wanted = quick ? 5000 : 100_000;
    const stack = await startProduct({ runDir });

    try {
      await stack.psql('ALTER SYSTEM RESET synchronous_commit'); // of a run that was broken off
      await stack.psql('SELECT pg_reload_conf()');
      note(`the product runs in ${stack.runDir}`);
      if ((await countTraces(stack)) < wanted) await fill(stack, { count: wanted }, note);
      const about = [await sizesOf(stack)];
      note(about[0]);
      const beside = await startBeside(stack);
      return {
        stack,
        beside,
        about,
        seconds: quick ? 2 : 5,
        async stop() {
          await beside.stop();
          await stack.stop({ keep: runDir !== undefined });
        },
      };
    } catch (error) {
      await stack.stop({ keep: runDir !== undefined });
      throw error;
    }
  },
};

// What a trace has in it, so that it can be seen whether it is believable.
const sizesOf = (stack) =>
  stack.psql(
    `SELECT format('%s traces, request %s B, response %s B, %s calls of %s B; %s on disk, %s B a trace, and %s B a lesson, of %s B of text',
                   count(*), round(avg(octet_length(request_data::text))),
                   round(avg(octet_length(response_data::text))), round(avg(llm_call_count), 2),
                   round(avg(octet_length(llm_calls::text) / greatest(llm_call_count, 1))),
                   pg_size_pretty(pg_total_relation_size('lesson_traces')),
                   pg_total_relation_size('lesson_traces') / count(*),
                   (SELECT pg_total_relation_size('lessons') / count(*) FROM lessons),
                   (SELECT round(avg(octet_length(outline) + octet_length(content))) FROM lessons))
       FROM lesson_traces`,
  );
