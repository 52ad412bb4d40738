// "/traces": every generation that was traced, to find one in seconds. What is looked for is in the address
// (filters.js); the list is asked for first (early.js), what is counted over it after that.

import { countTraces, deleteMatchingTraces, path } from '../lib/api.js';
import { Chips, filterWords } from '../lib/chips.js';
import { now } from '../lib/clock.js';
import { ConfirmDialog } from '../lib/dialogs.js';
import { Facets } from '../lib/facets.js';
import {
  filtersOf, isFiltered, KNOWN, listPath, NO_FILTER, SEARCH_CHARACTERS_MIN, tooShort,
} from '../lib/filters.js';
import { count, plural } from '../lib/format.js';
import { Histogram } from '../lib/histogram.js';
import { icon } from '../lib/icons.js';
import { Ignored } from '../lib/ignored.js';
import { useKeyHint, useKeys, withHint } from '../lib/keys.js';
import { useLive, useScrolled } from '../lib/live.js';
import { say } from '../lib/notices.js';
import { NoRows } from '../lib/nothing.js';
import { mount, setTitle } from '../lib/page.js';
import { Button, Empty, Loading, Pager, Refusal } from '../lib/parts.js';
import { html, useCallback, useEffect, useMemo, useRef, useState } from '../lib/preact.js';
import { useResource } from '../lib/resource.js';
import { TraceTable } from '../lib/rows.js';
import { useScroll } from '../lib/scroll.js';
import { Search } from '../lib/search.js';
import { hold, keep, kept } from '../lib/store.js';
import { TimeRange } from '../lib/timerange.js';
import { deleteSoon, useLeaving } from '../lib/undo.js';
import { useQuery } from '../lib/url.js';
import { useZone } from '../lib/zone.js';

const ROOM_FOR_FACETS = '(min-width: 72rem)';

