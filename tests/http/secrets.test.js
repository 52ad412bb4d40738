// Keys that nobody configured, in six codes, in outlines, in providers' answers and errors: none is in the database, the
// spool, the logs or an answer; and what is no key comes out byte for byte. SECRETS=10000 plants so many; the keys come
// from SEED, and are told by it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, renameSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { api, sleep, until, whenDone } from '../lib/api.js';
import { crash } from '../lib/postgres.js';
import { ROOT, startStack } from '../lib/stack.js';

const KEYS = Number(process.env.SECRETS ?? 120);
const SEED = process.env.SEED ?? 'secrets';
const IN_A_TEXT = 24; // so many fit an error of 500 bytes, once they are taken out
const WINDOW = 12; // characters of a key that may stand nowhere
const AT_A_TIME = 8;

// ---- keys, and how they are spelt ----

const WORD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const SHAPES = [
  ['sk-', 48, `${WORD}`],
  ['sk-proj-', 64, `${WORD}_-`],
  ['sk-ant-api03-', 80, `${WORD}_-`],
  ['AIza', 35, `${WORD}_-`],
  ['gsk_', 52, WORD],
  ['hf_', 34, WORD],
  ['xai-', 60, WORD],
  ['ghp_', 36, WORD],
  ['github_pat_', 82, `${WORD}_`],
  ['glpat-', 20, `${WORD}_-`],
  ['AKIA', 16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'],
];

function random(n) {
  const [prefix, length, alphabet] = SHAPES[n % SHAPES.length];
  let digits = '';

  for (let i = 0; digits.length < length; i++)
    for (const byte of createHash('sha512').update(`${SEED} ${n} ${i}`).digest())
      digits += alphabet[byte % alphabet.length];
  return { prefix, digits: digits.slice(0, length - 1) + '7' }; // one digit, as those have
}

const bytes = (text) => [...Buffer.from(text)].map((byte) => byte.toString(16).padStart(2, '0'));
// Whatever stands before it: a key begins at each of the three places in a group.
const before64 = (key, n) => `${'xy '.slice(2 - (n % 3))}${key}`;
const CODES = {
  raw: (key) => key,
  json: (key) => bytes(key).map((byte) => `\\u00${byte}`).join(''),
  url: (key) => bytes(key).map((byte) => `%${byte}`).join(''),
  base64: (key, n) => Buffer.from(before64(key, n)).toString('base64'),
  base64url: (key, n) => Buffer.from(before64(key, n)).toString('base64url'),
  hex: (key) => bytes(key).join(''),
};

// Without the backslashes, since whoever prints a text adds some.
const plain = (text) => text.replaceAll('\\', '');
const planted = Array.from({ length: KEYS }, (_, n) => random(n)).flatMap(({ prefix, digits }, n) =>
  Object.entries(CODES).map(([code, encode]) => ({
    code,
    text: (code === 'raw' && n % 2 ? 'API_KEY_' : '') + encode(prefix + digits, n),
    // the random part, as it is spelt there; in base64 without the digits that others have a share in
    secret: code.startsWith('base64')
      ? encode(prefix + digits, n).slice(8, -4)
      : plain(encode(digits, n)),
  })),
);
const windows = new Map();
for (const { code, secret } of planted)
  for (let i = 0; i + WINDOW <= secret.length; i += WINDOW)
    windows.set(secret.slice(i, i + WINDOW), code);

// The codes of the keys of which a part is there.
function found(text) {
  const all = plain(text);
  const codes = new Set();

  for (let i = 0; i + WINDOW <= all.length; i++) {
    const code = windows.get(all.slice(i, i + WINDOW));
    if (code !== undefined) codes.add(code);
  }
  return [...codes];
}

const CHUNKS = Array.from({ length: Math.ceil(planted.length / IN_A_TEXT) }, (_, i) =>
  planted
    .slice(i * IN_A_TEXT, (i + 1) * IN_A_TEXT)
    .map(({ text }) => text)
    .join(' ; '),
);

// ---- texts without keys ----

const CLEAN = [
  '# Fractions\n\n$\\frac{1}{2}\\neq 50\\%$ of \\"x\\", 100%25 sure, \\u00e9 and %C3%A9\n',
  '# Pictures\n\n![dot](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk)\n',
  '# Hashes\n\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 of nothing\n',
  '# Words\n\ntask-based risk-management-in-the-classroom; Bearer of good news; sk-learn-pipelines-and-steps\n',
  '# Slugs\n\nThe Ring Bearer Responsibilities; sk-learn-tutorial-part-2-intro; Bearer Duties-In-2024\n',
  `# This programme\n\n${readFileSync(join(ROOT, 'README.md'), 'utf8')}`,
  ...readdirSync(join(ROOT, 'html/lib'))
    .filter((name) => name.endsWith('.js'))
    .map((name) => `# ${name}\n\n${readFileSync(join(ROOT, 'html/lib', name), 'utf8')}`),
];

// ---- the providers: five that refuse, and one that answers ----

const ERRORS = [
  (text) => JSON.stringify({ error: { message: text, type: 'x' } }),
  (text) => JSON.stringify({ error: { message: 'no', code: text, type: text } }),
  (text) => JSON.stringify({ error: text }),
  (text) => text,
  (text) => `<html><head><title>${text}</title></head><body>${text}</body></html>`,
];
const TYPES = ['application/json', 'application/json', 'application/json', 'text/plain', 'text/html'];

async function startProviders() {
  const received = [];
  const held = [];
  let errors = 0;
  let holds = false;
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    const [, kind, number] = /\bpupil (chunk|clean) (\d+)/.exec(body);
    const text = kind === 'clean' ? CLEAN[number] : CHUNKS[(Number(number) * 5) % CHUNKS.length];

    received.push(body);
    if (holds) await new Promise((resolve) => held.push(resolve));
    if (!request.url.startsWith('/last/') && kind === 'chunk') {
      const n = errors++;
      const way = n % ERRORS.length;

      response.writeHead(400, { 'content-type': TYPES[way] });
      response.end(ERRORS[way](CHUNKS[n % CHUNKS.length]));
      return;
    }
    const id = text.split(' ; ')[Number(number) % IN_A_TEXT];

    response.writeHead(200, {
      'content-type': 'application/json',
      'x-request-id': kind === 'clean' ? 'req-1' : (id ?? 'req-1'),
    });
    response.end(
      JSON.stringify({
        id: kind === 'clean' ? 'chatcmpl-1' : text,
        model: kind === 'clean' ? 'model-1' : text,
        choices: [
          {
            message: {
              content: kind === 'clean' ? text : `# ${text}\n\n## Key Concepts\n\n- ${text}\n`,
            },
            finish_reason: 'stop',
          },
        ],
      }),
    );
  });

  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    received,
    held,
    errors: () => errors,
    hold(on) {
      holds = on;
      if (!on) held.splice(0).forEach((go) => go());
    },
    stop: () => new Promise((resolve) => server.closeAllConnections() ?? server.close(resolve)),
  };
}

