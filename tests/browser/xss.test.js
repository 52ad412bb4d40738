// 200 and more texts that would like to run (xss-payloads.js), stored wherever a text can be stored: by the real way in
// (outline, model, what a provider says to them), and in the database where only a provider could put them (answers,
// errors, ids of its own). They are shown on every page, and nothing runs, leaves, loads or complains.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';
import { PAYLOADS } from './xss-payloads.js';

const TOGETHER = 6; // payloads in one answer, and in one trace as so many calls
const POSTED_AT_A_TIME = 8;

let stack, browser, page;
let groups; // [{lesson, trace, texts}], a lesson and a trace for each TOGETHER

before(async () => {
  stack = await startStack();
  browser = await openBrowser(stack);
  page = await browser.page();
  await page.exposeFunction('reportRun', (text) => page.faults.push(`ran: ${text}`));
  await page.addInitScript(() => {
    window.xss = () => window.reportRun(location.href);
  });
  page.on('framenavigated', (frame) => {
    if (frame !== page.mainFrame()) page.faults.push(`frame: ${frame.url()}`);
  });
  page.on('popup', (popup) => page.faults.push(`popup: ${popup.url()}`));
  page.on('download', (file) => page.faults.push(`download: ${file.suggestedFilename()}`));
  await postAll();
  groups = await poison();
});

after(async () => {
  await browser?.close();
  await stack?.stop();
});

const post = (body) =>
  stack.fetch('/api/lessons', {
    as: 'admin',
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });

