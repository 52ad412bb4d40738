// Who gets in, and as whom: by password, by an external service, by certificate; by bearer token beside each. And who
// does not, whatever a client says of itself.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { REQUEST_ID, until } from '../lib/api.js';
import { locationOf, locationsOf, openDoor } from '../lib/nginx.js';
import { ROOT, startStack } from '../lib/stack.js';

const SOME_ID = '00000000-0000-4000-8000-000000000000';
const CANARY = 'canary-of-the-admin';
const JSON_TYPE = { 'content-type': 'application/json' };

let stack, service, scratch, silent;
const doors = {};
const certificates = {};
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

const basic = (user, password) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const bearer = (token) => ({ authorization: `Bearer ${token}` });

// A request as node:http sends it, with any header, as often as wanted. `url`: a door's.
async function send(url, method, path, { headers = {}, body, cert } = {}) {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === 'https:' && { ...certificates[cert], rejectUnauthorized: false, agent: false };
  const request = (secure ? https : http).request({
    hostname,
    port,
    method,
    path,
    headers: { ...(body ? JSON_TYPE : {}), ...headers },
    agent,
    ...secure,
  });

  request.end(body);
  const [answer] = await once(request, 'response');
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  const isJson = /json/.test(answer.headers['content-type']) && text !== '';
  return { status: answer.statusCode, headers: answer.headers, text, body: isJson && JSON.parse(text) };
}

function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  assert.equal(answer.headers.location, undefined);
  assert.equal(answer.body.code, code);
  assert.match(answer.body.request_id, REQUEST_ID);
}

// A script of the operator's, as one types it: {status, stdout, stderr}.
const script = (name, args, { input = '', env = {} } = {}) =>
  new Promise((resolve) => {
    const child = execFile(
      join(ROOT, 'scripts', name),
      args,
      { env: { PATH: process.env.PATH, RUN_DIR: stack.runDir, ...env } },
      (error, stdout, stderr) => resolve({ status: error ? error.code : 0, stdout, stderr }),
    );
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });

async function makeToken(...args) {
  const { status, stdout, stderr } = await script('token', ['create', ...args]);
  assert.equal(status, 0, stderr);
  return { token: stdout.trim(), id: /Token (\S+)/.exec(stderr)[1] };
}

// The external service: who has which cookie. It speaks as oauth2-proxy does, or as Authelia.
function startService() {
  const SESSIONS = {
    'session=user': [202, { 'x-auth-request-user': 'user' }],
    'session=admin': [202, { 'x-auth-request-user': 'admin', 'x-auth-request-email': 'admin@there' }],
    'session=authelia': [200, { 'remote-user': 'user', 'remote-groups': 'admins' }],
    'session=nameless': [202, {}],
    'session=forbidden': [403, {}],
    'session=redirected': [302, { location: 'http://elsewhere/' }],
    'session=portal': [401, { location: 'https://auth.there/?rd=x' }],
    'session=broken': [500, {}],
  };
  const seen = [];
  const server = http.createServer((request, response) => {
    const { cookie = '' } = request.headers;
    seen.push({ method: request.method, url: request.url, headers: request.headers });
    if (cookie === 'session=gone') {
      request.socket.destroy();
      return;
    }
    response.writeHead(...(SESSIONS[cookie] ?? [401, {}]));
    response.end('an answer that nobody reads');
  });

  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ server, seen, url: `http://127.0.0.1:${server.address().port}` }));
  });
}

