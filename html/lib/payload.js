// What was sent or received, exactly; what is not text, as JSON. How it is shown is remembered.

import { download } from './download.js';
import { bytes } from './format.js';
import { icon } from './icons.js';
import { Markdown } from './markdown.js';
import { Button, CopyButton } from './parts.js';
import { html, useMemo, useState } from './preact.js';
import { keep, kept } from './store.js';

const SHOWN_MAX_BYTES = 256 * 1024; // what is larger waits behind a button, and is never rendered

// `file` is the name to download it by. `markdown`: it can be read rendered, or raw.
export function Payload({ title, content, file, markdown = false, open = true }) {
  const text = useMemo(() => (typeof content === 'string' ? content : JSON.stringify(content, null, 2)), [content]);
  const size = useMemo(() => new Blob([text]).size, [text]);
  const [rendered, setRendered] = useKept('rendered', true);
  const [wrapped, setWrapped] = useKept('wrap', true);
  const [asked, setAsked] = useState(false);
  const large = size > SHOWN_MAX_BYTES;
  const prose = markdown && rendered && !large;

  return html`
    <details class="payload" open=${open}>
      <summary>
        <span class="payload-title">${title}</span> <span class="quiet number">${bytes(size)}</span>
      </summary>
      <div class="payload-bar">
        ${markdown && !large && html`
          <div class="switch" role="group" aria-label="Show ${title} as">
            <button type="button" aria-pressed=${String(rendered)} onClick=${() => setRendered(true)}>Rendered</button>
            <button type="button" aria-pressed=${String(!rendered)} onClick=${() => setRendered(false)}>Raw</button>
          </div>`}
        ${!prose && html`
          <div class="switch">
            <button type="button" aria-pressed=${String(wrapped)} onClick=${() => setWrapped(!wrapped)}>Wrap</button>
          </div>`}
        <${CopyButton} compact text=${text} label="Copy: ${title}" />
        <${Button} look="quiet tight" icon="download" label="Download: ${title}" title="Download ${file}"
                   onClick=${() => download(text, file)} />
      </div>
      ${large && !asked
        ? html`
          <p class="payload-large">
            ${icon('warning')}<span>Large: ${bytes(size)}, not shown unasked.</span>
            <${Button} onClick=${() => setAsked(true)}>Show<//>
            <${Button} icon="download" onClick=${() => download(text, file)}>Download<//>
          </p>`
        : html`<${PayloadText} title=${title} text=${text} prose=${prose} wrapped=${wrapped} />`}
    </details>`;
}

// Tall ones scroll, also by keyboard.
function PayloadText({ title, text, prose, wrapped }) {
  const frame = { tabindex: 0, role: 'group', 'aria-label': title };

  if (!prose) return html`<pre class=${wrapped ? 'text' : 'text unwrapped'} ...${frame}>${text}</pre>`;
  return html`<div class="payload-prose" ...${frame}><${Markdown} text=${text} below=${2} /></div>`;
}

// A choice that this browser remembers.
function useKept(key, otherwise) {
  const [value, setValue] = useState(() => kept(key, otherwise));

  const set = (next) => {
    setValue(next);
    keep(key, next);
  };
  return [value, set];
}
