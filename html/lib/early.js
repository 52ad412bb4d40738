// The first thing that "/traces" does: it asks for its list while the rest of the page is still on its way.

import { askAhead } from './api.js';
import { now } from './clock.js';
import { listPath } from './filters.js';
import { queryOf } from './url.js';

askAhead(listPath(queryOf(location), now()));
