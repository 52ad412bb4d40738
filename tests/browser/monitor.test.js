// "/monitor": its numbers are those of the database, each leads to exactly its traces, and all that one chose is in
// the address.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { crash } from '../lib/postgres.js';
import { openBrowser } from './browser.js';

const WIDTHS = [360, 768, 1280, 1920, 2560];
const DAY_MS = 86_400_000;

let stack, browser, page;

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();
  await fill();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

// 400 that ended in the last 20 h and 3 that run, 200 in the 24 h before, 7 of 40 days ago; a provider and a model of
// few; unknown costs.
async function fill() {
  await stack.psql(`
    TRUNCATE lesson_traces;
    INSERT INTO lesson_traces (owner, request_data, created_at, completed_at, status, provider_used, model,
                               fallback_providers, total_duration_ms, prompt_tokens, completion_tokens, total_tokens,
                               cost_usd, llm_call_count, error_class, llm_calls)
    SELECT 'admin', jsonb_build_object('outline', 'Measured ' || n), at, at + duration * interval '1 ms',
           CASE WHEN failed THEN 'failed' ELSE 'completed' END,
           CASE WHEN failed THEN NULL WHEN few THEN 'groq' WHEN n % 3 = 0 THEN 'anthropic' ELSE 'openai' END,
           CASE WHEN failed THEN NULL WHEN few THEN 'small' WHEN n % 3 = 0 THEN 'claude' ELSE 'gpt' END,
           CASE WHEN n % 10 = 0 THEN ARRAY['openai'] ELSE ARRAY[]::text[] END,
           duration, 100 + n, CASE WHEN failed THEN NULL ELSE 500 + n END, 600 + 2 * n,
           CASE WHEN n % 3 = 0 THEN 0.01 + n / 100000.0 END, 1 + n % 2,
           CASE WHEN failed THEN (ARRAY['timeout', 'rate_limited', 'server_error'])[1 + n % 3]
                WHEN n % 10 = 0 THEN 'timeout' END,
           CASE WHEN failed OR n % 10 = 0
                THEN jsonb_build_array(jsonb_build_object('provider', CASE WHEN failed THEN 'gemini' ELSE 'openai' END,
                                                          'error_class', 'timeout', 'cost_usd', n / 100000.0))
                ELSE '[]' END
      FROM (SELECT n, at, n % CASE WHEN n <= 400 THEN 8 ELSE 20 END = 0 AS failed, n % 40 = 1 AS few, 1000 + n * 7 % 9000 AS duration
              FROM (SELECT n, now() - CASE WHEN n <= 400 THEN n * interval '3 min'
                                           WHEN n <= 600 THEN interval '25 h' + (n - 400) * interval '5 min'
                                           ELSE interval '40 days' + n * interval '1 s' END AS at
                      FROM generate_series(1, 607) n) a) b;
    INSERT INTO lesson_traces (owner, request_data, created_at)
    SELECT 'admin', '{"outline": "Running"}', now() - n * interval '1 min' FROM generate_series(1, 3) n`);
}

async function visit(address) {
  await page.goto(address);
  await page.locator('.plot canvas, .empty, .numbers').first().waitFor();
}

const textOf = async (label) => (await figure(label).locator('.figure').innerText()).trim();
const figure = (label) =>
  page.locator('.headline > div', { has: page.locator(`dt:text-is("${label}")`) });
const chart = (title) => page.getByRole('region', { name: title, exact: true });
const plain = (text) => text.replaceAll('\u00a0', ' ').trim();
const ask = async (path) => (await stack.fetch(path, { as: 'admin' })).json();
const queryOf = (href) => Object.fromEntries(new URL(href, 'http://x').searchParams);

// The period on show, from a link of it.
async function shownPeriod() {
  const { from, to } = queryOf(await figure('Requests').locator('.figure a').getAttribute('href'));
  return { from, to, where: `created_at >= '${from}' AND created_at < '${to}'` };
}

