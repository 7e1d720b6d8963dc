// One long poll: reads after the cursor, waits for something to happen where there is nothing, reads again. Nothing is
// kept between two polls; the cursor is all the state there is.

import type { Identity } from '../auth/token-verifier.ts';
import type { DisconnectMark } from '../broker/broker.ts';
import { disproof } from '../broker/subscriptions.ts';
import { withCursor } from '../protocol/codec.ts';
import { encodeCursor, type Position } from '../protocol/cursor.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import { monotonicMs, setTimer } from '../timers.ts';
import type { Member, UserSessions } from './user-sessions.ts';

/** What a poll asks for. */
export interface PollOpening {
  readonly userId: string;
  readonly address: string;
  readonly identity: Identity;
  /** The position that the client presented; null for none. */
  readonly cursor: Position | 'unreadable' | null;
  /** Milliseconds to wait for a message where there is none yet. */
  readonly waitMs: number;
  /** At most so many messages. */
  readonly limit: number;
  /** Aborts when the client left. */
  readonly signal: AbortSignal;
}

/** The answer to a poll. */
export interface PollAnswer {
  /** As JSON texts. */
  readonly messages: readonly string[];
  readonly cursor: string;
  readonly reset: ResetReason | null;
}

export class Poll implements Member {
  readonly address: string;
  readonly #room: UserSessions;
  readonly #opening: PollOpening;
  /** Volatile messages that came while there was nothing else. */
  readonly #whispers: string[] = [];
  #happened = false;
  #wake: () => void = () => {};
  /** Answers with what there is, or is refused. */
  #end: RefusalCode | 'answer' | null = null;

  constructor(room: UserSessions, opening: PollOpening) {
    this.#room = room;
    this.#opening = opening;
    this.address = opening.address;
  }

  /** @throws Refusal when the user is disconnected meanwhile; rejects as the broker does. */
  async answer(): Promise<PollAnswer> {
    const { cursor, limit, waitMs, identity, signal } = this.#opening;
    const { expiresAt } = identity;
    if (cursor === null || cursor === 'unreadable') {
      const { top } = await this.#room.read(null, 0);
      return { messages: [], cursor: encodeCursor(top), reset: cursor && 'epoch' };
    }
    const tokenMs = expiresAt === undefined ? waitMs : expiresAt - Date.now();
    const untilMs = monotonicMs() + Math.min(waitMs, tokenMs);
    const leave = (): void => this.#finish('answer');
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await this.#wait(cursor, limit, untilMs);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  deliver(): void {
    this.#stir();
  }

  jumped(): void {
    this.#stir();
  }

  whisper(payload: string): void {
    this.#whispers.push(payload);
    this.#stir();
  }

  mark(mark: DisconnectMark): void {
    if (mark.sessionId === undefined) this.#finish('disconnected');
  }

  end(): void {
    this.#finish('answer');
  }

  hung(): void {
    this.#finish('answer');
  }

  async #wait(cursor: Position, limit: number, untilMs: number): Promise<PollAnswer> {
    for (;;) {
      this.#happened = false;
      const slice = await this.#room.read(cursor, limit);
      if (this.#end && this.#end !== 'answer') throw new Refusal(this.#end);
      const reset = disproof(cursor, slice);
      if (reset) return { messages: [], cursor: encodeCursor(slice.top), reset };
      const { entries } = slice;
      if (entries.length > 0 || this.#whispers.length > 0 || this.#end || monotonicMs() >= untilMs) {
        const stored = entries.map((entry) => withCursor(entry.payload, encodeCursor(entry), entry.unread));
        return { messages: [...stored, ...this.#whispers], cursor: encodeCursor(entries.at(-1) ?? cursor), reset: null };
      }
      await this.#sleep(untilMs);
    }
  }

  /** Until something happens, or the time is up. What comes in the same turn of the event loop comes together. */
  async #sleep(untilMs: number): Promise<void> {
    if (!this.#happened && !this.#end) {
      await new Promise<void>((resolve) => {
        const timer = setTimer(resolve, untilMs - monotonicMs());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  #stir(): void {
    this.#happened = true;
    this.#wake();
  }

  #finish(end: RefusalCode | 'answer'): void {
    this.#end ??= end;
    this.#stir();
  }
}
