// The time zone that times are shown and entered in: the reader's own, or UTC. Remembered, and the same
// for everything on the page.

import { useEffect, useState } from './preact.js';
import { keep, kept } from './store.js';

const KEY = 'zone';
const DAY_MS = 86_400_000;
const local = Intl.DateTimeFormat().resolvedOptions().timeZone;
const listeners = new Set();

let isUtc = kept(KEY, 'local') === 'utc';

export function setUtc(on) {
  isUtc = on;
  keep(KEY, on ? 'utc' : null);
  listeners.forEach((tell) => tell({}));
}

// Draws again when the zone is another. Gives the zone: {utc, name}.
export function useZone() {
  const [, changed] = useState({});

  useEffect(() => {
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
  return isUtc ? UTC : LOCAL;
}

const UTC = zone(true, 'UTC');
const LOCAL = zone(false, local);

// A zone with its ways of writing a time; making a formatter is dear, using one is not.
function zone(utc, name) {
  const format = (options) =>
    new Intl.DateTimeFormat('en-GB', { ...options, hourCycle: 'h23', timeZone: name });
  const clock = { hour: '2-digit', minute: '2-digit' };
  const day = { day: 'numeric', month: 'short' };

  return {
    utc,
    name,
    time: format({ ...clock, second: '2-digit' }),
    minute: format(clock),
    day: format(day),
    dayMinute: format({ ...day, ...clock }),
    date: format({ ...day, year: 'numeric' }),
    full: format({ ...day, ...clock, year: 'numeric', second: '2-digit', timeZoneName: 'short' }),
  };
}

// "13:55:20" today, "22 Nov 13:55" this year, "22 Nov 2025" before.
export function shortTime(iso, zone, nowMs) {
  const at = new Date(iso);
  const today = new Date(nowMs);

  if (zone.date.format(at) === zone.date.format(today)) return zone.time.format(at);
  return nowMs - at < 300 * DAY_MS ? plain(zone.dayMinute.format(at)) : zone.date.format(at);
}

export const fullTime = (iso, zone) => plain(zone.full.format(new Date(iso)));

// "22 Nov, 13:55 – 14:00", as short as it can be said.
export function span(from, to, zone) {
  const [first, last] = [new Date(from), new Date(to)];
  const sameDay = zone.date.format(first) === zone.date.format(last);
  const whole = plain(zone.dayMinute.format(first));

  return `${whole} – ${sameDay ? zone.minute.format(last) : plain(zone.dayMinute.format(last))}`;
}

const plain = (text) => text.replace(',', '');

// For <input type="datetime-local">, which knows no zone: "2026-11-25T13:55:20" and back. An hour that there is twice,
// when the clocks are set back, means the first of the two; ambiguous() tells.
export function toInput(iso, { utc }) {
  if (!iso) return '';
  const at = new Date(iso);
  const shifted = utc ? at : new Date(at - at.getTimezoneOffset() * 60_000);

  return Number.isNaN(Number(at)) ? '' : shifted.toISOString().slice(0, 19);
}

export function fromInput(text, { utc }) {
  const at = new Date(utc ? `${text}Z` : text);

  return Number.isNaN(Number(at)) ? '' : at.toISOString();
}

// Whether a time as it is entered in a zone is that of two moments: an hour or half of one apart.
export function ambiguous(text, zone) {
  const iso = fromInput(text, zone);
  const written = toInput(iso, zone);

  return written !== '' && [30, 60].some((minutes) => {
    const other = new Date(Date.parse(iso) + minutes * 60_000).toISOString();
    return toInput(other, zone) === written;
  });
}
