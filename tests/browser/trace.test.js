// The page of a trace: the timeline, the details of each call, and what can be done from there.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { startStack } from '../lib/stack.js';
import { holdSample, openBrowser } from './browser.js';

let stack, browser, page, trace;

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
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  trace = await generated({ outline: 'Volcanoes: why mountains spit fire' });
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

// Generates a lesson, and gives its trace once it has ended.
async function generated(request) {
  const made = await stack.fetch('/api/lessons', {
    as: 'admin',
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(request),
  });
  return ended((await made.json()).lesson.id);
}

async function ended(lessonId) {
  for (;;) {
    const { traces } = await (await stack.fetch(`/api/traces?lesson_id=${lessonId}`, { as: 'admin' })).json();
    if (traces[0].status !== 'started') return traces[0];
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function open(query = '', id = trace.id) {
  await page.goto(`/traces/${id}${query}`);
  await page.locator('.timeline').waitFor();
}

const bar = (name) => page.locator('.timeline').getByRole('button', { name });
const tab = (name) => page.getByRole('tab', { name, exact: true });
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

async function copied(name) {
  await page.evaluate(() => navigator.clipboard.writeText(''));
  await page.getByRole('button', { name, exact: true }).first().click();
  await page.waitForFunction(() => navigator.clipboard.readText().then((text) => text !== ''));
  return clipboard();
}

test('the_summary_has_what_the_trace_has', async () => {
  await open();
  const summary = await page.getByRole('region', { name: 'Summary' }).innerText();

  assert.match(summary, /sample/);
  assert.match(summary, new RegExp(`${trace.llm_call_count}, ${trace.llm_call_count - 1} failed`));
  assert.match(summary, new RegExp(`${trace.prompt_tokens}\\s*/\\s*${trace.completion_tokens}`));
  assert.match(summary, /Cost of failed calls\s+—/, 'unknown is not 0');
  assert.match(summary, /admin/);
  assert.match(summary, new RegExp(trace.request_id));
  assert.match(summary, /grade 2 · 4 sections · reading · examples · exercises/);
  assert.deepEqual(page.faults, []);
});

test('every_call_and_wait_is_a_row_and_each_call_a_button_that_says_it_all', async () => {
  await open();
  const rows = page.getByRole('list', { name: 'Timeline' }).getByRole('listitem');
  const texts = (await rows.allInnerTexts()).map((text) => text.replace(/\s+/g, ' '));
  const waits = trace.decisions.filter(({ action }) => action === 'wait').length;

  assert.equal(texts.filter((text) => / attempt \d/.test(text)).length, trace.llm_calls.length);
  assert.equal(texts.filter((text) => /waited .* for openai: rate limited/.test(text)).length, waits);
  assert.ok(texts.some((text) => /waited .* for its turn/.test(text)), 'the queue');
  await bar(/openai fail-429 attempt 1 failed: 429 rate limited after \d+\sms/).waitFor();
  await bar(/fell back to sample attempt \d answered in .* with [\d,]+ tokens/).waitFor();
  assert.deepEqual(page.faults, []);
});

test('no_label_of_the_timeline_is_cut_off_or_outside_of_it', async () => {
  for (const width of [360, 768, 1280, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    await open();
    await bar(/attempt 1/).waitFor();
    const faults = await page.evaluate(() => {
      const around = document.querySelector('.timeline').getBoundingClientRect();

      return [...document.querySelectorAll('.timeline-label, .timeline-name')]
        .filter((element) => {
          const box = element.getBoundingClientRect();
          return box.left < around.left - 1 || box.right > around.right + 1 || element.scrollWidth > element.clientWidth + 1;
        })
        .map((element) => element.innerText);
    });
    assert.deepEqual(faults, [], `at ${width} px`);
    assert.ok(
      await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
      `nothing scrolls sideways at ${width} px`,
    );
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  assert.deepEqual(page.faults, []);
});

test('a_chosen_call_shows_its_details_and_is_in_the_address', async () => {
  await open();
  await bar(/attempt 2/).click();
  await page.getByRole('heading', { name: 'Call 2: openai fail-429' }).waitFor();
  assert.match(page.url(), /\?call=2$/);
  assert.equal(await bar(/attempt 2/).getAttribute('aria-current'), 'true');
  await page.reload();
  await page.getByRole('heading', { name: 'Call 2: openai fail-429' }).waitFor();
  await bar(/Whole generation/).click();
  await page.getByRole('heading', { name: 'Whole generation' }).waitFor();
  assert.doesNotMatch(page.url(), /call=/);
  await open('?call=99');
  await page.getByRole('heading', { name: 'Whole generation' }).waitFor();
  assert.deepEqual(page.faults, []);
});

test('the_timeline_works_by_keyboard_alone', async () => {
  await open();
  await bar(/Whole generation/).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Call 1: openai fail-429' }).waitFor();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Space');
  await page.getByRole('heading', { name: 'Whole generation' }).waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_failed_call_says_what_happened_and_what_to_do', async () => {
  await open('?call=1');
  const note = await page.locator('.call .note').innerText();

  assert.match(note, /Rate limited\./);
  assert.match(note, /It was given .* in \d waits?\./, 'what it waited');
  assert.match(note, /What to do: /);
  assert.deepEqual(page.faults, []);
});

test('tabs_go_by_arrow_keys_and_live_in_the_address', async () => {
  await open('?call=1');
  await tab('Prompt').focus();
  await page.keyboard.press('ArrowRight');
  await tab('Response').and(page.locator('[aria-selected=true]')).waitFor();
  assert.match(page.url(), /tab=response/);
  await page.getByText('There was no answer to keep.').waitFor();
  await page.keyboard.press('End');
  await page.getByRole('table', { name: 'What the calls spent their time on' }).waitFor();
  await page.keyboard.press('ArrowRight');
  await tab('Lesson').and(page.locator(':focus')).waitFor();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowLeft');
  await tab('Timing').and(page.locator(':focus')).waitFor();
  await page.reload();
  await tab('Timing').and(page.locator('[aria-selected=true]')).waitFor();
  assert.equal(await page.locator('[role=tab][tabindex="0"]').count(), 1, 'one is in the tab order');
  assert.deepEqual(page.faults, []);
});

test('what_was_sent_and_received_is_there_in_full', async () => {
  const last = trace.llm_calls.at(-1);

  await open(`?call=${trace.llm_calls.length}&tab=prompt`);
  assert.equal(await page.locator('pre[aria-label="Prompt"]').textContent(), last.request.prompt);
  assert.equal(await page.locator('pre[aria-label="System prompt"]').textContent(), last.request.system);
  await tab('Response').click();
  await page.locator('.payload .prose').waitFor();
  await page.getByRole('button', { name: 'Raw' }).click();
  assert.equal(await page.locator('pre[aria-label="Response"]').textContent(), last.response.content);
  await page.getByRole('button', { name: 'Wrap' }).click();
  await page.reload();
  assert.equal(
    await page.locator('pre.unwrapped[aria-label="Response"]').textContent(),
    last.response.content,
    'raw and without wrapping, as it was left',
  );
  await page.getByRole('button', { name: 'Wrap' }).click();
  await page.getByRole('button', { name: 'Rendered' }).click();
  await tab('JSON').click();
  assert.deepEqual(JSON.parse(await page.locator('.payload pre').textContent()), last);
  assert.deepEqual(page.faults, []);
});

test('a_payload_can_be_copied_and_downloaded', async () => {
  await open('?tab=json');
  assert.deepEqual(JSON.parse(await copied('Copy: Whole trace')).id, trace.id);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download: Whole trace' }).click(),
  ]);
  assert.equal(download.suggestedFilename(), `trace-${trace.id.slice(0, 8)}-whole.json`);
  assert.equal(JSON.parse(await readFile(await download.path(), 'utf8')).id, trace.id);
  assert.deepEqual(page.faults, []);
});

test('the_json_that_is_saved_is_what_is_loaded_even_if_the_trace_is_gone', async () => {
  const { id } = await generated({ outline: 'Foxes: clever and shy', provider: 'sample' });

  await open('', id);
  await stack.psql(`DELETE FROM lesson_traces WHERE id = '${id}'`);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'JSON', exact: true }).click(),
  ]);
  assert.equal(download.suggestedFilename(), `trace-${id}.json`);
  assert.equal(JSON.parse(await readFile(await download.path(), 'utf8')).id, id);
  assert.deepEqual(page.faults, []);
});

