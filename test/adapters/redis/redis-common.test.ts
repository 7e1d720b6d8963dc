// Messages to many at once, which reach all processes in one publication, beside messages to few, which do not.

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RedisBroker, redisBroker } from '../../../adapters/redis/index.ts';
import { messageTo } from '../../../src/testing/broker-bench.ts';
import { Recorder } from '../../../src/testing/index.ts';
import { eventually } from '../../support/raw-client.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';

let redis: RedisServer;
let cluster: RedisCluster;

beforeAll(async () => {
  [redis, cluster] = await Promise.all([startRedis(), startRedisCluster({ primaries: 3, replicas: 0 })]);
});
afterAll(() => Promise.all([redis.close(), cluster.close()]));

const USERS = ['ann', 'b\n b', 'c"c', 'd 💬', '["e"]', ...Array.from({ length: 200 }, (_, i) => `user ${i}`)];

it.each([
  ['one Redis', () => redis.url],
  ['a cluster', () => cluster.urls],
])('to many and to few keep one order for each recipient, on %s', async (_, url) => {
  const prefix = randomUUID();
  const brokers: RedisBroker[] = [0, 1].map(() => redisBroker({ url: url(), prefix }));
  const recorders = new Map(USERS.map((userId) => [userId, new Recorder()]));
  await Promise.all(USERS.map((userId, i) => brokers[i % 2]!.subscribe(userId, recorders.get(userId)!)));
  const expected = new Map<string, string[]>(USERS.map((userId) => [userId, []]));
  for (let i = 0; i < 30; i++) {
    const userIds = USERS.filter((_user, at) => (at * 7 + i) % [1, 2, 5, 90][i % 4]! === 0);
    const payload = `{"n":${i},"text":"\\n💬 1 2"}`;
    await brokers[i % 2]!.publish(messageTo(userIds, payload, { id: `id ${i}`, unread: { boxId: 'box' } }));
    for (const userId of userIds) expected.get(userId)!.push(payload);
    // What some have already comes to the others alone.
    await brokers[(i + 1) % 2]!.publish(messageTo(USERS.slice(0, 100), payload, { id: `id ${i}` }));
    for (const userId of USERS.slice(0, 100)) if (!userIds.includes(userId)) expected.get(userId)!.push(payload);
  }
  for (const userId of USERS) {
    const { publications } = recorders.get(userId)!;
    await eventually(`all of ${userId}`, () => publications.length === expected.get(userId)!.length);
    expect(recorders.get(userId)!.payloads).toEqual(expected.get(userId));
    const slice = await brokers[0]!.read(userId, publications[0]!, 100);
    expect(slice.entries).toEqual(publications.slice(1));
    for (const [i, one] of publications.entries()) if (i > 0) expect(one.previousTag).toBe(publications[i - 1]!.tag);
  }
  await Promise.all(brokers.map((broker) => broker.close()));
});
