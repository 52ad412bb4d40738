// "/monitor": how many generations there were, how many failed, how long they took, what they cost;
// now, and against the time before. Every number leads to its traces.

import { path, queryString } from '../lib/api.js';
import { Chart } from '../lib/chart.js';
import { now, useNow } from '../lib/clock.js';
import { hasAddress, NONE } from '../lib/filters.js';
import { cost, count, duration, percent, plural, relative, UNKNOWN } from '../lib/format.js';
import { icon } from '../lib/icons.js';
import { Ignored } from '../lib/ignored.js';
import { useKeyHint, useKeys } from '../lib/keys.js';
import { mount, setTitle } from '../lib/page.js';
import { Button, Empty } from '../lib/parts.js';
import {
  bucketNote, change, COMPARED, isRange, length, periodOf, rangeBackTo, rangeQuery, RANGES, spansOf, spanText, timesQuery,
} from '../lib/period.js';
import { Fragment, html, useEffect, useMemo, useRef, useState } from '../lib/preact.js';
import { useResource } from '../lib/resource.js';
import { zoneNote } from '../lib/timerange.js';
import { useQuery } from '../lib/url.js';
import { errorLabel, TRACE_STATUS } from '../lib/words.js';
import { fromInput, setUtc, toInput, useZone } from '../lib/zone.js';

const REFRESH_MS = 30_000;
const HEALTH_MS = 5000;
const FIRST_MS = 3000; // no trace yet: the page waits for the first
const CERTAIN_N = 20; // below, a percentile is little more than one of the values
const DOUBT = `uncertain: of fewer than ${CERTAIN_N} durations`;
const DAY_MS = 86_400_000;

const NO_FILTER = { provider: '', model: '' };
const CHARTS = ['requests', 'error_rate', 'duration', 'tokens', 'cost'];
// What the address may say (ignored.js). Of two times both are needed.
const KNOWN = {
  range: isRange,
  from: () => Boolean(new URLSearchParams(location.search).get('to')),
  to: () => Boolean(new URLSearchParams(location.search).get('from')),
  provider: true,
  model: true,
  table: (value) => value.split(',').every((name) => CHARTS.includes(name)),
  provider_sort: isSort,
  calls_sort: isSort,
  model_sort: isSort,
  error_sort: isSort,
  failures_sort: isSort,
};