function Traces() {
  const { query, trail, go, replace } = useQuery();
  const zone = useZone();
  const asked = useAsked(query);
  const list = useLive(asked.path, { live: query.live === '1', waiting: !query.cursor });
  const isShown = list.shown?.url === asked.path;
  const refused = !isShown && list.error && !list.error.outage ? list.error : null;
  const counts = useCounts(asked.filters, isShown, refused);
  const leaving = useLeaving(useCallback(() => refreshed.current(), []));
  const rows = refused ? [] : (list.shown?.data.traces.filter(({ id }) => !isGone(leaving.get(id))) ?? []);
  const total = useTotal(counts.counted, list.shown?.data.traces ?? [], leaving);
  const selection = useSelection(rows, list.shown?.url);
  const [facetsOpen, setFacetsOpen] = useFacetsOpen();
  const [deleting, setDeleting] = useState(false);
  const refreshed = useRef(null);
  const tried = useRef(null);
  const hint = useKeyHint();

  // A range is frozen where its first page was asked for: so that older pages are of the same list.
  const change = (what) => go({ cursor: '', ...(query.range && { from: '' }), ...what });
  const turn = (to, way) => go({ ...to, ...(query.range && { from: to.cursor ? asked.filters.from : '' }) }, way);

  const refresh = () => {
    if (!asked.renew()) list.refresh();
    counts.reload();
  };
  const bring = () => {
    list.bring();
    counts.reload();
    scrollTo(0, 0);
  };
  // What previous and next mean on the page of a trace (neighbours.js).
  useEffect(() => hold('traces.query', location.search), [location.search]);

  const newestFirst = !query.cursor && (!query.sort || query.sort === '-created_at');
  const toggleLive = () => go(query.live === '1' ? { live: '' } : { live: '1', sort: '', cursor: '' }, trail ?? []); // new ones come first there
  const remove = (ids) => {
    focusAfter(ids);
    deleteSoon(ids);
    selection.clear();
  };

  refreshed.current = () => {
    list.reload();
    counts.reload();
  };
  // Also when it is given up after an error: some may be gone all the same.
  tried.current = () => {
    setDeleting(false);
    if (query.cursor) turn({ cursor: '' });
    else refresh();
  };

  useEffect(() => setTitle('Traces'), []);
  useScroll(isShown);
  useRowKeys({ selection, remove });
  useKeys([
    { key: 'r', words: 'Refresh', act: refresh },
    { key: 'l', words: 'Live, or no longer', act: toggleLive },
    { key: 'Escape', words: 'Close what is open; forget what is selected', act: selection.clear },
  ]);

  const isEmpty = isShown && list.shown.data.traces.length === 0;
  useArrival(isEmpty, asked.path, counts.reload);
  const isFirstRun = isEmpty && !isFiltered(asked.filters) && !query.cursor;

  return html`
    <div class="traces">
      <div class="section-head">
        <h1>Traces</h1>
        <p class="traces-total number" role="status">${total !== null && plural(total, 'trace')}</p>
        <${Search} label="Search outline, error, model" value=${query.q ?? ''}
                   hint=${tooShort(query) && `${SEARCH_CHARACTERS_MIN} characters or more, or choose a time`}
                   onTry=${(q) => replace({ q, cursor: '', ...(query.range && { from: '' }) })}
                   onCommit=${(q) => change({ q })} />
        <div class="actions">
          <${LiveButton} on=${query.live === '1'} able=${newestFirst} onClick=${toggleLive} />
          <${Button} icon="again" title=${hint('r')} onClick=${refresh}>Refresh<//>
          <${Export} filters=${asked.filters} sort=${query.sort} />
          <${Button} icon="trash" onClick=${() => setDeleting(true)}>
            ${isFiltered(asked.filters) ? 'Delete matching…' : 'Delete all…'}
          <//>
        </div>
      </div>
      <div class="traces-bar">
        <${Button} icon="filter" aria-expanded=${String(facetsOpen)} aria-controls="facets"
                   onClick=${() => setFacetsOpen(!facetsOpen)}>Filters<//>
        <${TimeRange} query=${query} zone=${zone} onChange=${change} />
      </div>
      <${Ignored} query=${query} known=${KNOWN} go=${change} />
      <${Chips} query=${query} zone=${zone} onChange=${change} onClear=${() => go(NO_FILTER)} />
      <div class="traces-body ${facetsOpen && !isFirstRun ? 'with-facets' : ''}">
        <aside id="facets" aria-label="Filters" hidden=${!facetsOpen || isFirstRun}>
          <${Facets} query=${query} facets=${counts.counted?.facets ?? null} onChange=${change} />
        </aside>
        <div class="traces-list">
          ${!isEmpty && html`
            <${Histogram} data=${counts.histogram} zone=${zone}
                          onZoom=${(from, to) => change({ range: '', from, to })} />`}
          <${Arrivals} n=${list.arrived} bring=${bring} />
          <${Selected} selection=${selection} rows=${rows} remove=${remove} />
          <${List} list=${list} rows=${rows} query=${query} filters=${asked.filters} refused=${refused}
                   go=${go} isEmpty=${isEmpty}>
            <${TraceTable} traces=${rows} zone=${zone} sort=${query.sort ?? ''} busy=${!isShown}
                           selected=${selection.ids} fresh=${list.fresh} leaving=${leaving}
                           onSort=${(sort) => change({ sort })} onSelect=${selection.toggle}
                           onSelectAll=${selection.all} onDelete=${(id) => remove([id])} />
          <//>
          <${Pager} cursor=${query.cursor ?? ''} next=${isShown ? list.shown.data.next_cursor : null}
                    trail=${trail} go=${turn} />
        </div>
      </div>
      ${deleting && html`
        <${DeleteMatchingDialog} query=${query} filters=${asked.filters} zone=${zone}
                                 onClose=${() => setDeleting(false)} onTried=${() => tried.current()} />`}
    </div>`;
}

// ---- what is asked --------------------------------------------------------------------------

// {path, filters, renew}: a range keeps its begin, and so the list its address, until another list is asked
// for. renew() lets it begin anew; true if that made the address another.
function useAsked({ live, ...query }) {
  const [at, setAt] = useState(now);
  const key = JSON.stringify(query);
  const began = useRef({ key, at });

  if (began.current.key !== key) began.current = { key, at: now() };
  const path = listPath(query, began.current.at);

  return {
    path,
    filters: useMemo(() => filtersOf(query, began.current.at), [path]),
    renew() {
      began.current = { key, at: now() };
      setAt(began.current.at);
      return listPath(query, began.current.at) !== path;
    },
  };
}

