// One answer of a hundred holds a text that is none, a number that is none, or far too much. It is stored as what can
// be stored and marked, or it is a failed call; it is shown; and its ninety-nine neighbours are what was sent.

import { equal, ok } from 'node:assert/strict';

import { api, until } from '../../lib/api.js';
import { assertTruthful, post } from '../../lib/generator.js';
import { startStack } from '../../lib/stack.js';
import { answer, completion, send, startFaultyProvider } from '../lib/faulty-provider.js';
import { runAll, shuffled, withAll } from '../lib/running.js';

const TOGETHER = 100; // answers, one of them bad
const POSTING_AT_A_TIME = 16;
const SECONDS = 35; // for all kinds
const GATHER_MS = 20_000; // until all are in flight
const ENDED_MS = 60_000;
const NOTE_EVERY = 10;

const ANSWER_MAX = 4 << 20; // bytes of an answer, all of it
const DEEP = 100_000;
const BEFORE = '# Bad\n\n';

// ---- bad answers ----

const raw = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const bytes = (hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

// An answer of the protocol, of values as they stand in JSON.
const bodyOf = ({ content = '"# Bad\\n\\n."', tokens = '34', id = '"x"', more = '' }) =>
  raw(
    `{"id":`,
    id,
    `,"model":"chaos-1","choices":[{"message":{"content":`,
    content,
    `},"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":`,
    tokens,
    `}`,
    more,
    `}`,
  );
const withText = (text) => bodyOf({ content: raw('"# Bad\\n\\n', text, '"') });
const ROOM = ANSWER_MAX - withText('').length;

// It is a lesson: with these characters, of which so many stand for others.
const reads = (text, characters, replaced = 0) => ({
  body: withText(text),
  content: BEFORE + characters,
  replaced,
});
// It is the lesson that it would be anyway; its completion tokens are told, or not known.
const harmless = (parts, completion_tokens = 34) => ({
  body: bodyOf(parts),
  content: `${BEFORE}.`,
  replaced: 0,
  completion_tokens,
});
// It is none.
const fails = (body, error_class = 'invalid_response', status = 200) => ({
  body,
  error_class,
  status,
});

const KINDS = {
  'escaped NUL': reads('a\\u0000b', 'a\u2400b', 1),
  'many NULs': reads('\\u0000'.repeat(1000), '\u2400'.repeat(1000), 1000),
  'raw NUL': fails(withText('a\0b')),
  'byte FF': reads(bytes('61 ff 62'), 'a\ufffdb', 1),
  'overlong slash': reads(bytes('c0 af'), '\ufffd\ufffd', 2),
  'coded surrogate': reads(bytes('ed a0 80'), '\ufffd\ufffd\ufffd', 3),
  'beyond Unicode': reads(bytes('f4 90 80 80'), '\ufffd\ufffd\ufffd\ufffd', 4),
  'cut character': reads(bytes('f0 9f 98'), '\ufffd', 1),
  'Latin 1': reads(bytes('63 61 66 e9'), 'caf\ufffd', 1),
  'high half': reads('a\\ud83db', 'a\ufffdb', 1),
  'low half': reads('a\\ude00b', 'a\ufffdb', 1),
  'half at the end': reads('a\\ud83d', 'a\ufffd', 1),
  'halves reversed': reads('\\ude00\\ud83d', '\ufffd\ufffd', 2),
  'half before a pair': reads('\\ud83d\\ud83d\\ude00', '\ufffd\u{1f600}', 1),
  'no half': reads('\\\\ud83d \\\\u0000', '\\ud83d \\u0000'),
  'cut escape': fails(withText('\\ud83')),
  'unknown escape': fails(withText('\\x41')),
  'U+FFFD itself': reads('\ufffd\\ufffd', '\ufffd\ufffd'),
  controls: reads('\\u0001\\u001b[31m\\u007f\\u0085', '\u0001\u001b[31m\u007f\u0085'),
  bidi: reads('\u202e\u2066\\u200f\\ufeff', '\u202e\u2066\u200f\ufeff'),
  'no characters': reads('\ufffe\\uffff\u{10ffff}', '\ufffe\uffff\u{10ffff}'),
  SQL: reads("'; DROP TABLE lessons; $1 %s \\\\x00", "'; DROP TABLE lessons; $1 %s \\x00"),
  '1e999': harmless({ tokens: '1e999' }, null),
  '400 digits': harmless({ tokens: '9'.repeat(400) }, null),
  '400 decimals': harmless({ tokens: `0.${'3'.repeat(400)}` }, null),
  NaN: harmless({ tokens: 'NaN' }, null),
  'NaN for a text': fails(bodyOf({ content: 'NaN' })),
  deep: fails(bodyOf({ more: `,"deep":${'['.repeat(DEEP)}${']'.repeat(DEEP)}` })),
  'deep and cut': fails(Buffer.from('{"a":'.repeat(DEEP))),
  'NUL in a key': harmless({ more: ',"a\\u0000b":[{}],"\\u0000":1' }),
  'half in a key': harmless({ more: ',"\\ud83d":1' }),
  'bad id': harmless({ id: raw('"', bytes('ff'), '\\ud83d\\u0000"') }),
  'bad error': fails(
    raw('{"error":{"message":"', bytes('ff'), '\\ud83d"}}'),
    'invalid_request',
    400,
  ),
  '4 MiB': reads('x'.repeat(ROOM), 'x'.repeat(ROOM)),
  '4 MiB of FF': reads(Buffer.alloc(ROOM, 0xff), '\ufffd'.repeat(ROOM), ROOM),
  '4 MiB of controls': reads(Buffer.alloc(ROOM, 1), '\u0001'.repeat(ROOM)),
  '4 MiB and a byte': fails(withText('x'.repeat(ROOM + 1)), 'too_large'),
};
const NAMES = Object.keys(KINDS);

// ---- what must be true ----

// As equal(), for texts that nobody wants to see.
const same = (text, expected, what) =>
  ok(text === expected, `${what}: ${text?.length} characters, not the ${expected.length} sent`);

// What a path gives, as a client reads it who takes no ill-formed byte.
async function shown(stack, path) {
  const told = await stack.fetch(path);

  equal(told.status, 200, path);
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await told.arrayBuffer()));
}

