// What an address says that a page does not know: it is named, with the way to be rid of it, for a list that
// silently shows more than was asked for would mislead.

import { Button } from './parts.js';
import { icon } from './icons.js';
import { html } from './preact.js';

// `known`: for each member of the address, true or whether a value of it makes sense there.
export const ignoredIn = (query, known) =>
  Object.keys(query).filter((name) => !Object.hasOwn(known, name) || (known[name] !== true && !known[name](query[name])));

export function Ignored({ query, known, go }) {
  const names = ignoredIn(query, known);

  if (names.length === 0) return null;
  const remove = () => go(Object.fromEntries(names.map((name) => [name, ''])));

  return html`
    <div class="note tone-run ignored" role="status">
      ${icon('warning')}
      <p>
        This page ignores a part of its address that it does not know:
        ${names.map((name) => html`${' '}<code key=${name}>${name}=${query[name]}</code>`)}
      </p>
      <${Button} look="quiet small" onClick=${remove}>Remove<//>
    </div>`;
}
