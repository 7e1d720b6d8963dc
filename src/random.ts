// Random names: tags, epochs and session ids, drawn from a pool, and flat in memory however many are kept.

import { randomFillSync } from 'node:crypto';

const pool = Buffer.allocUnsafeSlow(3_072);
let at = pool.length;

/** Random characters of `A-Z a-z 0-9 _ -`, 6 bits each. `length` is a multiple of 4. */
export function randomName(length: number): string {
  const bytes = (length / 4) * 3;
  if (at + bytes > pool.length) {
    randomFillSync(pool);
    at = 0;
  }
  at += bytes;
  return pool.toString('base64url', at - bytes, at);
}
