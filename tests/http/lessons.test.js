// The lessons API: making, reading, deleting and making again, Idempotency-Key, and the list of providers.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import {
  NOBODY,
  REQUEST_ID,
  TIMESTAMP,
  UUID,
  api,
  assertProblem,
  until,
  whenDone,
  withoutIds,
} from '../lib/api.js';
import { openSession } from '../lib/session.js';
import { startStack } from '../lib/stack.js';

const LIST_KEYS = [
  'created_at',
  'error_message',
  'id',
  'options',
  'outline',
  'owner',
  'status',
  'title',
  'updated_at',
];
const KEYS = [...LIST_KEYS, 'content', 'trace_ids'].sort();
const DEFAULTS = {
  gradeLevel: '2',
  sections: 4,
  learningStyle: 'reading',
  includeExamples: true,
  includeExercises: true,
};
const SECRETS = {
  OPENAI_API_KEY: 'sk-never-shown-0123456789abcdef',
  ANTHROPIC_API_KEY: 'sk-ant-never-shown-0123456789abcdef',
};

let stack, call, db;

before(async () => {
  stack = await startStack({
    env: {
      ...SECRETS,
      LLM_PROVIDERS: 'sample,openai',
      OPENAI_BASE_URL: 'sample',
      OPENAI_MODEL: 'sample',
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:9',
    },
  });
  call = api(stack);
  db = openSession(stack.databaseUrl);
});

after(async () => {
  await db?.end();
  await stack?.stop();
});

const empty = () => db.run('DELETE FROM lessons; DELETE FROM lesson_traces; DELETE FROM audit_log');
const count = async (table, where = 'true') =>
  Number(await db.run(`SELECT count(*) FROM ${table} WHERE ${where}`));
const post = (json, options) => call('POST', '/api/lessons', { json, ...options });
const trace = async (id, options) => (await call('GET', `/api/traces/${id}`, options)).body.trace;
const audits = () =>
  db.rows(
    `SELECT actor, action, object, count, ids, filter, request_id FROM audit_log ORDER BY object, id`,
  );

async function generated(json, options) {
  const { body } = await post(json, options);
  const lesson = await whenDone(call, body.lesson.id, options);

  assert.equal(lesson.status, 'generated', lesson.error_message);
  return lesson;
}

