// The site as the README deploys it, by its own commands: nginx takes it, by HTTPS and by its name alone. No responder
// is there, so an answer to who may pass is a page, or 503.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { until } from '../lib/api.js';
import { freePort } from '../lib/nginx.js';
import { ROOT } from '../lib/stack.js';

const NAME = 'lessons.example.org';
const PASSWORD = 'of the deployment test';
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const ENV = { PATH: `${process.env.PATH}:/usr/sbin` };

let dir, port, tlsPort;

const edit = (file, change) => writeFileSync(file, change(readFileSync(file, 'utf8')));
const site = (file) => join(dir, 'etc/lesson-tracer', file);

// The commands of step 5, with places of ours.
function deploy() {
  const [, commands] = /\n```\n(cd \/usr\/local\/share\/lesson-tracer\/nginx .*?)\n```\n/s.exec(README);
  const ours = commands
    .replaceAll('/usr/local/share/lesson-tracer', ROOT)
    .replaceAll('/usr/local/lib/lesson-tracer', ROOT)
    .replaceAll('/run/lesson-tracer', join(dir, 'run'))
    .replaceAll('/var/log/nginx', dir)
    .replace('user add anna', `user add anna --dir ${join(dir, 'etc/lesson-tracer')}`)
    .replaceAll('/etc/nginx', join(dir, 'etc'));

  execFileSync('sh', ['-euc', ours], {
    env: { ...ENV, RUN_DIR: join(dir, 'none') },
    input: `${PASSWORD}\n`,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

function makeCertificate(name, key, cert) {
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'].concat(
      ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', cert],
    ),
    { stdio: 'pipe' },
  );
}

// What a distribution's nginx.conf has around it.
const nginxConf = () => `
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { }
http {
    client_body_temp_path tmp;
    fastcgi_temp_path tmp;
    proxy_temp_path tmp;
    scgi_temp_path tmp;
    uwsgi_temp_path tmp;
    include lesson-tracer/site.conf;
    include lesson-tracer/https.conf;
}
`;
const ARGS = () => ['-p', dir, '-c', join(dir, 'etc/nginx.conf'), '-e', 'error.log'];

// Gives what ends it.
async function startNginx() {
  rmSync(join(dir, 'nginx.pid'), { force: true });
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'nginx', ...ARGS()], { env: ENV, stdio: 'ignore' });
  await until('nginx has started', async () => {
    assert.equal(child.exitCode, null, existsSync(join(dir, 'error.log')) && readFileSync(join(dir, 'error.log'), 'utf8'));
    return existsSync(join(dir, 'nginx.pid'));
  });
  return async () => {
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
}

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lesson-tracer-deployment.'));
  [port, tlsPort] = [await freePort(), await freePort()];
  mkdirSync(join(dir, 'etc'));
  deploy();
  makeCertificate(NAME, site('tls.key'), site('tls.crt'));
  for (const file of ['site.conf', 'https.conf'])
    edit(site(file), (text) =>
      text
        .replaceAll(/listen 80\b/g, `listen 127.0.0.1:${port}`)
        .replaceAll(/listen 443\b/g, `listen 127.0.0.1:${tlsPort}`),
    );
  writeFileSync(join(dir, 'etc/nginx.conf'), nginxConf());
});

after(() => dir && rmSync(dir, { recursive: true, force: true }));

async function send(path, { tls = true, host = NAME, servername = host, as, headers } = {}) {
  const sent = (tls ? https : http).request({
    host: '127.0.0.1',
    port: tls ? tlsPort : port,
    path,
    servername,
    rejectUnauthorized: false,
    agent: false,
    auth: as && `${as}:${PASSWORD}`,
    headers: { host, ...headers },
  });
  sent.end();
  const [answer] = await once(sent, 'response');
  const protocol = tls && answer.socket.getProtocol();
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  return { status: answer.statusCode, headers: answer.headers, protocol, text };
}

function askService(origin) {
  const template = readFileSync(join(ROOT, 'nginx/snippets/auth-request.conf'), 'utf8');
  const text = template.replace('@auth_url@', `${origin}/oauth2/auth`).replace('@auth_origin@', origin);
  writeFileSync(site('snippets/auth-request.conf'), text.replaceAll('include snippets', 'include lesson-tracer/snippets'));
}

const useMode = (mode) =>
  edit(site('site.conf'), (text) => text.replace(/(include lesson-tracer\/snippets\/auth)-\w+\.conf;/, `$1-${mode}.conf;`));

