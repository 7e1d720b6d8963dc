// A link with everything that it has said, and the clients that a host may have.

import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import type { RedisClient } from '../../../adapters/redis/redis-client.ts';
import {
  openRedisLink,
  type RedisLink,
  type RedisLinkOptions,
  type RedisProbe,
  type RedisScript,
} from '../../../adapters/redis/redis-link.ts';
import type { BrokerStatus } from '../../../src/index.ts';
import { UsercastError } from '../../../src/index.ts';
import { eventually } from '../../support/raw-client.ts';

export function script(source: string): RedisScript {
  return { source, digest: createHash('sha1').update(source).digest('hex') };
}

/** Publishes ARGV[2] to the channel ARGV[1], sharded where there are keys in slots. */
const PUBLISH = script('return redis.call(ARGV[3], ARGV[1], ARGV[2])');
const INCREMENT = script("return redis.call('INCR', KEYS[1])");

export class LinkBench {
  readonly link: RedisLink;
  readonly statuses: BrokerStatus[] = [];
  readonly messages: string[] = [];
  /** What the status was whenever channels were restored. */
  readonly restored: BrokerStatus[] = [];
  /** Channels of the probes. */
  probed: string[] = [];

  constructor(
    connection: RedisLinkOptions['connection'],
    { deadlineMs = 8_000, probeMs = 5_000, probed = [] as string[], listens = true } = {},
  ) {
    this.probed = probed;
    const onMessage = (channel: string, message: string): void => {
      this.messages.push(`${channel} ${message}`);
    };
    this.link = openRedisLink({
      connection,
      deadlineMs,
      probeMs,
      probes: () => this.probed.map((channel) => this.#probe(channel)),
      ...(listens ? { onMessage } : {}),
    });
    this.link.onStatus((status) => this.statuses.push(status));
    this.link.onRestored(() => this.restored.push(this.link.status));
  }

  #probe(channel: string): RedisProbe {
    return { channel, send: async () => void (await this.publish(channel, 'probe')) };
  }

  /** How many were subscribed, on the server that has the channel. */
  publish(channel: string, message: string): Promise<unknown> {
    const command = this.link.isCluster ? 'SPUBLISH' : 'PUBLISH';
    return this.link.run(PUBLISH, [channel], [channel, message, command]);
  }

  increment(key: string): Promise<unknown> {
    return this.link.run(INCREMENT, [key], []);
  }

  /** Resolves when what is published to the channel arrives. */
  async hears(channel: string): Promise<void> {
    const message = `heard ${Math.random()}`;
    await this.publish(channel, message);
    await eventually(`${channel} is heard`, () => this.messages.includes(`${channel} ${message}`));
  }

  became(status: BrokerStatus, withinMs = 15_000): Promise<void> {
    return eventually(`the link is ${status}`, () => this.link.status === status, withinMs);
  }

  /** Resolves when it was lost, since `from`, and is ready again. */
  async lostAndBack(from: number, withinMs = 15_000): Promise<void> {
    const isBack = () => this.statuses.slice(from).includes('lost') && this.link.status === 'ready';
    await eventually('the link was lost and is back', isBack, withinMs);
  }
}

/** What a call came to: its reply, or the code of the error. */
export async function outcome(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: unknown) => (error instanceof UsercastError ? error.code : error));
}

/**
 * Keeps this process from everything else for so long, and lets what was due meanwhile happen: timers first, then what has
 * arrived.
 */
export async function hold(ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end);
  await setImmediate();
  await setImmediate();
}

/** A client of the host, and what it takes to end it. */
export interface HostClient {
  readonly client: RedisClient;
  readonly end: () => void;
}

/** By library: a client of the host that was never connected. */
export const CLIENTS: Record<string, (url: string) => HostClient> = {
  'node-redis': (url) => {
    const client = createClient({ url });
    return { client, end: () => client.isOpen && client.destroy() };
  },
  ioredis: (url) => {
    const client = new Redis(url, { lazyConnect: true });
    return { client, end: () => client.disconnect() };
  },
};

/** The same, for a cluster. */
export const CLUSTERS: Record<string, (urls: readonly string[]) => HostClient> = {
  'node-redis': (urls) => {
    const client = createCluster({ rootNodes: urls.map((url) => ({ url })) });
    return { client, end: () => client.isOpen && client.destroy() };
  },
  ioredis: (urls) => {
    const client = new Cluster([...urls], { lazyConnect: true });
    return { client, end: () => client.disconnect() };
  },
};
