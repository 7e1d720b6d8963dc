// A Redis Cluster on loopback whose primaries die and whose slots move while messages are published.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Partition, partitionOf } from '../../adapters/redis/keys.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { type RedisCluster, startRedisCluster } from '../support/servers/redis-cluster.ts';
import { redisAt } from './redis-scenes.ts';
import {
  expectFound,
  expectUnnoticed,
  expectWhole,
  numbers,
  PATIENT,
  PATIENT_MS,
  publishUnheard,
  quietFor,
  SEED,
  withoutMiscounts,
} from './scenes.ts';

const rounds = numbers({ short: { kills: 1, moves: 2 }, long: { kills: 10, moves: 20 } });
const TIMEOUT_MS = 120_000 + rounds.kills * 30_000 + rounds.moves * 10_000;
const PARTITIONS = 4;
/** Published before it is quiet. */
const MORE = 10;
/** A node that is busy for so long counts as failed. A failover takes this time, and a vote. */
const NODE_TIMEOUT_MS = 2_000;

let cluster: RedisCluster;
let prefixes = 0;

beforeAll(async () => {
  cluster = await startRedisCluster({ replicas: 1, nodeTimeoutMs: NODE_TIMEOUT_MS });
}, 120_000);
afterAll(() => cluster.close());

/** Streams of its own, on the one cluster. */
function clusterScene(sabotage: readonly Sabotage[] = []) {
  const prefix = `scene${++prefixes}`;
  const brokerWith = (off: readonly Sabotage[]) =>
    redisAt(cluster.urls, { prefix, partitions: PARTITIONS, deadlineMs: PATIENT_MS }, off);
  const slotOf = (partition: number) => cluster.slotOf(new Partition(prefix, partition, 0).generation);
  return {
    options: { ...PATIENT, broker: brokerWith(sabotage), ...quietFor(sabotage) },
    /** For a process that is not sabotaged. */
    broker: brokerWith([]),
    slots: () => Promise.all(Array.from({ length: PARTITIONS }, (_, i) => slotOf(i))),
    slotOfUser: (userId: string) => slotOf(partitionOf(userId, PARTITIONS)),
  };
}

type ClusterScene = ReturnType<typeof clusterScene>;

async function moveAll({ slots }: ClusterScene): Promise<void> {
  for (const slot of await slots()) await cluster.moveSlot(slot);
}

/** Resolves when its replica has taken over, with what brings it back. */
async function killPrimary({ slotOfUser }: ClusterScene, userId: string): Promise<() => Promise<void>> {
  const killed = await cluster.killPrimaryOf(await slotOfUser(userId));
  await cluster.settled();
  return async () => {
    await killed.start();
    await killed.synced();
    await cluster.settled();
  };
}

/** The violations when nobody compares positions, and what was published last comes to nobody live. */
async function missing(
  harm: (clusterOf: ClusterScene, userId: string) => Promise<unknown>,
): Promise<readonly string[]> {
  const own = clusterScene(['no-position-checks']);
  let restore: unknown;
  try {
    const { violations } = await Scene.run(own.options, async (scene) => {
      await scene.accepts(MORE);
      await publishUnheard(scene, own.broker, async () => {
        restore = await harm(own, scene.userIds[0]!);
      });
    });
    return violations;
  } finally {
    if (typeof restore === 'function') await restore();
  }
}

describe('a Redis Cluster', { timeout: TIMEOUT_MS }, () => {
  it('moves slots while messages are published, and nobody notices', async () => {
    const own = clusterScene();
    const report = await Scene.run(own.options, async (scene) => {
      for (let round = 0; round < rounds.moves; round++) {
        await moveAll(own);
        await scene.repaired();
      }
    });
    expectUnnoticed(report);
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, () => missing(moveAll));
  });

  it('loses a primary, and its replica takes over', async () => {
    const own = clusterScene();
    const report = await Scene.run(own.options, async (scene) => {
      for (let round = 0; round < rounds.kills; round++) {
        await scene.accepts(40);
        const restore = await killPrimary(own, scene.userIds[0]!);
        await scene.repaired();
        await restore();
      }
    });
    expectWhole(withoutMiscounts(report));
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });

  it('control: what comes over the primary that takes over is missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, () => missing(killPrimary));
  });
});
