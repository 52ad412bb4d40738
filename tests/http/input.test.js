// Whatever is sent: bodies, methods, paths, query strings and origins that are wrong get a clear error of one shape.

import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, describe, test } from 'node:test';

import { NOBODY, REQUEST_ID, api, assertProblem } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const MIB = 1 << 20;

let stack, call, db;

before(async () => {
  stack = await startStack();
  call = api(stack);
  db = openSession(stack.databaseUrl);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

const lessons = async () => Number(await db.run('SELECT count(*) FROM lessons'));
const post = (body, headers = JSON_TYPE) => call('POST', '/api/lessons', { body, headers });
const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const nested = (open, close, depth) => `${open.repeat(depth)}${close.repeat(depth)}`;

describe('a body', () => {
  const REFUSED = [
    ['empty', ''],
    ['of blanks', ' \n\t '],
    ['of a list', '[]'],
    ['of a list with an object', '[{"outline":"x"}]'],
    ['of a text', '"outline"'],
    ['of a number', '5'],
    ['null', 'null'],
    ['cut off', '{"outline":"x"'],
    ['cut off in a text', '{"outline":"x'],
    ['cut off in an escape', '{"outline":"x\\'],
    ['cut off in a Unicode escape', '{"outline":"\\u00'],
    ['cut off behind a comma', '{"outline":"x",'],
    ['with a comma too many', '{"outline":"x",}'],
    ['without a comma', '{"outline":"x" "sections":4}'],
    ['without a colon', '{"outline" "x"}'],
    ['with two values', '{"outline":"x"}{"outline":"y"}'],
    ['with something behind it', '{"outline":"x"} x'],
    ['with single quotes', "{'outline':'x'}"],
    ['with a bare name', '{outline:"x"}'],
    ['with a comment', '{"outline":"x"/* y */}'],
    ['with a bad escape', '{"outline":"\\x41"}'],
    ['with a bad Unicode escape', '{"outline":"\\u00zz"}'],
    ['with a raw line feed in a text', '{"outline":"a\nb"}'],
    ['with a raw tab in a text', '{"outline":"a\tb"}'],
    ['with NaN', '{"outline":"x","sections":NaN}'],
    ['with Infinity', '{"outline":"x","sections":Infinity}'],
    ['with TRUE', '{"outline":"x","includeExamples":TRUE}'],
    ['with the number 04', '{"outline":"x","sections":04}'],
    ['with the number 4.', '{"outline":"x","sections":4.}'],
    ['with the number +4', '{"outline":"x","sections":+4}'],
    ['with the number .5e1', '{"outline":"x","sections":.5e1}'],
    ['with the number 0x4', '{"outline":"x","sections":0x4}'],
    ['with a member twice', '{"outline":"x","outline":"y"}'],
    ['with the same member twice', '{"outline":"x","outline":"x"}'],
    ['with a member twice, once escaped', '{"outline":"x","\\u006futline":"y"}'],
    ['with a byte order mark', '\ufeff{"outline":"x"}'],
    ['with an escaped NUL', '{"outline":"a\\u0000b"}'],
    ['with an escaped NUL in a name', '{"outline":"x","outline\\u0000":"y"}'],
    ['with a raw NUL in a text', '{"outline":"a\0b"}'],
    ['with a raw NUL behind it', '{"outline":"x"}\0'],
    ['with a raw NUL before it', '\0{"outline":"x"}'],
    ['with the byte FF', bytes('{"outline":"', [0xff], '"}')],
    ['with a lone continuation byte', bytes('{"outline":"', [0x80], '"}')],
    ['with an overlong character', bytes('{"outline":"', [0xc0, 0xaf], '"}')],
    ['with half a surrogate pair', bytes('{"outline":"', [0xed, 0xa0, 0x80], '"}')],
    ['with a character beyond Unicode', bytes('{"outline":"', [0xf4, 0x90, 0x80, 0x80], '"}')],
    ['with a character cut off', bytes('{"outline":"', [0xe2, 0x82], '"}')],
    ['in Latin-1', Buffer.from('{"outline":"Grün"}', 'latin1')],
    ['in UTF-16', Buffer.from('{"outline":"x"}', 'utf16le')],
    ['of a form', 'outline=x'],
    ['100 lists deep', `{"outline":${nested('[', ']', 100)}}`],
    ['100 objects deep', `{"outline":${'{"a":'.repeat(100)}1${'}'.repeat(100)}}`],
    ['500,000 lists deep', `{"outline":${nested('[', ']', 500_000)}}`],
    ['500,000 lists deep that never end', '['.repeat(500_000)],
    ['of 100,000 members', `{${Array.from({ length: 80_000 }, (_, i) => `"m${i}":1`)}}`],
    ['of 1 MiB to the byte, whose outline is too long', `{"outline":"${'x'.repeat(MIB - 14)}"}`],
  ];

  for (const [what, body] of REFUSED)
    test(`${what} is refused, and nothing is stored`, async () => {
      const before = await lessons();

      assertProblem(await post(body), 400);
      assert.equal(await lessons(), before);
    });

  test('that is refused says where', async () => {
    for (const [body, detail] of [
      ['{"outline":"x"', /^json: .*byte 14/],
      ['{"outline":"a\\u0000b"}', /^json: .*byte 13/],
      ['[]', /^body: JSON object expected/],
      ['', /^json: empty body/],
    ])
      assert.match((await post(body)).body.detail, detail);
  });

  for (const [what, body, outline] of [
    ['with blanks around it', ' \r\n\t{ "outline" : "x" }\n ', 'x'],
    [
      'with escapes',
      '{"outline":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00 x"}',
      '"\\/\b\f\n\r\tä😀 x',
    ],
    ['with an escaped backslash before u0000', '{"outline":"a\\\\u0000b"}', 'a\\u0000b'],
    [
      'with DEL and non-characters',
      '{"outline":"a\u007f\ufffe\u{10ffff}b"}',
      'a\u007f\ufffe\u{10ffff}b',
    ],
    ['with escaped control characters', '{"outline":"a\\u0001\\u001fb"}', 'a\u0001\u001fb'],
    ['with an escaped name', '{"\\u006futline":"x"}', 'x'],
    [
      'with what looks like SQL and HTML',
      `{"outline":"'); DROP TABLE lessons; --<script>"}`,
      "'); DROP TABLE lessons; --<script>",
    ],
  ])
    test(`${what} is taken as it is meant`, async () => {
      const answer = await post(body);

      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.lesson.outline, outline);
      const { id } = answer.body.lesson;
      assert.equal((await call('GET', `/api/lessons/${id}`)).body.lesson.outline, outline);
    });

  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'APPLICATION/JSON',
  ])
    test(`of type ${type} is taken`, async () =>
      assert.equal((await post('{"outline":"x"}', { 'content-type': type })).status, 201));

  for (const type of [
    'text/plain',
    'text/plain;charset=UTF-8',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/json',
    'application/jsonp',
    'application/json-patch+json',
    'application/xml, application/json',
    'json',
  ])
    test(`of type ${type} is refused, on every POST`, async () => {
      const headers = { 'content-type': type };

      assertProblem(await post('{"outline":"x"}', headers), 415, 'content-type');
      assertProblem(
        await call('POST', `/api/lessons/${NOBODY}/regenerate`, { body: '{}', headers }),
        415,
        'content-type',
      );
    });

  test('without a type is refused', async () => {
    assertProblem(await call('POST', '/api/lessons'), 415, 'content-type');
    assertProblem(
      await call('POST', '/api/lessons', { body: bytes('{"outline":"x"}') }),
      415,
      'content-type',
    );
  });

  test('of more than 1 MiB is refused, with and without its length', async () => {
    const body = `{"outline":"${'x'.repeat(MIB - 13)}"}`;

    assert.equal(body.length, MIB + 1);
    assertProblem(await post(body), 413, 'body');
    assertProblem(await post(`${' '.repeat(MIB)}{"outline":"x"}`), 413, 'body');
    const chunked = await raw('POST', '/api/lessons', {
      headers: { ...JSON_TYPE, 'transfer-encoding': 'chunked' },
      body,
    });
    assert.equal(chunked.status, 413);
  });

  test('of 1 MiB of blanks around it is taken, with and without its length', async () => {
    const body = `{"outline":"x"}${' '.repeat(MIB - 15)}`;

    assert.equal((await post(body)).status, 201);
    const chunked = await raw('POST', '/api/lessons', {
      headers: { ...JSON_TYPE, 'transfer-encoding': 'chunked' },
      body,
    });
    assert.equal(chunked.status, 201);
  });
});

