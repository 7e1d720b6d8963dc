// One long poll: reads after the cursor, waits for something to happen where there is nothing, reads again. Nothing is
// kept between two polls; the cursor is all the state there is.

import { setImmediate as turnEnd } from 'node:timers/promises';
import type { Identity } from '../auth/token-verifier.ts';
import type { DisconnectMark, Publication, StreamSlice } from '../broker/broker.ts';
import { disproof } from '../broker/contiguity.ts';
import { withCursor } from '../protocol/codec.ts';
import { encodeCursor, type Position } from '../protocol/cursor.ts';
import { Refusal } from '../protocol/refusals.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import { monotonicMs, setTimer } from '../timers.ts';
import type { Member, UserSessions } from './user-sessions.ts';

/** What a poll asks for. */
export interface PollOpening {
  readonly userId: string;
  readonly address: string;
  /** When the handshake began, in `performance.now()`. */
  readonly startedMs: number;
  readonly identity: Identity;
  /** The position that the client presented; null for none. */
  readonly cursor: Position | 'unreadable' | null;
  /** Milliseconds to wait for a message where there is none yet. */
  readonly waitMs: number;
  /** At most so many messages. */
  readonly limit: number;
  /** Bytes of messages in one answer; the first message fits whatever its size. */
  readonly maxBytes: number;
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
  /** Volatile messages that came while it waited; they are for whoever has seen everything before. */
  readonly #whispers: string[] = [];
  #isWaiting = false;
  /** Something may have come since the last read was asked for. */
  #isStirred = false;
  #end: 'answer' | 'refuse' | null = null;
  #wake: () => void = () => {};

  constructor(room: UserSessions, opening: PollOpening) {
    this.#room = room;
    this.#opening = opening;
    this.address = opening.address;
  }

  /** @throws Refusal `disconnected`; rejects as the broker does. */
  async answer(): Promise<PollAnswer> {
    const { cursor, signal } = this.#opening;
    if (cursor === null || cursor === 'unreadable') {
      const { top } = await this.#read(null, 0);
      return nothing(top, cursor && 'epoch');
    }
    const leave = (): void => this.end();
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    try {
      return await this.#answerAfter(cursor);
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
    if (!this.#isWaiting) return;
    this.#whispers.push(payload);
    this.#stir();
  }

  mark(mark: DisconnectMark): void {
    if (mark.sessionId === undefined) this.#finish('refuse');
  }

  /** Answers at once, with what there is. */
  end(): void {
    this.#finish('answer');
  }

  hung(): void {
    this.end();
  }

  async #answerAfter(cursor: Position): Promise<PollAnswer> {
    const { limit, waitMs, identity } = this.#opening;
    const tokenMs = (identity.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
    const untilMs = monotonicMs() + Math.min(waitMs, tokenMs);
    do {
      this.#isStirred = false;
      const slice = await this.#read(cursor, limit);
      const reset = disproof(cursor, slice);
      if (reset) return nothing(slice.top, reset);
      if (slice.entries.length > 0 || this.#whispers.length > 0) return this.#found(cursor, slice.entries);
      this.#isWaiting = true;
      await this.#sleep(untilMs);
    } while (this.#isStirred);
    return nothing(cursor, null);
  }

  async #read(after: Position | null, limit: number): Promise<StreamSlice> {
    const slice = await this.#room.read(after, limit);
    this.#checkDisconnected();
    return slice;
  }

  /** Until something comes, the poll is ended or the time is up. What comes in one turn of the event loop comes together. */
  async #sleep(untilMs: number): Promise<void> {
    if (!this.#isStirred && !this.#end) {
      await new Promise<void>((resolve) => {
        const timer = setTimer(resolve, untilMs - monotonicMs());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#isStirred) await turnEnd();
    this.#checkDisconnected();
  }

  /** As much as may go into one answer; its cursor is that of the last stored message in it. */
  #found(cursor: Position, entries: readonly Publication[]): PollAnswer {
    const { limit, maxBytes } = this.#opening;
    const messages: string[] = [];
    let last = cursor;
    let bytes = 0;
    const fits = (text: string): boolean => {
      bytes += Buffer.byteLength(text);
      if (messages.length > 0 && (bytes > maxBytes || messages.length >= limit)) return false;
      messages.push(text);
      return true;
    };
    const stored = entries.every((entry) => {
      const isIn = fits(withCursor(entry.payload, encodeCursor(entry), entry.unread));
      if (isIn) last = entry;
      return isIn;
    });
    if (stored) this.#whispers.every(fits);
    return { messages, cursor: encodeCursor(last), reset: null };
  }

  #checkDisconnected(): void {
    if (this.#end === 'refuse') throw new Refusal('disconnected');
  }

  #stir(): void {
    this.#isStirred = true;
    this.#wake();
  }

  #finish(end: 'answer' | 'refuse'): void {
    if (this.#end !== 'refuse') this.#end = end;
    this.#wake();
  }
}

function nothing(position: Position, reset: ResetReason | null): PollAnswer {
  return { messages: [], cursor: encodeCursor(position), reset };
}