describe('a new lesson', () => {
  test('is answered with its defaults and its trace while it is being generated', async () => {
    const answer = await post({ outline: 'Why the moon has phases' });
    const { lesson } = answer.body;

    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(answer.headers.get('location'), `/api/lessons/${lesson.id}`);
    assert.match(answer.headers.get('x-request-id'), REQUEST_ID);
    assert.deepEqual(Object.keys(answer.body), ['lesson']);
    assert.deepEqual(Object.keys(lesson).sort(), KEYS);
    assert.match(lesson.id, UUID);
    assert.equal(lesson.title, 'Why the moon has phases');
    assert.equal(lesson.outline, 'Why the moon has phases');
    assert.deepEqual(lesson.options, DEFAULTS);
    assert.equal(lesson.content, null);
    assert.equal(lesson.status, 'generating');
    assert.equal(lesson.error_message, null);
    assert.equal(lesson.owner, 'user');
    assert.match(lesson.created_at, TIMESTAMP);
    assert.equal(lesson.updated_at, lesson.created_at);
    assert.equal(lesson.trace_ids.length, 1);
    assert.match(lesson.trace_ids[0], UUID);
    assert.equal((await whenDone(call, lesson.id)).id, lesson.id);
  });

  test('is generated, with the title of its first heading', async () => {
    const outline = 'The water cycle: evaporation, condensation, precipitation, and collection';
    const lesson = await generated({ outline });

    assert.equal(lesson.error_message, null);
    assert.equal(lesson.outline, outline);
    assert.match(lesson.content, /^# \S/);
    assert.equal(lesson.title, /^# (.+)$/m.exec(lesson.content)[1]);
    assert.ok(lesson.updated_at > lesson.created_at);
    assert.equal(await count('generation_jobs', `lesson_id = '${lesson.id}'`), 0);
  });

  test('has a trace of what was asked, sent and received', async () => {
    const answer = await post({ outline: 'Volcanoes', gradeLevel: '5', sections: 6 });
    const lesson = await whenDone(call, answer.body.lesson.id);
    const told = await trace(lesson.trace_ids[0]);
    const [llmCall] = told.llm_calls;

    assert.equal(told.lesson_id, lesson.id);
    assert.equal(told.owner, 'user');
    assert.equal(told.request_id, answer.headers.get('x-request-id'));
    assert.equal(told.status, 'completed');
    assert.match(told.completed_at, TIMESTAMP);
    assert.deepEqual(told.request_data, {
      ...DEFAULTS,
      outline: 'Volcanoes',
      gradeLevel: '5',
      sections: 6,
    });
    assert.deepEqual(Object.keys(told.response_data).sort(), [
      'content',
      'estimatedSections',
      'gradeLevel',
      'keyConcepts',
      'prerequisites',
      'title',
    ]);
    assert.equal(told.response_data.content, lesson.content);
    assert.equal(told.response_data.title, lesson.title);
    assert.equal(told.response_data.gradeLevel, '5');
    assert.equal(told.provider_used, 'sample');
    assert.deepEqual(told.fallback_providers, []);
    assert.ok(Number.isInteger(told.total_duration_ms) && told.total_duration_ms >= 0);
    assert.equal(told.llm_call_count, 1);
    assert.equal(told.llm_calls.length, 1);
    assert.deepEqual(
      told.decisions.map(({ action, provider }) => [action, provider]),
      [['try', 'sample']],
    );
    assert.deepEqual(Object.keys(llmCall).sort(), [
      'attempt',
      'cost_usd',
      'duration_ms',
      'error',
      'error_class',
      'http_status',
      'price_as_of',
      'provider',
      'provider_request_id',
      'request',
      'response',
      'span_id',
      'success',
      'timestamp',
      'timing',
    ]);
    assert.match(llmCall.request.prompt, /Volcanoes/);
    assert.ok(llmCall.request.system.length > 0);
    assert.equal(llmCall.response.content, lesson.content);
    const { prompt_tokens, completion_tokens, total_tokens } = llmCall.response.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0);
    assert.equal(prompt_tokens + completion_tokens, total_tokens);
    assert.equal(told.total_tokens, total_tokens);
  });

  const OPTIONS = [
    ...['2', '3', '4', '5', '6', '7', '8'].map((gradeLevel) => ({ gradeLevel })),
    ...[4, 5, 6, 7, 8].map((sections) => ({ sections })),
    { learningStyle: 'reading' },
    { learningStyle: 'reading and visual' },
    { includeExamples: false },
    { includeExercises: false },
    { provider: 'sample' },
    { provider: 'openai', model: 'sample' },
    { provider: 'anthropic' },
    { model: 'sample' },
    { model: 'm'.repeat(200) },
    {
      gradeLevel: '8',
      sections: 8,
      learningStyle: 'reading and visual',
      includeExamples: false,
      includeExercises: false,
      provider: 'sample',
      model: 'no-usage',
    },
  ];

  for (const options of OPTIONS)
    test(`takes ${JSON.stringify(options).slice(0, 80)}`, async () => {
      const answer = await post({ outline: 'Options', ...options });

      assert.equal(answer.status, 201, answer.text);
      assert.deepEqual(answer.body.lesson.options, { ...DEFAULTS, ...options });
      const told = await trace(answer.body.lesson.trace_ids[0]);
      assert.deepEqual(told.request_data, { outline: 'Options', ...DEFAULTS, ...options });
    });

  test('takes null for an option that is left out', async () => {
    const nothing = Object.fromEntries(
      [...Object.keys(DEFAULTS), 'provider', 'model'].map((name) => [name, null]),
    );

    assert.deepEqual((await post({ outline: 'Nulls', ...nothing })).body.lesson.options, DEFAULTS);
  });

  const TITLES = [
    ['short', 'Tides', 'Tides'],
    ['50 letters', 'a'.repeat(50), 'a'.repeat(50)],
    ['51 letters', 'a'.repeat(51), `${'a'.repeat(50)}…`],
    ['50 emoji', '😀'.repeat(50), '😀'.repeat(50)],
    ['51 emoji', '😀'.repeat(51), `${'😀'.repeat(50)}…`],
    ['two-byte letters', 'ä'.repeat(60), `${'ä'.repeat(50)}…`],
    ['three-byte letters', '光'.repeat(60), `${'光'.repeat(50)}…`],
    ['mixed lengths', `${'a😀ä光'.repeat(12)}abc`, `${'a😀ä光'.repeat(12)}ab…`],
    ['blanks around it', `\n  ${'b'.repeat(50)} \t\n`, 'b'.repeat(50)],
    ['a quote and a backslash', '"A" \\ B', '"A" \\ B'],
  ];

  for (const [what, outline, title] of TITLES)
    test(`has the first 50 characters of its outline as title: ${what}`, async () => {
      const { lesson } = (await post({ outline })).body;

      assert.equal(lesson.title, title);
      assert.equal(lesson.outline, outline.trim());
    });

  for (const [what, outline] of [
    ['letters', 'x'.repeat(20_000)],
    ['emoji', '😀'.repeat(20_000)],
    ['escaped letters and blanks around them', `  ${'\\'.repeat(20_000)}  `],
  ])
    test(`may have an outline of 20,000 characters: ${what}`, async () => {
      const answer = await post({ outline });

      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.lesson.outline, outline.trim());
      assert.equal((await whenDone(call, answer.body.lesson.id)).status, 'generated');
    });

  const REFUSED = [
    ['no outline', { outline: undefined }, 'outline'],
    ['outline null', { outline: null }, 'outline'],
    ['outline empty', { outline: '' }, 'outline'],
    ['outline of blanks', { outline: ' \t\r\n\v\f' }, 'outline'],
    ['outline of blanks of other scripts', { outline: '\u00a0\u2003\u3000' }, 'outline'],
    ['outline too long', { outline: 'x'.repeat(20_001) }, 'outline'],
    ['outline too long in emoji', { outline: '😀'.repeat(20_001) }, 'outline'],
    ['outline a number', { outline: 5 }, 'outline'],
    ['outline a list', { outline: ['Tides'] }, 'outline'],
    ['outline an object', { outline: {} }, 'outline'],
    ['outline a truth', { outline: true }, 'outline'],
    ['gradeLevel 9', { gradeLevel: '9' }, 'gradeLevel'],
    ['gradeLevel 1', { gradeLevel: '1' }, 'gradeLevel'],
    ['gradeLevel a number', { gradeLevel: 2 }, 'gradeLevel'],
    ['gradeLevel empty', { gradeLevel: '' }, 'gradeLevel'],
    ['gradeLevel with a blank', { gradeLevel: ' 2' }, 'gradeLevel'],
    ['sections 3', { sections: 3 }, 'sections'],
    ['sections 9', { sections: 9 }, 'sections'],
    ['sections text', { sections: '4' }, 'sections'],
    ['sections 4.5', { sections: 4.5 }, 'sections'],
    ['sections -4', { sections: -4 }, 'sections'],
    ['sections huge', { sections: 1e30 }, 'sections'],
    ['sections true', { sections: true }, 'sections'],
    ['sections a list', { sections: [4] }, 'sections'],
    ['an unknown style', { learningStyle: 'visual' }, 'learningStyle'],
    ['style empty', { learningStyle: '' }, 'learningStyle'],
    ['style a number', { learningStyle: 1 }, 'learningStyle'],
    ['includeExamples text', { includeExamples: 'true' }, 'includeExamples'],
    ['includeExamples 1', { includeExamples: 1 }, 'includeExamples'],
    ['includeExercises text', { includeExercises: 'no' }, 'includeExercises'],
    ['includeExercises 0', { includeExercises: 0 }, 'includeExercises'],
    ['an unknown provider', { provider: 'acme' }, 'provider'],
    ['provider in upper case', { provider: 'OpenAI' }, 'provider'],
    ['provider empty', { provider: '' }, 'provider'],
    ['provider a number', { provider: 1 }, 'provider'],
    ['model blank', { model: ' ' }, 'model'],
    ['model empty', { model: '' }, 'model'],
    ['model too long', { model: 'm'.repeat(201) }, 'model'],
    ['model a number', { model: 4 }, 'model'],
    ['an unknown member', { colour: 'blue' }, 'colour'],
    ['a member of another case', { gradelevel: '2' }, 'gradelevel'],
    ['an unknown member without a name', { '': 1 }, ''],
    ['an owner', { owner: 'admin' }, 'owner'],
    ['a status', { status: 'generated' }, 'status'],
  ];

  for (const [what, members, about] of REFUSED)
    test(`is refused, naming the member: ${what}`, async () => {
      const lessons = await count('lessons');

      assertProblem(await post({ outline: 'Tides', ...members }), 400, about);
      assert.equal(await count('lessons'), lessons);
    });

  test('never stores what looks like a key', async () => {
    const key = 'sk-ant-api03-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
    const answer = await post({ outline: `Tides ${key} and the moon`, model: key });

    assert.equal(answer.status, 201, answer.text);
    assert.ok(!answer.text.includes(key));
    await whenDone(call, answer.body.lesson.id);
    assert.equal(await count('lessons l', `l::text LIKE '%${key}%'`), 0);
    assert.equal(await count('lesson_traces t', `t::text LIKE '%${key}%'`), 0);
  });

  test('belongs to whoever made it', async () => {
    const { lesson } = (await post({ outline: 'Mine' }, { as: 'admin' })).body;

    assert.equal(lesson.owner, 'admin');
    assert.equal((await trace(lesson.trace_ids[0], { as: 'admin' })).owner, 'admin');
    assertProblem(await call('GET', `/api/lessons/${lesson.id}`), 404, 'id');
  });
});

