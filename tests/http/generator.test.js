// The generator on the built-in provider's faults: what a call is taken for, which call follows, when it ends, and
// what the trace says of it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { api, sleep, until, whenDone } from '../lib/api.js';
import {
  assertTruthful,
  generate,
  generatorPid,
  otherGenerator,
  post,
  restartGenerator,
  story,
  traceOf,
  underWay,
} from '../lib/generator.js';
import { startStack } from '../lib/stack.js';
import { freePort, startUpstream } from '../lib/upstream.js';

const KEY = 'sk-test-0123456789abcdefghijKLMN';

// What each fault model is taken for: class, HTTP status, and how often it is called before the next provider is.
const FAULTS = {
  'fail-400': ['invalid_request', 400, 1],
  'fail-401': ['auth', 401, 1],
  'fail-402': ['quota', 402, 1],
  'fail-403': ['auth', 403, 1],
  'fail-404': ['model_not_found', 404, 1],
  'fail-413': ['invalid_request', 413, 1],
  'fail-429-retry-after': ['rate_limited', 429, 1],
  'fail-quota': ['quota', 429, 1],
  'context-length': ['context_length', 400, 1],
  truncate: ['truncated', 200, 1],
  empty: ['empty', 200, 1],
  refuse: ['content_filtered', 200, 1],
  cut: ['truncated', 200, 1],
  huge: ['too_large', 200, 1],
  'fail-422': ['invalid_request', 422, 2],
  garbage: ['invalid_response', 200, 2],
  html: ['invalid_response', 200, 2],
  'fail-408': ['server_error', 408, 3],
  'fail-409': ['server_error', 409, 3],
  'fail-429': ['rate_limited', 429, 3],
  'fail-500': ['server_error', 500, 3],
  'fail-502': ['server_error', 502, 3],
  'fail-503': ['server_error', 503, 3],
  'fail-529': ['server_error', 529, 3],
  'flaky-100': ['server_error', 500, 3],
  drop: ['connection', null, 3],
};
const WITH_USAGE = ['truncate', 'empty', 'refuse']; // those that are an answer, and were paid
const LANES = ['openai', 'groq', 'qwen', 'huggingface']; // all speak the same protocol
const COUNTED = ['invalid_response', 'server_error', 'connection']; // by the breakers

// The decisions on a provider that fails `calls` times for one reason: try, then wait and retry.
const attempts = (provider, reason, calls) => [
  `try ${provider}`,
  ...Array.from({ length: calls - 1 }, () => [
    `wait ${provider} ${reason}`,
    `retry ${provider} ${reason}`,
  ]).flat(),
];

// Not before its time, and not long after it: other people use this machine, too.
function assertTook(ms, expected) {
  assert.ok(ms >= expected - 10 && ms < expected + 2000, `${ms} ms, not ${expected}`);
}

function chunks(list, size) {
  return list.length > 0 ? [list.slice(0, size), ...chunks(list.slice(size), size)] : [];
}

function assertFailedCall(llmCall, [reason, http], withUsage) {
  assert.equal(llmCall.success, false);
  assert.equal(llmCall.error_class, reason);
  assert.equal(llmCall.http_status, http);
  assert.ok(llmCall.error.length > 5 && llmCall.error.length <= 500, llmCall.error);
  assert.ok(llmCall.duration_ms >= 0);
  if (withUsage) {
    assert.ok(llmCall.response.usage.prompt_tokens > 0);
    assert.ok(llmCall.response.usage.completion_tokens >= 0);
  } else {
    assert.equal(llmCall.response, null, 'nothing came that could be read: nothing is made up');
  }
}