test('its_numbers_are_those_of_the_database', async () => {
  await visit('/monitor');
  const { where } = await shownPeriod();
  const sql = (await stack.psql(`
    SELECT count(*), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status <> 'started'),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY total_duration_ms),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY total_duration_ms),
           percentile_disc(0.99) WITHIN GROUP (ORDER BY total_duration_ms),
           count(*) FILTER (WHERE cardinality(fallback_providers) > 0),
           sum(prompt_tokens), sum(completion_tokens), round(sum(cost_usd), 2),
           (SELECT round(sum((call ->> 'cost_usd')::numeric), 4)
              FROM lesson_traces, jsonb_array_elements(llm_calls) call
             WHERE call ->> 'error_class' IS NOT NULL AND ${where}),
           count(cost_usd)
      FROM lesson_traces WHERE ${where}`)).split('|').map(Number);
  const [requests, failed, ended, p50, p95, p99, fallbacks, tokensIn, tokensOut, cost, failedCost, known] = sql;
  const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
  const read = async (label) => plain(await textOf(label));

  assert.deepEqual([requests, ended], [403, 400], 'the test has its data');
  assert.deepEqual(
    {
      requests: await read('Requests'),
      rate: await read('Error rate'),
      durations: [await read('Duration p50'), await read('Duration p95'), await read('Duration p99')],
      fallbacks: await read('Fallbacks'),
      tokens: [await read('Tokens in'), await read('Tokens out')],
      costs: [await read('Cost'), await read('Cost of failed calls')],
    },
    {
      requests: String(requests),
      rate: `${((failed / ended) * 100).toFixed(1)} %`,
      durations: [p50, p95, p99].map(seconds),
      fallbacks: String(fallbacks),
      tokens: [tokensIn, tokensOut].map((n) => n.toLocaleString('en')),
      costs: [`$${cost.toFixed(2)}`, `$${failedCost.toFixed(4)}`],
    },
  );
  assert.match(await figure('Cost').innerText(), new RegExp(`known for ${known} of ${requests}`));
  assert.match(await figure('Duration p95').innerText(), new RegExp(`n = ${ended}`));
  assert.deepEqual(page.faults, []);
});

test('each_number_is_compared_with_the_period_before_in_words', async () => {
  await visit('/monitor');
  const words = async (label) => plain(await figure(label).locator('.figure-change').textContent());
  const { from, to } = await shownPeriod();
  const [before, failedBefore] = (await stack.psql(`
    SELECT count(*), count(*) FILTER (WHERE status = 'failed') FROM lesson_traces
     WHERE created_at >= '${from}'::timestamptz - interval '24 h' AND created_at < '${from}'`))
    .split('|').map(Number);

  assert.equal(Date.parse(to) - Date.parse(from), DAY_MS);
  assert.match(await page.locator('.monitor-caption').innerText(), /compared with the 24 h before/);
  assert.equal(await words('Requests'), `↑ ${Math.round(((403 - before) / before) * 100)} % more`);
  const points = 12.5 - (failedBefore / before) * 100;
  assert.equal(await words('Error rate'), `↑ ${points.toFixed(1)} points higher, which is worse`);
  assert.match(await words('Duration p50'), /slower, which is worse|faster, which is better|unchanged|about the same/);
});

test('every_number_leads_to_exactly_its_traces', async () => {
  await visit('/monitor?table=requests');
  const links = await page.locator('main a[href^="/traces"]').evaluateAll((all) =>
    all.map((a) => ({ href: a.getAttribute('href'), text: a.textContent.trim() })),
  );
  let counts = 0;

  assert.ok(links.length > 100, `${links.length} links`);
  const asked = new Map(links.map(({ href }) => [href, null]));
  for (const href of asked.keys()) {
    const { sort, ...filters } = queryOf(href);
    const list = new URLSearchParams({ ...filters, ...(sort && { sort }), view: 'summary', limit: '1', count: 'exact' });
    const { total } = await ask(`/api/traces?${list}`);
    assert.ok(Number.isInteger(total), `${href} is no list`);
    asked.set(href, total);
  }
  for (const { href, text } of links) {
    const figureInText = /^(?:n = )?([\d,]+)(?: (?:running|failed|ended|failed calls))?$/.exec(text)?.[1];
    if (figureInText === undefined || queryOf(href).sort) continue;
    assert.equal(asked.get(href), Number(figureInText.replaceAll(',', '')), `${text} leads to ${href}`);
    counts += 1;
  }
  assert.ok(counts > 60, `${counts} counts`);
});

