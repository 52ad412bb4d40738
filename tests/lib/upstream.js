// A provider that thinks for a while: an nginx with Debian's echo module, which carries thousands at a time.
//
//   /v1/chat/completions   a lesson, after a while, or after as long as the outline asks: "thinks 1.5 s"
//   /stall/…               the beginning of an answer, and then nothing for a long time
//   /silence/…             nothing for a long time
//   /redirect/…            302 to the lesson
//
// Each answer has an id of its own, in its text, too: "answer 0123…", and the tag of its outline: "tag-a-1".

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { sleep } from './api.js';

const PORTS_TRIED = 5;
const START_MS = 5000;
const STOP_MS = 5000;
const WORDS = 1200; // 6 KB, as lessons are
export const USAGE = { prompt_tokens: 330, completion_tokens: 1210, total_tokens: 1540 };

const configuration = ({ port, seconds, text, tls }) => String.raw`
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
daemon off;
master_process off;         # one process, that one signal stops
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log error.log error;
events { worker_connections 8192; }
http {
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    client_body_buffer_size 128k;
    keepalive_timeout 60s;
    keepalive_requests 100000;
    map $request_body $tag { default -; "~(?<t>tag-[0-9a-z-]+)" $t; }
    map $request_body $think { default ${seconds}; "~thinks (?<s>[0-9.]+) s" $s; }
    log_format calls '$msec $request_time $status $uri $tag $request_id';
    access_log calls.log calls;
    server {
        listen 127.0.0.1:${port} backlog=4096;${tls ? tlsLines(tls) : ''}
        location = /alive { access_log off; return 204; }
        location = /v1/chat/completions {
            default_type application/json;
            echo_read_request_body;
            echo_sleep $think;
            echo -n '{"id":"$request_id","object":"chat.completion","model":"slow","choices":[{"index":0,';
            echo -n '"message":{"role":"assistant","content":"# Slow thoughts\\n\\n## $tag\\n\\nanswer $request_id\\n\\n';
            ${text ? textLines(text) : `echo_duplicate ${WORDS} 'word ';`}
            echo -n '"},"finish_reason":"stop"}],"usage":{"prompt_tokens":${USAGE.prompt_tokens},';
            echo '"completion_tokens":${USAGE.completion_tokens},"total_tokens":${USAGE.total_tokens}}}';
        }
        location /stall/ {
            default_type application/json;
            echo_read_request_body;
            echo -n '{"id":"chatcmpl-stalled",';
            echo_flush;
            echo_sleep 20;
        }
        location /silence/ { echo_sleep 20; }
        location /redirect/ { return 302 /v1/chat/completions; }
    }
}
`;

const tlsLines = ({ port, certificate, key }) => `
        listen 127.0.0.1:${port} ssl http2 backlog=4096;
        ssl_certificate ${certificate};
        ssl_certificate_key ${key};`;

// In parts that nginx can read.
const textLines = (text) =>
  text
    .match(/.{1,2000}/g)
    .map((part) => `echo -n '${part}';`)
    .join(' ');

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function isAlive(port) {
  try {
    return (await fetch(`http://127.0.0.1:${port}/alive`)).status === 204;
  } catch {
    return false;
  }
}

function startNginx(dir) {
  const args = ['--pdeathsig', 'TERM', 'nginx', '-p', dir, '-c', 'nginx.conf', '-e', 'error.log'];
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const nginx = spawn('setpriv', args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  let ended = false;
  const end = new Promise((resolve) => {
    nginx.on('error', resolve).on('exit', resolve);
  }).then(() => (ended = true));

  return {
    hasEnded: () => ended,
    signal: (name) => nginx.kill(name),
    async stop() {
      const late = setTimeout(() => nginx.kill('SIGKILL'), STOP_MS);

      nginx.kill('SIGTERM');
      nginx.kill('SIGCONT');
      await end;
      clearTimeout(late);
    },
  };
}

// The lines of calls.log, as {began_ms, ended_ms, status, path, tag, id}; tag is '-' for an outline without one.
function readCalls(log) {
  return log
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [ended_s, took_s, status, path, tag, id] = line.split(' ');
      const ended_ms = 1000 * ended_s;

      return {
        began_ms: ended_ms - 1000 * took_s,
        ended_ms,
        status: Number(status),
        path,
        tag,
        id,
      };
    });
}

// `seconds`: how long it thinks; `text`: what it answers, words alone; `tls`: {certificate, key} to listen so, too, at
// tlsUrl. hold() keeps it from answering, and gives what lets it go on; calls() gives the calls that have ended; stop()
// ends it.
export async function startUpstream({ seconds, text, tls }) {
  const dir = mkdtempSync(join(tmpdir(), 'upstream-'));
  const remove = () => rmSync(dir, { recursive: true, force: true });

  // Somebody may take the port between the look and the bind.
  for (let i = 0; i < PORTS_TRIED; i++) {
    const port = await freePort();
    const tlsPort = await freePort();
    writeFileSync(
      join(dir, 'nginx.conf'),
      configuration({ port, seconds, text, tls: tls && { ...tls, port: tlsPort } }),
    );
    const nginx = startNginx(dir);
    const deadline = performance.now() + START_MS;

    while (!nginx.hasEnded() && performance.now() < deadline) {
      if (await isAlive(port))
        return {
          url: `http://127.0.0.1:${port}`,
          tlsUrl: `https://127.0.0.1:${tlsPort}`,
          hold() {
            nginx.signal('SIGSTOP');
            return () => nginx.signal('SIGCONT');
          },
          calls: () => readCalls(readFileSync(join(dir, 'calls.log'), 'utf8')),
          stop: () => nginx.stop().then(remove),
        };
      await sleep(20);
    }
    await nginx.stop();
  }
  remove();
  assert.fail('nginx with its echo module did not start');
}

// The most calls that were under way at one time.
export function peak(calls) {
  const steps = calls
    .flatMap(({ began_ms, ended_ms }) => [
      [began_ms, 1],
      [ended_ms, -1],
    ])
    .sort(([a, i], [b, j]) => a - b || i - j);
  let now = 0;
  let most = 0;

  for (const [, step] of steps) most = Math.max(most, (now += step));
  return most;
}
