// Connections by ioredis, after the host's Redis or Cluster.

import { mapped } from './node-redis.ts';
import type { IoRedis, IoRedisCluster } from './redis-client.ts';
import type { RedisAddress, RedisDriver, RedisWire, WireEvents } from './redis-wire.ts';

/** What is ours on every connection, whatever the host set on its own. */
const OWN = {
  lazyConnect: true,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  enableAutoPipelining: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // There is no second connection: it would begin by sending again what was in flight.
  retryStrategy: () => null,
  reconnectOnError: null,
  sentinelRetryStrategy: () => null,
  role: 'master',
  readOnly: false,
  keyPrefix: '',
  stringNumbers: false,
  monitor: false,
  commandTimeout: undefined,
  socketTimeout: undefined,
  scripts: undefined,
} as const;

/** So many Sentinels may hang before an attempt fails. */
const PATIENCE = 4;

class IoRedisWire implements RedisWire {
  readonly connected: Promise<void>;
  reported: Error | null = null;
  readonly isTls: boolean;
  readonly #client: IoRedis;
  readonly #isSharded: boolean;
  #isEnded = false;
  #isCorked = false;

  constructor(
    template: IoRedis,
    address: RedisAddress | null,
    connectMs: number,
    isSharded: boolean,
    events: WireEvents,
  ) {
    // Several Sentinels are asked within the time for one attempt, and one that hangs is passed over.
    const patienceMs = template.options.sentinels ? Math.ceil(connectMs / PATIENCE) : connectMs;
    this.#client = template.duplicate({
      ...OWN,
      ...address,
      connectTimeout: patienceMs,
      sentinelCommandTimeout: patienceMs,
    });
    this.isTls = Boolean(template.options.tls ?? template.options.sentinelTLS);
    this.#isSharded = isSharded;
    this.#client.on('error', (cause: Error) => {
      this.reported = cause;
    });
    this.#client.on('close', () => {
      if (this.#isEnded) return;
      this.#isEnded = true;
      events.down(this.reported ?? new Error('the connection was closed'));
    });
    this.#client.on('moved', () => {
      if (!this.#isEnded) events.moved();
    });
    this.#client.on(isSharded ? 'smessage' : 'message', events.message);
    this.connected = this.#client.connect().then(() => undefined);
    // It is looked at later, or never when we are closed meanwhile.
    this.connected.catch(() => {});
  }

  send(words: readonly string[]): Promise<unknown> {
    const { stream } = this.#client;
    if (stream && !this.#isCorked) {
      // It writes each command by itself: what is sent in one turn leaves in one write.
      this.#isCorked = true;
      stream.cork();
      setImmediate(() => {
        this.#isCorked = false;
        stream.uncork();
      });
    }
    return this.#client.call(words[0]!, words.slice(1));
  }

  subscribe(channels: string[]): Promise<unknown> {
    return this.#isSharded ? this.#client.ssubscribe(...channels) : this.#client.subscribe(...channels);
  }

  unsubscribe(channels: string[]): Promise<unknown> {
    return this.#isSharded ? this.#client.sunsubscribe(...channels) : this.#client.unsubscribe(...channels);
  }

  destroy(): void {
    this.#isEnded = true;
    this.#client.disconnect();
  }
}

/** One server, after the host's client; with Sentinels, whoever is the primary when a connection is made. */
export class IoRedisDriver implements RedisDriver {
  readonly isCluster: boolean = false;
  readonly database: number;
  protected template: IoRedis | null;

  constructor(template: IoRedis | null) {
    this.template = template;
    this.database = template?.options.db ?? 0;
  }

  async prepare(): Promise<void> {}

  open(address: RedisAddress | null, connectMs: number, events: WireEvents): RedisWire {
    if (!this.template) throw new Error('not prepared');
    return new IoRedisWire(this.template, address, connectMs, this.isCluster, events);
  }

  async seeds(_connectMs: number): Promise<readonly RedisAddress[]> {
    return [];
  }

  reachedAt(address: RedisAddress): RedisAddress {
    return address;
  }
}

/** A cluster after the host's: its own way of finding the nodes, its credentials, and its map of addresses. */
export class IoRedisClusterDriver extends IoRedisDriver {
  override readonly isCluster = true;
  readonly #cluster: IoRedisCluster;

  constructor(cluster: IoRedisCluster) {
    super(null);
    this.#cluster = cluster;
  }

  /** By a duplicate that is ended again: what it knows of each node is what the host's would. */
  override async seeds(connectMs: number): Promise<readonly RedisAddress[]> {
    const own = this.#cluster.duplicate([], {
      lazyConnect: true,
      enableReadyCheck: false,
      clusterRetryStrategy: () => null,
      slotsRefreshTimeout: connectMs,
      slotsRefreshInterval: undefined,
      shardedSubscribers: false,
      scripts: undefined,
    });
    // What it fails with in the end does not say why.
    let reported: Error | null = null;
    own.on('error', () => {});
    own.on('node error', (cause: Error) => {
      reported = cause;
    });
    try {
      await own.connect().catch((cause: unknown) => {
        throw reported ?? cause;
      });
      const masters = own.nodes('master');
      this.template ??= masters[0] ?? null;
      if (masters.length === 0) throw new Error('the cluster has no primaries');
      return masters.map(({ options }) => ({ host: options.host ?? '127.0.0.1', port: options.port ?? 6379 }));
    } finally {
      own.disconnect();
    }
  }

  override reachedAt(address: RedisAddress): RedisAddress {
    return mapped(this.#cluster.options?.natMap, address);
  }
}
