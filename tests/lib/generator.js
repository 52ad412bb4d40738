// The generator of a running stack: its process, and what it makes of a request.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { until, whenDone } from './api.js';

export function generatorPid(stack) {
  const program = /^\S*\/lesson-generator$/; // and no multiwatch in front of it

  return stack.processes().find(({ command }) => program.test(command))?.pid;
}

// A number of /proc/PID/status, in kilobytes.
export function memory_kb(pid, what) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');

  return Number(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(status)[1]);
}

// Ends the process, and waits for the one that takes its place: a new epoch, and every breaker closed.
export async function restartGenerator(stack, signal = 'SIGTERM') {
  const epoch = () => stack.psql('SELECT max(epoch) FROM generation_workers');
  const before = Number(await epoch());

  // As if it were configured anew: what the breakers know is forgotten.
  await stack.psql('UPDATE provider_health SET fingerprint = NULL');
  process.kill(generatorPid(stack), signal);
  await until('a generator again', async () => Number(await epoch()) > before);
  await until(
    'fresh breakers',
    async () =>
      (await stack.psql(
        `SELECT bool_and(h.state = 'closed' AND h.updated_at >= w.started_at)
           FROM provider_health h, generation_workers w`,
      )) === 't',
  );
}

// A generator with other settings, which takes all jobs until stop(): the stack's own stands still. Afterwards the
// chain that GET /api/providers tells is still the other's.
export async function otherGenerator(stack, settings) {
  await stack.psql('UPDATE provider_health SET fingerprint = NULL'); // its breakers begin closed
  const own = generatorPid(stack);
  const environ = readFileSync(`/proc/${own}/environ`, 'utf8').split('\0').slice(0, -1);
  const env = Object.fromEntries(environ.map((entry) => entry.split(/=(.*)/s, 2)));
  const state = mkdtempSync(join(tmpdir(), 'generator-'));
  const log = openSync(join(stack.logDir, 'other-generator.log'), 'a');
  const other = spawn('setpriv', ['--pdeathsig', 'TERM', readlinkSync(`/proc/${own}/exe`)], {
    env: { ...env, STATE_DIR: state, GENERATOR_SLOT: 'other', ...settings },
    stdio: ['ignore', log, log],
  });
  const exit = once(other, 'exit');

  process.kill(own, 'SIGSTOP');
  return {
    async stop() {
      process.kill(own, 'SIGCONT');
      other.kill('SIGTERM');
      await exit;
      closeSync(log);
      rmSync(state, { recursive: true });
    },
  };
}

// Posts a request; gives the lesson as the answer has it.
export async function post(call, request) {
  const answer = await call('POST', '/api/lessons', { json: request });

  assert.equal(answer.status, 201, answer.text);
  return answer.body.lesson;
}

export async function traceOf(call, id) {
  const answer = await call('GET', `/api/traces/${id}`);

  assert.equal(answer.status, 200, answer.text);
  return answer.body.trace;
}

// Posts a request and waits for its end; gives the lesson, and its trace.
export async function generate(call, request) {
  const { id } = await post(call, request);
  const lesson = await whenDone(call, id);

  assert.equal(lesson.trace_ids.length, 1);
  return { lesson, trace: await traceOf(call, lesson.trace_ids[0]) };
}

// The first call of a lesson that is being generated, once it is under way; with its trace.
export async function underWay(call, { id, trace_ids }) {
  const trace = await until(`a call for lesson ${id}`, async () => {
    const told = await traceOf(call, trace_ids[0]);
    return told.llm_calls.at(-1)?.success === null && told;
  });

  return { trace, llmCall: trace.llm_calls.at(-1) };
}

// The decisions, each as one line: "fallback sample rate_limited".
export const story = (trace) =>
  trace.decisions.map(({ action, provider, reason }) =>
    [action, provider, reason].filter((word) => word !== null).join(' '),
  );

const known = (numbers) => numbers.filter((n) => n !== null && n !== undefined);
const sum = (numbers) => (numbers.length > 0 ? numbers.reduce((a, b) => a + b) : null);

// What holds for every trace that has ended, whatever happened.
export function assertTruthful(trace) {
  const calls = trace.llm_calls;
  const failed = calls.filter(({ success }) => !success);

  assert.equal(trace.llm_call_count, calls.length);
  assert.deepEqual(
    calls.map(({ attempt }) => attempt),
    calls.map((_, i) => i + 1),
  );
  assert.equal(new Set(calls.map(({ span_id }) => span_id)).size, calls.length);
  for (const one of calls) {
    assert.match(one.span_id, /^[0-9a-f]{16}$/);
    assert.equal(typeof one.success, 'boolean');
    assert.equal(one.error === null, one.success, 'who failed says why, who did not says nothing');
    assert.equal(one.error_class === null, one.success);
    assert.ok(one.request.prompt.includes(trace.request_data.outline));
    assert.ok(one.request.system.length > 100);
    assert.ok(one.request.max_tokens > 0);
    assert.ok(!('temperature' in one.request), 'none is sent');
    assert.ok(Date.parse(one.timestamp) >= Date.parse(trace.created_at) - 1);
  }
  assert.equal(trace.error_class, failed.at(-1)?.error_class ?? null);
  assert.equal(trace.last_error, failed.at(-1)?.error ?? null);
  assert.equal(trace.model, calls.at(-1)?.request.model ?? null);
  for (const kind of ['prompt_tokens', 'completion_tokens', 'total_tokens'])
    assert.equal(trace[kind], sum(known(calls.map(({ response }) => response?.usage?.[kind]))));
  const cost = sum(known(calls.map(({ cost_usd }) => cost_usd)));
  if (cost === null) assert.equal(trace.cost_usd, null);
  else assert.ok(Math.abs(trace.cost_usd - cost) < 1e-9, `${trace.cost_usd} is not ${cost}`);
  assert.ok(trace.total_duration_ms >= sum(known(calls.map(({ duration_ms }) => duration_ms))) - 5);
  assert.ok(Date.parse(trace.completed_at) >= Date.parse(trace.created_at));
}
