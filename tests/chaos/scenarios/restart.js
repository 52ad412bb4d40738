// Deploys under load: scripts/restart, and single processes that are told to stop. Nobody is refused, nothing is lost,
// and nobody is charged.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';

import { sleep, until } from '../../lib/api.js';
import { ROOT, startStack } from '../../lib/stack.js';
import { startUpstream } from '../../lib/upstream.js';
import { withAll } from '../lib/running.js';

const DRAIN_SECONDS = 1;
const QUICK_SECONDS = 0.3;
const SLOW_SECONDS = 2.5; // longer than a drain: cut off by each
const PAUSE_MS = 400; // between two restarts, at most
const ONE_RESTART_MS = 120_000;
const END_MS = 120_000;
const TIMEOUT_MS = 20_000; // of one request
const SHOWN = 20;

const ENV = {
  GENERATOR_PROCESSES: '2',
  DRAIN_SECONDS: String(DRAIN_SECONDS),
  LLM_PROVIDERS: 'openai,groq,sample',
  OPENAI_API_KEY: 'sk-test-quick',
  GROQ_API_KEY: 'sk-test-slow',
};
const REQUESTS = [
  { provider: 'openai' },
  { provider: 'openai' },
  { provider: 'openai' },
  { provider: 'groq' },
  { provider: 'groq' },
  { provider: 'sample', model: 'slow-300' },
];

// A job that is charged with the death of its process, or counted as interrupted: nobody died here.
const WATCH = `
  CREATE TABLE chaos_charged (lesson_id uuid, deaths integer, interruptions integer);
  CREATE FUNCTION chaos_charge() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
      INSERT INTO public.chaos_charged VALUES (NEW.lesson_id, NEW.deaths, NEW.interruptions);
      RETURN NULL;
  END $$;
  CREATE TRIGGER chaos_charge AFTER UPDATE ON generation_jobs FOR EACH ROW
      WHEN (NEW.deaths > OLD.deaths OR NEW.interruptions > OLD.interruptions)
      EXECUTE FUNCTION chaos_charge();`;

// From lessons, so that one without a trace counts.
const LESSONS = `
  SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT l.id, l.outline, l.status,
           (SELECT coalesce(json_agg(json_build_object('status', t.status, 'calls', t.llm_calls_told)), '[]')
              FROM (SELECT status,
                           (SELECT coalesce(json_agg(json_build_object('provider', c -> 'provider',
                                     'success', c -> 'success', 'class', c -> 'error_class')), '[]')
                              FROM jsonb_array_elements(llm_calls) AS c) AS llm_calls_told
                      FROM lesson_traces WHERE lesson_id = l.id) AS t) AS traces
      FROM lessons l WHERE l.outline LIKE 'tag-restart-%') r`;

const LEFT = `
  SELECT (SELECT count(*) FROM generation_jobs) + (SELECT count(*) FROM lesson_traces WHERE status = 'started')`;

// ---- the load ----

