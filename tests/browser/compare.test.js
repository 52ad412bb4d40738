// Two traces side by side.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';

let stack, browser, page, first, second, other;

const api = async (path, body) => {
  const answer = await stack.fetch(path, {
    as: 'admin',
    ...(body && { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return answer.json();
};

async function ended(id) {
  for (;;) {
    const { trace } = await api(`/api/traces/${id}`);
    if (trace.status !== 'started') return trace;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();
  const { lesson } = await api('/api/lessons', { outline: 'Volcanoes: why mountains spit fire', provider: 'sample' });
  first = await ended(lesson.trace_ids[0]);
  const again = await api(`/api/lessons/${lesson.id}/regenerate`, { provider: 'sample', model: 'slow-500' });
  second = await ended(again.lesson.trace_ids[0]);
  // The sample provider writes the same text each time.
  await stack.psql(`
    UPDATE lesson_traces
       SET response_data = jsonb_set(response_data, '{content}',
             to_jsonb(replace(response_data->>'content', 'Read slowly', 'Read <b>quickly</b>') || 'One line more.'))
     WHERE id = '${second.id}'`);
  const made = await api('/api/lessons', { outline: 'Glaciers: rivers of ice', gradeLevel: '5' });
  other = await ended(made.lesson.trace_ids[0]);
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

const row = (name) => page.getByRole('row', { name: new RegExp(`^(≠ )?${name}\\b`) });

test('a_trace_is_compared_with_the_generation_before_it', async () => {
  await page.goto(`/traces/${second.id}`);
  await page.getByRole('link', { name: 'Compare', exact: true }).click();
  await page.waitForURL(`**/traces/compare?a=${first.id}&b=${second.id}`);
  await page.getByRole('heading', { name: 'Compare two traces' }).waitFor();
  await row('Duration').waitFor();
  assert.deepEqual(page.faults, []);
});

test('settings_that_differ_are_marked_in_words_too', async () => {
  assert.match(await row('Model asked for').innerText(), /slow-500\s+differs/);
  assert.match(await row('Grade').innerText(), /2\s+2\s+same/);
  assert.match(await row('System prompt').innerText(), /same/);
  assert.deepEqual(page.faults, []);
});

test('totals_have_their_differences', async () => {
  const by = second.total_duration_ms - first.total_duration_ms;

  assert.ok(by > 0);
  assert.match(await row('Duration').innerText(), /\+.*\(\+\d+ %\)/);
  assert.match(await row('Tokens in').innerText(), /±0/);
  assert.match(await row('Tokens in').innerText(), new RegExp(String(first.prompt_tokens)));
  assert.deepEqual(page.faults, []);
});

test('the_calls_stand_beside_each_other_on_one_scale', async () => {
  const widths = await page.evaluate(() =>
    ['Before', 'After'].map((title) => {
      const timeline = document.querySelector(`[aria-label="Timeline: ${title}"]`);
      const whole = timeline.querySelector('.kind-whole .timeline-bar');
      return whole.offsetWidth / whole.parentElement.offsetWidth;
    }));

  assert.ok(widths[0] < widths[1], 'the longer one is longer');
  assert.ok(widths[1] > 0.9, 'and fills the axis');
  await page.getByRole('list', { name: 'Timeline: After' }).getByText('sample slow-500 attempt 1').waitFor();
  assert.deepEqual(page.faults, []);
});

test('one_that_still_runs_has_the_same_scale', async () => {
  const other = await browser.page();
  const { lesson } = await api('/api/lessons', { outline: 'Rivers', provider: 'sample', model: 'slow-300000' });
  const ticks = () => other.locator('.compare-calls .timeline-axis').evaluateAll((all) => all.map((one) => one.textContent));

  await other.goto(`/traces/compare?a=${first.id}&b=${lesson.trace_ids[0]}`);
  await other.getByText('Calls, on one scale').waitFor();
  for (let i = 0; i < 5; i++) {
    const [before, after] = await ticks();
    assert.equal(before, after);
    await other.waitForTimeout(300);
  }
  assert.equal((await stack.fetch(`/api/lessons/${lesson.id}`, { as: 'admin', method: 'DELETE' })).status, 200);
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('the_texts_differ_by_lines_and_words_and_nothing_in_them_runs', async () => {
  const diff = page.getByRole('group', { name: 'Differences' });

  assert.match((await diff.locator('.diff-line.removed').first().innerText()).replace(/\s+/g, ' '), /^− ?removed: .*Read slowly,/);
  assert.deepEqual(await diff.locator('del').allInnerTexts(), ['slowly']);
  assert.equal((await diff.locator('ins').allInnerTexts()).join(''), '<b>quickly</b>One line more.');
  await page.getByText('2 lines added (+), 1 line removed (−)').waitFor();
  const lines = await diff.locator('.diff-line').count();
  await page.getByRole('button', { name: /^Show \d+ lines that are the same$/ }).click();
  assert.ok((await diff.locator('.diff-line').count()) > lines);
  assert.deepEqual(page.faults, []);
});

test('another_trace_can_be_chosen_or_pasted', async () => {
  const choice = (title) => page.getByRole('group', { name: title, exact: true });
  let held = 0;

  // The list of the one may come long before that of the other.
  await page.route(/[?&]lesson_id=/, async (route) => {
    held += 1;
    if (held === 1) await choice('After').getByLabel('Trace of this lesson').waitFor();
    await route.continue();
  });
  await page.goto(`/traces/compare?b=${second.id}`);
  await choice('Before').getByLabel('Trace of this lesson').selectOption(first.id);
  await page.waitForURL((url) => url.searchParams.get('a') === first.id);
  await row('Duration').waitFor();
  await page.unroute(/[?&]lesson_id=/);
  assert.ok(held > 1);

  const anyTrace = choice('Before').getByLabel('Or any trace');
  await anyTrace.fill('not an id');
  await choice('Before').getByRole('button', { name: 'Show', exact: true }).click();
  await choice('Before').getByText('This holds no id of a trace').waitFor();
  await anyTrace.fill(`${stack.baseUrl}/traces/${other.id}`);
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.searchParams.get('a') === other.id);
  await page.getByRole('link', { name: 'Glaciers: rivers of ice' }).waitFor();
  assert.match(await row('Grade').innerText(), /5\s+2\s+differs/);
  await page.goBack();
  await page.getByRole('link', { name: 'Volcanoes: why mountains spit fire' }).first().waitFor();
  assert.deepEqual(page.faults, []);
});

test('the_address_of_no_trace_says_so', async () => {
  const lost = await browser.page({ expect: [400, 404] });

  await lost.goto(`/traces/compare?a=${first.id}&b=00000000-0000-4000-8000-000000000000`);
  await lost.getByText('There is no such trace').waitFor();
  await lost.goto(`/traces/compare?a=${first.id}&b=nonsense`);
  await lost.getByText('This is not the address of a trace').waitFor();
  assert.deepEqual(lost.faults, []);
});

test('nothing_scrolls_sideways_at_any_width', async () => {
  for (const width of [360, 768, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto(`/traces/compare?a=${first.id}&b=${second.id}`);
    await row('Duration').waitFor();
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `at ${width} px`);
  }
  assert.deepEqual(page.faults, []);
});
