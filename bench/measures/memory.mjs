// Resident memory and heap of the server per idle connection: a fresh process each time, collected before and after.

import { COMPETITORS, withPair } from '../pair.mjs';

/** Opened and closed before the first look, so that code and pools that the first connections bring are not counted. */
const WARM_UP = 200;

export async function* measureMemory({ rounds, users, tokens, keys }) {
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(COMPETITORS)) {
      const [before, after] = await withPair(name, ['--expose-gc'], async (pair) => {
        await pair.start({ keys });
        await pair.open(users.slice(0, WARM_UP), tokens);
        await pair.leave();
        const idle = await pair.memory();
        await pair.open(users, tokens);
        return [idle, await pair.memory()];
      });
      yield { row: 'rss', name, value: (after.rss - before.rss) / users.length };
      yield { row: 'heap', name, value: (after.heapUsed - before.heapUsed) / users.length };
    }
  }
}