// Fills `certificates`, by openssl; ca.crt vouches for them, ca.crl has those that it revoked.
function makeCertificates() {
  const run = (...args) => execFileSync('openssl', args, { cwd: scratch, stdio: ['ignore', 'pipe', 'pipe'] });
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const ca of ['ca', 'other'])
    run('req', '-x509', ...ec, '-days', '2', '-subj', `/CN=${ca}`, '-keyout', `${ca}.key`, '-out', `${ca}.crt`);
  const settings = '[ca]\ndefault_ca = here\n[here]\ndatabase = index\ndefault_md = sha256\ndefault_crl_days = 2\n';
  const authority = ['ca', '-config', 'ca.cnf', '-keyfile', 'ca.key', '-cert', 'ca.crt'];
  writeFileSync(join(scratch, 'ca.cnf'), settings);
  writeFileSync(join(scratch, 'index'), '');
  let serial = 0;
  for (const [name, subject, ca = 'ca'] of [
    ['user', '/O=School/CN=user'],
    ['admin', '/CN=admin'],
    ['stranger', '/CN=admin', 'other'],
    ['within', '/O=x,CN=admin/CN=mallory'],
    ['first', '/CN=admin/O=evil'],
    ['comma', '/CN=mallory,CN=admin'],
    ['quoted', '/CN="admin"'],
    ['mail', '/emailAddress=CN=admin'],
    ['nobody', '/O=School'],
    ['revoked', '/CN=user'],
  ]) {
    run('req', '-new', ...ec, '-subj', subject, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    run('x509', '-req', '-in', `${name}.csr`, '-CA', `${ca}.crt`, '-CAkey', `${ca}.key`, '-set_serial', `${++serial}`, '-days', '2', '-out', `${name}.crt`);
    certificates[name] = {
      key: readFileSync(join(scratch, `${name}.key`)),
      cert: readFileSync(join(scratch, `${name}.crt`)),
    };
  }
  run(...authority, '-revoke', 'revoked.crt');
  run(...authority, '-gencrl', '-out', 'ca.crl');
}

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'lesson-tracer-certs.'));
  service = await startService();
  // The stack itself asks the service, so that scripts/run is seen to do it, without a password of anybody.
  makeCertificates();
  stack = await startStack({
    env: {
      AUTH_CLIENT_CRL: join(scratch, 'ca.crl'),
      AUTH_MODE: 'request',
      AUTH_REQUEST_URL: `${service.url}/oauth2/auth`,
    },
  });
  silent = startSilentPeer();
  doors.request = { baseUrl: stack.baseUrl, tlsUrl: stack.tlsUrl, dir: join(stack.runDir, 'nginx') };
  doors.basic = await openDoor(stack, 'basic');
  doors.mtls = await openDoor(stack, 'mtls', { files: { 'clients.crt': readFileSync(join(scratch, 'ca.crt')) } });
  await stack.psql(
    `INSERT INTO lesson_traces (owner, request_data) VALUES ('admin', '{"outline": "${CANARY}"}');
     INSERT INTO lessons (owner, title, outline, status) VALUES ('admin', '${CANARY}', '${CANARY}', 'generated')`,
  );
});

after(async () => {
  agent.destroy();
  for (const name of ['basic', 'mtls']) await doors[name]?.stop();
  service?.server.closeAllConnections();
  service?.server.close();
  await stack?.stop();
  if (scratch) rmSync(scratch, { recursive: true, force: true });
});

// Who connects to a responder, says half of what a request begins with, and no more.
function startSilentPeer() {
  const socket = connect(join(stack.runDir, 'sockets/fcgi/sample.sock'));
  const peer = { since: performance.now() };

  socket.write(Buffer.from([1, 1, 0, 1]));
  socket.resume().on('error', () => {});
  peer.whenClosed = once(socket, 'close').then(() => (peer.closed = performance.now()));
  return peer;
}

// How one signs in at each door: options of send().
const SIGN_IN = {
  basic: (name) => ({ headers: { authorization: basic(stack[name].user, stack[name].password) } }),
  request: (name) => ({ headers: { cookie: `session=${name}` } }),
  mtls: (name) => ({ cert: name }),
};
const urlOf = (mode) => (mode === 'mtls' ? doors.mtls.tlsUrl : doors[mode].baseUrl);
const APIS = ['/api/traces', '/api/lessons', '/api/providers', '/api/audit', `/api/traces/${SOME_ID}`, '/api/nothing'];

