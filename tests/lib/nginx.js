// nginx: what a configuration says, and more front doors to a stack, each with another way of signing in.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 20_000;

// The words of a file: bare, or within quotes; { } and ; are words, too.
function* words(text) {
  for (const [word] of text.matchAll(
    /#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]|(?:[^\s{};"'\\]|\\.|\$\{\w+\})+/g,
  ))
    if (!word.startsWith('#')) yield word.replace(/^(["'])(.*)\1$/s, '$2');
}

// [{words: [...], block: [...] or null}] of site.conf, with all includes but those of maps in place.
export function readConfig(dir, file = 'site.conf') {
  const stream = words(readFileSync(join(dir, file), 'utf8'));

  function block(isRegex = false) {
    const all = [];
    let one = [];
    for (let { value, done } = stream.next(); !done; { value, done } = stream.next()) {
      if (value === '}' && !isRegex) return all;
      if (value === ';') {
        const included = one[0] === 'include' && one[1].startsWith('snippets/');
        all.push(...(included ? readConfig(dir, one[1]) : [{ words: one, block: null }]));
        one = [];
      } else if (value === '{') {
        all.push({ words: one, block: block() });
        one = [];
      } else one.push(value);
    }
    return all;
  }
  return block();
}

// Its locations, as {match: '~', path, lines: [[word...]...]}; match is "" for a prefix or a name.
export const locationsOf = (dir) =>
  readConfig(dir)
    .find(({ words: [name] }) => name === 'server')
    .block.filter(({ words: [name] }) => name === 'location')
    .map(({ words: [, ...where], block }) => ({
      match: where.length > 1 ? where[0] : '',
      path: where.at(-1),
      lines: block.map(({ words }) => words),
    }));

// Which location a path goes to, as nginx decides.
export function locationOf(locations, path) {
  const prefixes = locations.filter(({ match, path: at }) => match === '' && path.startsWith(at));

  return (
    locations.find(({ match, path: at }) => match === '=' && at === path) ??
    locations.find(({ match, path: at }) => match === '~' && new RegExp(at).test(path)) ??
    prefixes.sort((a, b) => b.path.length - a.path.length)[0]
  );
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// A second nginx before the responders of a stack, with the one line of site.conf changed that says how people sign
// in: 'basic', 'request' or 'mtls'. `files`: more for its directory, by name. Gives {baseUrl, tlsUrl, dir, stop()}.
export async function openDoor(stack, mode, { files = {}, authUrl } = {}) {
  const root = mkdtempSync(join(tmpdir(), 'lesson-tracer-door.'));
  const dir = join(root, 'nginx');
  const { uid, gid } = statSync(join(stack.runDir, 'nginx/tmp'));
  const [port, tlsPort] = [await freePort(), await freePort()];
  const asService = process.getuid() === 0 ? [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'] : [];

  cpSync(join(stack.runDir, 'nginx'), dir, {
    recursive: true,
    filter: (from) => !from.includes('/nginx/tmp/'),
  });
  cpSync(join(stack.runDir, 'logs/nginx.log'), join(root, 'logs/nginx.log'));
  writeFileSync(join(root, 'logs/nginx.log'), '');
  writeFileSync(join(root, 'logs/access.log'), '');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const edit = (file, change) => writeFileSync(file, change(readFileSync(file, 'utf8')));
  edit(join(dir, 'site.conf'), (text) =>
    text
      .replace(/include snippets\/auth-\w+\.conf;/, `include snippets/auth-${mode}.conf;`)
      .replace(/listen 127\.0\.0\.1:\d+ backlog/, `listen 127.0.0.1:${port} backlog`)
      .replace(/listen 127\.0\.0\.1:\d+ ssl/, `listen 127.0.0.1:${tlsPort} ssl`),
  );
  edit(join(dir, 'nginx.conf'), (text) => text.replace('worker_processes auto', 'worker_processes 1'));
  if (authUrl)
    edit(join(dir, 'snippets/auth-request.conf'), (text) =>
      text.replace(/proxy_pass http:[^;]*\/[^;]+;/, `proxy_pass ${authUrl};`),
    );
  const own = (path) => {
    chownSync(path, uid, gid);
    if (statSync(path).isDirectory()) for (const name of readdirSync(path)) own(join(path, name));
  };
  own(root);
  const child = spawn(
    'setpriv',
    [...asService, '--pdeathsig', 'TERM', 'nginx', '-p', root, '-c', join(dir, 'nginx.conf'), '-e', 'logs/nginx.log'],
    { stdio: 'ignore', cwd: '/', env: { PATH: `${process.env.PATH}:/usr/sbin` } },
  );
  const log = () => readFileSync(join(root, 'logs/nginx.log'), 'utf8');
  for (const deadline = Date.now() + START_MS; !existsSync(join(dir, 'tmp/nginx.pid')); await sleep(20))
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`nginx did not start:\n${log()}`);
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    tlsUrl: `https://127.0.0.1:${tlsPort}`,
    dir,
    log,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      rmSync(root, { recursive: true, force: true });
    },
  };
}
