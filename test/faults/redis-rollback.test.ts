// Redis comes back with less than it had accepted, and grows again past where it was: whoever followed a stream that is no
// more is reset, also clients that were away and whose place is in what has come back.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene, type SceneReport } from '../support/cluster/scene.ts';
import { type RedisServer, startRedis, startRedisReplica } from '../support/servers/redis.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { redisAt, redisUrl } from './redis-scenes.ts';
import {
  CLIENTS,
  comeBackOlder,
  expectFound,
  expectWhole,
  LIGHT,
  numbers,
  PATIENT,
  PATIENT_MS,
  SEED,
  withoutMiscounts,
} from './scenes.ts';
import { type Tale, Travellers } from './travellers.ts';

const { rounds, tail, grown } = numbers({
  short: { rounds: 1, tail: 40, grown: 60 },
  long: { rounds: 10, tail: 100, grown: 150 },
});

/** A Redis, and the address at which the processes find it. */
interface Place {
  readonly redis: RedisServer;
  readonly proxy: TcpProxy;
}

/** Has Redis lose what `lose` publishes. */
type Rollback = (place: Place, lose: () => Promise<unknown>, scene: Scene) => Promise<unknown>;

const ROLLBACKS: Record<string, Rollback> = {
  'started from an older copy': ({ redis }, lose) => comeBackOlder(redis, lose),

  'followed by a replica that lagged': async ({ redis, proxy }, lose) => {
    const replica = await startRedisReplica(redis, { dir: `${redis.dir}/replica` });
    replica.lag();
    await lose();
    await redis.kill();
    await replica.promote();
    proxy.mend(replica.port);
    return replica;
  },
};

/** None of those who have published what is lost are left to tell. */
async function restartOlderAlone(place: Place, lose: () => Promise<unknown>, scene: Scene): Promise<void> {
  const witnesses = scene.serving;
  await comeBackOlder(place.redis, async () => {
    await lose();
    await Promise.all(witnesses.map((server) => server.kill()));
  });
  await Promise.all(witnesses.map(() => scene.addServer()));
}

interface Outcome {
  readonly report: SceneReport;
  readonly travellers: Tale;
}

async function rollingBack(rollback: Rollback, sabotage: readonly Sabotage[] = [], strict = false): Promise<Outcome> {
  await using redis = await startRedis();
  const proxy = await new TcpProxy(redis.port).start();
  const broker = redisAt(redisUrl(proxy), { deadlineMs: PATIENT_MS, rollback: strict ? 'strict' : 'detect' }, sabotage);
  let successor: unknown;
  let travellers: Tale | undefined;
  try {
    const report = await Scene.run({ ...PATIENT, broker }, async (scene) => {
      await using away = new Travellers(scene);
      await away.arrive();
      await away.leave();
      await scene.accepts(10);
      successor = await rollback({ redis, proxy }, () => scene.accepts(tail), scene);
      await scene.repaired();
      await scene.accepts(tail + grown);
      await away.arrive();
      travellers = await away.tale();
    });
    return { report, travellers: travellers! };
  } finally {
    await (successor as RedisServer | undefined)?.close();
    await proxy.stop();
  }
}

function expectAllReset({ report, travellers }: Outcome): void {
  expectWhole(withoutMiscounts(report));
  expect(report.resets, SEED).toBeGreaterThanOrEqual(CLIENTS);
  expect(travellers, SEED).toEqual({ violations: [], resets: LIGHT.users });
}

const OPTIONS = { concurrent: true, timeout: 180_000 + rounds * 30_000 };

describe.each(Object.entries(ROLLBACKS))('Redis is %s', OPTIONS, (_, rollback) => {
  it('and everybody is reset, here and away', async () => {
    for (let round = 0; round < rounds; round++) expectAllReset(await rollingBack(rollback));
  });

  it('control: who was away loses messages silently when nobody knows what Redis had', async () => {
    const attempt = async () => (await rollingBack(rollback, ['no-generations'])).travellers.violations;
    await expectFound(/lost silently/, attempt);
  });
});

describe('Redis is started from an older copy, and all who had published since are dead', OPTIONS, () => {
  it('and with rollback strict everybody is reset', async () => {
    for (let round = 0; round < rounds; round++) expectAllReset(await rollingBack(restartOlderAlone, [], true));
  });

  it('control: without it, who was away loses messages silently, as the README says', async () => {
    const { report, travellers } = await rollingBack(restartOlderAlone);
    expect(travellers.violations.join('\n'), SEED).toMatch(/lost silently/);
    expect(report.resets, SEED).toBeGreaterThan(0);
  });
});
