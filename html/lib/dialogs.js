// Dialogs: the frame, the one that asks before something is lost, and what it says of lessons
// and traces. A view shows a dialog by drawing it, and ends it by no longer drawing it.

import { deleteLesson, deleteTrace, regenerateLesson } from './api.js';
import { ProviderChoice } from './choice.js';
import { plural, traceName } from './format.js';
import { Button, Refusal } from './parts.js';
import { html, useEffect, useId, useLayoutEffect, useRef, useState } from './preact.js';
import { held, hold } from './store.js';

// Modal while it is drawn. Escape or a click beside it calls onClose; focus goes back where it was.
export function Dialog({ title, onClose, children }) {
  const element = useRef(null);
  const id = useId();

  // A layout effect: one that waits for the next picture would give the focus back after the next key.
  useLayoutEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close(); // while it is modal, nothing beside it takes the focus
      if (before?.isConnected) before.focus();
    };
  }, []);

  const onCancel = (event) => {
    event.preventDefault();
    onClose();
  };
  // A second Escape closes it whatever onCancel says; it is here as long as it is drawn.
  const onClosed = () => {
    if (!element.current?.isConnected || element.current.open) return;
    element.current.showModal();
    onClose();
  };
  const onClick = (event) => event.target === element.current && onClose();

  return html`
    <dialog ref=${element} aria-labelledby=${id} onCancel=${onCancel} onClose=${onClosed} onClick=${onClick}>
      <div class="dialog-body">
        <h2 id=${id}>${title}</h2>
        ${children}
      </div>
    </dialog>`;
}

// A dialog whose form does something that may fail: `act` (async) is called once at a time; when it
// fails the dialog stays and says why. `stay` is the button that does nothing.
export function ActionDialog({
  title, action, look, icon, act, onClose, stay = 'Cancel', allowed = true, children,
}) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);

  const submit = async (event) => {
    event.preventDefault();
    if (busy || !allowed) return;
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };

  return html`
    <${Dialog} title=${title} onClose=${() => !busy && onClose()}>
      <form class="dialog-form" onSubmit=${submit}>
        ${children}
        ${error && html`<${Refusal} error=${error} />`}
        <div class="actions">
          <${Button} disabled=${busy} onClick=${onClose}>${stay}<//>
          <${Button} type="submit" look=${look} icon=${icon} busy=${busy} disabled=${busy || !allowed}>
            ${action}
          <//>
        </div>
      </form>
    <//>`;
}

// Asks before something is lost. With `word` the action stays locked until that is typed; `ready`
// false locks it too.
export function ConfirmDialog({ word = null, ready = true, children, ...rest }) {
  const [typed, setTyped] = useState('');
  const input = useRef(null);
  const id = useId();
  const allowed = ready && (word === null || typed.trim() === word);

  useEffect(() => {
    if (ready) input.current?.focus();
  }, [ready]);

  return html`
    <${ActionDialog} look="danger" icon="trash" allowed=${allowed} ...${rest}>
      ${children}
      ${word !== null && html`
        <div class="field">
          <label for=${id}>Type <code>${word}</code> to confirm</label>
          <input id=${id} ref=${input} type="text" autocomplete="off" autocapitalize="off"
                 spellcheck="false" disabled=${!ready} value=${typed}
                 onInput=${(event) => setTyped(event.currentTarget.value)} />
        </div>`}
    <//>`;
}

// Of a lesson that is being generated it says that this cancels it. onDeleted gets what to say: somebody else may
// have been faster.
export function DeleteLessonDialog({ lesson, onDeleted, onClose }) {
  const running = lesson.status === 'generating';
  const act = async () => {
    const gone = await removeLesson(lesson.id);
    if (gone) onDeleted('The lesson was already gone');
    else onDeleted(running ? 'Cancelled, and the lesson deleted' : 'Lesson deleted, its traces with it');
  };
  const words = running
    ? { title: 'Cancel this generation?', action: 'Cancel and delete', stay: 'Go on generating' }
    : { title: 'Delete this lesson?', action: 'Delete lesson' };

  return html`
    <${ConfirmDialog} ...${words} act=${act} onClose=${onClose}>
      <p class="dialog-subject">${lesson.title}</p>
      <p>
        ${running && 'The generation stops and the lesson is deleted. '}
        ${tracesText(lesson.trace_ids?.length)} with it. This cannot be undone.
      </p>
    <//>`;
}

// The same outline and options once more; what was chosen is held, should it be closed before it was done.
// onDone gets the lesson.
export function RegenerateDialog({ lesson, onDone, onClose }) {
  const key = `again.${lesson.id}`;
  const [choice, setChoice] = useState(() => held(key, { provider: '', model: '' }));
  const before = [lesson.options.provider, lesson.options.model].filter(Boolean).join(' ');

  const change = (part) => {
    const next = { ...choice, ...part };
    setChoice(next);
    hold(key, next);
  };

  const act = async () => {
    const chosen = Object.entries(choice).filter(([, value]) => value.trim() !== '');
    const { data } = await regenerateLesson(lesson.id, Object.fromEntries(chosen));
    hold(key, null);
    onDone(data.lesson);
  };

  return html`
    <${ActionDialog} title="Generate this lesson again?" action="Generate again" look="primary"
                     act=${act} onClose=${onClose}>
      <p class="dialog-subject">${lesson.title}</p>
      <p>The same outline and options make a new text and a new trace. The earlier traces stay.</p>
      <div class="field-grid">
        <${ProviderChoice} ...${choice} otherwise=${before ? `as before: ${before}` : 'automatic'}
                           onChange=${change} />
      </div>
    <//>`;
}

// A row of the list does not know how many there are.
function tracesText(n) {
  if (n === undefined) return 'Its traces go';
  return n === 1 ? 'Its trace goes' : `Its ${plural(n, 'trace')} go`;
}

export function DeleteTraceDialog({ trace, onDeleted, onClose }) {
  const running = trace.status === 'started';
  const act = async () => {
    const gone = await goneAlready(() => deleteTrace(trace.id));
    onDeleted(gone ? 'The trace was already gone' : 'Trace deleted');
  };

  return html`
    <${ConfirmDialog} title="Delete this trace?" action="Delete trace" act=${act} onClose=${onClose}>
      <p class="dialog-subject">${traceName(trace)}</p>
      <p>
        ${running ? 'It is still running: the lesson goes on, this record of it goes.' : 'Its lesson stays.'}
        ${' '}This cannot be undone.
      </p>
    <//>`;
}

// True if there was none left to delete.
export const removeLesson = (id) => goneAlready(() => deleteLesson(id));

async function goneAlready(remove) {
  try {
    await remove();
    return false;
  } catch (error) {
    if (error.status === 404) return true;
    throw error;
  }
}
