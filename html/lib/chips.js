// The filters in use, each with its way out; and the same in words.

import { FACETS, rangeOf, valuesOf } from './filters.js';
import { duration } from './format.js';
import { icon } from './icons.js';
import { Button } from './parts.js';
import { html } from './preact.js';
import { valueLabel } from './facets.js';
import { fullTime, span } from './zone.js';

// onChange gets what to change in the address; onClear forgets all.
export function Chips({ query, zone, onChange, onClear }) {
  const chips = chipsOf(query, zone);

  if (chips.length === 0) return null;
  return html`
    <div class="chips" role="group" aria-label="Filters in use">
      ${chips.map(({ key, text, out, change }) => html`
        <span key=${key} class="chip">
          ${text}
          <button type="button" aria-label=${out ?? `Remove the filter ${key}`} title="Remove"
                  onClick=${() => onChange(change)}>${icon('cross')}</button>
        </span>`)}
      <${Button} look="quiet small" onClick=${onClear}>Clear filters<//>
    </div>`;
}

function chipsOf(query, zone) {
  const chips = [];

  for (const { name, label } of FACETS) {
    const values = valuesOf(query, name);
    for (const value of values) {
      const text = `${label}: ${valueLabel(name, value)}`;
      chips.push({ key: text, text, change: { [name]: values.filter((one) => one !== value).join(',') } });
    }
  }
  const failed = valuesOf(query, 'failed_provider');
  for (const value of failed) {
    const text = `Failed call: ${value}`;
    chips.push({ key: text, text, change: { failed_provider: failed.filter((one) => one !== value).join(',') } });
  }
  const fell = fallbackText(query);
  if (fell) chips.push({ key: fell, text: fell, change: { fallback: '' } });
  if (query.lesson_id) {
    chips.push({
      key: 'lesson',
      text: html`of <a href="/lessons/${encodeURIComponent(query.lesson_id)}">one lesson</a>`,
      out: 'Show the traces of all lessons',
      change: { lesson_id: '' },
    });
  }
  const time = !rangeOf(query) && timeText(query, zone);
  if (time) chips.push({ key: 'time', text: time, change: { from: '', to: '' } });
  const length = durationText(query);
  if (length) chips.push({ key: 'duration', text: length, change: { min_duration_ms: '', max_duration_ms: '' } });
  if (query.q) chips.push({ key: 'text', text: `“${query.q}”`, change: { q: '' } });
  return chips;
}

// "2 h ago" is of no use here: what is named is the time itself.
export function timeText({ from, to }, zone) {
  const readable = [from, to].every((time) => !time || !Number.isNaN(Date.parse(time)));

  if (!from && !to) return '';
  if (!readable) return `${from ?? ''} – ${to ?? ''}`;
  if (from && to) return span(from, to, zone);
  return from ? `since ${fullTime(from, zone)}` : `before ${fullTime(to, zone)}`;
}

const fallbackText = ({ fallback }) =>
  ({ true: 'with a fallback', false: 'without a fallback' })[fallback] ?? '';

function durationText({ min_duration_ms: min, max_duration_ms: max }) {
  if (min && max) return `${duration(Number(min))} – ${duration(Number(max))}`;
  if (min) return `at least ${duration(Number(min))}`;
  return max ? `at most ${duration(Number(max))}` : '';
}

// What a trace has to be to pass, one sentence each.
export function filterWords(query, zone) {
  const or = (name) =>
    valuesOf(query, name)
      .map((value) => valueLabel(name, value))
      .join(' or ');
  const range = rangeOf(query);
  const time = range ? range.words : timeText(query, zone);

  return [
    ...FACETS.filter(({ name }) => query[name]).map(({ name, label }) => `${label.toLowerCase()}: ${or(name)}`),
    query.failed_provider && `with a failed call to ${valuesOf(query, 'failed_provider').join(' or ')}`,
    fallbackText(query),
    query.lesson_id && 'of one lesson',
    time && `time: ${time}`,
    durationText(query) && `duration: ${durationText(query)}`,
    query.q && `“${query.q}” in its outline, error or model`,
  ].filter(Boolean);
}
