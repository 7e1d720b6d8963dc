// Makes the link: the servers, the calls, the channels and the probes put together, and the status that follows from them.

import { type BrokerStatus, type Unsubscribe, UsercastError } from '../../src/index.ts';
import { Listeners } from '../../src/listeners.ts';
import { withDeadline } from '../../src/timers.ts';
import { ChannelGroup } from './channel-group.ts';
import { RedisCalls } from './redis-calls.ts';
import { RedisChannels } from './redis-channels.ts';
import { type ConnectionHooks, RedisConnection } from './redis-connection.ts';
import { driverOf } from './redis-drivers.ts';
import { closedError, RedisRefusal } from './redis-errors.ts';
import type { RedisArgs, RedisLink, RedisLinkOptions, RedisScript } from './redis-link.ts';
import { type RedisNode, RedisNodes } from './redis-nodes.ts';
import { RedisPings } from './redis-pings.ts';
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
  readonly #pings: RedisPings | null = null;
  // A listener is the broker's: what it throws is a fault of ours, and not to stop the link.
  readonly #listeners = new Listeners<{ status: BrokerStatus; restored: null }>(['status', 'restored'], (_, cause) => {
    queueMicrotask(() => {
      throw cause;
    });
  });
  #firstReady!: Promise<void>;
  #onReady!: () => void;
  #onFailure!: (error: Error) => void;
  #wasReady = false;
  #isClosed = false;

  constructor(driver: RedisDriver, options: RedisLinkOptions) {
    this.#driver = driver;
    this.#options = options;
    this.isCluster = driver.isCluster;
    this.database = driver.database;
    this.#awaitReady();
    const { deadlineMs, probeMs, onMessage } = options;
    const slot = driver.isCluster ? slotOf : () => 0;
    this.#nodes = new RedisNodes(driver, deadlineMs, {
      create: (address) => this.#node(address),
      changed: () => this.#changed(),
      isWhole: () => this.#isWhole(),
      refused: () => this.#refused(),
    });
    this.#calls = new RedisCalls(deadlineMs, {
      isCluster: driver.isCluster,
      connection: (key) => this.#nodes.of(slot(key))?.commands ?? null,
      at: (address, from) => this.#nodes.at(address, this.#addressOf(from)).commands,
      moved: (moved, address, from) => this.#nodes.moved(moved, address, this.#addressOf(from)),
      outdated: () => this.#nodes.outdated(),
      demoted: (connection, cause) => this.#demoted(connection, cause),
      refusal: () => this.#nodes.refusal,
    });
    this.#channels = new RedisChannels(deadlineMs, {
      slotOf: slot,
      group: (of) => this.#nodes.of(of)?.group ?? null,
      restored: () => this.#listeners.emit('restored', null),
      complete: () => this.#settle(),
      outdated: () => this.#nodes.outdated(),
      refusal: () => this.#nodes.refusal,
    });
    if (onMessage) {
      this.#probes = new RedisProbes(probeMs, {
        probes: options.probes ?? (() => []),
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
    } else {
      this.#pings = new RedisPings(probeMs, () => [...this.#nodes.all.values()].map(({ commands }) => commands));
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

  get outage(): Error | null {
    return this.#status === 'ready' ? null : this.#whyNot();
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    this.#listeners.add('status', listener);
    return () => this.#listeners.remove('status', listener);
  }

  onRestored(listener: () => void): Unsubscribe {
    this.#listeners.add('restored', listener);
    return () => this.#listeners.remove('restored', listener);
  }

  ready(): Promise<void> {
    const refusal = this.#wasReady ? null : this.#refusal();
    if (refusal) return Promise.reject(refusal);
    return withDeadline(this.#firstReady, this.#options.deadlineMs, 'redis').catch((error: Error) => {
      const cause = this.#whyNot();
      if (!(error instanceof UsercastError) || error.code !== 'deadline' || !cause) throw error;
      throw new UsercastError('deadline', `${error.message}: ${cause.message}`, { cause });
    });
  }

  run(script: RedisScript, keys: readonly string[], args: RedisArgs): Promise<unknown> {
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
    this.#pings?.close();
    this.#fail(closedError());
    this.#nodes.close();
  }

  #awaitReady(): void {
    this.#firstReady = new Promise((resolve, reject) => {
      this.#onReady = resolve;
      this.#onFailure = reject;
    });
    this.#firstReady.catch(() => {});
  }

  #fail(error: Error): void {
    this.#onFailure(error);
    this.#calls.fail(error);
    this.#channels.fail(error);
  }

  #node(address: RedisAddress | null): RedisNode {
    const { deadlineMs, onMessage } = this.#options;
    const open = (hooks: ConnectionHooks): RedisConnection =>
      new RedisConnection(
        (events) => this.#driver.open(address, deadlineMs, events),
        deadlineMs,
        !this.isCluster,
        hooks,
      );
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
      refused: () => this.#refused(),
      message: () => {},
      moved: () => {},
    });
    const group = onMessage
      ? new ChannelGroup(this.#channels, this.isCluster, (own) => this.#listening(own, open))
      : null;
    return { address, commands, group };
  }

  #listening(group: ChannelGroup, open: (hooks: ConnectionHooks) => RedisConnection): RedisConnection {
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
      refused: () => this.#refused(),
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

  #demoted(connection: RedisConnection, cause: Error): void {
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
    return nodes.length > 0 && nodes.every(isUp);
  }

  /** Whoever is not connected to could not be reached, and may be dead for long: the others can be called. */
  #isUsable(): boolean {
    const nodes = [...this.#nodes.all.values()];
    return nodes.some(isUp) && nodes.every((node) => isUp(node) || whyDown(node));
  }

  #whyNot(): Error | null {
    for (const node of this.#nodes.all.values()) if (!isUp(node)) return whyDown(node);
    return this.#nodes.lastError;
  }

  /** Why there is no connection at all, where waiting will not mend it. */
  #refusal(): RedisRefusal | null {
    const cause = this.#whyNot();
    return cause instanceof RedisRefusal && ![...this.#nodes.all.values()].some(isUp) ? cause : null;
  }

  #refused(): void {
    if (this.#isClosed) return;
    this.#calls.wake();
    this.#channels.refused();
    const refusal = this.#refusal();
    if (!refusal) return;
    this.#onFailure(refusal);
    this.#awaitReady();
  }

  #lost(): void {
    if (this.#status === 'ready') this.#become('lost');
  }

  #settle(): void {
    if (this.#isClosed || this.#status === 'ready') return;
    if (this.#channels.restoring === 0 && this.#isWhole()) this.#become('ready');
    else if (!this.#isUsable()) return;
    this.#wasReady = true;
    this.#onReady();
  }

  #become(status: BrokerStatus): void {
    this.#status = status;
    this.#listeners.emit('status', status);
  }
}

function isUp({ commands, group }: RedisNode): boolean {
  return commands.wire !== null && (!group || group.connection.wire !== null);
}

function whyDown({ commands, group }: RedisNode): Error | null {
  const connection = commands.wire ? group?.connection : commands;
  return connection?.lastError ?? null;
}
