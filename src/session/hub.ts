// This process's sessions: admits them within the limits, subscribes for their users, and ends them all in a drain.

import type { Broker } from '../broker/broker.ts';
import { type Subscription, Subscriptions } from '../broker/subscriptions.ts';
import { wrongOption } from '../option-checks.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { setTimer } from '../timers.ts';
import type { SessionContext } from './context.ts';
import { Session, type SessionOpening } from './session.ts';
import { UserSessions } from './user-sessions.ts';

/** What the hub is made with: all that sessions share, but for what the hub itself does for them. */
export type HubContext = Omit<SessionContext, 'left'>;

/** What `drain` takes. */
export interface DrainOptions {
  /** Milliseconds after which sessions that have not closed are cut. Default 10 000. */
  readonly withinMs?: number;
}

const DRAIN_MS = 10_000;

/** @throws TypeError for anything but a number of milliseconds. */
export function drainMs({ withinMs = DRAIN_MS }: DrainOptions): number {
  if (typeof withinMs === 'number' && withinMs >= 0) return withinMs;
  return wrongOption('withinMs', 'a number of at least 0', withinMs);
}

/** While draining, sessions end at most this fast, so that their clients do not all come back at once. */
const DRAINED_PER_MS = 1;

export class Hub {
  readonly #context: SessionContext;
  readonly #subscriptions: Subscriptions<UserSessions>;
  /** Sessions by client address, counted only where there is a limit. */
  readonly #addresses = new Map<string, number>();
  #admitted = 0;
  #closing: RefusalCode | null = null;
  #whenEmpty: (() => void)[] = [];

  constructor(broker: Broker, context: HubContext) {
    this.#context = { ...context, left: (session, subscription) => this.#left(session, subscription) };
    const { wheel, onError, limits } = context;
    this.#subscriptions = new Subscriptions(
      { broker, wheel, onError, deadlineMs: limits.deadlineMs },
      (subscription) => new UserSessions(this.#context, subscription),
    );
  }

  /** Users with a subscription here, also those whose last session has just left. */
  get users(): number {
    return this.#subscriptions.size;
  }

  /** What new connections are refused with, once a drain or close has begun. */
  get closing(): RefusalCode | null {
    return this.#closing;
  }

  /**
   * A session whose user's subscription is live; it holds what arrives until it is started.
   * @throws Refusal
   */
  async open(opening: SessionOpening): Promise<Session> {
    this.#admit(opening);
    const subscription = this.#subscriptions.acquire(opening.userId);
    try {
      await subscription.opened();
      this.#checkUser(subscription);
      const session = new Session(this.#context, subscription.audience, opening);
      subscription.audience.enter(session);
      return session;
    } catch (cause) {
      this.#discharge(opening.address, subscription);
      if (cause instanceof Refusal) throw cause;
      if (this.#closing) throw new Refusal(this.#closing);
      this.#context.onError('subscribe', cause);
      throw new Refusal('broker_unavailable', "the user's stream cannot be read now; try again later");
    }
  }

  /** Ends all sessions, spread out, and resolves when the last has gone, or when `withinMs` have passed and it was cut. */
  async drain(withinMs: number): Promise<void> {
    this.#closing ??= 'restarting';
    const sessions = [...this.#sessions()];
    const spreadMs = Math.min(withinMs * 0.8, sessions.length / DRAINED_PER_MS);
    for (const session of sessions) {
      if (spreadMs < 1) session.end('restarting');
      else setTimer(() => session.end('restarting'), Math.random() * spreadMs);
    }
    await this.#empty(withinMs);
  }

  /** Ends all sessions at once. */
  async close(): Promise<void> {
    this.#closing ??= 'going_away';
    for (const session of this.#sessions()) session.end('going_away');
    await this.#empty(1_000);
    this.#subscriptions.close();
  }

  *#sessions(): Iterable<Session> {
    for (const subscription of this.#subscriptions.values()) yield* subscription.audience.sessions;
  }

  #empty(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimer(() => {
        for (const session of this.#sessions()) session.hung();
        resolve();
      }, withinMs);
      this.#whenEmpty.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#tellWhenEmpty();
    });
  }

  #admit({ address }: SessionOpening): void {
    if (this.#closing) throw new Refusal(this.#closing);
    const { maxConnections, maxConnectionsPerAddress } = this.#context.limits;
    if (maxConnections > 0 && this.#admitted >= maxConnections) {
      throw new Refusal('overloaded', 'this process holds all the connections that it may; try again later');
    }
    if (maxConnectionsPerAddress > 0) {
      const here = this.#addresses.get(address) ?? 0;
      if (here >= maxConnectionsPerAddress) {
        throw new Refusal('too_many_connections', `at most ${maxConnectionsPerAddress} connections per client address`);
      }
      this.#addresses.set(address, here + 1);
    }
    this.#admitted++;
    this.#context.stats.sessions = this.#admitted;
  }

  #checkUser(subscription: Subscription<UserSessions>): void {
    const { maxConnectionsPerUser } = this.#context.limits;
    if (maxConnectionsPerUser > 0 && subscription.audience.sessions.length >= maxConnectionsPerUser) {
      throw new Refusal(
        'too_many_connections',
        `at most ${maxConnectionsPerUser} connections per user; close one first`,
      );
    }
    if (this.#closing) throw new Refusal(this.#closing);
  }

  #left(session: Session, subscription: Subscription<UserSessions>): void {
    this.#discharge(session.address, subscription);
  }

  #discharge(address: string, subscription: Subscription<UserSessions>): void {
    this.#subscriptions.release(subscription);
    this.#context.stats.sessions = --this.#admitted;
    const here = this.#addresses.get(address);
    if (here === 1) this.#addresses.delete(address);
    else if (here !== undefined) this.#addresses.set(address, here - 1);
    this.#tellWhenEmpty();
  }

  #tellWhenEmpty(): void {
    if (this.#admitted > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}