for (const [mode, offer] of [
  ['basic', /^Basic realm="lesson-tracer"$/],
  ['request', /^Bearer realm="lesson-tracer"$/],
  ['mtls', /^Bearer realm="lesson-tracer"$/],
])
  describe(`signing in, ${mode}`, () => {
    const ask = (method, path, as, options = {}) => {
      const who = as ? SIGN_IN[mode](as) : {};
      return send(urlOf(mode), method, path, {
        ...who,
        ...options,
        headers: { ...who.headers, ...options.headers },
      });
    };

    test('nobody_is_401_for_programs_and_never_a_redirect', async () => {
      for (const path of APIS)
        for (const method of ['GET', 'POST', 'DELETE']) {
          const answer = await ask(method, path, null, { headers: { accept: 'text/html' } });
          assertProblem(answer, 401, 'unauthorized');
          assert.match(answer.headers['www-authenticate'], offer, `${method} ${path}`);
        }
    });

    test('nobody_is_401_for_people_with_the_way_to_sign_in', async () => {
      const answer = await ask('GET', '/traces?status=failed', null);

      assert.equal(answer.status, 401);
      assert.match(answer.headers['content-type'], /^text\/html/);
      assert.match(answer.headers['www-authenticate'], offer);
      assert.equal(
        answer.headers.refresh,
        mode === 'request' ? '/oauth2/sign_in?rd=/traces?status=failed' : undefined,
      );
    });

    test('a_user_is_that_user', async () => {
      const { status, body } = await ask('POST', '/api/lessons', 'user', { body: `{"outline":"By ${mode}"}` });

      assert.equal(status, 201);
      assert.equal(body.lesson.owner, 'user');
      const { text } = await ask('GET', '/api/lessons', 'user');
      assert.doesNotMatch(text, new RegExp(CANARY));
      assertProblem(await ask('GET', '/api/audit', 'user'), 403, 'forbidden');
      assert.equal((await ask('GET', '/', 'user')).status, 200);
    });

    test('an_admin_is_one', async () => {
      assert.match((await ask('GET', '/api/traces', 'admin')).text, new RegExp(CANARY));
      assert.equal((await ask('GET', '/api/audit', 'admin')).status, 200);
    });

    test('another_site_may_not_use_it', async () => {
      const answer = await ask('DELETE', `/api/traces/${SOME_ID}`, 'user', { headers: { origin: 'http://there' } });
      assertProblem(answer, 403, 'forbidden');
    });

    test('a_bearer_token_signs_in_beside_it', async () => {
      const { token } = await makeToken('--name', 'machine', '--role', 'user', '--expires', '1h');
      const answer = await ask('POST', '/api/lessons', null, { headers: bearer(token), body: '{"outline":"By token"}' });

      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.lesson.owner, 'machine');
      assertProblem(await ask('GET', '/api/audit', null, { headers: bearer(token) }), 403, 'forbidden');
      assert.equal((await ask('GET', '/', null, { headers: bearer(token) })).status, 200);
      const foreign = { headers: { ...bearer(token), origin: 'http://there' } };
      assertProblem(await ask('DELETE', `/api/traces/${SOME_ID}`, null, foreign), 404, 'not_found');
    });

    // What a token lacks, nothing else makes up for; and the other way round.
    test('a_token_that_is_none_is_401_whoever_else_is_signed_in', async () => {
      for (const token of [`lt_${'x'.repeat(43)}`, 'lt_', '', 'x', `lt_${'x'.repeat(4000)}`, "lt_' OR true --"]) {
        const answer = await ask('GET', '/api/traces', mode === 'basic' ? null : 'admin', { headers: bearer(token) });
        assertProblem(answer, 401, 'unauthorized');
        assert.equal(answer.headers['www-authenticate'], 'Bearer realm="lesson-tracer", error="invalid_token"', token);
      }
    });

    if (mode !== 'basic')
      test('what_the_client_says_in_a_password_is_nothing', async () => {
        const headers = { authorization: basic('admin', stack.admin.password) };

        assertProblem(await ask('GET', '/api/traces', null, { headers }), 401, 'unauthorized');
        const { text } = await ask('GET', '/api/traces', 'user', { headers });
        assert.doesNotMatch(text, new RegExp(CANARY));
      });
  });

describe('the external service', () => {
  const ask = (cookie, path = '/api/traces') => send(stack.baseUrl, 'GET', path, { headers: { cookie } });

  test('may_be_Authelia', async () => {
    assert.equal((await ask('session=authelia')).status, 200);
    assertProblem(await ask('session=authelia', '/api/audit'), 403, 'forbidden');
  });

  test('who_names_nobody_lets_nobody_in', async () => {
    assertProblem(await ask('session=nameless'), 401, 'unauthorized');
  });

  test('may_refuse', async () => {
    assertProblem(await ask('session=forbidden'), 403, 'forbidden');
  });

  test('that_fails_is_503_and_lets_nobody_in', async () => {
    for (const state of ['broken', 'gone', 'redirected']) {
      const answer = await ask(`session=${state}`);
      assertProblem(answer, 503, 'unavailable');
      assert.equal(answer.headers['retry-after'], '2');
    }
  });

  test('tells_people_where_to_sign_in', async () => {
    assert.equal((await ask('session=portal', '/')).headers.refresh, 'https://auth.there/?rd=x');
  });

  test('hears_nothing_from_the_client_but_its_cookie', async () => {
    service.seen.length = 0;
    await send(stack.baseUrl, 'DELETE', `/api/traces/${SOME_ID}?x=1`, {
      headers: {
        cookie: 'session=user',
        'x-original-url': 'http://evil/',
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-user': 'admin',
        'x-auth-request-user': 'admin',
        'remote-user': 'admin',
        authorization: basic('admin', 'x'),
        'x-anything': '1',
      },
    });
    const [{ url, headers }] = service.seen;
    assert.equal(url, '/oauth2/auth');
    assert.deepEqual(headers, {
      host: new URL(stack.baseUrl).host,
      cookie: 'session=user',
      'x-original-method': 'DELETE',
      'x-original-url': `${stack.baseUrl}/api/traces/${SOME_ID}?x=1`,
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': new URL(stack.baseUrl).host,
      'x-forwarded-proto': 'http',
      'x-forwarded-uri': `/api/traces/${SOME_ID}?x=1`,
    });
  });

  test('is_not_asked_about_tokens', async () => {
    const { token } = await makeToken('--name', 'machine');
    service.seen.length = 0;
    assert.equal((await send(stack.baseUrl, 'GET', '/api/traces', { headers: bearer(token) })).status, 200);
    assert.deepEqual(service.seen, []);
  });
});

