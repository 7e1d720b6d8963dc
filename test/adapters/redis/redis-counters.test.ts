// The counter store passes the suite on every kind of Redis and client, and keeps little.

import { setTimeout as passed } from 'node:timers/promises';
import { counterStoreSuite } from 'usercast/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { redisBroker } from '../../../adapters/redis/redis-broker.ts';
import { type RedisCounterOptions, redisCounters } from '../../../adapters/redis/redis-counters.ts';
import type { CounterStore } from '../../../src/index.ts';
import { expectRightCounts } from '../../support/busy-user.ts';
import { cleanUp, listen } from '../../support/fixture.ts';
import { seededRandom } from '../../support/seed.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { CLIENTS, CLUSTERS } from './link-bench.ts';

let server: RedisServer;
let cluster: RedisCluster;

beforeAll(async () => {
  [server, cluster] = await Promise.all([startRedis(), startRedisCluster()]);
});
afterAll(() => Promise.all([server.close(), cluster.close()]));

const WAYS: Record<string, () => RedisCounterOptions> = {
  'one server by url': () => ({ url: server.url }),
  'one server by a client of node-redis': () => CLIENTS['node-redis']!(server.url),
  'one server by a client of ioredis': () => CLIENTS.ioredis!(server.url),
  'eight partitions of one server': () => ({ url: server.url, prefix: 'eight', partitions: 8 }),
  'a cluster by urls': () => ({ url: cluster.urls }),
  'a cluster by node-redis': () => CLUSTERS['node-redis']!(cluster.urls),
  'a cluster by ioredis': () => CLUSTERS.ioredis!(cluster.urls),
};
const only = ({ client, url, prefix, partitions }: RedisCounterOptions): RedisCounterOptions => ({
  ...(client ? { client } : {}),
  ...(url ? { url } : {}),
  ...(prefix ? { prefix } : {}),
  ...(partitions ? { partitions } : {}),
});

for (const [name, way] of Object.entries(WAYS)) {
  counterStoreSuite(
    { describe, it },
    {
      name: `redisCounters on ${name}`,
      create: () => redisCounters(only(way())),
      capabilities: { reopen: () => redisCounters(only(way())) },
    },
  );
}

counterStoreSuite(
  { describe, it },
  {
    name: 'redisCounters with a short memory',
    create: () => redisCounters({ url: server.url, prefix: 'short', rememberMs: 2_000 }),
    capabilities: { clock: { rememberMs: 2_000, advance: (ms) => passed(ms) } },
  },
);

/** Longer than a busy machine stands still. */
const REMEMBER_MS = 1_000;

