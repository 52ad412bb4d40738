// Requests that two readers might read as different ones: each gets one answer, the connection ends, and what stands
// behind it is no request. nginx is the only reader of HTTP here.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { startStack } from '../lib/stack.js';

const BODY = '{"outline":"Smuggled"}'; // 22 bytes
const SIZE = BODY.length.toString(16);
const BEHIND = 'GET /healthz HTTP/1.1\r\nHost: behind\r\nConnection: close\r\n\r\n';
const QUIET_MS = 10_000;

let stack, authorization;

before(async () => {
  const { user, password } = (stack = await startStack()).user;
  authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
});

after(() => stack?.stop());

// Sends the bytes and a good request behind them; gives the answers as {status, type, text} and whether all was over
// then. An answer has a length.
async function answersTo(bytes, behind = BEHIND) {
  const { hostname, port } = new URL(stack.baseUrl);
  const socket = connect({ host: hostname, port });
  let text = '';

  socket.on('error', () => {}); // a reset, because not all was read
  socket.setEncoding('latin1').on('data', (part) => (text += part));
  socket.write(bytes + behind, 'latin1');
  await once(socket, 'close', { signal: AbortSignal.timeout(QUIET_MS) });

  const answers = [];
  for (let rest = text; rest !== ''; ) {
    const head = /^HTTP\/1\.1 (\d{3})[^\r]*\r\n((?:[^\r]+\r\n)*)\r\n/.exec(rest);
    assert.ok(head, `no answer in HTTP/1.1: ${rest.slice(0, 200)}`);
    const length = Number(/^Content-Length: (\d+)\r$/im.exec(head[2])?.[1] ?? 0);
    const body = rest.slice(head[0].length, head[0].length + length);
    answers.push({
      status: Number(head[1]),
      type: /^Content-Type: ([^\r]*)\r$/im.exec(head[2])?.[1],
      ends: /^Connection: close\r$/im.test(head[2]),
      body,
    });
    rest = rest.slice(head[0].length + length);
  }
  return answers;
}

const get = (version = 'HTTP/1.1', ...lines) =>
  ['GET /healthz ' + version, 'Host: a', ...lines, '', ''].join('\r\n');
const post = (lines, body = BODY, version = 'HTTP/1.1') =>
  [
    `POST /api/lessons ${version}`,
    'Host: a',
    `Authorization: ${authorization}`,
    'Content-Type: application/json',
    ...lines,
    '',
    body,
  ].join('\r\n');
const chunked = (body) => post(['Transfer-Encoding: chunked'], body);

