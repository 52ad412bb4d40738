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
const ids = {}; // of a lesson and of its trace

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  const page = await browser.page();
  ids.lesson = await generate(page, 'Lessons do fail sometimes');
  await rowOf(page, ids.lesson).getByText('generated', { exact: true }).waitFor();
  const { lesson } = await (await page.request.get(`/api/lessons/${ids.lesson}`)).json();
  ids.trace = lesson.trace_ids[0];
  await page.context().close();
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

test('what_was_chosen_for_another_generation_survives_a_503_and_a_reload', async () => {
  const page = await browser.page({ expect: [503] });
  const id = await generate(page, 'Chosen and kept');

  await page.goto(`/lessons/${id}`);
  await page.route('**/regenerate', (route) => route.fulfill(problem(503, 'the database is away')));
  await page.getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('dialog').getByLabel('Model').fill('slow-1');
  await page.getByRole('dialog').getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('dialog').getByText(new RegExp(`the database is away.*${REQUEST_ID}`)).waitFor();
  assert.equal(await page.getByRole('dialog').getByLabel('Model').inputValue(), 'slow-1');
  await page.reload();
  await page.getByRole('button', { name: 'Generate again' }).click();
  assert.equal(await page.getByRole('dialog').getByLabel('Model').inputValue(), 'slow-1');
  assert.deepEqual(page.faults, []);
});

// ---- every page, every failure --------------------------------------------------------------

// `shown` is what stands there when it is drawn. To have another page tested: a line here.
const PAGES = [
  { name: 'lessons', at: () => '/', shown: '.lesson-rows tbody tr' },
  { name: 'a_lesson', at: ({ lesson }) => `/lessons/${lesson}`, shown: '.prose > *' },
  { name: 'traces', at: () => '/traces', shown: '.trace-rows tbody tr' },
  { name: 'a_trace', at: ({ trace }) => `/traces/${trace}`, shown: '.story > *' },
  { name: 'a_comparison', at: ({ trace }) => `/traces/compare?a=${trace}&b=${trace}`, shown: '.compare-table' },
  { name: 'the_monitor', at: () => '/monitor', shown: '.monitor .headline .figure' },
];

// `status` 0: no connection. `again`: it is tried again without being asked.
const FAILURES = [
  { name: 'no_connection', status: 0, says: 'The server cannot be reached', again: true },
  { name: 'a_401', status: 401, says: 'You are not signed in', again: false },
  { name: 'a_403', status: 403, says: 'This is not allowed', again: false },
  { name: 'a_429', status: 429, says: 'Too many requests', again: true },
  { name: 'a_500', status: 500, says: 'x', again: true },
  { name: 'a_502_of_a_proxy', status: 502, says: 'The service does not answer', again: true, body: '<html>no' },
  { name: 'a_503', status: 503, says: 'The service is not ready', again: true },
];

test('what_a_proxy_says_in_its_own_words_is_no_mistake_of_ours', async () => {
  const page = await browser.page({ expect: [502] });

  await page.route('**/api/**', (route) => route.fulfill({ status: 502, json: { error: { code: 502 }, title: {}, request_id: 7 } }));
  await page.goto('/traces');
  await page.getByRole('alert').getByText('The service does not answer').waitFor();
  assert.equal(await page.locator('.toast').count(), 0);
  assert.deepEqual(page.faults, []);
});

const isNetwork = (fault) => /ERR_(CONNECTION_REFUSED|INTERNET_DISCONNECTED|FAILED)/.test(fault);

// Every request to the API fails like that from now on; gives how many have.
async function failApi(page, { status, body }) {
  const seen = { requests: 0 };

  await page.route('**/api/**', (route) => {
    seen.requests += 1;
    if (status === 0) return route.abort('connectionrefused');
    const answer = problem(status, 'as the test says');
    if (body === undefined) return route.fulfill(answer);
    return route.fulfill({ status, contentType: 'text/html', body, headers: { 'X-Request-Id': REQUEST_ID } });
  });
  return seen;
}

const askAgain = (page) => page.evaluate(() => dispatchEvent(new Event('online')));

