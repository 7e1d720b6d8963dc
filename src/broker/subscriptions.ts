// One broker subscription per user and process, shared by the user's sessions: decides whether what arrives is next in
// the stream, reads what is missing, and lingers after the last session has left. Sessions reach it through the hub.

import { type ErrorStage, UsercastError } from '../errors.ts';
import type { Position } from '../protocol/cursor.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import { type Wheel, WheelTask, withDeadline } from '../timers.ts';
import type { Broker, DisconnectMark, Publication, StreamListener, StreamSlice, Unsubscribe } from './broker.ts';
import { disproof, follows } from './contiguity.ts';
import { Hold } from './hold.ts';
import { type CheckTimes, PositionCheck } from './position-check.ts';
import { SharedReads } from './shared-reads.ts';

/** The sessions of one user on this process, as their subscription sees them. */
export interface Audience {
  /** The next message of the stream; the subscription's own position is still the one before it. */
  deliver(publication: Publication): void;
  whisper(payload: string): void;
  mark(mark: DisconnectMark): void;
  /** What lies before the subscription's position, which is set already, could not be proven complete. */
  reset(reason: ResetReason): void;
}

export interface SubscriptionTimes extends CheckTimes {
  readonly lingerMs: number;
}

export interface SubscriptionsOptions {
  readonly broker: Broker;
  readonly wheel: Wheel;
  readonly deadlineMs: number;
  readonly times: SubscriptionTimes;
  readonly onError: (stage: ErrorStage, cause: unknown) => void;
}

const RETRY_MS = 1_000;
const PAGE = 100;
const DONE = Promise.resolve();

/** One user's subscription. Its position is that of the last message delivered. */
export class Subscription<A extends Audience = Audience> extends WheelTask implements StreamListener, Position {
  readonly userId: string;
  readonly audience: A;
  /** @internal */
  opening: Promise<void> | null = null;
  epoch = '';
  offset = 0;
  tag = '';
  markNumber = 0;
  /** When, by this process's clock, all of the user's sessions were last disconnected, as of the opening. */
  disconnectedMs = Number.NEGATIVE_INFINITY;
  holders = 0;
  #state: 'opening' | 'live' | 'repairing' | 'ended' = 'opening';
  /** Takes what arrives while it opens or repairs; not there at any other time, for most subscriptions are live. */
  #hold: Hold | null = new Hold();
  #reading: Promise<void> | null = null;
  #unsubscribe: Unsubscribe | null = null;
  readonly #owner: Subscriptions<A>;

  /** @internal */
  constructor(userId: string, owner: Subscriptions<A>) {
    super();
    this.userId = userId;
    this.#owner = owner;
    this.audience = owner.createAudience(this);
  }

  /** Resolves when live publications arrive and the position is known. @throws UsercastError, or what the broker rejects with. */
  opened(): Promise<void> {
    this.opening ??= this.#open();
    return this.opening;
  }

  /**
   * Reads the stream after a position; shares a read that another asked for and that has not been sent yet.
   * @throws UsercastError `deadline`, or what the broker rejects with.
   */
  read(after: Position | null, limit = PAGE): Promise<StreamSlice> {
    return this.#owner.reads.read(this.userId, after, limit);
  }

  publication(publication: Publication): void {
    if (this.#state === 'live') {
      if (follows(this, publication)) this.#deliver(publication);
      else this.#repair(publication);
    } else this.#hold?.add(publication);
  }

  whisper(payload: string): void {
    if (this.#state === 'live') this.audience.whisper(payload);
  }

  mark(mark: DisconnectMark): void {
    if (mark.number <= this.markNumber) return;
    this.markNumber = mark.number;
    this.audience.mark(mark);
  }

  get over(): boolean {
    return this.#state === 'ended';
  }

  get isLive(): boolean {
    return this.#state === 'live';
  }

  /** Lingered without a holder, or waited to repair again. */
  override due(): void {
    if (this.holders === 0) this.end();
    else void this.#readOn();
  }

  /** Has a holder again. The wheel has one place: lingering took it from a repair that waited for its next try. */
  revive(): void {
    this.#owner.options.wheel.cancel(this);
    if (this.#state === 'repairing') void this.#readOn();
  }

  /** Reads what may be missing after the position, and delivers it; resolves after one try. Never rejects. */
  advance(): Promise<void> {
    if (this.#state === 'live') {
      this.#state = 'repairing';
      this.#hold = new Hold();
    }
    return this.#readOn();
  }

  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#hold = null;
    this.#owner.options.wheel.cancel(this);
    this.#owner.ended(this);
    if (this.#unsubscribe) this.#leave(this.#unsubscribe);
  }

  async #open(): Promise<void> {
    const { broker, deadlineMs } = this.#owner.options;
    try {
      const subscribing = broker.subscribe(this.userId, this);
      subscribing.then((unsubscribe) => {
        this.#unsubscribe = unsubscribe;
        if (this.#state === 'ended') this.#leave(unsubscribe);
      }, ignore);
      await withDeadline(subscribing, deadlineMs, 'the broker, asked to subscribe,');
      const slice = await this.read(null, 0);
      if (this.#state === 'ended') throw new UsercastError('closed', 'usercast was closed meanwhile');
      this.#moveTo(slice.top);
      this.markNumber = Math.max(this.markNumber, slice.markNumber);
      if (slice.markAgeMs !== undefined) this.disconnectedMs = performance.now() - slice.markAgeMs;
      // One promise for all, so that an open subscription keeps none of its own.
      this.opening = DONE;
      if (this.#join(0)) return;
      this.#state = 'repairing';
      void this.#readOn();
    } catch (cause) {
      this.end();
      throw cause;
    }
  }

  #leave(unsubscribe: Unsubscribe): void {
    try {
      unsubscribe();
    } catch (cause) {
      this.#owner.options.onError('subscribe', cause);
    }
  }

  /** One that follows: the epoch stays, and with it the string, which in the publication may be part of a long one. */
  #deliver(publication: Publication): void {
    this.audience.deliver(publication);
    this.offset = publication.offset;
    this.tag = publication.tag;
  }

  #moveTo(position: Position): void {
    this.epoch = position.epoch;
    this.offset = position.offset;
    this.tag = position.tag;
  }

  /** Delivered before: replies of the broker may overtake its live messages. */
  #isPast({ epoch, offset, tag }: Publication): boolean {
    return epoch === this.epoch && (offset < this.offset || (offset === this.offset && tag === this.tag));
  }