async function readLesson(stack, id) {
  const { lesson } = await shown(stack, `/api/lessons/${id}`);
  const { trace } = await shown(stack, `/api/traces/${lesson.trace_ids[0]}`);

  equal(lesson.trace_ids.length, 1);
  assertTruthful(trace);
  return { lesson, trace, last: trace.llm_calls.at(-1) };
}

function assertLesson({ content, replaced, completion_tokens }, { lesson, trace, last }) {
  equal(lesson.status, 'generated', lesson.error_message);
  equal(trace.status, 'completed');
  same(lesson.content, content, 'lesson');
  same(last.response.content, content, 'trace');
  same(trace.response_data.content, content, 'response_data');
  equal(last.response.replaced_characters ?? 0, replaced, 'marked');
  if (completion_tokens !== undefined)
    equal(last.response.usage.completion_tokens, completion_tokens, 'unknown is null');
}

function assertFailed({ error_class, status }, { lesson, trace, last }) {
  equal(lesson.status, 'error');
  equal(lesson.content, null);
  equal(trace.status, 'failed');
  equal(last.error_class, error_class, last.error);
  equal(last.http_status, status);
  equal(last.response?.content ?? null, null, 'nothing is made up');
}

// How many of a round have ended with a call, and how many of the bad one's neighbours are what was sent.
async function countRound(stack, like, bad, sent) {
  const found = JSON.parse(
    await stack.psql(
      `SELECT json_agg(r) FROM (
         SELECT l.id, l.outline, l.content, l.status, t.llm_call_count AS calls,
                CASE WHEN l.id <> '${bad}' THEN t.llm_calls -> 0 -> 'response' END AS response
           FROM lessons l JOIN lesson_traces t ON t.lesson_id = l.id
          WHERE l.outline LIKE '${like}' AND t.status <> 'started') r`,
    ),
  );
  const right = found.filter(
    ({ id, outline, status, content, calls, response }) =>
      id !== bad &&
      status === 'generated' &&
      content === sent.get(outline) &&
      response.content === content &&
      response.replaced_characters === undefined &&
      calls === 1,
  );

  return { stored: found.length, right: right.length };
}