test('the_list_of_a_number_shows_as_many', async () => {
  await visit('/monitor?provider=groq');
  const n = Number(await textOf('Requests'));
  assert.equal(n, 10);
  await figure('Requests').locator('.figure a').click();
  await page.waitForURL(/\/traces\?/);
  await page.locator('.trace-rows tbody tr').nth(n - 1).waitFor();
  assert.equal(await page.locator('.trace-rows tbody tr').count(), n);
  await page.goBack();
  await figure('Requests').waitFor();
  assert.equal(await page.getByLabel('Provider', { exact: true }).inputValue(), 'groq');
});

test('what_failed_calls_cost_leads_to_their_traces_and_the_list_says_so', async () => {
  await visit('/monitor');
  await figure('Cost of failed calls').getByRole('link', { name: /failed calls/ }).click();
  await page.waitForURL(/failed_provider=/);
  const chips = page.getByRole('group', { name: 'Filters in use' });
  await chips.getByText('Failed call: gemini').waitFor();
  await page.locator('.trace-rows tbody tr').first().waitFor();
  await chips.getByRole('button', { name: /Failed call: gemini/ }).click();
  await page.waitForURL((url) => url.searchParams.get('failed_provider') === 'openai');
  await page.goto('/traces?fallback=true');
  await chips.getByText('with a fallback').waitFor();
  assert.equal(await page.locator('.ignored').count(), 0);
  await page.goto('/traces?fallback=perhaps');
  await page.locator('.ignored', { hasText: 'fallback=perhaps' }).waitFor();
});

test('a_percentile_of_few_is_marked_as_uncertain', async () => {
  await visit('/monitor?provider=groq');
  assert.match(plain(await figure('Duration p95').innerText()), /uncertain: n = 10/);
  assert.equal(await figure('Duration p95').locator('.figure-change').innerText(), '');
  const row = page.locator('.figures tr', { has: page.getByRole('rowheader', { name: 'small' }) });
  assert.equal(await row.locator('.uncertain').count(), 3);
  await visit('/monitor?provider=openai');
  assert.doesNotMatch(await figure('Duration p95').innerText(), /uncertain/);
});

test('what_is_unknown_is_a_dash_and_leads_nowhere', async () => {
  await stack.psql(`UPDATE lesson_traces SET cost_usd = NULL WHERE provider_used = 'groq'`);
  await visit('/monitor?provider=groq');
  assert.equal(await textOf('Cost'), '—');
  assert.equal(await figure('Cost').locator('.figure a').count(), 0);
  assert.match(await figure('Cost').innerText(), /known for 0 of 10/);
});

test('ranges_and_filters_live_in_the_address', async () => {
  const pressed = () => page.locator('.ranges [aria-pressed="true"]').innerText();

  await visit('/monitor');
  assert.equal(await pressed(), '24 h');
  await page.getByRole('button', { name: '7 d', exact: true }).click();
  await page.getByText('compared with the 7 d before').waitFor();
  assert.match(page.url(), /\/monitor\?range=7d$/);
  assert.equal(await textOf('Requests'), '603');
  await page.getByLabel('Provider', { exact: true }).selectOption('anthropic');
  await page.waitForURL(/range=7d&provider=anthropic/);
  await page.locator('.monitor-body[aria-busy="false"]').waitFor();
  const { where } = await shownPeriod();
  const count = async (and) => stack.psql(`SELECT count(*) FROM lesson_traces WHERE ${where} AND ${and}`);
  assert.equal(await textOf('Requests'), await count(`provider_used = 'anthropic'`));
  await page.goBack();
  await page.locator('.monitor-body[aria-busy="false"]').waitFor();
  assert.equal(await textOf('Requests'), '603');
  await page.getByLabel('Model', { exact: true }).selectOption('none');
  await page.waitForURL(/model=none/);
  await page.locator('.monitor-body[aria-busy="false"]').waitFor();
  assert.equal(await textOf('Requests'), await count('model IS NULL'));
  await page.reload();
  await figure('Requests').waitFor();
  assert.equal(await textOf('Requests'), await count('model IS NULL'));
  assert.deepEqual(page.faults, []);
});