function Monitor() {
  const { query, go } = useQuery();
  const zone = useZone();
  const chain = useResource(path.providers(), () => HEALTH_MS).data?.providers ?? null;
  const custom = Boolean(query.from && query.to);
  const [end, setEnd] = useState(now);
  const period = periodOf(query, end);
  const filters = { provider: query.provider ?? '', model: query.model ?? '' };
  const { from, to, bucket } = period;
  const answer = useResource(path.stats({ from, to, bucket, ...filters }), () =>
    custom ? REFRESH_MS : null,
  );
  const stats = useKept(answer.data?.stats ?? null);
  const refresh = () => (custom || answer.error ? answer.reload() : setEnd(now()));

  useEffect(() => setTitle('Monitor'), []);
  useKeys([{ key: 'r', words: 'Refresh', act: refresh }]);
  useMovingEnd(setEnd, custom || answer.error !== null);
  // Our clock was wrong until the first answer told so.
  useEffect(() => {
    if (!custom && Math.abs(now() - end) > 2 * REFRESH_MS) setEnd(now());
  }, [answer.data]);

  // What changes a part of the page leaves the reader where they are.
  const stay = (changes) => {
    const { scrollX, scrollY } = window;
    go(changes);
    scrollTo(scrollX, scrollY);
  };
  const show = (changes) => {
    setEnd(now());
    stay(changes);
  };
  const refused = answer.error !== null && !answer.error.outage ? answer.error : null;

  return html`
    <div class="monitor">
      <div class="section-head">
        <h1>Monitor</h1>
        <${Ranges} period=${period} custom=${custom} zone=${zone} show=${show} />
        <${Filters} filters=${filters} chain=${chain} stats=${stats} show=${show} />
        <${ZoneSwitch} zone=${zone} />
        <${Button} icon="again" title=${useKeyHint()('r')} onClick=${refresh}>Refresh<//>
      </div>
      <${Ignored} query=${query} known=${KNOWN} go=${show} />
      ${refused
        ? html`
          <${Empty} title="This range cannot be shown">
            <p>${refused.message}</p>
            <${Button} onClick=${() => go({ ...rangeQuery(''), ...NO_FILTER })}>The last 24 h<//>
          <//>`
        : html`
          <${Shown} stats=${stats} busy=${answer.data === null && stats !== null} chain=${chain} filters=${filters}
                    query=${query} zone=${zone} show=${show} stay=${stay} refresh=${refresh} />`}
    </div>`;
}

// The last that was known, for the time until more is.
function useKept(value) {
  const kept = useRef(null);

  if (value !== null) kept.current = value;
  return kept.current;
}

// A range until now moves on while somebody looks, and no request is failing.
function useMovingEnd(setEnd, rests) {
  useEffect(() => {
    if (rests) return undefined;
    const move = () => document.hidden || setEnd(now());
    const timer = setInterval(move, REFRESH_MS);

    document.addEventListener('visibilitychange', move);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', move);
    };
  }, [rests]);
}

function Shown({ stats, busy, chain, filters, query, zone, show, stay, refresh }) {
  const empty = stats !== null && stats.totals.requests === 0;

  return html`
    <div class="monitor-body ${busy ? 'busy' : ''}" aria-busy=${String(busy || stats === null)}>
      <${Caption} stats=${stats} zone=${zone} />
      ${empty
        ? html`<${Nothing} filters=${filters} zone=${zone} show=${show} refresh=${refresh} />`
        : html`<${Headline} stats=${stats} filters=${filters} />`}
      <${Chain} chain=${chain} zone=${zone} />
      ${!empty && html`
        <${Charts} stats=${stats} filters=${filters} zone=${zone} query=${query} show=${show}
                   stay=${stay} />
        <${Groups} stats=${stats} filters=${filters} query=${query} stay=${stay} />`}
    </div>`;
}

// The way from numbers to their traces: to(only) is the address of those that `only` narrows it to.
const wayTo = ({ from, to }, filters) => (only) =>
  `/traces${queryString({ ...filters, from, to, ...only })}`;

// What narrows it.
const FAILED = { status: 'failed' };
const ENDED = { status: 'completed,failed' };
const MEASURED = { ...ENDED, min_duration_ms: '0' };
const DEAREST = { sort: '-cost_usd' };
const LONGEST = { sort: '-total_tokens' };
const FELL_BACK = { fallback: 'true' };
const slowerThan = (ms) => ({ ...ENDED, min_duration_ms: String(Math.ceil(ms)), sort: '-total_duration_ms' });

// Those with a call that failed: to any of the providers that it happened to.
const failedCalls = (stats) => ({
  failed_provider: stats.calls_by_provider.filter((row) => row.failed_calls > 0).map((row) => row.provider).join(','),
});

// A number as the link to its traces; what is unknown has none.
const Linked = ({ href, text }) => (text === UNKNOWN || !href ? text : html`<a href=${href}>${text}</a>`);

// ---- what to look at ------------------------------------------------------------------------

function Ranges({ period, custom, zone, show }) {
  const [open, setOpen] = useState(custom);

  useEffect(() => setOpen(custom), [custom]);

  return html`
    <${Fragment}>
      <div class="switch ranges" role="group" aria-label="Range">
        ${RANGES.map(({ value, label, words }) => html`
          <button key=${value} type="button" aria-pressed=${String(value === period.range)} title=${words}
                  onClick=${() => {
                    setOpen(false);
                    show(rangeQuery(value));
                  }}>${label}</button>`)}
        <button type="button" aria-pressed=${String(custom)} aria-expanded=${String(open)}
                onClick=${() => setOpen(!open)}>Custom…</button>
      </div>
      ${open && html`
        <${CustomRange} key="${custom && `${period.from} ${period.to}`} ${zone.name}" period=${period} zone=${zone} show=${show} />`}
    <//>`;
}