describe('Idempotency-Key', () => {
  const BODY = { outline: 'Once only', sections: 5 };
  let next = 0;
  const newKey = () => `key-${process.pid}-${next++}`;
  const keyed = (key, json = BODY, options = {}) =>
    post(json, { headers: { 'idempotency-key': key }, ...options });

  test('gives the same lesson for the same request, also when it is done', async () => {
    const key = newKey();
    const first = await keyed(key);
    const again = await keyed(key);
    const done = await whenDone(call, first.body.lesson.id);
    const later = await keyed(key);

    for (const answer of [again, later]) {
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.lesson.id, first.body.lesson.id);
      assert.equal(answer.headers.get('location'), first.headers.get('location'));
      assert.deepEqual(Object.keys(answer.body.lesson).sort(), KEYS);
    }
    assert.deepEqual(later.body.lesson, done);
    assert.equal(await count('lessons', `idempotency_key = '${key}'`), 1);
    assert.equal(await count('lesson_traces', `lesson_id = '${done.id}'`), 1);
  });

  test('takes a request that says the same in other words for the same', async () => {
    const key = newKey();
    const { id } = (await keyed(key)).body.lesson;

    for (const same of [
      { sections: 5, outline: 'Once only' },
      { ...DEFAULTS, ...BODY },
      { ...BODY, provider: null },
      { ...BODY, outline: ' Once only\n' },
    ])
      assert.equal((await keyed(key, same)).body.lesson.id, id, JSON.stringify(same));
  });

  for (const [what, other] of [
    ['another outline', { ...BODY, outline: 'Once more' }],
    ['other sections', { ...BODY, sections: 6 }],
    ['no sections', { outline: BODY.outline }],
    ['a provider', { ...BODY, provider: 'sample' }],
    ['a model', { ...BODY, model: 'sample' }],
  ])
    test(`with ${what} is 422, and makes nothing`, async () => {
      const key = newKey();
      await keyed(key);
      const lessons = await count('lessons');

      assertProblem(await keyed(key, other), 422, 'idempotency-key');
      assert.equal(await count('lessons'), lessons);
    });

  test('of another user is another key', async () => {
    const key = newKey();
    const own = (await keyed(key)).body.lesson;
    const others = (await keyed(key, { outline: 'Other' }, { as: 'admin' })).body.lesson;

    assert.notEqual(own.id, others.id);
    assert.equal(others.owner, 'admin');
    assert.equal(
      (await keyed(key, { outline: 'Other' }, { as: 'admin' })).body.lesson.id,
      others.id,
    );
  });

  test('32 times at once makes one lesson, one trace, one job', async () => {
    const key = newKey();
    const answers = await Promise.all(Array.from({ length: 32 }, () => keyed(key)));
    const [{ lesson }] = answers.map((answer) => answer.body);

    for (const answer of answers) {
      assert.equal(answer.status, 201, answer.text);
      assert.equal(answer.body.lesson.id, lesson.id);
    }
    await whenDone(call, lesson.id);
    assert.equal(await count('lessons', `idempotency_key = '${key}'`), 1);
    assert.equal(await count('lesson_traces', `lesson_id = '${lesson.id}'`), 1);
  });

  test('at once with two requests makes one of them, and is 422 to the other', async () => {
    const key = newKey();
    const answers = await Promise.all(
      Array.from({ length: 16 }, (_, i) => keyed(key, { outline: i % 2 ? 'One' : 'Two' })),
    );
    const made = answers.filter((answer) => answer.status === 201);

    assert.equal(made.length, 8);
    assert.equal(new Set(made.map((answer) => answer.body.lesson.id)).size, 1);
    for (const answer of answers)
      if (answer.status !== 201) assertProblem(answer, 422, 'idempotency-key');
    assert.equal(await count('lessons', `idempotency_key = '${key}'`), 1);
  });

  test('is not used up by a request that is refused', async () => {
    const key = newKey();

    assertProblem(await keyed(key, { outline: '' }), 400, 'outline');
    assert.equal((await keyed(key)).status, 201);
  });

  test('makes a new lesson once the first one is deleted', async () => {
    const key = newKey();
    const first = (await keyed(key)).body.lesson.id;

    await call('DELETE', `/api/lessons/${first}`);
    const second = await keyed(key);
    assert.equal(second.status, 201);
    assert.notEqual(second.body.lesson.id, first);
  });

  test('may be 255 printable characters, no more and no others', async () => {
    assert.equal((await keyed('k'.repeat(255))).status, 201);
    assert.equal((await keyed(`${newKey()}!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`)).status, 201);
    for (const key of ['k'.repeat(256), 'k'.repeat(2000), 'two words', 'tab\tbed', 'sch\u00f6n'])
      assertProblem(await keyed(key), 400, 'idempotency-key');
  });
});

