// The server's clock, as far as its Date header tells, and one ticker for everything on the
// page that shows passing time. Elapsed times stay right on a computer whose clock is not.

import { useEffect, useState } from './preact.js';

let aheadMs = 0; // the server's clock minus ours

export function serverSays(date) {
  const at = Date.parse(date ?? '');

  // The header has whole seconds: a difference below two is rounding, not a wrong clock.
  if (Number.isFinite(at)) aheadMs = Math.abs(at - Date.now()) < 2000 ? 0 : at - Date.now();
}

export const now = () => Date.now() + aheadMs;

const tickers = new Map(); // period in ms → {timer, listeners}

// The time now, again every `periodMs`; null stops the clock.
export function useNow(periodMs) {
  const [time, setTime] = useState(now);

  useEffect(() => {
    if (periodMs === null) return undefined;
    const ticker = tickers.get(periodMs) ?? { listeners: new Set(), timer: null };
    tickers.set(periodMs, ticker);
    ticker.timer ??= setInterval(() => ticker.listeners.forEach((tell) => tell(now())), periodMs);
    ticker.listeners.add(setTime);
    setTime(now());
    return () => {
      ticker.listeners.delete(setTime);
      if (ticker.listeners.size > 0) return;
      clearInterval(ticker.timer);
      tickers.delete(periodMs);
    };
  }, [periodMs]);

  return time;
}
