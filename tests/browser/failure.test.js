// When the API fails: nothing typed is lost, what was loaded stays, the banner says what and whom to ask about.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { generate, openBrowser, rowOf } from './browser.js';

const REQUEST_ID = '0123456789abcdef0123456789abcdef';
const problem = (status, detail) => ({
  status,
  contentType: 'application/problem+json',
  headers: { 'Retry-After': '1' },
  body: JSON.stringify({
    type: 'about:blank',
    title: 'x',
    status,
    detail,
    code: 'x',
    request_id: REQUEST_ID,
    error: detail,
  }),
});

let stack, browser;

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('typed_text_survives_a_503_and_a_reload', async () => {
  const page = await browser.page({ expect: [503] });
  const keys = [];
  let away = true;

  await page.route('**/api/lessons', (route) => {
    if (route.request().method() !== 'POST') return route.fallback();
    keys.push(route.request().headers()['idempotency-key']);
    return away ? route.fulfill(problem(503, 'the database is away')) : route.fallback();
  });
  await page.goto('/');
  await page.getByLabel('Outline').fill('Tides: why the sea comes and goes');
  await page.getByLabel('Grade').selectOption('5');
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  await page
    .getByText(new RegExp(`the database is away.*${REQUEST_ID}.*Your text is kept`))
    .waitFor();
  assert.equal(await page.getByLabel('Outline').inputValue(), 'Tides: why the sea comes and goes');

  await page.reload();
  assert.equal(await page.getByLabel('Outline').inputValue(), 'Tides: why the sea comes and goes');
  assert.equal(await page.getByLabel('Grade').inputValue(), '5');

  away = false;
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  await page.locator('.lesson-rows tr', { hasText: 'Tides' }).first().waitFor();
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1], 'the same wish has the same key, so it cannot become two lessons');
  assert.deepEqual(page.faults, []);
});

test('a_double_click_sends_once', async () => {
  const page = await browser.page();
  let posts = 0;

  page.on('request', (request) => {
    if (request.method() === 'POST') posts += 1;
  });
  await page.goto('/');
  await page.getByLabel('Outline').fill('Echoes: sound that comes back');
  await page.getByRole('button', { name: 'Generate lesson' }).dblclick();
  await page.locator('.lesson-rows tr', { hasText: 'Echoes' }).first().waitFor();
  assert.equal(posts, 1);
  assert.deepEqual(page.faults, []);
});

test('a_refused_member_is_marked_and_focused', async () => {
  const page = await browser.page({ expect: [400] });

  await page.goto('/');
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  await page.locator('#outline-error').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'outline');
  await page.getByLabel('Outline').fill('A good outline');
  await page.getByLabel('Model').fill('x'.repeat(300));
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  await page
    .locator('.field', { has: page.getByLabel('Model') })
    .locator('.field-error')
    .waitFor();
  assert.equal(await page.getByLabel('Model').getAttribute('aria-invalid'), 'true');
  assert.equal(await page.getByLabel('Outline').inputValue(), 'A good outline');

  await page.getByLabel('Outline').fill('x'.repeat(20_001));
  await page.getByText('20,001 / 20,000 characters, 1 too many').waitFor();
  assert.deepEqual(page.faults, []);
});

const OUTAGES = [
  [401, 'You are not signed in', 'not signed in'],
  [403, 'This is not allowed', 'not yours'],
  [429, 'Too many requests', 'slow down'],
  [503, 'The service is not ready', 'the database is away'],
];

for (const [status, title, detail] of OUTAGES) {
  test(`a_${status}_shows_the_banner_and_keeps_what_was_loaded`, async () => {
    const page = await browser.page({ expect: [status] });

    const id = await generate(page, `Outage ${status}`);
    await rowOf(page, id).getByText('generated', { exact: true }).waitFor();
    await page.goto('/traces');
    await page.locator('tbody tr').first().waitFor();
    await page.route('**/api/traces?*', (route) => route.fulfill(problem(status, detail)));
    await page.getByRole('button', { name: 'Refresh' }).click();
    const banner = page.getByRole('alert');
    await banner.getByText(title).waitFor();
    assert.match(await banner.innerText(), new RegExp(REQUEST_ID));
    assert.ok((await page.locator('tbody tr').count()) > 0, 'the list stays');

    await page.unroute('**/api/traces?*');
    await banner.getByRole('button', { name: 'Try again' }).click();
    await banner.waitFor({ state: 'detached' });
    assert.deepEqual(page.faults, []);
  });
}

test('without_a_network_the_page_says_so_and_recovers_by_itself', async () => {
  const page = await browser.page();

  await page.goto('/traces');
  await page.locator('tbody tr, .empty').first().waitFor();
  await page.context().setOffline(true);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.getByRole('alert').getByText('The server cannot be reached').waitFor();
  await page.context().setOffline(false);
  await page.getByRole('alert').waitFor({ state: 'detached' });
  assert.deepEqual(
    page.faults.filter((fault) => !fault.includes('ERR_INTERNET_DISCONNECTED')),
    [],
  );
});