describe('the list of lessons', () => {
  beforeEach(empty);

  const insert = (n, owner = 'user') =>
    db.run(
      `INSERT INTO lessons (owner, title, outline, content, status, created_at)
       SELECT '${owner}', 'T' || n, 'O' || n, 'long content', 'generated', '2026-01-02 03:04:05.678901+00'
         FROM generate_series(1, ${n}) n`,
    );
  const ids = async (where) =>
    (await db.rows(`SELECT id FROM lessons WHERE ${where} ORDER BY created_at DESC, id DESC`)).map(
      (row) => row.id,
    );

  test('is an empty page where there are none', async () => {
    const { status, body } = await call('GET', '/api/lessons');

    assert.equal(status, 200);
    assert.deepEqual(body, {
      lessons: [],
      limit: 50,
      offset: 0,
      has_more: false,
      next_cursor: null,
    });
  });

  test('has rows without content and traces', async () => {
    await insert(2);
    for (const lesson of (await call('GET', '/api/lessons')).body.lessons)
      assert.deepEqual(Object.keys(lesson).sort(), LIST_KEYS);
  });

  test('is newest first', async () => {
    await insert(3);
    const { lesson } = (await post({ outline: 'Newest' })).body;

    assert.equal((await call('GET', '/api/lessons')).body.lessons[0].id, lesson.id);
  });

  test('is walked by cursor, by Link and by offset without loss or repetition', async () => {
    await insert(101);
    const expected = await ids("owner = 'user'");

    for (const next of [
      ({ body }) => body.next_cursor && `/api/lessons?limit=25&cursor=${body.next_cursor}`,
      ({ headers }) =>
        headers.get('link') && /^<([^>]+)>; rel="next"$/.exec(headers.get('link'))[1],
      ({ body }) => body.has_more && `/api/lessons?limit=25&offset=${body.offset + body.limit}`,
    ]) {
      const seen = [];
      for (let path = '/api/lessons?limit=25'; path && seen.length <= 200;) {
        const answer = await call('GET', path);
        assert.equal(answer.body.has_more, answer.body.next_cursor !== null);
        seen.push(...answer.body.lessons.map((lesson) => lesson.id));
        path = next(answer);
      }
      assert.deepEqual(seen, expected);
    }
  });

  test("has a user's own lessons, for an admin all", async () => {
    await insert(2);
    await insert(3, 'somebody');
    const seen = async (as) =>
      (await call('GET', '/api/lessons', { as })).body.lessons.map((lesson) => lesson.id);

    assert.deepEqual(await seen('user'), await ids("owner = 'user'"));
    assert.deepEqual(await seen('admin'), await ids('true'));
  });

  for (const [query, member] of [
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['offset=-1', 'offset'],
    ['cursor=x', 'cursor'],
    ['status=generated', 'status'],
    ['view=summary', 'view'],
    ['count=exact', 'count'],
    ['limit=1&limit=2', 'limit'],
  ])
    test(`is refused with ${query}`, async () =>
      assertProblem(await call('GET', `/api/lessons?${query}`), 400, member));
});