describe('redisCounters', () => {
  const at = (offset: number) => ({ epoch: 'epoch-of-stream-', offset, tag: 'tttttttt' });
  let store: CounterStore;

  beforeEach(async () => {
    await server.cli('FLUSHALL');
    store = redisCounters({ url: server.url, rememberMs: REMEMBER_MS });
  });
  afterEach(() => store.close());

  it('keeps counts for ever, and nothing else longer than ids are remembered', async () => {
    await store.increment([{ userId: 'ann', boxId: 'box', id: 'e1', position: at(1) }]);
    await store.reset('ann', 'other', at(2));
    expect(await store.counts('ann')).toEqual({ box: 1 });
    await passed(REMEMBER_MS + 100);
    expect((await server.cli('KEYS', '*')).split('\n').sort()).toEqual([
      '{usercast:0}:n:ann',
      '{usercast:counters}:layout',
    ]);
    expect(await server.cli('TTL', '{usercast:0}:n:ann')).toBe('-1');
    await store.reset('ann', 'box', at(2));
    expect(await store.counts('ann')).toEqual({});
    await passed(REMEMBER_MS + 100);
    expect(await server.cli('KEYS', '*')).toBe('{usercast:counters}:layout');
  });

  it('gives every session of a busy user the counts as of its head', async () => {
    const broker = redisBroker({ url: server.url });
    const counters = redisCounters({ url: server.url, prefix: 'counts' });
    try {
      await expectRightCounts(await listen({ broker, counters }), seededRandom(5));
    } finally {
      await cleanUp();
      await Promise.all([broker.close(), counters.close()]);
    }
  });

  it('asked for the counts up to a position keeps what it has, and needs none of the details', async () => {
    const counted = [1, 2].map((n) => ({ userId: 'ann', boxId: 'box', id: `e${n}`, position: at(n) }));
    await store.increment(counted);
    expect(await store.counts('ann', at(1))).toEqual({ box: 1 });
    await passed(REMEMBER_MS + 100);
    expect(await server.cli('EXISTS', '{usercast:0}:a:ann')).toBe('0');
    expect([await store.counts('ann', at(1)), await store.counts('ann')]).toEqual([{ box: 2 }, { box: 2 }]);
  });

  it('keeps no more of the boxes that an active client acks than of the time in which ids are remembered', async () => {
    const ack = (box: number) => store.reset('ann', `box ${box}`, at(1));
    for (let box = 0; box < 63; box++) await ack(box);
    await passed(REMEMBER_MS * 0.5);
    for (let box = 63; box < 120; box++) await ack(box);
    expect(Number(await server.cli('HLEN', '{usercast:0}:a:ann'))).toBeGreaterThan(100);
    await passed(REMEMBER_MS * 0.7);
    for (let box = 120; box < 128; box++) await ack(box);
    expect(Number(await server.cli('HLEN', '{usercast:0}:a:ann'))).toBeLessThan(80);
  });

  it('counts a thousand users in one call', async () => {
    const counted = Array.from({ length: 1_000 }, (_, i) => ({
      userId: `u${i}`,
      boxId: 'box',
      id: 'e',
      position: at(i + 1),
    }));
    await store.increment([...counted, ...counted]);
    expect(await store.counts('u999')).toEqual({ box: 1 });
    expect((await server.cli('KEYS', '*:n:*')).split('\n')).toHaveLength(1_000);
  });

  it('refuses keys that were laid out for another number of partitions', async () => {
    await store.counts('ann');
    const other = redisCounters({ url: server.url, partitions: 2 });
    await expect(other.counts('ann')).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringContaining('partitions'),
    });
    await other.close();
  });

  it('shares a server with stores of another prefix', async () => {
    const other = redisCounters({ url: server.url, prefix: 'other' });
    await other.increment([{ userId: 'ann', boxId: 'box', id: 'e1', position: at(1) }]);
    expect(await store.counts('ann')).toEqual({});
    await other.close();
  });

  it('finishes what was left when a call is made again after a loss', async () => {
    const counted = [1, 2, 3].map((n) => ({ userId: `user ${n}`, boxId: 'box', id: 'e', position: at(n) }));
    await store.increment(counted.slice(0, 2));
    await server.kill();
    await expect(store.increment(counted)).rejects.toMatchObject({ code: 'broker_unavailable' });
    await server.start();
    await expect
      .poll(() =>
        store.increment(counted).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await store.increment(counted);
    expect(await Promise.all(counted.map(({ userId }) => store.counts(userId)))).toEqual(
      counted.map(() => ({ box: 1 })),
    );
  });

  it('goes on after a connection that was dead without saying so', async () => {
    const proxy = await new TcpProxy(server.port).start();
    const proxied = redisCounters({ url: `redis://127.0.0.1:${proxy.port}`, deadlineMs: 1_000, probeMs: 2_000 });
    try {
      await proxied.increment([{ userId: 'ann', boxId: 'box', id: 'e1', position: at(1) }]);
      proxy.drop('down', 'open');
      await expect(proxied.counts('ann')).rejects.toMatchObject({ code: 'deadline' });
      await expect.poll(() => proxied.counts('ann').catch(() => null)).toEqual({ box: 1 });
    } finally {
      await proxied.close();
      await proxy.stop();
    }
  });

  it.each([
    [{}, /url or client/],
    [{ url: 'redis://localhost', client: {} }, /url or client/],
    [{ url: 'http://localhost' }, /url must be/],
    [{ client: {} }, /client must be a client of redis .* or of ioredis/],
    [{ url: 'redis://localhost', rememberMs: 0 }, /rememberMs must be a whole number of at least 1/],
    [{ url: 'redis://localhost', remember: 1 }, /no option "remember"/],
  ])('refuses the options %j', (options, message) => {
    expect(() => redisCounters(options as RedisCounterOptions)).toThrow(message);
    expect(() => redisCounters(options as RedisCounterOptions)).toThrow(TypeError);
  });
});
