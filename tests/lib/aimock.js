// Doubles of the providers that nobody here wrote: @copilotkit/aimock, with a journal of what they were asked.

import { LLMock } from '@copilotkit/aimock';

// One double for all. `keys`: those that it takes, and it refuses all other callers; without them it takes anybody.
// `url` is where it listens; journal(outline) gives its entries for a lesson, in order, as
// {method, path, headers, body, response}; on(...) is its own; stop() ends it.
export async function startDouble({ keys } = {}) {
  const double = new LLMock({
    port: 0,
    host: '127.0.0.1',
    journalMaxEntries: 0,
    ...(keys && { auth: { apiKeys: keys } }),
  });

  await double.start();
  return {
    url: double.url,
    on: (match, response, options) => double.on(match, response, options),
    journal: (outline) =>
      double
        .getRequests()
        .filter(({ body }) =>
          body?.messages?.some(({ content }) => content.includes(`"${outline}"`)),
        ),
    stop: () => double.stop(),
  };
}
