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

  await page.goto(`/traces?lesson_id=${id}`);
  await page.getByText('1 fallback').waitFor();
  await page.locator('.trace-rows .row-link').click();
  await page.locator('.story').waitFor();
  const story = await page.locator('.story').innerText();
  assert.match(story, /Tried openai fail-429/);
  assert.match(story, /429 rate limited after \d/);
  assert.match(story, /Fell back to sample/);
  assert.match(story, /Lesson stored, written by sample/);

  const { trace } = await (
    await page.request.get(`/api/traces/${page.url().split('/').at(-1)}`)
  ).json();
  assert.equal(
    await page.locator('.call').count(),
    trace.llm_calls.length,
    'every call is there, failed ones too',
  );
  assert.equal(
    await page.locator('.story .step a').count(),
    trace.llm_calls.length,
    'every call is in the story',
  );
  await page.locator('.story a', { hasText: 'Tried openai' }).first().click();
  await page.locator('#call-1 .note', { hasText: 'Rate limited.' }).waitFor();
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
  await page.locator('.story').waitFor();
  const story = await page.locator('.story').innerText();
  assert.match(story, /Tried sample fail-401\s+401 not authorised/);
  assert.match(story, /Fell back to openai fail-429/);
  assert.match(story, /Gave up/);
  await page.locator('.story a', { hasText: 'Tried sample' }).click();
  await page.locator('#call-1 .note', { hasText: 'The provider refused the key' }).waitFor();
  assert.deepEqual(page.faults, []);
});