let stack, call, providers;

const post = async (outline, more = {}) => {
  const answer = await call('POST', '/api/lessons', { json: { outline, ...more } });

  assert.equal(answer.status, 201, answer.text);
  assert.deepEqual(found(answer.text), []);
  return answer.body.lesson;
};

async function each(items, act) {
  const queue = items.map((item, i) => [item, i]);

  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      while (queue.length > 0) await act(...queue.shift());
    }),
  );
}

const spooled = () =>
  readdirSync(join(stack.runDir, 'state'))
    .filter((name) => /^(spool|damaged|dead)-/.test(name))
    .map((name) => readFileSync(join(stack.runDir, 'state', name), 'latin1'))
    .join('\n');

before(async () => {
  providers = await startProviders();
  const at = (name) => `${providers.url}/${name}/v1`;
  stack = await startStack({
    env: {
      LLM_PROVIDERS: 'groq,qwen,huggingface,openai',
      GROQ_BASE_URL: at('groq'),
      QWEN_BASE_URL: at('qwen'),
      HUGGINGFACE_BASE_URL: at('huggingface'),
      OPENAI_BASE_URL: at('last'),
      OPENAI_API_KEY: 'the-key+of/this~test=',
    },
  });
  call = api(stack);
  await each(CHUNKS, async (chunk, i) => {
    const { id } = await post(`pupil chunk ${i}: ${chunk}`);

    await whenDone(call, id);
  });
});

