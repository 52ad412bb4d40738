// "/" and "/lessons/{id}": one wish is one lesson, what runs can be watched and cancelled, what was deleted comes
// back, and a lesson can be read, kept and printed.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { generate, holdSample, openBrowser, rowOf } from './browser.js';

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

const lessonsOf = async (outline) => {
  const { lessons } = await (await page.request.get('/api/lessons?limit=200')).json();
  return lessons.filter((one) => one.outline === outline);
};
const statusOf = async (id) => (await page.request.get(`/api/lessons/${id}`)).status();
const send = () => page.getByRole('button', { name: 'Generate lesson' });

// A lesson that has been generated, and its row in sight.
async function generated(outline) {
  const id = await generate(page, outline);
  await rowOf(page, id).getByText('generated', { exact: true }).waitFor();
  return id;
}

// Sends an outline to a model of the sample provider; gives the row of what comes of it.
async function sent(outline, model) {
  await page.goto('/');
  await page.getByLabel('Outline').fill(outline);
  await page.getByLabel('Provider').selectOption('sample');
  await page.getByLabel('Model').fill(model);
  await send().click();
  const row = page.locator('.lesson-rows tr', { hasText: outline });
  await row.waitFor();
  await page.getByLabel('Model').fill('');
  await page.getByLabel('Provider').selectOption('');
  return row;
}

async function eventually(what, check) {
  for (let i = 0; i < 200; i++) {
    if (await check()) return;
    await page.waitForTimeout(50);
  }
  assert.fail(`never: ${what}`);
}

// ---- the form -------------------------------------------------------------------------------

test('an_answer_that_is_lost_makes_no_second_lesson', async () => {
  const other = await browser.page();
  const outline = 'Rivers: from the spring to the sea';
  const keys = [];
  let lost = false;

  await other.route('**/api/lessons', async (route) => {
    if (route.request().method() !== 'POST') return route.fallback();
    keys.push(route.request().headers()['idempotency-key']);
    if (lost) return route.fallback();
    lost = true;
    await route.fetch(); // it is made; nobody hears of it
    return route.abort('connectionreset');
  });
  await other.goto('/');
  await other.getByLabel('Outline').fill(outline);
  await other.getByLabel('Outline').press('Control+Enter');
  await other.getByText(/The server cannot be reached.*Your text is kept/).waitFor();
  await other.reload();
  await other.getByRole('button', { name: 'Generate lesson' }).click();
  await other.locator('#outline').and(other.locator(':not(:read-only)')).waitFor();
  await eventually('sent twice', () => keys.length === 2);
  await eventually('the form is empty', async () => (await other.getByLabel('Outline').inputValue()) === '');
  assert.equal(keys[0], keys[1]);
  assert.equal((await lessonsOf(outline)).length, 1);
  await other.context().close();
});

test('control_enter_sends_from_any_field', async () => {
  await page.goto('/');
  await page.getByLabel('Outline').fill('Bridges: arches and cables');
  await page.getByLabel('Sections').press('Control+Enter');
  await page.locator('.lesson-rows tr', { hasText: 'Bridges' }).first().waitFor();
  assert.deepEqual(page.faults, []);
});

for (const [status, member, label] of [
  [400, 'gradeLevel', 'Grade'],
  [400, 'sections', 'Sections'],
  [422, 'learningStyle', 'Learning style'],
  [422, 'provider', 'Provider'],
  [400, 'includeExamples', 'Examples'],
]) {
  test(`a_${status}_about_${member}_is_shown_where_it_belongs`, async () => {
    const other = await browser.page({ expect: [status] });

    await other.route('**/api/lessons', (route) =>
      route.request().method() === 'POST'
        ? route.fulfill({
            status,
            contentType: 'application/problem+json',
            body: JSON.stringify({ status, title: 'no', detail: `${member}: not one of its values` }),
          })
        : route.fallback(),
    );
    await other.goto('/');
    await other.getByLabel('Outline').fill('Kept as it is');
    await other.getByRole('button', { name: 'Generate lesson' }).click();
    await other
      .locator('.field, .checks', { has: other.getByLabel(label, { exact: true }) })
      .locator('.field-error', { hasText: 'not one of its values' })
      .waitFor();
    assert.equal(await other.getByLabel('Outline').inputValue(), 'Kept as it is');
    assert.deepEqual(other.faults, []);
    await other.context().close();
  });
}