// As it is, without what fetch makes of it: its own headers, its idea of a path.
function raw(
  method,
  path,
  { headers = {}, body, as = 'user', url = stack.baseUrl, options = {} } = {},
) {
  const { user, password } = stack[as];

  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method, path, headers, auth: `${user}:${password}`, agent: new Agent(), ...options },
      (answer) => {
        const parts = [];
        answer.on('data', (part) => parts.push(part));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode,
            headers: new Headers(Object.entries(answer.headers)),
            text: Buffer.concat(parts).toString(),
          }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('a method', () => {
  const ALLOWED = [
    ['/api/traces', 'GET, HEAD, DELETE'],
    [`/api/traces/${NOBODY}`, 'GET, HEAD, DELETE'],
    ['/api/lessons', 'POST, GET, HEAD'],
    [`/api/lessons/${NOBODY}`, 'GET, HEAD, DELETE'],
    [`/api/lessons/${NOBODY}/regenerate`, 'POST'],
    ['/api/providers', 'GET, HEAD'],
    ['/healthz', 'GET, HEAD'],
    ['/healthz/traces', 'GET, HEAD'],
    ['/readyz', 'GET, HEAD'],
  ];
  const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
  const sorted = (allow) => allow.split(/, */).sort();

  for (const [path, allow] of ALLOWED) {
    test(`that ${path} does not take is 405, with those it takes`, async () => {
      for (const method of METHODS.filter((one) => !sorted(allow).includes(one))) {
        const answer = await call(method, path, {
          json: ['POST', 'PUT', 'PATCH'].includes(method) ? {} : undefined,
        });

        if (method === 'HEAD') assert.equal(answer.status, 405);
        else assertProblem(answer, 405, 'method');
        assert.deepEqual(sorted(answer.headers.get('allow')), sorted(`${allow}, OPTIONS`), method);
      }
    });

    test(`OPTIONS of ${path} tells which it takes, and nothing else`, async () => {
      const answer = await raw('OPTIONS', path);

      assert.equal(answer.status, 204);
      assert.equal(answer.text, '');
      assert.deepEqual(sorted(answer.headers.get('allow')), sorted(`${allow}, OPTIONS`));
      assert.equal(answer.headers.get('access-control-allow-origin'), null);
      // RFC 9110, 8.6: a 204 has no Content-Length; and there is no content to have a type.
      assert.equal(answer.headers.get('content-length'), null);
      assert.equal(answer.headers.get('content-type'), null);
    });
  }

  test('of no kind works on a path that is none', async () => {
    for (const method of [...METHODS, 'OPTIONS'])
      for (const path of ['/api/traces/', '/api/lessons/', '/api/providers/x']) {
        const answer = await call(method, path);
        if (method === 'HEAD') assert.equal(answer.status, 404);
        else assertProblem(answer, 404, 'path');
      }
  });

  test('TRACE is refused', async () =>
    assert.equal((await raw('TRACE', '/api/traces')).status, 405));
});

