// The filters that are counted value by value, and that of the duration, at the left of a list.

import { FACETS, hasAddress, NONE, valuesOf } from './filters.js';
import { count } from './format.js';
import { Button } from './parts.js';
import { html, useEffect, useId, useState } from './preact.js';
import { errorLabel, TRACE_STATUS } from './words.js';

const SHOWN_AT_FIRST = 8;

// `facets` is the API's answer, or null. onChange gets {name: 'a,b'} for the address.
export function Facets({ query, facets, onChange }) {
  return html`
    <div class="facets">
      ${FACETS.map(({ name, label }) => html`
        <${Facet} key=${name} name=${name} label=${label} chosen=${valuesOf(query, name)}
                  counts=${facets?.[name] ?? null} onChange=${onChange} />`)}
      <${DurationFilter} min=${query.min_duration_ms ?? ''} max=${query.max_duration_ms ?? ''}
                         onChange=${onChange} />
    </div>`;
}

function Facet({ name, label, chosen, counts, onChange }) {
  const [whole, setWhole] = useState(false);
  const all = withChosen(counts ?? [], chosen);
  const shown = whole ? all : all.filter(({ value }, i) => i < SHOWN_AT_FIRST || chosen.includes(value));
  const toggle = (value) => {
    const values = chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value];
    onChange({ [name]: values.join(',') });
  };

  return html`
    <fieldset class="facet" aria-busy=${String(counts === null)}>
      <legend>${label}</legend>
      ${shown.map(({ value, n, fixed }) => html`
        <label key="${fixed} ${value}" class="facet-value">
          <input type="checkbox" checked=${!fixed && chosen.includes(value)} disabled=${fixed}
                 onChange=${() => toggle(value)} />
          <span class="facet-name" title=${fixed ? `${value}: a name that cannot be filtered by` : value}>
            ${fixed ? `“${value}”` : valueLabel(name, value)}
          </span>
          <span class="facet-count number">${n === null ? '' : count(n)}</span>
        </label>`)}
      ${all.length === 0 && html`<p class="facet-none">${counts === null ? '…' : 'nothing to choose'}</p>`}
      ${all.length > shown.length && html`
        <${Button} look="quiet small" onClick=${() => setWhole(true)}>${all.length - shown.length} more<//>`}
    </fieldset>`;
}

// A value that is chosen is there, also where nothing has it; one that is fixed cannot be.
function withChosen(counts, chosen) {
  const values = counts.map(({ value, count: n }) => ({ value: value ?? NONE, n, fixed: !hasAddress(value) }));
  const missing = chosen.filter((value) => !values.some((one) => one.value === value && !one.fixed));

  return [...values, ...missing.map((value) => ({ value, n: counts.length > 0 ? 0 : null, fixed: false }))];
}

export function valueLabel(name, value) {
  if (value === NONE) return NONE;
  if (name === 'status') return TRACE_STATUS[value]?.label ?? value;
  return name === 'error_class' ? errorLabel(value) : value;
}

// In seconds, as people think of them; the address has the API's milliseconds.
function DurationFilter({ min, max, onChange }) {
  const [text, setText] = useState({});
  const id = useId();

  useEffect(() => setText({ min: seconds(min), max: seconds(max) }), [min, max]);

  const commit = (event) => {
    event.preventDefault();
    const change = { min_duration_ms: ms(text.min), max_duration_ms: ms(text.max) };
    if (change.min_duration_ms !== min || change.max_duration_ms !== max) onChange(change);
  };
  const onLeave = (event) => event.currentTarget.contains(event.relatedTarget) || commit(event);
  const input = (name, label) => html`
    <input id="${id}-${name}" type="number" min="0" step="any" inputmode="decimal" placeholder=${name}
           aria-label=${label} value=${text[name] ?? ''}
           onInput=${(event) => setText({ ...text, [name]: event.currentTarget.value })} />`;

  return html`
    <fieldset class="facet">
      <legend>Duration, s</legend>
      <form class="facet-span" onSubmit=${commit} onFocusOut=${onLeave}>
        ${input('min', 'At least, in seconds')}<span aria-hidden="true">–</span>
        ${input('max', 'At most, in seconds')}
        <button type="submit" class="unseen" tabindex="-1">Apply the duration</button>
      </form>
    </fieldset>`;
}

const seconds = (text) => (text === '' ? '' : String(Number(text) / 1000));

const ms = (text) => (text === undefined || text === '' ? '' : String(Math.round(Number(text) * 1000)));