function CustomRange({ period, zone, show }) {
  const [from, setFrom] = useState(toInput(period.from, zone));
  const [to, setTo] = useState(toInput(period.to, zone));
  const [error, setError] = useState(null);

  const submit = (event) => {
    event.preventDefault();
    const [first, last] = [fromInput(from, zone), fromInput(to, zone)];
    if (!first || !last) setError('Two times are needed.');
    else if (first >= last) setError('The first is not before the second.');
    else show(timesQuery(first, last));
  };

  return html`
    <form class="custom-range" aria-label="Custom range" onSubmit=${submit}>
      <label>From <input type="datetime-local" step="1" required value=${from}
                         onInput=${(event) => setFrom(event.currentTarget.value)} /></label>
      <label>to <input type="datetime-local" step="1" required value=${to}
                       onInput=${(event) => setTo(event.currentTarget.value)} /></label>
      <span class="quiet">${zoneNote([from, to], zone)}</span>
      <${Button} type="submit">Apply<//>
      ${error && html`<p class="refusal" role="alert">${icon('warning')}${error}</p>`}
    </form>`;
}

function Filters({ filters, chain, stats, show }) {
  const seen = useSeen(stats);
  const providers = new Set([...(chain ?? []).map(({ name }) => name), ...seen.providers]);

  return html`
    <div class="monitor-filters" role="group" aria-label="Filters">
      <${Filter} label="Provider" any="any provider" value=${filters.provider} values=${[...providers]}
                 onChange=${(provider) => show({ provider, model: '' })} />
      <${Filter} label="Model" any="any model" value=${filters.model} values=${[...seen.models]}
                 onChange=${(model) => show({ model })} />
    </div>`;
}

// The providers and models that were in an answer so far: one that is filtered knows only its own.
function useSeen(stats) {
  const seen = useRef({ providers: new Set(), models: new Set() }).current;

  stats?.by_provider.forEach(({ provider }) => hasAddress(provider) && seen.providers.add(provider ?? NONE));
  stats?.by_model.forEach(({ model }) => hasAddress(model) && seen.models.add(model ?? NONE));
  return seen;
}

function Filter({ label, any, value, values, onChange }) {
  const all = value === '' || values.includes(value) ? values : [value, ...values];

  return html`
    <select aria-label=${label} value=${value} class=${value ? 'set' : ''}
            onChange=${(event) => onChange(event.currentTarget.value)}>
      <option value="">${any}</option>
      ${all.map((one) => html`
        <option key=${one} value=${one}>${one === NONE ? `no ${label.toLowerCase()}` : one}</option>`)}
    </select>`;
}

function ZoneSwitch({ zone }) {
  return html`
    <div class="switch" role="group" aria-label="Time zone">
      <button type="button" aria-pressed=${String(!zone.utc)} onClick=${() => setUtc(false)}>Local</button>
      <button type="button" aria-pressed=${String(zone.utc)} onClick=${() => setUtc(true)}>UTC</button>
    </div>`;
}

function Caption({ stats, zone }) {
  if (stats === null) return html`<p class="monitor-caption"><${Bone} /></p>`;
  const [from, to] = [Date.parse(stats.from), Date.parse(stats.to)];
  const year = (ms) => zone.date.format(ms).slice(-4);
  const note = bucketNote(stats, zone);

  return html`
    <p class="monitor-caption">
      ${spanText(from, to, zone)}${year(to) !== year(now()) && ` (${year(to)})`}
      <span class="quiet"> ${zone.name}, compared with the ${length(to - from)} before${note && `; charts ${note}`}</span>
    </p>`;
}

// ---- the numbers of all ---------------------------------------------------------------------

const isCertain = ({ duration_ms: { n } }) => n >= CERTAIN_N;

