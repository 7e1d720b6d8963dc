// How fast one client is given a long history: it was cut off, missed all of it, and comes back.

import { Pair } from '../pair.mjs';
import { openToComeBack } from './come-back.mjs';

const WARM_UPS = 1;
/** Published in one turn of the event loop. */
const PUBLISHED_AT_ONCE = 100;

export async function* measureReplay({ rounds, missed, ...workload }) {
  const pairs = ['usercast-v1', 'socket-io'].map((name) => new Pair(name));
  try {
    for (const pair of pairs) await openToComeBack(pair, { ...workload, historyMessages: missed });
    for (let round = 0; round < WARM_UPS + rounds; round++) {
      for (const pair of pairs) {
        await pair.drop();
        let lastNumber = 0;
        for (let sent = 0; sent < missed; sent += PUBLISHED_AT_ONCE) lastNumber = await pair.publish(PUBLISHED_AT_ONCE);
        const { wallMs, bytes } = await pair.comeBack(lastNumber);
        if (round < WARM_UPS) continue;
        yield { row: 'replay-messages', name: pair.name, value: (missed / wallMs) * 1e3 };
        yield { row: 'replay-bytes', name: pair.name, value: (bytes / wallMs) * 1e3 };
      }
      pairs.push(pairs.shift());
    }
  } finally {
    await Promise.all(pairs.map((pair) => pair.end()));
  }
}
