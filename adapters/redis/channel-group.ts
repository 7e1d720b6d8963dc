// The channels on one server: what it is subscribed to is brought in line with what is wanted, many to a command.

import { setTimer } from '../../src/timers.ts';
import type { RedisChannels, Waiter } from './redis-channels.ts';
import type { RedisConnection } from './redis-connection.ts';
import { isPassing, refused, replyCode } from './redis-errors.ts';
import type { RedisWire } from './redis-wire.ts';

/** Names in one command: a server that works through it keeps others waiting. */
const BATCH = 500;
const RETRY_MS = 100;

/** A channel that is wanted, or not let go yet. */
export class Channel {
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
      this.#channels.restored(channel);
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
