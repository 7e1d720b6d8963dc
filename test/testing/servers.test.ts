// The real servers that tests start and hurt: what their verbs do.

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { Child } from '../support/child.ts';
import { eventually } from '../support/raw-client.ts';
import { startNats } from '../support/servers/nats.ts';
import { startNatsCluster } from '../support/servers/nats-cluster.ts';
import { startRedis, startRedisReplica } from '../support/servers/redis.ts';
import { startRedisCluster } from '../support/servers/redis-cluster.ts';

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('a Redis server', () => {
  it.each([
    ['none', ''],
    ['aof', 'new'],
    ['aof-always', 'new'],
  ] as const)(
    'with persistence %s comes back with "%s" after kill -9, and with older files as it was',
    async (persistence, kept) => {
      await using redis = await startRedis({ persistence });
      await redis.cli('SET', 'key', 'old');
      await redis.saveCopy('earlier');
      await redis.cli('SET', 'key', 'new');
      await redis.restart();
      expect(await redis.cli('GET', 'key')).toBe(kept);
      await redis.kill();
      await redis.restoreCopy('earlier');
      await redis.start();
      expect(await redis.cli('GET', 'key')).toBe('old');
      const { port } = redis;
      await redis.restart();
      expect([redis.port, await redis.cli('GET', 'key')]).toEqual([port, kept && 'old']);
    },
  );

  it('does not answer while it is frozen, and answers then', async () => {
    await using redis = await startRedis();
    redis.freeze();
    let isAnswered = false;
    const answer = redis.cli('PING').finally(() => {
      isAnswered = true;
    });
    // Time for a hundred answers of one that is not frozen.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isAnswered).toBe(false);
    redis.thaw();
    expect(await answer).toBe('PONG');
  });

  it('that lags behind its primary is promoted without the last writes', async () => {
    await using primary = await startRedis();
    await primary.cli('SET', 'key', 'old');
    await using replica = await startRedisReplica(primary);
    replica.lag();
    await primary.cli('SET', 'key', 'new');
    await primary.kill();
    await replica.promote();
    expect(await replica.cli('GET', 'key')).toBe('old');
    expect(await replica.cli('SET', 'key', 'its own')).toBe('OK');
  });

  it('ends with the process that started it, however that ended', async () => {
    const owner = await Child.start('servers/orphan.ts');
    const { pid, dir } = await owner.ask<{ pid: number; dir: string }>('start');
    expect(isAlive(pid)).toBe(true);
    owner.end();
    await eventually('the server has ended', () => !isAlive(pid));
    await rm(dir, { recursive: true });
  });

  it('leaves nothing behind', async () => {
    const redis = await startRedis({ persistence: 'aof' });
    const { pid, dir } = redis;
    await redis.close();
    expect([isAlive(pid), existsSync(dir)]).toEqual([false, false]);
  });
});

it('a Redis Cluster moves a slot with its keys, and a replica takes over from a primary that was killed', {
  timeout: 120_000,
}, async () => {
  await using cluster = await startRedisCluster({ replicas: 1 });
  const slot = await cluster.slotOf('{tag} key');
  const first = (await cluster.primaryOf(slot))!;
  await first.cli('SET', '{tag} key', 'value');
  const second = await cluster.moveSlot(slot);
  expect(second).not.toBe(first);
  expect(await cluster.primaryOf(slot)).toBe(second);
  expect(await second.cli('GET', '{tag} key')).toBe('value');
  expect(await cluster.killPrimaryOf(slot)).toBe(second);
  await cluster.settled();
  const third = (await cluster.primaryOf(slot))!;
  expect(cluster.nodes.indexOf(third)).toBe(cluster.nodes.indexOf(second) + 3);
  expect(await third.cli('GET', '{tag} key')).toBe('value');
});

it('a NATS server comes back with what it had, or with an older copy of its store', async () => {
  await using nats = await startNats();
  const use = async <T>(work: (connection: NatsConnection) => Promise<T>): Promise<T> => {
    const connection = await connect({ servers: nats.url });
    return work(connection).finally(() => connection.close());
  };
  const publish = (text: string) => use((connection) => jetstream(connection).publish('subject', text));
  const stored = () =>
    use(async (connection) => (await (await jetstreamManager(connection)).streams.info('stream')).state.messages);
  await use(async (connection) => {
    await (await jetstreamManager(connection)).streams.add({ name: 'stream', subjects: ['subject'] });
  });
  await publish('one');
  await nats.saveCopy('earlier');
  await publish('two');
  await nats.restart();
  expect(await stored()).toBe(2);
  await nats.kill();
  await nats.restoreCopy('earlier');
  await nats.start();
  expect(await stored()).toBe(1);
});

it('a NATS cluster finds another leader for a stream when its leader is cut off', { timeout: 120_000 }, async () => {
  await using cluster = await startNatsCluster();
  const connection = await connect({ servers: cluster.urls, maxReconnectAttempts: -1 });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'stream', subjects: ['subject'], num_replicas: 3 });
  const leader = (await cluster.leaderOf('stream'))!;
  cluster.cutOff(leader);
  await eventually('another leader', async () => (await cluster.leaderOf('stream')) !== undefined, 30_000);
  expect(await cluster.leaderOf('stream')).not.toBe(leader);
  cluster.rejoin(leader);
  await cluster.settled();
  await connection.close();
});
