// A stack whose only provider is an upstream that thinks as long as it is told, and its processes.

import { startStack } from '../../lib/stack.js';
import { startUpstream } from '../../lib/upstream.js';
import { startClients } from './clients.js';
import { watchEnds } from './judge.js';

// Runs `use({stack, upstream, startClients})`, and stops all of it, whatever happens.
export async function withService(env, use) {
  const upstream = await startUpstream({ seconds: 0.2 });

  try {
    const stack = await startStack({
      env: {
        LLM_PROVIDERS: 'openai',
        OPENAI_BASE_URL: `${upstream.url}/v1`,
        OPENAI_API_KEY: 'sk-test-chaos',
        OPENAI_MODEL: 'slow',
        USER_QUEUED_MAX: '5000',
        LOG_LEVEL: 'warn',
        ...env,
      },
    });
    const started = [];
    try {
      await watchEnds(stack);
      return await use({
        stack,
        upstream,
        startClients(options) {
          const clients = startClients(stack, options);
          started.push(clients);
          return clients;
        },
      });
    } finally {
      await Promise.all(started.map((clients) => clients.stop()));
      await stack.stop();
    }
  } finally {
    await upstream.stop();
  }
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
