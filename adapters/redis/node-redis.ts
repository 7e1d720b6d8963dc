// Connections by node-redis: from URLs, and after the host's client or cluster.

import { UsercastError } from '../../src/index.ts';
import { withDeadline } from '../../src/timers.ts';
import type { NodeRedis, NodeRedisCluster } from './redis-client.ts';
import type { RedisAddress, RedisDriver, RedisWire, WireEvents } from './redis-wire.ts';

/** What is ours on every connection, whatever the host set on its own. */
const OWN = {
  RESP: 3,
  disableOfflineQueue: true,
  // A timeout of node-redis covers the wait before sending alone, and makes an AbortSignal for each call.
  commandOptions: { timeout: 0 },
  commandsQueueMaxLength: undefined,
  maintNotifications: 'disabled',
  clientSideCache: undefined,
  emitInvalidate: undefined,
  pingInterval: undefined,
  readonly: undefined,
  keyPrefix: undefined,
  // It is taken apart already, and would win over `socket`.
  url: undefined,
} as const;

/** A connection by a duplicate of a client. */
export class NodeRedisWire implements RedisWire {
  readonly connected: Promise<void>;
  readonly reported = null;
  readonly isTls: boolean;
  readonly #client: NodeRedis;
  /** What is destroyed before its socket is connected, connects all the same, and stays. */
  readonly #ending = new AbortController();
  readonly #isSharded: boolean;
  #isEnded = false;
  readonly #deliver: (message: string, channel: string) => void;

  constructor(
    template: NodeRedis,
    address: RedisAddress | null,
    connectMs: number,
    isSharded: boolean,
    events: WireEvents,
  ) {
    const lost = (cause: Error): void => {
      if (this.#isEnded) return;
      this.#isEnded = true;
      events.down(cause);
    };
    this.#client = template.duplicate({
      ...OWN,
      socket: {
        ...template.options?.socket,
        ...address,
        signal: this.#ending.signal,
        connectTimeout: connectMs,
        socketTimeout: undefined,
        // Asked when the connection is lost or could not be made; `false`: there is no second one.
        reconnectStrategy: (_: number, cause: Error) => {
          lost(cause);
          return false;
        },
      },
    });
    this.isTls = template.options?.socket?.tls === true;
    this.#isSharded = isSharded;
    this.#deliver = (message, channel) => events.message(channel, message);
    this.#client.on('error', lost);
    this.#client.on('sharded-channel-moved', () => {
      if (!this.#isEnded) events.moved();
    });
    this.connected = this.#client.connect().then(() => undefined);
    // It is looked at later, or never when we are closed meanwhile.
    this.connected.catch(() => {});
  }

  send(words: readonly string[]): Promise<unknown> {
    return this.#client.sendCommand(words);
  }

  subscribe(channels: string[]): Promise<unknown> {
    return this.#isSharded
      ? this.#client.sSubscribe(channels, this.#deliver)
      : this.#client.subscribe(channels, this.#deliver);
  }

  unsubscribe(channels: string[]): Promise<unknown> {
    return this.#isSharded ? this.#client.sUnsubscribe(channels) : this.#client.unsubscribe(channels);
  }

  destroy(): void {
    this.#isEnded = true;
    try {
      this.#client.destroy();
    } catch {
      // It was closed already.
    }
    this.#ending.abort();
  }
}

/** One server, by URL or after the host's client. */
export class NodeRedisDriver implements RedisDriver {
  readonly isCluster: boolean = false;
  readonly database: number;
  protected template: NodeRedis | null;

  constructor(template: NodeRedis | null, database: number) {
    this.template = template;
    this.database = database;
  }

  async prepare(): Promise<void> {}

  open(address: RedisAddress | null, connectMs: number, events: WireEvents): RedisWire {
    if (!this.template) throw new Error('not prepared');
    return new NodeRedisWire(this.template, address, connectMs, this.isCluster, events);
  }

  async seeds(_connectMs: number): Promise<readonly RedisAddress[]> {
    return [];
  }

