// "/traces": every generation that was traced, newest first.

import { countTraces, deleteAllTraces, path } from '../lib/api.js';
import { useProviders } from '../lib/choice.js';
import { ConfirmDialog, DeleteTraceDialog } from '../lib/dialogs.js';
import { duration, firstLine, plural } from '../lib/format.js';
import { icon } from '../lib/icons.js';
import { say } from '../lib/notices.js';
import { mount, setTitle } from '../lib/page.js';
import {
  Ago, Button, CopyButton, Cost, Elapsed, Empty, Loading, Pager, Provider, Refusal, Status, Tokens,
} from '../lib/parts.js';
import { html, useEffect, useState } from '../lib/preact.js';
import { useResource } from '../lib/resource.js';
import { useQuery } from '../lib/url.js';
import { errorLabel, TRACE_STATUS } from '../lib/words.js';

const PAGE_SIZE = 50;
const POLL_RUNNING_MS = 2000;
const POLL_FIRST_MS = 3000; // no trace yet: the page waits for the first
const POLL_QUIET_MS = 15_000;

// The members of the address that filter; the API knows them by the same names.
const FILTERS = ['status', 'provider', 'lesson_id'];
const NO_FILTER = Object.fromEntries(FILTERS.map((name) => [name, '']));

const isRunning = (trace) => trace.status === 'started';

function Traces() {
  const { query, trail, go } = useQuery();
  const cursor = query.cursor ?? '';
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query[name] ?? '']));
  const filtered = FILTERS.some((name) => filters[name] !== '');
  const address = path.traces({ view: 'summary', limit: PAGE_SIZE, ...filters, cursor });
  const list = useResource(address, ({ traces }) => {
    if (traces.some(isRunning)) return POLL_RUNNING_MS;
    return traces.length === 0 && !filtered && !cursor ? POLL_FIRST_MS : POLL_QUIET_MS;
  });
  const [dialog, setDialog] = useState(null); // null | 'all' | the trace to delete
  const setFilter = (change) => go({ ...change, cursor: '' });

  useEffect(() => setTitle('Traces'), []);

  const onDeleted = (text) => {
    list.set((data) => ({ ...data, traces: data.traces.filter(({ id }) => id !== dialog.id) }));
    setDialog(null);
    say(text);
    list.reload();
  };

  // Also when given up after an error: some may be gone all the same.
  const afterDeleteAll = () => {
    setDialog(null);
    if (cursor) go({ cursor: '' });
    else list.reload();
  };

  return html`
    <div class="traces">
      <div class="section-head">
        <h1>Traces</h1>
        <${Filters} filters=${filters} setFilter=${setFilter} />
        <div class="actions">
          <${Button} icon="again" onClick=${list.reload}>Refresh<//>
          <${Button} icon="trash" onClick=${() => setDialog('all')}>Delete all…<//>
        </div>
      </div>
      <${TraceList} list=${list} filtered=${filtered} cursor=${cursor} setFilter=${setFilter}
                    onDelete=${setDialog} />
      <${Pager} cursor=${cursor} next=${list.data?.next_cursor} trail=${trail} go=${go} />
      ${dialog === 'all' && html`<${DeleteAllDialog} filtered=${filtered} onClose=${afterDeleteAll} />`}
      ${dialog?.id && html`
        <${DeleteTraceDialog} trace=${dialog} onDeleted=${onDeleted} onClose=${() => setDialog(null)} />`}
    </div>`;
}

// ---- filters --------------------------------------------------------------------------------

function Filters({ filters, setFilter }) {
  const statuses = Object.entries(TRACE_STATUS).map(([value, { label }]) => ({ value, label }));
  const providers = (useProviders() ?? []).map(({ name }) => ({ value: name, label: name }));

  return html`
    <div class="filters" role="group" aria-label="Filters">
      <${Filter} name="status" label="Status" any="any status" options=${statuses}
                 value=${filters.status} setFilter=${setFilter} />
      <${Filter} name="provider" label="Provider" any="any provider" options=${providers}
                 value=${filters.provider} setFilter=${setFilter} />
      ${filters.lesson_id && html`
        <span class="chip">
          of <a href="/lessons/${encodeURIComponent(filters.lesson_id)}">one lesson</a>
          <button type="button" aria-label="Show the traces of all lessons" title="Show all lessons"
                  onClick=${() => setFilter({ lesson_id: '' })}>${icon('cross')}</button>
        </span>`}
    </div>`;
}

// A value from the address that is not among the options is shown all the same: it does filter.
function Filter({ name, label, any, options, value, setFilter }) {
  const known = value === '' || options.some((option) => option.value === value);
  const all = known ? options : [{ value, label: value }, ...options];

  return html`
    <select aria-label=${label} value=${value} class=${value ? 'set' : ''}
            onChange=${(event) => setFilter({ [name]: event.currentTarget.value })}>
      <option value="">${any}</option>
      ${all.map((option) => html`<option key=${option.value} value=${option.value}>${option.label}</option>`)}
    </select>`;
}

// ---- the list -------------------------------------------------------------------------------

function TraceList({ list, filtered, cursor, setFilter, onDelete }) {
  if (list.data === null) {
    if (list.error && !list.error.outage) {
      return html`
        <${Empty} title="This list does not exist">
          <p>${list.error.message}</p>
          <${Button} onClick=${() => setFilter(NO_FILTER)}>All traces<//>
        <//>`;
    }
    return html`<${Loading} what="traces" />`;
  }
  const { traces } = list.data;
  if (traces.length > 0) return html`<${TraceTable} traces=${traces} onDelete=${onDelete} />`;
  if (cursor) {
    return html`
      <${Empty} title="Nothing older here">
        <${Button} onClick=${() => setFilter({})}>Newest traces<//>
      <//>`;
  }
  return filtered ? html`<${NoMatch} clear=${() => setFilter(NO_FILTER)} />` : html`<${FirstRun} />`;
}

