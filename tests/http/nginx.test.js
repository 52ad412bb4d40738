// What nginx does by itself: who gets in as whom, its own errors, the headers, the pages.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { until } from '../lib/api.js';
import { locationsOf } from '../lib/nginx.js';
import { startStack } from '../lib/stack.js';

const SOME_ID = '00000000-0000-4000-8000-000000000000';
const IDENTITY = ['REMOTE_USER', 'AUTH_ROLE', 'AUTH_SCHEME', 'REQUEST_ID'];

let stack;

before(async () => {
  stack = await startStack();
});

after(() => stack?.stop());

const basic = ({ user, password }) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

// A request as node:http sends it: any method, any header, from any address of ours.
async function send(method, path, { as = 'user', headers = {}, body, ...options } = {}) {
  const { hostname, port } = new URL(stack.baseUrl);
  const authorization = as === null ? {} : { authorization: basic(stack[as]) };
  const request = http.request({ hostname, port, method, path, headers: { ...authorization, ...headers }, ...options });

  request.on('error', () => {}); // an answer may come before all of the body is taken
  request.end(body);
  const [answer] = await once(request, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return { status: answer.statusCode, headers: answer.headers, text };
}

// Bytes as they are, on a connection of their own. Gives the answer's status, headers and text.
async function sendBytes(bytes, url = stack.baseUrl) {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port });

  socket.end(bytes);
  const [head, text] = (await socket.setEncoding('utf8').toArray()).join('').split('\r\n\r\n');
  const [line, ...fields] = head.split('\r\n');
  const headers = Object.fromEntries(fields.map((field) => field.toLowerCase().split(': ')));
  return { status: Number(line.split(' ')[1]), headers, text };
}

function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const body = JSON.parse(answer.text);
  assert.deepEqual(Object.keys(body).sort(), ['code', 'detail', 'error', 'request_id', 'status', 'title', 'type']);
  assert.deepEqual([body.type, body.status, body.code], ['about:blank', status, code]);
  assert.match(body.request_id, /^[0-9a-f]{32}$/);
  assert.equal(answer.headers['x-request-id'], body.request_id);
  assert.ok(body.title && body.detail && body.error === body.detail);
  assertSecured(answer);
}

