// Single keys that do something, and the dialog that lists them. A view says what its keys are:
//
//   useKeys([{ key: 'r', words: 'Refresh', act: reload }]);
//
// `key` is what the browser calls it; an entry without `act` is only listed: the browser, or a control that
// has the focus, does it. act(event) that returns false leaves the key to the browser. Nothing happens while
// text is being entered, with Ctrl, Alt or Meta, or while a dialog is open. Keys that write a sign can be switched
// off in the dialog, for whoever dictates or often hits a key unmeant (WCAG 2.1.4); the browser remembers it.

import { Dialog } from './dialogs.js';
import { Button } from './parts.js';
import { Fragment, html, useLayoutEffect, useRef, useState } from './preact.js';
import { keep, kept } from './store.js';

const KEY = 'single-keys';

let areOn = kept(KEY, true);

const onSwitch = new Set(); // who draws what depends on `areOn`
const onTables = new Set(); // who draws what the keys are

const tell = (listeners) => listeners.forEach((listener) => listener({}));

// Layout effects, all of them: a key may come before the next picture.
function useTold(listeners) {
  const [, changed] = useState({});

  useLayoutEffect(() => {
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
}

// Gives keyHint(key): how to name a key beside what it does, null while it does nothing.
export function useKeyHint() {
  useTold(onSwitch);
  return (key) => (areOn ? key : null);
}

const tables = new Set(); // refs: a view's table is new each time it is drawn

export function useKeys(table) {
  const current = useRef(table);

  current.current = table;
  useLayoutEffect(() => {
    tables.add(current);
    tell(onTables);
    return () => {
      tables.delete(current);
      tell(onTables);
    };
  }, []);
}

const entries = () => [...tables].flatMap(({ current }) => current);

addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (takesText(event.target) || document.querySelector('dialog[open]')) return;
  if (event.key.length === 1 && !areOn) return;
  const entry = entries().find(({ key, act }) => key === event.key && act);
  if (entry && entry.act(event) !== false) event.preventDefault();
});

// withHint('Refresh', 'r') → "Refresh: r"
export const withHint = (words, hint) => (hint ? `${words}: ${hint}` : words);

const NO_TEXT = ['button', 'checkbox', 'radio', 'reset', 'submit'];

function takesText(element) {
  if (element.matches?.('input')) return !NO_TEXT.includes(element.type);
  return element.matches?.('textarea, select') || element.isContentEditable;
}

// "?" and its button.
export function KeysHelp() {
  const [open, setOpen] = useState(false);
  const hint = useKeyHint();

  useKeys([{ key: '?', words: 'This list', act: () => setOpen(true) }]);

  return html`
    <${Fragment}>
      <${Button} look="quiet tight keys-button" label="Keyboard" title=${withHint('Keyboard', hint('?'))} aria-haspopup="dialog"
                 onClick=${() => setOpen(true)}>?<//>
      ${open && html`
        <${Dialog} title="Keyboard" onClose=${() => setOpen(false)}>
          <${Switch} />
          <${Table} />
          <div class="actions"><${Button} onClick=${() => setOpen(false)}>Close<//></div>
        <//>`}
    <//>`;
}

// Of all that is on the page, also of what comes while it is open.
function Table() {
  useTold(onSwitch);
  useTold(onTables);

  return html`
    <dl class="keys">
      ${entries().filter(({ key }) => key.length > 1 || areOn).map(({ key, words }) => html`
        <div key=${key}><dt><kbd>${NAMES[key] ?? key}</kbd></dt><dd>${words}</dd></div>`)}
    </dl>`;
}

function Switch() {
  const [on, setOn] = useState(areOn);
  const onChange = ({ currentTarget: { checked } }) => {
    areOn = checked;
    setOn(checked);
    keep(KEY, checked);
    tell(onSwitch);
  };

  return html`
    <label class="check"><input type="checkbox" checked=${on} onChange=${onChange} />Single-key shortcuts</label>`;
}

const NAMES = { Escape: 'Esc' };
