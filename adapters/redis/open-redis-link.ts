// Makes the link: the servers, the calls, the channels and the probes put together, and the status that follows from them.

import { type BrokerStatus, type Unsubscribe, UsercastError } from '../../src/index.ts';
import { Listeners } from '../../src/listeners.ts';
import { withDeadline } from '../../src/timers.ts';
import { ChannelGroup } from './channel-group.ts';
import { Deadlines } from './deadlines.ts';
import { IoRedisClusterDriver, IoRedisDriver } from './ioredis.ts';
import { NodeRedisClusterDriver, NodeRedisDriver, UrlDriver } from './node-redis.ts';
import { RedisCalls } from './redis-calls.ts';
import { RedisChannels } from './redis-channels.ts';
import { knownClient } from './redis-client.ts';
import { RedisConnection } from './redis-connection.ts';
import { closedError } from './redis-errors.ts';
import type { RedisConnectionSource, RedisLink, RedisLinkOptions, RedisScript } from './redis-link.ts';
import { type RedisNode, RedisNodes } from './redis-nodes.ts';
import { RedisProbes } from './redis-probes.ts';
import type { RedisAddress, RedisDriver } from './redis-wire.ts';
import { slotOf } from './slots.ts';

/**
 * Connects at once, and goes on trying.
 * @throws TypeError when `url` or `client` is none that can be used; it says what to pass, and shows no URL.
 */
export function openRedisLink(options: RedisLinkOptions): RedisLink {
  return new OpenRedisLink(driverOf(options.connection), options);
}

function driverOf(source: RedisConnectionSource): RedisDriver {
  if ('url' in source) return urlDriver(source.url);
  const known = knownClient(source.client);
  switch (known.kind) {
    case 'node-redis':
      return new NodeRedisDriver(known.client, known.client.options?.database ?? 0);
    case 'node-redis-cluster':
      return new NodeRedisClusterDriver(known.client);
    case 'ioredis':
      return new IoRedisDriver(known.client);
    case 'ioredis-cluster':
      return new IoRedisClusterDriver(known.client);
  }
}

function urlDriver(url: string | readonly string[]): RedisDriver {
  const isCluster = Array.isArray(url);
  const texts = (isCluster ? url : [url]) as readonly unknown[];
  // A URL may hold a password, so no message may hold the URL.
  const rule = 'a URL such as redis://user:password@host:6379/0, or rediss:// for TLS; an array of them for a cluster';
  const urls = texts.map((text) => (typeof text === 'string' && URL.canParse(text) ? new URL(text) : null));
  const isGood = (parsed: URL | null) =>
    parsed !== null && /^rediss?:$/.test(parsed.protocol) && parsed.hostname !== '' && isDecodable(parsed);
  if (urls.length === 0 || !urls.every(isGood)) throw new TypeError(`url must be ${rule}`);
  if (!isCluster && !/^\/?\d*$/.test(urls[0]!.pathname))
    throw new TypeError('the path of url must be a database number');
  return new UrlDriver(urls as URL[], isCluster);
}