test('after_a_429_the_button_rests_for_as_long_as_was_asked', async () => {
  const other = await browser.page({ expect: [429] });
  let posts = 0;

  await other.route('**/api/lessons', (route) => {
    if (route.request().method() !== 'POST') return route.fallback();
    posts += 1;
    if (posts > 1) return route.fallback();
    return route.fulfill({ status: 429, headers: { 'Retry-After': '2' }, contentType: 'application/json', body: '{}' });
  });
  await other.goto('/');
  await other.getByLabel('Outline').fill('Patience: a virtue');
  const button = other.getByRole('button', { name: 'Generate lesson' });
  await button.click();
  await other.getByText(/Can be sent again in [12]\ss/).waitFor();
  assert.ok(await button.isDisabled());
  await other.getByLabel('Outline').press('Control+Enter');
  assert.equal(posts, 1);
  await button.and(other.locator(':enabled')).click();
  await other.locator('.lesson-rows tr', { hasText: 'Patience' }).first().waitFor();
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('the_first_run_offers_an_outline', async () => {
  const other = await browser.page({ as: 'user' });

  await other.goto('/');
  await other.getByRole('button', { name: /^Why the moon/ }).click();
  assert.match(await other.getByLabel('Outline').inputValue(), /^Why the moon changes its shape\n- what a month is/);
  assert.equal(await other.evaluate(() => document.activeElement.id), 'outline');
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

// ---- the list -------------------------------------------------------------------------------

test('the_list_is_searched_as_one_types_and_the_address_keeps_it', async () => {
  await generated('Magnets: what they pull');
  const search = page.getByRole('searchbox', { name: 'Search lessons' });
  const rows = page.locator('.lesson-rows tbody tr');

  await search.fill('MAGN');
  await eventually('only the one', async () => (await rows.count()) === 1);
  await search.press('Enter');
  await page.waitForURL('**/?q=MAGN');
  await page.reload();
  await eventually('still only the one', async () => (await rows.count()) === 1);
  await search.fill('nothing like this');
  await page.getByText('No lesson matches').waitFor();
  await page.getByRole('button', { name: 'All lessons' }).click();
  await eventually('all again', async () => (await rows.count()) > 1);
  assert.equal(await search.inputValue(), '');
  assert.deepEqual(page.faults, []);
});

test('a_deleted_lesson_comes_back_with_undo', async () => {
  const id = await generated('Clouds: what they are made of');

  await rowOf(page, id).getByRole('button', { name: /^Delete/ }).click();
  await rowOf(page, id).waitFor({ state: 'detached' });
  assert.equal(await statusOf(id), 200, 'it is still there');
  await page.getByRole('button', { name: 'Undo' }).click();
  await rowOf(page, id).waitFor();
  await page.reload();
  await rowOf(page, id).waitFor();
  assert.equal(await statusOf(id), 200);
  assert.deepEqual(page.faults, []);
});

test('a_deleted_lesson_is_gone_when_its_message_is_dismissed_or_the_page_left', async () => {
  const [first, second] = [await generated('Gone by a click'), await generated('Gone by going')];

  await rowOf(page, first).getByRole('button', { name: /^Delete/ }).click();
  await page.locator('.toast', { hasText: 'Gone by a click' }).getByRole('button', { name: 'Dismiss' }).click();
  await eventually('the first is gone', async () => (await statusOf(first)) === 404);
  await rowOf(page, second).getByRole('button', { name: /^Delete/ }).click();
  await rowOf(page, second).waitFor({ state: 'detached' });
  await page.goto('/traces');
  await eventually('the second is gone', async () => (await statusOf(second)) === 404);
  assert.deepEqual(page.faults, []);
});

test('an_answer_from_before_a_deletion_does_not_bring_the_lesson_back', async () => {
  const other = await browser.page();
  const id = await generated('Deleted while the list was asked for');
  let held = null;
  let answered = false;
  let answer;
  const gate = new Promise((resolve) => (answer = resolve));

  await other.goto('/');
  await rowOf(other, id).waitFor();
  await generated('A list that has changed');
  await rowOf(other, id).getByRole('button', { name: /^Delete/ }).click();
  await other.route((url) => url.pathname === '/api/lessons', async (route) => {
    if (held) {
      await route.continue();
      return;
    }
    held = route.fetch();
    const before = await held;
    await gate;
    await route.fulfill({ response: before }).catch(() => {}); // it may be asked for anew
    answered = true;
  });
  await other.evaluate(() => dispatchEvent(new Event('online'))); // the list is asked for
  await eventually('it is under way', () => held !== null);
  await held;
  await other.getByRole('button', { name: 'Dismiss' }).click();
  await eventually('it is gone', async () => (await statusOf(id)) === 404);
  answer();
  await eventually('it is answered', () => answered);
  await other.waitForTimeout(500);
  assert.equal(await rowOf(other, id).count(), 0);
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('a_deletion_that_is_refused_brings_the_row_back_and_says_why', async () => {
  const other = await browser.page({ expect: [503] });
  const id = await generated('Not to be deleted');

  await other.route(`**/api/lessons/${id}`, (route) =>
    route.fulfill({
      status: 503,
      contentType: 'application/problem+json',
      body: JSON.stringify({ status: 503, detail: 'the database is away' }),
    }),
  );
  await other.goto('/');
  await rowOf(other, id).getByRole('button', { name: /^Delete/ }).click();
  await other.getByRole('button', { name: 'Dismiss' }).click();
  await other.getByText(/was not deleted: the database is away/).waitFor();
  await rowOf(other, id).waitFor();
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('a_running_lesson_is_cancelled_and_the_dialog_says_what_that_does', async () => {
  const row = await sent('Long: a lesson that takes its time', 'slow-300000');
  const id = (await row.locator('.row-link').getAttribute('href')).split('/').at(-1);

  await row.getByText(/asking sample slow-300000/).waitFor();
  await row.getByRole('button', { name: /^Cancel/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('The generation stops and the lesson is deleted.').waitFor();
  await dialog.getByRole('button', { name: 'Go on generating' }).click();
  assert.equal(await statusOf(id), 200);
  await row.getByRole('button', { name: /^Cancel/ }).click();
  await dialog.getByRole('button', { name: 'Cancel and delete' }).click();
  await row.waitFor({ state: 'detached' });
  await page.getByText('Cancelled, and the lesson deleted').waitFor();
  assert.equal(await statusOf(id), 404);
  assert.deepEqual(page.faults, []);
});

test('a_dialog_about_a_lesson_that_ends_meanwhile_says_so', async (t) => {
  const release = holdSample(stack);
  t.after(release);
  const row = await sent('Almost there', 'slow-1');
  const dialog = page.getByRole('dialog');

  await row.getByRole('button', { name: /^Cancel/ }).click();
  await dialog.getByRole('heading', { name: 'Cancel this generation?' }).waitFor();
  release();
  await dialog.getByRole('heading', { name: 'Delete this lesson?' }).waitFor();
  assert.doesNotMatch(await dialog.innerText(), /generation/);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await row.getByText('generated', { exact: true }).waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_row_tells_which_attempt_it_is', async () => {
  const row = await sent('Stubborn: trying again and again', 'fail-500');

  await row.getByText(/· attempt [23] ·|every provider failed/).waitFor();
  await row.getByText('failed', { exact: true }).waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_lesson_is_generated_again_from_its_row', async () => {
  const row = await sent('Second try: better luck', 'fail-401');

  await row.getByText('failed', { exact: true }).waitFor();
  await row.getByRole('button', { name: /^Generate again/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Provider').selectOption('sample');
  await dialog.getByLabel('Model').fill('slow-10');
  await page.keyboard.press('Escape');
  await row.getByRole('button', { name: /^Generate again/ }).click();
  assert.equal(await dialog.getByLabel('Model').inputValue(), 'slow-10', 'what was chosen is not lost');
  await dialog.getByRole('button', { name: 'Generate again' }).click();
  await page.locator('.lesson-rows tr', { hasText: 'Second try' }).getByText('generated', { exact: true }).waitFor();
  assert.deepEqual(page.faults, []);
});

// ---- a lesson -------------------------------------------------------------------------------

test('a_lesson_that_failed_offers_a_way_on', async () => {
  const row = await sent('Dead end: or not', 'fail-401');

  await row.getByText('failed', { exact: true }).waitFor();
  await row.locator('.row-link').click();
  await page.getByText('The provider refused the key').waitFor();
  assert.match(
    await page.getByRole('link', { name: 'See what was tried' }).getAttribute('href'),
    /^\/traces\/[0-9a-f-]{36}$/,
  );
  await page.getByRole('button', { name: 'Try again, or another provider' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Provider').selectOption('sample');
  await dialog.getByLabel('Model').fill('slow-1');
  await dialog.getByRole('button', { name: 'Generate again' }).click();
  await page.locator('.prose h2').first().waitFor();
  await page.getByRole('heading', { name: '2 generations' }).waitFor();
  await page.locator('.page-meta .provider', { hasText: 'slow-1' }).waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_generation_can_be_compared_with_the_newest', async () => {
  const id = await generated('Twice told');

  await page.goto(`/lessons/${id}`);
  await page.getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('heading', { name: '2 generations' }).waitFor();
  const { lesson } = await (await page.request.get(`/api/lessons/${id}`)).json();
  const [newest, older] = lesson.trace_ids;
  assert.equal(
    await page.getByRole('link', { name: 'Compare with newest' }).getAttribute('href'),
    `/traces/compare?a=${older}&b=${newest}`,
  );
  assert.deepEqual(page.faults, []);
});

test('a_lesson_under_way_tells_what_failed_so_far', async () => {
  const row = await sent('Persistence: never give up', 'fail-500');

  await row.locator('.row-link').click();
  const story = page.locator('.attempts, .note.tone-bad');
  await story.first().waitFor();
  assert.match(await story.first().innerText(), /sample fail-500: 500 provider error after \d|every provider failed/);
  await page.getByText('The lesson could not be generated.').waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_lesson_that_ends_while_its_traces_are_asked_for_has_them_as_they_are', async (t) => {
  const release = holdSample(stack);
  t.after(release);
  const other = await browser.page();
  const row = await sent('Ends at the wrong moment', 'slow-1');
  const id = (await row.locator('.row-link').getAttribute('href')).split('/').at(-1);
  let status;
  let held = false;

  await other.route(/lesson_id=.*view=summary/, async (route) => {
    if (held) {
      await route.continue();
      return;
    }
    held = true;
    const before = await route.fetch();
    status = (await before.json()).traces[0].status;
    release();
    await other.locator('.page-meta').getByText('generated', { exact: true }).waitFor();
    await route.fulfill({ response: before }).catch(() => {}); // it may be asked for anew
  });
  await other.goto(`/lessons/${id}`);
  await other.locator('.page-meta').getByText('generated', { exact: true }).waitFor();
  assert.equal(status, 'started');
  await other.locator('.page-meta .provider').waitFor();
  await other.unrouteAll({ behavior: 'wait' });
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('a_lesson_downloads_as_the_markdown_it_is', async () => {
  const id = await generated('Ünïcode: naïve façades');
  await stack.psql(`UPDATE lessons SET title = 'Ünïcode / 数学: ../x', content = '# T' || chr(10) || 'é' WHERE id = '${id}'`);

  await page.goto(`/lessons/${id}`);
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download .md' }).click(),
  ]);
  assert.equal(file.suggestedFilename(), 'ünïcode-数学-x.md');
  assert.equal(await readFile(await file.path(), 'utf8'), '# T\né');
  assert.deepEqual(page.faults, []);
});

test('mathematics_and_prices_stay_as_they_are', async () => {
  const id = await generated('Sums');
  const text = String.raw`# Sums

For $a_1 * b_2 * c_3$ and \(x_1 < x_2\) and $$y_1$$ pay $5 or $10, and *this* is emphasis. $<b>$`;
  await stack.psql(`UPDATE lessons SET content = $text$${text}$text$ WHERE id = '${id}'`);

  await page.goto(`/lessons/${id}`);
  await page.locator('.prose .math').first().waitFor();
  assert.deepEqual(await page.locator('.prose .math').allInnerTexts(), [
    'a_1 * b_2 * c_3',
    'x_1 < x_2',
    'y_1',
    '<b>',
  ]);
  assert.deepEqual(await page.locator('.prose em').allInnerTexts(), ['this']);
  assert.match(await page.locator('.prose').innerText(), /pay \$5 or \$10/);
  assert.deepEqual(page.faults, []);
});

test('paper_gets_the_lesson_and_nothing_else', async () => {
  const id = await generated('Paper: folded and written on');

  await page.goto(`/lessons/${id}`);
  await page.locator('.prose section').nth(2).waitFor();
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  for (const gone of ['.top', '.actions', '.crumbs', '.lesson-foot', '.page-meta a']) {
    assert.equal(await page.locator(gone).first().isVisible(), false, gone);
  }
  assert.equal(await page.locator('h1').isVisible(), true);
  assert.deepEqual(
    await page.evaluate(() => [
      getComputedStyle(document.documentElement).backgroundColor,
      getComputedStyle(document.querySelector('.prose section')).breakInside,
      getComputedStyle(document.querySelector('.prose h2')).breakAfter,
    ]),
    ['rgb(255, 255, 255)', 'avoid', 'avoid'],
  );
  assert.ok((await page.pdf()).length > 1000);
  await page.emulateMedia({ media: null, colorScheme: null });
  assert.deepEqual(page.faults, []);
});

test('a_time_is_written_as_on_the_other_pages', async () => {
  const id = await generated('Clocks: what time is it?');
  const now = /^\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [A-Z+]/;

  await page.goto(`/lessons/${id}`);
  assert.match(await page.locator('.page-meta > time').innerText(), now);
  await page.goto('/');
  assert.match(await rowOf(page, id).locator('time').first().getAttribute('title'), now);
  assert.deepEqual(page.faults, []);
});

// ---- by keyboard ----------------------------------------------------------------------------

// Tab until what has the focus answers to that name.
async function tabTo(name) {
  for (let i = 0; i < 250; i++) {
    await page.keyboard.press('Tab');
    const now = await page.evaluate(() => {
      const one = document.activeElement;
      return one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent;
    });
    if (name.test(now.trim())) return;
  }
  assert.fail(`Tab never comes to ${name}`);
}
const press = (key) => page.keyboard.press(key);

test('generate_open_repeat_compare_delete_and_undo_by_keyboard_alone', async () => {
  const keys = await browser.page({ expect: [404] });
  const mouse = page;
  page = keys; // for the helpers
  await page.goto('/');
  await page.locator('.lesson-rows').waitFor();

  await tabTo(/^Outline$/);
  await page.keyboard.type('Keyboards: letters in rows');
  await press('Control+Enter');
  const row = page.locator('.lesson-rows tr', { hasText: 'Keyboards' });
  await row.getByText('generated', { exact: true }).waitFor();
  const title = (await row.locator('.row-link').innerText()).replace(/[^\w ]/g, '.');
  await tabTo(new RegExp(`^${title}$`));
  await press('Enter');
  await page.waitForURL('**/lessons/*');
  await page.locator('.prose h2').first().waitFor();

  await tabTo(/^Generate again$/);
  await press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(/^Generate again$/);
  await press('Enter');
  await page.getByRole('heading', { name: '2 generations' }).waitFor();
  await tabTo(/^Compare with newest$/);
  await press('Enter');
  await page.waitForURL('**/traces/compare?a=*&b=*');

  await page.goto('/');
  await row.waitFor();
  await tabTo(new RegExp(`^Delete ${title}$`));
  await press('Enter');
  await row.waitFor({ state: 'detached' });
  assert.match(
    await page.evaluate(() => document.activeElement.className),
    /row-link/,
    'the focus is at the next lesson',
  );
  await press('Control+z');
  await row.waitFor();
  await page.goto('/?q=Keyboards'); // the only row: "Undo" is near, also for a slow Tab
  await row.waitFor();
  await tabTo(new RegExp(`^Delete ${title}$`));
  await press('Enter');
  await tabTo(/^Undo$/);
  await press('Enter');
  await row.waitFor();
  assert.deepEqual(page.faults, []);
  page = mouse;
  await keys.context().close();
});