  #repair(publication: Publication): void {
    void this.advance();
    this.#hold?.add(publication);
  }

  #readOn(): Promise<void> {
    if (this.#state !== 'repairing') return Promise.resolve();
    this.#reading ??= this.#readUntilJoined();
    return this.#reading;
  }

  async #readUntilJoined(): Promise<void> {
    // A listener of the host may publish while a message is being delivered: the position moves when that is done.
    await null;
    try {
      // Once it has joined, what arrives may make another gap at once.
      while (this.#state === 'repairing') this.#join(await this.#readToTop());
    } catch (cause) {
      if (this.over) return;
      this.#owner.options.onError('read', cause);
      this.#owner.options.wheel.schedule(this, RETRY_MS * (0.5 + Math.random()));
    } finally {
      this.#reading = null;
    }
  }

  /** Delivers all that the broker has after the position. Returns how many publications were held when it was last asked. */
  async #readToTop(): Promise<number> {
    for (;;) {
      const from = { epoch: this.epoch, offset: this.offset, tag: this.tag };
      const asked = this.#hold!.begin();
      const slice = await this.read(from);
      if (this.#state !== 'repairing') return asked;
      for (const mark of slice.marks) this.mark(mark);
      const reason = disproof(from, slice);
      if (reason) {
        this.#moveTo(slice.top);
        this.markNumber = slice.markNumber;
        this.audience.reset(reason);
      } else for (const entry of slice.entries) this.#deliver(entry);
      if (this.offset >= slice.top.offset) return asked;
    }
  }

  /**
   * Delivers what was held, as far as it follows. True when that is all: live from here. False when there is a gap, which
   * takes another read. The first `asked` were held before the last read was sent, so a gap before one of them means
   * that the broker has lost it since, or that it comes from a stream that is no more.
   */
  #join(asked: number): boolean {
    const hold = this.#hold;
    if (!hold) return false;
    const { held } = hold;
    let lost = false;
    // Delivering may add to what is held.
    for (let i = 0; i < held.length; i++) {
      const publication = held[i]!;
      if (follows(this, publication)) this.#deliver(publication);
      else if (this.#isPast(publication)) continue;
      else if (i < asked) lost ||= publication.epoch === this.epoch;
      else {
        hold.forgetFirst(i);
        return false;
      }
    }
    hold.forgetFirst(held.length);
    if (hold.overflowed) return false;
    if (this.over) return false;
    this.#state = 'live';
    this.#hold = null;
    if (lost) this.audience.reset('rollback');
    return true;
  }
}

/** This process's subscriptions by user. */
export class Subscriptions<A extends Audience> {
  /** @internal */
  readonly options: SubscriptionsOptions;
  /** @internal */
  readonly createAudience: (subscription: Subscription<A>) => A;
  /** @internal */
  readonly reads: SharedReads;
  readonly #byUser = new Map<string, Subscription<A>>();
  readonly #check: PositionCheck | null;

  constructor(options: SubscriptionsOptions, createAudience: (subscription: Subscription<A>) => A) {
    this.options = options;
    this.createAudience = createAudience;
    this.reads = new SharedReads(options);
    this.#check = options.broker.reliable ? null : new PositionCheck(options, () => this.#byUser.values());
  }

  get size(): number {
    return this.#byUser.size;
  }

  values(): Iterable<Subscription<A>> {
    return this.#byUser.values();
  }

  /** Takes part in the user's subscription, which is opened for the first; each call needs a `release`. */
  acquire(userId: string): Subscription<A> {
    let subscription = this.#byUser.get(userId);
    if (!subscription) {
      subscription = new Subscription(userId, this);
      this.#byUser.set(userId, subscription);
      this.#check?.watch();
    } else if (subscription.holders === 0) subscription.revive();
    subscription.holders++;
    return subscription;
  }

  release(subscription: Subscription<A>): void {
    if (--subscription.holders === 0 && !subscription.over) {
      this.options.wheel.schedule(subscription, this.options.times.lingerMs);
    }
  }

  /** @internal */
  ended(subscription: Subscription<A>): void {
    if (this.#byUser.get(subscription.userId) === subscription) this.#byUser.delete(subscription.userId);
    if (this.#byUser.size === 0) this.#check?.rest();
  }

  close(): void {
    this.#check?.stop();
    for (const subscription of this.#byUser.values()) subscription.end();
  }
}

const ignore = (): void => {};