// `href` is where its traces are, `note` is said beside it.
function figuresOf(stats, to) {
  const { totals: T, previous: P } = stats;
  const ended = T.completed + T.failed;
  const percentile = (name) => ({
    label: `Duration ${name}`,
    text: duration(T.duration_ms[name]),
    change: isCertain(T) && isCertain(P) && change(COMPARED.duration, T.duration_ms[name], P.duration_ms[name]),
    href: to(slowerThan(T.duration_ms[name])),
    note: html`<${N} totals=${T} href=${to(MEASURED)} />`,
  });
  const failed = to(FAILED);

  return [
    {
      label: 'Requests',
      text: count(T.requests),
      change: change(COMPARED.requests, T.requests, P.requests),
      href: to({}),
      note: html`<${Linked} href=${to({ status: 'started' })} text="${count(T.started)} running" />`,
    },
    {
      label: 'Error rate',
      text: percent(T.error_rate),
      change: change(COMPARED.error_rate, T.error_rate, P.error_rate),
      href: failed,
      note: html`
        <${Linked} href=${failed} text="${count(T.failed)} failed" /> of${' '}
        <${Linked} href=${to(ENDED)} text="${count(ended)} ended" />`,
    },
    percentile('p50'),
    percentile('p95'),
    percentile('p99'),
    {
      label: 'Fallbacks',
      text: count(T.fallbacks),
      change: change(COMPARED.fallbacks, T.fallbacks, P.fallbacks),
      href: to(FELL_BACK),
      note: `${percent(T.fallbacks / T.requests)} of the requests`,
    },
    {
      label: 'Tokens in',
      text: count(T.prompt_tokens),
      change: change(COMPARED.tokens, T.prompt_tokens, P.prompt_tokens),
      href: to(LONGEST),
      note: `in ${plural(T.llm_call_count, 'call')}`,
    },
    {
      label: 'Tokens out',
      text: count(T.completion_tokens),
      change: change(COMPARED.tokens, T.completion_tokens, P.completion_tokens),
      href: to(LONGEST),
      note: `${count(T.total_tokens)} in all`,
    },
    {
      label: 'Cost',
      text: cost(T.cost_usd),
      change: change(COMPARED.cost, T.cost_usd, P.cost_usd),
      href: to(DEAREST),
      note: `known for ${count(T.cost_known)} of ${count(T.requests)}`,
    },
    {
      label: 'Cost of failed calls',
      text: cost(T.failed_cost_usd),
      change: change(COMPARED.failed_cost, T.failed_cost_usd, P.failed_cost_usd),
      href: T.failed_calls > 0 && to(failedCalls(stats)),
      note: html`
        <${Linked} href=${T.failed_calls > 0 && to(failedCalls(stats))} text=${plural(T.failed_calls, 'failed call')} /> of${' '}
        ${count(T.llm_call_count)}`,
    },
  ];
}

// Of how many a percentile is, and whether that is enough.
function N({ totals, href }) {
  const { n } = totals.duration_ms;

  return html`
    ${!isCertain(totals) && html`<span class="uncertain" title=${DOUBT}>uncertain: </span>`}
    <${Linked} href=${href} text="n = ${count(n)}" />`;
}

const Bone = () => html`<span class="bone"></span>`;
const unknownFigures = () => Array.from({ length: 10 }, () => ({ label: html`<${Bone} />`, text: html`<${Bone} />` }));

function Headline({ stats, filters }) {
  const figures = stats === null ? unknownFigures() : figuresOf(stats, wayTo(stats, filters));

  return html`
    <section aria-label="Numbers of the range">
      <dl class="headline">
        ${figures.map(({ label, text, change: difference, href, note }, i) => html`
          <div key=${i}>
            <dt>${label}</dt>
            <dd class="figure number">${href ? html`<${Linked} href=${href} text=${text} />` : text}</dd>
            <dd class="figure-change"><${Change} change=${difference} /></dd>
            <dd class="figure-note number">${note}</dd>
          </div>`)}
      </dl>
    </section>`;
}

const ARROWS = { up: '↑', down: '↓', same: '' };
const JUDGED = { ok: ', which is better', bad: ', which is worse', quiet: '' };

function Change({ change: difference }) {
  if (!difference) return null;
  const { text, direction, tone } = difference;

  return html`
    <span class="tone-${tone}">
      <span aria-hidden="true">${ARROWS[direction]} </span>${text}<span class="unseen">${JUDGED[tone]}</span>
    </span>`;
}

