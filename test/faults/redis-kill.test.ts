// Redis is killed in the middle of publishing, and comes back with what its disk has: everything, or nothing.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene, type SceneReport } from '../support/cluster/scene.ts';
import { type RedisPersistence, startRedis } from '../support/servers/redis.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { hasLost, redisAt, redisUrl, storedIn } from './redis-scenes.ts';
import {
  CLIENTS,
  expectFound,
  expectRefusal,
  expectUnnoticed,
  expectWhole,
  LIGHT,
  loseAnswers,
  numbers,
  quietFor,
  SEED,
  withoutMiscounts,
} from './scenes.ts';

interface Rounds {
  readonly rounds: number;
  /** In turn. */
  readonly downMs: readonly number[];
}

const SHORT: Rounds = { rounds: 2, downMs: [500, 300] };
const { rounds, downMs } = numbers<Rounds>({ short: SHORT, long: { rounds: 20, downMs: [500, 3_000, 10_000] } });
const TIMEOUT_MS = 240_000 + rounds * 15_000;
/** What is published while Redis is away comes at once in the end, and has to fit in a user's history. */
const MESSAGES_PER_SECOND = 20;

interface Outcome extends SceneReport {
  /** Redis came back with less than somebody had seen of it. */
  readonly loses: boolean;
}

async function killing(
  persistence: RedisPersistence,
  numbersOf: Rounds,
  sabotage: readonly Sabotage[] = [],
): Promise<Outcome> {
  await using redis = await startRedis({ persistence });
  const proxy = await new TcpProxy(redis.port).start();
  const broker = redisAt(redisUrl(proxy), {}, sabotage);
  const options = { ...LIGHT, broker, messagesPerSecond: MESSAGES_PER_SECOND, ...quietFor(sabotage) };
  let loses = false;
  try {
    const report = await Scene.run(options, async (scene) => {
      for (let round = 0; round < numbersOf.rounds; round++) {
        await scene.accepts(25);
        await loseAnswers(scene, proxy, () => storedIn(redis));
        await redis.kill();
        proxy.cut();
        const passed = scene.lasting(numbersOf.downMs[round % numbersOf.downMs.length]!);
        await expectRefusal(scene);
        await passed;
        await redis.start();
        loses ||= await hasLost(redis, scene);
        proxy.pass();
        proxy.mend();
        if (sabotage.length === 0) await scene.repaired();
      }
    });
    return { ...report, loses };
  } finally {
    await proxy.stop();
  }
}

describe('Redis is killed while messages are published', { concurrent: true, timeout: TIMEOUT_MS }, () => {
  it('and has kept all: nothing is lost, and nobody is reset', async () => {
    const report = await killing('aof-always', { rounds, downMs });
    expectUnnoticed(report);
    expect(report.duplicates, SEED).toBeGreaterThan(0);
  });

  it('control: messages come twice when nobody remembers what was published', async () => {
    await expectFound(/came twice/, async () => (await killing('aof-always', SHORT, ['no-dedupe'])).violations);
  });

  it('and may have lost its last second: who is reset has lost something', async () => {
    const report = await killing('aof', { rounds, downMs });
    expectWhole(withoutMiscounts(report));
    if (!report.loses) expect(report.resets, SEED).toBe(0);
  });

  it('and has kept nothing: everybody is reset each time', async () => {
    const report = await killing('none', { rounds, downMs });
    expectWhole(withoutMiscounts(report));
    expect(report.resets, SEED).toBeGreaterThanOrEqual(CLIENTS * rounds);
    expect(Object.keys(report.resetReasons), SEED).toEqual(['epoch']);
  });

  it('control: messages are lost silently when no position has to be proven', async () => {
    await expectFound(/lost silently/, async () => (await killing('none', SHORT, ['no-proof'])).violations);
  });
});
