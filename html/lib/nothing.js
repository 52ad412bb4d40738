// What a list of traces says when it has no rows: an empty result is not the same as no data.

import { path } from './api.js';
import { useNow } from './clock.js';
import { NO_FILTER, NO_TIME, rangeOf, withoutTime } from './filters.js';
import { count, plural, relative } from './format.js';
import { Button, CopyButton, Empty, Loading } from './parts.js';
import { html } from './preact.js';
import { useResource } from './resource.js';

// `filters` as for the API. Where there may be a time, it is left out first: what is looked for may just be older.
export function NoRows({ query, filters, go }) {
  if (query.cursor) {
    return html`
      <${Empty} title="Nothing older here">
        <${Button} onClick=${() => go({ cursor: '', from: query.range ? '' : query.from })}>Newest traces<//>
      <//>`;
  }
  if (Object.keys(filters).length === 0) return html`<${FirstRun} />`;
  if (filters.from || filters.to) return html`<${NoneThen} query=${query} filters=${filters} go=${go} />`;
  return html`<${NoMatch} go=${go} />`;
}

const newest = (filters) => path.traces({ view: 'summary', limit: 1, count: 'exact', ...filters });

function NoneThen({ query, filters, go }) {
  const now = useNow(60_000);
  const { data } = useResource(newest(withoutTime(filters)));

  if (data === null) return html`<${Loading} what="what there is at other times" />`;
  if (data.total === 0) return html`<${NoMatch} go=${go} />`;
  const range = rangeOf(query);
  const where = range ? `None in ${range.words}` : 'None in this time';
  const kind = range || !filters.from ? 'older' : 'at other times';

  return html`
    <${Empty} title="${where} – ${count(data.total)} ${kind}, the newest ${relative(data.traces[0]?.created_at, now)}.">
      <${Button} onClick=${() => go(NO_TIME)}>Show all<//>
    <//>`;
}

function NoMatch({ go }) {
  const { data } = useResource(newest({}));

  if (data?.total === 0) return html`<${FirstRun} />`;
  return html`
    <${Empty} title="No trace matches these filters">
      ${data && html`<p>Without them there ${data.total === 1 ? 'is' : 'are'} ${plural(data.total, 'trace')}.</p>`}
      <${Button} onClick=${() => go(NO_FILTER)}>Clear filters<//>
    <//>`;
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
