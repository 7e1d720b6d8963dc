// Which broker a server process runs on, as data: it crosses to the process, which makes the broker.

import {
  type NatsBrokerOptions,
  type NatsCounterOptions,
  natsBroker,
  natsCounters,
} from '../../../adapters/nats/index.ts';
import { type RedisBrokerOptions, type RedisClient, redisBroker } from '../../../adapters/redis/index.ts';
import { type Broker, type CounterStore, type MemoryBrokerOptions, memoryBroker } from '../../../src/index.ts';
import { type BrokerFaults, type FaultyBroker, faultyBroker } from '../../../src/testing/index.ts';
import { type Sabotage, sabotaged } from './sabotage.ts';

export type HostClientKind = 'node-redis' | 'ioredis' | 'node-redis with Sentinels' | 'ioredis with Sentinels';

/** `options` are those of the broker, as far as they are data. */
export type BrokerSpec = (
  | { readonly kind: 'memory'; readonly options?: MemoryBrokerOptions }
  | {
      readonly kind: 'redis';
      readonly options: Omit<RedisBrokerOptions, 'client'> & { readonly url: string | readonly string[] };
      /** By a client of this kind that the host made, instead of by the URL; several URLs are a cluster, or Sentinels with what they call the primary as path. */
      readonly client?: HostClientKind;
    }
  | {
      readonly kind: 'nats';
      readonly options: Omit<NatsBrokerOptions, 'connection'> & { readonly servers: string | readonly string[] };
      /** Of the counter store, which is on the same servers. */
      readonly counters?: Omit<NatsCounterOptions, 'connection' | 'servers'>;
    }
) & {
  /** Defences that are switched off. */
  readonly sabotage?: readonly Sabotage[];
  /** Puts a `faultyBroker` in front. */
  readonly faults?: Partial<BrokerFaults> & { readonly seed?: number; readonly maxDelayMs?: number };
};

/** What a process has of its broker. */
export interface OpenBroker {
  /** For usercast. */
  readonly broker: Broker;
  /** As it is, for the test. */
  readonly actual: Broker;
  readonly faulty: FaultyBroker | null;
  /** null: the broker counts. */
  readonly counters: CounterStore | null;
}

/** Made, and never connected: the broker makes its own after it. A package takes its time to load, so only when it is used. */
async function hostClient(kind: HostClientKind, url: string | readonly string[]): Promise<RedisClient> {
  const urls = typeof url === 'string' ? null : [...url];
  const places = [url].flat().map((one) => ({ host: new URL(one).hostname, port: Number(new URL(one).port) }));
  const name = new URL(String([url].flat()[0])).pathname.slice(1);
  if (kind === 'ioredis with Sentinels') {
    const { Redis: IoRedis } = await import('ioredis');
    return new IoRedis({ sentinels: places, name, lazyConnect: true });
  }
  if (kind === 'node-redis with Sentinels') {
    const { createSentinel } = await import('redis');
    return createSentinel({ sentinelRootNodes: places, name });
  }
  if (kind === 'ioredis') {
    const { Redis: IoRedis } = await import('ioredis');
    return urls ? new IoRedis.Cluster(urls, { lazyConnect: true }) : new IoRedis(String(url), { lazyConnect: true });
  }
  const { createClient, createCluster } = await import('redis');
  return urls ? createCluster({ rootNodes: urls.map((one) => ({ url: one })) }) : createClient({ url: String(url) });
}

async function create(spec: BrokerSpec): Promise<Broker> {
  if (spec.kind === 'memory') return memoryBroker(spec.options);
  if (spec.kind === 'redis') {
    const { url, ...options } = spec.options;
    return redisBroker({ ...options, ...(spec.client ? { client: await hostClient(spec.client, url) } : { url }) });
  }
  return natsBroker(spec.options);
}

export async function openBroker(spec: BrokerSpec): Promise<OpenBroker> {
  const actual = await create(spec);
  const faulty = spec.faults ? faultyBroker(actual, spec.faults) : null;
  const counters = spec.kind === 'nats' ? natsCounters({ servers: spec.options.servers, ...spec.counters }) : null;
  return { actual, faulty, counters, broker: sabotaged(faulty ?? actual, spec.sabotage ?? []) };
}
