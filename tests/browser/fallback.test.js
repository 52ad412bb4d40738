// A provider that refuses, and the one behind it: the page tells the story of it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { generate, openBrowser, rowOf } from './browser.js';

let stack, browser, page;

before(async () => {
  stack = await startStack({
    env: {
      OPENAI_API_KEY: 'test',
      OPENAI_MODEL: 'fail-429',
      OPENAI_BASE_URL: 'sample',
      LLM_PROVIDERS: 'openai,sample',
    },
  });
  browser = await openBrowser(stack);
  page = await browser.page();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('a_fallback_is_told_step_by_step', async () => {
  const id = await generate(page, 'Volcanoes: why mountains spit fire');
  await rowOf(page, id).getByText('generated', { exact: true }).waitFor();

  const { lesson } = await (await page.request.get(`/api/lessons/${id}`)).json();
  await page.goto(`/traces/${lesson.trace_ids[0]}`);
  await page.getByText('1 fallback').waitFor();
  await page.getByText('In words').click();
  const story = await page.locator('.words').innerText();
  assert.match(story, /Tried openai fail-429: 429 rate limited after \d/);
  assert.match(story, /Waited .* for openai: rate limited/);
  assert.match(story, /Fell back to sample: answered in \d/);
  assert.match(story, /Lesson stored, written by sample/);

  const { trace } = await (
    await page.request.get(`/api/traces/${page.url().split('/').at(-1)}`)
  ).json();
  const bars = page.locator('.timeline').getByRole('button');
  assert.equal(
    await bars.getByText(/ attempt \d/).count(),
    trace.llm_calls.length,
    'every call is there, failed ones too',
  );
  await bars.filter({ hasText: 'openai fail-429 attempt 1 failed: 429 rate limited' }).click();
  await page.locator('.call .note', { hasText: 'Rate limited.' }).waitFor();
  await bars.filter({ hasText: 'fell back to sample' }).click();
  await page.locator('.call .payload .prose').waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_lesson_that_nobody_could_write_says_why', async () => {
  await page.goto('/');
  await page.getByLabel('Outline').fill('Glaciers: rivers of ice');
  await page.getByLabel('Provider').selectOption('sample');
  await page.getByLabel('Model').fill('fail-401');
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  const row = page.locator('.lesson-rows tr', { hasText: 'Glaciers' });
  await row.getByText('failed', { exact: true }).waitFor();
  await row.locator('.row-link').click();
  await page.getByText('The lesson could not be generated.').waitFor();
  await page.getByRole('link', { name: 'Trace', exact: true }).click();
  const reasons = page.locator('.trace > .note');
  await reasons.getByText('sample, not authorised').waitFor();
  await reasons.getByText('openai, rate limited').waitFor();
  await page.getByText('In words').click();
  const story = await page.locator('.words').innerText();
  assert.match(story, /Tried sample fail-401: 401 not authorised/);
  assert.match(story, /Fell back to openai fail-429/);
  assert.match(story, /Gave up/);
  await page.locator('.timeline').getByRole('button', { name: /sample fail-401 attempt 1/ }).click();
  await page.locator('.call .note', { hasText: 'sample refused the key' }).waitFor();
  assert.deepEqual(page.faults, []);
});

// What can go wrong on the way, and the words that help with it.
const ADVICE = [
  ['fail-401', /refused the key/],
  ['fail-404', /does not know the model “fail-404”\. What to do: Set SAMPLE_MODEL/],
  ['fail-quota', /out of credit/],
  ['fail-500', /had an error of its own/],
  ['context-length', /Shorten the outline, or set SAMPLE_MODEL/],
  ['truncate', /LLM_MAX_TOKENS/],
  ['empty', /LLM_MAX_TOKENS/],
  ['refuse', /Reword the outline/],
  ['garbage', /check SAMPLE_BASE_URL/],
  ['drop', /Check SAMPLE_BASE_URL/],
  ['huge', /4 MiB/],
];

test('each_way_to_fail_has_its_advice', async () => {
  for (const [model, advice] of ADVICE) {
    const made = await stack.fetch('/api/lessons', {
      as: 'admin',
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ outline: `Fails as ${model}`, provider: 'sample', model }),
    });
    const { lesson } = await made.json();

    await page.goto(`/traces/${lesson.trace_ids[0]}`);
    await page
      .locator('.timeline')
      .getByRole('button', { name: new RegExp(`sample ${model} attempt 1 failed`) })
      .click();
    const note = page.locator('.call .note', { hasText: 'What to do:' });
    await note.waitFor();
    assert.match((await note.innerText()).replace(/\s+/g, ' '), advice, model);
  }
  assert.deepEqual(page.faults, []);
});
