// What "/traces" asks the API for. The address of the page says it in the API's own words, and in two
// more: `range` ("24h", in place of `from`) and `live`.

import { path } from './api.js';

export const PAGE_SIZE = 50;
export const SEARCH_CHARACTERS_MIN = 3; // fewer only within a time: the index knows three and more

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

// To add one: a line here.
export const RANGES = [
  { value: '15m', label: '15 min', words: 'the last 15 minutes', ms: 15 * MINUTE_MS },
  { value: '1h', label: '1 h', words: 'the last hour', ms: HOUR_MS },
  { value: '24h', label: '24 h', words: 'the last 24 h', ms: DAY_MS },
  { value: '7d', label: '7 d', words: 'the last 7 days', ms: 7 * DAY_MS },
  { value: '30d', label: '30 d', words: 'the last 30 days', ms: 30 * DAY_MS },
];

// Filters that are counted value by value, and may have several of them.
export const FACETS = [
  { name: 'status', label: 'Status' },
  { name: 'provider', label: 'Provider' },
  { name: 'model', label: 'Model' },
  { name: 'error_class', label: 'Error' },
];
export const NONE = 'none'; // the API's word for a value that is null

const TIME = ['from', 'to'];
const FILTERS = [
  ...FACETS.map(({ name }) => name),
  'failed_provider',
  'fallback',
  'lesson_id',
  ...TIME,
  'min_duration_ms',
  'max_duration_ms',
  'q',
];

// Members of the address that are empty where nothing is filtered.
export const NO_TIME = { range: '', from: '', to: '', cursor: '' };
export const NO_FILTER = { ...Object.fromEntries(FILTERS.map((name) => [name, ''])), ...NO_TIME };

// What the address of a list may say (ignored.js).
export const KNOWN = {
  ...Object.fromEntries(FILTERS.map((name) => [name, true])),
  fallback: (value) => value === 'true' || value === 'false',
  range: (value) => RANGES.some((range) => range.value === value),
  live: (value) => value === '1',
  sort: true,
  cursor: true,
};

// Whether the API can be asked for the traces of a value: lists of values are divided by commas, and "none" is null.
export const hasAddress = (value) => !value || (value !== NONE && !value.includes(','));

export const rangeOf = (query) => RANGES.find(({ value }) => value === query.range) ?? null;

export const valuesOf = (query, name) => (query[name] ? query[name].split(',') : []);

export const tooShort = (query) =>
  Boolean(query.q) && [...query.q].length < SEARCH_CHARACTERS_MIN && !query.range && !query.from;

// The filters for the API. A range begins at a whole minute, so that it is asked for in the same words
// again; a cursor holds only for the filters it came with, so an older page has its `from` in the address.
export function filtersOf(query, nowMs) {
  const range = query.cursor && query.from ? null : rangeOf(query);
  const filters = Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]));

  for (const name of Object.keys(filters)) if (typeof KNOWN[name] === 'function' && !KNOWN[name](filters[name])) delete filters[name];
  if (tooShort(query)) delete filters.q;
  if (range) {
    filters.from = new Date(Math.floor((nowMs - range.ms) / MINUTE_MS) * MINUTE_MS).toISOString();
    delete filters.to;
  }
  return filters;
}

export const listPath = (query, nowMs) =>
  path.traces({
    view: 'summary',
    limit: PAGE_SIZE,
    ...filtersOf(query, nowMs),
    sort: query.sort,
    cursor: query.cursor,
  });

export const isFiltered = (filters) => Object.keys(filters).length > 0;

export function withoutTime(filters) {
  const rest = Object.fromEntries(Object.entries(filters).filter(([name]) => !TIME.includes(name)));

  if (tooShort(rest)) delete rest.q;
  return rest;
}
