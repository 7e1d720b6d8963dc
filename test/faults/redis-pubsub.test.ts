// The connections that live messages come over are killed again and again: what was missed is read, and no client notices.

import { describe, expect, it } from 'vitest';
import { Scene } from '../support/cluster/scene.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import { redisAt } from './redis-scenes.ts';
import {
  expectFound,
  expectUnnoticed,
  FULL_LOAD,
  numbers,
  PATIENT,
  PATIENT_MS,
  publishUnheard,
  SEED,
  SOON_QUIET_MS,
} from './scenes.ts';

const kills = numbers({ short: 10, long: 100 });
/** Published before it is quiet, after the last connections were killed. */
const MORE = 10;

async function kill(redis: RedisServer): Promise<void> {
  expect(Number(await redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))).toBeGreaterThan(0);
}

async function killing(times: number) {
  await using redis = await startRedis();
  // No probe is part of it: a busy process is late to hear the answer.
  const broker = redisAt(redis.url, { probeMs: PATIENT_MS, deadlineMs: PATIENT_MS });
  return await Scene.run({ broker, ...FULL_LOAD }, async (scene) => {
    for (let i = 1; i < times; i++) {
      await kill(redis);
      await scene.repaired();
    }
    await kill(redis);
    await scene.accepts(MORE);
  });
}

async function missing(): Promise<readonly string[]> {
  await using redis = await startRedis();
  const broker = redisAt(redis.url, { deadlineMs: PATIENT_MS }, ['no-position-checks']);
  const { violations } = await Scene.run({ ...PATIENT, broker, quietWithinMs: SOON_QUIET_MS }, async (scene) => {
    await scene.accepts(MORE);
    await publishUnheard(scene, redisAt(redis.url, { deadlineMs: PATIENT_MS }), () => kill(redis));
  });
  return violations;
}

describe('the pub/sub connections are killed', { concurrent: true, timeout: 180_000 + kills * 3_000 }, () => {
  it('and are repaired in place', async () => {
    const report = await killing(kills);
    expectUnnoticed(report);
    // A poll that subscribes just then is told to come again.
    expect(report.failedPublishes, SEED).toBe(0);
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, missing);
  });
});