test('id_link_and_story_can_be_copied', async () => {
  await open('?call=1');
  assert.equal(await copied('Copy: Trace'), trace.id);
  assert.equal(await copied('Copy link'), page.url());
  await page.getByText('In words').click();
  const story = await copied('Copy the story');
  assert.match(story, /^1\. Tried openai fail-429: 429 rate limited after /);
  assert.match(story, /\n2\. Waited .* for openai: rate limited\n/);
  assert.match(story, /Fell back to sample: answered in /);
  assert.deepEqual(page.faults, []);
});

test('the_copied_curl_asks_the_provider_what_the_call_asked_and_holds_no_key', async () => {
  await open(`?call=1`);
  const failing = await copied('Copy as curl');
  assert.match(failing, /Authorization: Bearer '"\$OPENAI_API_KEY"/);
  const at = (command) =>
    promisify(execFile)('bash', ['--norc', '-c', command], {
      env: { PATH: process.env.PATH, OPENAI_API_KEY: 'test', OPENAI_BASE_URL: `${stack.baseUrl}/sample/v1` },
    });
  assert.match((await at(failing)).stdout, /rate_limit_exceeded/);

  await open(`?call=${trace.llm_calls.length}`);
  const answer = JSON.parse((await at(await copied('Copy as curl'))).stdout);
  assert.equal(answer.choices[0].message.content, trace.llm_calls.at(-1).response.content);
  assert.equal(answer.usage.prompt_tokens, trace.llm_calls.at(-1).response.usage.prompt_tokens);
  assert.deepEqual(page.faults, []);
});

test('the_other_copied_curl_generates_the_lesson_again', async () => {
  const own = await generated({ outline: "Bees: don't they sting?", provider: 'sample' });

  await open('', own.id);
  const command = (await copied('Copy curl to regenerate')).replace(
    '-u NAME',
    `-s -u ${stack.admin.user}:${stack.admin.password}`,
  );
  const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', command]);
  assert.equal(JSON.parse(stdout).lesson.trace_ids.length, 2);
  assert.equal((await ended(own.lesson_id)).request_data.provider, 'sample');
  assert.deepEqual(page.faults, []);
});

test('a_large_payload_waits_until_it_is_asked_for', async () => {
  const { id } = await generated({ outline: 'Whales: giants of the sea', provider: 'sample' });
  await stack.psql(`
    UPDATE lesson_traces
       SET llm_calls = jsonb_set(llm_calls, '{0,response,content}', to_jsonb(repeat('large **text** ', 30000)))
     WHERE id = '${id}'`);

  await open('?call=1&tab=response', id);
  await page.getByText('not shown unasked').waitFor();
  assert.equal(await page.locator('.payload pre').count(), 0);
  assert.equal(await page.getByRole('button', { name: 'Rendered' }).count(), 0);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download', exact: true }).click(),
  ]);
  assert.equal((await readFile(await download.path(), 'utf8')).length, 'large **text** '.length * 30_000);
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.locator('.payload pre').waitFor();
  assert.deepEqual(page.faults, []);
});

