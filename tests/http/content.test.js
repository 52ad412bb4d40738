// TRACE_CONTENT=off, and providers that repeat what they were asked in whatever they say is wrong: of the outline is
// something in the lesson alone, in no trace and no log.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { api, whenDone } from '../lib/api.js';
import { startStack } from '../lib/stack.js';

const WORD = 'Xylophonist';
const OUTLINE = `${WORD}s of class 4b: why long bars sound low`;
const JSON_TYPE = 'application/json';
const refusal = (text) =>
  JSON.stringify({ choices: [{ message: { refusal: text }, finish_reason: 'stop' }] });

// Every way to say what is wrong, with the prompt in it.
const ERRORS = [
  [400, JSON_TYPE, (text) => JSON.stringify({ error: { message: text, type: 'invalid' } })],
  [400, JSON_TYPE, (text) => JSON.stringify({ error: { message: 'no', code: text, type: text } })],
  [422, JSON_TYPE, (text) => JSON.stringify({ detail: text })],
  [404, JSON_TYPE, (text) => JSON.stringify({ error: { message: text, code: 'model_not_found' } })],
  [400, 'text/plain', (text) => text],
  [403, 'text/html', (text) => `<html><head><title>${text}</title></head></html>`],
  [400, WORD, () => ''],
  [200, JSON_TYPE, (text) => JSON.stringify({ error: text })],
  [200, JSON_TYPE, refusal],
];

let stack, call, provider, lessons;

async function startProvider() {
  const server = createServer(async (request, response) => {
    const { messages } = JSON.parse((await request.toArray()).join(''));
    const prompt = messages.at(-1).content;
    const [status, type, body] = ERRORS[/\bcase (\d+)/.exec(prompt)[1]];

    // its first bytes: an error text is cut
    response.writeHead(status, { 'content-type': type });
    response.end(body(prompt.slice(prompt.indexOf(WORD)).slice(0, 300)));
  });

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    stop: () => new Promise((resolve) => server.closeAllConnections() ?? server.close(resolve)),
  };
}

before(async () => {
  provider = await startProvider();
  stack = await startStack({
    env: {
      TRACE_CONTENT: 'off',
      LLM_PROVIDERS: 'openai',
      OPENAI_API_KEY: 'the-key-of-this-test',
      OPENAI_BASE_URL: provider.url,
      ATTEMPTS_MAX: '1',
    },
  });
  call = api(stack);
  lessons = [];
  for (const i of ERRORS.keys()) {
    const outline = `${OUTLINE}, case ${i}`;
    const { body } = await call('POST', '/api/lessons', { json: { outline } });

    lessons.push(await whenDone(call, body.lesson.id));
  }
});

after(() => Promise.all([stack?.stop(), provider?.stop()]));

test('a_failure_is_told_in_words_of_ours', async () => {
  for (const [i, { status, error_message, trace_ids }] of lessons.entries()) {
    const { trace } = (await call('GET', `/api/traces/${trace_ids[0]}`)).body;
    const [{ error, error_class, http_status }] = trace.llm_calls;

    assert.equal(status, 'error');
    assert.equal(http_status, ERRORS[i][0]);
    assert.ok(error_message.includes(error_class), error_message);
    assert.equal(trace.last_error, error);
    assert.match(error, new RegExp(`^HTTP ${http_status}(; set .*)?$|^refused$`));
  }
  assert.ok(lessons[0].outline.includes(WORD), 'which the reader still has');
});

test('no_trace_has_a_word_of_the_outline', async () => {
  for (const name of ['lesson_traces', 'provider_health', 'audit_log'])
    assert.ok(!(await stack.psql(`SELECT t FROM ${name} t`)).includes(WORD), name);
  assert.equal((await call('GET', `/api/traces?q=${WORD}`)).body.traces.length, 0);
});

test('no_log_has_a_word_of_the_outline', () => {
  const read = (name) => readFileSync(join(stack.logDir, name), 'utf8');

  assert.ok(read('lesson-generator.log').split('call failed').length > ERRORS.length);
  for (const name of readdirSync(stack.logDir)) assert.ok(!read(name).includes(WORD), name);
});
