// Sentinels replace the primary while messages are published. The replica follows with a delay, so what was accepted last may
// be gone: then it is said, to everybody.

import { describe, expect, it } from 'vitest';
import type { HostClientKind } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene, type SceneReport } from '../support/cluster/scene.ts';
import { PRIMARY_NAME, type RedisSentinels, startRedisSentinels } from '../support/servers/redis-sentinel.ts';
import { redisAt } from './redis-scenes.ts';
import { CLIENTS, expectFound, expectWhole, LIGHT, numbers, quietFor, SEED, withoutMiscounts } from './scenes.ts';
import { type Tale, Travellers } from './travellers.ts';

const { rounds, tail } = numbers({ short: { rounds: 1, tail: 30 }, long: { rounds: 5, tail: 100 } });
const OPTIONS = { concurrent: true, timeout: 120_000 + rounds * 45_000 };

/** On a busy machine a primary is silent for a second and more. */
const DOWN_AFTER_MS = 3_000;
/** node-redis asks its way to the primary over several connections. */
const DEADLINE_MS = 4_000;

type Replace = (sentinels: RedisSentinels, scene: Scene) => Promise<unknown>;

interface Replacement {
  readonly sabotage?: readonly Sabotage[];
  /** The old primary goes on for a while. */
  readonly mayBeSplit?: boolean;
}

interface Outcome {
  readonly report: SceneReport;
  readonly travellers: Tale;
}

async function replacing(
  client: HostClientKind,
  replace: Replace,
  { sabotage = [], mayBeSplit = false }: Replacement = {},
): Promise<Outcome> {
  await using sentinels = await startRedisSentinels({ downAfterMs: DOWN_AFTER_MS });
  const urls = sentinels.addresses.map(({ host, port }) => `redis://${host}:${port}/${PRIMARY_NAME}`);
  const broker = { ...redisAt(urls, { deadlineMs: DEADLINE_MS }, sabotage), client };
  let travellers: Tale | undefined;
  const report = await Scene.run({ ...LIGHT, broker, mayBeSplit, ...quietFor(sabotage) }, async (scene) => {
    await using away = new Travellers(scene);
    await away.arrive();
    await away.leave();
    await scene.accepts(tail);
    await replace(sentinels, scene);
    await sentinels.led(sentinels.second);
    await scene.repaired();
    await scene.accepts(2 * tail);
    await away.arrive();
    travellers = await away.tale();
  });
  return { report, travellers: travellers! };
}

/** The last messages are accepted and not copied. */
const killLagging: Replace = async (sentinels, scene) => {
  await sentinels.lag();
  await scene.accepts(tail);
  await sentinels.first.kill();
};

const kill: Replace = ({ first }) => first.kill();

/** Both of them take writes, until the old one is made a replica and drops what it took. */
const order: Replace = async (sentinels, scene) => {
  await sentinels.sentinels[0]!.cli('SENTINEL', 'FAILOVER', PRIMARY_NAME);
  await sentinels.led(sentinels.second);
  await scene.accepts(tail);
  const { first } = sentinels;
  while (!(await sentinels.isReplica(first))) await scene.lasting(100);
};

function expectNothingLost({ report, travellers }: Outcome): void {
  expectWhole(withoutMiscounts(report));
  expect(travellers.violations, SEED).toEqual([]);
}

describe.each<HostClientKind>(['ioredis with Sentinels', 'node-redis with Sentinels'])('by %s', OPTIONS, (client) => {
  it('a primary that is killed is replaced: publishing works again, and nothing is lost silently', async () => {
    for (let round = 0; round < rounds; round++) expectNothingLost(await replacing(client, kill));
  });

  it('a replica that lagged is promoted: everybody is reset, here and away', async () => {
    for (let round = 0; round < rounds; round++) {
      const outcome = await replacing(client, killLagging);
      expectNothingLost(outcome);
      expect(outcome.report.resets, SEED).toBeGreaterThanOrEqual(CLIENTS);
      expect(outcome.travellers.resets, SEED).toBe(LIGHT.users);
    }
  });
});

describe('by ioredis with Sentinels', OPTIONS, () => {
  it('control: who was away loses messages silently when nobody knows what the primary had', async () => {
    const attempt = async () =>
      (await replacing('ioredis with Sentinels', killLagging, { sabotage: ['no-generations'] })).travellers.violations;
    await expectFound(/lost silently/, attempt);
  });

  it('a primary that is replaced by order, and takes writes for a while yet: nothing is lost silently', async () => {
    for (let round = 0; round < rounds; round++) {
      expectNothingLost(await replacing('ioredis with Sentinels', order, { mayBeSplit: true }));
    }
  });
});