describe('certificates', () => {
  const ask = (cert) => send(doors.mtls.tlsUrl, 'GET', '/api/traces', { cert });

  test('of_another_authority_are_refused', async () => assertProblem(await ask('stranger'), 400, 'invalid_request'));

  test('that_are_revoked_are_refused', async () => assertProblem(await ask('revoked'), 400, 'invalid_request'));

  for (const cert of ['first', 'comma', 'quoted', 'mail', 'nobody'])
    test(`whose_subject_does_not_begin_with_a_plain_name_are_nobody: ${cert}`, async () => {
      assertProblem(await ask(cert), 401, 'unauthorized');
    });

  test('are_no_others_whatever_else_they_say', async () => {
    const { status, text } = await ask('within'); // mallory's
    assert.equal(status, 200);
    assert.doesNotMatch(text, new RegExp(CANARY));
  });

  test('are_not_asked_for_on_the_other_port', async () => {
    assertProblem(await send(doors.mtls.baseUrl, 'GET', '/api/traces'), 401, 'unauthorized');
  });
});

describe('tokens', () => {
  const get = (token, path = '/api/traces') => send(stack.baseUrl, 'GET', path, { headers: bearer(token) });

  test('are_256_random_bits_of_which_the_hash_is_kept', async () => {
    const made = await Promise.all([1, 2, 3].map(() => makeToken('--name', 'ci')));

    assert.equal(new Set(made.map(({ token }) => token)).size, 3);
    for (const { token } of made) assert.match(token, /^lt_[A-Za-z0-9_-]{43}$/);
    assert.equal((await get(made[0].token)).status, 200);
    assert.equal(
      await stack.psql(`SELECT count(*) FROM api_tokens t WHERE t::text ~ 'lt_' OR length(sha256) <> 32`),
      '0',
    );
    assert.equal(
      await stack.psql(`SELECT sha256 = sha256('${made[0].token}') FROM api_tokens WHERE id = '${made[0].id}'`),
      't',
    );
    for (const name of readdirSync(stack.logDir))
      for (const { token } of made)
        assert.ok(!readFileSync(join(stack.logDir, name), 'utf8').includes(token.slice(3)), name);
  });

  test('have_a_role', async () => {
    const { token } = await makeToken('--name', 'nightly', '--role', 'admin', '--expires', '2h');

    assert.match((await get(token)).text, new RegExp(CANARY));
    assert.equal((await get(token, '/api/audit')).status, 200);
    const user = await makeToken('--name', 'admin'); // the name of an admin makes none
    assertProblem(await get(user.token, '/api/audit'), 403, 'forbidden');
  });

  test('are_refused_once_revoked_or_over', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => makeToken('--name', 'ci', '--expires', '2099-12-31')));

    assert.equal((await get(one.token)).status, 200);
    assert.equal((await script('token', ['revoke', one.id])).status, 0);
    assertProblem(await get(one.token), 401, 'unauthorized');
    assert.equal((await get(two.token)).status, 200);
    await stack.psql(`UPDATE api_tokens SET expires_at = now() WHERE id = '${two.id}'`);
    assertProblem(await get(two.token), 401, 'unauthorized');
    assert.notEqual((await script('token', ['revoke', one.id])).status, 0, 'twice');
  });

  test('are_written_once_a_minute_however_often_they_are_used', async () => {
    const { token, id } = await makeToken('--name', 'busy');
    const row = () => stack.psql(`SELECT xmin, last_used_at FROM api_tokens WHERE id = '${id}'`);

    await get(token);
    const first = await row();
    assert.match(first, /\d{4}-/);
    await Promise.all(Array.from({ length: 20 }, () => get(token)));
    assert.equal(await row(), first);
    await stack.psql(`UPDATE api_tokens SET last_used_at = now() - interval '61 seconds' WHERE id = '${id}'`);
    await get(token);
    assert.equal(await stack.psql(`SELECT last_used_at > now() - interval '30 seconds' FROM api_tokens WHERE id = '${id}'`), 't');
  });

  test('are_spelt_in_one_way_but_for_the_scheme', async () => {
    const { token } = await makeToken('--name', 'ci');
    const status = async (authorization) =>
      (await send(stack.baseUrl, 'GET', '/api/traces', { headers: { authorization } })).status;

    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'Bearer  ']) assert.equal(await status(`${scheme} ${token}`), 200);
    for (const wrong of [
      token,
      `Token ${token}`,
      `Bearer: ${token}`,
      `Bearer ${token}x`,
      `Bearer ${token.slice(0, -1)}`,
      `Bearer ${token.toUpperCase()}`,
      `Bearer ${token} ${token}`,
      `Bearer ${token},`,
      `Bearer "${token}"`,
      `Bearer${token}`,
    ])
      assert.equal(await status(wrong), 401, wrong);
    for (const path of [`/api/traces?access_token=${token}`, `/api/traces?token=${token}`])
      assert.equal((await send(stack.baseUrl, 'GET', path)).status, 401, path);
  });

  test('are_asked_about_from_inside_alone', async () => {
    const { token } = await makeToken('--name', 'ci', '--role', 'admin');

    for (const door of Object.values(doors))
      for (const path of ['/auth', '/auth/token'])
        assertProblem(await send(door.baseUrl, 'GET', path, { headers: bearer(token) }), 404, 'not_found');
  });

  for (const args of [
    ['create'],
    ['create', '--name', ''],
    ['create', '--name', "a'b"],
    ['create', '--name', 'a b'],
    ['create', '--name', 'a', '--role', 'root'],
    ['create', '--name', 'a', '--expires', '0d'],
    ['create', '--name', 'a', '--expires', '1y'],
    ['create', '--name', 'a', '--expires', 'never'],
    ['create', '--name', 'a', '--expires', '2020-01-01'],
    ['create', '--name', 'a', '--expires', '2027-02-30'],
    ['create', '--name', 'a', '--expires', "1d'); DROP TABLE api_tokens; --d"],
    ['create', '--name'],
    ['revoke'],
    ['revoke', 'x'],
    ['revoke', SOME_ID],
    ['list', 'x'],
    ['nothing'],
  ])
    test(`scripts/token refuses: ${args.join(' ')}`, async () => {
      const before = await stack.psql('SELECT count(*) FROM api_tokens');
      const { status, stdout, stderr } = await script('token', args);

      assert.equal(status, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^token: |^Bearer tokens/);
      assert.equal(await stack.psql('SELECT count(*) FROM api_tokens'), before);
    });

  test('scripts/token lists them, and none of them', async () => {
    const { token, id } = await makeToken('--name', 'listed', '--role', 'admin');
    const { stdout } = await script('token', ['list']);

    assert.match(stdout, new RegExp(`${id} \\| listed +\\| admin`));
    assert.ok(!stdout.includes(token.slice(3)));
    assert.match((await script('token', ['--help'])).stdout, /scripts\/token create/);
  });
});

