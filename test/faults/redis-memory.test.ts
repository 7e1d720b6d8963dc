// Redis loses keys while everybody is connected: all of them at once, or those that it had no room for.

import { describe, expect, it } from 'vitest';
import { Partition } from '../../adapters/redis/keys.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import {
  CLIENTS,
  expectFound,
  expectWhole,
  LIGHT,
  numbers,
  PROBE_MS,
  redisAt,
  SEED,
  SOON_QUIET_MS,
  Travellers,
  withoutMiscounts,
} from './redis-scenes.ts';

const rounds = numbers({ short: 2, long: 20 });
/** Two probes, and the comparison of positions after them. */
const NOTICED_WITHIN_MS = 2 * PROBE_MS + 2_000;
const PROCESSES = 2;
const OPTIONS = { concurrent: true, timeout: 60_000 + rounds * 15_000 };

/** Nobody publishes when it happens: no live message tells of it. */
async function flushing(times: number, sabotage: readonly Sabotage[] = []) {
  const quietWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : 20_000;
  await using redis = await startRedis();
  const broker = redisAt(redis.url, {}, sabotage);
  return await Scene.run({ ...LIGHT, broker, processes: PROCESSES, quietWithinMs }, async (scene) => {
    for (let round = 0; round < times; round++) {
      scene.publisher.start();
      await scene.accepts(30);
      await scene.publisher.stop(NOTICED_WITHIN_MS);
      const fromMs = performance.now();
      await redis.cli('FLUSHALL');
      if (sabotage.length > 0) continue;
      const areReset = () => scene.clients.every(({ witness }) => witness.lastResetMs > fromMs);
      await eventually('every client is reset', areReset, NOTICED_WITHIN_MS);
    }
  });
}

describe('Redis is flushed while nothing is published', OPTIONS, () => {
  it('and everybody is reset soon', async () => {
    const report = await flushing(rounds);
    expectWhole(withoutMiscounts(report));
    expect(report.resets, SEED).toBe(CLIENTS * rounds);
    expect(Object.keys(report.resetReasons), SEED).toEqual(['epoch']);
  });

  it('control: nobody notices without the comparison of positions', async () => {
    await expectFound(/ended at offset/, async () => (await flushing(1, ['no-position-checks'])).violations);
  });
});

const MEMORY = ['--maxmemory', '10mb', '--maxmemory-policy', 'allkeys-lru'];
const FILLERS = 100;
const EVICTED_WITHIN_MS = 10_000;
const FILLER_BYTES = '20000';

/** Other data pass through a memory that is too small, until the history of a user is gone. */
async function overfill(redis: RedisServer, userId: string): Promise<void> {
  const stream = new Partition('usercast', 0, 0).stream(userId);
  let round = 0;
  const isEvicted = async (): Promise<boolean> => {
    await redis.cli('DEBUG', 'POPULATE', String(FILLERS), `filler ${++round}`, FILLER_BYTES);
    return (await redis.cli('EXISTS', stream)) === '0';
  };
  await eventually('the history is evicted', isEvicted, EVICTED_WITHIN_MS);
}

async function evicting(times: number, withinMs = 10_000, sabotage: readonly Sabotage[] = []) {
  const quietWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : 20_000;
  await using redis = await startRedis({ config: MEMORY });
  const broker = redisAt(redis.url, {}, sabotage);
  const violations: string[] = [];
  const report = await Scene.run({ ...LIGHT, broker, processes: PROCESSES, quietWithinMs }, async (scene) => {
    await using away = new Travellers(scene);
    await away.arrive();
    await away.leave();
    for (let round = 0; round < times; round++) {
      await scene.accepts(40);
      await scene.publisher.stop(NOTICED_WITHIN_MS);
      await overfill(redis, scene.userIds[0]!);
      scene.publisher.start();
      await scene.repaired(withinMs);
      await away.arrive();
      violations.push(...(await away.violations(withinMs)));
      await away.leave();
    }
  });
  return { report, violations };
}

describe('Redis evicts what it has no room for', OPTIONS, () => {
  it('and nobody loses anything silently', async () => {
    const { report, violations } = await evicting(rounds);
    expectWhole(withoutMiscounts(report));
    expect(violations, SEED).toEqual([]);
  });

  it('control: clients never get what is gone, and are not told, when no position has to be proven', async () => {
    const attempt = async () => (await evicting(1, SOON_QUIET_MS, ['no-proof'])).violations;
    await expectFound(/lost silently|the travellers are caught up|every client has it/, attempt);
  });
});
