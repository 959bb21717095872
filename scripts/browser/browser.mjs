// A headless Chromium for the tests in this folder.

import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The tools' node_modules folder is not above this file, where `import` would look.
const require = createRequire(new URL('../../.tools/npm/package.json', import.meta.url));
const { chromium } = require('playwright-core');

// Gives a browser with an empty profile to `use`; nothing of it is left afterwards.
export async function withBrowser(executablePath, viewport, use) {
  const profile = await mkdtemp(join(tmpdir(), 'parlor-browser-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport,
    colorScheme: 'light',
    args: [
      // Chromium's sandbox does not work for root, which tests in containers often are; the only page is our own.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // Nothing but the page: no updates, no look-ups of the browser's own.
      '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
      '--disable-gpu', '--disable-quic',
    ],
  });
  try {
    browser.setDefaultTimeout(15_000);
    await use(browser);
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

// Gathers everything that a person would see in red in the browser's tools, and requests to any site but `url`.
export function complaintsOf(page, url) {
  const complaints = [];
  page.on('console', message => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', error => complaints.push(String(error)));
  page.on('requestfailed', request => complaints.push(`${request.url()} ${request.failure()?.errorText}`));
  page.on('response', response => {
    if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
    if (!response.url().startsWith(url)) complaints.push(`foreign request to ${response.url()}`);
  });
  return complaints;
}