function assertSecured({ headers }) {
  assert.match(headers['x-request-id'], /^[0-9a-f]{32}$/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(headers.server, 'nginx');
}

describe('identity', () => {
  // What a client might send in the hope that a responder takes it for nginx's word.
  const SPOOFS = ['Remote-User', 'REMOTE_USER', 'X-Remote-User', 'Remote.User', 'X-Forwarded-User', 'Http-Remote-User'];
  const ROLES = ['Auth-Role', 'AUTH_ROLE', 'X-Auth-Role', 'Http-Auth-Role'];
  const spoofed = Object.fromEntries([...SPOOFS.map((name) => [name, 'admin']), ...ROLES.map((name) => [name, 'admin'])]);

  test('headers_do_not_sign_anybody_in', async () => {
    for (const path of ['/api/traces', '/api/lessons', '/api/providers', `/api/traces/${SOME_ID}`, '/'])
      assert.equal((await send('GET', path, { as: null, headers: spoofed })).status, 401, path);
  });

  test('headers_do_not_make_an_admin', async () => {
    const seen = async (options) => JSON.parse((await send('GET', '/api/traces', options)).text).traces.length;

    assert.equal(await seen({ as: 'admin' }), 1, 'the first lesson is the admin’s');
    assert.equal(await seen({ as: 'user', headers: spoofed }), 0);
  });

  test('headers_do_not_change_the_owner', async () => {
    const { status, text } = await send('POST', '/api/lessons', {
      headers: { ...spoofed, 'content-type': 'application/json' },
      body: '{"outline":"Whose lesson is this?"}',
    });

    assert.equal(status, 201, text);
    const { id } = JSON.parse(text).lesson;
    assert.equal(await stack.psql(`SELECT owner FROM lessons WHERE id = '${id}'`), 'user');
  });

  test('a_wrong_password_is_nobody', async () => {
    for (const authorization of [
      basic({ user: 'admin', password: 'guess' }),
      basic({ user: 'admin', password: '' }),
      basic({ user: '', password: stack.admin.password }),
      'Basic !',
      'Bearer x',
    ])
      assert.equal((await send('GET', '/api/traces', { as: null, headers: { authorization } })).status, 401);
  });

  test('the_way_back_to_the_password_prompt_survives', async () => {
    for (const path of ['/api/traces', '/', '/style.css'])
      assert.match((await send('GET', path, { as: null })).headers['www-authenticate'], /^Basic realm=/);
  });
});

describe('rendered configuration', () => {
  const locations = () =>
    locationsOf(join(stack.runDir, 'nginx')).map(({ match, path, lines }) => [`${match} ${path}`.trim(), lines]);
  const responders = () => locations().filter(([, lines]) => lines.some(([name]) => name === 'fastcgi_pass'));

  test('finds_the_locations', () => {
    assert.ok(locations().length >= 12);
    assert.equal(responders().length, 8);
  });

  test('every_responder_is_told_everything_once', () => {
    const params = ([name, lines]) => [
      name,
      lines.filter(([directive]) => directive === 'fastcgi_param').map(([, param]) => param),
    ];
    const told = responders()
      .filter(([name]) => name !== '= /auth/token')
      .map(params);

    for (const [name, params] of told) {
      assert.equal(new Set(params).size, params.length, `a duplicate in ${name}`);
      assert.deepEqual(params, told[0][1], name);
      for (const param of IDENTITY) assert.ok(params.includes(param), `${param} in ${name}`);
    }
  });

  test('whose_token_it_is_is_asked_with_the_token_alone', () => {
    const [, lines] = responders().find(([name]) => name === '= /auth/token');
    const said = lines.map((line) => line.join(' '));

    assert.deepEqual(
      said.filter((line) => line.startsWith('fastcgi_param')),
      [
        'fastcgi_param REQUEST_ID $request_id',
        'fastcgi_param REQUEST_METHOD GET',
        'fastcgi_param DOCUMENT_URI $document_uri',
        'fastcgi_param AUTH_TOKEN $auth_token',
      ],
    );
    for (const line of ['internal', 'fastcgi_pass_request_headers off', 'fastcgi_pass_request_body off'])
      assert.ok(said.includes(line), line);
  });

  test('who_is_not_asked_has_no_name', () => {
    const all = locations();
    const open = all.filter(([, lines]) => lines.some((line) => line.join(' ') === 'auth_request off'));

    assert.ok(open.length >= 6);
    for (const [name, lines] of open) {
      assert.ok(lines.some((line) => line.join(' ') === 'auth_basic off'), name);
      assert.ok(!lines.some(([directive]) => ['set', 'auth_request_set'].includes(directive)), name);
    }
    for (const [name, lines] of all.filter((location) => !open.includes(location)))
      assert.ok(!lines.some(([directive]) => /^(auth_|satisfy|set$)/.test(directive)), name);
  });

  test('everything_sets_the_headers', () => {
    const inner = ['= /problem', '= /auth', '= /auth/token', '@drop'];
    for (const [name, lines] of locations().filter(([name]) => !inner.includes(name)))
      assert.ok(
        lines.some((line) => line.join(' ').startsWith('add_header X-Request-Id $request_id always')),
        name,
      );
  });

  test('no_placeholder_is_left', () => {
    const dir = join(stack.runDir, 'nginx');
    for (const file of readdirSync(dir, { recursive: true }).filter((name) => name.endsWith('.conf')))
      assert.doesNotMatch(readFileSync(join(dir, file), 'utf8').replaceAll(/#.*$/gm, ''), /@[a-z_]+@/);
  });
});

describe('its own errors', () => {
  test('are_problem_json_for_programs', async () => {
    assertProblem(await send('GET', '/api/traces', { as: null }), 401, 'unauthorized');
    assertProblem(await send('GET', '/api/nothing'), 404, 'not_found');
    assertProblem(await send('POST', '/api/nothing'), 404, 'not_found');
    assertProblem(await send('GET', '/api/tracesandmore'), 404, 'not_found');
    assertProblem(await send('TRACE', '/api/traces'), 405, 'method_not_allowed');
    assertProblem(await send('GET', '/readyz', { as: null, localAddress: '127.0.0.2' }), 403, 'forbidden');
    assertProblem(await send('GET', '/api/traces', { headers: { 'X-Long': 'x'.repeat(9000) } }), 400, 'invalid_request');
    assertProblem(await send('GET', `/api/traces?q=${'x'.repeat(9000)}`), 414, 'invalid_request');
  });

  test('a_body_over_1_MiB_is_refused', async () => {
    const body = Buffer.alloc((1 << 20) + 1, ' ');
    const headers = { 'content-type': 'application/json' };

    assertProblem(await send('POST', '/api/lessons', { headers, body }), 413, 'too_large');
    assertProblem(
      await send('POST', '/api/lessons', { headers: { ...headers, 'transfer-encoding': 'chunked' }, body }),
      413,
      'too_large',
    );
  });

  test('plain_HTTP_on_the_TLS_port_is_told_so', async () => {
    assertProblem(await sendBytes('GET / HTTP/1.1\r\nHost: a\r\n\r\n', stack.tlsUrl), 400, 'invalid_request');
  });

  test('a_dead_responder_is_503_until_it_is_back', async () => {
    const find = (pattern) => stack.processes().filter(({ command }) => pattern.test(command));
    const run = find(/^bash scripts\/run/);

    for (const { pid } of run) process.kill(pid, 'SIGSTOP'); // who would start it again at once
    try {
      for (const pattern of [/multiwatch .*traces\.fcgi/, /^\S*traces\.fcgi/])
        for (const { pid } of find(pattern)) process.kill(pid, 'SIGKILL');
      await until('nobody listens', async () => find(/traces\.fcgi/).length === 0);
      const answer = await send('GET', '/api/traces');
      assertProblem(answer, 503, 'unavailable');
      assert.equal(answer.headers['retry-after'], '2');
      assert.equal((await send('GET', '/api/lessons')).status, 200, 'the other one answers');
    } finally {
      for (const { pid } of run) process.kill(pid, 'SIGCONT');
    }
    await until('it is back', async () => (await send('GET', '/api/traces')).status === 200);
  });

  test('are_pages_for_people', async () => {
    for (const [path, status] of [
      ['/nothing', 404],
      ['/lessons/nothing', 404],
    ]) {
      const answer = await send('GET', path);
      assert.equal(answer.status, status);
      assert.match(answer.headers['content-type'], /^text\/html/);
      assert.match(answer.text, new RegExp(`Request <code>${answer.headers['x-request-id']}</code>`));
      assertSecured(answer);
    }
    const answer = await send('POST', '/');
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.allow, 'GET, HEAD');
  });
});

describe('headers', () => {
  test('the_API_is_not_kept_or_run', async () => {
    for (const [path, as] of [
      ['/api/traces', 'user'],
      ['/api/lessons', 'user'],
      [`/api/traces/${SOME_ID}`, 'user'],
      ['/healthz', null],
      ['/healthz/traces', null],
      ['/readyz', null],
    ]) {
      const answer = await send('GET', path, { as });
      assertSecured(answer);
      assert.equal(answer.headers['cache-control'], 'no-store', path);
      assert.equal(answer.headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
      assert.equal(answer.headers['strict-transport-security'], undefined);
    }
  });

  test('pages_run_their_own_scripts_alone', async () => {
    const answer = await send('GET', '/');
    const policy = Object.fromEntries(
      answer.headers['content-security-policy'].split('; ').map((rule) => {
        const [name, ...sources] = rule.split(' ');
        return [name, sources.join(' ')];
      }),
    );

    assertSecured(answer);
    assert.deepEqual(
      [policy['default-src'], policy['script-src'], policy['style-src'], policy['connect-src'], policy['base-uri']],
      ["'none'", "'self'", "'self'", "'self'", "'none'"],
    );
    assert.equal(policy['require-trusted-types-for'], "'script'");
    assert.equal(policy['trusted-types'], 'dompurify');
    assert.doesNotMatch(answer.headers['content-security-policy'], /unsafe|\*|https?:/);
  });

  test('TLS_speaks_HTTP_2_and_asks_for_TLS_for_ever', async () => {
    const session = http2.connect(stack.tlsUrl, { rejectUnauthorized: false });
    const stream = session.request({ ':path': '/api/traces', authorization: basic(stack.user) });
    const [headers] = await once(stream, 'response');

    stream.resume();
    await once(stream, 'end');
    session.close();
    assert.equal(session.alpnProtocol, 'h2');
    assert.equal(headers[':status'], 200);
    assert.match(headers['strict-transport-security'], /^max-age=\d{8}/);
  });
});

describe('pages', () => {
  const PAGES = ['/', '/traces', '/monitor', `/lessons/${SOME_ID}`, `/traces/${SOME_ID}`];

  test('are_html', async () => {
    for (const path of PAGES) {
      const { status, headers, text } = await send('GET', path);
      assert.equal(status, 200, path);
      assert.match(headers['content-type'], /^text\/html/);
      assert.match(text, /^<!doctype html>/i);
      assert.equal(headers['cache-control'], 'no-cache');
    }
  });

  test('find_all_that_they_name', async () => {
    const seen = new Set();
    const load = async (path) => {
      if (seen.has(path)) return;
      seen.add(path);
      const { status, headers, text } = await send('GET', path);
      assert.equal(status, 200, path);
      if (path.endsWith('.js')) assert.match(headers['content-type'], /^text\/javascript/, path);
      const named = [...text.matchAll(/(?:src|href)="(\/[\w./-]+)"|(?:^import|from) ?['"](\.{0,2}\/[^'"]+)['"]/gm)];
      for (const [, absolute, relative] of path.startsWith('/vendor/markdown-it') ? [] : named)
        await load(new URL(absolute ?? relative, `http://x${path}`).pathname);
    };

    for (const path of PAGES) await load(path);
    assert.ok(seen.has('/vendor/preact.js') && seen.has('/style.css'));
  });

  test('nothing_else_of_their_folder_is_served', async () => {
    for (const path of [
      '/package.json',
      '/package-lock.json',
      '/.npmrc',
      '/vendor/package-lock.json',
      '/vendor/licences/preact',
      '/vendor/',
      '/lib/',
      '/lib/../package.json',
      '/lib/%2e%2e/package.json',
      '/lib/..%2fpackage.json',
      '/../nginx/users.htpasswd',
    ])
      assert.ok([400, 404].includes((await send('GET', path)).status), path);
  });

  test('are_compressed_and_kept_and_the_API_is_not', async () => {
    const headers = { 'accept-encoding': 'gzip' };
    const style = await send('GET', '/style.css', { headers });

    assert.equal(style.headers['content-encoding'], 'gzip');
    assert.equal((await send('GET', '/api/traces', { headers, as: 'admin' })).headers['content-encoding'], undefined);
    const again = await send('GET', '/style.css', { headers: { ...headers, 'if-none-match': style.headers.etag } });
    assert.equal(again.status, 304);
  });
});

describe('loopback', () => {
  test('readyz_and_the_built_in_provider_are_for_this_machine', async () => {
    assert.equal((await send('GET', '/readyz', { as: null })).status, 200);
    for (const path of ['/readyz', '/sample/v1/chat/completions'])
      assertProblem(await send('GET', path, { localAddress: '127.0.0.2' }), 403, 'forbidden');
  });

  test('healthz_is_for_all', async () => {
    for (const path of ['/healthz', '/healthz/traces'])
      assert.equal((await send('GET', path, { as: null, localAddress: '127.0.0.2' })).status, 200, path);
  });
});

test('the_access_log_is_JSON_and_holds_no_secrets', async () => {
  const { status, headers } = await send('GET', '/api/traces?q=whatpeoplesearchfor');
  const read = () => readFileSync(join(stack.logDir, 'access.log'), 'utf8');
  const line = await until('the line is there', async () =>
    read().trim().split('\n').map((text) => JSON.parse(text)).find(({ id }) => id === headers['x-request-id']),
  );
  const log = read();

  assert.deepEqual(
    [line.user, line.method, line.path, line.status, line.upstream_status],
    ['user', 'GET', '/api/traces', status, `${status}`],
  );
  for (const secret of ['whatpeoplesearchfor', stack.user.password, stack.admin.password, basic(stack.user).slice(6)])
    assert.ok(!log.includes(secret));
  assert.doesNotMatch(log, /GARBAGE/);
});