// Gives what countRound() does, and what the bad one is, as it should be: marked, failed or whole.
async function judgeRound({ stack, kind, ids, bad, sent, like, say }) {
  const counts = await countRound(stack, like, ids[bad], sent);
  const other = (bad + 1) % TOGETHER;

  if (counts.stored !== TOGETHER) say(`${counts.stored} stored`);
  if (counts.right !== TOGETHER - 1) say(`${counts.right} neighbours as sent`);
  try {
    const told = await readLesson(stack, ids[bad]);
    const { lesson } = await readLesson(stack, ids[other]);

    if (kind.error_class === undefined) assertLesson(kind, told);
    else assertFailed(kind, told);
    same(lesson.content, sent.get(lesson.outline), 'the neighbour shown');
    counts.marked = kind.replaced > 0 ? 1 : 0;
    counts.failed = kind.error_class === undefined ? 0 : 1;
    counts.whole = 1 - counts.marked - counts.failed;
  } catch (error) {
    say(error.message);
  }
  return counts;
}

// ---- playing ----

// All that come wait for so many, and then for nobody.
function gateFor(many) {
  let open;
  let come = 0;
  const opened = new Promise((resolve) => (open = resolve));

  return {
    isOpen: () => come >= many,
    pass() {
      if (++come === many) open();
      return opened;
    },
  };
}

// A hundred lessons at once, of which one is answered badly.
async function playRound({ stack, table, round, kind, random, say }) {
  const call = api(stack);
  const gate = gateFor(TOGETHER);
  const model = `round-${round}`;
  const outlines = Array.from({ length: TOGETHER }, (_, i) => `${model} text ${i}`);
  const sent = new Map(outlines.map((one) => [one, `# ${one}\n\nÆble, 磁石, 🧲: ${random()}\n`]));
  const bad = Math.floor(random() * TOGETHER);
  const ids = [];

  table[model] = async ({ socket, outline }) => {
    await gate.pass();
    if (outline === outlines[bad]) await send(socket, answer(kind.status ?? 200, kind.body));
    else await send(socket, answer(200, JSON.stringify(completion(sent.get(outline)))));
  };
  const jobs = outlines.map((outline, i) => async () => {
    ids[i] = (await post(call, { outline, provider: 'openai', model })).id;
  });

  await runAll(jobs, POSTING_AT_A_TIME);
  await until(`${TOGETHER} in flight`, () => gate.isOpen(), GATHER_MS);
  await until(
    `all of ${model} ended`,
    async () =>
      (await stack.psql(
        `SELECT count(*) FROM lessons WHERE outline LIKE '${model} text %' AND status <> 'generating'`,
      )) === `${TOGETHER}`,
    ENDED_MS,
  );
  delete table[model];
  return judgeRound({ stack, kind, ids, bad, sent, like: `${model} text %`, say });
}

async function run({ count, random, note }) {
  const table = {};
  const violations = [];
  const seen = { stored: 0, right: 0, marked: 0, failed: 0, whole: 0 };
  const order = shuffled(NAMES, random);

  return withAll(
    {
      provider: () => startFaultyProvider(table),
      stack: ({ provider }) =>
        startStack({
          env: {
            LLM_PROVIDERS: 'openai',
            OPENAI_BASE_URL: `${provider.url}/v1`,
            OPENAI_API_KEY: 'chaos-key',
          },
        }),
    },
    async ({ stack }) => {
      for (let round = 1; round <= count; round++) {
        const name = order[round % order.length];
        const kind = KINDS[name];
        const say = (text) => violations.push(`${name}, round ${round}: ${text}`);
        const counts = await playRound({ stack, table, round, kind, random, say });

        for (const [what, n] of Object.entries(counts)) seen[what] += n;
        if (round % NOTE_EVERY === 0) note(`${round} of ${count} bad texts`);
      }
      return {
        figures:
          `${count} bad texts, each among ${TOGETHER} answers: ${seen.stored} of ${count * TOGETHER} stored, ` +
          `${seen.right} neighbours as sent; of the bad ones, as shown, ${seen.marked} marked, ` +
          `${seen.whole} whole, ${seen.failed} failed calls with their class`,
        violations,
      };
    },
  );
}

export default {
  name: 'texts',
  fault:
    'one bad text among 100 answers: NUL, ill-formed UTF-8, half surrogates, huge numbers, depth, 4 MiB',
  full: { count: NAMES.length, seconds: SECONDS },
  run,
};