// The first row of a list that was waited for comes by itself: what is counted has to follow.
function useArrival(isEmpty, path, came) {
  const waited = useRef(null); // the list that had none

  useEffect(() => {
    if (!isEmpty && waited.current === path) came();
    waited.current = isEmpty ? path : null;
  }, [isEmpty, path]);
}

// What is counted over a list, asked for when its rows are there: it must not keep them waiting. Of a list
// before, until that of this one is known, or cannot be.
function useCounts(filters, ready, refused) {
  const facets = useResource(ready ? path.facets(filters) : null);
  const oldest = useResource(
    ready && !filters.from
      ? path.traces({ view: 'summary', limit: 1, sort: 'created_at', ...filters })
      : null,
  );
  const from = filters.from ?? oldest.data?.traces[0]?.created_at;
  const histogram = useResource(ready && from ? path.histogram({ ...filters, from }) : null);

  return {
    counted: useLast(facets.data, refused ?? facets.error),
    histogram: useLast(histogram.data?.histogram ?? null, refused ?? histogram.error ?? oldest.error),
    reload() {
      for (const one of [facets, oldest, histogram]) if (one.url !== null) one.reload();
    },
  };
}

// The total without the rows that leave, though the server still counts them; null if it is not known.
function useTotal(counted, traces, leaving) {
  const left = useRef({ counted: null, before: [], ids: new Set() });

  if (left.current.counted !== counted) {
    left.current = { counted, before: [...leaving.keys()].filter((id) => leaving.get(id) === 'told'), ids: new Set() };
  }
  const { before, ids } = left.current;
  for (const { id } of traces) if (leaving.has(id) && !before.includes(id)) ids.add(id);
  return counted === null ? null : counted.total - [...ids].filter((id) => leaving.has(id)).length;
}

const isGone = (mood) => mood === 'gone' || mood === 'told';

function useLast(value, error) {
  const last = useRef(null);

  if (value !== null || error) last.current = value;
  return last.current;
}

function useFacetsOpen() {
  const [open, setOpen] = useState(() => matchMedia(ROOM_FOR_FACETS).matches && kept('facets', true));

  return [
    open,
    (to) => {
      setOpen(to);
      if (matchMedia(ROOM_FOR_FACETS).matches) keep('facets', to);
    },
  ];
}

// ---- the parts of the page ------------------------------------------------------------------

function LiveButton({ on, able, onClick }) {
  const scrolled = useScrolled();
  const hint = useKeyHint();

  return html`
    <${Button} look="live" aria-pressed=${String(on)}
               title=${withHint(on ? (able ? 'New traces are looked for' : 'New traces stand on the first page, newest first') : 'Look for new traces', hint('l'))} onClick=${onClick}>
      <span class="live-dot" aria-hidden="true"></span>${on && !able ? 'Live, but for new ones' : on && scrolled ? 'Live, resting' : 'Live'}
    <//>`;
}

const FORMATS = [
  { format: 'ndjson', words: 'NDJSON: everything, a trace a line' },
  { format: 'csv', words: 'CSV: the columns of the list' },
];

// All that matches, on this page and all others, in the order of the list.
function Export({ filters, sort }) {
  const [open, setOpen] = useState(false);
  const whole = useRef(null);
  const button = () => whole.current.querySelector('button');
  const isElsewhere = (element) => element && !whole.current.contains(element);

  useEffect(() => {
    if (!open) return undefined;
    const onPress = ({ target }) => isElsewhere(target) && setOpen(false);
    addEventListener('pointerdown', onPress);
    return () => removeEventListener('pointerdown', onPress);
  }, [open]);

  const onKeyDown = (event) => {
    if (event.key !== 'Escape' || !open) return;
    event.preventDefault();
    setOpen(false);
    button().focus();
  };

  return html`
    <div class="export" ref=${whole} onKeyDown=${onKeyDown}
         onFocusOut=${({ relatedTarget }) => isElsewhere(relatedTarget) && setOpen(false)}>
      <${Button} icon="download" aria-expanded=${String(open)} aria-controls="export-formats"
                 onClick=${() => setOpen(!open)}>Export<//>
      <ul id="export-formats" hidden=${!open}>
        ${FORMATS.map(({ format, words }) => html`
          <li key=${format}>
            <a href=${path.export({ format, ...filters, sort })} download onClick=${() => setOpen(false)}>${words}</a>
          </li>`)}
      </ul>
    </div>`;
}

