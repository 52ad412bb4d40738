// Numbers and times as text. Pure functions: what is unknown (null) is "—", never 0.

export const UNKNOWN = '—';

const NBSP = '\u00a0'; // a number and its unit stay on one line

const known = (value) => value !== null && value !== undefined;

const integer = new Intl.NumberFormat('en');

export const count = (n) => (known(n) ? integer.format(n) : UNKNOWN);

// count(2), "trace" → "2 traces"
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

export function duration(ms) {
  if (!known(ms)) return UNKNOWN;
  if (ms < 1000) return `${Math.round(ms)}${NBSP}ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)}${NBSP}s`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)}${NBSP}s`;
  return clockTime(ms);
}

// A fraction: percent(0.0123) → "1.2 %"
export function percent(fraction) {
  if (!known(fraction)) return UNKNOWN;
  const amount = fraction * 100;
  const digits = Number.isInteger(amount) ? 0 : amount < 0.1 ? 2 : 1;

  return `${amount.toFixed(digits)}${NBSP}%`;
}

// For a running clock: whole seconds, so that it does not flicker.
export function elapsed(ms) {
  const safe = Math.max(0, ms);

  return safe < 60_000 ? `${Math.floor(safe / 1000)}${NBSP}s` : clockTime(safe);
}

function clockTime(ms) {
  const seconds = Math.floor(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, '0');

  return (h > 0 ? `${h} h ${two(m)} min` : `${m} min ${two(s)} s`).replaceAll(' ', NBSP);
}

// US dollars with as many digits as the amount needs: a lesson costs fractions of a cent.
export function cost(usd) {
  if (!known(usd)) return UNKNOWN;
  const amount = Number(usd);
  if (amount === 0) return '$0';
  if (amount >= 1) return `$${amount.toFixed(2)}`;
  if (amount >= 0.01) return `$${amount.toFixed(4)}`;
  return `$${amount.toFixed(Math.min(10, 1 - Math.floor(Math.log10(amount))))}`;
}

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  return n < 1_000_000 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1_000_000).toFixed(1)} MB`;
}

export function relative(iso, nowMs) {
  if (!known(iso)) return UNKNOWN;
  const seconds = Math.floor((nowMs - Date.parse(iso)) / 1000);

  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 86_400 * 30) return `${plural(Math.floor(seconds / 86_400), 'day')} ago`;
  return new Date(iso).toLocaleDateString('en-GB', {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
  });
}

// Characters as PostgreSQL counts them, not UTF-16 units.
export function characters(text) {
  let n = 0;

  for (const _ of text) n++;
  return n;
}

export const firstLine = (text) => (text ?? '').trim().split('\n', 1)[0];

// What a trace is called: by its outline, if that was kept.
export const traceName = ({ id, outline_preview: outline, content_kept: kept }) =>
  firstLine(outline) || (kept === false ? 'Content not kept' : id);
