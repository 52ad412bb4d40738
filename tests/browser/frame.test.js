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
  addresses = ['/', `/lessons/${lessonId}`, '/traces', '/traces?status=started', '/monitor', `/traces/${id}`];
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

test('an_address_with_name_and_password_in_it_opens_every_page', async () => {
  const { user, password } = stack.admin;
  const opened = await browser.page({ as: null });

  for (const address of addresses) {
    await opened.goto(stack.baseUrl.replace('//', `//${user}:${password}@`) + address);
    await opened.locator('h1').first().waitFor();
    await opened.locator('.loading').waitFor({ state: 'detached' });
    assert.equal(await opened.locator('.banner').count(), 0, address);
    assert.deepEqual(opened.faults, [], address);
  }
  await opened.context().close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`every_page_fits_every_width_when_it_is_${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      for (const address of addresses) {
        await visit(address);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${address} is ${over} px too wide at ${width}`);
        const edge = await page.evaluate(
          () => innerWidth - Math.max(...[...document.querySelectorAll('.top-row *')].map((one) => one.getBoundingClientRect().right)),
        );
        assert.ok(edge >= 8, `${address}: the header ends ${edge} px before the edge at ${width}`);
        assert.deepEqual(page.faults, [], address);
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  });
}

test('a_mistake_of_a_page_is_told', async () => {
  const other = await browser.page();

  await other.route(/\/api\/lessons\?/, (route) => route.fulfill({ json: { lessons: [{}], next_cursor: null } }));
  await other.goto('/');
  await other.getByText('This page made a mistake and cannot go on').waitFor();
  assert.ok(await other.getByRole('link', { name: 'Traces' }).isVisible(), 'there is a way to the others');
  await other.unroute(/\/api\/lessons\?/);
  await other.getByRole('button', { name: 'Load the page again' }).click();
  await other.getByLabel('Outline').waitFor();
  assert.equal(other.faults.length, 1);
  assert.match(other.faults[0], /console: TypeError/);
  await other.evaluate(() => setTimeout(() => nothing.here));
  const toast = other.locator('.toast', { hasText: 'Something on this page went wrong: nothing is not defined' });
  await toast.waitFor();
  await other.evaluate(() => new Promise((done) => setTimeout(() => setTimeout(done), setTimeout(() => nothing.here))));
  assert.equal(await toast.count(), 1, 'once');
  await other.context().close();
});

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

test('a_running_lesson_can_be_cancelled_by_keyboard', async () => {
  await visit('/');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'main'); // the browser gets there with the next picture
  await page.keyboard.press('Tab');
  await page.keyboard.type('Keys: what the fingers know');
  await page.getByLabel('Provider').selectOption('sample');
  await page.getByLabel('Model').fill('slow-300000');
  await page.keyboard.press('Control+Enter');
  const row = page.locator('.lesson-rows tr', { hasText: 'Keys' });
  await row.getByText('generating', { exact: true }).waitFor();

  await row.getByRole('button', { name: /^Cancel/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /^Cancel/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Tab'); // from the way back to the action
  await page.keyboard.press('Enter');
  await row.waitFor({ state: 'detached' });
  await page.getByLabel('Provider').selectOption('');
  assert.deepEqual(page.faults, []);
});

test('a_dialog_that_ends_gives_the_focus_back_at_once', async () => {
  await visit(addresses[1]);
  const given = await page.evaluate(async () => {
    const button = [...document.querySelectorAll('main button')].find((one) => one.textContent.trim() === 'Delete');
    button.focus();
    button.click();
    while (!document.querySelector('dialog[open]')) await new Promise((done) => setTimeout(done));
    document.querySelector('dialog').dispatchEvent(new Event('cancel', { cancelable: true }));
    await Promise.resolve(); // it is drawn before the next task, and so before the next key
    await Promise.resolve();
    return document.querySelector('dialog') === null && document.activeElement === button;
  });
  assert.ok(given);
  assert.deepEqual(page.faults, []);
});

test('a_chosen_theme_is_there_before_any_module', async () => {
  const early = await browser.page();

  await early.emulateMedia({ colorScheme: 'light' });
  await early.goto('/');
  await early.getByRole('button', { name: 'Dark theme' }).click();
  await early.route('**/*.js', (route) =>
    route.request().url().endsWith('/theme-early.js') ? route.fallback() : route.abort(),
  );
  for (const address of addresses) {
    await early.goto(address);
    assert.equal(await early.evaluate(() => document.documentElement.dataset.theme), 'dark', address);
  }
  await early.context().close();
});

// What the system asks for is heard: no motion, more contrast, its own colours.
test('every_page_heeds_what_the_system_asks_for', async () => {
  for (const address of addresses) {
    await page.emulateMedia({ reducedMotion: 'reduce', contrast: 'more', forcedColors: 'none' });
    await visit(address);
    const line = () => page.evaluate(() => getComputedStyle(document.querySelector('.top')).borderBottomColor);
    const strong = await line();
    const moving = await page.evaluate(
      () => [...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration) > 0).length,
    );
    assert.equal(moving, 0, address);
    await page.emulateMedia({ reducedMotion: null, contrast: null, forcedColors: null });
    assert.notEqual(await line(), strong, address);
    await page.emulateMedia({ forcedColors: 'active' });
    const [chosen, other] = await page.evaluate(() =>
      ['true', 'false'].map(
        (pressed) => getComputedStyle(document.querySelector(`.switch [aria-pressed="${pressed}"]`)).backgroundColor,
      ),
    );
    assert.notEqual(chosen, other, address);
    await page.emulateMedia({ forcedColors: null });
  }
});

// A control that the browser draws in its own way would not fit; each has a height, a border and a ground of ours.
test('no_control_has_the_look_of_the_browser', async () => {
  await visit('/');
  const looks = await page.evaluate(() => {
    const look = (type) => {
      const one = document.createElement(type === 'select' ? 'select' : 'input');
      if (type !== 'select') one.type = type;
      document.querySelector('.lesson-form').append(one);
      const { appearance, backgroundColor, borderTopStyle, fontFamily } = getComputedStyle(one);
      const own = { appearance, backgroundColor, borderTopStyle, fontFamily };
      one.remove();
      return [type, own];
    };
    return ['select', 'checkbox', 'radio', 'search', 'range', 'text', 'number', 'date', 'datetime-local', 'file'].map(look);
  });
  const font = await page.evaluate(() => getComputedStyle(document.body).fontFamily);
  for (const [type, look] of looks) {
    assert.equal(look.fontFamily, font, type);
    if (['select', 'checkbox', 'radio', 'search', 'range'].includes(type)) assert.equal(look.appearance, 'none', type);
    if (type !== 'range') assert.equal(look.borderTopStyle, 'solid', type);
  }
});

test('an_address_without_a_page_looks_like_one_and_leads_back', async () => {
  const lost = await browser.page({ expect: [404] });

  for (const width of WIDTHS) {
    await lost.setViewportSize({ width, height: 900 });
    const answer = await lost.goto('/nothing');
    assert.equal(answer.status(), 404);
    await lost.getByText(answer.headers()['x-request-id']).waitFor();
    assert.ok((await lost.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width}`);
  }
  await lost.getByRole('link', { name: 'To the lessons' }).click();
  await lost.getByRole('heading', { name: 'New lesson' }).waitFor();
  assert.deepEqual(lost.faults, []);
  await lost.context().close();
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
