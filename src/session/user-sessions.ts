// One user's sessions and polls on this process: the audience of the user's subscription.

import type { DisconnectMark, Publication, StreamSlice } from '../broker/broker.ts';
import type { Audience, Subscription } from '../broker/subscriptions.ts';
import type { Position } from '../protocol/cursor.ts';
import type { RefusalCode } from '../protocol/refusals.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import type { SessionContext } from './context.ts';

/** A session or a poll, as its user's subscription and the hub see it. */
export interface Member {
  readonly address: string;
  deliver(publication: Publication): void;
  whisper(payload: string): void;
  mark(mark: DisconnectMark): void;
  /** The subscription moved without proof that nothing lies in between. */
  jumped(reason: ResetReason): void;
  end(why: RefusalCode): void;
  /** It was ended and is still there. */
  hung(): void;
}

const NOBODY: readonly Member[] = Object.freeze([]);

export class UserSessions implements Audience {
  /** Never changed in place: a member may leave while a message is on its way to all. */
  members: readonly Member[] = NOBODY;
  /** How often all of the user's sessions were disconnected: a member that was not here yet is told by it. */
  disconnects = 0;
  readonly #context: SessionContext;
  readonly #subscription: Subscription<UserSessions>;

  constructor(context: SessionContext, subscription: Subscription<UserSessions>) {
    this.#context = context;
    this.#subscription = subscription;
  }

  enter(member: Member): void {
    this.members = [...this.members, member];
  }

  leave(member: Member): void {
    const rest = this.members.filter((other) => other !== member);
    this.members = rest.length === 0 ? NOBODY : rest;
    this.#context.left(member, this.#subscription);
  }

  /** A copy of where the subscription stands. */
  position(): Position {
    const { epoch, offset, tag } = this.#subscription;
    return { epoch, offset, tag };
  }

  isAt(position: Position): boolean {
    const { epoch, offset, tag } = this.#subscription;
    return position.offset === offset && position.tag === tag && position.epoch === epoch;
  }

  /** Has the subscription look for itself whether it has missed something. */
  advance(): Promise<void> {
    return this.#subscription.advance();
  }

  read(after: Position | null, limit?: number): Promise<StreamSlice> {
    return this.#subscription.read(after, limit);
  }

  deliver(publication: Publication): void {
    const { members } = this;
    for (let i = 0; i < members.length; i++) members[i]!.deliver(publication);
  }

  whisper(payload: string): void {
    for (const member of this.members) member.whisper(payload);
  }

  mark(mark: DisconnectMark): void {
    this.#context.forgetTokens(this.#subscription.userId);
    if (mark.sessionId === undefined) this.disconnects++;
    for (const member of this.members) member.mark(mark);
  }

  reset(reason: ResetReason): void {
    for (const member of this.members) member.jumped(reason);
  }
}
