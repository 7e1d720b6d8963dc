// A connection that is half-dead: it looks open, and what is sent in one direction is gone.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { expectNoReset, LIGHT, numbers, redisAt, SEED } from './redis-scenes.ts';

const { probeMs, rounds } = numbers({ short: { probeMs: 500, rounds: 1 }, long: { probeMs: 2_000, rounds: 5 } });
/** The processes may be busy: their timers come later than they should. */
const SLACK_MS = 300;
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

/** Milliseconds until each process had noticed; infinite where it had not in the double of its time. */
async function halving(halves: readonly Half[], sabotage: readonly Sabotage[] = []) {
  await using redis = await startRedis();
  const proxy = await new TcpProxy(redis.port).start();
  const noticed: number[] = [];
  // Positions are compared so late that only a connection that is made anew helps.
  const usercast = { ...LIGHT.usercast, subscriptions: { lingerMs: 300, checkMs: 60_000, catchUpMs: 500 } };
  const broker = redisAt(`redis://127.0.0.1:${proxy.port}`, { probeMs }, sabotage);
  try {
    const report = await Scene.run({ ...LIGHT, broker, usercast, processes: PROCESSES }, async (scene) => {
      for (const [type, direction] of halves) {
        const ports = await portsOf(redis, type);
        const { accepted } = proxy;
        const fromMs = performance.now();
        proxy.drop(direction, (port) => ports.has(port));
        const isNoticed = () => proxy.accepted >= accepted + PROCESSES;
        const wasNoticed = await eventually('it is noticed', isNoticed, 4 * probeMs).then(
          () => true,
          () => false,
        );
        noticed.push(wasNoticed ? performance.now() - fromMs : Number.POSITIVE_INFINITY);
        if (!wasNoticed) proxy.cutAll();
        await scene.repaired();
      }
    });
    return { report, noticed };
  } finally {
    await proxy.stop();
  }
}

describe('a connection to Redis is half-dead', { concurrent: true, timeout: 60_000 + rounds * 60_000 }, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const { report, noticed } = await halving(Array.from({ length: rounds }, () => HALVES).flat());
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
    expect(Math.max(...noticed), `${SEED}, ${noticed}`).toBeLessThan(2 * probeMs + SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { noticed } = await halving([HALVES[0]!, HALVES[3]!], ['no-redis-probes']);
    expect(noticed, SEED).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });
});