function Arrivals({ n, bring }) {
  return html`
    <div class="arrivals" role="status">
      ${n > 0 && html`<${Button} look="primary" icon="up" onClick=${bring}>${count(n)} new<//>`}
    </div>`;
}

function Selected({ selection, rows, remove }) {
  const n = selection.ids.size;
  const hint = useKeyHint();

  if (n === 0) return null;
  return html`
    <div class="selected" role="group" aria-label="Selected">
      <b class="number" role="status">${count(n)} selected</b>
      <${Button} icon="trash" title=${hint('#')} onClick=${() => remove([...selection.ids])}>Delete ${count(n)}<//>
      ${n === 2 && html`<${Button} icon="compare" href=${compareAddress(rows, selection.ids)}>Compare<//>`}
      ${n < rows.length && html`<${Button} look="quiet" onClick=${selection.all}>Select this page<//>`}
      <${Button} look="quiet" title="Esc" onClick=${selection.clear}>Clear<//>
    </div>`;
}

// The earlier one on the left, whichever way the list is sorted.
function compareAddress(rows, ids) {
  const [a, b] = rows
    .filter(({ id }) => ids.has(id))
    .sort((one, other) => Date.parse(one.created_at) - Date.parse(other.created_at));

  return `/traces/compare?a=${a?.id ?? ''}&b=${b?.id ?? ''}`;
}

function List({ list, rows, query, filters, refused, isEmpty, go, children }) {
  if (refused) {
    return html`
      <${Empty} title="This address asks for something the list does not have">
        <p>${refused.message}</p>
        <${Button} onClick=${() => go({ ...NO_FILTER, sort: '' })}>All traces<//>
      <//>`;
  }
  if (list.shown === null) return html`<${Loading} what="traces" />`;
  if (isEmpty) return html`<${NoRows} query=${query} filters=${filters} go=${go} />`;
  if (rows.length === 0) return html`<${Empty} title="Nothing left on this page" />`;
  return children;
}

// ---- selection and keys ---------------------------------------------------------------------

// Which of the rows shown are selected; another list begins without any.
function useSelection(rows, page) {
  const [state, setState] = useState({ page, ids: NOBODY });
  const last = useRef(null);
  const ids = state.page === page ? new Set(rows.map(({ id }) => id).filter((id) => state.ids.has(id))) : NOBODY;
  const set = (next) => setState({ page, ids: new Set(next) });

  return {
    ids,
    clear: () => state.ids.size > 0 && set([]),
    all: (on = true) => set(on ? rows.map(({ id }) => id) : []),
    toggle(id, { range = false } = {}) {
      const [a, b] = [last.current, id].map((one) => rows.findIndex((row) => row.id === one));
      const on = !ids.has(id);
      const touched = range && a !== -1 ? rows.slice(Math.min(a, b), Math.max(a, b) + 1).map((row) => row.id) : [id];
      last.current = id;
      set(on ? [...ids, ...touched] : [...ids].filter((one) => !touched.includes(one)));
    },
  };
}

const NOBODY = new Set();

const rowLinks = () => [...document.querySelectorAll('.trace-rows .row-link')];
const focusedRow = () => document.activeElement?.closest('.trace-rows tbody tr') ?? null;

