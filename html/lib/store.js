// What the browser remembers for us. A full or forbidden storage costs the memory, never the page:
// where it is forbidden, its name alone throws.

function remember(storage, key, value) {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, JSON.stringify(value));
  } catch {
    // private mode or quota
  }
}

function recall(storage, key, otherwise) {
  try {
    return JSON.parse(storage().getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

const name = (key) => `lesson-tracer.${key}`;

// For good, in this browser.
export const keep = (key, value) => remember(() => localStorage, name(key), value);
export const kept = (key, otherwise) => recall(() => localStorage, name(key), otherwise);

// For this tab, until it is closed. Among them "traces.query": the query string of the list of traces
// as it was left, which is what previous and next mean on the page of one.
export const hold = (key, value) => remember(() => sessionStorage, name(key), value);
export const held = (key, otherwise) => recall(() => sessionStorage, name(key), otherwise);
