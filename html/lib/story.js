// What happened in a trace, step by step and in order, from its decisions and its calls.
// Pure: the trace in, plain steps out; waterfall.js lays them out.
//
// A step is {kind, at, provider, call, callNumber, title, reason}:
//   kind        call | wait | skip | fallback | give_up | note
//   call        the element of llm_calls it led to, callNumber its place (from 1), else null
//   waitMs      how long a wait was to be, else null
//   title       the sentence, `reason` what the decision gave as its cause (or '')

import { duration, plural } from './format.js';
import { ERROR_CLASS, errorLabel } from './words.js';

// A decision may be noted a moment after the call it led to was made.
const NOTED_WITHIN_MS = 5;

const CALLING = new Set(['try', 'retry', 'fallback']);

export function story(trace) {
  const decisions = trace.decisions ?? [];
  const calls = (trace.llm_calls ?? []).map((call, i) => ({ call, number: i + 1 }));
  const madeBy = assign(decisions, calls);
  const steps = decisions.map((decision) => step(decision, madeBy.get(decision)));
  const told = new Set(madeBy.values());

  // A call without a decision is still told: truth before tidiness.
  for (const made of calls.filter((one) => !told.has(one))) {
    steps.push(step({ action: 'try', provider: made.call.provider, at: made.call.timestamp }, made));
  }
  return steps;
}

// Which decision led to which call. Provider by provider in order; but a decision may have led to none
// (the service was stopped first), then each call belongs to the last one before it.
function assign(decisions, calls) {
  const madeBy = new Map();

  for (const provider of new Set(calls.map(({ call }) => call.provider))) {
    const made = calls.filter(({ call }) => call.provider === provider);
    const wanted = decisions.filter((one) => one.provider === provider && CALLING.has(one.action));

    made.forEach((one, i) => {
      const until = Date.parse(one.call.timestamp) + NOTED_WITHIN_MS;
      const before = wanted.filter((wish) => !madeBy.has(wish) && !(Date.parse(wish.at) > until));
      const decision = wanted.length > made.length ? before.at(-1) : wanted[i];
      if (decision) madeBy.set(decision, one);
    });
  }
  return madeBy;
}

function step(decision, made) {
  const { action, at, provider, reason, wait_ms: waitMs } = decision;
  const kind = made && action !== 'fallback' ? 'call' : (KINDS[action] ?? 'note');
  const title = TITLES[action]?.({ provider, call: made?.call, waitMs });

  return {
    kind,
    at: at ?? null,
    provider,
    call: made?.call ?? null,
    callNumber: made?.number ?? null,
    title: title ?? `${action} ${provider ?? ''}`.trim(),
    waitMs: waitMs ?? null,
    reason: reasonText(reason),
  };
}

// What a decision that led to no call is; with a call, a try and a retry are one.
const KINDS = { wait: 'wait', skip: 'skip', fallback: 'fallback', give_up: 'give_up' };

// "openai gpt-6-luna", and just "sample" where the model is called like the provider.
export function whom(provider, call) {
  const model = call?.request?.model;

  return model && model !== provider ? `${provider} ${model}` : provider;
}

const TITLES = {
  try: ({ provider, call }) => (call ? `Tried ${whom(provider, call)}` : `To try ${provider}`),
  retry: ({ provider, call }) => (call ? `Tried ${whom(provider, call)} again` : `To try ${provider} again`),
  fallback: ({ provider, call }) => `Fell back to ${whom(provider, call)}`,
  wait: ({ provider, waitMs }) => `Waited ${duration(waitMs)}${provider ? ` for ${provider}` : ''}`,
  skip: ({ provider }) => `Skipped ${provider}`,
  give_up: () => 'Gave up',
};

// "rate_limited" → "rate limited"; a reason that is a sentence stays as it is.
function reasonText(reason) {
  if (!reason) return '';
  if (reason in ERROR_CLASS) return errorLabel(reason);
  return /^[a-z_]+$/.test(reason) ? reason.replaceAll('_', ' ') : reason;
}

// The story in sentences, one a step, for reading aloud and for copying.
export function storyLines(trace) {
  const steps = story(trace);
  const lines = steps.map(({ call, reason, title }) => {
    const why = reason && !call ? `: ${reason}` : '';

    return call ? `${title}: ${callEnd(call, trace)}` : `${title}${why}`;
  });
  const last = LAST_LINE[trace.status]?.(trace);

  return last && steps.at(-1)?.kind !== 'give_up' ? [...lines, last] : lines;
}

const LAST_LINE = {
  started: () => 'Still running',
  completed: ({ provider_used: provider, total_duration_ms: lasted }) =>
    `Lesson stored, written by ${provider}, ${duration(lasted)} after the request`,
  failed: () => 'No lesson',
};

// "answered in 3.00 s with 755 tokens", "429 rate limited after 312 ms".
export function callEnd(call, trace) {
  const { text } = outcome(call);
  const tokens = call.response?.usage?.completion_tokens;

  if (isPending(call)) return trace.status === 'started' ? text : 'how it ended is not known';
  if (call.duration_ms === null || call.duration_ms === undefined) {
    return `${text}, after how long is not known`;
  }
  if (!call.success) return `${text} after ${duration(call.duration_ms)}`;
  return `${text} in ${duration(call.duration_ms)}${tokens ? ` with ${plural(tokens, 'token')}` : ''}`;
}

// Its intent is stored, its end is not: under way.
export const isPending = (call) => call.success === null || call.success === undefined;

// How a call ended: {tone, icon, text}.
export function outcome(call) {
  if (isPending(call)) return { tone: 'run', icon: 'spinner', text: 'running' };
  if (call.success) return { tone: 'ok', icon: 'check', text: 'answered' };
  const status = call.http_status >= 400 ? `${call.http_status} ` : '';
  return { tone: 'bad', icon: 'cross', text: `${status}${errorLabel(call.error_class)}` };
}

// What a running generation is doing right now: the newest trace of its lesson (or undefined) → words.
export function progressText(trace) {
  if (!trace || trace.status !== 'started') return 'waiting for its turn';
  const calls = trace.llm_calls ?? [];
  const last = calls.at(-1);
  const failed = calls.filter((call) => call.success === false).length;
  const before = failed > 0 ? `, ${plural(failed, 'attempt')} failed so far` : '';

  if (!last) return 'waiting for its turn';
  if (isPending(last)) return `asking ${whom(last.provider, last)}${before}`;
  if (last.success) return 'storing the lesson';
  const next = trace.decisions?.at(-1);
  const waiting = next?.action === 'wait' ? `, waiting ${duration(next.wait_ms)}` : '';
  return `${last.provider}: ${errorLabel(last.error_class)}${waiting}${failed > 1 ? before : ''}`;
}
