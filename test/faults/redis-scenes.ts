// What the fault tests on Redis have beside what all have: brokers that notice things soon.

import { Partition } from '../../adapters/redis/keys.ts';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import type { Scene } from '../support/cluster/scene.ts';
import { positionOf } from '../support/invariants.ts';
import { say } from '../support/servers/real-server.ts';
import type { RedisServer } from '../support/servers/redis.ts';
import type { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { DEADLINE_MS, PROBE_MS, ROOMY } from './scenes.ts';

/** Messages that may be among the last second's, and are not pushed out of a history yet. */
const LATELY = 100;

type RedisSpec = Extract<BrokerSpec, { kind: 'redis' }>;

/** A broker that probes often. */
export function redisAt(
  url: string | readonly string[],
  options: Partial<RedisSpec['options']> = {},
  sabotage: readonly Sabotage[] = [],
): RedisSpec {
  const settings = { probeMs: PROBE_MS, deadlineMs: DEADLINE_MS, history: ROOMY };
  return { kind: 'redis', options: { ...settings, ...options, url }, sabotage };
}

export function redisUrl({ port }: TcpProxy): string {
  return `redis://127.0.0.1:${port}`;
}

/** How many entries Redis has stored since it started. */
export async function storedIn({ port }: RedisServer): Promise<number> {
  const text = await say(port, 'INFO commandstats\r\n', /cmdstat_rpush:calls=\d+,/);
  return Number(/cmdstat_rpush:calls=(\d+)/.exec(text ?? '')?.[1] ?? 0);
}

/** Whether it has less than what was accepted lately, and than what clients have seen. Nobody else may reach it yet. */
export async function hasLost(redis: RedisServer, { publisher, userIds, clients }: Scene): Promise<boolean> {
  const histories = new Map<string, string>();
  for (const userId of userIds) {
    histories.set(userId, await redis.cli('LRANGE', new Partition('usercast', 0, 0).stream(userId), '0', '-1'));
  }
  const has = (userId: string, what: string): boolean => histories.get(userId)!.includes(what);
  return !(
    publisher.accepted.slice(-LATELY).every(({ userId, id }) => has(userId, id)) &&
    clients.every(({ witness }) => has(witness.userId, positionOf(witness.cursor!).tag))
  );
}
