// Each provider through the real program, against doubles of the providers' APIs: what is sent, what the trace says of
// the answer, what an error is taken for, and that a key is nowhere but in its header.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { startDouble } from '../lib/aimock.js';
import { api } from '../lib/api.js';
import { assertTruthful, generate, story } from '../lib/generator.js';
import { ROOT, startStack } from '../lib/stack.js';

const data = (name) =>
  JSON.parse(readFileSync(join(ROOT, 'fcgi/lessons/generator/llm', `${name}.json`), 'utf8'));
const DATA = data('providers');
const PRICES = data('prices');
const MAX_TOKENS = 8192;

// With characters that base64 and URLs spell differently.
const key = (provider) => `${provider}+key/4f${provider.length}?~9Zq=`;

// How each is configured, and what of it its double must see. Those without `usage` report what they were told to;
// ollama's double always says 0.
const PROVIDERS = {
  openai: {
    env: (url) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key('openai') }),
    path: '/v1/chat/completions',
    auth: 'authorization',
    finish: 'stop',
    hasRequestId: true,
  },
  anthropic: {
    env: (url) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key('anthropic') }),
    path: '/v1/messages',
    auth: 'x-api-key',
    finish: 'end_turn',
  },
  groq: {
    env: (url) => ({ GROQ_BASE_URL: `${url}/openai/v1`, GROQ_API_KEY: key('groq') }),
    path: '/openai/v1/chat/completions',
    auth: 'authorization',
    finish: 'stop',
    hasRequestId: true,
  },
  gemini: {
    env: (url) => ({ GEMINI_BASE_URL: url, GEMINI_API_KEY: key('gemini') }),
    path: `/v1beta/models/${DATA.gemini.model}:generateContent`,
    auth: 'x-goog-api-key',
    finish: 'STOP',
  },
  huggingface: {
    env: (url) => ({ HUGGINGFACE_BASE_URL: `${url}/v1`, HF_TOKEN: key('huggingface') }),
    path: '/v1/chat/completions',
    auth: 'authorization',
    finish: 'stop',
    hasRequestId: true,
  },
  ollama: {
    env: (url) => ({ OLLAMA_HOST: url }),
    path: '/api/chat',
    auth: null,
    finish: 'stop',
    usage: [0, 0, 0],
  },
  qwen: {
    env: (url) => ({
      QWEN_BASE_URL: `${url}/compatible-mode/v1`,
      DASHSCOPE_API_KEY: key('qwen'),
    }),
    path: '/compatible-mode/v1/chat/completions',
    auth: 'authorization',
    finish: 'stop',
    hasRequestId: true,
  },
};
const NAMES = Object.keys(PROVIDERS);
const CHAT_PROTOCOL = ['openai', 'groq', 'huggingface', 'qwen']; // OpenAI's, whose body the journal has as it came
const KEYED = NAMES.filter((name) => PROVIDERS[name].auth !== null);
const AUTH_HEADERS = ['authorization', 'x-api-key', 'x-goog-api-key', 'api-key', 'cookie'];

