// Every request the pages make goes through here.
//
// An answer is {status, data, etag}; data is null after a 304. Anything else throws an ApiError.
// Nothing here draws, retries or remembers: resource.js polls, notices.js reports.

import { serverSays } from './clock.js';
import { watchPace } from './notices.js';

const ANSWER_TIMEOUT_MS = 20_000;
const DELETE_ALL_TIMEOUT_MS = 300_000;

// What went wrong, in words fit for a reader. `status` is 0 when no answer came.
export class ApiError extends Error {
  constructor({
    status = 0,
    title,
    detail = '',
    code = '',
    requestId = null,
    retryAfterMs = null,
    count = null,
  }) {
    super(detail || title);
    Object.assign(this, { name: 'ApiError', status, title, detail, code, requestId, retryAfterMs, count });
  }

  // The service (or the way to it) is at fault, not the request: worth a banner and a retry.
  get outage() {
    return this.status === 0 || this.status >= 500 || [401, 403, 429].includes(this.status);
  }

  // "outline: at most 20000 characters" names the member it is about.
  get member() {
    return /^([A-Za-z_]+): /.exec(this.detail)?.[1] ?? null;
  }

  // The detail without the member's name in front.
  get reason() {
    return (this.detail || this.title).replace(/^[A-Za-z_]+: /, '');
  }
}

const TITLES = {
  401: 'You are not signed in',
  403: 'This is not allowed',
  429: 'Too many requests',
  502: 'The service does not answer',
  503: 'The service is not ready',
  504: 'The service took too long',
};

const lessonPath = (id) => `/api/lessons/${encodeURIComponent(id)}`;

export const path = {
  lessons: (query) => `/api/lessons${queryString(query)}`,
  lesson: lessonPath,
  traces: (query) => `/api/traces${queryString(query)}`,
  facets: (query) => `/api/traces/facets${queryString(query)}`,
  histogram: (query) => `/api/traces/histogram${queryString(query)}`,
  stats: (query) => `/api/traces/stats${queryString(query)}`,
  trace: (id) => `/api/traces/${encodeURIComponent(id)}`,
  export: (query) => `/api/traces/export${queryString(query)}`,
  providers: () => '/api/providers',
};

const ahead = new Map(); // address → the answer on its way

// Asks now for what get(url) will ask for first.
export function askAhead(url) {
  const answer = send('GET', url);

  answer.catch(() => {}); // whoever takes it hears of it
  ahead.set(url, answer);
}

export function get(url, options) {
  const asked = ahead.get(url);

  ahead.delete(url);
  return asked ?? send('GET', url, options);
}

export const createLesson = (body, idempotencyKey) =>
  send('POST', '/api/lessons', { body, headers: { 'Idempotency-Key': idempotencyKey } });

export const regenerateLesson = (id, body) =>
  send('POST', `${lessonPath(id)}/regenerate`, { body });

// Of one thing: it outlives the page, for it may be sent as the page goes.
export const deleteLesson = (id) => send('DELETE', lessonPath(id), { keepalive: true });

export const deleteTrace = (id) => send('DELETE', path.trace(id), { keepalive: true });

// All that the filters match, if that is exactly `confirm`; else a 409 whose `count` says how many it is.
export const deleteMatchingTraces = (filters, confirm) =>
  send('DELETE', path.traces({ ...filters, confirm }), { timeoutMs: DELETE_ALL_TIMEOUT_MS });

// How many traces match; counting is exact, so it is asked for only where the number matters.
export async function countTraces(query = {}) {
  const { data } = await get(path.traces({ ...query, view: 'summary', limit: 1, count: 'exact' }));
  return data.total;
}

// {a: 1, b: ''} → "?a=1": empty and missing values are left out.
export function queryString(query = {}) {
  const set = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  return set.length === 0 ? '' : `?${new URLSearchParams(set)}`;
}

async function send(
  method,
  url,
  { body, headers = {}, etag = null, signal = null, keepalive = false, timeoutMs = ANSWER_TIMEOUT_MS } = {},
) {
  const deadline = AbortSignal.timeout(timeoutMs);
  let answer, text;

  try {
    ({ answer, text } = await watchPace(fetchText(url, {
      keepalive,
      method,
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(etag === null ? {} : { 'If-None-Match': etag }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    })));
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(
      deadline.aborted
        ? { title: 'No answer in time', detail: `waited ${timeoutMs / 1000} s` }
        : {
            title: 'The server cannot be reached',
            detail: navigator.onLine ? '' : 'this computer is offline',
          },
    );
  }

  serverSays(answer.headers.get('Date'));
  if (answer.status === 304) return { status: 304, data: null, etag };
  const data = parse(text);
  if (!answer.ok) throw problem(answer, data);
  if (data === null) {
    throw new ApiError({
      status: 502,
      title: 'The answer is not JSON',
      requestId: answer.headers.get('X-Request-Id'),
    });
  }
  return { status: answer.status, data, etag: answer.headers.get('ETag') };
}

async function fetchText(url, options) {
  // Not relative: under https://name:password@host/ that would be an address with a password, which fetch() refuses.
  const answer = await fetch(location.origin + url, options);

  return { answer, text: await answer.text() };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const text = (value) => (typeof value === 'string' ? value : null);

// An RFC 9457 problem, or whatever a proxy in between made of it.
function problem(answer, data) {
  const seconds = Number.parseInt(answer.headers.get('Retry-After') ?? '', 10);

  return new ApiError({
    status: answer.status,
    title: TITLES[answer.status] ?? text(data?.title) ?? `The server answered ${answer.status}`,
    detail: text(data?.detail) ?? text(data?.error) ?? '',
    code: text(data?.code) ?? '',
    requestId: text(data?.request_id) ?? answer.headers.get('X-Request-Id'),
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : null,
    count: data?.count ?? null,
  });
}
