// What axe finds hard to use: nothing, on any page, in both themes, on a telephone and on a desk, with data and
// without. To have another page judged: a line in PAGES.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import axe from 'axe-core';

import { startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'];
const WIDTHS = [360, 1280];
const NOBODYS = '00000000-0000-4000-8000-000000000000';

// `at` gives the address from the ids there are (for a reader without data: ids of nobody's); `shown` is what
// stands there when it is drawn; `then`, on the page with data only, opens what is not open by itself.
const PAGES = [
  { name: 'lessons', at: () => '/', shown: '.lesson-rows tbody tr, .empty' },
  { name: 'lesson', at: ({ lesson }) => `/lessons/${lesson}`, shown: '.prose > *, .empty' },
  { name: 'lesson_that_failed', at: ({ failed }) => `/lessons/${failed}`, shown: '.note, .empty' },
  { name: 'lesson_under_way', at: ({ running }) => `/lessons/${running}`, shown: '.progress, .empty' },
  {
    name: 'lesson_to_generate_again',
    at: ({ lesson }) => `/lessons/${lesson}`,
    shown: '.prose > *, .empty',
    then: (page) => page.getByRole('button', { name: 'Generate again' }).click(),
  },
  { name: 'traces', at: () => '/traces', shown: '.trace-rows tbody tr, .empty' },
  { name: 'traces_filtered', at: () => '/traces?status=failed', shown: '.trace-rows tbody tr, .empty' },
  { name: 'trace', at: ({ trace }) => `/traces/${trace}`, shown: '.story > *, .empty' },
  { name: 'trace_that_failed', at: ({ failedTrace }) => `/traces/${failedTrace}`, shown: '.story > *, .empty' },
  {
    name: 'traces_compared',
    at: ({ trace, failedTrace }) => `/traces/compare?a=${trace}&b=${failedTrace}`,
    shown: '.compare-table tbody tr, .empty',
  },
  { name: 'no_page', at: () => '/nothing', shown: '.empty' },
  { name: 'monitor', at: () => '/monitor', shown: '.plot canvas, .empty' },
];

let stack, browser;
const ids = {};
const nobodys = { lesson: NOBODYS, failed: NOBODYS, running: NOBODYS, trace: NOBODYS, failedTrace: NOBODYS };

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  ids.lesson = await generated('sample', 'generated');
  ids.failed = await generated('fail-401', 'error');
  ids.running = await generated('slow-300000', 'generating');
  ids.trace = await traceOf(ids.lesson);
  ids.failedTrace = await traceOf(ids.failed);
  await stack.psql(`
    UPDATE lessons
       SET content = content || E'\\n\\n| a | b |\\n|---|--:|\\n| 1 | 2 |\\n\\n    code\\n\\n> said\\n\\n[link](https://a.example)'
     WHERE id = '${ids.lesson}'`);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

async function ask(path, options) {
  return (await stack.fetch(path, { as: 'admin', ...options })).json();
}

// A lesson that came to that status.
async function generated(model, status) {
  const { lesson } = await ask('/api/lessons', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ outline: `Tides (${model})`, provider: 'sample', model }),
  });
  for (;;) {
    const now = (await ask(`/api/lessons/${lesson.id}`)).lesson.status;
    if (now === status) return lesson.id;
    assert.equal(now, 'generating', model);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const traceOf = async (lesson) => (await ask(`/api/traces?lesson_id=${lesson}`)).traces[0].id;

// As "rule: element (why)", so that a failure can be acted on.
async function violations(page) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: tags, resultTypes: ['violations'] }),
    TAGS,
  );
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} (${failureSummary})`),
  );
}

for (const { name, at, shown, then } of PAGES) {
  for (const [as, kind, known] of [['admin', 'with_data', ids], ['user', 'without_data', nobodys]]) {
    if (then && as === 'user') continue;
    test(`${name}_${kind}_has_no_violation`, async () => {
      const page = await browser.page({ as, expect: [404] });

      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        for (const colorScheme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme });
          await page.goto(at(known));
          await page.locator(shown).first().waitFor();
          await then?.(page);
          assert.deepEqual(await violations(page), [], `${colorScheme} at ${width}`);
        }
      }
      await page.context().close();
    });
  }
}

test('the_judge_sees_what_is_wrong', async () => {
  const page = await browser.page();

  await page.goto('/');
  await page.locator('.lesson-rows').waitFor();
  await page.evaluate(() => {
    const text = document.createElement('p');
    text.textContent = 'hardly to be seen';
    document.querySelector('main').append(text, document.createElement('button'));
    text.style.color = '#bbb';
    text.style.background = '#ccc';
  });
  assert.deepEqual((await violations(page)).map((one) => one.split(':')[0]).sort(), ['button-name', 'color-contrast']);
});