describe('scripts/user', () => {
  const user = (...args) => script('user', [...args, '--dir', doors.basic.dir]);
  const signIn = async (name, password, path = '/api/traces') =>
    (await send(doors.basic.baseUrl, 'GET', path, { headers: { authorization: basic(name, password) } })).status;
  const line = (name) =>
    readFileSync(join(doors.basic.dir, 'users.htpasswd'), 'utf8')
      .split('\n')
      .filter((text) => text.startsWith(`${name}:`));

  test('adds_changes_and_removes_who_may_sign_in', async () => {
    const added = await user('add', 'a.b', '--generate');
    const password = added.stdout.trim();

    assert.equal(added.status, 0, added.stderr);
    assert.match(password, /^\S{24}$/);
    assert.match(line('a.b')[0], /^a\.b:\$6\$[^:]+$/);
    assert.equal(await signIn('a.b', password), 200);
    assert.equal(await signIn('a.b', password, '/api/audit'), 403);
    assert.equal((await user('add', 'a.b', '--generate')).status, 2, 'there already');

    const changed = await script('user', ['password', 'a.b', '--dir', doors.basic.dir], { input: 'a new password, typed\n' });
    assert.equal(changed.status, 0, changed.stderr);
    assert.equal(line('a.b').length, 1);
    assert.equal(await signIn('a.b', password), 401);
    assert.equal(await signIn('a.b', 'a new password, typed'), 200);

    assert.equal((await user('add', 'axb', '--generate')).status, 0);
    assert.equal((await user('remove', 'a.b')).status, 0);
    assert.equal(await signIn('a.b', 'a new password, typed'), 401);
    assert.equal(line('axb').length, 1, 'a point is a point');
    assert.equal(await signIn('user', stack.user.password), 200, 'the others stay');
  });

  test('makes_admins_and_none_of_like_names', async () => {
    const passwords = {};
    for (const name of ['c+d', 'ccd', 'C+D']) passwords[name] = (await user('add', name, '--generate')).stdout.trim();
    assert.equal((await user('role', 'c+d', 'admin')).status, 0);
    await until('nginx has read it', async () => (await signIn('c+d', passwords['c+d'], '/api/audit')) === 200);
    for (const name of ['ccd', 'C+D']) assert.equal(await signIn(name, passwords[name], '/api/audit'), 403, name);
    assert.match((await user('list')).stdout, /^c\+d\tadmin$/m);
    assert.equal((await user('remove', 'c+d')).status, 0);
    assert.doesNotMatch(readFileSync(join(doors.basic.dir, 'admins.map'), 'utf8'), /c\[\+\]d/);
  });

  test('revokes_the_tokens_of_who_goes_and_the_admin_ones_of_who_is_no_admin_any_more', async () => {
    const get = async (path, { token }) =>
      (await send(stack.baseUrl, 'GET', path, { headers: bearer(token) })).status;
    await user('add', 'leaver', '--role', 'admin', '--generate');
    const [own, admins, others] = await Promise.all([
      makeToken('--name', 'leaver'),
      makeToken('--name', 'leaver', '--role', 'admin'),
      makeToken('--name', 'leaver2', '--role', 'admin'),
    ]);

    const demoted = await user('role', 'leaver', 'user');
    assert.equal(demoted.status, 0, demoted.stderr);
    assert.match(demoted.stderr, /^user: tokens of leaver revoked: 1$/m);
    assert.deepEqual([await get('/api/traces', own), await get('/api/audit', admins)], [200, 401]);
    assert.equal((await user('remove', 'leaver')).status, 0);
    assert.deepEqual([await get('/api/traces', own), await get('/api/audit', others)], [401, 200]);
    const rows = await stack.psql(
      `SELECT action || ' ' || object || ' ' || subject FROM audit_log
        WHERE subject LIKE 'leaver (%' AND action <> 'create' ORDER BY id`,
    );
    assert.deepEqual(rows.trim().split('\n'), [
      'role user leaver (user)',
      'revoke token leaver (admin)',
      'delete user leaver (user)',
      'revoke token leaver (user)',
    ]);
  });

  test('changes_nothing_that_it_cannot_tell_the_audit_log', async () => {
    const files = () => ['users.htpasswd', 'admins.map'].map((name) => readFileSync(join(doors.basic.dir, name), 'utf8'));
    const away = { DATABASE_URL: `host=${scratch} dbname=nothing` };
    await user('add', 'audited2', '--role', 'admin', '--generate');
    const before = files();

    for (const args of [
      ['add', 'unheard', '--role', 'admin', '--generate'],
      ['password', 'audited2', '--generate'],
      ['role', 'audited2', 'user'],
      ['remove', 'audited2'],
    ]) {
      const { status, stdout, stderr } = await script('user', [...args, '--dir', doors.basic.dir], { env: away });
      assert.equal(status, 2, args[0]);
      assert.match(stderr, /^user: nothing is changed: the database/m);
      assert.equal(stdout, '');
      assert.deepEqual(files(), before, args[0]);
    }
    // Where there is none, it says what is not done.
    const none = await script('user', ['remove', 'audited2', '--dir', doors.basic.dir], { env: { RUN_DIR: scratch } });
    assert.equal(none.status, 0, none.stderr);
    assert.match(none.stderr, /^user: not in the audit log, and tokens are not revoked: DATABASE_URL is not set$/m);
    assert.equal(line('audited2').length, 0);
  });

  test('leaves_files_that_nginx_alone_may_read', () => {
    for (const name of ['users.htpasswd', 'admins.map'])
      assert.equal(statSync(join(doors.basic.dir, name)).mode & 0o777, 0o640, name);
    assert.deepEqual(
      readdirSync(doors.basic.dir).filter((name) => name.startsWith('.')),
      [],
    );
  });

  for (const [args, input] of [
    [['add', 'evil:x'], 'long enough, this one\n'],
    [['add', 'a"; admin'], 'long enough, this one\n'],
    [['add', 'x'.repeat(65)], 'long enough, this one\n'],
    [['add', 'shorty'], 'short\n'],
    [['add', 'shorty'], ''],
    [['password', 'nobody'], 'long enough, this one\n'],
    [['role', 'user'], ''],
    [['role', 'user', 'root'], ''],
    [['role', 'admin', 'admin'], ''],
    [['remove', 'nobody'], ''],
    [['nothing'], ''],
    [['add', 'shorty', '--password', 'x'], ''],
  ])
    test(`refuses: ${args.join(' ')}`, async () => {
      const before = readFileSync(join(doors.basic.dir, 'users.htpasswd'), 'utf8');
      const { status } = await script('user', [...args, '--dir', doors.basic.dir], { input });

      assert.equal(status, 2);
      assert.equal(readFileSync(join(doors.basic.dir, 'users.htpasswd'), 'utf8'), before);
    });
});