test('a_range_of_ones_own_is_taken_in_the_zone_on_show', async () => {
  const session = await page.context().newCDPSession(page);
  const at = new Date(Date.now() - 3 * 3_600_000);
  const stamp = (ms) => new Date(ms).toISOString().slice(0, 19);

  await session.send('Emulation.setTimezoneOverride', { timezoneId: 'Asia/Kolkata' });
  await visit('/monitor');
  await page.getByRole('button', { name: 'Custom…' }).click();
  const form = page.getByRole('form', { name: 'Custom range' });
  await form.getByText('Asia/').waitFor();
  await form.getByLabel('From').fill(stamp(at.getTime() + 5.5 * 3_600_000));
  await form.getByLabel('to').fill(stamp(at.getTime() + 6.5 * 3_600_000));
  await form.getByRole('button', { name: 'Apply' }).click();
  await page.waitForURL(/from=/);
  assert.equal(Math.round(Date.parse(queryOf(page.url()).from) / 1000), Math.floor(at / 1000));
  await page.getByText('compared with the 1 h before').waitFor();

  await page.getByRole('button', { name: 'UTC', exact: true }).click();
  await form.getByText('UTC').waitFor();
  assert.equal((await form.getByLabel('From').inputValue()).slice(0, 16), stamp(at).slice(0, 16));
  await page.reload();
  await page.locator('.monitor-caption', { hasText: 'UTC' }).waitFor();
  await page.getByRole('button', { name: 'Local', exact: true }).click();
  await page.locator('.monitor-caption', { hasText: 'Asia/' }).waitFor();

  await form.getByLabel('to').fill('2001-01-01T00:00:00');
  await form.getByRole('button', { name: 'Apply' }).click();
  await form.getByRole('alert').getByText('not before').waitFor();
  await session.send('Emulation.setTimezoneOverride', { timezoneId: '' });
  assert.deepEqual(page.faults, []);
});

test('a_range_that_is_being_entered_stays_while_time_goes_on', async () => {
  const other = await browser.page();

  await other.clock.install();
  await other.goto('/monitor');
  await other.locator('.plot canvas').first().waitFor();
  await other.getByRole('button', { name: 'Custom…' }).click();
  const from = other.getByRole('form', { name: 'Custom range' }).getByLabel('From');
  await from.fill('2026-01-02T03:04:05');
  const answer = other.waitForResponse(/\/stats/);
  await other.clock.runFor(31_000);
  await answer;
  assert.match(await from.inputValue(), /^2026-01-02T03:04:05/);
  assert.deepEqual(other.faults, []);
  await other.context().close();
});

test('an_address_that_is_no_range_says_why', async () => {
  const other = await browser.page({ expect: [400] });

  await other.goto('/monitor?from=yesterday&to=today');
  await other.getByText('This range cannot be shown').waitFor();
  await other.getByText(/from: /).waitFor();
  await other.getByRole('button', { name: 'The last 24 h' }).click();
  await other.locator('.headline').waitFor();
  assert.match(other.url(), /\/monitor$/);
  assert.deepEqual(other.faults, []);
});

test('charts_tell_exact_values_at_one_crosshair', async () => {
  await visit('/monitor?range=1h');
  const box = await chart('Requests').locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const tips = page.locator('.tip');
  await tips.nth(4).waitFor();
  const whens = await tips.locator('p:first-child').allInnerTexts();
  assert.equal(whens.length, 5);
  assert.equal(new Set(whens).size, 1, 'all tell of the same time');
  await page.mouse.move(2, 2);
  await tips.first().waitFor({ state: 'detached' });
  assert.deepEqual(page.faults, []);
});