// Steady, over connections that are kept: posts, lists, single ones, and a look at /readyz.
function startLoad(stack, random) {
  const agents = ['user', 'admin'].map((who) => ({
    agent: new Agent({ keepAlive: true }),
    auth: `${stack[who].user}:${stack[who].password}`,
  }));
  const seen = { requests: 0, failed: [], ids: new Map(), slowest_ms: 0 };
  const last = [];
  let over = false;

  function ask(client, method, path, json) {
    return new Promise((resolve) => {
      const headers = json === undefined ? {} : { 'content-type': 'application/json' };
      const begin = performance.now();
      const done = (status, text) => {
        const ms = performance.now() - begin;
        seen.requests++;
        seen.slowest_ms = Math.max(seen.slowest_ms, ms);
        if (typeof status !== 'number' || status < 200 || status > 299)
          seen.failed.push(
            `${method} ${path}: ${status} after ${Math.round(ms)} ms ${text.slice(0, 200)}`,
          );
        resolve({ status, text });
      };
      const asked = request(
        stack.baseUrl + path,
        { method, headers, ...agents[client % 2], timeout: TIMEOUT_MS },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (part) => (text += part));
          answer
            .on('end', () => done(answer.statusCode, text))
            .on('error', (error) => done(error.code, ''));
        },
      );

      asked.on('timeout', () => asked.destroy(new Error('no answer')));
      asked.on('error', (error) => done(error.code ?? error.message, ''));
      asked.end(json === undefined ? undefined : JSON.stringify(json));
    });
  }

  let posted = 0;
  async function post(client) {
    const tag = `tag-restart-${++posted}`;
    const made = REQUESTS[Math.floor(random() * REQUESTS.length)];
    const { status, text } = await ask(client, 'POST', '/api/lessons', { outline: tag, ...made });

    if (status !== 201) return;
    const { id } = JSON.parse(text).lesson;
    seen.ids.set(tag, id);
    last[client % 2] = id;
  }
  const one = (client) =>
    ask(
      client,
      'GET',
      last[client % 2] ? `/api/lessons/${last[client % 2]}` : '/api/lessons?limit=1',
    );
  const WORK = [
    [2, 150, post],
    [2, 30, (client) => ask(client, 'GET', '/api/lessons?limit=20')],
    [2, 30, (client) => ask(client, 'GET', '/api/traces?view=summary&limit=20')],
    [2, 30, one],
    [1, 50, (client) => ask(client, 'GET', '/readyz')],
  ];

  async function work(client, pause_ms, act) {
    while (!over) {
      await act(client);
      await sleep(pause_ms * (0.5 + random()));
    }
  }
  const all = WORK.flatMap(([clients, pause_ms, act]) =>
    Array.from({ length: clients }, (_, client) => work(client, pause_ms, act)),
  );

  return {
    seen,
    async stop() {
      over = true;
      await Promise.all(all);
      for (const { agent } of agents) agent.destroy();
    },
  };
}

// ---- the faults ----

const pidsOf = (stack, program) =>
  stack
    .processes()
    .filter(({ command }) => program.test(command.split(' ')[0]))
    .map(({ pid }) => pid);
const RESPONDERS = /\/(traces|lessons|sample)\.fcgi$/;
const GENERATORS = /\/lesson-generator$/;

function restartAll(stack) {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env.PATH, RUN_DIR: stack.runDir };

    execFile(
      'scripts/restart',
      { cwd: ROOT, env, timeout: ONE_RESTART_MS },
      (error, stdout, stderr) =>
        error
          ? reject(new Error(`scripts/restart: ${stderr || error.message}\n${stdout}`))
          : resolve(),
    );
  });
}

const epochs = (stack) => stack.psql('SELECT sum(epoch) FROM generation_workers').then(Number);

async function stopOne(stack, program, random, isBack) {
  const before = pidsOf(stack, program);
  const pid = before[Math.floor(random() * before.length)];

  process.kill(pid, 'SIGTERM');
  await until(`another in the place of ${pid}`, async () => {
    const now = pidsOf(stack, program);
    return now.length === before.length && !now.includes(pid) && (await isBack());
  });
}

const FAULTS = [
  { name: 'rolling restarts', act: restartAll },
  {
    name: 'responders',
    act: (stack, random) => stopOne(stack, RESPONDERS, random, async () => true),
  },
  {
    name: 'generators',
    async act(stack, random) {
      const before = await epochs(stack);
      await stopOne(stack, GENERATORS, random, async () => (await epochs(stack)) > before);
    },
  },
];

// ---- the judgement ----

function judgeLesson({ status, traces }, say) {
  if (status !== 'generated') say(`status ${status}`);
  if (traces.length !== 1) say(`${traces.length} traces`);
  for (const trace of traces) {
    if (trace.status !== 'completed') say(`trace ${trace.status}`);
    if (trace.calls.at(-1)?.success !== true) say('its last call is no success');
    for (const { provider, success, class: why } of trace.calls)
      if (success !== true && why !== 'cancelled') say(`a call to ${provider}: ${success} ${why}`);
  }
}

