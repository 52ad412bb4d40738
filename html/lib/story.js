// What happened in a trace, step by step and in order, from its decisions and its calls.
// Pure: the trace in, plain steps out; views/trace.js draws them.
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
function whom(provider, call) {
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

// Its intent is stored, its end is not: under way.
export const isPending = (call) => call.success === null || call.success === undefined;

// How a call ended: {tone, icon, text}.
export function outcome(call) {
  if (isPending(call)) return { tone: 'run', icon: 'spinner', text: 'running' };
  if (call.success) return { tone: 'ok', icon: 'check', text: 'answered' };
  const status = call.http_status ? `${call.http_status} ` : '';
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
