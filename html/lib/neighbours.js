// The traces before and after one in the list of traces as it was left, whatever its filters and order.

import { get, path } from './api.js';
import { now } from './clock.js';
import { filtersOf } from './filters.js';
import { useEffect, useState } from './preact.js';
import { held } from './store.js';

const BESIDE = 2; // by time: the trace itself and the one after it
const PAGE_SIZE = 200;
const PAGES_MAX = 10; // by value: a trace further down than this has no neighbours; by time: so many of one microsecond

export const listQuery = () => held('traces.query', '').replace(/^\?/, '');

// Gives {previous, next}: ids; null where there is none, or not yet.
export function useNeighbours(id, createdAt) {
  const [found, setFound] = useState({});

  useEffect(() => {
    let current = true;

    setFound({});
    neighbours(id, createdAt).then((pair) => current && setFound(pair), () => {}); // without them the page is whole
    return () => {
      current = false;
    };
  }, [id, createdAt]);

  return { previous: found.previous ?? null, next: found.next ?? null };
}

async function neighbours(id, createdAt) {
  const query = Object.fromEntries(new URLSearchParams(listQuery()));
  const { cursor = '', sort } = query;
  const filters = filtersOf(query, now());

  if (!sort || sort.endsWith('created_at')) return besideInTime({ id, createdAt }, filters, sort === 'created_at');
  const near = await lookFrom(id, { ...filters, sort }, cursor);
  return near.previous || !cursor ? near : lookFrom(id, { ...filters, sort }, '');
}

// ---- a list by time: each way the list that begins at the trace ------------------------------

async function besideInTime(trace, filters, oldestFirst) {
  const { createdAt } = trace;
  if (!isWithin(createdAt, filters)) return {};
  const [older, newer] = await Promise.all([
    firstBeyond(trace, { ...filters, to: earliest(filters.to, microsecondAfter(createdAt)), sort: '-created_at' }),
    firstBeyond(trace, { ...filters, from: latest(filters.from, createdAt), sort: 'created_at' }),
  ]);

  if (!older.seen) return {};
  return oldestFirst ? { previous: older.id, next: newer.id } : { previous: newer.id, next: older.id };
}

// Its id, and whether the trace itself was in the list: one that was reached by another way has no neighbours there.
// Traces of the same microsecond are in the order of their ids; those on this side of it come first.
async function firstBeyond({ id, createdAt }, list) {
  const isBeyond = list.sort === 'created_at' ? (other) => other > id : (other) => other < id;
  let cursor = '';
  let seen = false;

  for (let page = 0; page < PAGES_MAX && cursor !== null; page++) {
    const { data } = await get(path.traces({ ...list, cursor, view: 'summary', limit: page === 0 ? BESIDE : PAGE_SIZE }));
    const beyond = data.traces.find((trace) => trace.created_at !== createdAt || isBeyond(trace.id));

    seen ||= data.traces.some((trace) => trace.id === id);
    if (beyond) return { id: beyond.id, seen };
    cursor = data.next_cursor;
  }
  return { id: null, seen };
}

const earliest = (a, b) => (a && microseconds(a) < microseconds(b) ? a : b);
const latest = (a, b) => (a && microseconds(a) > microseconds(b) ? a : b);

// Whether a list of this time can have what was made then: `from` is part of it, `to` is not.
export const isWithin = (iso, { from, to }) =>
  !(from && microseconds(iso) < microseconds(from)) && !(to && microseconds(iso) >= microseconds(to));

// Since 1970; Date knows milliseconds alone.
const microseconds = (iso) =>
  Date.parse(iso.replace(/\.\d+/, '')) * 1000 + Number((/\.(\d{1,6})/.exec(iso)?.[1] ?? '').padEnd(6, '0'));

// `to` is no part of a list, so it has to be later than the trace by the least there is:
// "…T10:00:00.9+00:00" → "…T10:00:00.900001Z"
export function microsecondAfter(iso) {
  const at = microseconds(iso) + 1;

  return `${new Date(Math.floor(at / 1000)).toISOString().slice(0, 20)}${String(at % 1_000_000).padStart(6, '0')}Z`;
}

// ---- a list by value: page by page, from the one that was left ------------------------------

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