describe('one lesson', () => {
  test('has an ETag that answers 304 until the lesson changes', async () => {
    const { id } = await generated({ outline: 'Tags' });
    const first = await call('GET', `/api/lessons/${id}`);
    const again = () =>
      call('GET', `/api/lessons/${id}`, {
        headers: { 'if-none-match': first.headers.get('etag') },
      });

    assert.equal((await again()).status, 304);
    await db.run(`UPDATE lessons SET title = 'New' WHERE id = '${id}'`);
    assert.equal((await again()).status, 200);
    assert.equal((await call('HEAD', `/api/lessons/${id}`)).text, '');
  });

  test('is refused by what is not a UUID, and not found where there is none', async () => {
    for (const [method, tail, json] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/regenerate', {}],
    ]) {
      for (const id of ['x', '1', `${NOBODY}0`, NOBODY.slice(1), NOBODY.replace('0', 'g')])
        assertProblem(await call(method, `/api/lessons/${id}${tail}`, { json }), 400, 'id');
      assertProblem(await call(method, `/api/lessons/${NOBODY}${tail}`, { json }), 404, 'id');
    }
  });

  test('of another user is as if there were none', async () => {
    const { lesson } = (await post({ outline: 'Foreign' }, { as: 'admin' })).body;
    await whenDone(call, lesson.id, { as: 'admin' });

    for (const [method, tail, json] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/regenerate', {}],
      ['POST', '/regenerate', { provider: 'sample' }],
    ]) {
      const foreign = await call(method, `/api/lessons/${lesson.id}${tail}`, { json });
      const missing = await call(method, `/api/lessons/${NOBODY}${tail}`, { json });

      assert.equal(foreign.status, 404);
      assert.equal(withoutIds(foreign), withoutIds(missing));
    }
    assert.equal((await call('GET', `/api/lessons/${lesson.id}`, { as: 'admin' })).status, 200);
    assert.equal(await count('lesson_traces', `lesson_id = '${lesson.id}'`), 1);
  });
});