describe('a path', () => {
  for (const path of [
    '/api',
    '/api/',
    '/api/trace',
    '/api/tracesx',
    '/api/traces/',
    `/api/traces/${NOBODY}/`,
    `/api/traces/${NOBODY}/calls`,
    '/api/lessons/',
    `/api/lessons/${NOBODY}/regenerate/`,
    `/api/lessons/${NOBODY}/Regenerate`,
    '/api/providers/openai',
    '/api/Traces',
    '/API/traces',
    '/api/nothing',
  ])
    test(`${path} is not found`, async () => {
      const answer = await call('GET', path);

      assert.equal(answer.status, 404);
      assert.match(answer.headers.get('x-request-id'), REQUEST_ID);
      if (path.startsWith('/api/')) assertProblem(answer, 404);
    });

  for (const path of [
    '/api/traces/..%2f..%2fetc%2fpasswd',
    '/api/traces/%2e%2e',
    '/api/traces/%ff',
    '/api/traces/%F0%9F%98%80',
    "/api/traces/1'%20OR%20true",
    `/api/traces/${NOBODY}%20`,
    `/api/traces/${'a'.repeat(4000)}`,
  ])
    test(`${path.slice(0, 50)} is refused or not found, never more`, async () => {
      const answer = await raw('GET', path);

      assert.ok([400, 404].includes(answer.status), `${answer.status}`);
    });

  test('that is not well-formed, or too long, is refused', async () => {
    for (const path of ['/api/traces/%00', '/api/%zz', '/api/traces/%'])
      assert.equal((await raw('GET', path)).status, 400, path);
    assert.equal((await raw('GET', `/api/traces?provider=${'x'.repeat(20_000)}`)).status, 414);
  });
});

