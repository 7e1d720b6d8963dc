// What we are subscribed to: each channel on the server that has its slot, again after every loss, many to a command.

import { UsercastError } from '../../src/index.ts';
import { setTimer } from '../../src/timers.ts';
import { type Deadlines, Pending } from './deadlines.ts';
import type { RedisConnection } from './redis-connection.ts';
import { isPassing, refused, replyCode, unreachable } from './redis-errors.ts';
import type { RedisWire } from './redis-wire.ts';

const MAX_WAITING = 10_000;
/** Names in one command: a server that works through it keeps others waiting. */
const BATCH = 500;
const RETRY_MS = 100;
/** How long a lost connection is waited for before new subscriptions fail at once. */
const PATIENCE_MS = 1_000;

class Channel {
  readonly name: string;
  readonly slot: number;
  /** `leaving`: asked for anew, it is joined again when the server has let it go. */
  state: 'off' | 'joining' | 'on' | 'leaving' = 'off';
  isWanted = false;
  /** Was on, and messages may be missed until it is again. */
  isRestoring = false;
  waiters: Waiter[] = [];
  group: ChannelGroup | null = null;

  constructor(name: string, slot: number) {
    this.name = name;
    this.slot = slot;
  }
}

class Waiter extends Pending {
  readonly channel: Channel;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly #channels: RedisChannels;

  constructor(channels: RedisChannels, channel: Channel, resolve: () => void, reject: (error: Error) => void) {
    super();
    this.#channels = channels;
    this.channel = channel;
    this.resolve = resolve;
    this.reject = reject;
  }

  expire(): void {
    this.#channels.expired(this);
  }
}

/** What the channels tell the link. */
export interface ChannelHooks {
  /** The slot of a channel; 0 where there are none. */
  slotOf(channel: string): number;
  /** Those of the server that has the slot; null while it is not known. */
  group(slot: number): ChannelGroup | null;
  /** Every channel is on again that was. */
  restored(): void;
  /** A server does not have the slot any more. */
  outdated(): void;
}

/** The channels of a link, by name. */
export class RedisChannels {
  /** How many were on and are not now. */
  restoring = 0;
  readonly hooks: ChannelHooks;
  readonly #deadlines: Deadlines;
  readonly #channels = new Map<string, Channel>();
  #failure: Error | null = null;
  #waiting = 0;

  constructor(deadlines: Deadlines, hooks: ChannelHooks) {
    this.#deadlines = deadlines;
    this.hooks = hooks;
  }

  isOn(name: string): boolean {
    return this.#channels.get(name)?.state === 'on';
  }

  subscribe(name: string): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    const known = this.#channels.get(name);
    if (known?.state === 'on') {
      // Also when it was to be let go in this turn: nothing is sent before its end.
      known.isWanted = true;
      return Promise.resolve();
    }
    if (this.#waiting >= MAX_WAITING) {
      return Promise.reject(new UsercastError('overloaded', `${MAX_WAITING} subscriptions in redis are in flight`));
    }
    const channel = known ?? new Channel(name, this.hooks.slotOf(name));
    channel.group ??= this.hooks.group(channel.slot);
    const connection = channel.group?.connection;
    if (connection?.wasUp && connection.downForMs > PATIENCE_MS)
      return Promise.reject(unreachable(connection.lastError));
    this.#channels.set(name, channel);
    channel.isWanted = true;
    return new Promise((resolve, reject) => {
      const waiter = new Waiter(this, channel, resolve, reject);
      channel.waiters.push(waiter);
      this.#deadlines.add(waiter);
      this.#waiting++;
      channel.group?.touch(channel);
    });
  }

  unsubscribe(name: string): void {
    const channel = this.#channels.get(name);
    if (!channel) return;
    channel.isWanted = false;
    this.settle(channel, new UsercastError('closed', 'the channel was unsubscribed'));
    this.notRestoring(channel);
    if (channel.group) channel.group.touch(channel);
    else this.forget(channel);
  }

  /** Fails all subscriptions of now and from now on. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const channel of this.#channels.values()) this.settle(channel, error);
  }

  /** The slots have changed hands. Those who gave some away are connected to anew: what they still think to hold is gone. */
  reassign(): void {
    const donors = new Set<ChannelGroup>();
    for (const channel of this.#channels.values()) {
      const group = this.hooks.group(channel.slot);
      if (!group || group === channel.group) continue;
      if (channel.group) {
        if (channel.state !== 'off') donors.add(channel.group);
        channel.group.leave(channel);
      }
      channel.group = group;
      group.touch(channel);
    }
    for (const donor of donors) donor.connection.renew(new Error('slots have moved'));
  }

  expired(waiter: Waiter): void {
    const { channel } = waiter;
    this.#waiting--;
    channel.waiters = channel.waiters.filter((one) => one !== waiter);
    const connection = channel.group?.connection;
    const { deadlineMs } = this.#deadlines;
    if (connection?.wasUp && !connection.wire) waiter.reject(unreachable(connection.lastError));
    else waiter.reject(new UsercastError('deadline', `redis did not subscribe within ${deadlineMs} ms`));
    // Whoever asked has given up: what comes of it would be nobody's.
    if (channel.waiters.length === 0 && channel.state !== 'on' && !channel.isRestoring) this.unsubscribe(channel.name);
  }

  settle(channel: Channel, error: Error | null): void {
    const waiters = channel.waiters;
    channel.waiters = [];
    for (const waiter of waiters) {
      if (!this.#deadlines.remove(waiter)) continue;
      this.#waiting--;
      if (error) waiter.reject(error);
      else waiter.resolve();
    }
  }

  mustRestore(channel: Channel): void {
    if (channel.isRestoring) return;
    channel.isRestoring = true;
    this.restoring++;
  }

  notRestoring(channel: Channel): void {
    if (!channel.isRestoring) return;
    channel.isRestoring = false;
    if (--this.restoring === 0) this.hooks.restored();
  }

  forget(channel: Channel): void {
    this.#channels.delete(channel.name);
  }
}

