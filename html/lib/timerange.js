// Which time a list is about: one of the ranges that end now, or from and to.

import { rangeOf, RANGES } from './filters.js';
import { Button } from './parts.js';
import { Fragment, html, useEffect, useId, useState } from './preact.js';
import { ambiguous, fromInput, setUtc, toInput } from './zone.js';

// onChange gets {range, from, to} for the address.
export function TimeRange({ query, zone, onChange }) {
  const custom = !rangeOf(query) && Boolean(query.from || query.to);
  const [open, setOpen] = useState(false);
  const choose = (range) => {
    setOpen(false);
    onChange({ range, from: '', to: '' });
  };
  const option = (value, label, pressed) => html`
    <button key=${value} type="button" aria-pressed=${String(pressed)} onClick=${() => choose(value)}>${label}</button>`;

  return html`
    <${Fragment}>
      <div class="switch time-range" role="group" aria-label="Time">
        ${RANGES.map(({ value, label }) => option(value, label, query.range === value))}
        ${option('', 'All', !rangeOf(query) && !custom)}
        <button type="button" aria-pressed=${String(custom)} aria-expanded=${String(open)}
                onClick=${() => setOpen(!open)}>Custom…</button>
      </div>
      <${ZoneSwitch} zone=${zone} />
      ${open && html`<${FromTo} query=${query} zone=${zone} onClose=${() => setOpen(false)} onChange=${onChange} />`}
    <//>`;
}

function ZoneSwitch({ zone }) {
  return html`
    <div class="switch" role="group" aria-label="Time zone">
      <button type="button" aria-pressed=${String(!zone.utc)} title=${localName} onClick=${() => setUtc(false)}>Local</button>
      <button type="button" aria-pressed=${String(zone.utc)} onClick=${() => setUtc(true)}>UTC</button>
    </div>`;
}

const localName = Intl.DateTimeFormat().resolvedOptions().timeZone;

// The zone in which times are entered, and which is meant of two that are written the same.
export function zoneNote(texts, zone) {
  const twice = texts.some((text) => text && ambiguous(text, zone));

  return twice ? `${zone.name}: the clocks are set back, the first of two such times is meant` : zone.name;
}

function FromTo({ query, zone, onClose, onChange }) {
  const [text, setText] = useState({});
  const id = useId();
  const wrong = text.from && text.to && text.from >= text.to;

  useEffect(
    () => setText({ from: toInput(query.from, zone), to: toInput(query.to, zone) }),
    [query.from, query.to, zone],
  );

  const submit = (event) => {
    event.preventDefault();
    if (wrong) return;
    onChange({ range: '', from: fromInput(text.from, zone), to: fromInput(text.to, zone) });
    onClose();
  };
  const input = (name, label) => html`
    <label for="${id}-${name}">${label}</label>
    <input id="${id}-${name}" type="datetime-local" step="1" value=${text[name] ?? ''}
           aria-invalid=${String(Boolean(wrong))} aria-describedby="${id}-zone"
           onInput=${(event) => setText({ ...text, [name]: event.currentTarget.value })} />`;

  return html`
    <form class="from-to" aria-label="Custom time" onSubmit=${submit}
          onKeyDown=${(event) => event.key === 'Escape' && onClose()}>
      ${input('from', 'From')} ${input('to', 'to')}
      <span id="${id}-zone" class="quiet">${wrong ? 'from has to be before to' : zoneNote([text.from, text.to], zone)}</span>
      <${Button} type="submit">Apply<//>
    </form>`;
}
