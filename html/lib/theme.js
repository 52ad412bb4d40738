// Light, dark, or as the system has it. The colours themselves are in style.css (light-dark()).

import { icon } from './icons.js';
import { useKeys } from './keys.js';
import { html, useState } from './preact.js';
import { keep, kept } from './store.js';

const THEMES = [
  { name: 'light', label: 'Light theme', icon: 'sun' },
  { name: 'system', label: 'Theme of the system', icon: 'screen' },
  { name: 'dark', label: 'Dark theme', icon: 'moon' },
];

export function ThemeSwitch() {
  const [theme, setTheme] = useState(() => kept('theme', 'system'));

  const choose = (name) => {
    if (name === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    keep('theme', name === 'system' ? null : name);
    setTheme(name);
  };
  const other = () => {
    const dark = theme === 'system' ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
    choose(dark ? 'light' : 'dark');
  };

  useKeys([{ key: 't', words: 'Light or dark theme', act: other }]);

  return html`
    <div class="switch" role="group" aria-label="Theme">
      ${THEMES.map((one) => html`
        <button key=${one.name} type="button" title=${one.label} aria-label=${one.label}
                aria-pressed=${String(theme === one.name)} onClick=${() => choose(one.name)}>
          ${icon(one.icon)}
        </button>`)}
    </div>`;
}
