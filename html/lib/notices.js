// What the page has to say outside its content: the banner (what does not work, what takes long) and
// the short messages at the foot. One store, so that any view can speak and the page frame (page.js)
// alone draws.

import { useEffect, useState } from './preact.js';
import { held, hold } from './store.js';

const MESSAGE_MS = 8000;
const UNDO_MS = 10_000;
const MESSAGES_MAX = 3;
const SLOW_MS = 3000;

const failures = new Map(); // who failed → {error, retry, retryAt}
const slow = new Set(); // requests that take longer than SLOW_MS, each since when
const listeners = new Set();
let messages = []; // {text, tone, undo, act, timer, ms}, oldest first

const tell = () => listeners.forEach((listener) => listener({}));

// Shown until cleared by the same owner. `retry` is what the banner's button does; `retryAt` when it
// is done anyway (of Date.now), or null.
export function setFailure(owner, error, { retry, retryAt = null }) {
  failures.set(owner, { error, retry, retryAt });
  tell();
}

export function clearFailure(owner) {
  if (failures.delete(owner)) tell();
}

// All that failed is tried again: they mostly fail for one reason.
function retryAll() {
  return Promise.all([...failures.values()].map(({ retry }) => retry()));
}

// Says of a request that it takes long, as long as it does.
export async function watchPace(request) {
  const mark = { since: Date.now() };
  const timer = setTimeout(() => {
    slow.add(mark);
    tell();
  }, SLOW_MS);

  try {
    return await request;
  } finally {
    clearTimeout(timer);
    if (slow.delete(mark)) tell();
  }
}

// ---- messages -------------------------------------------------------------------------------

export const say = (text, tone = 'ok') => show({ text, tone, ms: MESSAGE_MS });

// Says that something is done that can still be taken back: `act` does it, once, when the time for that is
// over or the page goes; `undo`, if the reader says so before, and then `act` is never called.
export const offerUndo = (text, { act, undo, ms = UNDO_MS }) => show({ text, tone: 'ok', ms, act, undo });

function show(message) {
  messages.push(message);
  run(message);
  while (messages.length > MESSAGES_MAX) hush(messages[0]);
  tell();
}

// The time to read a message stands still while the reader is at it.
function run(message) {
  clearTimeout(message.timer);
  message.timer = setTimeout(() => hush(message), message.ms);
}
const pause = (message) => clearTimeout(message.timer);

// Takes a message away: what it announced is done now.
function hush(message) {
  remove(message)?.act?.();
}

function takeBack(message) {
  remove(message)?.undo?.();
}

function remove(message) {
  if (!messages.includes(message)) return null;
  clearTimeout(message.timer);
  messages = messages.filter((one) => one !== message);
  tell();
  return message;
}

// Ctrl+Z takes back the last thing, unless it is meant for a text.
function onKeyDown(event) {
  const last = messages.findLast(({ undo }) => undo);
  const undoes = event.key.toLowerCase() === 'z' && (event.ctrlKey || event.metaKey) && !event.shiftKey;

  if (!last || !undoes || event.target.closest('input, textarea, select')) return;
  event.preventDefault();
  takeBack(last);
}

// Said by the next page: for an action that leaves this one.
export const sayNext = (text) => hold('flash', text);

// Whether anything that was to be loaded is not.
export function useFailing() {
  const [, changed] = useState({});

  useEffect(() => {
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
  return failures.size > 0;
}

// Gives {failure, slowSince, messages} to draw, and what can be done about them.
export function useNotices() {
  const [, changed] = useState({});

  useEffect(() => {
    const onLeave = () => messages.forEach(hush);

    listeners.add(changed);
    addEventListener('pagehide', onLeave);
    addEventListener('keydown', onKeyDown);
    const left = held('flash', null);
    hold('flash', null);
    if (left !== null) say(left);
    return () => {
      listeners.delete(changed);
      removeEventListener('pagehide', onLeave);
      removeEventListener('keydown', onKeyDown);
    };
  }, []);

  const [first] = failures.values();
  const [slowest] = slow;
  return {
    failure: first ? { ...first, retry: retryAll } : null,
    slowSince: slowest?.since ?? null,
    messages,
    hush,
    takeBack,
    pause,
    run,
  };
}