// ---- the chain of providers -----------------------------------------------------------------

function Chain({ chain, zone }) {
  const at = useNow(1000);
  const ready = chain?.filter(({ position, configured }) => configured && position !== null);
  const aside = [
    ['Not in the chain', chain?.filter(({ position, configured }) => configured && position === null)],
    ['Not configured', chain?.filter(({ configured }) => !configured)],
  ];

  return html`
    <section class="panel chain" aria-label="Providers, in the order they are tried">
      <h2>Providers</h2>
      <ol>
        ${chain === null && html`<li><${Bone} /></li>`}
        ${ready?.map((one) => html`
          <li key=${one.name}>
            <span class="chain-who"><b>${one.name}</b> <span class="quiet">${one.model}</span></span>
            <${Breaker} ...${one} zone=${zone} at=${at} />
          </li>`)}
      </ol>
      ${chain === null && html`<p><${Bone} /></p>`}
      ${aside.map(([words, some]) => some?.length > 0 && html`
        <p key=${words} class="quiet">${words}: ${some.map(({ name }) => name).join(', ')}</p>`)}
    </section>`;
}

// Whether calls go to a provider, until when not, and what it was that stopped them.
function Breaker({ state, open_until: until, error_class: errorClass, zone, at }) {
  const why = errorClass ? `: ${errorLabel(errorClass)}` : '';

  if (state === 'open') {
    const left = Date.parse(until) - at;
    return html`
      <span class="status tone-bad" title="circuit breaker: open">${icon('cross')}<span>left alone until${' '}
        ${until ? html`<time datetime=${until}>${zone.time.format(Date.parse(until))}</time>` : UNKNOWN}
        ${left > 0 && `, ${Math.ceil(left / 1000)} s`}${why}</span></span>`;
  }
  if (state === 'half_open') {
    return html`
      <span class="status tone-run" title="circuit breaker: half-open">
        ${icon('clock')}<span>being tried by one call${why}</span></span>`;
  }
  return html`<span class="status tone-ok" title="circuit breaker: closed">${icon('check')}ready</span>`;
}

// ---- charts ---------------------------------------------------------------------------------

const compact = new Intl.NumberFormat('en', { notation: 'compact' });
const dollars = (usd) => `$${Number(usd.toPrecision(3))}`;
const seconds = (ms) => (ms > 0 && ms < 1000 ? `${ms} ms` : `${Number((ms / 1000).toPrecision(3))} s`);
const amount = (value) => (value === null ? null : Number(value));

function chartsOf(stats, spans, to) {
  const { series } = stats;
  const of = (value) => series.map((bucket) => amount(value(bucket)));
  const within = (only) => (i) =>
    to({ from: new Date(spans[i].from).toISOString(), to: new Date(spans[i].to).toISOString(), ...only });
  const status = (name, tone) => ({
    label: TRACE_STATUS[name].label,
    tone,
    values: of((bucket) => bucket[name]),
    href: within({ status: name }),
  });
  const percentile = (name, tone, stroke) => ({
    label: name,
    tone,
    stroke,
    values: of(({ duration_ms: all }) => all[name]),
    href: (i) => within(slowerThan(series[i].duration_ms[name]))(i),
  });

  return [
    {
      name: 'requests',
      title: 'Requests',
      wide: true,
      form: 'bars',
      series: [
        status('failed', 'bad'), // on the baseline, where the eye compares best
        status('started', 'run'),
        status('completed', 'accent'),
      ],
      text: count,
      tick: compact.format,
      whole: true,
      top: 4,
    },
    {
      name: 'error_rate',
      title: 'Error rate',
      form: 'lines',
      series: [
        {
          label: 'failed',
          tone: 'bad',
          stroke: 'plain',
          values: of((bucket) => bucket.error_rate),
          href: within(FAILED),
        },
      ],
      text: percent,
      tick: percent,
      top: 0.05,
      note: (i) => `${count(series[i].failed)} of ${count(series[i].completed + series[i].failed)}`,
    },
    {
      name: 'duration',
      title: 'Duration',
      form: 'lines',
      series: [
        percentile('p50', 'accent', 'plain'),
        percentile('p95', 'run', 'dashed'),
        percentile('p99', 'quiet', 'thin'),
      ],
      text: duration,
      tick: seconds,
      top: 1000,
      note: (i) => `n = ${count(series[i].duration_ms.n)}${series[i].duration_ms.n < CERTAIN_N ? ', uncertain' : ''}`,
    },
    {
      name: 'tokens',
      title: 'Tokens',
      form: 'bars',
      series: [
        {
          label: 'tokens',
          tone: 'accent',
          values: of((bucket) => bucket.total_tokens),
          href: within(LONGEST),
        },
      ],
      text: count,
      tick: compact.format,
      whole: true,
      top: 100,
    },
    {
      name: 'cost',
      title: 'Cost',
      form: 'bars',
      series: [
        {
          label: 'cost',
          tone: 'accent',
          values: of((bucket) => bucket.cost_usd),
          href: within(DEAREST),
        },
      ],
      text: cost,
      tick: dollars,
      top: 0.0001,
    },
  ];
}

