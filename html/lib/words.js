// The API's machine words and what they are called on the pages. To add one: a line here.

export const TRACE_STATUS = {
  started: { label: 'running', icon: 'spinner', tone: 'run' },
  completed: { label: 'completed', icon: 'check', tone: 'ok' },
  failed: { label: 'failed', icon: 'cross', tone: 'bad' },
};

export const LESSON_STATUS = {
  generating: { label: 'generating', icon: 'spinner', tone: 'run' },
  generated: { label: 'generated', icon: 'check', tone: 'ok' },
  error: { label: 'failed', icon: 'cross', tone: 'bad' },
};

// error_class of a call → its name, and what a reader can do about it where that is plain; advice.js knows
// more where the call itself is at hand.
export const ERROR_CLASS = {
  auth: {
    label: 'not authorised',
    hint: 'The provider refused the key: check it, and that it belongs to this region.',
  },
  cancelled: {
    label: 'cancelled',
    hint: 'The lesson or the call was given up before an answer came.',
  },
  connection: {
    label: 'connection failed',
    hint: 'No connection to the provider: check its base URL, DNS and the way out.',
  },
  content_filtered: {
    label: 'content filtered',
    hint: 'The provider declined to write about this outline.',
  },
  context_length: {
    label: 'prompt too long',
    hint: 'The outline does not fit into this model: shorten it or use a larger model.',
  },
  empty: {
    label: 'empty answer',
    hint: 'The answer had no text. A reasoning model may have used up its output tokens.',
  },
  invalid_request: {
    label: 'invalid request',
    hint: 'The provider did not accept the request: the parameters may not fit this model.',
  },
  invalid_response: { label: 'unreadable answer' },
  model_not_found: {
    label: 'model not found',
    hint: 'The provider does not know this model: set its …_MODEL to one it offers.',
  },
  quota: {
    label: 'quota used up',
    hint: 'The account at the provider is out of credit or over its limit.',
  },
  rate_limited: { label: 'rate limited' },
  server_error: { label: 'provider error' },
  timeout: { label: 'timeout' },
  too_large: { label: 'answer too large' },
  truncated: { label: 'cut off', hint: 'The answer ended early at the model’s output limit.' },
  worker_lost: {
    label: 'interrupted',
    hint: 'The generator stopped during this call. What the provider did with it is not known.',
  },
};

export const errorLabel = (errorClass) =>
  ERROR_CLASS[errorClass]?.label ?? (errorClass ?? 'failed').replaceAll('_', ' ');

// What was asked for beside the outline: "grade 2 · 4 sections · reading · examples · openai gpt-x".
export function requestText(request) {
  const { gradeLevel, sections, learningStyle, includeExamples, includeExercises, provider, model } = request ?? {};

  return [
    gradeLevel && `grade ${gradeLevel}`,
    sections && `${sections} sections`,
    learningStyle,
    includeExamples && 'examples',
    includeExercises && 'exercises',
    [provider, model].filter(Boolean).join(' '),
  ].filter(Boolean).join(' · ');
}

export const GRADES = ['2', '3', '4', '5', '6', '7', '8'];
export const SECTIONS = [4, 5, 6, 7, 8];
export const LEARNING_STYLES = ['reading', 'reading and visual'];

// Some of the model names by which the built-in sample provider fails on purpose, so that anyone can
// watch a fallback.
export const SAMPLE_FAULTS = [
  'fail-401',
  'fail-404',
  'fail-429',
  'fail-429-retry-after',
  'fail-500',
  'fail-quota',
  'context-length',
  'slow',
  'truncate',
  'empty',
  'refuse',
  'garbage',
  'html',
  'drop',
  'cut',
  'huge',
  'no-usage',
];

export const OUTLINE_CHARACTERS_MAX = 20_000;