function TraceTable({ traces, onDelete }) {
  return html`
    <table class="rows trace-rows">
      <caption class="unseen">Traces, newest first</caption>
      <thead>
        <tr>
          <th scope="col" class="col-status">Status</th>
          <th scope="col" class="col-time">Time</th>
          <th scope="col">Outline</th>
          <th scope="col" class="col-provider">Provider → model</th>
          <th scope="col" class="col-duration right">Duration</th>
          <th scope="col" class="col-tokens right">Tokens in / out</th>
          <th scope="col" class="col-cost right">Cost</th>
          <th scope="col" class="col-actions"><span class="unseen">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${traces.map((trace) => html`
          <${TraceRow} key=${trace.id} trace=${trace} onDelete=${() => onDelete(trace)} />`)}
      </tbody>
    </table>`;
}

function TraceRow({ trace, onDelete }) {
  const name = firstLine(trace.outline_preview) || trace.id;

  return html`
    <tr>
      <td class="cell-status"><${Status} words=${TRACE_STATUS} status=${trace.status} /></td>
      <td class="cell-time"><${Ago} at=${trace.created_at} /></td>
      <td class="cell-main">
        <a class="row-link" href="/traces/${trace.id}" title=${trace.outline_preview}>${name}</a>
        <${ErrorLine} trace=${trace} />
      </td>
      <td class="cell-provider">
        <${Provider} provider=${trace.provider_used} model=${trace.model}
                     fallbacks=${trace.fallback_providers} />
      </td>
      <td class="cell-duration right number">
        ${isRunning(trace)
          ? html`<${Elapsed} since=${trace.created_at} />`
          : duration(trace.total_duration_ms)}
      </td>
      <td class="cell-tokens right">
        <${Tokens} input=${trace.prompt_tokens} output=${trace.completion_tokens} />
      </td>
      <td class="cell-cost right"><${Cost} usd=${trace.cost_usd} /></td>
      <td class="cell-actions">
        <${Button} look="quiet tight" icon="trash" label="Delete the trace of ${name}" title="Delete"
                   onClick=${onDelete} />
      </td>
    </tr>`;
}

// Why it failed; of one that did not, what failed on the way.
function ErrorLine({ trace: { status, error_class: errorClass, last_error: lastError } }) {
  if (!errorClass && !lastError) return null;
  return html`
    <span class="row-note ${status === 'failed' ? 'tone-bad' : ''}" title=${lastError}>
      ${errorClass && html`<b>${errorLabel(errorClass)}</b>`}
      ${errorClass && lastError && ' · '}${lastError}
    </span>`;
}

// ---- nothing to show ------------------------------------------------------------------------

function NoMatch({ clear }) {
  const { data } = useResource(path.traces({ view: 'summary', limit: 1, count: 'exact' }));

  return html`
    <${Empty} title="No trace matches these filters">
      ${data && html`<p>${totalText(data.total)}</p>`}
      <${Button} onClick=${clear}>Clear filters<//>
    <//>`;
}

function totalText(total) {
  if (total === 0) return 'There are no traces at all yet.';
  return `Without them there ${total === 1 ? 'is' : 'are'} ${plural(total, 'trace')}.`;
}

function FirstRun() {
  const command = `curl -u NAME '${location.origin}/api/lessons' \\
     -H 'Content-Type: application/json' \\
     -d '{"outline": "Photosynthesis: how leaves make sugar from light"}'`;

  return html`
    <${Empty} title="No traces yet">
      <p>
        Every generated lesson leaves one. <a href="/">Generate a lesson</a>, or send one from a
        shell; it shows up here by itself.
      </p>
      <div class="command">
        <pre tabindex="0">${command}</pre>
        <${CopyButton} compact text=${command} label="Copy the command" />
      </div>
    <//>`;
}

// ---- delete all -----------------------------------------------------------------------------

function DeleteAllDialog({ filtered, onClose }) {
  const [total, setTotal] = useState(null);
  const [error, setError] = useState(null);

  useEffect(() => {
    countTraces().then(setTotal, setError);
  }, []);

  const act = async () => {
    const { data } = await deleteAllTraces();
    say(data.deleted === 0 ? 'There was nothing to delete' : `${plural(data.deleted, 'trace')} deleted`);
    onClose();
  };

  return html`
    <${ConfirmDialog} title="Delete all traces?" act=${act} onClose=${onClose}
                      action=${total ? `Delete ${plural(total, 'trace')}` : 'Delete all'}
                      word=${total ? `delete ${total}` : null} ready=${total > 0}>
      ${total === null && !error && html`<p class="counting" role="status">${icon('spinner')}Counting</p>`}
      ${error && html`<${Refusal} error=${error} then="They could not be counted." />`}
      ${total === 0 && html`<p>There is no trace to delete.</p>`}
      ${total > 0 && html`
        <p>
          <b>${plural(total, 'trace')}</b> with every prompt, answer and error in them
          ${filtered && ', not only those that match the filters,'} will be gone at once. The lessons
          stay. This cannot be undone.
        </p>`}
    <//>`;
}

mount('Traces', Traces);
