// What another site can make a browser do here: nothing that changes anything, and nothing that it could read. And the
// headers by which each location says so.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { NOBODY } from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';

let stack, db;

before(async () => {
  stack = await startStack();
  db = openSession(stack.databaseUrl);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

const plainAgent = new http.Agent({ keepAlive: true });
const tlsAgent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });

// As it is, without what fetch makes of it. `as`: 'user', or null for nobody.
async function send(method, path, { as = 'user', headers = {}, body, url = stack.baseUrl } = {}) {
  const [{ request }, agent] = url.startsWith('https:') ? [https, tlsAgent] : [http, plainAgent];
  const auth = as && `${stack[as].user}:${stack[as].password}`;
  const sent = request(url + path, { method, headers, auth, agent });

  sent.end(body);
  const [answer] = await once(sent, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return { status: answer.statusCode, headers: answer.headers, text };
}

const withType = (type) => ({ 'content-type': type });
const JSON_TYPE = withType('application/json');

describe('the table of origins:', () => {
  // Fetch Metadata: what a browser says of the site that asks. If it says it, that alone counts.
  const SITES = [
    [undefined, null],
    ['same-origin', true],
    ['none', true], // the address bar, a bookmark
    ['same-site', false], // another host of the domain, another port
    ['cross-site', false],
    ['Same-Origin', false], // the values are in lower case
    ['same-origin, cross-site', false],
    ['other', false],
  ];
  // Older ones, and all of them on plain HTTP, say the origin.
  const ORIGINS = [
    ['none', () => undefined, true], // no browser
    ['ours', () => stack.baseUrl, true],
    ['null', () => 'null', false],
    ['another host', () => 'https://example.org', false],
    ['our host on another port', () => 'http://127.0.0.1:1', false],
    ['our host by the other scheme', () => stack.baseUrl.replace('http:', 'https:'), false],
    ['our TLS address', () => stack.tlsUrl, false],
    ['our host by another name', () => stack.baseUrl.replace('127.0.0.1', 'localhost'), false],
    ['one that begins like ours', () => `${stack.baseUrl}.example.org`, false],
    ['one that ends like ours', () => `http://example.org@${stack.baseUrl.slice(7)}`, false],
    ['ours with a path', () => `${stack.baseUrl}/`, false],
  ];
  const UNSAFE = [
    ['POST', '/api/lessons', '{"outline":"From where?"}', 201],
    ['POST', `/api/lessons/${NOBODY}/regenerate`, '{}', 404],
    ['DELETE', `/api/lessons/${NOBODY}`, undefined, 404],
    ['DELETE', `/api/traces/${NOBODY}`, undefined, 404],
    ['DELETE', `/api/traces?id=${NOBODY}`, undefined, 404],
    ['DELETE', `/api/traces?lesson_id=${NOBODY}&confirm=9`, undefined, 409],
  ];
  const SAFE = [
    ['GET', '/api/traces?limit=1', 200],
    ['HEAD', '/api/lessons?limit=1', 200],
    ['OPTIONS', '/api/lessons', 204],
  ];
  const lessons = () => db.run(`SELECT count(*) FROM lessons WHERE outline = 'From where?'`);

  for (const [site, says] of SITES)
    for (const [name, origin, isOurs] of ORIGINS) {
      const passes = says ?? isOurs;

      test(`Sec-Fetch-Site ${site ?? 'absent'}, Origin ${name}: ${passes ? 'passes' : '403'}`, async () => {
        const headers = {
          ...(site && { 'sec-fetch-site': site }),
          ...(origin() && { origin: origin() }),
        };
        const begun = Number(await lessons());

        await Promise.all([
          ...UNSAFE.map(async ([method, path, body, status]) => {
            const all = { ...headers, ...(body && JSON_TYPE) };
            const answer = await send(method, path, { headers: all, body });
            assert.equal(answer.status, passes ? status : 403, `${method} ${path}: ${answer.text}`);
            if (!passes) assert.match(JSON.parse(answer.text).detail, /^origin: /);
            const nobody = await send(method, path, { as: null, headers: all, body });
            assert.equal(nobody.status, 401, `${method} ${path} without credentials`);
          }),
          ...SAFE.map(async ([method, path, status]) =>
            assert.equal((await send(method, path, { headers })).status, status, `${method} ${path}`),
          ),
        ]);
        assert.equal(Number(await lessons()) - begun, passes ? 1 : 0);
      });
    }

  test('on the TLS address that is ours, and the plain one is not', async () => {
    for (const [origin, status] of [
      [stack.tlsUrl, 404],
      [stack.baseUrl, 403],
    ])
      assert.equal(
        (await send('DELETE', `/api/traces/${NOBODY}`, { url: stack.tlsUrl, headers: { origin } })).status,
        status,
        origin,
      );
  });

  test('a form of another site is refused even by a browser that says nothing', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain'])
      for (const [method, path, body] of UNSAFE.filter(([, , body]) => body))
        assert.equal((await send(method, path, { headers: withType(type), body })).status, 415, type);
  });
});

