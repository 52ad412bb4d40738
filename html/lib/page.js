// The frame of every page: header with navigation, failure banner, the view, messages.
// A view's module ends with mount('Name in the navigation', View).

import { elapsed } from './format.js';
import { icon } from './icons.js';
import { KeysHelp } from './keys.js';
import { say, useNotices } from './notices.js';
import { Button, CopyButton, Empty } from './parts.js';
import { Fragment, html, render, useEffect, useErrorBoundary, useState } from './preact.js';
import { ThemeSwitch } from './theme.js';

// To add a page: a line here, an .html shell, a view.
const PLACES = [
  { name: 'Lessons', href: '/' },
  { name: 'Traces', href: '/traces' },
  { name: 'Monitor', href: '/monitor' },
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
  const { failure, slowSince, messages, ...notices } = useNotices();

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
          <${KeysHelp} />
          <${ThemeSwitch} />
        </div>
      </header>
      ${failure ? html`<${Banner} ...${failure} />` : slowSince && html`<${Slow} since=${slowSince} />`}
      <main id="main" tabindex="-1"><${Guarded} View=${View} /></main>
      <div class="toast-place" role="status" aria-live="polite">
        ${messages.map((message) => html`<${Toast} key=${message} message=${message} ...${notices} />`)}
      </div>
    <//>`;
}

// A mistake of ours is said where the view was; what is said at the foot stays, with its way back.
function Guarded({ View }) {
  const [error] = useErrorBoundary(console.error);

  if (!error) return html`<${View} />`;
  return html`
    <${Empty} title="This page made a mistake and cannot go on">
      <p>What is stored is not touched by it. The mistake: <code>${error.message}</code></p>
      <${Button} icon="again" onClick=${() => location.reload()}>Load the page again<//>
    <//>`;
}

const told = new Set();

// The same outside of it: what was pressed may not have been done. Once for each: one in drawing what is said
// here would be made again by saying it, and many would push out what can still be taken back.
function onMistake(error) {
  if (!(error instanceof Error) || told.has(error.message)) return;
  told.add(error.message);
  say(`Something on this page went wrong: ${error.message}`, 'bad');
}

addEventListener('error', (event) => onMistake(event.error));
addEventListener('unhandledrejection', (event) => onMistake(event.reason));

function Toast({ message, hush, takeBack, pause, run }) {
  const { text, tone, undo } = message;
  const stop = () => pause(message);
  const goOn = () => run(message);

  return html`
    <div class="toast" onPointerEnter=${stop} onPointerLeave=${goOn} onFocusIn=${stop} onFocusOut=${goOn}>
      ${icon(tone === 'bad' ? 'warning' : 'check')}<span>${text}</span>
      ${undo && html`
        <${Button} look="quiet undo" aria-keyshortcuts="Control+Z" title="Ctrl+Z"
                   onClick=${() => takeBack(message)}>Undo<//>`}
      <${Button} look="quiet tight" icon="cross" label="Dismiss" onClick=${() => hush(message)} />
    </div>`;
}

// The same drawing as favicon.svg: calls in a row, the last one arrives.
function Mark() {
  return html`
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d="M1.5 4h5M5 8h5M8.5 12h3" /><circle cx="13.2" cy="12" r="1.6" />
    </svg>`;
}

const ADVICE = {
  401: 'What is on this page stays.',
  403: 'Your account may not do this.',
};

// Says what failed, when it is tried again, and whom to ask about it. A 401 would make the browser ask for the
// password again and again, and so is never tried by itself.
function Banner({ error, retry, retryAt }) {
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
        <b>${error.title}.</b> ${sentence(error.detail)} ${ADVICE[error.status]}
        ${' '}${retryAt !== null && html`<${Countdown} key=${retryAt} until=${retryAt} />`}
        ${error.requestId && html`
          <span class="request-id">
            Request <code>${error.requestId}</code>
            <${CopyButton} compact text=${error.requestId} label="Copy the request id" />
          </span>`}
      </div>
      ${error.status === 401 && html`<${Button} href=${location.href}>Sign in again<//>`}
      <${Button} icon="again" busy=${busy} disabled=${busy} onClick=${again}>Try again<//>
    </div>`;
}

function Countdown({ until }) {
  const left = Math.ceil((until - useLocalNow()) / 1000) * 1000;

  return html`
    <span class="banner-when" aria-live="off">${left > 0 ? `Trying again in ${elapsed(left)}.` : 'Trying again.'}</span>`;
}

function Slow({ since }) {
  return html`
    <div class="banner tone-run" role="status">
      ${icon('spinner')}
      <div class="banner-text">
        <b>The service is slow to answer.</b> Nothing you typed is lost.
        ${' '}<span class="banner-when" aria-live="off">Waiting for ${elapsed(useLocalNow() - since)}.</span>
      </div>
    </div>`;
}

// This computer's own clock, each second: for what began or will end here.
function useLocalNow() {
  const [time, setTime] = useState(Date.now);

  useEffect(() => {
    const timer = setInterval(() => setTime(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return time;
}

function sentence(text) {
  if (!text) return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