const REFUSED = [
  // Two lengths, or one that is none
  ['CL.TE', () => post(['Content-Length: 6', 'Transfer-Encoding: chunked'], '0\r\n\r\nG')],
  ['TE.CL', () => post(['Transfer-Encoding: chunked', 'Content-Length: 4'], '5c\r\nGPOST / HTTP/1.1\r\n')],
  ['Content-Length twice, the same', () => post(['Content-Length: 22', 'Content-Length: 22'])],
  ['Content-Length twice, different', () => post(['Content-Length: 22', 'Content-Length: 0'])],
  ['a list of lengths', () => post(['Content-Length: 22, 22'])],
  ['a length with a plus', () => post(['Content-Length: +22'])],
  ['a negative length', () => post(['Content-Length: -22'])],
  ['a length in hexadecimal', () => post(['Content-Length: 0x16'])],
  ['an empty length', () => post(['Content-Length: '])],
  ['a blank in the length', () => post(['Content-Length: 2 2'])],
  ['a length of 20 digits', () => post(['Content-Length: 99999999999999999922'])],
  ['a blank before the colon of Content-Length', () => post(['Content-Length : 22'])],

  // A coding that hides
  ['a blank before the colon of Transfer-Encoding', () => post(['Transfer-Encoding : chunked'], '0\r\n\r\n')],
  ['an unknown coding', () => post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'), 501],
  ['the coding identity', () => post(['Transfer-Encoding: identity'], '0\r\n\r\n'), 501],
  ['two codings', () => post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'), 501],
  ['chunked twice', () => post(['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n'), 501],
  ['Transfer-Encoding twice', () => post(['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], '0\r\n\r\n')],
  ['a vertical tab before chunked', () => post(['Transfer-Encoding: \x0bchunked'], '0\r\n\r\n'), 501],
  ['a tab before chunked', () => post(['Transfer-Encoding:\tchunked'], '0\r\n\r\n'), 501],
  ['chunked in quotes', () => post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'), 501],
  ['chunks in HTTP/1.0', () => post(['Transfer-Encoding: chunked'], '0\r\n\r\n', 'HTTP/1.0')],
  ['a folded Transfer-Encoding', () => post(['Transfer-Encoding:', ' chunked'], '0\r\n\r\n')],

  // Chunks
  ['a chunk size with 0x', () => chunked(`0x${SIZE}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk size with a plus', () => chunked(`+${SIZE}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a negative chunk size', () => chunked(`-1\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk size behind a blank', () => chunked(` ${SIZE}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk size that overflows', () => chunked(`10000000000000016\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk size that is no number', () => chunked(`g\r\n${BODY}\r\n0\r\n\r\n`)],
  ['an empty chunk size', () => chunked(`\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk longer than its size', () => chunked(`5\r\n${BODY}\r\n0\r\n\r\n`)],
  ['a chunk without an end of its line', () => chunked(`${SIZE}\r\n${BODY}0\r\n\r\n`)],
  ['a line feed in a chunk extension', () => chunked(`${SIZE};a\nb\r\n${BODY}\r\n0\r\n\r\n`)],

  // Lines
  ['a folded line', () => get('HTTP/1.1', 'X: a', ' b')],
  ['a folded line, by a tab', () => get('HTTP/1.1', 'X: a', '\tb')],
  ['a first line that is folded', () => 'GET /healthz HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n'],
  ['carriage returns alone', () => 'GET /healthz HTTP/1.1\rHost: a\r\r'],
  ['a carriage return in a value', () => get('HTTP/1.1', 'X: a\rb')],
  ['a NUL in a value', () => get('HTTP/1.1', 'X: a\0b')],
  ['a NUL in a name', () => get('HTTP/1.1', 'X\0: b')],
  ['a control character in a name', () => get('HTTP/1.1', 'X\x01: b')],
  ['a blank in a name', () => get('HTTP/1.1', 'X Y: b')],
  ['a blank before a colon', () => get('HTTP/1.1', 'X : b')],
  ['an empty name', () => get('HTTP/1.1', ': b')],

  // Whose request it is
  ['two hosts', () => get('HTTP/1.1', 'Host: b')],
  ['no host', () => 'GET /healthz HTTP/1.1\r\n\r\n'],
  ['an empty host', () => 'GET /healthz HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a host with a path', () => 'GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n'],
  ['an absolute target, and no host', () => 'GET http://a/healthz HTTP/1.1\r\n\r\n'],
  ['CONNECT', () => 'CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['the target *', () => 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],

  // What language it is
  ['garbage', () => 'GARBAGE\r\n\r\n'],
  ['a method in lower case', () => 'get /healthz HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a blank in the target', () => 'GET /heal thz HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['tabs in the request line', () => 'GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a control character in the target', () => 'GET /healthz\x01 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a NUL in the target', () => 'GET /healthz\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['http in lower case', () => get('http/1.1')],
  ['HTTP/0.9 by name', () => get('HTTP/0.9')],
  ['HTTP/01.1', () => get('HTTP/01.1')],
  ['HTTP/2.0 in words', () => get('HTTP/2.0'), 505],
  ['HTTP/3.1', () => get('HTTP/3.1'), 505],
  ['the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'],
];

describe('one answer, and the end of the connection:', () => {
  for (const [what, bytes, status = 400] of REFUSED)
    test(what, async () => {
      const answers = await answersTo(bytes());

      assert.deepEqual(
        answers.map((answer) => answer.status),
        [status],
      );
      assert.ok(answers[0].ends);
      assert.equal(answers[0].type, 'application/problem+json');
      assert.equal(JSON.parse(answers[0].body).status, status);
      assert.match(JSON.parse(answers[0].body).detail, /^(request|protocol): /, 'nginx says so, no responder');
    });

  test('HTTP/0.9, which has no status', async () => {
    const { hostname, port } = new URL(stack.baseUrl);

    for (const path of ['/healthz', '/api/traces', '/', '/problem']) {
      const socket = connect({ host: hostname, port });
      socket.on('error', () => {}).write(`GET ${path}\r\n${BEHIND}`);
      const text = (await socket.setEncoding('utf8').toArray()).join('');
      assert.ok([404, 505].includes(JSON.parse(text).status), text);
    }
  });

  test('none of all these has made a lesson', async () => {
    assert.equal(await stack.psql(`SELECT count(*) FROM lessons WHERE outline = 'Smuggled'`), '0');
  });
});

// What is no mistake: it ends where its reader says, and the next one is the next one.
const UNDERSTOOD = [
  ['chunks', () => chunked(`${SIZE}\r\n${BODY}\r\n0\r\n\r\n`), 201],
  ['chunked in capitals', () => post(['Transfer-Encoding: CHUNKED'], `${SIZE}\r\n${BODY}\r\n0\r\n\r\n`), 201],
  ['a chunk extension', () => chunked(`${SIZE};a=b\r\n${BODY}\r\n0\r\n\r\n`), 201],
  ['a trailer that speaks of a length', () => chunked(`${SIZE}\r\n${BODY}\r\n0\r\nContent-Length: 3\r\n\r\n`), 201],
  ['a length with an underscore', () => post(['Content_Length: 0', 'Content-Length: 22']), 201],
  ['a GET with a body', () => get('HTTP/1.1', 'Content-Length: 5') + 'hello', 200],
  ['a GET with a request for a body', () => get('HTTP/1.1', `Content-Length: ${BEHIND.length}`) + BEHIND, 200],
  ['line feeds alone', () => 'GET /healthz HTTP/1.1\nHost: a\n\n', 200],
  ['an absolute target', () => 'GET http://example.org/healthz HTTP/1.1\r\nHost: a\r\n\r\n', 200],
  [
    'a wish for h2c',
    () => get('HTTP/1.1', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'),
    200,
  ],
  ['a wish for a WebSocket', () => get('HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket'), 200],
  [
    'a refused request with a request for a body',
    () => `POST /api/lessons HTTP/1.1\r\nHost: a\r\nContent-Length: ${BEHIND.length}\r\n\r\n${BEHIND}`,
    401,
  ],
];

describe('one answer, and then that of the next request:', () => {
  for (const [what, bytes, status] of UNDERSTOOD)
    test(what, async () => {
      const answers = await answersTo(bytes());

      assert.deepEqual(
        answers.map((answer) => answer.status),
        [status, 200],
      );
      assert.equal(answers[1].body, 'ok\n');
    });
});

describe('HTTP/2:', () => {
  for (const length of [0, 5, 23])
    test(`a body of 22 bytes whose length is said to be ${length} is no lesson`, async () => {
      const count = () => stack.psql('SELECT count(*) FROM lessons');
      const before = await count();
      const session = http2.connect(stack.tlsUrl, { rejectUnauthorized: false });
      const headers = {
        ':path': '/api/lessons',
        ':method': 'POST',
        authorization,
        'content-type': 'application/json',
        'content-length': length,
      };
      const stream = session.request(headers);
      let status;

      stream.on('error', () => {}); // a reset, because not all was read
      stream.on('response', (answer) => (status = answer[':status']));
      stream.end(BODY);
      stream.resume();
      await once(stream, 'close', { signal: AbortSignal.timeout(QUIET_MS) });
      session.destroy();
      assert.ok([undefined, 400].includes(status), `${status}`);
      assert.equal(await count(), before);
    });
});
