// Deleting traces with a way back: they leave the list at once; the server is told when the message that
// offers "Undo" ends, or when the page does.

import { deleteTrace } from './api.js';
import { plural } from './format.js';
import { offerUndo, say } from './notices.js';
import { useEffect, useState } from './preact.js';

const UNDO_MS = 6000;
const FADE_MS = 200;

const leaving = new Map(); // id → 'fading' | 'gone' | 'told'
const listeners = new Set(); // {changed, settled}

const tell = () => listeners.forEach(({ changed }) => changed({}));

export function deleteSoon(ids) {
  const fresh = ids.filter((id) => !leaving.has(id));
  const stay = (some) => {
    some.forEach((id) => leaving.delete(id));
    tell();
  };

  if (fresh.length === 0) return;
  fresh.forEach((id) => leaving.set(id, 'fading'));
  setTimeout(() => {
    fresh.filter((id) => leaving.get(id) === 'fading').forEach((id) => leaving.set(id, 'gone'));
    tell();
  }, FADE_MS);
  offerUndo(fresh.length === 1 ? 'Deleted' : `${plural(fresh.length, 'trace')} deleted`, {
    ms: UNDO_MS,
    undo: () => stay(fresh),
    act: async () => {
      const failures = await remove(fresh);
      fresh.forEach((id) => leaving.set(id, 'told'));
      stay(failures.map(({ id }) => id));
      if (failures.length > 0) say(whyNot(failures), 'bad');
      listeners.forEach(({ settled }) => settled());
    },
  });
  tell();
}

// All at once, since the page may be ending; the browser lets them take turns.
async function remove(ids) {
  const ends = await Promise.allSettled(ids.map((id) => deleteTrace(id)));

  return ends
    .map(({ reason }, i) => ({ id: ids[i], error: reason }))
    .filter(({ error }) => error && error.status !== 404); // 404: somebody else was faster
}

function whyNot(failures) {
  const { error } = failures[0];
  const what = failures.length === 1 ? 'Not deleted' : `${plural(failures.length, 'trace')} not deleted`;
  const detail = error.detail ? `: ${error.detail}` : '';
  const request = error.requestId ? ` (request ${error.requestId})` : '';

  return `${what}. ${error.title}${detail}${request}`;
}

// id → 'fading', then 'gone' from the list, then 'told' to the server, when `settled` is called.
export function useLeaving(settled) {
  const [, changed] = useState({});

  useEffect(() => {
    const listener = { changed, settled };
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, [settled]);
  return leaving;
}