for (const { name, at, shown } of PAGES) {
  for (const failure of FAILURES) {
    test(`${failure.name}_on_${name}_is_one_banner_and_nothing_is_lost`, async () => {
      const page = await browser.page({ expect: [failure.status] });
      const banner = page.getByRole('alert');

      await page.goto(at(ids));
      await page.locator(shown).first().waitFor();
      const seen = await failApi(page, failure);
      await askAgain(page);
      await banner.getByText(failure.says).first().waitFor();
      assert.equal(await page.locator('.banner').count(), 1);
      assert.ok(await page.locator(shown).first().isVisible(), 'what was loaded stays');
      if (failure.status !== 0) assert.match(await banner.innerText(), new RegExp(REQUEST_ID));

      const until = Date.now() + 5000;
      const before = seen.requests;
      if (failure.again) {
        assert.match(await banner.innerText(), /Trying again/);
        while (seen.requests === before && Date.now() < until) await page.waitForTimeout(50);
        assert.ok(seen.requests > before, 'it is tried again');
      } else {
        await page.waitForTimeout(2200); // longer than the first wait of the others
        assert.equal(seen.requests, before, 'it is not tried again');
        assert.doesNotMatch(await banner.innerText(), /Trying again/);
      }
      if (failure.status === 401) {
        const link = banner.getByRole('link', { name: 'Sign in again' });
        assert.equal(await link.getAttribute('href'), page.url());
      }

      await page.goto(at(ids)); // and with nothing loaded yet
      await banner.getByText(failure.says).first().waitFor();
      await page.locator('main .loading .spinner').waitFor({ state: 'detached' });
      await page.unroute('**/api/**');
      const pressed = banner.getByRole('button', { name: 'Try again' }).click({ timeout: 5000 });
      if (failure.again) await pressed.catch(() => {}); // on a slow machine it may be there by itself before the press
      else await pressed;
      await page.locator(shown).first().waitFor();
      await banner.waitFor({ state: 'detached' });
      assert.deepEqual(page.faults.filter((fault) => !isNetwork(fault)), []);
      await page.context().close();
    });
  }

  test(`a_slow_service_is_said_so_on_${name}`, async () => {
    const page = await browser.page();
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });

    await page.route('**/api/**', async (route) => {
      await gate;
      await route.fallback();
    });
    await page.goto(at(ids));
    await page.getByText('The service is slow to answer.').waitFor();
    await page.getByText(/Waiting for [3-9]\ss\./).waitFor();
    go();
    await page.locator(shown).first().waitFor();
    await page.getByText('The service is slow to answer.').waitFor({ state: 'detached' });
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });

  test(`without_a_network_${name}_says_so_and_recovers_by_itself`, async () => {
    const page = await browser.page();

    await page.goto(at(ids));
    await page.locator(shown).first().waitFor();
    await page.context().setOffline(true);
    await page.getByRole('alert').getByText('This computer is offline').waitFor();
    assert.ok(await page.locator(shown).first().isVisible(), 'what was loaded stays');
    await page.context().setOffline(false);
    await page.getByRole('alert').waitFor({ state: 'detached' });
    assert.deepEqual(page.faults.filter((fault) => !isNetwork(fault)), []);
    await page.context().close();
  });
}

test('a_429_is_not_tried_again_before_the_time_that_was_asked_for', async () => {
  const page = await browser.page({ expect: [429] });
  const at = [];

  await page.goto('/traces');
  await page.locator('tbody tr').first().waitFor();
  await page.route(/\/api\/traces\?.*limit=50/, (route) => {
    at.push(Date.now());
    return route.fulfill({ ...problem(429, 'slow down'), headers: { 'Retry-After': '5' } });
  });
  await askAgain(page);
  await page.getByRole('alert').getByText(/Trying again in [45]\ss\./).waitFor();
  while (at.length < 2) await page.waitForTimeout(100);
  assert.ok(at[1] - at[0] >= 4950, `${at[1] - at[0]} ms`);
  assert.deepEqual(page.faults, []);
});
