// What every page has: it fits, in both themes; it can be used without a mouse; nothing goes wrong on it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';

const WIDTHS = [360, 768, 1280, 2560];
const LONG = 'Antidisestablishmentarianism'.repeat(40);

let stack, browser, page, addresses;

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();

  const { traces } = await (await stack.fetch('/api/traces', { as: 'admin' })).json();
  const [{ id, lesson_id: lessonId }] = traces;
  await stack.psql(`
    UPDATE lessons SET title = '${LONG}', content = E'# ${LONG}\\n\\n${LONG}\\n\\n    ${LONG}' WHERE id = '${lessonId}';
    UPDATE lesson_traces
       SET request_data = jsonb_set(request_data, '{outline}', to_jsonb('${LONG}'::text)), model = '${LONG}',
           last_error = '${LONG}', fallback_providers = '{sample}'
     WHERE id = '${id}'`);
  addresses = ['/', `/lessons/${lessonId}`, '/traces', '/traces?status=started', `/traces/${id}`];
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

async function visit(address) {
  await page.goto(address);
  await page.locator('h1').first().waitFor();
  await page.locator('.loading').waitFor({ state: 'detached' });
}

for (const colorScheme of ['light', 'dark']) {
  test(`every_page_fits_every_width_when_it_is_${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      for (const address of addresses) {
        await visit(address);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${address} is ${over} px too wide at ${width}`);
        assert.deepEqual(page.faults, [], address);
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  });
}

test('a_chosen_theme_is_kept_and_can_be_given_back', async () => {
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);

  await page.emulateMedia({ colorScheme: 'light' });
  await visit('/');
  const light = await background();
  await page.getByRole('button', { name: 'Dark theme' }).click();
  const dark = await background();
  assert.notEqual(dark, light);
  await visit('/traces');
  assert.equal(await background(), dark);
  await page.getByRole('button', { name: 'Theme of the system' }).click();
  assert.equal(await background(), light);
});

test('every_page_has_its_landmarks_and_names_for_all_that_can_be_pressed', async () => {
  for (const address of addresses) {
    await visit(address);
    const found = await page.evaluate(() => ({
      h1: document.querySelectorAll('h1').length,
      main: document.querySelectorAll('main').length,
      title: document.title !== '' && document.documentElement.lang === 'en',
      nameless: [...document.querySelectorAll('button, a[href], select, textarea, input')]
        .filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim()))
        .map((one) => one.outerHTML),
    }));
    assert.deepEqual(found, { h1: 1, main: 1, title: true, nameless: [] }, address);
  }
});

test('a_lesson_can_be_generated_and_deleted_by_keyboard', async () => {
  await visit('/');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.type('Keys: what the fingers know');
  await page.keyboard.press('Control+Enter');
  const row = page.locator('.lesson-rows tr', { hasText: 'Keys' });
  await row.getByText('generated', { exact: true }).waitFor();

  await row.getByRole('button', { name: /^Delete/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^Delete/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Tab'); // from Cancel to the action
  await page.keyboard.press('Enter');
  await row.waitFor({ state: 'detached' });
  assert.deepEqual(page.faults, []);
});

test('a_user_sees_nothing_of_others', async () => {
  const other = await browser.page({ as: 'user', expect: [404] });

  await other.goto('/');
  await other.getByText('No lessons yet').waitFor();
  await other.goto('/traces');
  await other.getByText('No traces yet').waitFor();
  await other.goto(addresses.at(-1));
  await other.getByText('There is no such trace').waitFor();
  await other.goto(addresses[1]);
  await other.getByText('There is no such lesson').waitFor();
  assert.deepEqual(other.faults, []);
});