describe('the audit log', () => {
  const audit = async (query = '') =>
    (await send(stack.baseUrl, 'GET', `/api/audit${query}`, SIGN_IN.request('admin'))).body;

  test('tells_admins_of_tokens_users_and_deletions', async () => {
    const { id } = await makeToken('--name', 'audited');
    await script('token', ['revoke', id]);
    await script('user', ['add', 'audited', '--generate', '--dir', doors.basic.dir]);
    await script('user', ['remove', 'audited', '--dir', doors.basic.dir]);
    const { body } = await send(stack.baseUrl, 'POST', '/api/lessons', {
      ...SIGN_IN.request('user'),
      body: '{"outline":"To be deleted"}',
    });
    const gone = await send(stack.baseUrl, 'DELETE', `/api/lessons/${body.lesson.id}`, SIGN_IN.request('user'));
    const rows = (await audit('?limit=6')).audit;
    const told = rows.map(({ action, object, subject, count, ids }) => [action, object, subject, count, ids?.[0]]);

    assert.deepEqual(told.slice(2), [
      ['delete', 'user', 'audited (user)', 1, undefined],
      ['create', 'user', 'audited (user)', 1, undefined],
      ['revoke', 'token', 'audited (user)', 1, id],
      ['create', 'token', 'audited (user)', 1, id],
    ]);
    assert.deepEqual(told.slice(0, 2).map(([action, object]) => `${action} ${object}`).sort(), ['delete lesson', 'delete trace']);
    for (const row of rows.slice(0, 2)) {
      assert.equal(row.actor, 'user');
      assert.equal(row.request_id, gone.headers['x-request-id']);
    }
    for (const row of rows.slice(2)) assert.match(row.actor, /^os:\w+$/);
  });

  test('is_filtered_and_paged', async () => {
    const all = (await audit('?limit=200')).audit;
    const paged = [];
    for (let query = '?limit=2'; query; ) {
      const { audit: rows, next_cursor: cursor } = await audit(query);
      paged.push(...rows);
      query = cursor && `?limit=2&cursor=${cursor}`;
    }
    assert.ok(all.length > 10);
    assert.deepEqual(paged, all);
    for (const [name, value] of [
      ['actor', 'user'],
      ['action', 'revoke'],
      ['object', 'token'],
    ]) {
      const { audit: some } = await audit(`?limit=200&${name}=${value}`);
      assert.ok(some.length > 0 && some.length < all.length, name);
      assert.deepEqual(some, all.filter((row) => row[name] === value));
    }
    const { at } = all[3];
    const [from, to] = [`from=${encodeURIComponent(at)}`, `to=${encodeURIComponent(at)}`];
    assert.deepEqual((await audit(`?limit=200&${from}`)).audit, all.filter((row) => row.at >= at));
    assert.deepEqual((await audit(`?limit=200&${to}`)).audit, all.filter((row) => row.at < at));
    assert.deepEqual((await audit('?actor=no%20one')).audit, []);
  });

  test('refuses_what_it_does_not_know', async () => {
    const { next_cursor: cursor } = await audit('?limit=1');
    for (const query of ['?x=1', '?from=yesterday', '?limit=0', '?cursor=x', `?cursor=${cursor}&actor=user`])
      assertProblem(await send(stack.baseUrl, 'GET', `/api/audit${query}`, SIGN_IN.request('admin')), 400, 'invalid_request');
    assertProblem(await send(stack.baseUrl, 'DELETE', '/api/audit', SIGN_IN.request('admin')), 405, 'method_not_allowed');
  });
});

