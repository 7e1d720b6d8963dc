// A cluster of three NATS servers that all have everything: its leader dies, or one of them is cut off from the others.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type NatsCluster, startNatsCluster } from '../support/servers/nats-cluster.ts';
import { natsAt, ROOMY, STREAM, streamsOf } from './nats-scenes.ts';
import { expectFound, expectNoReset, IS_LONG, LIGHT, numbers, SEED, SOON_QUIET_MS } from './redis-scenes.ts';

const rounds = numbers({ short: 1, long: 10 });
const OPTIONS = { concurrent: true, timeout: 90_000 + rounds * 60_000 };
const REPLICAS = 3;
const DEADLINE_MS = 4_000;
/** Followers of a leader that is gone wait for up to nine seconds, then vote; more than once where no vote is won. */
const LED_WITHIN_MS = 40_000;
/** A leader that is cut off goes on as one for ten seconds, and who talks to it goes on waiting. */
const LEFT_WITHIN_MS = 40_000;

/** All that the broker and its counters are made of. */
async function led(cluster: NatsCluster): Promise<void> {
  const isLed = async (): Promise<boolean> => {
    await cluster.settled(LED_WITHIN_MS);
    const leaders = await Promise.all(streamsOf(STREAM).map((name) => cluster.leaderOf(name)));
    return leaders.every((leader) => leader !== undefined);
  };
  await eventually('every stream has a leader', isLed, LED_WITHIN_MS);
}

/** The next node can go. */
async function whole(cluster: NatsCluster): Promise<void> {
  await led(cluster);
  const isWhole = async (): Promise<boolean> =>
    (await Promise.all(streamsOf(STREAM).map((name) => cluster.isWhole(name)))).every(Boolean);
  await eventually('every node has all', isWhole, LED_WITHIN_MS);
}

function sceneOn(cluster: NatsCluster, sabotage: readonly Sabotage[] = []) {
  const settings = { ...ROOMY, replicas: REPLICAS, deadlineMs: DEADLINE_MS };
  const usercast = { limits: { deadlineMs: DEADLINE_MS } };
  return { ...LIGHT, broker: natsAt(cluster.urls, settings, sabotage), usercast };
}

async function killing(times: number) {
  await using cluster = await startNatsCluster(REPLICAS);
  return await Scene.run(sceneOn(cluster), async (scene) => {
    for (let round = 0; round < times; round++) {
      await scene.accepts(40);
      const killed = await cluster.killLeaderOf(STREAM);
      await led(cluster);
      await scene.repaired();
      await killed.start();
      await whole(cluster);
    }
    await scene.repaired();
  });
}

/** In turn the node that most processes talk to, the leader, and each of the others. */
async function cuttingOff(times: number) {
  await using cluster = await startNatsCluster(REPLICAS);
  return await Scene.run(sceneOn(cluster), async (scene) => {
    for (let round = 0; round < times; round++) {
      await scene.accepts(40);
      const leader = cluster.nodes.indexOf((await cluster.leaderOf(STREAM))!);
      const node = round === 0 ? await cluster.busiest() : cluster.nodes[(leader + round - 1) % REPLICAS]!;
      cluster.cutOff(node);
      await led(cluster);
      await scene.repaired(LEFT_WITHIN_MS);
      cluster.rejoin(node);
      await whole(cluster);
      await scene.repaired(LEFT_WITHIN_MS);
    }
    // How long who is cut off goes on as a leader is no time of NATS's return.
    scene.repairs.length = 0;
  });
}

/** Resolves with what went wrong, when the processes do not leave the node that is cut off. */
async function stayingBehind(): Promise<string[]> {
  await using cluster = await startNatsCluster(REPLICAS);
  const options = { ...sceneOn(cluster, ['no-nats-probes']), quietWithinMs: SOON_QUIET_MS };
  const report = await Scene.run(options, async (scene) => {
    await scene.accepts(40);
    cluster.cutOff(await cluster.busiest());
    await led(cluster);
    await scene.accepts(400);
  });
  return [...report.violations];
}

describe('a cluster of three with three replicas', OPTIONS, () => {
  it('loses its leader: nothing is lost, and nobody is reset', async () => {
    const report = await killing(rounds);
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });

  // A leader that is cut off goes on as one for so long that this takes a minute: it is of the long form alone.
  if (!IS_LONG) return;

  it('has a node cut off: nothing is lost, and nobody is reset', async () => {
    const report = await cuttingOff(rounds);
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });

  it('control: processes stay with the node that is cut off when nobody probes', async () => {
    await expectFound(/400 more accepted/, stayingBehind);
  });
});
