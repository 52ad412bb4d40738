// What the page has to say outside its content: the failure banner and the short message at the
// foot. One store, so that any view can speak and the page frame (page.js) alone draws.

import { useEffect, useState } from './preact.js';
import { held, hold } from './store.js';

const MESSAGE_MS = 8000;

const failures = new Map(); // who failed → {error, retry}
const listeners = new Set();
let message = null; // {text, tone}
let messageTimer = null;

const tell = () => listeners.forEach((listener) => listener({}));

// Shown until cleared by the same owner. `retry` is what the banner's button does.
export function setFailure(owner, error, retry) {
  failures.set(owner, { error, retry });
  tell();
}

export function clearFailure(owner) {
  if (failures.delete(owner)) tell();
}

export function say(text, tone = 'ok') {
  clearTimeout(messageTimer);
  message = { text, tone };
  messageTimer = setTimeout(hush, MESSAGE_MS);
  tell();
}

export function hush() {
  message = null;
  tell();
}

// Said by the next page: for an action that leaves this one.
export const sayNext = (text) => hold('flash', text);

export function useNotices() {
  const [, changed] = useState({});

  useEffect(() => {
    listeners.add(changed);
    const left = held('flash', null);
    hold('flash', null);
    if (left !== null) say(left);
    return () => listeners.delete(changed);
  }, []);

  return { failure: failures.values().next().value ?? null, message };
}
