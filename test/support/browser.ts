// Starts the Chromium that `needs.mjs` found, for tests that look at a page.

import { type Browser, chromium } from 'playwright-core';
import { find } from './needs.mjs';

/** A headless Chromium with an empty profile that calls nobody but the pages it is given. Close it after the tests. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = find('chromium');
  if (!executablePath) throw new Error('no Chromium on this machine: run `npm test` once, which gets it or says how');
  return chromium.launch({
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
