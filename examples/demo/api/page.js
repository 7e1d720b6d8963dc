// The page's files for a server without a static middleware, read once: what is not in the folder cannot be asked for.

import { readdir, readFile } from 'node:fs/promises';

/** The client of usercast as one file, which a page imports as it is. */
export const clientFile = {
  path: '/usercast-client.min.js',
  body: await readFile(new URL(import.meta.resolve('usercast/client/browser.min.js'))),
};

/** The page fetches nothing from elsewhere, and says so to the browser. */
export const pageHeaders = {
  'Content-Security-Policy': "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'",
  'Cache-Control': 'no-cache',
  'X-Content-Type-Options': 'nosniff',
};

export async function readPage(folder) {
  const files = new Map();
  for (const name of await readdir(folder)) {
    files.set(`/${name}`, { name, body: await readFile(new URL(name, folder)) });
  }
  files.set('/', files.get('/index.html'));
  files.set(clientFile.path, { name: clientFile.path, body: clientFile.body });
  return files;
}
