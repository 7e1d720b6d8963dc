// One user's sessions on this process: the audience of the user's subscription.

import type { DisconnectMark, Publication, StreamSlice } from '../broker/broker.ts';
import type { Audience, ResetReason, Subscription } from '../broker/subscriptions.ts';
import type { Position } from '../protocol/cursor.ts';
import type { SessionContext } from './context.ts';
import type { Session } from './session.ts';

const NOBODY: readonly Session[] = Object.freeze([]);

export class UserSessions implements Audience {
  /** Never changed in place: a session may leave while a message is on its way to all. */
  sessions: readonly Session[] = NOBODY;
  readonly #context: SessionContext;
  readonly #subscription: Subscription<UserSessions>;

  constructor(context: SessionContext, subscription: Subscription<UserSessions>) {
    this.#context = context;
    this.#subscription = subscription;
  }

  enter(session: Session): void {
    this.sessions = [...this.sessions, session];
  }

  leave(session: Session): void {
    const rest = this.sessions.filter((other) => other !== session);
    this.sessions = rest.length === 0 ? NOBODY : rest;
    this.#context.left(session, this.#subscription);
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

  advance(): Promise<void> {
    return this.#subscription.advance();
  }

  read(after: Position): Promise<StreamSlice> {
    return this.#subscription.read(after);
  }

  deliver(publication: Publication): void {
    const sessions = this.sessions;
    for (let i = 0; i < sessions.length; i++) sessions[i]!.deliver(publication);
  }

  whisper(payload: string): void {
    for (const session of this.sessions) session.whisper(payload);
  }

  mark(mark: DisconnectMark): void {
    this.#context.forgetTokens(this.#subscription.userId);
    for (const session of this.sessions) session.mark(mark);
  }

  reset(reason: ResetReason): void {
    for (const session of this.sessions) session.reset(reason);
  }
}
