// Icons as strokes on a 16-unit grid, in the colour of the text around them. Decoration: the
// words beside an icon carry the meaning, so each is hidden from assistive technology.

import { html } from './preact.js';

const SHAPES = {
  again: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5V5h-2.5',
  arrow: 'M3 8h10M9 4l4 4-4 4',
  check: 'M3.5 8.5l3 3 6-7',
  clock: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11M8 5v3l2 1.5',
  compare: 'M5.5 2.5v11M10.5 2.5v11M2.5 5.5l3-3M13.5 10.5l-3 3',
  copy: 'M6 6h7v7H6zM10 6V3H3v7h3',
  cross: 'M4 4l8 8M12 4l-8 8',
  download: 'M8 2.5v7.5M5 7.5l3 3 3-3M3 13h10',
  down: 'M8 3v10M4 9l4 4 4-4',
  fall: 'M3 3v4a3 3 0 0 0 3 3h7M10 7l3 3-3 3',
  filter: 'M2.5 4h11M4.5 8h7M6.5 12h3',
  flag: 'M4 14V2.5h8l-2 3 2 3H4',
  left: 'M10 3.5L5.5 8l4.5 4.5',
  moon: 'M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z',
  print: 'M4.5 6V2.5h7V6M4.5 11.5H3V6h10v5.5h-1.5M4.5 9.5h7v4h-7z',
  right: 'M6 3.5L10.5 8 6 12.5',
  screen: 'M2.5 3.5h11v7h-11zM6 13.5h4M8 10.5v3',
  skip: 'M3 4l5 4-5 4zM12 4v8',
  sun: 'M8 5.5a2.5 2.5 0 1 0 0 5a2.5 2.5 0 1 0 0-5M8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1',
  trash: 'M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9M7 7v4M9 7v4',
  up: 'M8 13V3M4 7l4-4 4 4',
  warning: 'M8 2.5L14 13H2zM8 6.5v3M8 11.2v.3',
};

export function icon(name) {
  if (name === 'spinner') return html`<span class="spinner" aria-hidden="true"></span>`;
  return html`
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${SHAPES[name]} /></svg>`;
}
