// Pictures of every page, for the README: on a desk in both themes, on a telephone in one. scripts/screenshots runs it.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { ROOT, startStack } from '../lib/stack.js';
import { openBrowser } from './browser.js';

const LESSONS = 2000;
const DAYS = 14;
const SHOTS = [
  { suffix: 'light', colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  { suffix: 'dark', colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  { suffix: '360', colorScheme: 'light', viewport: { width: 360, height: 740 } },
];

// `shown` is what stands there when it is drawn. To have another page shot: a line here, and one in the README.
const PAGES = [
  { name: 'lessons', at: () => '/', shown: '.lesson-rows .progress' },
  { name: 'lesson', at: ({ lesson }) => `/lessons/${lesson}`, shown: '.prose > *' },
  { name: 'traces', at: () => '/traces', shown: '.trace-rows tbody tr' },
  { name: 'trace', at: ({ trace }) => `/traces/${trace}`, shown: '.story > *' },
  { name: 'compare', at: ({ trace, other }) => `/traces/compare?a=${other}&b=${trace}`, shown: '.compare-table' },
  { name: 'monitor', at: () => '/monitor', shown: '.monitor .headline .figure' },
];

// A trace with a story: what fell back, and was answered in the end. `other` is the next one like it.
async function choose(stack) {
  const rows = await stack.psql(`
    SELECT id, lesson_id FROM lesson_traces
     WHERE status = 'completed' AND provider_used <> 'sample' AND cardinality(fallback_providers) > 0
     ORDER BY llm_call_count = 4 DESC, created_at DESC LIMIT 2`);
  const [[trace, lesson], [other]] = rows.split('\n').map((row) => row.split('|'));

  return { trace, lesson, other };
}

// A lesson that is being generated is part of the picture.
async function generate(stack, outline, model) {
  await stack.fetch('/api/lessons', {
    as: 'admin',
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ outline, model, provider: 'sample' }),
  });
}

async function shoot(stack, out) {
  const browser = await openBrowser(stack);

  try {
    execFileSync(join(ROOT, 'scripts', 'demo-data'), [String(LESSONS), '--days', String(DAYS)], {
      env: { ...process.env, DATABASE_URL: stack.databaseUrl },
      stdio: 'ignore',
    });
    await generate(stack, 'Why the moon changes its shape: the phases, with a lamp and a ball', 'slow-170000');
    const ids = await choose(stack);
    for (const { suffix, colorScheme, viewport } of SHOTS) {
      const page = await browser.page();
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize(viewport);
      for (const { name, at, shown } of PAGES) {
        await page.goto(at(ids));
        await page.locator(shown).first().waitFor();
        await page.waitForTimeout(500); // what comes after it: numbers, fonts
        await page.screenshot({ path: join(out, `${name}-${suffix}.png`) });
      }
      if (page.faults.length > 0) throw new Error(page.faults.join('\n'));
      await page.context().close();
    }
  } finally {
    await browser.close();
  }
}

const stack = await startStack();
try {
  await shoot(stack, process.argv[2]);
} finally {
  await stack.stop();
}
