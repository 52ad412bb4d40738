// The table of traces. A row is drawn again only if something on it is another: with a hundred of them that
// is what keeps a page quick that polls.

import { useNow } from './clock.js';
import { count, duration, relative, traceName } from './format.js';
import { icon } from './icons.js';
import { Button, Cost, Elapsed, Provider, Status } from './parts.js';
import { html, useEffect, useMemo, useRef } from './preact.js';
import { errorLabel, TRACE_STATUS } from './words.js';
import { fullTime, shortTime } from './zone.js';

const TICK_MS = 15_000;

const COLUMNS = [
  { name: 'status', label: 'Status' },
  { name: 'time', label: 'Time', sort: 'created_at' },
  { name: 'main', label: 'Outline, error' },
  { name: 'provider', label: 'Provider → model' },
  { name: 'duration', label: 'Duration', sort: 'total_duration_ms' },
  { name: 'tokens', label: 'Tokens', title: 'in / out; sorted by their sum', sort: 'total_tokens' },
  { name: 'cost', label: 'Cost', sort: 'cost_usd' },
];
const DEFAULT_SORT = '-created_at';

const isRunning = (trace) => trace.status === 'started';

// `selected`, `fresh` are sets of ids, `leaving` a map of them (undo.js). onSelect(id, {range}) marks one, or
// all between the last one and this.
export function TraceTable({ traces, zone, sort, busy, selected, fresh, leaving, onSort, onSelect, onSelectAll, onDelete }) {
  const longest = Math.max(1, ...traces.map((trace) => trace.total_duration_ms ?? 0));
  const all = traces.length > 0 && traces.every(({ id }) => selected.has(id));

  // One listener for all rows, so that a row has nothing that is new each time.
  const onClick = (event) => {
    const id = event.target.closest('tr')?.dataset.id;
    if (event.target.matches('input')) onSelect(id, { range: event.shiftKey });
    else if (event.target.closest('.row-delete')) onDelete(id);
  };

  return html`
    <table class="rows trace-rows" aria-busy=${String(busy)}>
      <caption class="unseen">Traces</caption>
      <thead>
        <tr>
          <th scope="col" class="col-check">
            <${SelectPage} all=${all} some=${selected.size > 0} onChange=${() => onSelectAll(!all)} />
          </th>
          ${COLUMNS.map((column) => html`
            <${Heading} key=${column.name} ...${column} zone=${zone} now=${sort || DEFAULT_SORT} onSort=${onSort} />`)}
          <th scope="col" class="col-actions"><span class="unseen">Actions</span></th>
        </tr>
      </thead>
      <tbody onClick=${onClick}>
        ${traces.map((trace) => html`
          <${TraceRow} key=${trace.id} trace=${trace} zone=${zone} longest=${longest} selected=${selected.has(trace.id)}
                       mood=${leaving.has(trace.id) ? 'leaving' : fresh.has(trace.id) ? 'fresh' : ''} />`)}
      </tbody>
    </table>`;
}

function SelectPage({ all, some, onChange }) {
  const box = useRef(null);

  useEffect(() => {
    box.current.indeterminate = some && !all;
  }, [all, some]);
  return html`
    <input type="checkbox" ref=${box} checked=${all} aria-label="Select this page" title="Select this page"
           onChange=${onChange} />`;
}

// The first press puts the largest first, the next one the smallest.
function Heading({ name, label, title, sort, zone, now, onSort }) {
  const direction = sort && { [`-${sort}`]: 'descending', [sort]: 'ascending' }[now];
  const other = now === `-${sort}` ? sort : `-${sort}`;

  return html`
    <th scope="col" class="col-${name}" aria-sort=${sort ? (direction ?? 'none') : null}>
      ${sort
        ? html`
            <button type="button" class="sort" title=${title} onClick=${() => onSort(other === DEFAULT_SORT ? '' : other)}>
              ${label}${icon(direction === 'ascending' ? 'up' : 'down')}
            </button>`
        : label}
      ${name === 'time' && html`<span class="zone-name">${zone.name}</span>`}
    </th>`;
}

function TraceRow({ trace, zone, longest, selected, mood }) {
  return useMemo(() => {
    const name = traceName(trace);
    const why = trace.last_error ?? trace.error_message;

    return html`
      <tr data-id=${trace.id} class=${mood}>
        <td class="cell-check">
          <input type="checkbox" checked=${selected} aria-label="Select the trace of ${name}" />
        </td>
        <td class="cell-status"><${Status} words=${TRACE_STATUS} status=${trace.status} /></td>
        <td class="cell-time"><${When} at=${trace.created_at} zone=${zone} /></td>
        <td class="cell-main">
          <div class="main-line">
            <a class="row-link" href="/traces/${trace.id}" title=${trace.outline_preview}>${name}</a>
            ${trace.error_class && html`
              <span class="error-class ${trace.status === 'failed' ? 'tone-bad' : ''}" title=${why}>
                ${errorLabel(trace.error_class)}
              </span>`}
          </div>
        </td>
        <td class="cell-provider">
          <${Provider} provider=${trace.provider_used} model=${trace.model} fallbacks=${trace.fallback_providers} />
        </td>
        <td class="cell-duration number">
          ${isRunning(trace) ? html`<${Elapsed} since=${trace.created_at} />` : duration(trace.total_duration_ms)}
          <${Length} ms=${trace.total_duration_ms} longest=${longest} />
        </td>
        <td class="cell-tokens number" title="tokens in / out">
          <span>${count(trace.prompt_tokens)}</span><span class="quiet"> / </span><span>${count(trace.completion_tokens)}</span>
        </td>
        <td class="cell-cost"><${Cost} usd=${trace.cost_usd} /></td>
        <td class="cell-actions">
          <${Button} look="quiet tight row-delete" icon="trash" label="Delete the trace of ${name}" title="Delete" />
        </td>
      </tr>`;
  }, [trace, zone, longest, selected, mood]);
}

function When({ at, zone }) {
  const now = useNow(TICK_MS);

  return html`
    <time datetime=${at} title=${fullTime(at, zone)}>
      <span class="when-exact">${shortTime(at, zone, now)}</span>${' '}<span class="when-ago">${relative(at, now)}</span>
    </time>`;
}

// How long it took beside the longest on the page.
function Length({ ms, longest }) {
  if (!ms) return null;
  return html`
    <span class="length" aria-hidden="true"><span style=${{ width: `${(ms / longest) * 100}%` }}></span></span>`;
}