async function judge(stack, upstreams, seen) {
  const violations = seen.failed.map((text) => `not served: ${text}`);
  const left = () => stack.psql(LEFT).then(Number);

  await until('all have ended', async () => (await left()) === 0, END_MS).catch((error) =>
    violations.push(error.message),
  );
  const lessons = JSON.parse(await stack.psql(LESSONS));
  const there = new Map(lessons.map((lesson) => [lesson.id, lesson]));
  const calls = lessons.flatMap(({ traces }) => traces.flatMap((trace) => trace.calls));
  const cut = calls.filter((one) => one.class === 'cancelled');

  for (const [tag, id] of seen.ids)
    if (there.get(id)?.outline !== tag) violations.push(`${tag}: acknowledged and lost`);
  if (lessons.length !== seen.ids.size)
    violations.push(`${lessons.length} lessons, ${seen.ids.size} acknowledged`);
  for (const lesson of lessons)
    judgeLesson(lesson, (what) => violations.push(`${lesson.outline} ${lesson.id}: ${what}`));
  const charged = Number(await stack.psql('SELECT count(*) FROM chaos_charged'));
  if (charged > 0) violations.push(`${charged} jobs charged or interrupted`);

  // A call that was cut off before it was on its way is told, too; none that came may be untold.
  for (const [provider, upstream] of Object.entries(upstreams)) {
    const told = calls.filter((one) => one.provider === provider).length;
    const came = upstream.calls().length;
    const gone = cut.filter((one) => one.provider === provider).length;

    if (came > told || came < told - gone)
      violations.push(`${provider}: ${came} calls came, ${told} are told`);
  }
  return { violations, lessons: lessons.length, calls: calls.length, cut: cut.length };
}

const crashes = (stack) =>
  readFileSync(`${stack.runDir}/run.log`, 'utf8')
    .split('\n')
    .filter((line) => / ended \(status |killed$/.test(line));

// What is called openai is quick, and what is called groq is slow.
const STARTS = {
  openai: () => startUpstream({ seconds: QUICK_SECONDS }),
  groq: () => startUpstream({ seconds: SLOW_SECONDS }),
  stack: ({ openai, groq }) =>
    startStack({
      env: { ...ENV, OPENAI_BASE_URL: `${openai.url}/v1`, GROQ_BASE_URL: `${groq.url}/v1` },
    }),
};

async function run({ count, random, note }) {
  return withAll(STARTS, async ({ stack, ...upstreams }) => {
    await until(
      'two generators',
      async () => (await stack.psql('SELECT count(*) FROM generation_workers')) === '2',
    );
    await stack.psql(WATCH);
    const load = startLoad(stack, random);
    const done = new Map(FAULTS.map(({ name }) => [name, 0]));

    try {
      await sleep(1000);
      for (let i = 0; i < count; i++) {
        const { name, act } = FAULTS[i % FAULTS.length];

        await act(stack, random);
        done.set(name, done.get(name) + 1);
        if (i % 10 === 9)
          note(
            `${i + 1} of ${count}: ${load.seen.requests} requests, ${load.seen.failed.length} failed`,
          );
        await sleep(PAUSE_MS * random());
      }
    } finally {
      await load.stop();
    }
    const { seen } = load;
    const { violations, ...found } = await judge(stack, upstreams, seen);
    violations.push(...crashes(stack));
    const kinds = [...done].map(([name, n]) => `${n} ${name}`).join(', ');

    return {
      figures:
        `${kinds}; ${seen.requests} requests, ${seen.failed.length} failed, the slowest ${Math.round(seen.slowest_ms)} ms; ` +
        `${found.lessons} lessons, ${found.calls} calls, ${found.cut} of them cut off and told as cancelled`,
      violations:
        violations.length > SHOWN
          ? [...violations.slice(0, SHOWN), `and ${violations.length - SHOWN} more`]
          : violations,
    };
  });
}

export default {
  name: 'restart',
  fault: 'SIGTERM and rolling restart under load',
  full: { count: 50, seconds: 120, least: 3 },
  run,
};
