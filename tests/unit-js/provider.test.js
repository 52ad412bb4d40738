// The shell commands that do again what the generator did: run by a real shell, with a curl that only
// tells what it was given.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import { advice } from '../../html/lib/advice.js';
import { callCommand, regenerateCommand, settingsOf } from '../../html/lib/provider.js';
import { ERROR_CLASS } from '../../html/lib/words.js';

const ORIGIN = 'http://127.0.0.1:8080';
const NASTY = `it's "quoted", $HOME \`id\` $(id) \\ \nJSON\n<<'JSON' ünï 漢`;

const call = (provider, more = {}) => ({
  provider,
  request: { model: 'a/model x', system: 'Be kind.', prompt: NASTY, parameters: { max_tokens: 9 }, ...more },
});

// {args, body}: what curl was given.
function run(command, env = {}) {
  const told = 'curl() { printf "%s\\0" "$@"; printf "BODY\\0"; [ "${!#}" = "@-" ] && cat; return 0; }';
  const [args, body] = execFileSync('bash', ['--norc', '-c', `${told}\n${command}`], { env: { PATH: process.env.PATH, ...env } })
    .toString()
    .split('BODY\0');

  return { args: args.split('\0').slice(0, -1), body };
}

const CHAT = ({ messages }) => messages.map(({ role, content }) => [role, content]);
const PROVIDERS = [
  ['openai', 'https://api.openai.com/v1/chat/completions', 'OPENAI_API_KEY', 'Authorization: Bearer k', CHAT],
  ['groq', 'https://api.groq.com/openai/v1/chat/completions', 'GROQ_API_KEY', 'Authorization: Bearer k', CHAT],
  ['huggingface', 'https://router.huggingface.co/v1/chat/completions', 'HF_TOKEN', 'Authorization: Bearer k', CHAT],
  [
    'qwen',
    'https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions',
    'DASHSCOPE_API_KEY',
    'Authorization: Bearer k',
    CHAT,
  ],
  [
    'anthropic',
    'https://api.anthropic.com/v1/messages',
    'ANTHROPIC_API_KEY',
    'x-api-key: k',
    ({ system, messages }) => [['system', system], ...CHAT({ messages })],
  ],
  [
    'gemini',
    'https://generativelanguage.googleapis.com/v1beta/models/a%2Fmodel%20x:generateContent',
    'GEMINI_API_KEY',
    'x-goog-api-key: k',
    ({ systemInstruction, contents }) => [
      ['system', systemInstruction.parts[0].text],
      [contents[0].role, contents[0].parts[0].text],
    ],
  ],
  ['ollama', 'http://127.0.0.1:11434/api/chat', null, null, CHAT],
  ['sample', `${ORIGIN}/sample/v1/chat/completions`, null, null, CHAT],
];

for (const [provider, url, key, header, texts] of PROVIDERS) {
  test(`asks_again_as_the_generator_asked ${provider}`, () => {
    const { args, body } = run(callCommand(call(provider), ORIGIN), key ? { [key]: 'k' } : {});
    const sent = JSON.parse(body);

    assert.equal(args[0], url);
    assert.equal(settingsOf(provider).key, key);
    assert.equal(args.includes(header), key !== null);
    assert.deepEqual(texts(sent), [['system', 'Be kind.'], ['user', NASTY]]);
    assert.equal(sent.max_tokens, 9);
  });
}

const HOSTILE = ["it's", 'a "b" c', '!!', "!' !! !$", '$(id)', '`id`', '$HOME', 'a\nb\nJSON\n', '\\', '(a)*[b]{c,d}', '; id #', '~'];

// A shell that is typed into, where "!!" means the command before; what it echoes goes to stderr.
const typed = (command) => {
  const told = 'curl() { printf "%s\\0" "$@"; printf "BODY\\0"; [ "${!#}" = "@-" ] && cat; return 0; }';
  const input = `${told}\necho before >/dev/null\n${command}\n`;
  const out = execFileSync('bash', ['--norc', '--noprofile', '-i'], {
    input, env: { PATH: process.env.PATH, HISTFILE: '', GEMINI_API_KEY: 'k' }, stdio: ['pipe', 'pipe', 'ignore'],
  });
  const [args, body] = out.toString().split('BODY\0');

  return { args: args.split('\0').slice(0, -1), body };
};

for (const model of HOSTILE) {
  test(`a_model_is_one_word_for_the_shell ${JSON.stringify(model)}`, () => {
    for (const [provider] of PROVIDERS) {
      const command = callCommand(call(provider, { model }), ORIGIN);

      execFileSync('bash', ['--norc', '-n', '-c', command]);
      const { args, body } = run(command);
      assert.equal(JSON.parse(body).model ?? model, model, provider);
      assert.doesNotMatch(args[0], /[\s"'`$!()*]/, provider);
      assert.equal(args.length, 3 + 2 * args.filter((one) => one === '-H').length, provider);
    }
    const gemini = callCommand(call('gemini', { model, prompt: 'Go.' }), ORIGIN);
    const [address] = typed(gemini).args;
    assert.equal(decodeURIComponent(address.split('/models/')[1]), `${model}:generateContent`);
    assert.deepEqual(typed(gemini), run(gemini, { GEMINI_API_KEY: 'k' }));

    const again = regenerateCommand({ lesson_id: 'x', request_data: { provider: 'groq', model } }, ORIGIN);
    execFileSync('bash', ['--norc', '-n', '-c', again]);
    assert.equal(JSON.parse(typed(again).args.at(-1)).model, model);
  });
}

test('asks_where_the_setting_says', () => {
  const { args } = run(callCommand(call('openai'), ORIGIN), { OPENAI_BASE_URL: 'http://a.example/v1' });

  assert.equal(args[0], 'http://a.example/v1/chat/completions');
});

test('has_no_command_for_what_it_does_not_know', () => {
  assert.equal(callCommand(call('elsewhere'), ORIGIN), null);
  assert.equal(callCommand({ provider: 'openai', request: null }, ORIGIN), null);
});

test('generates_again_with_the_choice_of_before', () => {
  const id = '2880f47c-402e-46e5-af44-3975de678330';
  const { args } = run(regenerateCommand({ lesson_id: id, request_data: { provider: 'openai', model: "it's" } }, ORIGIN));

  assert.ok(args.includes(`${ORIGIN}/api/lessons/${id}/regenerate`));
  assert.deepEqual(JSON.parse(args.at(-1)), { provider: 'openai', model: "it's" });
});

test('has_advice_for_every_class_of_error', () => {
  for (const errorClass of Object.keys(ERROR_CLASS)) {
    const { what, next } = advice({ ...call('groq'), error_class: errorClass }, { decisions: null });

    assert.ok(what.endsWith('.') && next.endsWith('.'), errorClass);
    assert.doesNotMatch(what + next, /undefined|null/, errorClass);
  }
  assert.equal(advice({ ...call('groq'), error_class: 'new_one' }, {}), null);
});

test('names_the_settings_of_the_provider_that_failed', () => {
  const next = (errorClass, provider) => advice({ ...call(provider), error_class: errorClass }, {}).next;

  assert.match(next('auth', 'huggingface'), /HF_TOKEN/);
  assert.match(next('model_not_found', 'groq'), /GROQ_MODEL/);
  assert.match(next('connection', 'qwen'), /QWEN_BASE_URL/);
  assert.match(next('timeout', 'openai'), /ATTEMPT_TIMEOUT_SECONDS/);
  assert.match(next('truncated', 'openai'), /LLM_MAX_TOKENS/);
});
