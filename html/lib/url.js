// What the address says. Its query is the state of a list: back and forward restore it, a link
// shares it.

import { useEffect, useState } from './preact.js';

// Gives {query, trail, go}. go({status: 'failed'}) goes to the page with that member set; empty
// removes it. `trail`, kept in the history entry and not in the address, is how we came: the cursors
// of the newer pages; null on an address that was followed from elsewhere.
export function useQuery() {
  const [, changed] = useState({});

  useEffect(() => {
    const onPop = () => changed({});

    addEventListener('popstate', onPop);
    return () => removeEventListener('popstate', onPop);
  }, []);

  const go = (change, trail = []) => {
    history.pushState({ trail }, '', addressWith(change));
    scrollTo(0, 0);
    changed({});
  };

  return {
    query: Object.fromEntries(new URLSearchParams(location.search)),
    trail: history.state?.trail ?? null,
    go,
  };
}

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