after(() => Promise.all([stack?.stop(), providers?.stop()]));

test('the_search_finds_what_is_there', () => {
  assert.deepEqual(found(`a ${CHUNKS[0]} b`).sort(), Object.keys(CODES).sort());
  for (const { text } of planted) assert.notDeepEqual(found(text), []);
});

test('all_errors_were_told', () => assert.ok(providers.errors() >= CHUNKS.length));

test('none_is_in_the_spool', async () => {
  await sleep(100);
  providers.hold(true);
  const lessons = await Promise.all(
    [0, 1, 2, 3].map((i) => post(`pupil chunk ${i}: held ${CHUNKS[i]}`, { provider: 'openai' })),
  );

  await until('the calls', () => providers.held.length === lessons.length);
  const restart = await crash(stack);
  try {
    providers.hold(false);
    await until('a spool', () => spooled().split('REDACTED').length > 50);
    assert.deepEqual(found(spooled()), []);
  } finally {
    providers.hold(false);
    await restart();
  }
  await Promise.all(lessons.map(({ id }) => whenDone(call, id)));
});

test('none_is_in_the_refusal_of_a_request', async () => {
  for (const { text } of planted.slice(0, 6 * SHAPES.length)) {
    const answers = [
      await call('POST', '/api/lessons', { json: { outline: 'x', [text]: 1 } }),
      await call('GET', `/api/traces?${encodeURIComponent(text)}=1`),
      await call('GET', `/api/traces/${encodeURIComponent(text)}`),
      await call('GET', `/api/traces?limit=${encodeURIComponent(text)}`),
    ];

    for (const answer of answers) {
      assert.equal(answer.status, 400, answer.text);
      assert.deepEqual(found(answer.text), []);
    }
  }
});

const basic = (user, password) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

// Pasted where it does not belong: into the address, as a name, as a password. nginx alone writes of it.
test('none_of_a_request_that_reached_nobody_is_in_the_logs', async () => {
  const { user, password } = stack.user;
  const socket = join(stack.runDir, 'sockets/fcgi/traces.sock');
  const logged = [];
  const ask = async (path, headers, expected) => {
    const answer = await call('GET', path, { as: null, headers });

    assert.equal(answer.status, expected, answer.text);
    assert.deepEqual(found(answer.text), []);
    logged.push({ id: answer.headers.get('x-request-id'), status: expected });
  };

  for (const { text } of planted.slice(0, 6 * SHAPES.length)) {
    const key = encodeURIComponent(text);

    await ask(`/api/traces/${key}?q=${key}`, basic(text, password), 401);
    await ask(`/api/traces?q=${key}`, basic(user, text), 401);
    await ask(`/${key}.js?${key}`, { authorization: `Bearer ${text}` }, 401);
    await ask(`/lib/${key}.js`, basic(user, password), 404);
    await ask(`/lessons/${key}`, basic(user, password), 404);
  }
  renameSync(socket, `${socket}.away`);
  try {
    for (const { text } of planted.slice(0, 6))
      await ask(`/api/traces?q=${encodeURIComponent(text)}`, basic(user, password), 503);
  } finally {
    renameSync(`${socket}.away`, socket);
  }
  const lines = await until('the lines of all', () => {
    const text = readFileSync(join(stack.logDir, 'access.log'), 'utf8').trim();
    const all = new Map(text.split('\n').map((line) => [JSON.parse(line).id, JSON.parse(line)]));
    return logged.every(({ id }) => all.has(id)) && all;
  });
  for (const { id, status } of logged) {
    const line = lines.get(id);

    assert.equal(line.status, status);
    assert.equal(line.user, status === 401 ? '' : user);
    assert.match(line.path, status === 503 ? /^\/api\/traces$/ : /^(\(another\)|\/api\/traces)$/);
  }
  for (const name of ['access.log', 'nginx.log'])
    assert.deepEqual(found(readFileSync(join(stack.logDir, name), 'utf8')), [], name);
});

