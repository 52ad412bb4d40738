// The API as one would write it with Fastify and postgres.js: the same rows of the same views, for the same owner, and
// nothing of identity or row security. Two processes, behind nginx, on one socket.
//
//   fastify.js SOCKET idiomatic     rows, which JSON.stringify writes
//   fastify.js SOCKET postgresql    the document comes from PostgreSQL
//
// PostgreSQL is where libpq's environment says.

import cluster from 'node:cluster';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import fastify from 'fastify';
import postgres from 'postgres';

const PROCESSES = 2;
const CONNECTIONS = 8; // of each
const [socket, how] = process.argv.slice(2);

const idiomatic = (app, sql) => {
  const list = async (view, { owner, limit = '50' }) => {
    const rows = await sql`
      SELECT * FROM ${sql(view)} WHERE owner = ${owner}
       ORDER BY created_at DESC, id DESC LIMIT ${Number(limit) + 1}`;
    return { traces: rows.slice(0, limit), has_more: rows.length > limit };
  };

  app.get('/full', ({ query }) => list('lesson_trace_full', query));
  app.get('/summary', ({ query }) => list('lesson_trace_summary', query));
  app.get('/traces/:id', async ({ params }) => {
    const [trace] = await sql`SELECT * FROM lesson_trace_full WHERE id = ${params.id}`;
    return { trace };
  });
};

const postgresql = (app, sql) => {
  const list = async (view, { owner, limit = '50' }, reply) => {
    const [{ doc }] = await sql`
      SELECT json_build_object('traces', json_agg(r))::text AS doc
        FROM (SELECT * FROM ${sql(view)} WHERE owner = ${owner}
               ORDER BY created_at DESC, id DESC LIMIT ${limit}) r`;
    return reply.type('application/json').send(doc);
  };

  app.get('/full', ({ query }, reply) => list('lesson_trace_full', query, reply));
  app.get('/summary', ({ query }, reply) => list('lesson_trace_summary', query, reply));
  app.get('/traces/:id', async ({ params }, reply) => {
    const [{ doc }] = await sql`
      SELECT json_build_object('trace', row_to_json(v))::text AS doc
        FROM lesson_trace_full v WHERE id = ${params.id}`;
    return reply.type('application/json').send(doc);
  });
};

async function serve() {
  const app = fastify();
  const sql = postgres({
    path: join(process.env.PGHOST, '.s.PGSQL.5432'),
    database: process.env.PGDATABASE,
    username: process.env.PGUSER,
    password: process.env.PGPASSWORD,
    max: CONNECTIONS,
  });

  ({ idiomatic, postgresql })[how](app, sql);
  await app.listen({ path: socket });
  chmodSync(socket, 0o666);
}

if (cluster.isPrimary) {
  rmSync(socket, { force: true });
  for (let i = 0; i < PROCESSES; i++) cluster.fork();
  process.on('SIGTERM', () => process.exit());
} else {
  await serve();
}
