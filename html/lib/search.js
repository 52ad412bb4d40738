// The field that looks for a text in a list. The list follows the typing; Enter, or leaving the field, makes it
// a step in the history.

import { useKeyHint, useKeys } from './keys.js';
import { html, useEffect, useId, useRef, useState } from './preact.js';

const TYPING_MS = 250;

// `value` is what the address says; onTry while typing, onCommit when done. `hint` is shown below, if there is one.
export function Search({ label, value, hint, onTry, onCommit }) {
  const [text, setText] = useState(value);
  const input = useRef(null);
  const told = useRef(value); // what of the typing is in the address
  const timer = useRef(null);
  const typing = useRef(false); // there is something to commit
  const id = useId();
  const key = useKeyHint()('/');

  useKeys([{ key: '/', words: 'Search', act: () => input.current.select() || input.current.focus() }]);

  useEffect(() => {
    if (value !== told.current) setText(value); // not from here: a step back, a chip that was removed
    told.current = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const tell = (how, words) => {
    clearTimeout(timer.current);
    told.current = words.trim();
    how(words.trim());
  };
  const onInput = ({ currentTarget }) => {
    setText(currentTarget.value);
    typing.current = true;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => tell(onTry, currentTarget.value), TYPING_MS);
  };
  const commit = () => {
    if (typing.current) tell(onCommit, text);
    typing.current = false;
  };
  const onKeyDown = (event) => {
    if (event.isComposing) return; // the key is about the word that an input method offers
    if (event.key === 'Enter') commit();
    if (event.key !== 'Escape') return;
    event.preventDefault();
    if (text === '') input.current.blur();
    else clear();
  };
  const clear = () => {
    setText('');
    typing.current = false;
    tell(onCommit, '');
  };

  return html`
    <div class="search" role="search">
      <input type="search" ref=${input} value=${text} placeholder=${key ? `${label}  ${key}` : label} aria-label=${label}
             aria-describedby=${hint ? id : null} aria-keyshortcuts=${key} autocomplete="off" spellcheck="false"
             maxlength="200" onInput=${onInput} onKeyDown=${onKeyDown} onBlur=${commit} />
      ${hint && html`<p id=${id} class="search-hint">${hint}</p>`}
    </div>`;
}
