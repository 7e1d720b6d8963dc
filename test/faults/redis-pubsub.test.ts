// The connections that live messages come over are killed again and again: what was missed is read, and no client notices.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { startRedis } from '../support/servers/redis.ts';
import { expectFound, expectNoReset, numbers, redisAt, SEED, SOON_QUIET_MS } from './redis-scenes.ts';

const kills = numbers({ short: 10, long: 100 });
const MESSAGES_PER_SECOND = 500;
/** At this rate the default is a second's worth: a busy machine may stand still for as long. */
const HISTORY = { messages: 1_000 };
/** So many are published while nobody listens; the last of some users are among them. */
const UNHEARD = 10;

async function killing(times: number, sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  const broker = redisAt(redis.url, { deadlineMs: 4_000, history: HISTORY }, sabotage);
  const quietWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : 20_000;
  const kill = async (): Promise<void> => {
    expect(Number(await redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))).toBeGreaterThan(0);
  };
  return await Scene.run({ broker, messagesPerSecond: MESSAGES_PER_SECOND, quietWithinMs }, async (scene) => {
    for (let i = 1; i < times; i++) {
      await kill();
      await scene.repaired();
    }
    await kill();
    await scene.accepts(UNHEARD);
  });
}

describe('the pub/sub connections are killed', { concurrent: true, timeout: 60_000 + kills * 3_000 }, () => {
  it('and are repaired in place', async () => {
    const report = await killing(kills);
    expectNoReset(report);
    const { reconnects, refused, failedPublishes } = report;
    expect({ reconnects, refused, failedPublishes }, SEED).toEqual({
      reconnects: { websocket: 0, sse: 0, poll: 0 },
      refused: 0,
      failedPublishes: 0,
    });
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, async () => (await killing(1, ['no-position-checks'])).violations);
  });
});