test('nothing_of_the_templates_is_left_but_what_the_external_service_needs', () => {
  for (const file of ['site.conf', 'https.conf', ...readdirSync(site('snippets')).map((name) => `snippets/${name}`)]) {
    const text = readFileSync(site(file), 'utf8');
    const left = new Set(text.match(/@[a-z_]+@/g));

    assert.deepEqual([...left], file === 'snippets/auth-request.conf' ? ['@auth_url@', '@auth_origin@'] : [], file);
    for (const [, path] of text.matchAll(/^[^#\n]*\binclude ([^;]+);/gm)) assert.match(path, /^lesson-tracer\//, file);
  }
});

for (const mode of ['mtls', 'request', 'basic'])
  test(`nginx takes it: ${mode}`, () => {
    writeFileSync(site('clients.crt'), readFileSync(site('tls.crt')));
    askService('https://127.0.0.1:1');
    useMode(mode);
    execFileSync('nginx', ['-t', ...ARGS()], { env: ENV, stdio: 'pipe' });
  });

describe('with passwords', () => {
  let stop;

  before(async () => {
    useMode('basic');
    stop = await startNginx();
  });
  after(() => stop?.());

  test('port_80_leads_to_https_whatever_is_asked', async () => {
    for (const path of ['/', '/api/traces?limit=1', '/healthz', '/nothing']) {
      const { status, headers, text } = await send(path, { tls: false, as: 'anna' });

      assert.deepEqual([status, headers.location], [301, `https://${NAME}${path}`]);
      assert.equal(headers['www-authenticate'], undefined);
      assert.doesNotMatch(text, /lesson-tracer/);
    }
  });

  test('who_signs_in_passes_by_TLS_1_3_and_nobody_else', async () => {
    const page = await send('/', { as: 'anna' });

    assert.deepEqual([page.status, page.protocol], [200, 'TLSv1.3'], page.text);
    assert.equal(page.headers['strict-transport-security'], 'max-age=31536000');
    assert.equal((await send('/', {})).status, 401);
    assert.equal((await send('/api/traces')).status, 401);
    assert.equal((await send('/api/traces', { as: 'anna' })).status, 503, 'there is no responder');
  });

  test('another_name_gets_nothing', async () => {
    for (const host of ['example.org', `${NAME}.example.org`, '127.0.0.1', 'localhost'])
      for (const tls of [true, false]) {
        const { status, headers } = await send('/', { tls, host, servername: NAME, as: 'anna' });
        assert.deepEqual([status, headers.location], [421, undefined], host);
      }
    for (const servername of ['', 'example.org', 'localhost'])
      await assert.rejects(send('/', { servername, as: 'anna' }), /alert|unrecognized/i, servername);
  });

  test('no_name_gets_nothing', async () => {
    const socket = connect(port, '127.0.0.1');

    socket.end('GET / HTTP/1.0\r\n\r\n');
    assert.match((await socket.setEncoding('utf8').toArray()).join(''), /^HTTP\/1\.1 421 /);
  });

  // As fail2ban does it: without the date, of which we say it in this one form.
  test('the_filter_of_the_README_finds_who_was_refused_and_nobody_else', async () => {
    const [, failregex] = /^failregex = (.*)$/m.exec(README);
    const [, datepattern] = /^datepattern = (.*)$/m.exec(README);
    const date = datepattern
      .replace('%%Y-%%m-%%d', '\\d{4}-\\d\\d-\\d\\d')
      .replace('%%H:%%M:%%S%%z', '\\d\\d:\\d\\d:\\d\\d[+-]\\d\\d:\\d\\d');
    const filter = new RegExp(failregex.replace('<ADDR>', '([0-9.]+)'));
    const begun = readFileSync(join(dir, 'lesson-tracer.log')).length;
    const forged = '/","address":"192.0.2.1","status":401,"';

    for (const [path, options] of [
      ['/', {}],
      ['/', { as: 'bob' }],
      [forged, {}],
      ['/', { as: 'anna' }],
      [forged, { as: 'anna' }],
    ])
      await send(path, options);
    const lines = await until('all are logged', async () => {
      const text = readFileSync(join(dir, 'lesson-tracer.log')).subarray(begun).toString();
      return text.split('\n').length === 6 && text.trim().split('\n');
    });
    for (const line of lines) {
      const found = filter.exec(line.replace(new RegExp(date), ''));
      assert.equal(found?.[1], JSON.parse(line).status === 401 ? '127.0.0.1' : undefined, line);
    }
    assert.deepEqual(lines.map((line) => JSON.parse(line).status), [401, 401, 401, 200, 404]);
  });
});

describe('with an external service by HTTPS', () => {
  const seen = [];
  let service;

  before(async () => {
    makeCertificate('localhost', join(dir, 'auth.key'), join(dir, 'auth.crt'));
    const [key, cert] = ['auth.key', 'auth.crt'].map((name) => readFileSync(join(dir, name)));
    service = https.createServer({ key, cert }, ({ headers }, response) => {
      seen.push(headers);
      response.writeHead(202, { 'x-auth-request-user': 'anna' }).end();
    });
    await once(service.listen(0, '127.0.0.1'), 'listening');
    askService(`https://localhost:${service.address().port}`);
    useMode('request');
  });

  after(() => service?.close());

  test('one_that_nobody_vouches_for_says_nothing', async () => {
    const stop = await startNginx();

    try {
      assert.equal((await send('/api/traces')).status, 503);
      assert.deepEqual(seen, []);
    } finally {
      await stop();
    }
  });

  test('one_of_a_trusted_authority_says_who_it_is', async () => {
    edit(site('snippets/auth-request.conf'), (text) =>
      text.replace('/etc/ssl/certs/ca-certificates.crt', join(dir, 'auth.crt')),
    );
    const stop = await startNginx();

    try {
      assert.equal((await send('/')).status, 200);
      assert.equal(seen[0]['x-forwarded-host'], NAME);
    } finally {
      await stop();
    }
  });
});