describe('every_fault', () => {
  let stack, upstream, call;

  before(async () => {
    upstream = await startUpstream({ seconds: 0 });
    const tlsPort = await freePort();
    stack = await startStack({
      env: {
        LLM_PROVIDERS: 'sample',
        OPENAI_API_KEY: KEY,
        OPENAI_BASE_URL: 'sample',
        GROQ_BASE_URL: 'sample',
        QWEN_BASE_URL: 'sample',
        HUGGINGFACE_BASE_URL: 'sample',
        OPENAI_MODEL: 'fail-404',
        GROQ_MODEL: 'fail-401',
        QWEN_MODEL: 'fail-quota',
        HUGGINGFACE_MODEL: 'fail-429-retry-after',
        ANTHROPIC_BASE_URL: 'http://127.0.0.1:1',
        TLS_PORT: tlsPort,
        GEMINI_BASE_URL: `https://127.0.0.1:${tlsPort}`,
        OLLAMA_HOST: `${upstream.url}/redirect`,
        DRAIN_SECONDS: 1,
        SAMPLE_PROCESSES: 4,
      },
    });
    call = api(stack);
  });

  after(() => Promise.all([stack?.stop(), upstream?.stop()]));

  describe('falls_back', () => {
    const told = new Map();
    const isCounted = (model) => COUNTED.includes(FAULTS[model][0]);
    const counted = Object.keys(FAULTS).filter(isCounted);
    const others = Object.keys(FAULTS).filter((model) => !isCounted(model));
    const laneOf = (model) =>
      LANES[(isCounted(model) ? counted : others).indexOf(model) % LANES.length];

    // Of what the breakers count, each provider gets one, and then the breakers are made anew.
    before(async () => {
      for (const round of [others, ...chunks(counted, LANES.length)]) {
        await restartGenerator(stack);
        await Promise.all(
          round.map(async (model) =>
            told.set(
              model,
              await generate(call, { outline: model, provider: laneOf(model), model }),
            ),
          ),
        );
      }
    });

    for (const [model, expected] of Object.entries(FAULTS)) {
      const [reason, , count] = expected;
      const provider = laneOf(model);

      test(`${model} is ${reason}, called ${count} times`, () => {
        const { lesson, trace } = told.get(model);

        assertTruthful(trace);
        assert.equal(lesson.status, 'generated');
        assert.equal(lesson.error_message, null);
        assert.equal(trace.status, 'completed');
        assert.equal(trace.provider_used, 'sample');
        assert.deepEqual(trace.fallback_providers, ['sample']);
        assert.deepEqual(
          trace.llm_calls.map((one) => one.provider),
          [...Array(count).fill(provider), 'sample'],
        );
        for (const one of trace.llm_calls.slice(0, -1)) {
          assertFailedCall(one, expected, WITH_USAGE.includes(model));
          assert.equal(one.request.model, model);
          assert.equal(one.cost_usd, null, 'no price is known: not free');
        }
        assert.deepEqual(story(trace), [
          ...attempts(provider, reason, count),
          `fallback sample ${reason}`,
        ]);
        for (const { action, wait_ms } of trace.decisions)
          assert.equal(action === 'wait', wait_ms !== null);
        assert.equal(trace.llm_calls.at(-1).response.content, lesson.content);
        assert.equal(trace.response_data.content, lesson.content);
      });
    }

    test('waits_grow', () => {
      const waits = told
        .get('fail-500')
        .trace.decisions.filter(({ action }) => action === 'wait')
        .map(({ wait_ms }) => wait_ms);

      assert.ok(waits[0] >= 400 && waits[0] <= 600, `${waits}`);
      assert.ok(waits[1] >= 800 && waits[1] <= 1200, `${waits}`);
    });
  });

  describe('has_nobody_to_fall_back_to', () => {
    const told = new Map();

    before(async () => {
      await restartGenerator(stack);
      await Promise.all(
        Object.keys(FAULTS).map(async (model) =>
          told.set(model, await generate(call, { outline: model, provider: 'sample', model })),
        ),
      );
    });

    for (const [model, expected] of Object.entries(FAULTS)) {
      // Nobody else is there to be asked: so the long wait that the provider asks for is not a reason to leave it.
      const count = model === 'fail-429-retry-after' ? 3 : expected[2];
      const [reason, http] = expected;

      test(`${model} alone ends in an error that says ${reason}`, () => {
        const { lesson, trace } = told.get(model);
        const one = `sample: ${reason}${http >= 400 ? ` (HTTP ${http})` : ''}`;
        const message = `every provider failed: ${Array(count).fill(one).join('; ')}`;

        assertTruthful(trace);
        assert.equal(lesson.status, 'error');
        assert.equal(lesson.content, null);
        assert.equal(lesson.error_message, message);
        assert.equal(trace.status, 'failed');
        assert.equal(trace.error_message, message);
        assert.equal(trace.provider_used, null);
        assert.deepEqual(trace.fallback_providers, []);
        assert.equal(trace.response_data, null);
        assert.equal(trace.llm_calls.length, count);
        for (const one of trace.llm_calls)
          assertFailedCall(one, expected, WITH_USAGE.includes(model));
        assert.deepEqual(story(trace), [
          ...attempts('sample', reason, count),
          'give_up every provider failed',
        ]);
        assert.equal(trace.prompt_tokens !== null, WITH_USAGE.includes(model));
      });
    }
  });

  describe('cannot_even_be_asked', { concurrency: true }, () => {
    before(() => restartGenerator(stack));

    test('a_refused_connection_is_retried_and_left', async () => {
      const { trace } = await generate(call, { outline: 'Nobody listens', provider: 'anthropic' });

      assertTruthful(trace);
      assert.equal(trace.provider_used, 'sample');
      assert.equal(trace.llm_calls.length, 4);
      assertFailedCall(trace.llm_calls[0], ['connection', null], false);
    });

    test('a_certificate_that_nobody_vouches_for_is_refused', async () => {
      const { trace } = await generate(call, { outline: 'Who are you?', provider: 'gemini' });

      assertTruthful(trace);
      assert.equal(trace.provider_used, 'sample');
      assertFailedCall(trace.llm_calls[0], ['connection', null], false);
      assert.match(trace.llm_calls[0].error, /certificate/i);
    });

    test('a_redirect_is_not_followed', async () => {
      const { trace } = await generate(call, { outline: 'Go there', provider: 'ollama' });

      assertTruthful(trace);
      assert.equal(trace.provider_used, 'sample');
      assertFailedCall(trace.llm_calls[0], ['invalid_response', 302], false);
      assert.deepEqual(
        upstream.calls().map(({ path, status }) => `${path} ${status}`),
        Array(2).fill('/redirect/api/chat 302'),
      );
    });
  });

  describe('one_by_one', () => {
    test('text_that_postgresql_cannot_hold_is_replaced_and_marked', async () => {
      const [bad, good] = await Promise.all([
        generate(call, { outline: 'Bad text', provider: 'openai', model: 'nul' }),
        generate(call, { outline: 'Its neighbour' }),
      ]);
      const { response } = bad.trace.llm_calls[0];

      assertTruthful(bad.trace);
      assert.equal(bad.lesson.status, 'generated');
      assert.equal(bad.trace.provider_used, 'openai');
      assert.match(bad.lesson.content, /A NUL: \u2400, and half a surrogate pair: \ufffd\./);
      assert.equal(response.content, bad.lesson.content);
      assert.ok(response.replaced_characters > 0);
      assert.equal(good.lesson.status, 'generated');
      assert.ok(!('replaced_characters' in good.trace.llm_calls[0].response));
    });

    test('usage_that_nobody_told_is_null', async () => {
      const { trace } = await generate(call, {
        outline: 'Who counts?',
        provider: 'openai',
        model: 'no-usage',
      });

      assertTruthful(trace);
      assert.equal(trace.status, 'completed');
      assert.equal(trace.llm_calls[0].response.usage, null);
      for (const key of ['prompt_tokens', 'completion_tokens', 'total_tokens', 'cost_usd'])
        assert.equal(trace[key], null, key);
      assert.equal(trace.llm_calls[0].cost_usd, null);
      assert.equal(trace.llm_calls[0].price_as_of, null);
    });

    test('garbage_is_quoted', async () => {
      const { trace } = await generate(call, {
        outline: 'Noise',
        provider: 'sample',
        model: 'garbage',
      });

      assert.match(trace.llm_calls[0].error, /oops, this is not JSON/);
    });

    test('a_running_generation_is_visible', async () => {
      const lesson = await post(call, {
        outline: 'See me think',
        provider: 'openai',
        model: 'slow-1500',
      });
      const { trace, llmCall } = await underWay(call, lesson);

      assert.equal(trace.status, 'started');
      assert.equal(trace.completed_at, null);
      assert.equal(trace.llm_calls.length, 1);
      assert.equal(trace.llm_call_count, 1);
      assert.equal(trace.model, 'slow-1500');
      assert.deepEqual(story(trace), ['try openai']);
      for (const key of [
        'success',
        'response',
        'duration_ms',
        'http_status',
        'error',
        'error_class',
      ])
        assert.equal(llmCall[key], null, key);
      assert.match(llmCall.request.prompt, /Outline: "See me think"/);
      assert.equal(llmCall.request.model, 'slow-1500');

      assert.equal((await whenDone(call, lesson.id)).status, 'generated');
      const ended = await traceOf(call, trace.id);
      assertTruthful(ended);
      assert.equal(ended.llm_calls.length, 1);
      assert.deepEqual(ended.llm_calls[0].request, llmCall.request, 'what was sent stays told');
      assert.equal(ended.llm_calls[0].span_id, llmCall.span_id);
      assertTook(ended.llm_calls[0].duration_ms, 1500);
      assertTook(ended.llm_calls[0].timing.ttfb_ms, 1500);
    });

    // What nginx has in its log for calls that the generator hung up on.
    const hungUp = () =>
      readFileSync(join(stack.logDir, 'access.log'), 'utf8')
        .split('\n')
        .filter((line) => line.includes('/sample/v1/') && line.includes('"status":499')).length;

    test('deleting_a_lesson_stops_its_call', async () => {
      const before = hungUp();
      const lesson = await post(call, {
        outline: 'Never mind',
        provider: 'openai',
        model: 'slow-9000',
      });
      const { trace } = await underWay(call, lesson);
      const begin = performance.now();

      assert.equal((await call('DELETE', `/api/lessons/${lesson.id}`)).status, 200);
      await until('nginx has seen it hang up', () => hungUp() === before + 1);
      assert.ok(performance.now() - begin < 2000, 'at once, not when the answer would have come');
      await sleep(200);
      assert.equal((await call('GET', `/api/lessons/${lesson.id}`)).status, 404);
      assert.equal((await call('GET', `/api/traces/${trace.id}`)).status, 404);
      assert.equal(
        await stack.psql(
          `SELECT id FROM lessons WHERE id = '${lesson.id}'
            UNION ALL SELECT id FROM lesson_traces WHERE lesson_id = '${lesson.id}'
            UNION ALL SELECT lesson_id FROM generation_jobs WHERE lesson_id = '${lesson.id}'`,
        ),
        '',
        'nothing came back',
      );
    });

    test('deleting_the_trace_of_a_running_lesson_lets_it_finish', async () => {
      const lesson = await post(call, {
        outline: 'Leave no trace',
        provider: 'openai',
        model: 'slow-1000',
      });
      const { trace } = await underWay(call, lesson);

      assert.equal((await call('DELETE', `/api/traces/${trace.id}`)).status, 200);
      const done = await whenDone(call, lesson.id);
      assert.equal(done.status, 'generated');
      assert.ok(done.content.length > 100);
      assert.deepEqual(done.trace_ids, []);
      assert.equal((await call('GET', `/api/traces/${trace.id}`)).status, 404);
    });

    test('a_stop_lets_calls_end_and_gives_the_rest_back', async () => {
      const [short, long] = await Promise.all([
        post(call, { outline: 'Almost there', provider: 'openai', model: 'slow-700' }),
        post(call, { outline: 'Not yet', provider: 'groq', model: 'slow-2500' }),
      ]);
      const { llmCall } = await underWay(call, long);
      await underWay(call, short);
      const pid = generatorPid(stack);

      process.kill(pid, 'SIGTERM');
      const stopped = await until('the long call is told as cancelled', async () => {
        const trace = await traceOf(call, long.trace_ids[0]);
        return trace.llm_calls[0].success === false && trace;
      });
      assert.equal(stopped.llm_calls[0].error_class, 'cancelled');
      assert.equal(stopped.llm_calls[0].span_id, llmCall.span_id);
      assertTook(stopped.llm_calls[0].duration_ms, 1000); // DRAIN_SECONDS
      assert.equal((await whenDone(call, short.id)).status, 'generated');
      assert.equal((await traceOf(call, short.trace_ids[0])).llm_calls.length, 1);

      await until('another process', () => ![undefined, pid].includes(generatorPid(stack)));
      assert.equal(
        await stack.psql(
          `SELECT interruptions FROM generation_jobs WHERE lesson_id = '${long.id}'`,
        ),
        '0',
        'a stop in good order is not charged',
      );
      assert.equal((await whenDone(call, long.id)).status, 'generated');
      const trace = await traceOf(call, long.trace_ids[0]);
      assertTruthful(trace);
      assert.deepEqual(
        trace.llm_calls.map(({ error_class, provider }) => [provider, error_class]),
        [
          ['groq', 'cancelled'],
          ['groq', null],
        ],
      );
      assert.deepEqual(story(trace), [
        'try groq',
        'retry groq the service was stopped',
        'try groq',
      ]);
      assert.equal(trace.provider_used, 'groq');
      assert.deepEqual(trace.fallback_providers, []);
    });

    // Keys, money and models do not heal in seconds: those providers are left alone.
    test('what_does_not_heal_is_left_alone', async () => {
      await restartGenerator(stack);
      const hold_s = { openai: 600, groq: 86400, qwen: 3600, huggingface: 30 };
      const reasons = {
        openai: 'model_not_found',
        groq: 'auth',
        qwen: 'quota',
        huggingface: 'rate_limited',
      };

      await Promise.all(
        LANES.map(async (provider) => {
          const { trace } = await generate(call, { outline: `Leave ${provider}`, provider });
          assert.equal(trace.provider_used, 'sample');
          assert.equal(trace.llm_calls[0].error_class, reasons[provider]);
          assert.equal(trace.llm_calls.length, 2);
        }),
      );
      const { providers } = await until('four open breakers', async () => {
        const { body } = await call('GET', '/api/providers');
        return body.providers.filter(({ state }) => state === 'open').length === 4 && body;
      });
      for (const { name, state, open_until, error_class } of providers) {
        const left_s = (Date.parse(open_until) - Date.now()) / 1000;

        assert.equal(state, LANES.includes(name) ? 'open' : 'closed');
        assert.equal(error_class, reasons[name] ?? null);
        if (name in hold_s)
          assert.ok(left_s > hold_s[name] - 20 && left_s <= hold_s[name], `${name}: ${left_s} s`);
      }

      const { trace } = await generate(call, { outline: 'Once more', provider: 'groq' });
      assert.deepEqual(story(trace), ['skip groq breaker open', 'try sample']);
      assert.equal(trace.provider_used, 'sample');
      assert.deepEqual(trace.fallback_providers, []);
    });
  });

  describe('has_its_limits', { concurrency: true }, () => {
    let other;

    before(async () => {
      other = await otherGenerator(stack, {
        HUGGINGFACE_BASE_URL: `${upstream.url}/stall`,
        OLLAMA_HOST: `${upstream.url}/silence`, // whose attempts may take longer than others'
        ATTEMPT_TIMEOUT_SECONDS: 2,
        IDLE_TIMEOUT_SECONDS: 1,
        GENERATION_TIMEOUT_SECONDS: 3,
        ATTEMPTS_MAX: 2,
      });
    });

    after(() => other?.stop());

    test('an_attempt_has_its_time', async () => {
      const { trace } = await generate(call, {
        outline: 'Hurry',
        provider: 'openai',
        model: 'slow-9000',
      });

      assertTruthful(trace);
      assert.equal(trace.provider_used, 'sample');
      assert.deepEqual(story(trace), ['try openai', 'fallback sample timeout']);
      assertFailedCall(trace.llm_calls[0], ['timeout', null], false);
      assertTook(trace.llm_calls[0].duration_ms, 2000);
    });

    test('an_answer_that_stops_coming_is_left', async () => {
      const { trace } = await generate(call, { outline: 'Hm', provider: 'huggingface' });

      assertTruthful(trace);
      assert.equal(trace.provider_used, 'sample');
      assertFailedCall(trace.llm_calls[0], ['timeout', 200], false);
      assert.match(trace.llm_calls[0].error, /stopped coming/);
      assertTook(trace.llm_calls[0].duration_ms, 1000);
    });

    test('a_generation_has_its_time', async () => {
      const { lesson, trace } = await generate(call, { outline: 'All in all', provider: 'ollama' });

      assertTruthful(trace);
      assert.equal(lesson.status, 'error');
      assert.deepEqual(story(trace), [
        'try ollama',
        'give_up the deadline of the generation passed',
      ]);
      assertFailedCall(trace.llm_calls[0], ['timeout', null], false);
      assertTook(trace.total_duration_ms, 3000);
      assert.equal(trace.error_message, 'the deadline of the generation passed: ollama: timeout');
    });

    test('a_generation_has_so_many_calls', async () => {
      const { lesson, trace } = await generate(call, {
        outline: 'Count me',
        provider: 'qwen',
        model: 'garbage',
      });

      assertTruthful(trace);
      assert.equal(lesson.status, 'error');
      assert.equal(trace.llm_calls.length, 2);
      assert.deepEqual(story(trace), [
        ...attempts('qwen', 'invalid_response', 2),
        'give_up the limit of calls for one generation is reached',
      ]);
      assert.match(
        trace.error_message,
        /^the limit of calls .* is reached: qwen: invalid_response/,
      );
      assert.equal(lesson.error_message, trace.error_message);
    });
  });

  test('without_a_provider_the_trace_says_so', async () => {
    const other = await otherGenerator(stack, {
      LLM_PROVIDERS: 'openai,anthropic',
      OPENAI_API_KEY: '',
      OPENAI_BASE_URL: '',
      ANTHROPIC_BASE_URL: '',
    });

    try {
      const { lesson, trace } = await generate(call, { outline: 'Anybody?' });

      assert.equal(lesson.status, 'error');
      assert.match(lesson.error_message, /^no provider of the chain is configured/);
      assert.equal(trace.status, 'failed');
      assert.equal(trace.error_message, lesson.error_message);
      assert.deepEqual(trace.llm_calls, []);
      assert.deepEqual(story(trace).slice(0, 2), [
        'skip openai not configured',
        'skip anthropic not configured',
      ]);
      assert.equal(trace.decisions.at(-1).action, 'give_up');
    } finally {
      await other.stop();
    }
  });
});