test('long_idle_times_are_drawn_short_when_asked_and_the_choice_stays', async () => {
  await open();
  const widest = () =>
    page.evaluate(() => Math.max(...[...document.querySelectorAll('.kind-wait .timeline-bar')].map((bar) => bar.offsetWidth)));
  const before = await widest();

  await page.getByRole('button', { name: 'Shorten idle time' }).click();
  await page.locator('.timeline-gap.short').first().waitFor();
  assert.ok((await widest()) < before / 2);
  await page.reload();
  await page.locator('.timeline-gap.short').first().waitFor();
  await page.getByRole('button', { name: 'Shorten idle time' }).click();
  await page.locator('.timeline-gap.short').first().waitFor({ state: 'detached' });
  assert.deepEqual(page.faults, []);
});

test('previous_and_next_stay_within_the_list_as_it_was_left', async () => {
  await stack.psql(`
    INSERT INTO lesson_traces (owner, status, request_data, created_at)
    SELECT 'admin', CASE n % 2 WHEN 0 THEN 'failed' ELSE 'completed' END,
           jsonb_build_object('outline', 'Old trace ' || n), now() - n / 4 * interval '1 hour'
      FROM generate_series(1, 8) n`); // the second and the third that failed are of the same time
  const { traces } = await (await stack.fetch('/api/traces?status=failed&view=summary', { as: 'admin' })).json();
  const ids = traces.filter((one) => one.outline_preview.startsWith('Old trace')).map((one) => one.id);
  const at = (i) => page.waitForURL(`**/traces/${ids[i]}*`);
  const sizes = [];
  const onRequest = (request) => {
    const url = new URL(request.url());
    if (url.pathname === '/api/traces') sizes.push(Number(url.searchParams.get('limit')));
  };

  // As the list leaves it.
  await open('', ids[1]);
  await page.evaluate(() => sessionStorage.setItem('lesson-tracer.traces.query', '"?status=failed"'));
  await open('?tab=json', ids[1]);
  await page.getByRole('link', { name: 'Next', exact: true }).click();
  await at(2);
  assert.match(page.url(), /tab=json/, 'the tab stays');
  await page.getByRole('link', { name: 'Next', exact: true }).waitFor();
  page.on('request', onRequest);
  await page.keyboard.press('j');
  await at(3);
  await page.getByRole('link', { name: 'Previous', exact: true }).waitFor();
  page.off('request', onRequest);
  assert.deepEqual(sizes, [2, 2], 'one short list each way');
  assert.ok(await page.getByRole('button', { name: 'Next', exact: true }).isDisabled(), 'the last one');
  await page.keyboard.press('k');
  await at(2);
  assert.equal(
    await page.getByRole('main').getByRole('link', { name: 'Traces', exact: true }).getAttribute('href'),
    '/traces?status=failed',
    'back to the list as it was',
  );
  await page.getByRole('link', { name: 'Previous', exact: true }).waitFor();
  await page.keyboard.press('k');
  await at(1);
  await page.getByRole('link', { name: 'Next', exact: true }).waitFor();
  await page.evaluate(() => sessionStorage.setItem('lesson-tracer.traces.query', '"?status=completed"'));
  const both = Promise.all([1, 2].map(() => page.waitForResponse((answer) => answer.url().includes('limit=2'))));
  await page.reload();
  await both;
  await page.waitForTimeout(200);
  assert.equal(await page.getByRole('link', { name: /^(Next|Previous)$/ }).count(), 0, 'none in a list without it');
  await page.evaluate(() => sessionStorage.clear());
  assert.deepEqual(page.faults, []);
});

