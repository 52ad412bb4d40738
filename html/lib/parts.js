// The small parts that views are made of. Each draws what it is given and keeps no page state.

import { useNow } from './clock.js';
import { cost, count, elapsed, plural, relative, UNKNOWN } from './format.js';
import { icon } from './icons.js';
import { say, useFailing } from './notices.js';
import { html, useState } from './preact.js';
import { fullTime, useZone } from './zone.js';

const TICK_MS = 1000;
const RELATIVE_TICK_MS = 15_000;

// ---- text -----------------------------------------------------------------------------------

// `words` is a table of words.js; a status it does not know is shown as it came.
export function Status({ words, status }) {
  const known = words[status] ?? { label: status, icon: 'warning', tone: 'quiet' };

  return html`<span class="status tone-${known.tone}">${icon(known.icon)}${known.label}</span>`;
}

// "3 min ago", the exact time with its zone on hover.
export function Ago({ at }) {
  const now = useNow(RELATIVE_TICK_MS);
  const zone = useZone();

  if (!at) return UNKNOWN;
  return html`<time datetime=${at} title=${fullTime(at, zone)}>${relative(at, now)}</time>`;
}

export function Elapsed({ since }) {
  return html`<span class="number">${elapsed(useNow(TICK_MS) - Date.parse(since))}</span>`;
}

export function Cost({ usd }) {
  const why = usd === null || usd === undefined ? 'not known: no price, or no answer' : null;

  return html`<span class="number" title=${why}>${cost(usd)}</span>`;
}

export function Tokens({ input, output }) {
  return html`
    <span class="number" title="tokens in / out">
      ${count(input)}<span class="quiet"> / </span>${count(output)}
    </span>`;
}

// provider → model, and ↪n if n more were tried after the first.
export function Provider({ provider, model, fallbacks }) {
  const n = fallbacks?.length ?? 0;

  if (!provider && n === 0) return html`<span class="quiet">${UNKNOWN}</span>`;
  return html`
    <span class="provider">
      <b>${provider ?? 'none'}</b>
      ${model && html`<span class="model">${model}</span>`}
      ${n > 0 && html`
        <span class="badge" title="fell back to: ${fallbacks.join(', ')}">
          <span aria-hidden="true">↪${n}</span><span class="unseen">${plural(n, 'fallback')}</span>
        </span>`}
    </span>`;
}

// A boxed remark: tone "bad" for what failed, "run" for what is under way.
export function Note({ tone, children }) {
  return html`
    <div class="note tone-${tone}" role="status">
      ${icon(tone === 'run' ? 'spinner' : 'warning')}<p>${children}</p>
    </div>`;
}

// Why an action was refused, beside the button that was pressed. `error` is an ApiError.
export function Refusal({ error, then = '' }) {
  const request = error.requestId ? ` (request ${error.requestId})` : '';
  const detail = error.detail ? `: ${error.detail}` : '';

  return html`
    <p class="refusal" role="alert">
      ${icon('warning')}<span>${error.title ?? error.message}${detail}${request}. ${then}</span>
    </p>`;
}

// ---- controls -------------------------------------------------------------------------------

// A button; with `href` a link that looks like one. `look`: primary, danger, quiet, tight (the icon
// alone, `label` says what it does). While `busy` its icon turns.
export function Button({ look = '', icon: shape, busy = false, label = null, href, children, ...rest }) {
  const body = [busy ? icon('spinner') : shape && icon(shape), children];
  const shared = { class: `button ${look}`, 'aria-label': label, ...rest };

  if (href !== undefined) return html`<a ...${shared} href=${href}>${body}</a>`;
  return html`<button type="button" ...${shared}>${body}</button>`;
}

// `text` may be a function, for what is costly to make.
export function CopyButton({ text, label, compact = false }) {
  const [done, setDone] = useState(false);

  const copy = async () => {
    const ok = await copyText(typeof text === 'function' ? text() : text);
    setDone(ok);
    if (!ok) say('The browser did not allow copying', 'bad');
    setTimeout(() => setDone(false), 1500);
  };
  const shape = done ? 'check' : 'copy';

  if (compact) {
    return html`<${Button} look="quiet tight" icon=${shape} label=${label} title=${label} onClick=${copy} />`;
  }
  return html`<${Button} icon=${shape} onClick=${copy}>${done ? 'Copied' : label}<//>`;
}

// The clipboard API needs HTTPS or loopback; elsewhere the old way still works.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'unseen';
    document.body.append(area);
    area.select();
    const ok = document.execCommand('copy');
    area.remove();
    return ok;
  }
}

// A labelled control with its hint and its error; describedBy() is for the control itself.
export function Field({ id, label, hint, error, children }) {
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children}
      ${error && html`<p class="field-error" id="${id}-error">${icon('warning')}${error}</p>`}
      ${hint && html`<p class="field-hint" id="${id}-hint">${hint}</p>`}
    </div>`;
}

export function describedBy(id, { error, hint }) {
  return [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(' ') || null;
}

// Names and values: [['Duration', html`…`], …]; rows that are null are left out.
export function Facts({ rows }) {
  return html`
    <dl class="facts">
      ${rows.filter(Boolean).map(([name, value]) => html`
        <div key=${name}><dt>${name}</dt><dd>${value ?? UNKNOWN}</dd></div>`)}
    </dl>`;
}

// ---- places ---------------------------------------------------------------------------------

// Newer and older pages of a list that knows only its next cursor. `trail` is the way here
// (url.js); on a link from elsewhere there is none, and only the newest page is offered.
export function Pager({ cursor, next, trail, go }) {
  if (!cursor && !next) return null;
  const newer = trail?.at(-1);
  const goNewer = () => go({ cursor: newer }, trail.slice(0, -1));
  const goOlder = () => go({ cursor: next }, [...(trail ?? []), cursor ?? '']);

  return html`
    <nav class="pager" aria-label="Pages">
      <${Button} disabled=${!cursor} onClick=${() => go({ cursor: '' })}>Newest<//>
      <${Button} icon="left" disabled=${!cursor || newer === undefined} onClick=${goNewer}>Newer<//>
      <${Button} disabled=${!next} onClick=${goOlder}>Older${icon('right')}<//>
    </nav>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

// Instead of a page about one `what` ("lesson") that cannot be shown. `error` is an ApiError.
export function Missing({ what, error, children }) {
  const gone = error.status === 404;

  return html`
    <div class="empty">
      <h1 class="empty-title">
        ${gone ? `There is no such ${what}` : `This is not the address of a ${what}`}
      </h1>
      <p>
        ${gone ? 'It was deleted, or it never existed, or it belongs to somebody else.' : error.reason}
      </p>
      ${children}
    </div>`;
}

// The banner says what it is that fails.
export function Loading({ what }) {
  if (useFailing()) return html`<p class="loading">Could not load ${what}.</p>`;
  return html`<p class="loading" role="status">${icon('spinner')}Loading ${what}</p>`;
}
