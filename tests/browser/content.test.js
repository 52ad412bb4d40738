// TRACE_CONTENT=off: a trace keeps times, tokens and errors, and no text; it says so, and so do the pages. The lesson
// is there for its reader all the same.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { api } from '../lib/api.js';
import { assertTruthful, generate, story } from '../lib/generator.js';
import { startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';

const OUTLINE = 'Xylophones: why long bars sound low';
const FAULT = { outline: OUTLINE, provider: 'openai' };

let stack, browser, page, call, lesson, trace;

before(async () => {
  stack = await startStack({
    env: {
      TRACE_CONTENT: 'off',
      OPENAI_API_KEY: 'test',
      OPENAI_MODEL: 'fail-400',
      OPENAI_BASE_URL: 'sample',
      LLM_PROVIDERS: 'sample',
    },
  });
  call = api(stack);
  ({ lesson, trace } = await generate(call, FAULT));
  browser = await openBrowser(stack);
  page = await browser.page({ as: 'user' });
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

test('the_lesson_is_there_for_its_reader', async () => {
  assert.equal(lesson.status, 'generated');
  assert.equal(lesson.outline, OUTLINE);
  assert.match(lesson.content, /Xylophones/);
});

test('a_trace_says_that_its_texts_were_not_kept', () => {
  const [failed, good] = trace.llm_calls;

  assert.equal(trace.content_kept, false);
  assert.equal(trace.outline_preview, null);
  assert.equal(trace.request_data.content_kept, false);
  assert.ok(!('outline' in trace.request_data));
  assert.equal(trace.request_data.gradeLevel, '2');
  assert.deepEqual(Object.keys(trace.response_data).sort(), [
    'content_kept',
    'estimatedSections',
    'gradeLevel',
  ]);
  assert.equal(trace.response_data.content_kept, false);
  for (const one of [failed, good]) {
    assert.equal(one.content_kept, false);
    assert.equal(one.request.prompt, null);
    assert.equal(one.request.system, null);
  }
  assert.equal(good.response.content, null);
});

test('it_keeps_times_tokens_and_errors', () => {
  const [failed, good] = trace.llm_calls;

  assert.equal(trace.status, 'completed');
  assert.deepEqual(story(trace), ['try openai', 'fallback sample invalid_request']);
  assert.match(failed.error, /^HTTP 400/);
  assert.equal(failed.error_class, 'invalid_request');
  assert.equal(trace.last_error, failed.error);
  assert.ok(good.duration_ms >= 0 && good.timing.ttfb_ms >= 0);
  assert.ok(good.response.usage.completion_tokens > 0);
  assert.equal(trace.completion_tokens, good.response.usage.completion_tokens);
  assert.ok(good.request.max_tokens > 0 && good.request.model.length > 0);
});

test('no_list_and_no_export_has_them', async () => {
  const list = await call('GET', '/api/traces?view=summary');

  assert.equal(list.body.traces[0].content_kept, false);
  assert.equal(list.body.traces[0].outline_preview, null);
  for (const path of [
    '/api/traces',
    '/api/traces?view=summary',
    '/api/traces/export?format=ndjson',
    '/api/traces/export?format=csv',
  ]) {
    const { status, text } = await call('GET', path);

    assert.equal(status, 200);
    assert.ok(text.includes(trace.id));
    assert.doesNotMatch(text, /xylophone/i, path);
  }
  assert.equal((await call('GET', '/api/traces?q=xylophone')).body.traces.length, 0);
});

test('no_table_has_them_but_that_of_the_lessons', async () => {
  const rows = await stack.psql('SELECT to_json(t) FROM lesson_traces t');

  assert.ok(rows.includes(trace.id));
  assert.doesNotMatch(rows, /xylophone/i);
  assert.match(await stack.psql('SELECT outline FROM lessons'), /Xylophones/);
});

test('another_generation_of_it_keeps_none_either', async () => {
  const answer = await call('POST', `/api/lessons/${lesson.id}/regenerate`, { json: {} });
  const [id] = answer.body.lesson.trace_ids;

  assert.equal(answer.status, 201);
  assert.equal((await call('GET', `/api/traces/${id}`)).body.trace.content_kept, false);
});

test('the_pages_say_content_not_kept', async () => {
  await page.goto('/traces');
  await page.getByRole('link', { name: 'Content not kept' }).first().waitFor();
  await page.goto(`/traces/${trace.id}`);
  await page.getByRole('heading', { level: 1, name: 'Content not kept' }).waitFor();
  for (const [tab, text] of [
    ['Lesson', 'Content not kept: the trace has no copy of the lesson'],
    ['Prompt', 'Content not kept: the trace has neither outline nor prompt'],
    ['Response', 'Content not kept: the trace has no text of the answer'],
  ]) {
    await page.getByRole('tab', { name: tab, exact: true }).click();
    await page.getByText(text).waitFor();
  }
  await page.goto(`/traces/compare?a=${trace.id}&b=${trace.id}`);
  await page.getByText('Content not kept: the traces do not both have the lesson').waitFor();
  await page.goto(`/lessons/${lesson.id}`);
  await page.getByRole('heading', { name: /Xylophones/ }).first().waitFor();
  assert.deepEqual(page.faults, []);
});
