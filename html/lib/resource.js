// A GET that keeps itself fresh: loads, polls with If-None-Match, rests while the tab is hidden,
// backs off while the service is away, and reports outages to the banner. One request at a time.

import * as api from './api.js';
import { clearFailure, setFailure } from './notices.js';
import { useEffect, useRef, useState } from './preact.js';

const BACKOFF_FIRST_MS = 2000;
const BACKOFF_MAX_MS = 60_000;
const STALE_MS = 5000; // on return to the tab, older data is loaded again at once

const EMPTY = { data: null, error: null, loading: true, at: 0 };

// `url` null loads nothing. `every(data)` is the wait in ms until the next load, or null for none.
// Gives {data, error, loading, at, reload, set}: data stays while a later load fails; `at` is when the
// last answer came; set(fn) changes data here, until the next load says what is so.
export function useResource(url, every = () => null) {
  const [state, setState] = useState({ ...EMPTY, url });
  const period = useRef(every);
  const reload = useRef(() => {});
  const change = useRef(() => {});

  period.current = every;

  useEffect(() => {
    if (url === null) return undefined;
    const owner = {};
    let data = null;
    let etag = null;
    let failures = 0;
    let loadedAt = 0;
    let request = null;
    let timer = null;
    let ended = false;

    const wait = (ms) => {
      clearTimeout(timer);
      if (ms !== null && !document.hidden && !ended) timer = setTimeout(load, ms);
    };

    async function load() {
      clearTimeout(timer);
      request?.abort();
      const mine = new AbortController();
      request = mine;
      try {
        const answer = await api.get(url, { etag, signal: mine.signal });
        if (mine.signal.aborted) return;
        failures = 0;
        loadedAt = Date.now();
        clearFailure(owner);
        if (answer.status !== 304) ({ data, etag } = answer);
        setState({ url, data, error: null, loading: false, at: loadedAt });
        wait(period.current(data));
      } catch (error) {
        if (mine.signal.aborted) return;
        failures += 1;
        setState({ url, data, error, loading: false, at: loadedAt });
        const ms = error.outage ? backoff(error, failures) : null;
        if (error.outage) setFailure(owner, error, { retry: load, retryAt: ms && Date.now() + ms });
        else clearFailure(owner);
        wait(ms);
      } finally {
        if (request === mine) request = null;
      }
    }

    const onVisible = () => {
      if (document.hidden) clearTimeout(timer);
      else if (Date.now() - loadedAt > STALE_MS) load();
      else wait(period.current(data));
    };

    reload.current = load;
    change.current = (how) => {
      if (data === null) return;
      data = how(data);
      etag = null; // what is shown is no longer what the tag stands for
      setState({ url, data, error: null, loading: false, at: loadedAt });
    };
    setState({ ...EMPTY, url });
    load();
    document.addEventListener('visibilitychange', onVisible);
    addEventListener('online', load);
    addEventListener('offline', load); // it fails, and so the page says so

    return () => {
      ended = true;
      clearTimeout(timer);
      request?.abort();
      clearFailure(owner);
      document.removeEventListener('visibilitychange', onVisible);
      removeEventListener('online', load);
      removeEventListener('offline', load);
    };
  }, [url]);

  // Between a change of url and its effect the old answer must not pass for the new one.
  const current = state.url === url ? state : { ...EMPTY, url };

  return { ...current, reload: () => reload.current(), set: (how) => change.current(how) };
}

// A 401 would make the browser ask for the password again and again, a 403 does not change: only by hand.
function backoff(error, failures) {
  if (error.status === 401 || error.status === 403) return null;
  const wait = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));

  return Math.max(wait, error.retryAfterMs ?? 0);
}
