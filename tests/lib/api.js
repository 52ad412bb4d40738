// The API as its clients see it: calls that give status, headers and body, and what every error must look like.

import assert from 'node:assert/strict';

export const REQUEST_ID = /^[0-9a-f]{32}$/;
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
export const NOBODY = '00000000-0000-4000-8000-000000000000'; // an id that nothing has

const PATIENCE_MS = 20_000;
const TITLES = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  503: 'Service Unavailable',
};
const CODES = {
  400: 'invalid_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  409: 'conflict',
  413: 'too_large',
  415: 'unsupported_media_type',
  422: 'unprocessable',
  503: 'unavailable',
};

// api(stack)(method, path, options) gives {status, headers, text, body, ms}; body is the parsed JSON, if it is JSON.
// `json` is sent as such; `body` as it is. `as`: 'user', 'admin', or null for nobody.
export function api(stack) {
  return async (method, path, { as = 'user', json, body, headers = {} } = {}) => {
    const begin = performance.now();
    const answer = await stack.fetch(path, {
      as,
      method,
      headers: json === undefined ? headers : { 'content-type': 'application/json', ...headers },
      body: json === undefined ? body : JSON.stringify(json),
    });
    const text = await answer.text();
    const ms = performance.now() - begin;
    const isJson = /^application\/(problem\+)?json/.test(answer.headers.get('content-type') ?? '');

    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
      ms,
    };
  };
}

// An error is a problem+json of exactly these members, whose detail begins with what it is about.
export function assertProblem(answer, status, about) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers.get('content-type'), 'application/problem+json');
  assert.deepEqual(Object.keys(answer.body).sort(), [
    'code',
    'detail',
    'error',
    'request_id',
    'status',
    'title',
    'type',
  ]);
  assert.equal(answer.body.type, 'about:blank');
  assert.equal(answer.body.title, TITLES[status]);
  assert.equal(answer.body.status, status);
  assert.equal(answer.body.code, CODES[status]);
  assert.match(answer.body.request_id, REQUEST_ID);
  assert.equal(answer.headers.get('x-request-id'), answer.body.request_id);
  assert.equal(answer.body.error, answer.body.detail);
  assert.ok(answer.body.detail.length > 0);
  assert.doesNotMatch(answer.text, /postgres|sql|socket|connection/i, 'no word of the inside');
  if (about !== undefined)
    assert.ok(
      answer.body.detail.startsWith(`${about}:`),
      `about ${about}, not "${answer.body.detail}"`,
    );
}

// What is the same in two answers that may differ by ids alone.
export const withoutIds = (answer) =>
  `${answer.status} ${answer.text.replaceAll(/[0-9a-f]{32}|[0-9a-f-]{36}/g, 'ID')}`;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks until what comes is truthy; fails after a while.
export async function until(what, ask, patience_ms = PATIENCE_MS) {
  const deadline = performance.now() + patience_ms;

  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(performance.now() < deadline, `after ${patience_ms} ms still not: ${what}`);
    await sleep(20);
  }
}

// The lesson, once it is no longer being generated.
export const whenDone = (call, id, options) =>
  until(`lesson ${id} done`, async () => {
    const { body } = await call('GET', `/api/lessons/${id}`, options);
    return body?.lesson && body.lesson.status !== 'generating' && body.lesson;
  });
