// Text that would like to be a script. It is stored as it is, shown as it is, and never runs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { generate, openBrowser, rowOf } from './browser.js';

const HOSTILE = [
  '<script>window.pwned = 1</script>',
  '<img src=x onerror="window.pwned = 1">',
  '"><svg onload=window.pwned=1>',
  '</textarea></pre></title><script>window.pwned = 1</script>',
  '[click me](javascript:window.pwned=1)',
  '[click me]( java\tscript:window.pwned=1 "title")',
  '[click me](&#106;avascript:window.pwned=1)',
  '[data](data:text/html,<script>window.pwned=1</script>)',
  '<javascript:window.pwned=1>',
  '![picture](https://evil.example/pixel.png)',
  '![picture](javascript:window.pwned=1)',
  '![x](https://evil.example/"onerror="window.pwned=1)',
  '[ref]: javascript:window.pwned=1\n[ref]',
  '`<b onmouseover="window.pwned=1">`',
  '| a |\n|:-:|\n| <iframe src="javascript:window.pwned=1"></iframe> |',
  '${window.pwned = 1} {{constructor.constructor("window.pwned = 1")()}}',
  '<style>*{display:none}</style><form action="https://evil.example"><button>go</button></form>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=1&gt;">',
];

let stack, browser, page;

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

// Nothing on the page that could run, leave or load from elsewhere.
async function assertHarmless(where) {
  const found = await page.evaluate(() => ({
    pwned: window.pwned,
    elements: [
      ...document.querySelectorAll(
        '#page :is(script, style, iframe, object, embed, form:not([class]), img, math, base, link, meta)',
      ),
    ].map((element) => element.outerHTML),
    handlers: [...document.querySelectorAll('#page *')].flatMap((element) =>
      [...element.attributes].filter(({ name }) => name.startsWith('on')).map(({ name }) => name),
    ),
    links: [...document.querySelectorAll('#page a[href]')]
      .map((a) => a.protocol)
      .filter((protocol) => !['http:', 'https:', 'mailto:'].includes(protocol)),
    styles: [...document.querySelectorAll('.prose [style]')].length,
  }));

  assert.deepEqual(
    found,
    { elements: [], handlers: [], links: [], styles: 0, pwned: undefined },
    where,
  );
  assert.deepEqual(page.faults, [], where);
}

async function openEverything() {
  await page.evaluate(() =>
    document.querySelectorAll('details').forEach((one) => {
      one.open = true;
    }),
  );
}

test('a_hostile_outline_never_runs', async () => {
  for (const text of HOSTILE) {
    const id = await generate(page, text);
    await rowOf(page, id).getByText('generated', { exact: true }).waitFor();
    await assertHarmless(`list with ${text}`);

    await page.goto(`/lessons/${id}`);
    await page.locator('.prose').waitFor();
    await openEverything();
    assert.ok(
      (await page.locator('.outline pre').innerText()).includes(text.trim().split('\n')[0]),
      'the outline is shown as it was written',
    );
    await assertHarmless(`lesson of ${text}`);
  }
  await page.goto('/traces');
  await page
    .locator('tbody tr')
    .nth(HOSTILE.length - 1)
    .waitFor();
  await assertHarmless('list of traces');
});

test('a_hostile_answer_never_runs', async () => {
  const id = await generate(page, 'An answer that is not what it seems');
  await rowOf(page, id).getByText('generated', { exact: true }).waitFor();
  const answer = HOSTILE.join('\n\n');
  await stack.psql(`
    UPDATE lessons SET content = $text$# Hostile\n\n${answer}$text$ WHERE id = '${id}';
    UPDATE lesson_traces
       SET llm_calls = jsonb_set(llm_calls, '{0,response,content}', to_jsonb($text$${answer}$text$::text))
     WHERE lesson_id = '${id}'`);

  await page.goto(`/lessons/${id}`);
  await page.locator('.prose a').first().waitFor();
  await assertHarmless('lesson');
  const links = await page
    .locator('.prose a')
    .evaluateAll((all) => all.map(({ rel, target }) => `${rel} ${target}`));
  assert.ok(
    links.every((one) => one === 'noopener noreferrer _blank'),
    'links lead out without telling whence',
  );
  assert.equal(
    await page.locator('.prose a.picture').first().innerText(),
    'picture',
    'a remote picture is a link',
  );

  await page.getByRole('link', { name: 'Trace', exact: true }).click();
  await page.getByRole('tab', { name: 'Response' }).click();
  await page.locator('.call .payload .prose').waitFor();
  await openEverything();
  await assertHarmless('trace, rendered');
  await page.locator('.call').getByRole('button', { name: 'Raw' }).click();
  await page.locator('.call pre', { hasText: HOSTILE[0] }).waitFor();
  await openEverything();
  await assertHarmless('trace, raw');
});

test('the_policy_would_stop_what_slips_through', async () => {
  const refused = await page.evaluate(() => {
    try {
      document.createElement('div').innerHTML = '<b>plain text as markup</b>';
      return false;
    } catch {
      return true;
    }
  });

  assert.ok(refused, 'Trusted Types are in force');
  const seen = () => page.faults.some((fault) => fault.startsWith('violation: require-trusted-types-for'));
  for (let i = 0; i < 50 && !seen(); i++) await page.waitForTimeout(50);
  assert.ok(seen(), `the watch of these tests sees it: ${page.faults}`);
});
