// The rows of a list that stay where they are while it is polled: what changed in them is shown, what is
// new is counted, and comes in when the reader says so. Polling rests while nobody looks at the top of
// the list; resource.js backs off on errors.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './preact.js';
import { useResource } from './resource.js';

const POLL_MS = 4000;
const POLL_FIRST_MS = 3000; // no trace yet: the page waits for the first
const FRESH_MS = 2000;
const SCROLLED_PX = 200;

const isRunning = (trace) => trace.status === 'started';

const isScrolled = () => scrollY > SCROLLED_PX;

const resting = () => document.hidden || isScrolled() || document.querySelector('dialog[open]');

// Whether polling rests because the reader is further down.
export function useScrolled() {
  const [scrolled, setScrolled] = useState(isScrolled);

  useEffect(() => {
    const onScroll = () => setScrolled(isScrolled());
    addEventListener('scroll', onScroll, { passive: true });
    return () => removeEventListener('scroll', onScroll);
  }, []);
  return scrolled;
}

// `live` polls always, `waiting` where there is no row yet; a row that runs is followed until it ends.
// Gives `shown`, the answer on the page: {url, data}, or null, which may be that of the address before
// while another is on its way; `fresh`, ids that came in just now; `arrived`, how many could.
export function useLive(url, { live, waiting }) {
  const list = useResource(url);
  const [shown, setShown] = useState(null);
  const [fresh, setFresh] = useState(NOBODY);
  const wanted = useRef(false);
  const { data, error, at } = list;

  useLayoutEffect(() => {
    if (data === null) return;
    const whole = wanted.current || shown?.url !== url || shown.data.traces.length === 0;
    wanted.current = false;
    if (whole) bring();
    else setShown({ url, data: updated(shown.data, data) });
  }, [data, at]);

  useEffect(() => {
    if (fresh === NOBODY) return undefined;
    const timer = setTimeout(() => setFresh(NOBODY), FRESH_MS);
    return () => clearTimeout(timer);
  }, [fresh]);

  const period = pollMs(data, live, waiting);

  useEffect(() => {
    if (period === null || error) return undefined;
    let timer;
    const wait = () => {
      timer = setTimeout(() => (resting() ? wait() : list.reload()), period);
    };
    wait();
    return () => clearTimeout(timer);
  }, [url, at, error, period]);

  const arrivals = useMemo(
    () => (shown?.url === url && data ? newIn(shown.data.traces, data.traces) : []),
    [shown, data, url],
  );

  function bring() {
    const before = shown?.url === url ? shown.data.traces : null;
    const came = before ? newIn(before, data.traces) : [];

    setShown({ url, data: { ...data, traces: data.traces.map(keeper(before ?? [])) } });
    if (came.length > 0) setFresh(new Set(came));
  }

  return {
    ...list,
    shown,
    fresh,
    arrived: arrivals.length,
    bring,
    refresh() {
      if (arrivals.length > 0) bring();
      wanted.current = true;
      list.reload();
    },
  };
}

const NOBODY = new Set();

function pollMs(data, live, waiting) {
  if (data === null) return null;
  if (data.traces.length === 0 && waiting) return POLL_FIRST_MS;
  return live || data.traces.some(isRunning) ? POLL_MS : null;
}

// Ids of rows made after all that are shown. (Others may come up from the next page after a deletion.)
function newIn(shown, traces) {
  const ids = new Set(shown.map(({ id }) => id));
  const newest = Math.max(...shown.map((trace) => Date.parse(trace.created_at)));

  return traces
    .filter((trace) => !ids.has(trace.id) && Date.parse(trace.created_at) >= newest)
    .map(({ id }) => id);
}

// The page as `answer` has it now. A row that is missing there was deleted, unless newer ones pushed it off
// the page; rows below all that are known came up from the next page, in the place of some that were deleted.
function updated(shown, answer) {
  const rows = shown.traces;
  const now = new Map(answer.traces.map((trace) => [trace.id, trace]));
  const last = rows.findLastIndex(({ id }) => now.has(id));
  const keep = keeper(rows);
  const from = last === -1 ? newIn(rows, answer.traces).length : answer.traces.findIndex(({ id }) => id === rows[last].id) + 1;
  const below = answer.traces.slice(from);
  const kept = rows.filter(({ id }, i) => now.has(id) || (answer.has_more && i > last && below.length === 0));
  const traces = [...kept.map((row) => keep(now.get(row.id) ?? row)), ...below];

  return traces.at(-1)?.id === answer.traces.at(-1)?.id ? { ...answer, traces } : { ...shown, traces };
}

// Gives the same object again for a row that is as it was, so that it is not drawn again.
function keeper(rows) {
  const before = new Map(rows.map((row) => [row.id, row]));

  return (trace) => {
    const row = before.get(trace.id);
    return row && JSON.stringify(row) === JSON.stringify(trace) ? row : trace;
  };
}
