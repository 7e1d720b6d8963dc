// What it costs when all clients lose their connection and come back at once: with messages that they missed, CPU and
// wall time until everyone has them; without, how long the server's event loop is held up. Their tokens are remembered,
// their subscriptions are not.

import { setTimeout } from 'node:timers/promises';
import { Pair } from '../pair.mjs';

/** Longer than usercast keeps the subscription of a user who left. */
const AWAY_MS = 3_500;
const WARM_UPS = 2;

/** One message before they leave gives each a place to come back to. */
export async function openToComeBack(pair, { users, tokens, keys, historyMessages }) {
  await pair.start({ users, quiet: true, keys, recovers: true, historyMessages });
  await pair.open(users, tokens);
  await pair.burst(1);
}

/** All leave, and are away for long enough; returns the number of the last message that they missed. */
export async function sendAway(pairs, missed) {
  for (const pair of pairs) await pair.drop();
  await setTimeout(AWAY_MS);
  const lastNumbers = new Map();
  for (const pair of pairs) lastNumbers.set(pair, await pair.publish(missed));
  return lastNumbers;
}

/** `{ cpuMicros, wallMs, p99Ms, maxMs }` of all clients' coming back. */
export async function measureComeBack(pair, lastNumber) {
  const before = await pair.cpu();
  const { value, delay } = await pair.withDelay(() => pair.comeBack(lastNumber));
  return { cpuMicros: (await pair.cpu()) - before, wallMs: value.wallMs, p99Ms: delay.p99, maxMs: delay.max };
}

async function* comeBacks(names, { rounds, missed, ...workload }) {
  const pairs = names.map((name) => new Pair(name));
  try {
    for (const pair of pairs) await openToComeBack(pair, workload);
    for (let round = 0; round < WARM_UPS + rounds; round++) {
      const lastNumbers = await sendAway(pairs, missed);
      for (const pair of pairs) {
        const measured = await measureComeBack(pair, lastNumbers.get(pair));
        if (round >= WARM_UPS) yield { name: pair.name, measured };
      }
      // One more message shows that everyone is live again.
      for (const pair of pairs) await pair.burst(1);
      pairs.push(pairs.shift());
    }
  } finally {
    await Promise.all(pairs.map((pair) => pair.end()));
  }
}

/** Resuming with missed messages, which a bare `ws` loop cannot. */
export async function* measureResume(workload) {
  for await (const { name, measured } of comeBacks(['usercast-v1', 'socket-io'], workload)) {
    yield { row: 'resume-cpu', name, value: measured.cpuMicros / workload.users.length };
    yield { row: 'resume-wall', name, value: measured.wallMs };
  }
}

export async function* measureReconnect(workload) {
  const names = ['usercast-v1', 'ws', 'socket-io'];
  for await (const { name, measured } of comeBacks(names, { ...workload, missed: 0 })) {
    yield { row: 'reconnect-p99', name, value: measured.p99Ms };
    yield { row: 'reconnect-max', name, value: measured.maxMs };
    yield { row: 'reconnect-wall', name, value: measured.wallMs };
  }
}
