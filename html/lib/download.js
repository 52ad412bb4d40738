// Files that a page makes of what it has loaded.

const TYPES = { json: 'application/json', md: 'text/markdown;charset=utf-8' };

const typeOf = (name) => TYPES[name.split('.').at(-1)] ?? 'text/plain;charset=utf-8';

// Saves what is loaded, under that name.
export function download(text, name) {
  const href = URL.createObjectURL(new Blob([text], { type: typeOf(name) }));

  Object.assign(document.createElement('a'), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // once the browser has begun to save it
}