// Which of them are tables is in the address: ?table=cost,tokens
function Charts({ stats, filters, zone, query, show, stay }) {
  const charts = useMemo(() => {
    if (stats === null) return null;
    const spans = spansOf(stats);
    return chartsOf(stats, spans, wayTo(stats, filters)).map((one) => ({ ...one, spans }));
  }, [stats]);
  const tables = query.table ? query.table.split(',') : [];
  const turn = (name) => {
    const all = tables.includes(name) ? tables.filter((one) => one !== name) : [...tables, name];
    stay({ table: all.join(',') });
  };
  const onZoom = (from, to) => show(timesQuery(from, to));

  if (charts === null) {
    return html`
      <div class="charts">
        ${[0, 1, 2, 3, 4].map((i) => html`
          <section key=${i} class="panel chart ${i === 0 ? 'wide' : ''}">
            <div class="chart-head"><${Bone} /></div><div class="plot bone"></div>
          </section>`)}
      </div>`;
  }
  return html`
    <div class="charts">
      ${charts.map(({ name, ...chart }) => html`
        <${Chart} key=${name} ...${chart} zone=${zone} table=${tables.includes(name)}
                  onTable=${() => turn(name)} onZoom=${onZoom} />`)}
    </div>`;
}

// ---- by provider, by model, by error --------------------------------------------------------

// Of a column: value(row) sorts, text(row) is shown, only(row) are its traces beside the row's own.
const column = (name, label, text, only = null, value = (row) => row[name]) => ({
  name,
  label,
  value,
  text: (row) => text(value(row)),
  only: only && (typeof only === 'function' ? only : () => only),
});
const percentileColumn = (name) => ({
  ...column(
    name,
    name,
    duration,
    (row) => slowerThan(row.duration_ms[name]),
    (row) => row.duration_ms[name],
  ),
  doubt: (row) => row.duration_ms.n > 0 && !isCertain(row),
});
// Of those whom somebody answered; who failed is told of the calls.
const NUMBERS = [
  percentileColumn('p50'),
  percentileColumn('p95'),
  percentileColumn('p99'),
  column('n', 'n', count, MEASURED, (row) => row.duration_ms.n),
  column('fallbacks', 'Fallbacks', count, FELL_BACK),
  column('prompt_tokens', 'Tokens in', count, LONGEST),
  column('completion_tokens', 'Tokens out', count, LONGEST),
  column('cost_usd', 'Cost', cost, DEAREST, (row) => amount(row.cost_usd)),
];
// Of the calls to a provider, whoever answered in the end.
const CALLS = [
  column('requests', 'Calls', count, null, (row) => row.answered + row.failed_calls),
  column('answered', 'Answered', count, (row) => ({ provider: row.provider, status: 'completed' })),
  column('failed_calls', 'Failed', count, (row) => ({ failed_provider: row.provider })),
  column('error_rate', 'Error rate', percent, (row) => row.failed_calls > 0 && { failed_provider: row.provider }),
  column('failed_cost_usd', 'Cost of failed', cost, (row) => ({ failed_provider: row.provider }), (row) => amount(row.failed_cost_usd)),
];
const FAILURES = [
  column('requests', 'Calls', count, (row) => ({ failed_provider: row.provider }), (row) => row.count),
  column('cost_usd', 'Cost', cost, (row) => ({ failed_provider: row.provider }), (row) => amount(row.cost_usd)),
];

