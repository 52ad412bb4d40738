// A session with PostgreSQL: one psql that stays open, so that a statement costs no start of a process, and several
// sessions can be in each other's way.

import { spawn } from 'node:child_process';

const MARK = '-- that was all --';

// run(sql) gives what psql -At prints, and fails with `code`, the SQLSTATE, on the first error; rows(sql) gives the
// rows of one statement as objects. Statements of one session wait for each other. end() ends it.
export function openSession(url) {
  const psql = spawn('psql', ['-XqAt', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=0', url], {
    env: { ...process.env, PGOPTIONS: '-c lock_timeout=20s -c statement_timeout=60s' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  let last = Promise.resolve();
  let waiting = null;
  let ended = false;

  function settle() {
    const marks = [texts.stdout.indexOf(`${MARK}\n`), texts.stderr.indexOf(`${MARK}\n`)];
    const { resolve, reject } = waiting ?? {};

    if (waiting === null || (!ended && marks.includes(-1))) return;
    const [out, err] = ended
      ? [texts.stdout, `${texts.stderr}psql ended`]
      : [texts.stdout.slice(0, marks[0]), texts.stderr.slice(0, marks[1])];
    const error = /^(?:psql:.*?)?(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/m.exec(err);

    texts.stdout = texts.stderr = '';
    waiting = null;
    if (error || ended) reject(Object.assign(new Error(err.trim()), { code: error?.[1] }));
    else resolve(out.trimEnd());
  }

  for (const name of ['stdout', 'stderr'])
    psql[name].setEncoding('utf8').on('data', (text) => {
      texts[name] += text;
      settle();
    });
  psql.on('close', () => {
    ended = true;
    settle();
  });
  psql.stdin.on('error', () => {});

  function run(sql) {
    const result = last.then(
      () =>
        new Promise((resolve, reject) => {
          waiting = { resolve, reject };
          psql.stdin.write(`${sql}\n;\n\\echo ${MARK}\n\\warn ${MARK}\n`);
          settle();
        }),
    );

    last = result.catch(() => {});
    return result;
  }

  return {
    run,
    rows: async (sql) =>
      JSON.parse(await run(`SELECT coalesce(json_agg(r), '[]') FROM (${sql}) r`)),
    async end() {
      await last;
      if (ended) return;
      psql.stdin.end();
      await new Promise((resolve) => psql.on('close', resolve));
    },
  };
}
