// A usercast under load, in a process whose memory is its alone: publishes to all users at a steady rate.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createUsercast, memoryBroker, type Usercast } from '../../src/index.ts';
import { answerCommands } from './child-commands.ts';

export interface LoadSiteOptions {
  readonly userIds: readonly string[];
  /** Undefined: the default. */
  readonly historyMessages?: number;
  readonly maxBufferedBytes?: number;
}

export interface LoadOptions {
  readonly messages: number;
  readonly perSecond: number;
  readonly bytes: number;
}

export interface LoadResult {
  /** The number of the last message. */
  readonly last: number;
  readonly peakRssBytes: number;
}

export interface FloodOptions {
  readonly userIds: readonly string[];
  readonly messages: number;
  readonly bytes: number;
}

const SAMPLE_MS = 50;

let usercast: Usercast;
let users: readonly string[] = [];
let last = 0;
let lastFlood = 0;

/** Microseconds on a clock that all processes of the machine share. */
const nowMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

const padding = (bytes: number): string => 'x'.repeat(bytes);

answerCommands({
  async start({ userIds, historyMessages, maxBufferedBytes }: LoadSiteOptions): Promise<number> {
    users = userIds;
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    usercast = createUsercast({
      verifier: { verify: async (token) => ({ userId: token }) },
      ...(historyMessages ? { broker: memoryBroker({ history: { messages: historyMessages } }) } : {}),
      ...(maxBufferedBytes ? { limits: { maxBufferedBytes } } : {}),
    });
    usercast.attach(server);
    return (server.address() as AddressInfo).port;
  },

  /** Publishes large messages to some users, one after the other as fast as the event loop turns; returns the last's number. */
  async flood({ userIds, messages, bytes }: FloodOptions): Promise<number> {
    const pad = padding(bytes);
    for (let i = 0; i < messages; i++) {
      await usercast.notify(userIds, 'flood', { f: ++lastFlood, pad });
      await new Promise((resolve) => setImmediate(resolve));
    }
    return lastFlood;
  },

  /** Each message says when it was due, so that a server that is held up is seen to be late. */
  async load({ messages, perSecond, bytes }: LoadOptions): Promise<LoadResult> {
    const pad = padding(bytes);
    const startMicros = nowMicros();
    let peakRssBytes = 0;
    const sampler = setInterval(() => {
      peakRssBytes = Math.max(peakRssBytes, process.memoryUsage.rss());
    }, SAMPLE_MS);
    for (let sent = 0; sent < messages; ) {
      const at = startMicros + Math.round((sent * 1e6) / perSecond);
      const waitMs = (at - nowMicros()) / 1_000;
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      await usercast.notify(users, 'n', { n: ++last, at, pad });
      sent++;
    }
    clearInterval(sampler);
    return { last, peakRssBytes };
  },
});
