// The brokers that the same faults are done to: what of each a test has to know.

import { natsBroker, natsCounters } from '../../adapters/nats/index.ts';
import { redisBroker } from '../../adapters/redis/index.ts';
import type { Broker, CounterStore } from '../../src/index.ts';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { startNats } from '../support/servers/nats.ts';
import type { RealServer } from '../support/servers/real-server.ts';
import { startRedis } from '../support/servers/redis.ts';
import { natsAt } from './nats-scenes.ts';
import { redisAt } from './redis-scenes.ts';

export interface KindTimes {
  readonly probeMs?: number;
  readonly deadlineMs?: number;
}

/** What `usercast` is made with, and what ends it. */
export interface OpenKind {
  readonly broker: Broker;
  readonly counters?: CounterStore;
  readonly close: () => Promise<unknown>;
}

export interface Kind {
  readonly name: string;
  /** With a disk that keeps all that it accepts. */
  readonly start: () => Promise<RealServer>;
  /** Where such a server is found, or a proxy in front of it. */
  readonly urlOf: (place: { readonly port: number }) => string;
  /** For a process of its own. */
  readonly spec: (url: string, times?: KindTimes, sabotage?: readonly Sabotage[]) => BrokerSpec;
  /** In the test's own process. */
  readonly open: (url: string, times?: KindTimes) => OpenKind;
  /** What a session relies on that is being opened when its user is disconnected, and how it is without. */
  readonly whileOpening: { readonly defence: Sabotage; readonly without: string };
}

const ALL: readonly Kind[] = [
  {
    name: 'Redis',
    start: () => startRedis({ persistence: 'aof-always' }),
    urlOf: ({ port }) => `redis://127.0.0.1:${port}`,
    spec: redisAt,
    open(url, times = {}) {
      const broker = redisBroker({ url, ...times });
      return { broker, close: () => broker.close() };
    },
    whileOpening: { defence: 'no-stored-marks', without: 'disconnects are not stored' },
  },
  {
    name: 'NATS',
    start: () => startNats(),
    urlOf: ({ port }) => `nats://127.0.0.1:${port}`,
    spec: natsAt,
    open(servers, { deadlineMs, ...times } = {}) {
      const deadline = deadlineMs === undefined ? {} : { deadlineMs };
      const broker = natsBroker({ servers, ...times, ...deadline });
      const counters = natsCounters({ servers, ...deadline });
      return { broker, counters, close: () => Promise.all([broker.close(), counters.close()]) };
    },
    whileOpening: { defence: 'no-live-marks', without: 'it does not hear of disconnects as they are sent' },
  },
];

/** For `describe.each`, with `%s` for the name. */
export const KINDS = ALL.map((kind) => [kind.name, kind] as const);
