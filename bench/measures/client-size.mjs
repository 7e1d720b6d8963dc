// What a page has to load for the browser client: the one file of it, minified, as a server would compress it.

import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';

const FILE = new URL('../../dist/usercast-client.min.js', import.meta.url);

/** Yields nothing where the client was not built. */
export async function* measureClientSize() {
  const text = await readFile(FILE).catch(() => null);
  if (text) yield { row: 'client-size', name: 'usercast-v1', value: gzipSync(text, { level: 9 }).length };
}
