// What a running generation is doing right now, in one line.

import { path } from './api.js';
import { Elapsed } from './parts.js';
import { html } from './preact.js';
import { useResource } from './resource.js';
import { progressText } from './story.js';

const POLL_MS = 1000;

export function Progress({ lesson }) {
  const { data } = useResource(path.traces({ lesson_id: lesson.id, limit: 1 }), () => POLL_MS);
  const trace = data?.traces[0];
  const since = trace?.status === 'started' ? trace.created_at : lesson.updated_at;

  return html`<span class="progress"><${Elapsed} since=${since} /> · ${progressText(trace)}</span>`;
}