// "-cost_usd" and the like, as headings write it.
function isSort(value) {
  const name = value.replace(/^-/, '');

  return ['name', 'requests', 'share'].includes(name) || [...NUMBERS, ...CALLS, ...FAILURES].some((one) => one.name === name);
}

// The first two columns: how many, and how much of all that is.
const requestsOf = (total, value) => [
  column('requests', 'Requests', count, {}, value),
  { ...column('share', 'Share', percent, null, (row) => value(row) / total), share: (row) => value(row) / total },
];

// The traces of another's answers are none of those of a filter.
const answeredOf = ({ provider }) =>
  CALLS.map((one) =>
    one.name === 'answered' ? { ...one, only: (row) => (!provider || provider === row.provider) && one.only(row) } : one,
  );

function Groups({ stats, filters, query, stay }) {
  if (stats === null) return html`<div class="panel bone groups-bone"></div>`;
  const total = stats.totals.requests;
  const errors = stats.by_error_class.reduce((sum, row) => sum + row.count, 0);
  const all = { to: wayTo(stats, filters), query, stay };
  const answerer = [filters.provider, filters.model].filter(Boolean).join(', ');
  const note = answerer && `Of the calls in the traces that ${answerer} answered.`;

  return html`
    <${Group} ...${all} name="provider" title="By provider" head="Provider" rows=${stats.by_provider}
              label=${(row) => row.provider ?? 'no provider answered'}
              its=${(row) => ({ provider: row.provider ?? NONE })}
              columns=${[...requestsOf(total, (row) => row.requests), ...NUMBERS]} />
    <${Group} ...${all} name="calls" title="Calls by provider" head="Provider" rows=${stats.calls_by_provider} narrow
              label=${(row) => row.provider} its=${() => ({})} columns=${answeredOf(filters)} note=${note} />
    <${Group} ...${all} name="failures" title="Failed calls" head="Error" rows=${stats.failed_calls} narrow
              label=${(row) => errorLabel(row.error_class)} aside=${(row) => row.provider} its=${() => ({})}
              columns=${FAILURES} note=${note} />
    <${Group} ...${all} name="model" title="By model" head="Model" rows=${stats.by_model}
              label=${(row) => row.model ?? 'no model answered'} aside=${(row) => row.provider ?? 'no answer'}
              its=${(row) => ({ provider: row.provider ?? NONE, model: row.model ?? NONE })}
              columns=${[...requestsOf(total, (row) => row.requests), ...NUMBERS]} />
    <${Group} ...${all} name="error" title="By last error" head="Error" rows=${stats.by_error_class} narrow
              label=${(row) => (row.error_class === null ? 'no error' : errorLabel(row.error_class))}
              its=${(row) => ({ error_class: row.error_class ?? NONE })}
              columns=${requestsOf(errors, (row) => row.count)} />`;
}

