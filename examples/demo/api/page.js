// The page's files for a server without a static middleware, read once: what is not in the folder cannot be asked for.

import { readdir, readFile } from 'node:fs/promises';

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
  return files;
}
