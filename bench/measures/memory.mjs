// Resident memory and heap of the server per idle connection: a fresh process each time, collected before and after.

import { PLAIN_COMPETITORS, withPair } from '../pair.mjs';

/** The warm-up comes in waves, so that it compiles what a handshake needs and leaves little memory behind to be used again. */
const WAVE = 100;

export async function* measureMemory({ rounds, users, tokens, keys, warmUp }) {
  for (let round = 0; round < rounds; round++) {
    for (const name of PLAIN_COMPETITORS) {
      const [before, after] = await withPair(name, ['--expose-gc'], async (pair) => {
        await pair.start({ keys });
        for (let at = 0; at < warmUp.users.length; at += WAVE) {
          await pair.open(warmUp.users.slice(at, at + WAVE), warmUp.tokens.slice(at, at + WAVE));
          await pair.leave();
        }
        await pair.growYoungGeneration();
        const idle = await pair.memory();
        await pair.open(users, tokens);
        return [idle, await pair.memory()];
      });
      yield { row: 'rss', name, value: (after.rss - before.rss) / users.length };
      yield { row: 'heap', name, value: (after.heapUsed - before.heapUsed) / users.length };
    }
  }
}