test('a_table_has_the_numbers_of_the_chart', async () => {
  await visit('/monitor?range=1h');
  await page.getByRole('button', { name: 'Requests as a table' }).click();
  await page.waitForURL(/table=requests/);
  const table = chart('Requests').getByRole('table');
  assert.match(await table.locator('caption').innerText(), /^Requests, .*\(UTC\)$/);
  const { from, to } = await shownPeriod();
  const { stats } = await ask(`/api/traces/stats?${new URLSearchParams({ from, to, bucket: 'minute' })}`);
  const rows = await table.locator('tbody tr').evaluateAll((all) =>
    all.map((tr) => [...tr.querySelectorAll('td')].map((td) => Number(td.textContent.trim()))),
  );
  assert.deepEqual(rows, stats.series.map((one) => [one.failed, one.started, one.completed]));
  assert.ok(rows.flat().reduce((a, b) => a + b) >= 19);
  await page.reload();
  await table.waitFor();
  await page.getByRole('button', { name: 'Requests as a table' }).click();
  await chart('Requests').locator('canvas').waitFor();
});

test('dragging_over_a_chart_zooms_into_whole_buckets', async () => {
  await visit('/monitor');
  await page.evaluate(() => scrollTo(0, 400));
  const box = await chart('Error rate').locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  const { from, to } = queryOf(page.url());
  for (const time of [from, to]) assert.equal(Date.parse(time) % 900_000, 0, `${time} begins a bucket`);
  const hours = (Date.parse(to) - Date.parse(from)) / 3_600_000;
  assert.ok(hours > 4.5 && hours < 5.6, `${hours} h`);
  await page.locator('.monitor-body[aria-busy="false"]').waitFor();
  const { y } = await chart('Error rate').locator('.u-over').boundingBox();
  assert.ok(Math.abs(y - box.y) < 2, 'the chart stays under the pointer');
  assert.equal(Date.parse((await shownPeriod()).from), Date.parse(from));
  await page.goBack();
  await page.getByText('compared with the 24 h before').waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_chart_can_be_read_and_zoomed_by_keyboard', async () => {
  await visit('/monitor');
  const slider = page.getByRole('slider', { name: 'Requests over time' });
  await slider.focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  assert.match(await slider.getAttribute('aria-valuetext'), /–.*, failed \d+, running \d+, completed \d+$/);
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('Enter');
  await page.waitForURL(/from=/);
  const { from, to } = queryOf(page.url());
  assert.equal(Date.parse(to) - Date.parse(from), 4 * 900_000);
});

test('tables_sort_by_any_column_and_unknown_comes_last', async () => {
  await visit('/monitor');
  const table = page.getByRole('region', { name: 'By provider, table', exact: true });
  const names = () => table.getByRole('rowheader').allInnerTexts();
  const header = (name) => table.getByRole('columnheader', { name });

  assert.equal(await header('Requests').getAttribute('aria-sort'), 'descending');
  assert.equal((await names())[0], 'openai');
  await header('Cost').first().getByRole('button').click();
  await page.waitForURL(/provider_sort=-cost_usd/);
  assert.equal((await names()).at(-1), 'groq', 'whose cost is unknown');
  await header('Cost').first().getByRole('button').click();
  await page.waitForURL(/provider_sort=cost_usd/);
  assert.equal(await header('Cost').first().getAttribute('aria-sort'), 'ascending');
  assert.equal((await names()).at(-1), 'groq');
  await header('Provider').getByRole('button').click();
  await page.waitForURL(/provider_sort=name/);
  assert.deepEqual(await names(), ['anthropic', 'groq', 'no provider answered', 'openai']);
  await page.reload();
  await table.waitFor();
  assert.deepEqual(await names(), ['anthropic', 'groq', 'no provider answered', 'openai']);
});