describe('deletion', () => {
  beforeEach(empty);

  test('takes the lesson and its traces, once, and leaves audit rows', async () => {
    const lesson = await generated({ outline: 'Gone' });
    await call('POST', `/api/lessons/${lesson.id}/regenerate`, { json: {} });
    const { trace_ids } = await whenDone(call, lesson.id);
    const answer = await call('DELETE', `/api/lessons/${lesson.id}`);
    const request_id = answer.headers.get('x-request-id');

    assert.equal(answer.status, 200);
    assert.deepEqual(answer.body, { success: true });
    assertProblem(await call('DELETE', `/api/lessons/${lesson.id}`), 404, 'id');
    assertProblem(await call('GET', `/api/lessons/${lesson.id}`), 404, 'id');
    assert.equal(await count('lessons'), 0);
    assert.equal(await count('lesson_traces'), 0);
    const told = await audits();
    const row = { actor: 'user', action: 'delete', filter: null, request_id };
    assert.deepEqual(
      told.map((one) => ({ ...one, ids: one.ids.sort() })),
      [
        { ...row, object: 'lesson', count: 1, ids: [lesson.id] },
        { ...row, object: 'trace', count: 2, ids: trace_ids.sort() },
      ],
    );
  });

  test('by an admin takes the lesson of a user', async () => {
    const { id } = await generated({ outline: 'Gone' });

    assert.equal((await call('DELETE', `/api/lessons/${id}`, { as: 'admin' })).status, 200);
    assert.deepEqual(
      (await audits()).map(({ actor, object }) => [actor, object]),
      [
        ['admin', 'lesson'],
        ['admin', 'trace'],
      ],
    );
  });

  test('cancels a generation that is running', async () => {
    const { lesson } = (
      await post({ outline: 'Cancelled', provider: 'sample', model: 'slow-5000' })
    ).body;
    const calls = async () =>
      (await readFile(join(stack.logDir, 'access.log'), 'utf8'))
        .trim()
        .split('\n')
        .map(JSON.parse)
        .filter(({ path }) => path === '/sample/v1/chat/completions');

    await until('the call is under way', async () => {
      const [llmCall] = (await trace(lesson.trace_ids[0])).llm_calls;
      return llmCall?.success === null;
    });
    const before = (await calls()).length;
    assert.equal((await call('DELETE', `/api/lessons/${lesson.id}`)).status, 200);
    const [call_] = await until('the call is given up', async () => {
      const all = await calls();
      return all.length > before && all.slice(before);
    });
    assert.equal(call_.status, 499, 'closed by the client');
    assert.ok(call_.seconds < 4.5);
    assert.equal(await count('lessons'), 0);
    assert.equal(await count('lesson_traces'), 0);
    assert.equal(await count('generation_jobs'), 0);
  });

  test('of the trace of a running lesson lets the lesson finish, without the trace', async () => {
    const { lesson } = (await post({ outline: 'Untold', provider: 'sample', model: 'slow-500' }))
      .body;

    assert.equal((await call('DELETE', `/api/traces/${lesson.trace_ids[0]}`)).status, 200);
    const done = await whenDone(call, lesson.id);
    assert.equal(done.status, 'generated');
    assert.deepEqual(done.trace_ids, []);
    assert.equal(await count('lesson_traces'), 0);
  });

  test('many times at once succeeds once', async () => {
    const { id } = await generated({ outline: 'Gone' });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => call('DELETE', `/api/lessons/${id}`)),
    );

    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(7).fill(404)]);
  });

  test('takes no query parameter', async () =>
    assertProblem(await call('DELETE', `/api/lessons/${NOBODY}?force=1`), 400, 'force'));
});