describe('a_chain_of_two', () => {
  let stack, call;

  before(async () => {
    stack = await startStack({
      env: {
        OPENAI_API_KEY: KEY,
        OPENAI_BASE_URL: 'sample',
        OPENAI_MODEL: 'fail-429',
        LLM_PROVIDERS: 'openai,sample',
        GROQ_API_KEY: KEY,
        GROQ_BASE_URL: 'sample',
        GROQ_MODEL: 'flaky-50',
      },
    });
    call = api(stack);
  });

  after(() => stack?.stop());

  const groq = async () =>
    (await call('GET', '/api/providers')).body.providers.find(({ name }) => name === 'groq');
  const left_s = ({ open_until }) => (Date.parse(open_until) - Date.now()) / 1000;

  // Half-open is what an open breaker becomes when its time is over, which is now.
  async function halfOpen() {
    await stack.psql(
      `UPDATE provider_health SET open_until = now() - interval '1 s' WHERE provider = 'groq'`,
    );
    await until('half-open', async () => (await groq()).state === 'half_open');
    await sleep(100); // for the process that was given the probe to know of it
  }

  test('a_rate_limited_provider_is_followed_by_the_next', async () => {
    const { lesson, trace } = await generate(call, { outline: 'Volcanoes' });
    const failed = trace.llm_calls.slice(0, -1);

    assertTruthful(trace);
    assert.equal(lesson.status, 'generated');
    assert.equal(trace.provider_used, 'sample');
    assert.deepEqual(trace.fallback_providers, ['sample']);
    assert.ok(failed.length > 0);
    for (const one of failed) {
      assert.equal(one.provider, 'openai');
      assert.equal(one.request.model, 'fail-429');
      assertFailedCall(one, ['rate_limited', 429], false);
    }
    assert.deepEqual(story(trace), [
      ...attempts('openai', 'rate_limited', 3),
      'fallback sample rate_limited',
    ]);
    const { response, request, cost_usd } = trace.llm_calls.at(-1);
    assert.equal(request.model, 'sample');
    assert.ok(response.usage.prompt_tokens > 0 && response.usage.completion_tokens > 0);
    assert.equal(cost_usd, 0, 'known to be free');
    const { providers } = (await call('GET', '/api/providers')).body;
    const openai = providers.find(({ name }) => name === 'openai');
    assert.equal(openai.state, 'closed', 'a rate is no fault of the provider');
  });

  test('the_provider_asked_for_goes_first_and_the_chain_follows', async () => {
    const { trace } = await generate(call, {
      outline: 'Me first',
      provider: 'sample',
      model: 'fail-401',
    });

    assertTruthful(trace);
    assert.deepEqual(story(trace), [
      'try sample',
      'fallback openai auth',
      ...attempts('openai', 'rate_limited', 3).slice(1),
      'give_up every provider failed',
    ]);
    assert.deepEqual(trace.fallback_providers, ['openai']);
    assert.deepEqual(
      trace.llm_calls.map(({ request }) => request.model),
      ['fail-401', 'fail-429', 'fail-429', 'fail-429'],
      'the model is for the provider asked for',
    );
    assert.match(
      trace.error_message,
      /sample: auth \(HTTP 401\); openai: rate_limited \(HTTP 429\)/,
    );
  });

  test('a_provider_that_is_not_configured_is_skipped', async () => {
    const { trace } = await generate(call, { outline: 'Not here', provider: 'anthropic' });

    assert.equal(story(trace)[0], 'skip anthropic not configured');
    assert.equal(story(trace)[1], 'try openai');
    assert.equal(trace.provider_used, 'sample');
    assert.deepEqual(trace.fallback_providers, ['sample']);
  });

  // groq fails for half of all prompts, and always for the same: an outline of the side that is wanted.
  const outlineThat = async (fails) => {
    const { request } = (await generate(call, { outline: 'A coin', provider: 'sample' })).trace
      .llm_calls[0];

    for (let i = 0; i < 64; i++) {
      const outline = `${fails ? 'Broken' : 'Whole'} ${i}`;
      const answer = await fetch(`${stack.baseUrl}/sample/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'flaky-50',
          messages: [
            { role: 'system', content: request.system },
            { role: 'user', content: request.prompt.replace('A coin', outline) },
          ],
        }),
      });

      if ((answer.status === 500) === fails) return outline;
    }
    assert.fail('no such outline');
  };

  test('three_failures_open_the_breaker', async () => {
    const { trace } = await generate(call, { outline: await outlineThat(true), provider: 'groq' });
    assert.deepEqual(story(trace).slice(0, 5), attempts('groq', 'server_error', 3));

    const health = await until('open', async () => {
      const now = await groq();
      return now.state === 'open' && now;
    });
    assert.equal(health.error_class, 'server_error');
    assert.ok(left_s(health) > 20 && left_s(health) <= 30, `${left_s(health)} s`);

    const { trace: next } = await generate(call, { outline: 'Who else?', provider: 'groq' });
    assertTruthful(next);
    assert.deepEqual(story(next).slice(0, 2), ['skip groq breaker open', 'try openai']);
    assert.equal(next.provider_used, 'sample');
  });

  test('a_probe_that_fails_opens_it_for_twice_as_long', async () => {
    await halfOpen();
    const { trace } = await generate(call, { outline: await outlineThat(true), provider: 'groq' });
    assert.deepEqual(story(trace).slice(0, 2), ['try groq', 'fallback openai server_error']);

    const health = await until('open again', async () => {
      const now = await groq();
      return now.state === 'open' && now;
    });
    assert.ok(left_s(health) > 50 && left_s(health) <= 60, `${left_s(health)} s`);
  });

  test('a_probe_that_succeeds_closes_it', async () => {
    await halfOpen();
    const { trace } = await generate(call, { outline: await outlineThat(false), provider: 'groq' });
    assert.equal(trace.provider_used, 'groq');
    await until('closed', async () => (await groq()).state === 'closed');
    assert.equal((await groq()).open_until, null);
  });

  test('a_model_that_a_request_names_takes_no_provider_from_others', async () => {
    for (const outline of ['One', 'Two'])
      await generate(call, { outline, provider: 'groq', model: 'fail-500' });
    assert.equal((await groq()).state, 'closed');
  });

  test('what_was_spent_before_a_crash_is_not_forgotten', async () => {
    const lesson = await post(call, { outline: 'Twice', provider: 'sample', model: 'truncate' });
    const second = async () => (await traceOf(call, lesson.trace_ids[0])).llm_calls[1];

    await until('the second provider has failed', async () => (await second())?.success === false);
    process.kill(generatorPid(stack), 'SIGKILL'); // while it waits to try again
    assert.equal((await whenDone(call, lesson.id)).status, 'error');

    const trace = await traceOf(call, lesson.trace_ids[0]);
    const cut = trace.llm_calls.filter(({ error_class }) => error_class === 'truncated');
    assert.equal(cut.length, 2, 'it began anew');
    assertTruthful(trace);
    assert.equal(
      trace.total_tokens,
      cut[0].response.usage.total_tokens + cut[1].response.usage.total_tokens,
    );
    assert.deepEqual(trace.fallback_providers, ['openai']);
    assert.ok(story(trace).includes('retry worker_lost'));
  });
});