test('the_keys_are_listed', async () => {
  await open();
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('Next trace of the list').waitFor();
  await page.keyboard.press('Escape');
  assert.deepEqual(page.faults, []);
});

test('the_keys_of_what_comes_while_they_are_read_are_listed_too', async () => {
  let answer;
  const asked = new Promise((resolve) => {
    answer = resolve;
  });

  await page.route(new RegExp(`/api/traces/${trace.id}$`), async (route) => {
    await asked;
    await route.continue();
  });
  await page.goto(`/traces/${trace.id}`);
  await page.getByRole('button', { name: 'Keyboard', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Light or dark theme').waitFor();
  assert.equal(await dialog.getByText('Next trace of the list').count(), 0);
  answer();
  await dialog.getByText('Next trace of the list').waitFor();
  await page.unrouteAll();
  await page.keyboard.press('Escape');
  assert.deepEqual(page.faults, []);
});

test('a_running_trace_fills_in', async (t) => {
  const release = holdSample(stack);
  t.after(release);
  const made = await stack.fetch('/api/lessons', {
    as: 'admin',
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ outline: 'Snails', provider: 'sample', model: 'slow-1' }),
  });
  const { lesson } = await made.json();

  await open('', lesson.trace_ids[0]);
  await bar(/sample slow-1 attempt 1 running for/).waitFor();
  await page.getByText('The lesson is not there yet.').or(page.getByText('As it was sent to')).waitFor();
  release();
  await bar(/sample slow-1 attempt 1 answered in/).waitFor();
  await bar(/lesson written by sample/).waitFor();
  await page.locator('.payload .prose').waitFor();
  assert.deepEqual(page.faults, []);
});

test('a_lesson_can_be_generated_again_by_another_provider_from_its_trace', async () => {
  await open();
  await page.getByRole('button', { name: 'Generate again…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Provider').selectOption('sample');
  assert.ok(await dialog.getByRole('option', { name: /gemini .*not configured/ }).isDisabled());
  await dialog.getByRole('button', { name: 'Generate again' }).click();
  await page.waitForURL((url) => url.pathname.startsWith('/traces/') && !url.pathname.endsWith(trace.id));
  await page.getByText('this is its new trace').waitFor();
  await bar(/lesson written by sample/).waitFor();
  assert.equal(await page.getByRole('list', { name: 'Timeline' }).getByText(/attempt/).count(), 1);

  const href = await page.getByRole('link', { name: 'Compare', exact: true }).getAttribute('href');
  assert.equal(href, `/traces/compare?a=${trace.id}&b=${page.url().split('/').at(-1)}`);
  assert.deepEqual(page.faults, []);
});

test('a_trace_can_be_deleted_from_its_page', async () => {
  const { id } = await generated({ outline: 'Owls', provider: 'sample' });

  await open('', id);
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete trace' }).click();
  await page.waitForURL('**/traces');
  await page.getByText('Trace deleted').waitFor();
  assert.equal((await page.request.get(`/api/traces/${id}`)).status(), 404);
  assert.deepEqual(page.faults, []);
});