describe('a query string', () => {
  for (const [path, member] of [
    ['/api/traces?colour=blue', 'colour'],
    ['/api/traces?limit=5&colour=blue', 'colour'],
    ['/api/traces?view=full&view=summary', 'view'],
    ['/api/traces?lim%69t=5&limit=5', 'limit'],
    ['/api/traces?limit=%', 'limit'],
    ['/api/traces?limit=%4', 'limit'],
    ['/api/traces?limit=%4g', 'limit'],
    ['/api/traces?limit=%00', 'limit'],
    ['/api/traces?provider=%C3%28', 'provider'],
    ['/api/traces?%C3%28=1', 'query'],
    [`/api/traces?${Array.from({ length: 33 }, (_, i) => `p${i}=1`).join('&')}`, 'query'],
    ['/api/lessons?colour=blue', 'colour'],
    [`/api/lessons/${NOBODY}?colour=blue`, 'colour'],
    ['/api/providers?colour=blue', 'colour'],
  ])
    test(`as in ${path.slice(0, 60)} is refused`, async () =>
      assertProblem(await raw('GET', path).then(parsed), 400, member));

  test('on a POST is refused', async () =>
    assertProblem(
      await call('POST', '/api/lessons?dry=1', { json: { outline: 'x' } }),
      400,
      'dry',
    ));

  test('that is empty, or has empty parts, is none', async () => {
    for (const path of ['/api/traces?', '/api/traces?&&', '/api/traces?limit=5&'])
      assert.equal((await raw('GET', path)).status, 200, path);
  });
});

const parsed = (answer) => ({ ...answer, body: JSON.parse(answer.text) });

describe('an error', () => {
  test('of every kind has one shape', async () => {
    const { body } = await call('POST', '/api/lessons', {
      json: { outline: 'x', provider: 'sample', model: 'slow-1000' },
      headers: { 'idempotency-key': 'shape' },
    });
    const wrong = Buffer.from('user:wrong').toString('base64');

    for (const [status, answer] of [
      [400, await call('GET', '/api/traces?limit=0')],
      [401, await call('GET', '/api/traces', { as: null })],
      [
        401,
        await call('GET', '/api/lessons', {
          as: null,
          headers: { authorization: `Basic ${wrong}` },
        }),
      ],
      [403, await call('DELETE', `/api/traces/${NOBODY}`, { headers: { origin: 'http://evil' } })],
      [404, await call('GET', `/api/traces/${NOBODY}`)],
      [404, await call('GET', '/api/nothing')],
      [405, await call('PUT', '/api/traces', { body: '' })],
      [409, await call('POST', `/api/lessons/${body.lesson.id}/regenerate`, { json: {} })],
      [413, await post('x'.repeat(MIB + 1))],
      [415, await post('x', { 'content-type': 'text/plain' })],
      [
        422,
        await call('POST', '/api/lessons', {
          json: { outline: 'y' },
          headers: { 'idempotency-key': 'shape' },
        }),
      ],
    ])
      assertProblem(answer, status);
  });

  test('401 asks for a name and a password', async () => {
    const answer = await call('GET', '/api/traces', { as: null });

    assertProblem(answer, 401, 'user');
    assert.match(answer.headers.get('www-authenticate'), /^Basic realm=/);
  });

  test('shows what was sent without a way to be more than text', async () => {
    const answer = await call('GET', '/api/traces?%3Cscript%3E%22%0d%0aX:%20y=1');

    assertProblem(answer, 400, '<script>"\r\nX: y');
    assert.equal(answer.headers.get('x'), null);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  });

  test('and every other answer has an id of its own, that no client chooses', async () => {
    const ids = new Set();

    for (const path of [
      '/api/traces',
      '/api/lessons',
      '/api/providers',
      '/api/traces?limit=0',
      '/healthz',
      '/',
    ])
      for (let i = 0; i < 2; i++) {
        const { headers } = await call('GET', path, {
          headers: { 'x-request-id': 'f'.repeat(32) },
        });
        assert.match(headers.get('x-request-id'), REQUEST_ID);
        assert.notEqual(headers.get('x-request-id'), 'f'.repeat(32));
        ids.add(headers.get('x-request-id'));
      }
    assert.equal(ids.size, 12);
  });
});