describe('regenerate', () => {
  const regenerate = (id, json = {}, options = {}) =>
    call('POST', `/api/lessons/${id}/regenerate`, { json, ...options });

  test('answers the lesson as being generated, with a new trace first', async () => {
    const lesson = await generated({ outline: 'Again' });
    const answer = await regenerate(lesson.id);
    const { lesson: under_way } = answer.body;

    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('location'), `/api/lessons/${lesson.id}`);
    assert.deepEqual(Object.keys(under_way).sort(), KEYS);
    assert.equal(under_way.id, lesson.id);
    assert.equal(under_way.status, 'generating');
    assert.equal(under_way.error_message, null);
    assert.equal(under_way.trace_ids.length, 2);
    assert.equal(under_way.trace_ids[1], lesson.trace_ids[0]);
    const done = await whenDone(call, lesson.id);
    assert.equal(done.status, 'generated');
    assert.deepEqual(done.trace_ids, under_way.trace_ids);
    const told = await trace(done.trace_ids[0]);
    assert.equal(told.status, 'completed');
    assert.equal(told.request_id, answer.headers.get('x-request-id'));
    assert.deepEqual(told.request_data, (await trace(done.trace_ids[1])).request_data);
  });

  test('with another provider and model records both in the new trace alone', async () => {
    const lesson = await generated({ outline: 'Again', provider: 'sample', model: 'slow-1' });
    const before = await trace(lesson.trace_ids[0]);

    await regenerate(lesson.id, { provider: 'openai', model: 'sample' });
    const done = await whenDone(call, lesson.id);
    const told = await trace(done.trace_ids[0]);
    assert.equal(told.request_data.provider, 'openai');
    assert.equal(told.request_data.model, 'sample');
    assert.equal(told.request_data.outline, 'Again');
    assert.equal(told.provider_used, 'openai');
    assert.equal(told.llm_calls[0].request.model, 'sample');
    assert.deepEqual(await trace(done.trace_ids[1]), before);
    assert.equal(before.request_data.provider, 'sample');
    assert.equal(before.request_data.model, 'slow-1');
  });

  test('without either asks what the lesson asked', async () => {
    const lesson = await generated({ outline: 'Again', provider: 'openai', model: 'slow-2' });

    await regenerate(lesson.id);
    const done = await whenDone(call, lesson.id);
    const told = await trace(done.trace_ids[0]);
    assert.equal(told.request_data.provider, 'openai');
    assert.equal(told.request_data.model, 'slow-2');
    assert.equal(told.llm_calls[0].request.model, 'slow-2');
  });

  test('by an admin leaves lesson and trace to their owner', async () => {
    const lesson = await generated({ outline: 'Again' });

    assert.equal((await regenerate(lesson.id, {}, { as: 'admin' })).status, 201);
    const done = await whenDone(call, lesson.id);
    assert.equal(done.owner, 'user');
    assert.equal((await trace(done.trace_ids[0])).owner, 'user');
  });

  test('while it is being generated is 409', async () => {
    const { lesson } = (await post({ outline: 'Busy', provider: 'sample', model: 'slow-1000' }))
      .body;

    assertProblem(await regenerate(lesson.id), 409, 'id');
    assert.equal((await whenDone(call, lesson.id)).trace_ids.length, 1);
  });

  test('8 times at once begins once', async () => {
    const lesson = await generated({ outline: 'Again', provider: 'sample', model: 'slow-300' });
    const answers = await Promise.all(Array.from({ length: 8 }, () => regenerate(lesson.id)));

    assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, ...Array(7).fill(409)]);
    assert.equal((await whenDone(call, lesson.id)).trace_ids.length, 2);
  });

  for (const [json, member] of [
    [{ outline: 'Other' }, 'outline'],
    [{ sections: 5 }, 'sections'],
    [{ provider: 'acme' }, 'provider'],
    [{ provider: 1 }, 'provider'],
    [{ model: '' }, 'model'],
    [{ model: ' ' }, 'model'],
    [{ model: 'm'.repeat(201) }, 'model'],
    [{ model: 1 }, 'model'],
  ])
    test(`is refused with ${JSON.stringify(json).slice(0, 40)}`, async () =>
      assertProblem(await regenerate(NOBODY, json), 400, member));
});