test('the_errors_are_told_by_class', async () => {
  await visit('/monitor');
  const { where } = await shownPeriod();
  const sql = await stack.psql(`
    SELECT count(*) FROM lesson_traces WHERE ${where} AND error_class IS NOT NULL GROUP BY error_class ORDER BY 1 DESC`);
  const cells = page.getByRole('region', { name: 'By last error, table' }).locator('tbody td:nth-child(2)');
  assert.deepEqual(await cells.allInnerTexts(), sql.split('\n'));
});

test('the_breakers_of_the_chain_are_told', async () => {
  await visit('/monitor');
  const chain = page.getByRole('region', { name: /^Providers/ });
  await chain.locator('li', { hasText: 'sample' }).getByText('ready').waitFor();
  assert.equal(await chain.getByText('ready').first().getAttribute('title'), 'circuit breaker: closed');
  await chain.getByText(/Not configured: .*openai/).waitFor();
  await stack.psql(`
    UPDATE provider_health SET state = 'open', open_until = now() + interval '90 s', error_class = 'rate_limited'
     WHERE provider = 'sample'`);
  await chain.getByText(/left alone until \d\d:\d\d:\d\d, \d+ s: rate limited/).waitFor();
  await stack.psql(`UPDATE provider_health SET state = 'half_open', open_until = NULL WHERE provider = 'sample'`);
  await chain.getByText(/being tried by one call: rate limited/).waitFor();
  await stack.psql(`UPDATE provider_health SET state = 'closed', error_class = NULL WHERE provider = 'sample'`);
  await chain.locator('li', { hasText: 'sample' }).getByText('ready').waitFor();
  assert.deepEqual(page.faults, []);
});

test('an_empty_range_says_where_there_is_something', async () => {
  await visit('/monitor?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z');
  await page.getByText('No traces in this range').waitFor();
  await page.getByText(/There are 610 traces at other times, the newest on/).waitFor();
  await page.getByRole('button', { name: 'Show the last hour' }).click();
  await page.locator('.plot canvas').first().waitFor();
  assert.match(page.url(), /range=1h/);
  await visit('/monitor?provider=nobody');
  await page.getByText('No trace matches these filters').waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.locator('.plot canvas').first().waitFor();
});

test('without_any_trace_it_waits_for_the_first', async () => {
  const other = await browser.page({ as: 'user' });
  const isOne = (url) => url.pathname === '/api/traces';

  // One that comes between the list and the count is in the number alone.
  await other.route(isOne, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), total: 1 } });
  });
  await other.goto('/monitor');
  await other.getByText('No traces yet').waitFor();
  await other.unroute(isOne);
  await stack.psql(`
    INSERT INTO lesson_traces (owner, request_data, status, total_duration_ms)
    VALUES ('${stack.user.user}', '{}', 'completed', 5)`);
  await other.locator('.headline').waitFor();
  assert.deepEqual(other.faults, []);
});

test('a_slow_answer_has_its_place_kept', async () => {
  const other = await browser.page();
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const tops = () => other.locator('.chart').evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top));

  await other.route('**/api/traces/stats*', async (route) => {
    await gate;
    await route.continue();
  });
  await other.goto('/monitor');
  await other.locator('.plot.bone').first().waitFor();
  await other.getByText(/Not configured/).waitFor();
  const before = await tops();
  open();
  await other.locator('.plot canvas').first().waitFor();
  assert.deepEqual(await tops(), before);
});

