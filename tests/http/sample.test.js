// The built-in provider, through nginx: its protocol, and each of the faults it can show.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';

const PROMPT = 'Outline: "The water cycle"\n\nRequirements:\n- Sections: at least 5\n';

let stack;

before(async () => {
  stack = await startStack();
});

after(() => stack?.stop());

function ask(model, options = {}) {
  const messages = [{ role: 'user', content: PROMPT }];

  return fetch(`${stack.baseUrl}/sample/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages, ...options }),
  });
}

test('composes_a_lesson_and_counts_it', async () => {
  const answer = await ask('sample');
  const completion = await answer.json();
  const [choice] = completion.choices;
  const { usage } = completion;

  assert.equal(answer.status, 200);
  assert.match(completion.id, /^chatcmpl-[0-9a-f]{32}$/);
  assert.equal(choice.finish_reason, 'stop');
  assert.match(choice.message.content, /^# The water cycle\n/);
  assert.equal(choice.message.content.match(/^## /gm).length, 5 + 5);
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.match(answer.headers.get('x-request-id'), /^[0-9a-f]{32}/);
});

test('ids_are_unique_and_lessons_are_not', async () => {
  const one = await (await ask('sample')).json();
  const two = await (await ask('sample')).json();

  assert.notEqual(one.id, two.id);
  assert.equal(one.choices[0].message.content, two.choices[0].message.content);
});

test('stops_at_max_tokens', async () => {
  const completion = await (await ask('sample', { max_completion_tokens: 30 })).json();

  assert.equal(completion.choices[0].finish_reason, 'length');
  assert.equal(completion.usage.completion_tokens, 30);
});

const REFUSED = [
  ['no messages', { messages: undefined }, 400, 'missing_required_parameter'],
  ['empty messages', { messages: [] }, 400, 'empty_array'],
  ['a stream', { stream: true }, 400, 'unsupported_value'],
  ['an unknown model', { model: 'gpt' }, 404, 'model_not_found'],
];

for (const [what, options, status, code] of REFUSED) {
  test(`refuses ${what}`, async () => {
    const answer = await ask('sample', options);
    const { error } = await answer.json();

    assert.equal(answer.status, status);
    assert.equal(error.type, 'invalid_request_error');
    assert.equal(error.code, code);
  });
}

const FAILING = {
  'fail-400': 400,
  'fail-401': 401,
  'fail-402': 402,
  'fail-403': 403,
  'fail-404': 404,
  'fail-408': 408,
  'fail-409': 409,
  'fail-413': 413,
  'fail-422': 422,
  'fail-429': 429,
  'fail-429-retry-after': 429,
  'fail-quota': 429,
  'fail-500': 500,
  'fail-503': 503,
  'fail-529': 529,
  'context-length': 400,
  'flaky-100': 500,
};

for (const [model, status] of Object.entries(FAILING)) {
  test(`${model} answers ${status} in the provider's own words`, async () => {
    const answer = await ask(model);
    const { error } = await answer.json();

    assert.equal(answer.status, status);
    assert.ok(error.message && error.type);
    assert.equal(answer.headers.get('retry-after'), model.endsWith('retry-after') ? '30' : null);
  });
}

for (const [model, status] of [['fail-502', 502], ['html', 200]]) {
  test(`${model} answers ${status} with a web page`, async () => {
    const answer = await ask(model);

    assert.equal(answer.status, status);
    assert.match(answer.headers.get('content-type'), /^text\/html/);
    assert.match(await answer.text(), /^<!DOCTYPE html>/);
  });
}

test('slow_waits', async () => {
  const begin = performance.now();

  assert.equal((await ask('slow-300')).status, 200);
  assert.ok(performance.now() - begin >= 290);
});

test('drop_closes_the_connection', () => assert.rejects(ask('drop')));

test('cut_closes_it_in_the_middle', async () => {
  const answer = await ask('cut');

  assert.equal(answer.status, 200);
  await assert.rejects(answer.text());
});

test('garbage_is_not_json', async () => {
  const answer = await ask('garbage');

  assert.match(answer.headers.get('content-type'), /^application\/json/);
  await assert.rejects(answer.json(), SyntaxError);
});

test('huge_is_more_than_four_mebibytes', async () => {
  assert.ok((await (await ask('huge')).text()).length > 4 * 1024 * 1024);
});

const ANSWERS = {
  truncate: ['length', ({ content }) => content.length > 100],
  empty: ['stop', ({ content }) => content === ''],
  refuse: ['content_filter', ({ content, refusal }) => content === null && refusal],
  nul: ['stop', ({ content }) => content.includes('\0') && content.includes('\ud800')],
  'no-usage': ['stop', ({ content }) => content.startsWith('# ')],
};

for (const [model, [reason, holds]] of Object.entries(ANSWERS)) {
  test(`${model} answers what its name says`, async () => {
    const completion = await (await ask(model)).json();
    const [choice] = completion.choices;

    assert.equal(choice.finish_reason, reason);
    assert.ok(holds(choice.message));
    assert.equal(completion.usage === undefined, model === 'no-usage');
  });
}