// As outline, and as model: the sample provider repeats the name of a model that it does not know.
async function postAll() {
  const bodies = PAYLOADS.flatMap((text) => [
    { outline: text, provider: 'sample', model: 'sample' },
    { outline: `Model ${text}`, provider: 'sample', model: text },
  ]);
  const workers = Array.from({ length: POSTED_AT_A_TIME }, async () => {
    for (let body = bodies.pop(); body; body = bodies.pop()) {
      const answer = await post(body);
      assert.equal(answer.status, 201, JSON.stringify(body));
    }
  });
  await Promise.all(workers);
  for (;;) {
    const open = await stack.psql(`SELECT count(*) FROM lessons WHERE status = 'generating'`);
    if (open === '0') return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// What else a text can stand in: of the traces of `groups`, everything.
async function poison() {
  const made = [];

  for (let i = 0; i < PAYLOADS.length; i += TOGETHER) {
    const texts = PAYLOADS.slice(i, i + TOGETHER);
    made.push({ texts, all: texts.join('\n\n') });
  }
  const rows = await stack.psql(`
    WITH wanted AS (
      SELECT texts, "all", row_number() OVER () AS n
        FROM jsonb_to_recordset($xss$${JSON.stringify(made)}$xss$) AS w(texts jsonb, "all" text)
    ), chosen AS (
      SELECT t.id AS trace, t.lesson_id AS lesson, row_number() OVER (ORDER BY t.id) AS n
        FROM lesson_traces t JOIN lessons l ON l.id = t.lesson_id
       WHERE t.status = 'completed' AND l.content IS NOT NULL
    ), both_of AS (SELECT * FROM wanted JOIN chosen USING (n)
    ), lesson AS (
      UPDATE lessons l SET content = "all", title = left(texts->>0, 200), outline = "all",
             options = options || jsonb_build_object('model', texts->>1)
        FROM both_of WHERE l.id = lesson
    ), trace AS (
      UPDATE lesson_traces t
         SET model = texts->>0, last_error = texts->>1, error_message = texts->>2, request_id = texts->>3,
             fallback_providers = ARRAY[texts->>0, texts->>1],
             request_data = request_data || jsonb_build_object('outline', "all", 'model', texts->>0, texts->>1, texts->>2),
             response_data = jsonb_build_object('title', texts->>0, 'content', "all", 'gradeLevel', texts->>1,
                                                'keyConcepts', texts, 'prerequisites', texts),
             decisions = (SELECT jsonb_agg(jsonb_build_object('at', now(), 'action', 'skip', 'provider', text, 'reason', text))
                            FROM jsonb_array_elements_text(texts) text),
             llm_calls = (SELECT jsonb_agg(jsonb_set(llm_calls->0, '{provider}', to_jsonb(text))
                            || jsonb_build_object('success', i % 2 = 0, 'error', text, 'error_class', text,
                                 'provider_request_id', text, 'span_id', text, 'price_as_of', text, 'http_status', 500,
                                 'request', llm_calls->0->'request' || jsonb_build_object('model', text, 'prompt', text,
                                    'system', text, 'parameters', jsonb_build_object(text, text)),
                                 'response', llm_calls->0->'response' || jsonb_build_object('content', text, 'model', text,
                                    'id', text, 'finish_reason', text)))
                            FROM jsonb_array_elements_text(texts) WITH ORDINALITY AS x(text, i))
        FROM both_of WHERE t.id = trace
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('lesson', lesson, 'trace', trace, 'texts', texts)), '[]') FROM both_of`);
  const found = JSON.parse(rows);
  assert.equal(found.length, made.length);
  return found;
}

// Provokes what waits for a hand: every event that an attribute could listen to, on everything there is.
async function assertHarmless(where) {
  const address = page.url();
  const found = await page.evaluate(() => {
    const main = document.getElementById('page');
    for (const one of main.querySelectorAll('.prose *, pre *')) {
      for (const type of ['mouseover', 'pointerenter', 'focus', 'toggle', 'animationstart', 'error', 'load'])
        one.dispatchEvent(new Event(type));
    }
    return {
      elements: [
        ...main.querySelectorAll(
          'script, style, iframe, object, embed, math, base, link, meta, video, audio, template, .prose :is(form, input, button, svg, img)',
        ),
      ].map((one) => one.outerHTML),
      handlers: [...main.querySelectorAll('*')].flatMap((one) =>
        [...one.attributes].filter(({ name }) => name.startsWith('on')).map(({ name }) => name),
      ),
      links: [...main.querySelectorAll('a[href], area[href]')]
        .filter((a) => !['http:', 'https:', 'mailto:'].includes(a.protocol))
        .map((a) => a.outerHTML),
      leaving: [...main.querySelectorAll('a[href]')]
        .filter((a) => a.origin !== location.origin && (a.target !== '_blank' || a.rel !== 'noopener noreferrer'))
        .map((a) => a.outerHTML),
      styled: [...main.querySelectorAll('.prose [style]')].length,
      polluted: {}.xss ?? Object.prototype.innerHTML ?? null,
    };
  });

  assert.deepEqual(
    found,
    { elements: [], handlers: [], links: [], leaving: [], styled: 0, polluted: null },
    where,
  );
  assert.equal(page.url(), address, where);
  assert.deepEqual(page.faults, [], where);
}

// Whatever a page opens only when asked: details, tabs, raw and rendered; those of one name at once.
async function openEverything() {
  const press = (name) =>
    page.evaluate((wanted) => {
      const nameOf = (one) => one.getAttribute('aria-label') ?? one.textContent.trim();
      const all = [...document.querySelectorAll('main :is([role="tab"], .switch button)')];
      for (const one of all) if (nameOf(one) === wanted) one.click();
      for (const one of document.querySelectorAll('main details')) one.open = true;
      return [...new Set(all.map(nameOf))];
    }, name);

  for (const name of await press(null)) {
    await press(name);
    await press(null); // the details that came with it
    await assertHarmless(`${page.url()}, ${name}`);
  }
}

test('there_are_200_payloads_and_each_is_stored_as_it_is', async () => {
  assert.ok(new Set(PAYLOADS).size >= 200, String(PAYLOADS.length));
  const stored = await stack.psql(`
    SELECT count(DISTINCT text) FROM jsonb_array_elements_text($xss$${JSON.stringify(PAYLOADS)}$xss$) text
     WHERE EXISTS (SELECT FROM lesson_traces WHERE request_data->>'outline' = 'Model ' || text
                      OR request_data->>'outline' LIKE '%' || replace(replace(replace(text, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '%')`);
  assert.equal(Number(stored), PAYLOADS.length);
});

// Each alone, since one that is left open hides what follows it.
test('each_payload_alone_is_harmless_as_markdown', async () => {
  await page.goto('/traces');
  await page.evaluate(async (texts) => {
    const { renderMarkdown } = await import('/lib/markdown.js');
    const place = document.createElement('div');
    document.querySelector('main').replaceChildren(place);
    for (const text of texts) {
      const prose = document.createElement('div');
      prose.className = 'prose';
      prose.innerHTML = renderMarkdown(text);
      place.append(prose);
    }
  }, PAYLOADS);
  assert.equal(await page.locator('.prose').count(), PAYLOADS.length);
  await page.waitForTimeout(300);
  await assertHarmless('alone');
});

// `of` are the addresses to be looked at; to have another page tested: a line here.
const PAGES = [
  { name: 'lists_of_lessons', of: () => listPages('lessons', 20, ''), shown: '.lesson-rows tbody tr' },
  { name: 'a_search_for_them', of: () => ['/?q=xss', `/?q=${encodeURIComponent('<script>xss()</script>')}`], shown: '.lesson-rows tbody tr' },
  { name: 'lessons', of: () => groups.map(({ lesson }) => `/lessons/${lesson}`), shown: '.prose' },
  { name: 'lists_of_traces', of: () => listPages('traces', 50, '/traces'), shown: '.trace-rows tbody tr' },
  {
    name: 'filtered_lists',
    of: () => ['__proto__', '"><script>xss()</script>'].map((text) => `/traces?provider=${encodeURIComponent(text)}`),
    shown: 'main .empty, main tbody tr',
  },
  { name: 'traces', of: () => groups.map(({ trace }) => `/traces/${trace}`), shown: '.story > *' },
  {
    name: 'comparisons',
    of: () => groups.slice(1).map(({ trace }, i) => `/traces/compare?a=${groups[i].trace}&b=${trace}`),
    shown: '.compare-table',
  },
  { name: 'the_monitor', of: () => ['/monitor'], shown: '.monitor .headline .figure' },
];

// The addresses of all pages of a list.
async function listPages(what, limit, path) {
  const addresses = [];
  let cursor = '';

  do {
    addresses.push(`${path || '/'}${cursor && `?cursor=${cursor}`}`);
    const query = new URLSearchParams({ limit, ...(what === 'traces' && { view: 'summary' }), ...(cursor && { cursor }) });
    const answer = await stack.fetch(`/api/${what}?${query}`, { as: 'admin' });
    cursor = (await answer.json()).next_cursor;
  } while (cursor);
  return addresses;
}

for (const { name, of, shown } of PAGES) {
  test(`nothing_runs_on_${name}`, async () => {
    for (const address of await of()) {
      await page.goto(address);
      await page.locator(shown).first().waitFor();
      await assertHarmless(address);
      await openEverything();
      await assertHarmless(`${address}, opened`);
    }
  });
}

test('the_watch_of_these_tests_sees_what_runs', async () => {
  await page.goto('/');
  await page.evaluate(() => {
    window.xss();
    const image = document.createElement('img');
    image.src = 'https://evil.example/p.png';
    document.body.append(image);
  });
  await page.waitForTimeout(200);
  for (const kind of ['ran: ', 'violation: img-src']) {
    assert.ok(page.faults.some((fault) => fault.startsWith(kind)), `${kind} in ${page.faults}`);
  }
});