test('it_refreshes_while_it_is_seen_and_rests_while_not', async () => {
  const other = await browser.page();
  let asked = 0;

  other.on('request', (request) => request.url().includes('/stats') && asked++);
  await other.clock.install();
  await other.goto('/monitor');
  await other.locator('.plot canvas').first().waitFor();
  assert.equal(asked, 1);
  const answer = other.waitForResponse(/\/stats/);
  await other.clock.runFor(31_000);
  await answer;
  assert.equal(asked, 2);
  const hide = (hidden) =>
    other.evaluate((value) => {
      Object.defineProperty(document, 'hidden', { value, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  await hide(true);
  await other.clock.runFor(120_000);
  assert.equal(asked, 2);
  const again = other.waitForResponse(/\/stats/);
  await hide(false);
  await again;
  assert.deepEqual(other.faults, []);
});

test('charts_follow_the_theme_and_the_printer', async () => {
  const drawn = () => chart('Requests').locator('canvas').evaluate((canvas) => canvas.toDataURL());
  const becomes = async (differs, what) => {
    for (let i = 0; i < 50; i++) {
      if (differs(await drawn())) return;
      await page.waitForTimeout(20);
    }
    assert.fail(what);
  };

  await page.emulateMedia({ colorScheme: 'light' });
  await visit('/monitor?from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z');
  const light = await drawn();
  await page.emulateMedia({ colorScheme: 'dark' });
  await becomes((now) => now !== light, 'dark is drawn as light');
  const dark = await drawn();
  await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
  await becomes((now) => now !== dark, 'paper is drawn as dark');
  assert.equal(await page.locator('.ranges').isVisible(), false);
  await page.emulateMedia({ colorScheme: 'light', media: 'screen' });
  await becomes((now) => now === light, 'light is not drawn again');
});

for (const colorScheme of ['light', 'dark']) {
  test(`it_fits_every_width_when_it_is_${colorScheme}`, async () => {
    await page.emulateMedia({ colorScheme });
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      await visit('/monitor?table=cost');
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} px too wide at ${width}`);
      const [canvas, frame] = await chart('Duration').evaluate((section) =>
        ['canvas', '.plot'].map((one) => section.querySelector(one).getBoundingClientRect().width),
      );
      assert.ok(Math.abs(canvas - frame) <= 1, `a chart of ${canvas} px in ${frame} px`);
    }
    await page.setViewportSize({ width: 700, height: 900 });
    await page.waitForFunction(() => {
      const canvas = document.querySelector('canvas');
      return Math.abs(canvas.getBoundingClientRect().width - canvas.closest('.plot').clientWidth) <= 1;
    });
    await page.setViewportSize({ width: 1280, height: 900 });
    assert.deepEqual(page.faults, []);
  });
}

test('what_is_shown_stays_while_the_database_is_away', async () => {
  const other = await browser.page({ expect: [503, 502, 504] });

  await page.goto('about:blank'); // it would fail as well, and there it is a fault
  await other.goto('/monitor');
  await other.locator('.plot canvas').first().waitFor();
  const start = await crash(stack);
  try {
    await other.getByRole('button', { name: 'Refresh' }).click();
    await other.getByRole('alert').waitFor();
    assert.equal(await other.locator('.plot canvas').count(), 5);
  } finally {
    await start();
  }
  await other.getByRole('button', { name: 'Try again' }).click();
  await other.getByRole('alert').waitFor({ state: 'detached' });
  assert.deepEqual(other.faults, []);
});

test('what_the_address_says_beside_is_named_and_can_be_removed', async () => {
  const note = page.locator('.ignored');

  await visit('/monitor?status=failed&range=7d&model_sort=-nothing&from=2026-01-01');
  for (const text of ['status=failed', 'model_sort=-nothing', 'from=2026-01-01']) await note.getByText(text).waitFor();
  await note.getByRole('button', { name: 'Remove' }).click();
  await note.waitFor({ state: 'detached' });
  assert.equal(new URL(page.url()).search, '?range=7d');
  assert.deepEqual(page.faults, []);
});

test('a_model_whose_name_no_filter_can_say_has_numbers_and_no_links', async () => {
  await stack.psql(`
    INSERT INTO lesson_traces (owner, request_data, status, provider_used, model, total_duration_ms)
    SELECT 'admin', '{"outline": "Named"}', 'completed', 'openai', model, 1000 FROM unnest('{"a,b", none}'::text[]) model`);
  await visit('/monitor');
  for (const name of ['a,b', 'none']) {
    const row = page.locator('tr', { has: page.getByRole('rowheader', { name: `${name} openai`, exact: true }) });
    await row.waitFor();
    assert.equal(await row.getByRole('link').count(), 0, name);
    assert.equal(await page.getByLabel('Model').locator('option', { hasText: new RegExp(`^${name}$`) }).count(), 0, name);
  }
  assert.deepEqual(page.faults, []);
});