// ---- spoofs ----

// Spellings of what a proxy, a responder or a service might take for somebody's identity.
const SPELLINGS = [
  ['Remote-User', 'admin'],
  ['REMOTE_USER', 'admin'],
  ['remote_user', 'admin'],
  ['Remote.User', 'admin'],
  ['X-Remote-User', 'admin'],
  ['X_Remote_User', 'admin'],
  ['X-Forwarded-User', 'admin'],
  ['X-Forwarded-Preferred-Username', 'admin'],
  ['X-Forwarded-Email', 'admin'],
  ['X-Auth-Request-User', 'admin'],
  ['X_Auth_Request_User', 'admin'],
  ['X-Auth-Request-Groups', 'admin'],
  ['X-Auth-User', 'admin'],
  ['X_AUTH_USER', 'admin'],
  ['X-Auth-Role', 'admin'],
  ['Auth-User', 'admin'],
  ['Auth-Role', 'admin'],
  ['AUTH_ROLE', 'admin'],
  ['auth.role', 'admin'],
  ['Auth-Scheme', 'bearer'],
  ['Auth-Person', 'admin'],
  ['Auth-Token', `lt_${'x'.repeat(43)}`],
  ['Http-Remote-User', 'admin'],
  ['HTTP_REMOTE_USER', 'admin'],
  ['Http-Auth-Role', 'admin'],
  ['Remote-Groups', 'admin'],
  ['X-User', 'admin'],
  ['X-WebAuth-User', 'admin'],
  ['X-SSL-Client-Verify', 'SUCCESS'],
  ['Ssl-Client-Verify', 'SUCCESS'],
  ['X-SSL-Client-S-DN', 'CN=admin'],
  ['Ssl-Client-S-Dn', 'CN=admin'],
  ['Proxy-Authorization', basic('admin', 'x')],
  ['X-Original-URL', '/healthz'],
];

// A path for each location that can be asked for; those that have but a name cannot.
const CANDIDATES = [
  '/api/traces',
  '/api/lessons',
  '/api/nothing',
  '/style.css',
  '/oauth2/x',
  '/nothing-here',
  `/lessons/${SOME_ID}`,
  `/traces/${SOME_ID}`,
];

function pathsOf(dir) {
  const locations = locationsOf(dir);
  const reachable = locations.filter(({ path }) => !path.startsWith('@'));
  const found = reachable.map((location) => ({
    ...location,
    sample: location.match === '=' ? location.path : CANDIDATES.find((path) => locationOf(locations, path) === location),
  }));

  for (const { match, path, sample } of found) assert.ok(sample, `no path for location ${match} ${path}`);
  return found;
}

