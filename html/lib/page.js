// The frame of every page: header with navigation, failure banner, the view, messages.
// A view's module ends with mount('Name in the navigation', View).

import { icon } from './icons.js';
import { hush, useNotices } from './notices.js';
import { Button, CopyButton } from './parts.js';
import { Fragment, html, render, useState } from './preact.js';
import { ThemeSwitch } from './theme.js';

// To add a page: a line here, an .html shell, a view.
const PLACES = [
  { name: 'Lessons', href: '/' },
  { name: 'Traces', href: '/traces' },
];

export function mount(place, View) {
  const page = document.getElementById('page');

  page.replaceChildren(); // what the shell says until now
  render(html`<${Page} place=${place} View=${View} />`, page);
}

export function setTitle(text) {
  document.title = text ? `${text} · lesson-tracer` : 'lesson-tracer';
}

function Page({ place, View }) {
  const { failure, message } = useNotices();

  return html`
    <${Fragment}>
      <a class="skip" href="#main">Skip to content</a>
      <header class="top">
        <div class="top-row">
          <a class="brand" href="/"><${Mark} />lesson-tracer</a>
          <nav aria-label="Main">
            ${PLACES.map(({ name, href }) => html`
              <a key=${name} href=${href} aria-current=${name === place ? 'page' : null}>${name}</a>`)}
          </nav>
          <${ThemeSwitch} />
        </div>
      </header>
      ${failure && html`<${Banner} ...${failure} />`}
      <main id="main" tabindex="-1"><${View} /></main>
      <div class="toast-place" role="status" aria-live="polite">
        ${message && html`
          <div class="toast">
            ${icon(message.tone === 'bad' ? 'warning' : 'check')}<span>${message.text}</span>
            <${Button} look="quiet tight" icon="cross" label="Dismiss" onClick=${hush} />
          </div>`}
      </div>
    <//>`;
}

// The same drawing as favicon.svg: calls in a row, the last one arrives.
function Mark() {
  return html`
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d="M1.5 4h5M5 8h5M8.5 12h3" /><circle cx="13.2" cy="12" r="1.6" />
    </svg>`;
}

const ADVICE = {
  0: 'Trying again by itself; nothing you typed is lost.',
  401: 'Sign in and come back to this page.',
  403: 'Your account may not do this.',
  429: 'Trying again a little later.',
};

function Banner({ error, retry }) {
  const [busy, setBusy] = useState(false);

  const again = async () => {
    setBusy(true);
    await retry();
    setBusy(false);
  };

  return html`
    <div class="banner" role="alert">
      ${icon('warning')}
      <div class="banner-text">
        <b>${error.title}.</b> ${sentence(error.detail)}
        ${' '}${ADVICE[error.status] ?? 'Trying again by itself.'}
        ${error.requestId && html`
          <span class="request-id">
            Request <code>${error.requestId}</code>
            <${CopyButton} compact text=${error.requestId} label="Copy the request id" />
          </span>`}
      </div>
      ${error.status === 401 && html`<${Button} onClick=${() => location.reload()}>Sign in<//>`}
      <${Button} icon="again" busy=${busy} disabled=${busy} onClick=${again}>Try again<//>
    </div>`;
}

function sentence(text) {
  if (!text) return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
