// What the address says. Its query is the state of a list: back and forward restore it, a link
// shares it.

import { useEffect, useRef, useState } from './preact.js';

// Gives {query, trail, go, replace}. go({status: 'failed'}) goes to the page with that member set; empty
// removes it. replace() only tries an address out, as while something is typed: the next go() sets off from
// where it was before, and one to what was tried leaves the reader in the place they are at. `trail`, kept in
// the history entry and not in the address, is how we came: the cursors of the newer pages; null on an address
// that was followed from elsewhere.
export function useQuery() {
  const [, changed] = useState({});
  const tried = useRef(null); // {state, address} of before it was tried

  useEffect(() => {
    const onPop = () => {
      tried.current = null;
      changed({});
    };

    addEventListener('popstate', onPop);
    return () => removeEventListener('popstate', onPop);
  }, []);

  const go = (change, trail = []) => {
    const address = addressWith(change);
    const isShown = tried.current !== null && address === here();

    if (tried.current) history.replaceState(tried.current.state, '', tried.current.address);
    tried.current = null;
    if (address !== here()) history.pushState({ trail, ...(isShown && { scroll: scrollY }) }, '', address);
    if (!isShown) scrollTo(0, 0);
    changed({});
  };
  const replace = (change) => {
    tried.current ??= { state: history.state, address: here() };
    history.replaceState({ trail: [] }, '', addressWith(change));
    changed({});
  };

  return { query: queryOf(location), trail: history.state?.trail ?? null, go, replace };
}

const here = () => location.pathname + location.search;

export const queryOf = ({ search }) => Object.fromEntries(new URLSearchParams(search));

function addressWith(change) {
  const params = new URLSearchParams(location.search);

  for (const [name, value] of Object.entries(change)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const query = params.toString();
  return location.pathname + (query ? `?${query}` : '');
}

// "/lessons/{id}" → the id.
export const idInPath = () => decodeURIComponent(location.pathname.split('/').at(-1));
