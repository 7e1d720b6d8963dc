// Redis stands still with its connections open, and goes on as if nothing had been.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { startRedis } from '../support/servers/redis.ts';
import { redisAt } from './redis-scenes.ts';
import { expectFound, expectRefusal, expectUnnoticed, LIGHT, numbers, quietFor, SEED } from './scenes.ts';

const SHORT = [1_500];
const stillMs = numbers({ short: SHORT, long: [1_000, 5_000, 15_000] });
/** Under the shortest of them. */
const DEADLINE_MS = 700;
/** What is published meanwhile comes at once in the end, and has to fit in a user's history. */
const MESSAGES_PER_SECOND = 25;
const OPTIONS = { concurrent: true, timeout: 240_000 };

async function freezing(times: readonly number[], sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  const broker = redisAt(redis.url, { deadlineMs: DEADLINE_MS }, sabotage);
  const options = { ...LIGHT, broker, messagesPerSecond: MESSAGES_PER_SECOND, ...quietFor(sabotage) };
  return await Scene.run(options, async (scene) => {
    for (const ms of times) {
      await scene.accepts(20);
      redis.freeze();
      const passed = scene.lasting(ms);
      await expectRefusal(scene, DEADLINE_MS);
      await passed;
      redis.thaw();
      await scene.repaired();
    }
  });
}

describe('Redis stands still', OPTIONS, () => {
  it('publishing says so in time, and nothing comes twice when it goes on', async () => {
    const report = await freezing(stillMs);
    expectUnnoticed(report);
    expect(report.duplicates, SEED).toBeGreaterThan(0);
  });

  it('control: it comes twice when nobody remembers what was published', async () => {
    await expectFound(/came twice/, async () => (await freezing(SHORT, ['no-dedupe'])).violations);
  });
});
