// A provider that does what no HTTP library does: it reads a chat request on a raw connection of loopback, and leaves
// the connection to what its table has for the model that was asked for.

import { deepEqual } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

import { sleep } from '../../lib/api.js';

const HEAD_END = '\r\n\r\n';
const DEAF_QUEUE = 8; // connections that fill the queue of somebody who does not accept

// An answer as bytes. `headers` are whole lines; with a `length` of null there is no Content-Length.
export function answer(
  status,
  body = '',
  { headers = [], type = 'application/json', length } = {},
) {
  const bytes = Buffer.from(body);
  const size = length === undefined ? bytes.length : length;
  const lines = [
    `HTTP/1.1 ${status} Whatever`,
    `Content-Type: ${type}`,
    ...(size === null ? [] : [`Content-Length: ${size}`]),
    ...headers,
  ];

  return Buffer.concat([Buffer.from(lines.join('\r\n') + HEAD_END), bytes]);
}

// The protocol's answer, as an object.
export const completion = (content) => ({
  id: 'chatcmpl-chaos',
  object: 'chat.completion',
  model: 'chaos-1',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 21, completion_tokens: 34, total_tokens: 55 },
});

// Resolves when the kernel has the bytes, to false when the connection is gone.
export const send = (socket, bytes) =>
  new Promise((resolve) => socket.write(bytes, (error) => resolve(!error && !socket.destroyed)));

export const gone = (socket) => (socket.destroyed ? undefined : once(socket, 'close'));

// A piece every so often, until the other side has had enough.
export async function drip(socket, piece, every_ms) {
  while (await send(socket, piece)) await sleep(every_ms);
}

// As much as is taken, `bytes` at most; gives how much that was.
export async function pour(socket, piece, bytes) {
  let poured = 0;

  while (poured < bytes && (await send(socket, piece))) poured += piece.length;
  return poured;
}

// The first request of some bytes: {outline, model, rest}; undefined if it is not all there.
function takeRequest(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end === -1) return undefined;
  const length = Number(/^content-length: *(\d+)/im.exec(bytes.toString('latin1', 0, end))?.[1]);
  const begin = end + HEAD_END.length;
  if (bytes.length < begin + length) return undefined;
  const { model, messages } = JSON.parse(bytes.toString('utf8', begin, begin + length));

  return {
    model,
    outline: /Outline: "([^"]*)"/.exec(messages.at(-1).content)[1],
    rest: bytes.subarray(begin + length),
  };
}

// `table[model]({socket, outline, ...context})` does with the connection what it likes; while that lives it is kept for
// a next request. requests(outline) is how many there were for a lesson.
export async function startFaultyProvider(table, context = {}) {
  const counts = new Map();
  const sockets = new Set();
  const failures = [];

  function converse(socket) {
    let bytes = Buffer.alloc(0);
    let busy = false;

    async function next() {
      if (busy || socket.destroyed) return;
      const request = takeRequest(bytes);
      if (request === undefined) return;
      const { outline, model, rest } = request;

      bytes = rest;
      busy = true;
      counts.set(outline, (counts.get(outline) ?? 0) + 1);
      await table[model]({ socket, outline, ...context });
      busy = false;
      await next();
    }

    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // what it is here for
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      next().catch((error) => {
        failures.push(error);
        socket.destroy();
      });
    });
  }

  const server = createServer({ allowHalfOpen: true }, converse).listen(0, '127.0.0.1', 4096);
  await once(server, 'listening');
  return {
    port: server.address().port,
    url: `http://127.0.0.1:${server.address().port}`,
    requests: (outline) => counts.get(outline) ?? 0,
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
      deepEqual(failures, []);
    },
  };
}

// A place where nobody should come.
export async function startTrap() {
  let visits = 0;
  const server = createServer((socket) => {
    visits++;
    socket.destroy();
  }).listen(0, '127.0.0.1');

  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    visits: () => visits,
    async stop() {
      server.close();
      await once(server, 'close');
    },
  };
}

// A port whose owner does not accept, with its queue full: who connects to it waits.
export async function startDeafProvider() {
  const code = `const server = require('net').createServer();
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const port = Number(line);

  child.kill('SIGSTOP');
  const waiting = Array.from({ length: DEAF_QUEUE }, () =>
    connect({ port, host: '127.0.0.1' }).on('error', () => {}),
  );
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      for (const socket of waiting) socket.destroy();
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
