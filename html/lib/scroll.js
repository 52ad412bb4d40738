// Where the reader was in a list that is loaded by script: the browser restores that before the rows are
// there. It is kept in the history entry, so each step back has its own.

import { useEffect, useLayoutEffect, useRef } from './preact.js';

const SETTLED_MS = 100;

// `ready`: what the address names is drawn.
export function useScroll(ready) {
  const wanted = useRef(null);

  useEffect(() => {
    let timer = null;
    const save = () => {
      clearTimeout(timer);
      timer = null;
      if (history.state?.scroll !== scrollY) history.replaceState({ ...history.state, scroll: scrollY }, '');
    };
    const onScroll = () => {
      if (wanted.current === null) timer ??= setTimeout(save, SETTLED_MS);
    };
    const onLeave = () => timer && save(); // a click may lead away before the timer
    const onPop = () => {
      clearTimeout(timer);
      timer = null;
      wanted.current = history.state?.scroll ?? 0;
    };

    history.scrollRestoration = 'manual';
    wanted.current = history.state?.scroll ?? null;
    addEventListener('scroll', onScroll, { passive: true });
    addEventListener('click', onLeave, true);
    addEventListener('keydown', onLeave, true);
    addEventListener('popstate', onPop, true);
    return () => {
      removeEventListener('scroll', onScroll);
      removeEventListener('click', onLeave, true);
      removeEventListener('keydown', onLeave, true);
      removeEventListener('popstate', onPop, true);
    };
  }, []);

  useLayoutEffect(() => {
    if (!ready || wanted.current === null) return;
    scrollTo(0, wanted.current);
    wanted.current = null;
  });
}
