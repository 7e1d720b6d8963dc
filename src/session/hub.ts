// This process's sessions: admits them within the limits, subscribes for their users, and ends them all in a drain.

import type { Broker } from '../broker/broker.ts';
import { type Subscription, Subscriptions, type SubscriptionTimes } from '../broker/subscriptions.ts';
import { checkKeys, wrongOption } from '../option-checks.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { setTimer } from '../timers.ts';
import type { SessionContext } from './context.ts';
import type { HeartbeatTimes } from './heartbeat.ts';
import { Poll, type PollAnswer, type PollOpening } from './poll.ts';
import { Session, type SessionOpening } from './session.ts';
import { type Member, UserSessions } from './user-sessions.ts';

/** What the hub is made with: all that sessions share, but for what the hub itself does for them. */
export interface HubContext extends Omit<SessionContext, 'left' | 'heartbeatTimes'> {
  readonly subscriptions: SubscriptionTimes;
}

/** What `drain` takes. */
export interface DrainOptions {
  /** Milliseconds after which sessions that have not closed are cut. Default 10 000. */
  readonly withinMs?: number;
}

const DRAIN_MS = 10_000;

/** @throws TypeError for anything but a number of milliseconds. */
export function drainMs(options: DrainOptions): number {
  const { withinMs = DRAIN_MS } = checkKeys('drain options', options, ['withinMs']);
  if (typeof withinMs === 'number' && withinMs >= 0) return withinMs;
  return wrongOption('withinMs', 'a number of at least 0', withinMs);
}

/** While draining, sessions end at most this fast, so that their clients do not all come back at once. */
const DRAINED_PER_MS = 1;
/** A client is warned so long before its token ends. */
const WARN_MS = 60_000;

export class Hub {
  readonly #context: SessionContext;
  readonly #subscriptions: Subscriptions<UserSessions>;
  /** Sessions by client address, counted only where there is a limit. */
  readonly #addresses = new Map<string, number>();
  #admitted = 0;
  #closing: RefusalCode | null = null;
  #whenEmpty: (() => void)[] = [];

  constructor(broker: Broker, context: HubContext) {
    const { wheel, onError, limits, heartbeat, subscriptions } = context;
    const times = timesOf(heartbeat.intervalMs, heartbeat.pingMs);
    this.#context = {
      ...context,
      left: (member, subscription) => this.#discharge(member.address, subscription),
      heartbeatTimes: (kind, isTold) =>
        times[kind === 'websocket' && !isTold ? 'plain' : kind === 'sse' ? 'sse' : 'v1'],
    };
    this.#subscriptions = new Subscriptions(
      { broker, wheel, onError, deadlineMs: limits.deadlineMs, times: subscriptions },
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
    const { member: session } = await this.#enter(opening, (room) => new Session(this.#context, room, opening));
    try {
      if (opening.isTold || opening.cursor) await session.prepare(opening.cursor);
      return session;
    } catch (cause) {
      session.closed(1006, '');
      throw this.#refusal(cause);
    }
  }

  /**
   * Answers a long poll.
   * @throws Refusal
   */
  async poll(opening: PollOpening): Promise<PollAnswer> {
    const { room, member: poll } = await this.#enter(opening, (entered) => new Poll(entered, opening));
    try {
      return await poll.answer();
    } catch (cause) {
      throw this.#refusal(cause);
    } finally {
      room.leave(poll);
    }
  }

  /** Admits a member of the user, and subscribes for the first. @throws Refusal */
  async #enter<M extends Member>(
    { userId, address, startedMs }: Pick<SessionOpening, 'userId' | 'address' | 'startedMs'>,
    memberOf: (room: UserSessions) => M,
  ): Promise<{ readonly room: UserSessions; readonly member: M }> {
    this.#admit(address);
    const subscription = this.#subscriptions.acquire(userId);
    const { audience: room } = subscription;
    const { disconnects } = room;
    try {
      this.#checkUser(subscription);
      await subscription.opened();
      if (this.#closing) throw new Refusal(this.#closing);
      // Whoever was being verified meanwhile was disconnected as well, heard of here or read.
      const isDisconnected = room.disconnects !== disconnects || subscription.disconnectedMs > startedMs;
      if (isDisconnected) throw new Refusal('disconnected');
      const member = memberOf(room);
      room.enter(member);
      return { room, member };
    } catch (cause) {
      this.#discharge(address, subscription);
      throw this.#refusal(cause);
    }
  }

  #refusal(cause: unknown): Refusal {
    if (cause instanceof Refusal) return cause;
    if (this.#closing) return new Refusal(this.#closing);
    this.#context.onError('subscribe', cause);
    return new Refusal('broker_unavailable', "the user's stream cannot be read now; try again later");
  }

  /** Ends all sessions, spread out, and resolves when the last has gone, or when `withinMs` have passed and it was cut. */
  async drain(withinMs: number): Promise<void> {
    this.#closing ??= 'restarting';
    const members = [...this.#members()];
    const spreadMs = Math.min(withinMs * 0.8, members.length / DRAINED_PER_MS);
    for (const member of members) {
      if (spreadMs < 1 || member instanceof Poll) member.end('restarting');
      else setTimer(() => member.end('restarting'), Math.random() * spreadMs);
    }
    await this.#empty(withinMs);
  }

  /** Ends all sessions at once. */
  async close(): Promise<void> {
    this.#closing ??= 'going_away';
    for (const member of this.#members()) member.end('going_away');
    await this.#empty(1_000);
    this.#subscriptions.close();
  }

  *#members(): Iterable<Member> {
    for (const subscription of this.#subscriptions.values()) yield* subscription.audience.members;
  }

  #empty(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimer(() => {
        for (const member of this.#members()) member.hung();
        resolve();
      }, withinMs);
      this.#whenEmpty.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#tellWhenEmpty();
    });
  }

  #admit(address: string): void {
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

  /** Those that are still opening count as well. */
  #checkUser({ holders }: Subscription<UserSessions>): void {
    const { maxConnectionsPerUser } = this.#context.limits;
    if (maxConnectionsPerUser > 0 && holders > maxConnectionsPerUser) {
      throw new Refusal(
        'too_many_connections',
        `at most ${maxConnectionsPerUser} connections per user; close one first`,
      );
    }
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

/** What each kind of session's heartbeat goes by. A response that only writes cannot be asked for a sign of life. */
function timesOf(intervalMs: number, quietMs: number): Readonly<Record<'plain' | 'v1' | 'sse', HeartbeatTimes>> {
  return {
    plain: { intervalMs, quietMs: 0, warnMs: 0 },
    v1: { intervalMs, quietMs, warnMs: WARN_MS },
    sse: { intervalMs: 0, quietMs, warnMs: WARN_MS },
  };
}
