// Redis loses keys while everybody is connected: all of them at once, or those that it had no room for.

import { describe, expect, it } from 'vitest';
import { Partition } from '../../adapters/redis/keys.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import { redisAt } from './redis-scenes.ts';
import {
  CLIENTS,
  expectFound,
  expectWhole,
  numbers,
  PATIENT,
  PATIENT_MS,
  quietFor,
  SEED,
  SOON_QUIET_MS,
  withoutMiscounts,
} from './scenes.ts';
import { Travellers } from './travellers.ts';

const rounds = numbers({ short: 2, long: 20 });
/** Positions are compared every 1.5 s; a plain run shares the machine with others. */
const NOTICED_WITHIN_MS = numbers({ short: 10_000, long: 3_000 });
/** No guarantee: when to stop waiting. */
const ACCEPTED_WITHIN_MS = 30_000;
const PROCESSES = 2;
const OPTIONS = { concurrent: true, timeout: 180_000 + rounds * 15_000 };

/** Nobody publishes when it happens: no live message tells of it. */
async function flushing(times: number, sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  const broker = redisAt(redis.url, { deadlineMs: PATIENT_MS }, sabotage);
  return await Scene.run({ ...PATIENT, broker, processes: PROCESSES, ...quietFor(sabotage) }, async (scene) => {
    for (let round = 0; round < times; round++) {
      scene.publisher.start();
      await scene.accepts(30);
      await scene.publisher.stop(ACCEPTED_WITHIN_MS);
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
const EVICTED_WITHIN_MS = 30_000;
const FILLER_BYTES = '20000';
/** No guarantee: when to stop waiting. */
const REACHED_WITHIN_MS = 30_000;

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

async function evicting(times: number, withinMs = REACHED_WITHIN_MS, sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis({ config: MEMORY });
  const broker = redisAt(redis.url, { deadlineMs: PATIENT_MS }, sabotage);
  const violations: string[] = [];
  const report = await Scene.run({ ...PATIENT, broker, processes: PROCESSES, ...quietFor(sabotage) }, async (scene) => {
    await using away = new Travellers(scene);
    await away.arrive();
    await away.leave();
    for (let round = 0; round < times; round++) {
      await scene.accepts(40);
      await scene.publisher.stop(ACCEPTED_WITHIN_MS);
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
