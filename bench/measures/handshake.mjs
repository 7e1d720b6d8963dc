// CPU time of the server per handshake, in a process that has just started, in one that is warm, and of users who come
// back. Where tokens are checked, the first two see theirs for the first time, and the last are remembered.

import { setTimeout } from 'node:timers/promises';
import { PLAIN_COMPETITORS, withPair } from '../pair.mjs';

/** The passes of one process, in their order, and which of two sets of users comes. */
export const PASSES = { start: 'early', new: 'late', remembered: 'late' };

/** Longer than usercast keeps the subscription of a user who left: what is remembered is the token alone. */
const AWAY_MS = 3_500;

/** `[pass, microseconds per handshake]` of each pass; `around(pass, work)` may look at what the pass does. */
export async function passThrough(pair, { early, late, keys }, around = (_pass, work) => work()) {
  const sets = { early, late };
  const results = [];
  await pair.start({ keys });
  for (const [pass, set] of Object.entries(PASSES)) {
    const { users, tokens } = sets[set];
    if (pass === 'remembered') await setTimeout(AWAY_MS);
    const value = await around(pass, async () => {
      const before = await pair.cpu();
      await pair.open(users, tokens);
      return ((await pair.cpu()) - before) / users.length;
    });
    results.push([pass, value]);
    await pair.leave();
  }
  return results;
}

/** `workloads`: by algorithm; the competitors without auth run once a round. */
export async function* measureHandshakes({ rounds, workloads }) {
  const cases = Object.keys(workloads).flatMap((alg) =>
    PLAIN_COMPETITORS.filter((name) => name === 'usercast' || alg === 'RS256').map((name) => ({ name, alg })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { name, alg } of cases) {
      const results = await withPair(name, [], (pair) => passThrough(pair, workloads[alg]));
      for (const [pass, value] of results) {
        yield { row: `handshake-${pass}${alg === 'RS256' ? '' : `-${alg}`}`, name, value };
      }
    }
  }
}
