// A connection that is half-dead: it looks open, and what is sent in one direction is gone.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import type { Direction } from '../support/servers/tcp-proxy.ts';
import { halving, PROBED, ROUNDS } from './half-dead.ts';
import { redisAt, redisUrl } from './redis-scenes.ts';
import { expectUnnoticed, SEED } from './scenes.ts';

/** To make a connection anew. */
const SLACK_MS = 500;

/** One of the two connections that each process has, and what of it is gone. */
type RedisHalf = readonly [type: 'pubsub' | 'normal', direction: Direction];

const HALVES: readonly RedisHalf[] = [
  ['pubsub', 'down'],
  ['pubsub', 'up'],
  ['normal', 'down'],
  ['normal', 'up'],
];

/** The ports from which the proxy holds connections of this kind. */
async function portsOf(redis: RedisServer, type: string): Promise<Set<number>> {
  const list = await redis.cli('CLIENT', 'LIST', 'TYPE', type);
  return new Set([...list.matchAll(/ addr=127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port)));
}

async function halvingRedis(halves: readonly RedisHalf[], sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  return await halving({
    server: redis,
    specAt: (proxy) => redisAt(redisUrl(proxy), PROBED, sabotage),
    halves: halves.map(([type, direction]) => ({ direction, ports: () => portsOf(redis, type) })),
  });
}

describe('a connection to Redis is half-dead', { concurrent: true, timeout: 120_000 + ROUNDS * 60_000 }, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const { report, lateMs } = await halvingRedis(Array.from({ length: ROUNDS }, () => HALVES).flat());
    expectUnnoticed(report);
    expect(Math.max(...lateMs), `${SEED}, ${lateMs}`).toBeLessThan(SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { lateMs } = await halvingRedis([HALVES[0]!, HALVES[3]!], ['no-redis-probes']);
    expect(lateMs, SEED).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });
});
