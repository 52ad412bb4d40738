// Load over HTTP: wrk, with what it saw and the CPU that it took itself.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'wrk.lua');
const TIMEOUT_S = 30;
const CONNECT_S = 30; // for wrk to end after its time

// The load generator's times, as bash tells them behind wrk's own lines.
const TIMED = 'TIMEFORMAT="TIMES %R %U %S"; time wrk "$@"';

function runWrk(args) {
  const timeout = 1000 * (Number(args[args.indexOf('-d') + 1]) + CONNECT_S);

  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', TIMED, 'wrk', ...args], { timeout }, (error, out, err) =>
      error ? reject(new Error(`wrk: ${err || out || error.message}`)) : resolve(out + err),
    );
  });
}

// `paths` are asked for in turn, or `bodies` are sent to `post`, by each of `crowd` (of Authorizations) in turn; by
// `clients`, each with one request at a time.
// `spread_ms`: the clients begin so far apart. Gives {rps, p50_ms, p95_ms, p99_ms, max_ms, requests, bytes (of an
// answer, with its headers), errors, cpu (of one core)}.
export async function load(
  baseUrl,
  { paths, post, bodies, crowd, headers = {}, clients = 8, seconds, spread_ms = 0 },
) {
  const dir = mkdtempSync(join(tmpdir(), 'bench-wrk.'));
  const list = join(dir, 'list');

  const write = (file, lines) => writeFileSync(file, lines.map((line) => `${line}\n`).join(''));

  write(list, paths ?? bodies);
  if (crowd) write(join(dir, 'crowd'), crowd);
  try {
    const text = await runWrk([
      ...['-t', '1', '-c', String(clients), '-d', String(seconds), '--timeout', `${TIMEOUT_S}s`],
      ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
      ...['-s', SCRIPT, baseUrl, '--'],
      ...(paths ? [`paths=${list}`] : [`post=${post}`, `bodies=${list}`]),
      ...(crowd ? [`crowd=${join(dir, 'crowd')}`] : []),
      ...(spread_ms > 0 ? [`spread=${spread_ms}`, `connections=${clients}`] : []),
    ]);
    return read(text);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function read(text) {
  const told = JSON.parse(/^RESULT (.*)$/m.exec(text)[1]);
  const [real, user, system] = /^TIMES (.*)$/m.exec(text)[1].split(' ').map(Number);

  return {
    rps: (1e6 * told.requests) / told.us,
    p50_ms: told.p50_us / 1000,
    p95_ms: told.p95_us / 1000,
    p99_ms: told.p99_us / 1000,
    max_ms: told.max_us / 1000,
    requests: told.requests,
    bytes: told.requests > 0 ? told.bytes / told.requests : 0,
    errors: told.connect + told.read + told.write + told.status + told.timeout,
    cpu: (user + system) / real,
  };
}
