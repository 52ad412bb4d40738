// A stack whose only provider is an upstream that thinks as long as it is told, and its processes.

import { startStack } from '../../lib/stack.js';
import { startUpstream } from '../../lib/upstream.js';
import { startClients } from './clients.js';
import { watchEnds } from './judge.js';
import { withAll } from './running.js';

// Runs `use({stack, upstream, startClients})`, and stops all of it, whatever happens.
export const withService = (env, use) =>
  withAll(
    {
      upstream: () => startUpstream({ seconds: 0.2 }),
      stack: ({ upstream }) =>
        startStack({
          env: {
            LLM_PROVIDERS: 'openai',
            OPENAI_BASE_URL: `${upstream.url}/v1`,
            OPENAI_API_KEY: 'sk-test-chaos',
            OPENAI_MODEL: 'slow',
            USER_QUEUED_MAX: '5000',
            LOG_LEVEL: 'warn',
            ...env,
          },
        }),
      clients: ({ stack }) => clientsOf(stack),
    },
    async ({ stack, upstream, clients }) => {
      await watchEnds(stack);
      return use({ stack, upstream, startClients: clients.start });
    },
  );

// So that no client goes on when a scenario breaks off.
function clientsOf(stack) {
  const started = [];

  return {
    start(options) {
      started.push(startClients(stack, options));
      return started.at(-1);
    },
    stop: () => Promise.all(started.map((one) => one.stop())),
  };
}

// The process ids of a program of the stack: those that do its work, and no multiwatch in front of them.
export function pidsOf(stack, program) {
  return stack
    .processes()
    .filter(({ command }) => command.split(' ')[0].endsWith(`/${program}`))
    .map(({ pid }) => pid);
}

// A signal to a process that may just have ended.
export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