  reachedAt(address: RedisAddress): RedisAddress {
    return address;
  }
}

/** A server, or the start nodes of a cluster, by URL: the credentials of the first are those of all. */
export class UrlDriver extends NodeRedisDriver {
  override readonly isCluster: boolean;
  readonly #urls: readonly URL[];

  constructor(urls: readonly URL[], isCluster: boolean) {
    super(null, isCluster ? 0 : Number(urls[0]!.pathname.slice(1)));
    this.#urls = urls;
    this.isCluster = isCluster;
  }

  override async prepare(): Promise<void> {
    const { createClient } = await loadRedis();
    this.template ??= createClient({ url: this.#urls[0]!.href });
  }

  override async seeds(): Promise<readonly RedisAddress[]> {
    return this.#urls.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 6379),
    }));
  }
}

async function loadRedis(): Promise<{ createClient(options: object): NodeRedis }> {
  try {
    return (await import('redis')) as unknown as { createClient(options: object): NodeRedis };
  } catch (cause) {
    throw new UsercastError('broker_unavailable', 'a connection by url needs the package redis: npm install redis', {
      cause,
    });
  }
}

/** A cluster after the host's: its own way of finding the nodes, its credentials, and its map of addresses. */
export class NodeRedisClusterDriver extends NodeRedisDriver {
  override readonly isCluster = true;
  readonly #cluster: NodeRedisCluster;

  constructor(cluster: NodeRedisCluster) {
    super(null, 0);
    this.#cluster = cluster;
  }

  /** By a duplicate that is ended again: what it knows of each node is what the host's would. */
  override async seeds(connectMs: number): Promise<readonly RedisAddress[]> {
    const ending = new AbortController();
    const { defaults } = optionsOf(this.#cluster);
    const own = this.#cluster.duplicate({
      defaults: { ...defaults, socket: { ...defaults?.socket, signal: ending.signal } },
      commandOptions: { timeout: connectMs },
      minimizeConnections: true,
      topologyRefreshOnReconnectionAttempt: false,
      clientSideCache: undefined,
      keyPrefix: undefined,
    });
    // What it fails with in the end does not say why.
    let reported: Error | null = null;
    own.on('error', (cause: Error) => {
      reported = cause;
    });
    own.on('node-error', () => {});
    try {
      await withDeadline(own.connect(), connectMs, 'redis').catch((cause: unknown) => {
        throw reported ?? cause;
      });
      if (own.masters.length === 0) throw new Error('the cluster has no primaries');
      // The first that is there: a client of a node that is dead goes on trying, as the host's would.
      const first = Promise.any(own.masters.map(async (master) => own.nodeClient(master)));
      const client = await withDeadline(first, connectMs, 'redis').catch((cause: unknown) => {
        throw cause instanceof AggregateError ? cause.errors[0] : cause;
      });
      this.template ??= client;
      const { host, port } = (client.options?.socket ?? {}) as RedisAddress;
      return [{ host, port }];
    } finally {
      try {
        own.destroy();
      } catch {
        // It was closed already.
      }
      ending.abort();
    }
  }

  override reachedAt(address: RedisAddress): RedisAddress {
    return mapped(optionsOf(this.#cluster).nodeAddressMap, address);
  }
}

interface ClusterOptions {
  readonly defaults?: { readonly socket?: object };
  readonly nodeAddressMap?: unknown;
}

function optionsOf(cluster: NodeRedisCluster): ClusterOptions {
  return (cluster as { _options?: ClusterOptions })._options ?? {};
}

/** By a map, or a function, from `host:port` to where a node is really reached. */
export function mapped(map: unknown, address: RedisAddress): RedisAddress {
  const name = `${address.host}:${address.port}`;
  const found: unknown =
    typeof map === 'function'
      ? map(name)
      : typeof map === 'object' && map
        ? (map as Record<string, unknown>)[name]
        : null;
  const { host, port } = (found ?? {}) as { host?: unknown; port?: unknown };
  return typeof host === 'string' && typeof port === 'number' ? { host, port } : address;
}