// Errors as each provider words them: what is answered, and what it is taken for. A failure that passes is answered
// once and then the lesson; after the others sample must be next.
const refusal = (status, type, message, more = {}) => ({
  status,
  error: { message, type, ...more },
});
const waitLong = { retryAfter: 7 }; // too long, with another provider at hand
// prettier-ignore
const ERRORS = {
  openai: [
    ['auth', refusal(401, 'invalid_request_error', 'Incorrect API key', { code: 'invalid_api_key' })],
    ['rate_limited', { ...refusal(429, 'requests', 'Rate limit', { code: 'rate_limit_exceeded' }), ...waitLong }],
    ['quota', refusal(429, 'insufficient_quota', 'Quota exceeded', { code: 'insufficient_quota' })],
    ['model_not_found', refusal(404, 'invalid_request_error', 'No such model', { code: 'model_not_found' })],
    ['context_length', refusal(400, 'invalid_request_error', 'Too long', { code: 'context_length_exceeded' })],
    ['invalid_request', refusal(400, 'invalid_request_error', 'Unsupported', { code: 'unsupported_parameter' })],
    ['server_error', refusal(500, 'server_error', 'The server had an error'), 'passes'],
  ],
  anthropic: [
    ['auth', refusal(401, 'authentication_error', 'invalid x-api-key')],
    ['rate_limited', { ...refusal(429, 'rate_limit_error', 'Number of requests'), ...waitLong }],
    ['rate_limited', { ...refusal(429, 'rate_limit_error', 'Just a second'), retryAfter: 1 }, 'passes'],
    ['quota', refusal(400, 'invalid_request_error', 'Your credit balance is too low')],
    ['model_not_found', refusal(404, 'not_found_error', 'model: claude-x')],
    ['context_length', refusal(400, 'invalid_request_error', 'prompt is too long: 210000 tokens')],
    ['server_error', refusal(529, 'overloaded_error', 'Overloaded'), 'passes'],
  ],
  groq: [
    ['auth', refusal(401, 'invalid_request_error', 'Invalid API Key', { code: 'invalid_api_key' })],
    ['rate_limited', { ...refusal(429, 'tokens', 'Rate limit', { code: 'rate_limit_exceeded' }), ...waitLong }],
    ['model_not_found', refusal(400, 'invalid_request_error', 'Gone', { code: 'model_decommissioned' })],
    ['rate_limited', refusal(498, 'capacity', 'Flex is full', { code: 'capacity_exceeded' }), 'passes'],
    ['invalid_request', refusal(422, 'invalid_request_error', 'Semantics'), 'passes'],
    ['server_error', refusal(503, 'internal_server_error', 'Unavailable'), 'passes'],
  ],
  gemini: [
    ['auth', refusal(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.')],
    ['auth', refusal(403, 'PERMISSION_DENIED', 'Not yours')],
    ['rate_limited', { ...refusal(429, 'RESOURCE_EXHAUSTED', 'Per minute'), ...waitLong }],
    ['quota', refusal(400, 'FAILED_PRECONDITION', 'User location is not supported')],
    ['model_not_found', refusal(404, 'NOT_FOUND', 'models/x is not found')],
    ['server_error', refusal(503, 'UNAVAILABLE', 'The model is overloaded.'), 'passes'],
  ],
  huggingface: [
    ['auth', refusal(401, 'auth', 'Invalid username or password.')],
    ['quota', refusal(402, 'billing', 'You have exceeded your monthly included credits')],
    ['rate_limited', { ...refusal(429, 'rate', 'Too many requests'), ...waitLong }],
    ['model_not_found', refusal(400, 'x', 'm is not supported by any provider you have enabled')],
    ['server_error', refusal(504, 'x', 'Gateway timeout'), 'passes'],
  ],
  ollama: [
    ['model_not_found', refusal(404, 'api_error', 'model "gemma4" not found, try pulling it first')],
    ['server_error', refusal(503, 'api_error', 'server busy, please try again'), 'passes'],
  ],
  qwen: [
    ['auth', refusal(401, 'invalid_request_error', 'Incorrect', { code: 'invalid_api_key' })],
    ['rate_limited', { ...refusal(429, 'x', 'Requests', { code: 'Throttling.RateQuota' }), ...waitLong }],
    ['quota', refusal(400, 'Arrearage', 'Access denied', { code: 'Arrearage' })],
    ['content_filtered', refusal(400, 'x', 'Inappropriate', { code: 'data_inspection_failed' })],
    ['server_error', refusal(500, 'InternalError', 'Algo', { code: 'InternalError' }), 'passes'],
  ],
};
const CASES = Object.entries(ERRORS).flatMap(([provider, errors]) =>
  errors.map(([reason, answer, passes]) => ({
    provider,
    reason,
    answer,
    passes: passes !== undefined,
    outline: `${provider} ${answer.status} ${reason}: ${answer.error.message}`,
  })),
);

const OUTLINE = 'The water cycle, "from" sea to cloud — для всех';
const CONTENT = '# The water cycle\n\n## Sea\n\nIt is *wet*.\n\n## Cloud\n\nUp there.\n';
const USAGE = { prompt_tokens: 321, completion_tokens: 654, total_tokens: 975 };
const LESSON = { content: CONTENT, usage: USAGE };

// What a key looks like where it has been encoded on the way; not `whole`: the digits that tell of nothing else.
function forms(secret, { whole = false } = {}) {
  const encoded = [0, 1, 2].map((skip) => {
    const text = Buffer.from(' '.repeat(skip) + secret).toString('base64');
    const [first, last] = [Math.ceil((skip * 8) / 6), Math.floor(((skip + secret.length) * 8) / 6)];
    return whole ? text : text.slice(first, last);
  });

  return [
    secret,
    encodeURIComponent(secret),
    ...encoded,
    ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    Buffer.from(secret).toString('hex'),
  ];
}

let stack, call, keyed, open;

before(async () => {
  keyed = await startDouble({ keys: KEYED.map(key) });
  open = await startDouble();
  stack = await startStack({
    env: Object.assign(
      { LLM_PROVIDERS: 'sample' },
      ...NAMES.map((name) => PROVIDERS[name].env(doubleOf(name).url)),
    ),
  });
  call = api(stack);
});

after(() => Promise.all([stack?.stop(), keyed?.stop(), open?.stop()]));

const doubleOf = (provider) => (PROVIDERS[provider].auth === null ? open : keyed);

function price(provider, model) {
  const found = PRICES.prices.find(
    (row) =>
      row.provider === provider &&
      new RegExp(`^${row.model.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(model),
  );
  return found ?? null;
}

describe('a_lesson_from', { concurrency: true }, () => {
  for (const provider of NAMES)
    test(provider, async () => {
      const { path, auth, finish, hasRequestId, usage } = PROVIDERS[provider];
      const { model, max_tokens_name } = DATA[provider];
      const double = doubleOf(provider);
      const outline = `${OUTLINE} (${provider})`;

      double.on({ userMessage: outline }, LESSON);
      const { lesson, trace } = await generate(call, { outline, provider, gradeLevel: '5' });
      const [llmCall] = trace.llm_calls;
      const journal = double.journal(outline);
      const [{ method, path: asked, headers, body }] = journal;

      // What was sent. A double with keys refuses all that do not carry theirs.
      assert.equal(journal.length, 1);
      assert.equal(method, 'POST');
      assert.equal(asked, path, 'and nothing behind it: no key in the URL');
      assert.equal(headers['content-type'], 'application/json');
      assert.match(headers['user-agent'], /^lesson-tracer\//);
      assert.deepEqual(
        AUTH_HEADERS.filter((name) => name in headers),
        auth === null ? [] : [auth],
      );
      if (provider === 'anthropic') assert.equal(headers['anthropic-version'], '2023-06-01');
      assert.equal(body.model, model);
      assert.deepEqual(
        body.messages.map(({ role }) => role),
        ['system', 'user'],
      );
      assert.ok(!body.stream);
      assert.equal(body.temperature, undefined);
      assert.equal(body.top_p, undefined);
      // The journal has other protocols in OpenAI's words: the double has read theirs.
      const limit = CHAT_PROTOCOL.includes(provider) ? max_tokens_name : 'max_tokens';
      assert.equal(body[limit], MAX_TOKENS);
      if (CHAT_PROTOCOL.includes(provider))
        assert.deepEqual(
          Object.keys(body)
            .filter((name) => !name.startsWith('_'))
            .sort(),
          ['messages', 'model', limit].sort(),
        );

      // What the trace says: the same, and the answer as it came.
      const [prompt, completion, total] = usage ?? Object.values(USAGE);
      assertTruthful(trace);
      assert.equal(llmCall.provider, provider);
      assert.equal(llmCall.request.system, body.messages[0].content);
      assert.equal(llmCall.request.prompt, body.messages[1].content);
      assert.ok(llmCall.request.prompt.includes(`Outline: "${outline}"`));
      assert.match(llmCall.request.prompt, /Grade level: 5/);
      assert.equal(llmCall.request.model, model);
      assert.equal(llmCall.request.max_tokens, MAX_TOKENS);
      assert.ok(
        JSON.stringify(llmCall.request.parameters).includes(`"${max_tokens_name}":${MAX_TOKENS}`),
      );
      assert.equal(llmCall.success, true);
      assert.equal(llmCall.http_status, 200);
      assert.equal(llmCall.response.content, CONTENT);
      assert.equal(llmCall.response.finish_reason, finish);
      assert.equal(llmCall.response.usage.prompt_tokens, prompt);
      assert.equal(llmCall.response.usage.completion_tokens, completion);
      assert.equal(llmCall.response.usage.total_tokens, total);
      assert.equal(llmCall.response.usage.cached_tokens, null, 'not told: not 0');
      assert.equal(llmCall.response.usage.reasoning_tokens, null);
      if (provider === 'gemini') assert.equal(llmCall.response.model, null, 'not told');
      else assert.equal(llmCall.response.model, model);
      assert.equal(
        llmCall.provider_request_id,
        hasRequestId ? headers['x-request-id'] : null,
        'the id that the double answered with',
      );
      for (const step of ['queue_ms', 'connect_ms', 'ttfb_ms'])
        assert.ok(llmCall.timing[step] >= 0, step);
      assert.equal(llmCall.timing.dns_ms, null, 'an address is not looked up');
      assert.equal(llmCall.timing.tls_ms, null, 'there was no TLS');

      const cost = price(provider, model);
      if (cost === null) {
        assert.equal(llmCall.cost_usd, null, 'no price is known: not free');
        assert.equal(llmCall.price_as_of, null);
      } else {
        const usd = (prompt * cost.input_per_mtok + completion * cost.output_per_mtok) / 1e6;
        assert.ok(Math.abs(llmCall.cost_usd - usd) < 1e-9, `${llmCall.cost_usd} is not ${usd}`);
        assert.equal(llmCall.price_as_of, PRICES.as_of);
      }

      assert.equal(lesson.status, 'generated');
      assert.equal(lesson.title, 'The water cycle');
      assert.equal(lesson.content, CONTENT);
      assert.equal(trace.status, 'completed');
      assert.equal(trace.provider_used, provider);
      assert.equal(trace.model, model);
      assert.deepEqual(trace.fallback_providers, []);
      assert.deepEqual(story(trace), [`try ${provider}`]);
      assert.equal(trace.response_data.content, CONTENT);
      assert.equal(trace.response_data.estimatedSections, 2);
    });
});

// One lane a provider, so that each one's breaker sees its own failures only, and successes between them. A model that
// the request names says nothing about the provider: so a wrong key does not close the lane.
describe('an_error_of', () => {
  const told = new Map();

  async function play(outline, provider, serve) {
    serve({ userMessage: outline });
    told.set(outline, await generate(call, { outline, provider, model: DATA[provider].model }));
  }

  before(() =>
    Promise.all(
      NAMES.map(async (provider) => {
        const double = doubleOf(provider);

        for (const { outline, answer, passes } of CASES.filter((one) => one.provider === provider))
          await play(outline, provider, (match) => {
            double.on(passes ? { ...match, sequenceIndex: 0 } : match, answer);
            if (passes) double.on({ ...match, sequenceIndex: 1 }, LESSON);
          });
        for (const chaos of ['malformedRate', 'disconnectRate'])
          await play(`${provider} ${chaos}`, provider, (match) => {
            double.on({ ...match, sequenceIndex: 0 }, LESSON, { chaos: { [chaos]: 1 } });
            double.on({ ...match, sequenceIndex: 1 }, LESSON);
          });
        await play(`${provider} length`, provider, (match) =>
          double.on(match, { ...LESSON, finishReason: 'length' }),
        );
      }),
    ),
  );

  function assertPassed({ lesson, trace }, provider, reason) {
    assert.equal(lesson.status, 'generated');
    assert.equal(trace.provider_used, provider);
    assert.deepEqual(trace.fallback_providers, []);
    assert.deepEqual(story(trace), [
      `try ${provider}`,
      `wait ${provider} ${reason}`,
      `retry ${provider} ${reason}`,
    ]);
  }

  function assertLeft({ lesson, trace }, provider, reason) {
    assert.equal(lesson.status, 'generated');
    assert.equal(trace.provider_used, 'sample');
    assert.deepEqual(trace.fallback_providers, ['sample']);
    assert.deepEqual(story(trace), [`try ${provider}`, `fallback sample ${reason}`]);
  }

  for (const { provider, reason, answer, passes, outline } of CASES)
    test(`${outline}${passes ? ', which passes' : ''}`, () => {
      const { trace } = told.get(outline);
      const [failed] = trace.llm_calls;

      assertTruthful(trace);
      (passes ? assertPassed : assertLeft)(told.get(outline), provider, reason);
      if (passes && answer.retryAfter)
        assert.equal(
          trace.decisions[1].wait_ms,
          1000 * answer.retryAfter,
          'as long as it asked for',
        );
      assert.equal(failed.provider, provider);
      assert.equal(failed.success, false);
      assert.equal(failed.error_class, reason);
      assert.equal(failed.http_status, answer.status);
      assert.ok(failed.error.includes(answer.error.message), failed.error);
      assert.equal(failed.response, null);
      assert.equal(failed.cost_usd === null, !['ollama', 'sample'].includes(provider));
      assert.equal(doubleOf(provider).journal(outline).length, passes ? 2 : 1);
    });

  for (const provider of NAMES) {
    test(`${provider} that is no JSON`, () => {
      const { trace } = told.get(`${provider} malformedRate`);

      assertTruthful(trace);
      assertPassed(told.get(`${provider} malformedRate`), provider, 'invalid_response');
      assert.equal(trace.llm_calls[0].http_status, 200);
      assert.match(trace.llm_calls[0].error, /malformed json/);
      assert.equal(trace.llm_calls[0].response, null);
    });

    test(`${provider} that hangs up`, () => {
      const { trace } = told.get(`${provider} disconnectRate`);

      assertTruthful(trace);
      assertPassed(told.get(`${provider} disconnectRate`), provider, 'connection');
      assert.equal(trace.llm_calls[0].http_status, null);
      assert.equal(trace.llm_calls[0].response, null);
    });

    if (provider === 'ollama') continue; // its double always says stop
    test(`${provider} that is cut at the token limit`, () => {
      const { trace } = told.get(`${provider} length`);

      assertTruthful(trace);
      assertLeft(told.get(`${provider} length`), provider, 'truncated');
      assert.equal(trace.llm_calls[0].response.content, CONTENT, 'it was paid, and is kept');
      assert.equal(trace.llm_calls[0].response.usage.completion_tokens, 654);
    });
  }
});

describe('a_key', () => {
  // What providers, and those between them and us, have been seen to do: they say it back.
  before(() =>
    Promise.all(
      KEYED.map(async (provider) => {
        const echo = forms(key(provider), { whole: true }).slice(0, -1).join(' | ');
        const [bad, good] = [`${provider} tells my key`, `${provider} writes my key`];

        keyed.on({ userMessage: bad }, refusal(400, echo, `Your key is ${echo}`, { code: echo }));
        keyed.on(
          { userMessage: good },
          { ...LESSON, content: `# A key: ${echo}\n\n## ${echo}\n`, id: echo, model: echo },
        );
        for (const outline of [bad, good])
          await generate(call, { outline, provider, model: DATA[provider].model });
      }),
    ),
  );

  // The first key found, in any form; undefined if there is none.
  const leaked = (text) => {
    for (const provider of KEYED)
      if (forms(key(provider)).some((form) => text.includes(form))) return provider;
  };

  test('is_not_in_the_database', async () => {
    const args = ['--data-only', '--inserts', '-d', stack.databaseUrl];
    const { stdout } = await promisify(execFile)('pg_dump', args, { maxBuffer: 1 << 28 });

    assert.ok(stdout.includes('tells my key') && stdout.includes('[REDACTED]'), 'a dump of it all');
    assert.equal(leaked(stdout), undefined);
  });

  test('is_not_in_the_logs', () => {
    const names = readdirSync(stack.logDir);
    const text = names.map((name) => readFileSync(join(stack.logDir, name), 'utf8')).join('\n');

    assert.ok(names.includes('lesson-generator.log') && text.includes('call failed'));
    assert.equal(leaked(text), undefined);
    assert.equal(leaked(stack.output()), undefined);
  });

  test('is_in_no_answer', async () => {
    const paths = ['/api/traces?limit=200', '/api/lessons?limit=200', '/api/providers', '/readyz'];
    const lists = await Promise.all(paths.map((path) => call('GET', path, { as: 'admin' })));
    const { traces } = lists[0].body;

    assert.ok(traces.length > CASES.length);
    assert.ok(lists[0].text.includes('[REDACTED]'));
    for (const { status, text } of lists) {
      assert.equal(status, 200);
      assert.equal(leaked(text), undefined);
    }
    for (const { lesson_id } of traces.slice(0, 2 * KEYED.length)) {
      const { text } = await call('GET', `/api/lessons/${lesson_id}`, { as: 'admin' });
      assert.equal(leaked(text), undefined);
    }
  });

  function environ(pid) {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8');
    } catch {
      return ''; // it ended meanwhile
    }
  }

  test('is_in_no_command_line_and_with_the_generator_alone', () => {
    const processes = stack.processes();

    assert.ok(processes.length > 10);
    for (const { pid, command } of processes) {
      assert.equal(leaked(command), undefined, command);
      if (/fcgi|nginx|postgres/.test(command))
        assert.equal(leaked(environ(pid)), undefined, command);
    }
  });
});
