// What a provider's settings are called, and how it is asked: for advice, and for a `curl` that does
// what the generator did. It never holds a key: the shell puts in the reader's own.

const CHAT = {
  path: () => '/chat/completions',
  header: 'Authorization: Bearer ',
  body: ({ model, messages, parameters }) => ({ model, messages, ...parameters }),
};

const ANTHROPIC = {
  path: () => '/v1/messages',
  header: 'x-api-key: ',
  more: ['anthropic-version: 2023-06-01'],
  body: ({ model, system, prompt, parameters }) => ({
    model,
    system: system ?? undefined,
    messages: [{ role: 'user', content: prompt }],
    ...parameters,
  }),
};

const GEMINI = {
  path: (model) => `/v1beta/models/${encoded(model.replace(/^models\//, ''))}:generateContent`,
  header: 'x-goog-api-key: ',
  body: ({ system, prompt, parameters }) => ({
    systemInstruction: system ? { parts: [{ text: system }] } : undefined,
    contents: [{ role: 'user', parts: [{ text: prompt }] }],
    ...parameters,
  }),
};

const OLLAMA = {
  path: () => '/api/chat',
  body: ({ model, messages, parameters }) => ({ model, messages, ...parameters }),
};

// Also what encodeURIComponent() leaves, though it means something in an address (RFC 3986) and in a shell.
const encoded = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

// name → its protocol, the names of its settings, and the address without one.
const PROVIDERS = {
  anthropic: {
    protocol: ANTHROPIC, key: 'ANTHROPIC_API_KEY', model: 'ANTHROPIC_MODEL', base: 'ANTHROPIC_BASE_URL',
    address: 'https://api.anthropic.com',
  },
  gemini: {
    protocol: GEMINI, key: 'GEMINI_API_KEY', model: 'GEMINI_MODEL', base: 'GEMINI_BASE_URL',
    address: 'https://generativelanguage.googleapis.com',
  },
  groq: {
    protocol: CHAT, key: 'GROQ_API_KEY', model: 'GROQ_MODEL', base: 'GROQ_BASE_URL',
    address: 'https://api.groq.com/openai/v1',
  },
  huggingface: {
    protocol: CHAT, key: 'HF_TOKEN', model: 'HUGGINGFACE_MODEL', base: 'HUGGINGFACE_BASE_URL',
    address: 'https://router.huggingface.co/v1',
  },
  ollama: {
    protocol: OLLAMA, key: null, model: 'OLLAMA_MODEL', base: 'OLLAMA_URL',
    address: 'http://127.0.0.1:11434',
  },
  openai: {
    protocol: CHAT, key: 'OPENAI_API_KEY', model: 'OPENAI_MODEL', base: 'OPENAI_BASE_URL',
    address: 'https://api.openai.com/v1',
  },
  qwen: {
    protocol: CHAT, key: 'DASHSCOPE_API_KEY', model: 'QWEN_MODEL', base: 'QWEN_BASE_URL',
    address: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
  },
  sample: { protocol: CHAT, key: null, model: 'SAMPLE_MODEL', base: 'SAMPLE_BASE_URL', address: null },
};

// The names of a provider's settings: {key, model, base}; key is null where it needs none.
export function settingsOf(provider) {
  const { key, model, base } = PROVIDERS[provider] ?? {};

  return { key: key ?? null, model: model ?? '…_MODEL', base: base ?? '…_BASE_URL' };
}

// The shell command that asks the provider what the call asked; null if it is not one that we know.
// `origin` is ours, where the sample provider lives.
export function callCommand(call, origin) {
  const known = PROVIDERS[call.provider];

  if (!known || !call.request?.model) return null;
  const { protocol, key, base, address } = known;
  const { model, system, prompt, parameters } = call.request;
  const messages = [
    ...(system ? [{ role: 'system', content: system }] : []),
    { role: 'user', content: prompt ?? '' },
  ];
  const headers = ['Content-Type: application/json', ...(protocol.more ?? [])];
  const place = `"\${${base}:-${address ?? `${origin}/sample/v1`}}"${quoted(protocol.path(model))}`;
  const body = protocol.body({ model, system, prompt: prompt ?? '', messages, parameters });

  return [
    `curl ${place} \\`,
    ...(key ? [`     -H ${quoted(protocol.header)}"$${key}" \\`] : []),
    ...headers.map((header) => `     -H ${quoted(header)} \\`),
    "     --data-binary @- <<'JSON'",
    JSON.stringify(body, null, 2),
    'JSON',
  ].join('\n');
}

// The shell command that generates the lesson of a trace here once more, with the same choice.
export function regenerateCommand({ lesson_id: id, request_data: request }, origin) {
  const { provider, model } = request ?? {};
  const body = JSON.stringify({ provider: provider ?? undefined, model: model ?? undefined });

  return [
    `curl -u NAME ${quoted(`${origin}/api/lessons/${id}/regenerate`)} \\`,
    "     -H 'Content-Type: application/json' \\",
    `     -d ${quoted(body)}`,
  ].join('\n');
}

// One word for the shell, whatever is in it: all but the names of variables is given to it so, also for a shell
// that one types into, where "!" within double quotes means a command of before.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