/** The channels on one server. */
export class ChannelGroup {
  readonly connection: RedisConnection;
  readonly #channels: RedisChannels;
  readonly #isSharded: boolean;
  readonly #members = new Set<Channel>();
  #touched = new Set<Channel>();
  #isFlushing = false;

  constructor(channels: RedisChannels, isSharded: boolean, open: (group: ChannelGroup) => RedisConnection) {
    this.#channels = channels;
    this.#isSharded = isSharded;
    this.connection = open(this);
  }

  /** Brings the server in line with what is wanted of the channel, together with all others of this turn. */
  touch(channel: Channel): void {
    this.#members.add(channel);
    this.#touched.add(channel);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => this.#flush());
  }

  leave(channel: Channel): void {
    this.#members.delete(channel);
    this.#touched.delete(channel);
    if (channel.state === 'on' && channel.isWanted) this.#channels.mustRestore(channel);
    channel.state = 'off';
  }

  up(): void {
    for (const channel of this.#members) this.touch(channel);
  }

  down(): void {
    for (const channel of this.#members) {
      if (channel.state === 'on' && channel.isWanted) this.#channels.mustRestore(channel);
      channel.state = 'off';
      if (!channel.isWanted) this.#remove(channel);
    }
  }

  #flush(): void {
    this.#isFlushing = false;
    const { wire } = this.connection;
    const touched = this.#touched;
    this.#touched = new Set();
    const joining = new Map<number, string[]>();
    const leaving = new Map<number, string[]>();
    const batches = (sorted: Map<number, string[]>, channel: Channel): void => {
      const key = this.#isSharded ? channel.slot : 0;
      const names = sorted.get(key);
      if (names) names.push(channel.name);
      else sorted.set(key, [channel.name]);
    };
    const members = new Map<string, Channel>();
    for (const channel of touched) {
      if (channel.state === 'off' && !channel.isWanted) this.#remove(channel);
      if (!wire) continue;
      members.set(channel.name, channel);
      if (channel.state === 'off' && channel.isWanted) {
        channel.state = 'joining';
        batches(joining, channel);
      } else if (channel.state === 'on' && !channel.isWanted) {
        channel.state = 'leaving';
        batches(leaving, channel);
      }
    }
    if (!wire) return;
    const send = (sorted: Map<number, string[]>, one: (names: string[], channels: Channel[]) => void): void => {
      for (const names of sorted.values()) {
        for (let i = 0; i < names.length; i += BATCH) {
          const batch = names.slice(i, i + BATCH);
          one(
            batch,
            batch.map((name) => members.get(name)!),
          );
        }
      }
    };
    send(joining, (names, channels) => {
      wire.subscribe(names).then(
        () => this.#joined(wire, channels),
        (error: unknown) => this.#notJoined(wire, channels, error),
      );
    });
    send(leaving, (names, channels) => {
      const left = () => this.#left(wire, channels);
      wire.unsubscribe(names).then(left, left);
    });
  }

  #joined(wire: RedisWire, channels: readonly Channel[]): void {
    if (this.connection.wire !== wire) return;
    for (const channel of channels) {
      if (channel.group !== this) continue;
      channel.state = 'on';
      this.#channels.settle(channel, null);
      this.#channels.notRestoring(channel);
      if (!channel.isWanted) this.touch(channel);
    }
  }

  #notJoined(wire: RedisWire, channels: readonly Channel[], error: unknown): void {
    if (this.connection.wire !== wire) return;
    const code = replyCode(error);
    if (code === 'MOVED' || code === 'CLUSTERDOWN') this.#channels.hooks.outdated();
    const own = channels.filter(({ group }) => group === this);
    for (const channel of own) {
      channel.state = 'off';
      if (code !== null && !isPassing(code)) this.#channels.settle(channel, refused(error));
      if (channel.waiters.length === 0 && !channel.isRestoring) channel.isWanted = false;
      if (!channel.isWanted) this.#remove(channel);
    }
    setTimer(
      () => {
        for (const channel of own) if (channel.group === this && channel.state === 'off') this.touch(channel);
      },
      RETRY_MS * (0.5 + Math.random()),
    );
  }

  #left(wire: RedisWire, channels: readonly Channel[]): void {
    if (this.connection.wire !== wire) return;
    for (const channel of channels) {
      if (channel.group !== this) continue;
      channel.state = 'off';
      this.touch(channel);
    }
  }

  #remove(channel: Channel): void {
    this.#members.delete(channel);
    this.#touched.delete(channel);
    if (channel.group === this) this.#channels.forget(channel);
    channel.group = null;
  }
}
