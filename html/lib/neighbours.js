// The traces before and after one in the list of traces as it was left, whatever its filters and order.

import { get, path } from './api.js';
import { now } from './clock.js';
import { filtersOf } from './filters.js';
import { useEffect, useState } from './preact.js';
import { held } from './store.js';

const PAGE_SIZE = 200;
const PAGES_MAX = 10; // a trace further down than this has no neighbours

export const listQuery = () => held('traces.query', '').replace(/^\?/, '');

// Gives {previous, next}: ids; null where there is none, or not yet.
export function useNeighbours(id) {
  const [found, setFound] = useState({});

  useEffect(() => {
    let current = true;

    setFound({});
    neighbours(id).then((pair) => current && setFound(pair), () => {}); // without them the page is whole
    return () => {
      current = false;
    };
  }, [id]);

  return { previous: found.previous ?? null, next: found.next ?? null };
}

// From the page of the list that was left; when there is nothing before it, from the list's beginning.
async function neighbours(id) {
  const query = Object.fromEntries(new URLSearchParams(listQuery()));
  const { cursor = '', sort } = query;
  const filters = { ...filtersOf(query, now()), sort };
  const near = await lookFrom(id, filters, cursor);

  return near.previous || !cursor ? near : lookFrom(id, filters, '');
}

async function lookFrom(id, filters, from) {
  let cursor = from;
  let before = null;

  for (let page = 0; page < PAGES_MAX && cursor !== null; page++) {
    const { data } = await get(path.traces({ ...filters, cursor, view: 'summary', limit: PAGE_SIZE }));
    const ids = data.traces.map((trace) => trace.id);
    const at = ids.indexOf(id);

    if (at !== -1) {
      const next = ids[at + 1] ?? (data.next_cursor && (await firstOf(filters, data.next_cursor)));
      return { previous: ids[at - 1] ?? before, next };
    }
    before = ids.at(-1) ?? before;
    cursor = data.next_cursor;
  }
  return {};
}

async function firstOf(filters, cursor) {
  const { data } = await get(path.traces({ ...filters, cursor, view: 'summary', limit: 1 }));

  return data.traces[0]?.id ?? null;
}