// The row with the focus is the one that the keys are about.
function useRowKeys({ selection, remove }) {
  const last = useRef(null); // id of the row that had it

  const move = (step) => {
    const links = rowLinks();
    const ids = links.map((link) => link.closest('tr').dataset.id);
    const from = ids.indexOf(focusedRow()?.dataset.id ?? last.current);
    const to = from === -1 ? 0 : from + (focusedRow() ? step : 0);
    const link = links[Math.max(0, Math.min(links.length - 1, to))];
    if (!link) return;
    last.current = link.closest('tr').dataset.id;
    link.focus({ preventScroll: true });
    link.scrollIntoView({ block: 'nearest' });
  };
  const select = () => {
    const id = focusedRow()?.dataset.id;
    if (id) selection.toggle(id);
  };
  const discard = () => {
    const id = focusedRow()?.dataset.id;
    if (selection.ids.size > 0) remove([...selection.ids]);
    else if (id) remove([id]);
  };

  useKeys([
    { key: 'j', words: 'Next trace', act: () => move(1) },
    { key: 'k', words: 'Trace before', act: () => move(-1) },
    { key: 'Enter', words: 'Open the trace' },
    { key: 'x', words: 'Select the trace, or no longer', act: select },
    { key: '#', words: 'Delete what is selected, else the trace', act: discard },
  ]);
}

// The focus leaves with a row, or with the bar of those selected: it goes to the row that takes the place of
// those that leave, and where none is left to the button that brings them back, once that is drawn.
function focusAfter(ids) {
  const row = focusedRow();
  const links = rowLinks();
  const stays = (link) => !ids.includes(link.closest('tr').dataset.id);

  if (row ? !ids.includes(row.dataset.id) : !document.activeElement?.closest('.selected')) return;
  const at = links.findIndex((link) => (row ? row.contains(link) : !stays(link)));
  const link = links.slice(at).find(stays) ?? links.slice(0, at).findLast(stays);
  if (link) link.focus();
  else requestAnimationFrame(() => document.querySelector('.toast:last-child button')?.focus());
}

// ---- deleting what matches ------------------------------------------------------------------

function DeleteMatchingDialog({ query, filters, zone, onTried, onClose }) {
  const [total, setTotal] = useState(null);
  const [before, setBefore] = useState(null); // how many it was before others came or went
  const [error, setError] = useState(null);
  const tried = useRef(false);
  // As they were when it was asked: a step back under the dialog changes neither what it says nor what it does.
  const { words, filtered, counted } = useMemo(() => ({
    words: filterWords({ ...query, q: filters.q }, zone),
    filtered: isFiltered(filters),
    // What comes after it is counted is no part of the number that is typed, and stays.
    counted: filters.to ? filters : { ...filters, to: new Date(now()).toISOString() },
  }), []);

  useEffect(() => {
    countTraces(counted).then(setTotal, setError);
  }, []);

  const act = async () => {
    tried.current = true;
    try {
      const { data } = await deleteMatchingTraces(counted, total);
      say(data.deleted === 0 ? 'There was nothing to delete' : `${plural(data.deleted, 'trace')} deleted`);
    } catch (failure) {
      if (failure.status !== 409 || failure.count === null) throw failure;
      setBefore(total);
      setTotal(failure.count);
      throw failure;
    }
    onTried();
  };

  return html`
    <${ConfirmDialog} title=${filtered ? 'Delete all that match?' : 'Delete all traces?'} act=${act}
                      onClose=${() => (tried.current ? onTried() : onClose())}
                      action=${total ? `Delete ${plural(total, 'trace')}` : 'Delete'}
                      word=${total ? `delete ${total}` : null} ready=${total > 0}>
      ${total === null && !error && html`<p class="counting" role="status">${icon('spinner')}Counting</p>`}
      ${error && html`<${Refusal} error=${error} then="They could not be counted." />`}
      ${total === 0 && html`<p>There is no trace to delete.</p>`}
      ${before !== null && html`
        <p role="alert"><b>Nothing was deleted:</b> ${plural(before, 'trace')} matched, now it is ${count(total)}.</p>`}
      ${total > 0 && html`
        <p>
          <b>${plural(total, 'trace')}</b>, on this page and all others, with every prompt, answer and error in
          them will be gone at once. The lessons stay. This cannot be undone.
        </p>
        ${filtered && html`<ul class="filter-words">${words.map((text) => html`<li key=${text}>${text}</li>`)}</ul>`}`}
    <//>`;
}

mount('Traces', Traces);
