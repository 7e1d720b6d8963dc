// Clients that stop reading, among many that do not. `SLOW_CLIENT_SECONDS=30` makes each run that long.

import { loadavg } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { Child } from '../support/child.ts';
import type { Account } from '../support/load-readers.ts';
import type { LoadResult } from '../support/load-site.ts';
import { eventually } from '../support/raw-client.ts';

const SECONDS = Number(process.env.SLOW_CLIENT_SECONDS ?? 1.5);
const PER_SECOND = 200;
const BYTES = 2_048;
const USERS = Array.from({ length: 200 }, (_, i) => `user-${i}`);
/** Every tenth: what is in memory for one of them lies beside what is there for others. */
const isSlow = (_user: unknown, i: number): boolean => i % 10 === 0;
const SLOW = USERS.filter(isSlow);
const HEALTHY = USERS.filter((user, i) => !isSlow(user, i));

/**
 * In a short run, first fills what the operating system takes for a client that does not read, some 4 MB, and then offers
 * twice as much again; in waves that clients who read are waited for.
 */
const FLOOD = { messages: 25, bytes: 60_000 };
const floodWaves = (seconds: number): number => (seconds < 20 ? 10 : 0);
const FLOODED = FLOOD.messages * floodWaves(SECONDS);
const MAX_GROWTH_BYTES = 64 * 2 ** 20;
const MAX_LATENCY_RATIO = 1.5;
/** On a machine that others use as well, single milliseconds are its own. */
const LATENCY_NOISE_MS = 5;
/** What disturbs the machine for a moment disturbs one attempt; what slow clients cost would be there in each. */
const ATTEMPTS = 4;
const WARM_UP_SECONDS = 0.4;
const CATCHES_UP_WITHIN_MS = 20_000;
const TIMEOUT_MS = 2 * ATTEMPTS * (SECONDS * 1_000 + 20_000);

interface RunOptions {
  readonly stalls: boolean;
  readonly seconds?: number;
  readonly historyMessages?: number;
  readonly maxBufferedBytes?: number;
}

interface Run {
  readonly peakRssBytes: number;
  readonly p99Ms: number;
  readonly slow: readonly Account[];
  readonly healthy: readonly Account[];
  readonly last: number;
}

const children: Child[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.end();
});

async function start(source: string): Promise<Child> {
  const child = await Child.start(source);
  children.push(child);
  return child;
}

/** Serves the load to all users, with some of them stalled or none; lets those read again at the end. */
async function run({ stalls, seconds = SECONDS, ...options }: RunOptions): Promise<Run> {
  const [site, readers] = await Promise.all([start('load-site.ts'), start('load-readers.ts')]);
  const port = await site.ask<number>('start', { userIds: USERS, ...options });
  const load = (forSeconds: number) => {
    const messages = Math.ceil(forSeconds * PER_SECOND);
    return site.ask<LoadResult>('load', { perSecond: PER_SECOND, bytes: BYTES, messages });
  };
  await readers.ask('open', { port, userIds: USERS });
  await load(WARM_UP_SECONDS);
  if (stalls) await readers.ask('stall', SLOW);
  for (let wave = 0; wave < floodWaves(seconds); wave++) {
    const lastFlood = await site.ask<number>('flood', { userIds: SLOW, ...FLOOD });
    const haveIt = async () =>
      (await readers.ask<Account[]>('accounts', SLOW)).every((account) => account.lastFlood === lastFlood);
    if (!stalls) await eventually('all have the flood', haveIt, CATCHES_UP_WITHIN_MS);
  }
  await readers.ask('forgetLatency');
  const { peakRssBytes } = await load(seconds);
  const p99Ms = await readers.ask<number>('p99Ms');
  await readers.ask('readAgain', SLOW);
  // They read while messages go on.
  await load(WARM_UP_SECONDS);
  const { accounts, last } = await untilAllHaveTheLast(readers, () => load(1 / PER_SECOND));
  for (const child of children.splice(0)) child.end();
  return {
    peakRssBytes,
    p99Ms,
    last,
    slow: accounts.filter(isSlow),
    healthy: accounts.filter((account, i) => !isSlow(account, i)),
  };
}

/** One more message, until all have the last: a client that is reset is at the top then, and gets what comes after it. */
async function untilAllHaveTheLast(readers: Child, publish: () => Promise<LoadResult>) {
  let accounts: readonly Account[] = [];
  let last = 0;
  const haveLast = async () => {
    accounts = await readers.ask<Account[]>('accounts', USERS);
    return accounts.every((account) => account.last === last || account.closed);
  };
  const haveOneMore = async () => {
    ({ last } = await publish());
    return eventually('all have it', haveLast, 1_000).then(
      () => true,
      () => false,
    );
  };
  await eventually('all have the last message', haveOneMore, CATCHES_UP_WITHIN_MS);
  return { accounts, last };
}

const whole = (last: number, lastFlood: number): Account => ({ last, lastFlood, resets: 0, faults: 0, closed: false });

/** The run without stalls and the run with them, until the second one costs no more than it may. */
async function compare(options: Omit<RunOptions, 'stalls'>): Promise<Run> {
  for (let attempt = 1; ; attempt++) {
    const without = await run({ ...options, stalls: false });
    expect(without.slow).toEqual(SLOW.map(() => whole(without.last, FLOODED)));
    const stalled = await run({ ...options, stalls: true });
    const growthBytes = stalled.peakRssBytes - without.peakRssBytes;
    const maxP99Ms = Math.max(without.p99Ms * MAX_LATENCY_RATIO, without.p99Ms + LATENCY_NOISE_MS);
    console.log(
      `${SLOW.length} of ${USERS.length} clients stalled for ${SECONDS} s: peak RSS ${mebibytes(stalled.peakRssBytes)} ` +
        `against ${mebibytes(without.peakRssBytes)} MiB, p99 of the others ${stalled.p99Ms.toFixed(1)} against ` +
        `${without.p99Ms.toFixed(1)} ms; load average ${loadavg()[0]!.toFixed(1)}`,
    );
    const isWithinBounds = growthBytes <= MAX_GROWTH_BYTES && stalled.p99Ms <= maxP99Ms;
    if (!isWithinBounds && attempt < ATTEMPTS) continue;
    expect(growthBytes).toBeLessThanOrEqual(MAX_GROWTH_BYTES);
    expect(stalled.p99Ms).toBeLessThanOrEqual(maxP99Ms);
    expect(stalled.healthy).toEqual(HEALTHY.map(() => whole(stalled.last, 0)));
    return stalled;
  }
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

describe('clients that stop reading among many that read', { timeout: TIMEOUT_MS }, () => {
  it('cost bounded memory, delay nobody, and get everything where history reaches back', async () => {
    const { slow, last } = await compare({ historyMessages: 10_000 });
    expect(slow).toEqual(SLOW.map(() => whole(last, FLOODED)));
  });

  it('cost bounded memory, delay nobody, and are told of the loss where history does not reach back', async () => {
    const { slow, last } = await compare({});
    for (const account of slow) {
      expect(account).toMatchObject({ last, faults: 0, closed: false });
      expect(account.resets).toBeGreaterThanOrEqual(1);
    }
  });

  it('would cost more than that without a bound on what waits for a client', async () => {
    const bounded = await run({ stalls: true, seconds: 0.3 });
    const { peakRssBytes } = await run({ stalls: true, seconds: 0.3, maxBufferedBytes: 2 ** 30 });
    expect(peakRssBytes - bounded.peakRssBytes).toBeGreaterThan(MAX_GROWTH_BYTES);
  });
});
