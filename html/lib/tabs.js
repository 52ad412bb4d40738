// Tabs as the WAI-ARIA practices have them: one is in the tab order, arrows, Home and End go between
// them, and the one with the focus is shown. https://www.w3.org/WAI/ARIA/apg/patterns/tabs/

import { html, useId, useRef } from './preact.js';

const STEP = { ArrowRight: 1, ArrowLeft: -1 };

// `tabs` is [{name, title}, …]; `children` the panel of the one that is `chosen`.
export function Tabs({ label, tabs, chosen, onChoose, children }) {
  const id = useId();
  const list = useRef(null);

  const onKeyDown = (event) => {
    const to = destination(event.key, tabs.findIndex(({ name }) => name === chosen), tabs.length);

    if (to === null || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    onChoose(tabs[to].name);
    list.current.children[to].focus();
  };

  return html`
    <div class="tabs">
      <div class="tab-list" role="tablist" aria-label=${label} ref=${list} onKeyDown=${onKeyDown}>
        ${tabs.map(({ name, title }) => html`
          <button key=${name} type="button" role="tab" id="${id}-${name}"
                  aria-selected=${String(name === chosen)} aria-controls="${id}-panel"
                  tabindex=${name === chosen ? 0 : -1} onClick=${() => onChoose(name)}>${title}</button>`)}
      </div>
      <div class="tab-panel" role="tabpanel" id="${id}-panel" aria-labelledby="${id}-${chosen}" tabindex="0">
        ${children}
      </div>
    </div>`;
}

function destination(key, at, n) {
  if (key === 'Home') return 0;
  if (key === 'End') return n - 1;
  return key in STEP ? (at + STEP[key] + n) % n : null;
}
