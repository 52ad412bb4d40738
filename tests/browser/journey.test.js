// From an outline to a lesson, from the lesson to its trace, and the end of both.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { generate, holdSample, openBrowser, rowOf } from './browser.js';

let stack, browser, page, lessonId;

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('a_lesson_is_generated_while_one_looks_on', async () => {
  lessonId = await generate(
    page,
    'Photosynthesis: how leaves make sugar from light\n- chlorophyll\n- the carbon cycle',
  );
  await rowOf(page, lessonId).getByText('generated', { exact: true }).waitFor();
  assert.equal(
    await page.getByLabel('Outline').inputValue(),
    '',
    'the form is ready for the next one',
  );
  assert.deepEqual(page.faults, []);
});

test('the_lesson_can_be_read', async () => {
  await rowOf(page, lessonId).locator('.row-link').click();
  await page.locator('.prose h2').first().waitFor();
  assert.ok((await page.locator('h1').count()) === 1, 'the title stands once');
  assert.ok((await page.locator('.prose').innerText()).length > 500);
  assert.deepEqual(page.faults, []);
});

test('its_trace_tells_what_was_really_sent_and_received', async () => {
  await page.getByRole('link', { name: 'Trace', exact: true }).click();
  const story = page.getByRole('list', { name: 'Timeline' });
  await story.getByText('lesson written by sample').waitFor();
  await story.getByRole('button', { name: /^1 sample attempt 1 answered in \d/ }).click();

  const call = page.locator('.call');
  await call.getByRole('tab', { name: 'Prompt' }).click();
  assert.match(
    await call.locator('pre[aria-label="Prompt"]').innerText(),
    /Photosynthesis: how leaves make sugar from light/,
    'the prompt holds the outline',
  );
  await call.getByRole('tab', { name: 'Response' }).click();
  assert.match(await call.locator('.facts').innerText(), /sample[\s\S]*stop/, 'who answered, and the finish reason');

  const { trace } = await (await page.request.get(`/api${new URL(page.url()).pathname}`)).json();
  const { usage } = trace.llm_calls[0].response;
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  const figure = new RegExp(
    `${usage.prompt_tokens.toLocaleString('en')}\\s*/\\s*${usage.completion_tokens.toLocaleString('en')}`,
  );
  assert.match(
    await page.getByRole('region', { name: 'Summary' }).innerText(),
    figure,
    'the tokens the provider counted',
  );
  assert.deepEqual(page.faults, []);
});

test('a_deleted_trace_is_gone_and_the_lesson_stays', async () => {
  const traceUrl = page.url().split('?')[0];
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete trace' }).click();
  await page.waitForURL('**/traces');
  await page.getByText('Trace deleted').waitFor();
  assert.equal(await rowOf(page, traceUrl.split('/').at(-1)).count(), 0);

  const gone = await browser.page({ expect: [404] });
  await gone.goto(traceUrl);
  await gone.getByText('There is no such trace').waitFor();
  assert.deepEqual(gone.faults, []);

  await page.goto(`/lessons/${lessonId}`);
  await page.locator('.prose h2').first().waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_lesson_can_be_generated_again', async () => {
  await page.getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('dialog').getByLabel('Provider').selectOption('sample');
  await page.getByRole('dialog').getByRole('button', { name: 'Generate again' }).click();
  await page.getByText('This lesson is being written').waitFor({ state: 'hidden' });
  await page.getByRole('link', { name: 'Trace', exact: true }).waitFor();
  await page.locator('.page-meta').getByText('generated').waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_running_generation_fills_in_by_itself', async (t) => {
  const release = holdSample(stack);
  t.after(release);

  await page.goto('/');
  await page.getByLabel('Outline').fill('Snails: slow and steady');
  await page.getByLabel('Provider').selectOption('sample');
  await page.getByLabel('Model').fill('slow-1');
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  const row = page.locator('.lesson-rows tr', { hasText: 'Snails' });
  await row.getByText(/^\d+.s · asking sample slow-1$/).waitFor();

  await row.getByRole('link', { name: /^Traces of/ }).click();
  await page.locator('.trace-rows').getByText('running', { exact: true }).waitFor();
  await page.locator('.trace-rows .row-link').click();
  const story = page.getByRole('list', { name: 'Timeline' });
  await story.getByText(/^running for/).first().waitFor();
  release();
  await story.getByText('lesson written by sample').waitFor();
  await story.getByText(/^answered in/).waitFor();
  await page.locator('.call .prose h3').first().waitFor();
  assert.deepEqual(page.faults, []);
});

