// CPU time of the server per delivered message, in bursts of 1 and of 10 per turn of the event loop: usercast's plain
// sessions beside other libraries, and its `usercast.v1` sessions beside the plain ones. Competitors stand beside each
// other, and the rounds go from one to the next.

import { Pair, PLAIN_COMPETITORS } from '../pair.mjs';

const BURSTS = [1, 10];

/** More than a history holds, so that every measured message finds it full. */
const WARM_UP = [...Array(12).fill(10), ...Array(12).fill(1)];

export async function openForFanOut(pair, { users, tokens, keys }) {
  await pair.start({ users, quiet: true, keys });
  await pair.open(users, tokens);
  for (const size of WARM_UP) await pair.burst(size);
}

/** Microseconds per delivered message, over as many bursts as take `cpuSeconds`. */
export async function measureBursts(pair, size, { users, cpuSeconds }) {
  const before = await pair.cpu();
  let bursts = 0;
  let spent = 0;
  while (spent < cpuSeconds * 1e6) {
    await pair.burst(size);
    bursts++;
    spent = (await pair.cpu()) - before;
  }
  return spent / (bursts * size * users.length);
}

/** Yields `{ row, name, value }` for each measurement. */
export const measureFanOut = (workload) => fanOut(PLAIN_COMPETITORS, 'burst', workload);

/** The same of what a cursor on every message costs. */
export const measureCursor = (workload) => fanOut(['usercast', 'usercast-v1'], 'cursor', workload);

async function* fanOut(names, rows, { generations, rounds, ...workload }) {
  for (let generation = 0; generation < generations; generation++) {
    const pairs = names.map((name) => new Pair(name));
    try {
      for (const pair of pairs) await openForFanOut(pair, workload);
      for (let round = 0; round < rounds; round++) {
        for (const size of BURSTS) {
          for (const pair of pairs) {
            yield { row: `${rows}-${size}`, name: pair.name, value: await measureBursts(pair, size, workload) };
          }
        }
        pairs.push(pairs.shift());
      }
    } finally {
      await Promise.all(pairs.map((pair) => pair.end()));
    }
  }
}
