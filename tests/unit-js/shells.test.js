// The pages' shells are written by hand, one for each view: they differ in what is a view's own, and in nothing else.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';

const HTML = join(import.meta.dirname, '..', '..', 'html');
const SHELLS = readdirSync(HTML).filter((name) => name.endsWith('.html'));
const OWN = [
  /<title>[A-Z]\w+ · lesson-tracer<\/title>/,
  /<link rel="modulepreload" href="[^"]+">\s*/g,
  /<link rel="stylesheet" href="\/vendor\/[\w-]+\.css">\s*/g,
  /<script type="module" (async )?src="[^"]+"><\/script>\s*/g,
  /…\/api\/[\w/]+/,
];

const read = (name) => readFileSync(join(HTML, name), 'utf8');
const shared = (name) => OWN.reduce((text, own) => text.replace(own, ''), read(name));
const named = (name, pattern) => [...read(name).matchAll(pattern)].map(([, path]) => path);

// All modules that one brings along, itself among them.
function modulesOf(file, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*['"](\.[^'"]+)['"]/g))
    modulesOf(resolve(dirname(file), path), seen);
  return seen;
}

for (const name of SHELLS) {
  test(`${name} is like the others`, () => assert.equal(shared(name), shared(SHELLS[0])));

  test(`${name} asks ahead for nothing that its view does not use, and once`, () => {
    const views = named(name, /<script type="module" (?:async )?src="([^"]+)">/g);
    const used = new Set(views.flatMap((view) => [...modulesOf(join(HTML, view))]));
    const ahead = named(name, /<link rel="modulepreload" href="([^"]+)">/g);

    assert.equal(views.length, name === 'traces.html' ? 2 : 1);
    assert.equal(new Set(ahead).size, ahead.length);
    assert.deepEqual(ahead.filter((path) => !used.has(join(HTML, path))), []);
  });
}
