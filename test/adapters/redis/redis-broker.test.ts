import { randomUUID } from 'node:crypto';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { afterAll, afterEach, beforeAll, describe, it } from 'vitest';
import { type RedisBroker, type RedisClient, redisBroker } from '../../../adapters/redis/index.ts';
import { brokerSuite } from '../../../src/testing/index.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';

/** Waited for once, in real time. */
const DEDUPLICATION_MS = 4_000;

let redis: RedisServer;
let cluster: RedisCluster;
/** Each test has a prefix of its own; its peers and successors share it. */
const prefixes = new WeakMap<RedisBroker, string>();

beforeAll(async () => {
  [redis, cluster] = await Promise.all([startRedis(), startRedisCluster({ primaries: 3, replicas: 0 })]);
});
afterAll(() => Promise.all([redis.close(), cluster.close()]));

function testBroker(
  name: string,
  place: () => { url: string | readonly string[] } | { client: RedisClient },
  { waits = false } = {},
): void {
  const open = (prefix: string): RedisBroker => {
    const broker = redisBroker({
      ...place(),
      prefix,
      ...(waits ? { deduplicationMs: DEDUPLICATION_MS } : { deadlineMs: 15_000 }),
    });
    prefixes.set(broker, prefix);
    return broker;
  };
  const again = (broker: RedisBroker): RedisBroker => open(prefixes.get(broker)!);
  brokerSuite(
    { describe, it },
    {
      name,
      create: () => open(randomUUID()),
      capabilities: {
        counters: true,
        peer: again,
        reopen: again,
        ...(waits && {
          clock: {
            deduplicationMs: DEDUPLICATION_MS,
            advance: (ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
          },
        }),
      },
    },
  );
}

testBroker('redisBroker by url', () => ({ url: redis.url }), { waits: true });
testBroker('redisBroker by the urls of a cluster', () => ({ url: cluster.urls }));

describe('redisBroker with the client of the host', () => {
  const nodes = () => cluster.urls.map((url) => ({ host: '127.0.0.1', port: Number(new URL(url).port) }));
  const ours: (() => void)[] = [];
  afterEach(() => {
    for (const end of ours.splice(0)) end();
  });

  testBroker('of node-redis', () => ({ client: createClient({ url: redis.url }) }));
  testBroker('of node-redis on a cluster', () => ({
    client: createCluster({ rootNodes: cluster.urls.map((url) => ({ url })) }),
  }));
  testBroker('of ioredis', () => {
    const client = new Redis(redis.url, { lazyConnect: true });
    ours.push(() => client.disconnect());
    return { client };
  });
  testBroker('of ioredis on a cluster', () => {
    const client = new Cluster(nodes(), { lazyConnect: true });
    ours.push(() => client.disconnect());
    return { client };
  });
});