const steady = ({ status, text }) => `${status} ${text.replaceAll(/[0-9a-f]{32}/g, 'ID')}`;

describe('spoofed identity', () => {
  for (const mode of ['basic', 'request', 'mtls'])
    test(`is_accepted_nowhere, ${mode}`, async (t) => {
      const url = doors[mode].baseUrl; // where nobody has a certificate
      const who = mode === 'mtls' ? null : SIGN_IN[mode]('user').headers;
      const logs = () => ['traces.log', 'lessons.log'].map((name) => readFileSync(join(stack.logDir, name), 'utf8'));
      const ids = new Set();
      let asked = 0;
      let accepted = 0;
      const locations = pathsOf(doors[mode].dir).filter(({ lines }) => !lines.some(([name]) => name === 'proxy_pass'));

      for (const { sample } of locations)
        for (const as of who ? [null, who] : [null]) {
          // /readyz tells how it goes right now, and the sample provider wants a body: their status alone
          const told = (answer) => (/^\/(readyz|sample)/.test(sample) ? `${answer.status}` : steady(answer));
          const expected = told(await send(url, 'GET', sample, { headers: { ...as } }));
          await Promise.all(
            SPELLINGS.flatMap(([name, value]) => [value, [value, value], ['x', value]]).map(async (_, i) => {
              const [name, value] = SPELLINGS[Math.floor(i / 3)];
              const sent = [value, [value, value], ['x', value]][i % 3];
              const answer = await send(url, 'GET', sample, { headers: { ...as, [name]: sent } });
              asked++;
              ids.add(answer.headers['x-request-id']);
              if (told(answer) !== expected || answer.text.includes(CANARY)) {
                accepted++;
                assert.fail(`${name}: ${sent} at ${sample}: ${answer.status} ${answer.text}, not ${expected}`);
              }
            }),
          );
        }
      // What the responders understood, by their own logs.
      const users = logs()
        .flatMap((text) => text.split('\n'))
        .filter((line) => ids.has(/ id=(\w+)/.exec(line)?.[1]))
        .map((line) => / user=("[^"]*"|\S+)/.exec(line)[1]);
      assert.deepEqual([...new Set(users)].sort(), who ? ['""', 'user'] : ['""']);
      t.diagnostic(`${SPELLINGS.length} spellings x 3 x ${locations.length} locations: ${asked} requests, ${accepted} accepted`);
    });

  test('is_not_made_of_two_credentials', async (t) => {
    const { token } = await makeToken('--name', 'machine');
    const good = basic('user', stack.user.password);
    const wrong = basic('admin', 'guess');
    let asked = 0;

    for (const pair of [
      [good, wrong],
      [wrong, good],
      [`Bearer ${token}`, wrong],
      [wrong, `Bearer ${token}`],
      ['Bearer x', wrong],
      [wrong, 'Bearer x'],
      [`Bearer ${token}, ${wrong}`],
      [`${wrong}, Bearer ${token}`],
      [`Basic ${Buffer.from('admin').toString('base64')}`],
      ['Basic', 'Bearer'],
    ])
      for (const mode of ['basic', 'request', 'mtls']) {
        const answer = await send(doors[mode].baseUrl, 'GET', '/api/audit', { headers: { authorization: pair } });
        asked++;
        // refused, or at most a user; the audit log is for admins
        assert.ok([400, 401, 403].includes(answer.status), `${pair}: ${answer.status}`);
      }
    t.diagnostic(`${asked} requests, 0 accepted as admin`);
  });

  test('is_not_made_by_way_of_a_redirect_or_an_error', async () => {
    for (const path of ['//api/audit', '/api/../api/audit', '/api/%61udit', '/api/audit/', '/API/audit', '/api/audit;x', '/problem', '/api/audit%00'])
      for (const mode of ['basic', 'request', 'mtls']) {
        const { status } = await send(doors[mode].baseUrl, 'GET', path, { headers: { 'X-Auth-User': 'admin' } });
        assert.ok([400, 401, 404].includes(status), `${path}: ${status}`);
      }
  });
});

describe('the sockets of the responders', () => {
  test('are_for_nginx_alone', async () => {
    const dir = join(stack.runDir, 'sockets/fcgi');
    const sockets = readdirSync(dir).filter((name) => name.endsWith('.sock'));

    assert.deepEqual(sockets.sort(), ['lessons.sock', 'sample.sock', 'traces.sock']);
    for (const name of sockets) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o660, name);
    assert.equal(statSync(dir).mode & 0o077, 0);
  });

  test('give_up_who_says_nothing', async () => {
    const patience = new Promise((_, reject) => setTimeout(reject, 30_000, new Error('not given up')).unref());

    await Promise.race([silent.whenClosed, patience]);
    assert.ok(silent.closed - silent.since > 5000, 'not at once, either');
    assert.equal((await send(stack.baseUrl, 'GET', '/sample/v1/models')).status, 200);
  });
});
