// A Redis Cluster on loopback whose primaries die and whose slots move while messages are published.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Partition } from '../../adapters/redis/keys.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { type RedisCluster, startRedisCluster } from '../support/servers/redis-cluster.ts';
import {
  expectFound,
  expectNoReset,
  expectWhole,
  LIGHT,
  numbers,
  redisAt,
  SEED,
  SOON_QUIET_MS,
  withoutMiscounts,
} from './redis-scenes.ts';

const rounds = numbers({ short: { kills: 1, moves: 2 }, long: { kills: 10, moves: 20 } });
const TIMEOUT_MS = 60_000 + rounds.kills * 30_000 + rounds.moves * 10_000;
const PARTITIONS = 4;
/** A failover takes the time after which a node counts as failed, and a vote. */
const DEADLINE_MS = 4_000;
/** Published while a moved slot's subscribers are not there yet; the last of some users are among it. */
const UNHEARD = 3;

let cluster: RedisCluster;
let prefixes = 0;

beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 1, nodeTimeoutMs: 600 });
}, 40_000);
afterAll(() => cluster.close());

/** Streams of its own, on the one cluster. */
function clusterScene(sabotage: readonly Sabotage[] = []) {
  const prefix = `scene${++prefixes}`;
  const broker = redisAt(cluster.urls, { prefix, partitions: PARTITIONS, deadlineMs: DEADLINE_MS }, sabotage);
  const slots = () =>
    Promise.all(Array.from({ length: PARTITIONS }, (_, i) => cluster.slotOf(new Partition(prefix, i, 0).generation)));
  const usercast = { limits: { deadlineMs: DEADLINE_MS } };
  const quietWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : 20_000;
  return { options: { ...LIGHT, broker, usercast, quietWithinMs }, slots };
}

describe('a Redis Cluster', { timeout: TIMEOUT_MS }, () => {
  it('moves slots while messages are published, and nobody notices', async () => {
    const { options, slots } = clusterScene();
    const report = await Scene.run(options, async (scene) => {
      for (let round = 0; round < rounds.moves; round++) {
        for (const slot of await slots()) await cluster.moveSlot(slot);
        await scene.repaired();
      }
    });
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, async () => {
      const { options, slots } = clusterScene(['no-position-checks']);
      const { violations } = await Scene.run(options, async (scene) => {
        for (const slot of await slots()) await cluster.moveSlot(slot);
        await scene.accepts(UNHEARD);
      });
      return violations;
    });
  });

  it('loses a primary, and its replica takes over', async () => {
    const { options, slots } = clusterScene();
    const report = await Scene.run(options, async (scene) => {
      for (let round = 0; round < rounds.kills; round++) {
        await scene.accepts(40);
        const [slot = 0] = await slots();
        const killed = await cluster.killPrimaryOf(slot);
        await cluster.settled();
        await scene.repaired();
        await killed.start();
        await killed.synced();
        await cluster.settled();
      }
    });
    expectWhole(withoutMiscounts(report));
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });
});