// Sorted as the address says: ?provider_sort=-cost_usd, most requests first otherwise.
function Group({ name, title, head, rows, label, aside = () => null, its, columns, narrow = false, note = '', to, query, stay }) {
  const member = `${name}_sort`;
  const sort = query[member] || '-requests';
  const [by, down] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
  const sorted = sortRows(rows, columns.find((one) => one.name === by)?.value ?? label, down);
  const turn = (one) => {
    const next = one === by ? !down : one !== 'name';
    const value = `${next ? '-' : ''}${one}`;
    stay({ [member]: value === '-requests' ? '' : value });
  };
  const heading = (one, text, look = 'right') => html`
    <th key=${one} scope="col" class=${look} aria-sort=${one === by ? (down ? 'descending' : 'ascending') : null}>
      <button type="button" onClick=${() => turn(one)}>
        ${text}<span class="sort-mark" aria-hidden="true">${one === by ? (down ? '↓' : '↑') : ''}</span>
      </button>
    </th>`;

  return html`
    <section class=${narrow ? 'narrow' : ''}>
      <h2>${title}</h2>
      ${note && html`<p class="quiet">${note}</p>`}
      ${rows.length === 0
        ? html`<p class="quiet">None in this range.</p>`
        : html`
          <div class="figures-frame" tabindex="0" role="region" aria-label="${title}, table">
            <table class="figures">
              <caption class="unseen">${title}: requests, errors, durations, tokens and cost</caption>
              <thead>
                <tr>
                  ${heading('name', head, '')}
                  ${columns.map((one) => heading(one.name, one.label))}
                </tr>
              </thead>
              <tbody>
                ${sorted.map((row) => html`
                  <tr key=${JSON.stringify([row.provider, row.model, row.error_class])}>
                    <th scope="row">${label(row)} <span class="quiet">${aside(row)}</span></th>
                    ${columns.map((one) => html`
                      <td key=${one.name} class="right number">
                        <${Cell} column=${one} row=${row} its=${its(row)} to=${to} />
                      </td>`)}
                  </tr>`)}
              </tbody>
            </table>
          </div>`}
    </section>`;
}

// What is unknown comes last, whichever the direction.
function sortRows(rows, value, down) {
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === 'string' ? a.localeCompare(b) : a - b;
    return down ? -order : order;
  });
}

function Cell({ column: { text, share, only, doubt }, row, its, to }) {
  const shown = text(row);
  const named = [row.provider, row.model, row.error_class].every(hasAddress);
  const narrowed = only && named && shown !== '0' ? only(row) : null;
  const href = narrowed ? to({ ...its, ...narrowed }) : null;

  if (share) {
    return html`
      <span class="share">
        <span class="share-whole"><span style=${{ width: `${share(row) * 100}%` }}></span></span>${shown}
      </span>`;
  }
  return html`
    ${href ? html`<${Linked} href=${href} text=${shown} />` : shown}
    ${doubt?.(row) && html`
      <span class="uncertain" title=${DOUBT}><span aria-hidden="true">?</span><span class="unseen"> uncertain</span></span>`}`;
}

// ---- nothing to show ------------------------------------------------------------------------

// No trace at all, none of this provider or model, or none in the range: then where there are some.
function Nothing({ filters, zone, show, refresh }) {
  const filtered = Boolean(filters.provider || filters.model);
  const query = { view: 'summary', limit: 1, count: 'exact', ...filters };
  const { data } = useResource(path.traces(query), ({ traces }) => (traces.length === 0 ? FIRST_MS : null));
  const newest = data?.traces[0]?.created_at; // not the total says whether there is one: it is counted later
  const known = useRef(null);

  // The first trace came while we waited for it.
  useEffect(() => {
    if (known.current === 0 && newest) refresh();
    known.current = data?.traces.length ?? known.current;
  }, [data]);

  if (!data) return html`<div class="empty monitor-empty"></div>`;
  if (!newest && filtered) {
    return html`
      <${Empty} title="No trace matches these filters">
        <${Button} onClick=${() => show(NO_FILTER)}>Clear filters<//>
      <//>`;
  }
  if (!newest) {
    return html`
      <${Empty} title="No traces yet">
        <p>Every generated lesson leaves one. <a href="/">Generate a lesson</a>; it shows up here by itself.</p>
      <//>`;
  }
  const range = rangeBackTo(Date.parse(newest), now());
  const around = timesQuery(Date.parse(newest) - DAY_MS, Date.parse(newest) + 1000);

  return html`
    <${Empty} title="No traces in this range">
      <p>
        There ${data.total === 1 ? 'is' : 'are'} ${plural(data.total, 'trace')}${filtered && ' of these filters'}
        ${' '}at other times, the newest on <b>${zone.full.format(Date.parse(newest))}</b>,
        ${' '}${relative(newest, now())}.
      </p>
      <${Button} onClick=${() => show(range ? rangeQuery(range.value) : around)}>
        Show ${range ? range.words : 'the 24 h until then'}
      <//>
    <//>`;
}

mount('Monitor', Monitor);
