// What we are subscribed to: each channel on the server that has its slot, and again after every loss.

import { UsercastError } from '../../src/index.ts';
import { setTimer } from '../../src/timers.ts';
import { Channel, type ChannelGroup } from './channel-group.ts';
import { Deadlines, Pending } from './deadlines.ts';
import { unreachable } from './redis-errors.ts';

const MAX_WAITING = 100_000;
/** How long a lost connection is waited for before new subscriptions fail at once. */
const PATIENCE_MS = 1_000;
/** Others may be on again by then; not all are waited for, since those of a dead server would hold up the rest. */
const TELL_MS = 250;

/** A call of `subscribe` that has not settled. */
export class Waiter extends Pending {
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
  /** Some channels are on again that were. Those that follow one another closely are told of together. */
  restored(): void;
  /** None is left that was on and is not now. */
  complete(): void;
  /** A server does not have the slot any more. */
  outdated(): void;
  /** Why no server is known, where waiting will not mend it. */
  refusal(): Error | null;
}

/** The channels of a link, by name. */
export class RedisChannels {
  /** How many were on and are not now. */
  restoring = 0;
  readonly hooks: ChannelHooks;
  readonly #deadlines: Deadlines<Waiter>;
  readonly #channels = new Map<string, Channel>();
  #failure: Error | null = null;
  /** Some came on again, and nobody was told. */
  #isUntold = false;

  constructor(deadlineMs: number, hooks: ChannelHooks) {
    this.#deadlines = new Deadlines(deadlineMs);
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
    if (this.#deadlines.size >= MAX_WAITING) {
      return Promise.reject(new UsercastError('overloaded', `${MAX_WAITING} subscriptions in redis are in flight`));
    }
    const channel = known ?? new Channel(name, this.hooks.slotOf(name));
    channel.group ??= this.hooks.group(channel.slot);
    const connection = channel.group?.connection;
    const refusal = connection ? connection.refusal : this.hooks.refusal();
    if (refusal) return Promise.reject(refusal);
    if (connection?.wasUp && connection.downForMs > PATIENCE_MS)
      return Promise.reject(unreachable(connection.lastError));
    this.#channels.set(name, channel);
    channel.isWanted = true;
    return new Promise((resolve, reject) => {
      const waiter = new Waiter(this, channel, resolve, reject);
      channel.waiters.push(waiter);
      this.#deadlines.add(waiter);
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

  /** Fails those that wait for a connection that cannot be made. */
  refused(): void {
    for (const channel of this.#channels.values()) {
      const refusal = channel.group ? channel.group.connection.refusal : this.hooks.refusal();
      if (!refusal || channel.waiters.length === 0) continue;
      this.settle(channel, refusal);
      if (!channel.isRestoring) this.unsubscribe(channel.name);
    }
  }

  expired(waiter: Waiter): void {
    const { channel } = waiter;
    channel.waiters = channel.waiters.filter((one) => one !== waiter);
    const connection = channel.group?.connection;
    const { deadlineMs } = this.#deadlines;
    if (connection?.wasUp && !connection.wire) waiter.reject(unreachable(connection.lastError));
    else {
      const why = connection?.wire || !connection?.lastError ? '' : `: ${connection.lastError.message}`;
      waiter.reject(new UsercastError('deadline', `redis did not subscribe within ${deadlineMs} ms${why}`));
    }
    // Whoever asked has given up: what comes of it would be nobody's.
    if (channel.waiters.length === 0 && channel.state !== 'on' && !channel.isRestoring) this.unsubscribe(channel.name);
  }

  settle(channel: Channel, error: Error | null): void {
    const waiters = channel.waiters;
    channel.waiters = [];
    for (const waiter of waiters) {
      if (!this.#deadlines.remove(waiter)) continue;
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
    if (--this.restoring > 0) return;
    this.hooks.complete();
    this.#tell();
  }

  /** It is on again, and what came meanwhile was missed. */
  restored(channel: Channel): void {
    if (!channel.isRestoring) return;
    if (!this.#isUntold) {
      this.#isUntold = true;
      setTimer(() => this.#tell(), TELL_MS);
    }
    this.notRestoring(channel);
  }

  #tell(): void {
    if (!this.#isUntold || this.#failure) return;
    this.#isUntold = false;
    this.hooks.restored();
  }

  forget(channel: Channel): void {
    this.#channels.delete(channel.name);
  }
}