// Paths of each location of site.conf, by the name it has there, what is answered there, and to whom if not to `user`.
const LOCATIONS = {
  '~ ^/api/(traces|audit)(/|$)': [
    ['/api/traces', 200],
    ['/api/traces/histogram', 200],
    ['/api/traces/stats', 200],
    [`/api/traces/${NOBODY}`, 404],
    ['/api/traces?limit=0', 400],
    ['/api/audit', 200, 'admin'],
    ['/api/audit', 403],
  ],
  '~ ^/api/(lessons|providers)(/|$)': [
    ['/api/lessons', 200],
    ['/api/providers', 200],
    [`/api/lessons/${NOBODY}`, 404],
  ],
  '/api/': [['/api/nothing', 404]],
  '= /healthz': [['/healthz', 200]],
  '= /healthz/traces': [['/healthz/traces', 200]],
  '= /readyz': [['/readyz', 200]],
  '= /sample/v1/chat/completions': [['/sample/v1/chat/completions', 405]],
  '= /sample/v1/models': [['/sample/v1/models', 200]],
  '= /': [['/', 200]],
  '= /traces': [['/traces', 200]],
  '= /monitor': [['/monitor', 200]],
  '= /traces/compare': [['/traces/compare', 200]],
  '~ "^/lessons/[0-9A-Fa-f-]{36}$"': [[`/lessons/${NOBODY}`, 200]],
  '~ "^/traces/[0-9A-Fa-f-]{36}$"': [[`/traces/${NOBODY}`, 200]],
  '~ ^/(lib/|views/|vendor/)?[A-Za-z0-9_-]+\\.(css|ico|js|png|svg)$': [
    ['/style.css', 200],
    ['/lib/api.js', 200],
    ['/none.js', 404],
  ],
  '/': [
    ['/nothing', 404],
    ['/package.json', 404],
  ],
};
// Nobody gets there from outside, or gets nothing.
const INTERNAL = ['= /auth', '= /auth/token', '@drop', '@problem', '@problem_page', '= /problem'];

const isApi = (path) => /^\/(api|healthz|readyz|sample)/.test(path);
const PAGE_POLICY = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'font-src': "'self'",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'self'",
  'frame-ancestors': "'none'",
  'require-trusted-types-for': "'script'",
  'trusted-types': 'dompurify',
};
const policyOf = (text) => Object.fromEntries(text.split('; ').map((rule) => rule.split(/ (.*)/s).slice(0, 2)));

function assertHeaders({ headers }, path, isTls) {
  for (const [name, value] of [
    ['x-content-type-options', 'nosniff'],
    ['x-frame-options', 'DENY'],
    ['referrer-policy', 'no-referrer'],
    ['cross-origin-opener-policy', 'same-origin'],
    ['cross-origin-resource-policy', 'same-origin'],
    ['permissions-policy', 'camera=(), geolocation=(), microphone=()'],
    ['server', 'nginx'],
    ['strict-transport-security', isTls ? 'max-age=31536000' : undefined],
    ['cache-control', isApi(path) ? 'no-store' : 'no-cache'],
  ])
    assert.equal(headers[name], value, `${name} of ${path}`);
  assert.match(headers['x-request-id'], /^[0-9a-f]{32}$/);
  assert.deepEqual(
    policyOf(headers['content-security-policy']),
    isApi(path) ? { 'default-src': "'none'", 'frame-ancestors': "'none'" } : PAGE_POLICY,
    path,
  );
  assert.match(headers['content-type'], isApi(path) ? /^(application\/(problem\+)?json|text\/plain)/ : /./);
}

// No word of any other site: a browser then gives its scripts nothing to read.
function assertNoCors({ headers }, what) {
  for (const name of Object.keys(headers)) assert.doesNotMatch(name, /^(access-control-|timing-allow-)/, what);
}

describe('every location', () => {
  // The names in site.conf and what it includes, as rendered.
  function names() {
    const dir = join(stack.runDir, 'nginx');
    const expand = (file) =>
      readFileSync(join(dir, file), 'utf8')
        .replaceAll(/#.*$/gm, '')
        .replaceAll(/include (snippets\/[a-z-]+\.conf);/g, (_, inner) => expand(inner));

    return [...expand('site.conf').matchAll(/^\s*location ((?:"[^"]*"|[^{"])+?)\s*\{(.*)/gm)].map(([, name]) => name);
  }

  test('is in the table', () => {
    assert.deepEqual([...new Set(names())].sort(), [...Object.keys(LOCATIONS), ...INTERNAL].sort());
  });

  for (const [name, paths] of Object.entries(LOCATIONS))
    test(`${name} sets its headers, to all and whatever the answer`, async () => {
      for (const [path, status, as] of paths)
        for (const url of [stack.baseUrl, stack.tlsUrl]) {
          const answer = await send('GET', path, { url, as });

          assert.equal(answer.status, status, `${path}: ${answer.text}`);
          assertHeaders(answer, path, url === stack.tlsUrl);
          assertHeaders(await send('GET', path, { url, as: null }), path, url === stack.tlsUrl);
          assertHeaders(await send('PUT', path, { url, as }), path, url === stack.tlsUrl);
        }
    });

  for (const [name, paths] of Object.entries(LOCATIONS))
    test(`${name} lets no other site read, and answers no preflight`, async () => {
      const origin = 'https://example.org';
      const preflight = {
        origin,
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'content-type',
        'access-control-request-private-network': 'true',
      };

      for (const [path, , who = 'user'] of paths)
        for (const as of [who, null]) {
          assertNoCors(await send('OPTIONS', path, { as, headers: preflight }), path);
          assertNoCors(await send('GET', path, { as, headers: { origin } }), path);
          assertNoCors(await send('DELETE', `${path}?id=${NOBODY}`, { as, headers: { origin } }), path);
        }
    });
});
