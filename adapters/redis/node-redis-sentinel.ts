// Connections by node-redis to whoever its Sentinels say is the primary.

import { NodeRedisWire } from './node-redis.ts';
import type { NodeRedis, NodeRedisSentinel } from './redis-client.ts';
import { RedisRefusal } from './redis-errors.ts';
import type { RedisAddress, RedisDriver, RedisWire, WireEvents } from './redis-wire.ts';

/** What a duplicate is used for is over when it knows the primary, or cannot find it out. */
const OWN = {
  masterPoolSize: 1,
  replicaPoolSize: 0,
  maxCommandRediscovers: 0,
  scanInterval: 0,
  reserveClient: false,
  clientSideCache: undefined,
  keyPrefix: undefined,
} as const;

/** After the host's client for Sentinels: they are asked anew for each connection. */
export class NodeRedisSentinelDriver implements RedisDriver {
  readonly isCluster = false;
  /** Which one the host's client selects is not told before it is connected. */
  readonly database = 0;
  readonly #sentinel: NodeRedisSentinel;

  constructor(sentinel: NodeRedisSentinel) {
    this.#sentinel = sentinel;
  }

  async prepare(): Promise<void> {}

  open(_address: null, connectMs: number, events: WireEvents): RedisWire {
    return new SentinelWire(this.#sentinel, connectMs, events);
  }

  async seeds(_connectMs: number): Promise<readonly RedisAddress[]> {
    return [];
  }

  reachedAt(address: RedisAddress): RedisAddress {
    return address;
  }
}

class SentinelWire implements RedisWire {
  readonly connected: Promise<void>;
  readonly reported = null;
  readonly isTls: boolean;
  readonly #own: NodeRedisSentinel;
  /** A duplicate that waits for who does not answer waits for ever, also when it is told to end. */
  readonly #ending = new AbortController();
  #wire: RedisWire | null = null;
  #isEnded = false;

  constructor(sentinel: NodeRedisSentinel, connectMs: number, events: WireEvents) {
    const { nodeClientOptions, sentinelClientOptions } = optionsOf(sentinel);
    this.isTls = [nodeClientOptions, sentinelClientOptions].some((options) => options?.socket?.tls === true);
    this.#own = sentinel.duplicate({
      ...OWN,
      nodeClientOptions: this.#endable(nodeClientOptions),
      sentinelClientOptions: this.#endable(sentinelClientOptions),
    });
    this.#own.on('error', () => {});
    this.connected = this.#connect(connectMs, events);
    // It is looked at later, or never when we are closed meanwhile.
    this.connected.catch(() => {});
  }

  async #connect(connectMs: number, events: WireEvents): Promise<void> {
    try {
      await this.#own.connect();
      await this.#own._execute(false, async (primary) => {
        if (this.#isEnded) throw ended();
        this.#wire = wireTo(primary, connectMs, events);
        await this.#wire.connected;
      });
    } finally {
      this.#forget();
    }
  }

  #endable(options: ClientOptions | undefined): object {
    const { signal } = this.#ending;
    return {
      ...options,
      socket: {
        ...options?.socket,
        // There is no second connection: it would not heed a signal that was given before.
        reconnectStrategy: false,
        // Asked for each connection.
        get signal() {
          if (signal.aborted) throw ended();
          return signal;
        },
      },
    };
  }

  /** Ends what is connected, or being connected to, on the way to the primary. */
  #forget(): void {
    this.#own.destroy().catch(() => {});
    this.#ending.abort();
  }

  send(words: readonly string[]): Promise<unknown> {
    return this.#wire!.send(words);
  }

  subscribe(channels: string[]): Promise<unknown> {
    return this.#wire!.subscribe(channels);
  }

  unsubscribe(channels: string[]): Promise<unknown> {
    return this.#wire!.unsubscribe(channels);
  }

  destroy(): void {
    this.#isEnded = true;
    this.#wire?.destroy();
    this.#forget();
  }
}

const ended = (): Error => new Error('the connection was closed');

interface ClientOptions {
  readonly socket?: { readonly tls?: unknown };
}

interface SentinelOptions {
  readonly nodeClientOptions?: ClientOptions;
  readonly sentinelClientOptions?: ClientOptions;
}

/** It keeps them to itself, but for whom it makes a duplicate of. */
function optionsOf(sentinel: NodeRedisSentinel): SentinelOptions {
  const maker = Object.create(sentinel, { constructor: { value: itself } });
  return Object.create(maker).duplicate({});
}

/** As a constructor, makes what it is given. */
function itself(options: SentinelOptions): SentinelOptions {
  return options;
}

function wireTo(primary: NodeRedis, connectMs: number, events: WireEvents): RedisWire {
  if (primary.options?.database) {
    const message =
      'a sentinel client of redis must keep to database 0; for another pass the Redis of ioredis, with sentinels';
    throw new RedisRefusal(message, new Error(`database ${primary.options.database}`));
  }
  return new NodeRedisWire(primary, null, connectMs, false, events);
}
