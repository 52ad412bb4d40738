// Choosing who writes a lesson: the providers as the service has them, and a model.

import { path } from './api.js';
import { describedBy, Field } from './parts.js';
import { Fragment, html, useId } from './preact.js';
import { useResource } from './resource.js';
import { SAMPLE_FAULTS } from './words.js';

const REFRESH_MS = 30_000;

// null until they are known.
export function useProviders() {
  return useResource(path.providers(), () => REFRESH_MS).data?.providers ?? null;
}

// `otherwise` is what no choice means; `errors` may hold {provider, model}; onChange gets
// {provider, model} or {model}: another provider has other models.
export function ProviderChoice({ provider, model, otherwise = 'automatic', errors = {}, onChange }) {
  const list = useProviders() ?? [];
  const id = useId();
  const chosen = list.find(({ name }) => name === provider);
  const first = chosen ?? list.find(({ configured }) => configured);
  const faults = first?.name === 'sample' ? SAMPLE_FAULTS : [];

  return html`
    <${Fragment}>
      <${Field} id="${id}-provider" label="Provider" error=${errors.provider}>
        <select id="${id}-provider" name="provider" value=${provider}
                aria-invalid=${Boolean(errors.provider)}
                aria-describedby=${describedBy(`${id}-provider`, { error: errors.provider })}
                onChange=${(event) => onChange({ provider: event.currentTarget.value, model: '' })}>
          <option value="">${otherwise}</option>
          ${provider && !chosen && html`<option value=${provider}>${provider}</option>`}
          ${list.map((one) => html`
            <option key=${one.name} value=${one.name} disabled=${!one.configured}>
              ${providerLabel(one)}
            </option>`)}
        </select>
      <//>
      <${Field} id="${id}-model" label="Model" error=${errors.model}>
        <input id="${id}-model" name="model" type="text" list="${id}-models" value=${model}
               placeholder=${first?.model ?? 'its default'}
               autocomplete="off" autocapitalize="off" spellcheck="false"
               aria-invalid=${Boolean(errors.model)}
               aria-describedby=${describedBy(`${id}-model`, { error: errors.model })}
               onInput=${(event) => onChange({ model: event.currentTarget.value })} />
        <datalist id="${id}-models">
          ${faults.map((name) => html`<option key=${name} value=${name} />`)}
        </datalist>
      <//>
    <//>`;
}

function providerLabel({ name, model, configured, state }) {
  if (!configured) return `${name} (not configured)`;
  return `${name}${model ? ` · ${model}` : ''}${state === 'open' ? ' (cooling down)' : ''}`;
}
