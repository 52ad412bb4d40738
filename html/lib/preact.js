// Preact, its hooks and htm under one roof. Views and parts import from here, so that a
// change of a library touches one file.

import { h, render, Fragment } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export {
  useCallback,
  useEffect,
  useErrorBoundary,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from '../vendor/hooks.js';

export const html = htm.bind(h);
export { Fragment, render };
