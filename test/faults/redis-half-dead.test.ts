// A connection that is half-dead: it looks open, and what is sent in one direction is gone.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { redisAt, redisUrl } from './redis-scenes.ts';
import { expectUnnoticed, LIGHT, numbers, SEED, timersPass } from './scenes.ts';

const { probeMs, rounds } = numbers({ short: { probeMs: 1_000, rounds: 1 }, long: { probeMs: 2_000, rounds: 5 } });
/** What is asked over a half that is dead is asked again after it, and a busy machine needs some. */
const DEADLINE_MS = 4_000;
const REPAIRED_WITHIN_MS = 90_000;
/** To make a connection anew. */
const SLACK_MS = 500;
/** When to stop waiting, in probe intervals. */
const NEVER = 4;
const SURELY = 40;
const PROCESSES = 2;

/** One of the two connections that each process has, and what of it is gone. */
type Half = readonly [type: 'pubsub' | 'normal', direction: Direction];

const HALVES: readonly Half[] = [
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

/**
 * How many milliseconds after two probe intervals the last process had noticed; infinite where it had not at all. The
 * intervals are as long as timers of the processes make them: later than they should be, where the machine is busy.
 */
async function halving(halves: readonly Half[], sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  const proxy = await new TcpProxy(redis.port).start();
  const lateMs: number[] = [];
  // Positions are compared so late that only a connection that is made anew helps.
  const usercast = {
    limits: { deadlineMs: DEADLINE_MS },
    subscriptions: { lingerMs: 300, checkMs: 60_000, catchUpMs: 500 },
  };
  const broker = redisAt(redisUrl(proxy), { probeMs, deadlineMs: DEADLINE_MS }, sabotage);
  const withinMs = (sabotage.length > 0 ? NEVER : SURELY) * probeMs;
  try {
    const report = await Scene.run({ ...LIGHT, broker, usercast, processes: PROCESSES }, async (scene) => {
      for (const [type, direction] of halves) {
        const ports = await portsOf(redis, type);
        const { accepted } = proxy;
        proxy.drop(direction, (port) => ports.has(port));
        const due = timersPass(scene.serving, [probeMs, probeMs / 2, probeMs / 2]);
        const isNoticed = () => proxy.accepted >= accepted + PROCESSES;
        const noticedMs = await eventually('it is noticed', isNoticed, withinMs).then(
          () => performance.now(),
          () => Number.POSITIVE_INFINITY,
        );
        lateMs.push(noticedMs - (await due));
        if (noticedMs === Number.POSITIVE_INFINITY) proxy.cutAll();
        await scene.repaired(REPAIRED_WITHIN_MS);
      }
    });
    return { report, lateMs };
  } finally {
    await proxy.stop();
  }
}

describe('a connection to Redis is half-dead', { concurrent: true, timeout: 120_000 + rounds * 60_000 }, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const { report, lateMs } = await halving(Array.from({ length: rounds }, () => HALVES).flat());
    expectUnnoticed(report);
    expect(Math.max(...lateMs), `${SEED}, ${lateMs}`).toBeLessThan(SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { lateMs } = await halving([HALVES[0]!, HALVES[3]!], ['no-redis-probes']);
    expect(lateMs, SEED).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });
});