test('none_is_kept_of_a_key_for_repetition_or_of_a_filter', async () => {
  const { text } = planted[0];
  const refused = await call('POST', '/api/lessons', {
    json: { outline: 'x' },
    headers: { 'idempotency-key': text },
  });
  const [one] = (await call('GET', '/api/traces?limit=1&view=summary')).body.traces;
  const models = encodeURIComponent(`${one.model},${text}`);
  const filter = `lesson_id=${one.lesson_id}&model=${models}&confirm=1`;
  const deleted = await call('DELETE', `/api/traces?${filter}`);
  const rows = await stack.psql('SELECT to_json(a) FROM audit_log a');

  assert.equal(refused.status, 400);
  assert.match(refused.body.detail, /^idempotency-key: /);
  assert.equal(deleted.status, 200, deleted.text);
  assert.match(rows, /model=.*REDACTED/);
  assert.deepEqual(found(rows), []);
});

test('what_is_no_key_comes_out_byte_for_byte', async () => {
  await each(CLEAN, async (content, i) => {
    const outline = `pupil clean ${i}: ${content.slice(0, 5000)}`.trim();
    const { id } = await post(outline, { provider: 'openai' });
    const lesson = await whenDone(call, id);
    const { trace } = (await call('GET', `/api/traces/${lesson.trace_ids[0]}`)).body;

    assert.equal(lesson.content, content);
    assert.equal(lesson.outline, outline);
    assert.equal(trace.request_data.outline, outline);
    assert.equal(trace.llm_calls[0].response.content, content);
  });
});

test('no_memory_is_writable_and_executable', () => {
  const program = /^\S*\/(\w+\.fcgi|lesson-generator)$/;
  const ours = stack.processes().filter(({ command }) => program.test(command));

  assert.ok(ours.length > 5);
  for (const { pid, command } of ours)
    assert.doesNotMatch(readFileSync(`/proc/${pid}/maps`, 'utf8'), /^\S+ .wx/m, command);
});

test('none_is_sent_to_a_provider', () => {
  for (const body of providers.received) assert.deepEqual(found(body), []);
});

test('none_is_in_the_database', async () => {
  const args = ['--data-only', '--inserts', '-d', stack.databaseUrl];
  const { stdout } = await promisify(execFile)('pg_dump', args, { maxBuffer: 1 << 30 });

  assert.ok(stdout.split('[REDACTED').length > planted.length);
  assert.deepEqual(found(stdout), []);
});

test('none_is_in_an_answer', async () => {
  await sleep(100); // so that a connection that was closed during a long search is known to be
  const paths = ['/api/lessons?limit=200', '/api/traces/export?format=ndjson', '/api/providers'];

  for (const path of [...paths, '/api/traces?limit=200&view=full']) {
    const { status, text } = await call('GET', path, { as: 'admin' });

    assert.equal(status, 200);
    assert.deepEqual(found(text), []);
  }
});

test('none_is_in_the_logs', () => {
  for (const name of readdirSync(stack.logDir))
    assert.deepEqual(found(readFileSync(join(stack.logDir, name), 'utf8')), [], name);
  assert.deepEqual(found(stack.output()), []);
});

test('no_word_of_a_provider_is_in_the_log_of_its_calls', () => {
  const log = readFileSync(join(stack.logDir, 'lesson-generator.log'), 'utf8');

  assert.ok(log.split('call failed').length > CHUNKS.length);
  assert.doesNotMatch(log, /REDACTED/); // which all their errors hold
});
