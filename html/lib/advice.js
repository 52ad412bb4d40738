// What a failed call means and what to do about it: error_class → {what, next}. To add one: a line here.

import { duration, plural } from './format.js';
import { settingsOf } from './provider.js';

const WORDS = {
  auth: ({ provider, key }) => ({
    what: `${provider} refused the key.`,
    next: key
      ? `Check ${key} in the generator’s settings, and that it belongs to this account and region.`
      : 'It should need none: look at what stands before it, a proxy for example.',
  }),
  cancelled: () => ({
    what: 'The call was given up before its answer came: the lesson was deleted, or the service was stopped.',
    next: 'Generate the lesson again if it is still wanted.',
  }),
  connection: ({ provider, base }) => ({
    what: `No connection to ${provider}, or it was closed without an answer.`,
    next: `Check ${base}, the name’s DNS entry, and the way out (firewall, proxy).`,
  }),
  content_filtered: ({ provider }) => ({
    what: `${provider} declined to write about this outline.`,
    next: 'Reword the outline, or generate it again with another provider.',
  }),
  context_length: ({ model }) => ({
    what: 'The prompt does not fit into this model.',
    next: `Shorten the outline, or set ${model} to a model with a larger context.`,
  }),
  empty: () => ({
    what: 'The answer had no text.',
    next: 'A reasoning model may have used up its output tokens: raise LLM_MAX_TOKENS.',
  }),
  invalid_request: ({ model }) => ({
    what: 'The provider did not accept the request.',
    next: `Its own words above name what it minds; often a parameter that this model (${model}) does not know.`,
  }),
  invalid_response: ({ base }) => ({
    what: 'The answer could not be read.',
    next: `Often something else than the provider answered: check ${base}, and any proxy before it.`,
  }),
  model_not_found: ({ provider, model, asked }) => ({
    what: `${provider} does not know the model${asked ? ` “${asked}”` : ''}.`,
    next: `Set ${model} to one that it offers, or choose another model for this lesson.`,
  }),
  quota: ({ provider }) => ({
    what: `The account at ${provider} is out of credit, or over its limit.`,
    next: 'Add credit or raise the limit there; it is passed over for an hour meanwhile.',
  }),
  rate_limited: ({ provider, waits }) => ({
    what: `${provider} takes no more requests for now.${waitedText(waits)}`,
    next: 'If this is common, ask for a higher limit there, or put another provider before it (LLM_PROVIDERS).',
  }),
  server_error: ({ provider, waits }) => ({
    what: `${provider} had an error of its own.${waitedText(waits)}`,
    next: 'Nothing to do here: its status page says more. After several in a row it is passed over for a while.',
  }),
  timeout: () => ({
    what: 'The answer did not come in time.',
    next: 'Raise ATTEMPT_TIMEOUT_SECONDS (IDLE_TIMEOUT_SECONDS, if the answer had begun), or use a faster model.',
  }),
  too_large: () => ({
    what: 'The answer was larger than what is taken, 4 MiB.',
    next: 'Ask for fewer sections, or use another model.',
  }),
  truncated: () => ({
    what: 'The answer ended before the lesson did.',
    next: 'At the output limit: raise LLM_MAX_TOKENS or ask for fewer sections. Cut off on the way: generate it again.',
  }),
  worker_lost: () => ({
    what: 'The generator stopped during this call; what the provider did with it is not known.',
    next: 'It was taken up again by itself. If this repeats, its log says why it stops.',
  }),
};

// Of a failed call of the trace; null where there is nothing to say.
export function advice(call, trace) {
  const { error_class: errorClass, provider } = call;
  const waits = (trace.decisions ?? []).filter((one) =>
    one.action === 'wait' && one.provider === provider && one.reason === errorClass);

  return WORDS[errorClass]?.({
    ...settingsOf(provider),
    provider,
    asked: call.request?.model,
    waits,
  }) ?? null;
}

function waitedText(waits) {
  if (waits.length === 0) return '';
  const ms = waits.reduce((sum, { wait_ms: wait }) => sum + (wait ?? 0), 0);
  return ` It was given ${duration(ms)} in ${plural(waits.length, 'wait')}.`;
}