/** The password and the user name are given to Redis percent-decoded. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

class OpenRedisLink implements RedisLink {
  readonly isCluster: boolean;
  readonly database: number;
  #status: BrokerStatus = 'connecting';
  readonly #driver: RedisDriver;
  readonly #options: RedisLinkOptions;
  readonly #calls: RedisCalls;
  readonly #channels: RedisChannels;
  readonly #nodes: RedisNodes;
  readonly #probes: RedisProbes | null = null;
  // A listener is the broker's: what it throws is a fault of ours, and not to stop the link.
  readonly #listeners = new Listeners<{ status: BrokerStatus }>(['status'], (_, cause) => {
    queueMicrotask(() => {
      throw cause;
    });
  });
  readonly #firstReady: Promise<void>;
  #onReady!: () => void;
  #onFailure!: (error: Error) => void;
  #isClosed = false;

  constructor(driver: RedisDriver, options: RedisLinkOptions) {
    this.#driver = driver;
    this.#options = options;
    this.isCluster = driver.isCluster;
    this.database = driver.database;
    this.#firstReady = new Promise((resolve, reject) => {
      this.#onReady = resolve;
      this.#onFailure = reject;
    });
    this.#firstReady.catch(() => {});
    const { deadlineMs, probeMs, onMessage } = options;
    const slot = driver.isCluster ? slotOf : () => 0;
    this.#nodes = new RedisNodes(driver, deadlineMs, {
      create: (address) => this.#node(address),
      changed: () => this.#changed(),
      isWhole: () => this.#isWhole(),
    });
    const deadlines = new Deadlines(deadlineMs);
    this.#calls = new RedisCalls(deadlines, {
      isCluster: driver.isCluster,
      connection: (key) => this.#nodes.of(slot(key))?.commands ?? null,
      at: (address, from) => this.#nodes.at(address, this.#addressOf(from)).commands,
      moved: (moved, address, from) => this.#nodes.moved(moved, address, this.#addressOf(from)),
      outdated: () => this.#nodes.outdated(),
      demoted: (connection) => this.#demoted(connection),
    });
    this.#channels = new RedisChannels(deadlines, {
      slotOf: slot,
      group: (of) => this.#nodes.of(of)?.group ?? null,
      restored: () => this.#settle(),
      outdated: () => this.#nodes.outdated(),
    });
    if (onMessage) {
      this.#probes = new RedisProbes(probeMs, {
        probes: options.probes,
        isOn: (channel) => this.#channels.isOn(channel),
        subscribe: (channel) => this.#channels.subscribe(channel),
        unsubscribe: (channel) => this.#channels.unsubscribe(channel),
        echo: async (channel) => this.#nodes.of(slot(channel))?.group?.connection.wire?.send(['PING']),
        silent: (channel) => {
          const node = this.#nodes.of(slot(channel));
          node?.commands.renew(new Error('a probe had no answer'));
          node?.group?.connection.renew(new Error('a probe had no answer'));
        },
        deaf: (channel) => this.#nodes.of(slot(channel))?.group?.connection.renew(new Error('a probe was not heard')),
      });
    }
    driver.prepare().then(
      () => {
        if (!this.#isClosed) this.#nodes.start();
      },
      (cause: Error) => this.#fail(cause),
    );
  }

  get status(): BrokerStatus {
    return this.#status;
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    this.#listeners.add('status', listener);
    return () => this.#listeners.remove('status', listener);
  }

  ready(): Promise<void> {
    return withDeadline(this.#firstReady, this.#options.deadlineMs, 'redis').catch((error: Error) => {
      const cause = this.#whyNot();
      if (!(error instanceof UsercastError) || error.code !== 'deadline' || !cause) throw error;
      throw new UsercastError('deadline', `${error.message}: ${cause.message}`, { cause });
    });
  }

  run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#calls.run(script, keys, args);
  }

  command(key: string, ...words: readonly string[]): Promise<unknown> {
    return this.#calls.command(key, words);
  }

  subscribe(channel: string): Promise<void> {
    return this.#channels.subscribe(channel);
  }

  unsubscribe(channel: string): void {
    this.#channels.unsubscribe(channel);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#probes?.close();
    this.#fail(closedError());
    this.#nodes.close();
  }

  #fail(error: Error): void {
    this.#onFailure(error);
    this.#calls.fail(error);
    this.#channels.fail(error);
  }

  #node(address: RedisAddress | null): RedisNode {
    const { deadlineMs, onMessage } = this.#options;
    const open = (hooks: ConstructorParameters<typeof RedisConnection>[2]): RedisConnection =>
      new RedisConnection((events) => this.#driver.open(address, deadlineMs, events), deadlineMs, hooks);
    const commands: RedisConnection = open({
      up: () => {
        this.#calls.wake();
        this.#settle();
      },
      down: (wire, isReplaced) => {
        this.#lost();
        this.#nodes.outdated();
        this.#calls.dropped(wire, isReplaced, commands);
      },
      message: () => {},
      moved: () => {},
    });
    const group = onMessage
      ? new ChannelGroup(this.#channels, this.isCluster, (own) => this.#listening(own, open))
      : null;
    return { address, commands, group };
  }

  #listening(
    group: ChannelGroup,
    open: (hooks: ConstructorParameters<typeof RedisConnection>[2]) => RedisConnection,
  ): RedisConnection {
    const onMessage = this.#options.onMessage!;
    const connection: RedisConnection = open({
      up: () => {
        group.up();
        this.#settle();
      },
      down: () => {
        this.#lost();
        this.#nodes.outdated();
        group.down();
      },
      message: (channel, message) => {
        if (!this.#probes?.heard(channel)) onMessage(channel, message);
      },
      moved: () => {
        this.#nodes.outdated();
        connection.renew(new Error('a channel has moved'));
      },
    });
    return connection;
  }

  #changed(): void {
    if (this.#isClosed) return;
    this.#channels.reassign();
    this.#calls.wake();
    if (this.#channels.restoring > 0) this.#lost();
    this.#settle();
  }

  #demoted(connection: RedisConnection): void {
    const cause = new Error('the server is a replica');
    for (const { commands, group } of this.#nodes.all.values()) {
      if (commands !== connection) continue;
      commands.renew(cause, true);
      group?.connection.renew(cause, true);
    }
  }

  #addressOf(connection: RedisConnection | null): RedisAddress | null {
    for (const { commands, address } of this.#nodes.all.values()) if (commands === connection) return address;
    return null;
  }

  #isWhole(): boolean {
    const nodes = [...this.#nodes.all.values()];
    const isUp = ({ commands, group }: RedisNode) => commands.wire && (!group || group.connection.wire);
    return nodes.length > 0 && nodes.every(isUp);
  }

  #whyNot(): Error | null {
    for (const { commands, group } of this.#nodes.all.values()) {
      for (const connection of [commands, group?.connection])
        if (connection && !connection.wire) return connection.lastError;
    }
    return this.#nodes.lastError;
  }

  #lost(): void {
    if (this.#status === 'ready') this.#become('lost');
  }

  #settle(): void {
    if (this.#isClosed || this.#status === 'ready' || this.#channels.restoring > 0 || !this.#isWhole()) return;
    this.#become('ready');
    this.#onReady();
  }

  #become(status: BrokerStatus): void {
    this.#status = status;
    this.#listeners.emit('status', status);
  }
}
