// A browser on a running stack: signed in, and watched for everything that must never happen.

import { chromium } from 'playwright-core';

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const PATIENCE_MS = 20_000;
const SLOWDOWN = Number(process.env.BROWSER_SLOWDOWN ?? 1); // 6: as on a machine six times slower, where races show
const JITTER_MS = Number(process.env.BROWSER_JITTER_MS ?? 0); // 300: each request to the API waits 0–300 ms, so that answers come in any order

// close() ends the browser. page() opens a page in a profile of its own, signed in unless `as` is null; its
// `faults` is the list of what went wrong on it so far: script errors, console errors, CSP and Trusted Types
// violations, and requests to anybody but the stack. An error status the test asked for is no fault: `expect`
// names it.
export async function openBrowser(stack) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ARGS,
  });

  async function page({ as = 'admin', expect = [] } = {}) {
    const context = await browser.newContext({
      baseURL: stack.baseUrl,
      viewport: { width: 1280, height: 900 },
      httpCredentials: as === null ? undefined : { username: stack[as].user, password: stack[as].password },
    });
    const opened = await context.newPage();
    opened.setDefaultTimeout(PATIENCE_MS);
    opened.faults = [];
    await watch(opened, stack.baseUrl, expect);
    if (SLOWDOWN > 1) await slowDown(opened);
    if (JITTER_MS > 0) await jitter(opened);
    return opened;
  }

  return { page, close: () => browser.close() };
}

async function slowDown(page) {
  const devtools = await page.context().newCDPSession(page);

  await devtools.send('Emulation.setCPUThrottlingRate', { rate: SLOWDOWN });
}

const jitter = (page) =>
  page.route('**/api/**', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * JITTER_MS));
    await route.continue().catch(() => {}); // the page may be gone
  });

async function watch(page, baseUrl, expect) {
  const allowed = expect.map((status) => `the server responded with a status of ${status} `);

  page.on('pageerror', (error) => page.faults.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (!allowed.some((text) => message.text().includes(text)))
      page.faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const { origin, protocol, href } = new URL(request.url());
    if (protocol !== 'data:' && (origin !== baseUrl || protocol === 'blob:'))
      page.faults.push(`request: ${href}`);
  });
  page.on('dialog', (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.exposeFunction('reportViolation', (text) => page.faults.push(`violation: ${text}`));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      window.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
}

// Writes an outline into the form of "/" and sends it. Gives the id of the lesson.
export async function generate(page, outline) {
  await page.goto('/');
  await page.getByLabel('Outline').fill(outline);
  const answer = page.waitForResponse(
    (one) => one.request().method() === 'POST' && one.url().endsWith('/api/lessons'),
  );
  await page.getByRole('button', { name: 'Generate lesson' }).click();
  return (await (await answer).json()).lesson.id;
}

// The sample provider answers nobody until the function is called that this gives: so long a generation runs.
export function holdSample(stack) {
  const send = (signal) =>
    stack
      .processes()
      .filter(({ command }) => command.split(' ')[0].endsWith('/sample.fcgi'))
      .forEach(({ pid }) => process.kill(pid, signal));

  send('SIGSTOP');
  return () => send('SIGCONT');
}

// The row of a lesson or of a trace on its list.
export const rowOf = (page, id) =>
  page.locator('tbody tr', { has: page.locator(`a[href$="/${id}"]`) });