test('filters_live_in_the_url_and_an_empty_result_is_not_no_data', async () => {
  await page.goto('/traces?status=failed');
  await page.getByText('No trace matches these filters').waitFor();
  await page.getByText(/Without them there (is|are) \d+ trace/).waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).last().click();
  await page.locator('tbody tr').first().waitFor();
  assert.match(page.url(), /\/traces$/);
  await page.goBack();
  await page.getByText('No trace matches these filters').waitFor();
  await page.goto(`/traces?lesson_id=${lessonId}`);
  await page.locator('tbody tr').first().waitFor();
  await page.getByRole('button', { name: 'Show the traces of all lessons' }).click();
  await page.waitForURL(/\/traces$/);
  assert.deepEqual(page.faults, []);
});

test('pages_go_older_and_newer_within_the_filter', async () => {
  await stack.psql(`
    INSERT INTO lesson_traces (owner, status, request_data, created_at)
    SELECT 'admin', 'failed', jsonb_build_object('outline', 'Old trace ' || n), now() - n * interval '1 hour'
      FROM generate_series(1, 110) n`);

  const turn = (name) => page.getByRole('button', { name, exact: true }).click();
  const arrive = (text) => page.locator('.trace-rows tbody tr:first-child', { hasText: text }).waitFor();

  await page.goto('/traces?status=failed');
  await arrive(/Old trace 1\b/);
  await turn('Older');
  await arrive(/Old trace 51\b/);
  assert.match(page.url(), /status=failed/, 'the filter stays');
  await turn('Older');
  await arrive(/Old trace 101\b/);
  assert.ok(await page.getByRole('button', { name: 'Older', exact: true }).isDisabled());
  await turn('Newer');
  await arrive(/Old trace 51\b/);
  await page.reload();
  await arrive(/Old trace 51\b/);
  await turn('Newer');
  await arrive(/Old trace 1\b/);
  await page.goBack();
  await arrive(/Old trace 51\b/);
  await turn('Newest');
  await arrive(/Old trace 1\b/);
  assert.deepEqual(page.faults, []);
});

test('all_traces_go_only_when_their_number_is_typed', async () => {
  await page.goto('/traces');
  const { total } = await (
    await page.request.get('/api/traces?limit=1&view=summary&count=exact')
  ).json();
  await page.getByRole('button', { name: 'Delete all…' }).click();
  const dialog = page.getByRole('dialog');
  const button = dialog.getByRole('button', { name: /^Delete \d+ trace/ });
  await button.waitFor();
  assert.ok(await button.isDisabled());
  await dialog.getByRole('textbox').fill(`delete ${total + 1}`);
  assert.ok(await button.isDisabled());
  await dialog.getByRole('textbox').fill(`delete ${total}`);
  await button.click();
  await page.getByText(new RegExp(`^${total} traces? deleted$`)).waitFor();
  await page.getByText('No traces yet').waitFor();
  await page.getByText(`curl -u NAME '${stack.baseUrl}/api/lessons'`).waitFor();
  assert.equal((await (await page.request.get('/api/traces')).json()).traces.length, 0);
  assert.deepEqual(page.faults, []);
});

test('a_deleted_lesson_is_gone', async () => {
  await page.goto('/');
  await rowOf(page, lessonId)
    .getByRole('button', { name: /^Delete / })
    .click();
  await rowOf(page, lessonId).waitFor({ state: 'detached' });
  const deleted = page.waitForResponse((one) => one.request().method() === 'DELETE');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  assert.equal((await deleted).status(), 200);
  assert.equal((await page.request.get(`/api/lessons/${lessonId}`)).status(), 404);
  assert.deepEqual(page.faults, []);
});
