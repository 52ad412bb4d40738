// Traces as a test needs them: inserted by SQL, found by the API.

// What the tests of a group find: nothing.
export const clearTraces = (db) =>
  db.run('DELETE FROM lesson_traces; DELETE FROM lessons; DELETE FROM audit_log');

const literal = (value) => {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return `ARRAY[${value.map(literal)}]::text[]`;
  return `'${String(value).replaceAll("'", "''")}'`;
};

// Inserts one trace a row; a row is {name, outline, …columns}. Its id is made of its name.
export async function insertTraces(db, rows) {
  for (const { name, outline = 'An outline', ...columns } of rows) {
    const all = { owner: 'user', ...columns };
    await db.run(
      `INSERT INTO lesson_traces (id, request_data, ${Object.keys(all)})
       VALUES (md5(${literal(name)})::uuid, jsonb_build_object('outline', ${literal(outline)}::text),
               ${Object.values(all).map(literal)})`,
    );
  }
}

// The names of all traces of a list, in its order, page by page of `limit`.
export async function walkTraces(db, call, query, { as = 'user', limit = 2, view = 'summary' } = {}) {
  const ids = [];
  let cursor = '';

  do {
    const answer = await call('GET', `/api/traces?view=${view}&limit=${limit}&${query}${cursor}`, { as });
    if (answer.status !== 200) throw new Error(`${query}: ${answer.status} ${answer.text}`);
    ids.push(...answer.body.traces.map(({ id }) => id));
    cursor = answer.body.has_more ? `&cursor=${answer.body.next_cursor}` : '';
  } while (cursor);
  return ids;
}

// Names back from ids.
export async function namesOf(ids, names) {
  const { createHash } = await import('node:crypto');
  const known = new Map(
    names.map((name) => {
      const hex = createHash('md5').update(name).digest('hex');
      return [hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'), name];
    }),
  );
  return ids.map((id) => known.get(id) ?? id);
}