describe('the list of providers', () => {
  test('has the chain first, then the others, and how each is', async () => {
    const { status, body } = await call('GET', '/api/providers');
    const by = Object.fromEntries(body.providers.map((one) => [one.name, one]));

    assert.equal(status, 200);
    assert.deepEqual(
      body.providers.map(({ name }) => name),
      ['sample', 'openai', 'anthropic', 'gemini', 'groq', 'huggingface', 'ollama', 'qwen'],
    );
    assert.deepEqual(
      body.providers.map(({ position }) => position),
      [0, 1, null, null, null, null, null, null],
    );
    assert.deepEqual(by.openai, {
      name: 'openai',
      model: 'sample',
      position: 1,
      configured: true,
      state: 'closed',
      open_until: null,
      error_class: null,
    });
    assert.equal(by.anthropic.configured, true);
    assert.equal(by.groq.configured, false);
    for (const one of body.providers)
      assert.deepEqual(Object.keys(one).sort(), Object.keys(by.openai).sort());
  });

  test('shows no key, nor a part of one, nor where providers are', async () => {
    for (const as of ['user', 'admin']) {
      const { text } = await call('GET', '/api/providers', { as });

      for (const secret of Object.values(SECRETS)) assert.ok(!text.includes(secret.slice(-12)));
      assert.doesNotMatch(text, /key|never-shown|127\.0\.0\.1|https?:/i);
    }
  });

  test('takes no query parameter', async () =>
    assertProblem(await call('GET', '/api/providers?name=openai'), 400, 'name'));
});
