// How one session follows its user's stream: live, or catching up from history to where live messages are held back. A
// session is at its subscription's position or on the way there, nothing else.

import type { Publication, StreamSlice } from '../broker/broker.ts';
import { disproof, follows } from '../broker/contiguity.ts';
import { Hold } from '../broker/hold.ts';
import type { Position } from '../protocol/cursor.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import { setTimer } from '../timers.ts';
import type { UserSessions } from './user-sessions.ts';

/** Where a session stands, for its whole life. */
export type State = 'opening' | 'live' | 'lagging' | 'catching-up' | 'closing' | 'closed';

/**
 * ```
 * opening ──▶ live ◀──▶ lagging
 *    │  │     ▲  │         │
 *    │  ▼     │  ▼         ▼
 *    │  catching-up ◀──────┘
 *    ▼         ▼
 *   closing ──▶ closed          from every state
 * ```
 */
const EDGES: Readonly<Record<State, readonly State[]>> = {
  opening: ['live', 'lagging', 'catching-up', 'closing', 'closed'],
  live: ['lagging', 'catching-up', 'closing', 'closed'],
  lagging: ['catching-up', 'closing', 'closed'],
  'catching-up': ['live', 'lagging', 'closing', 'closed'],
  closing: ['closed'],
  closed: [],
};

const RETRY_MS = 1_000;

export abstract class Follower {
  protected readonly room: UserSessions;
  #state: State = 'opening';
  /** Where the session stands while it is not live; live, it stands where its subscription does. */
  #position: Position | null;
  /** Takes what arrives while the session opens or catches up; not there at any other time, for most sessions are live. */
  #hold: Hold | null = new Hold();
  /** Why the session cannot go on from its position; told with the next read. */
  #lost: ResetReason | null = null;
  /** Where the client was told that its replay ends; null once it is there. A broker that came back older never gets there. */
  #head: Position | null = null;

  /** It holds what arrives from now on. */
  constructor(room: UserSessions) {
    this.room = room;
    this.#position = room.position();
  }

  get state(): State {
    return this.#state;
  }

  /** Sends a stored message. False, and nothing is sent, where the client's side has no room for it. */
  protected abstract send(publication: Publication): boolean;
  /** There is no room: live messages are left aside until `catchUp`. `isNews`: it was live, or opening, until now. */
  protected abstract lags(isNews: boolean): void;
  /** Tells that what lies before the slice's top may be incomplete. False where it ended the session, or had no room. */
  protected abstract reset(reason: ResetReason, slice: StreamSlice): Promise<boolean>;
  protected abstract readFailed(cause: unknown): void;

  /** The next message of the user's stream. */
  deliver(publication: Publication): void {
    if (this.#state === 'live') {
      if (!this.send(publication)) this.#lag(this.room.position());
    } else this.#hold?.add(publication);
  }

  /** The subscription moved without proof that nothing lies in between. */
  jumped(reason: ResetReason): void {
    if (this.#state === 'live') {
      this.#position = this.room.position();
      this.#lost = reason;
      void this.#catchUp();
    } else if (this.#hold) this.#hold.overflowed = true;
  }

  /**
   * Begins to follow from `position`, with what a read found after it; null: from where the subscription was. `head`: the
   * top that this read saw, where the client was told of it.
   */
  protected follow(position: Position | null, entries: readonly Publication[], head: Position | null): void {
    this.#position = position ?? this.#position;
    if (head?.tag !== position?.tag) this.#head = head;
    if (this.#sendAll(entries)) this.#joinOrRead();
  }

  protected catchUp(): void {
    if (this.#state === 'lagging') void this.#catchUp();
  }

  protected become(next: State): void {
    if (!EDGES[this.#state].includes(next)) throw new Error(`a session cannot go from ${this.#state} to ${next}`);
    this.#state = next;
    if (next === 'closing' || next === 'closed') this.#hold = null;
  }

  #lag(position: Position): void {
    const isNews = this.#state !== 'catching-up';
    this.become('lagging');
    this.#position = position;
    this.#hold = null;
    this.lags(isNews);
  }

  /** False where there was no room for all: the session lags from there. */
  #sendAll(publications: readonly Publication[]): boolean {
    for (const publication of publications) {
      if (!follows(this.#position!, publication)) continue;
      if (!this.send(publication)) {
        this.#lag(this.#position!);
        return false;
      }
      this.#position = publication;
      if (publication.tag === this.#head?.tag) this.#head = null;
    }
    return true;
  }

  /** Sends what was held. Live when that reaches the subscription's position, else history is read from here. */
  #joinOrRead(): void {
    const { held, overflowed } = this.#hold!;
    if (!overflowed && !this.#sendAll(held)) return;
    if (!overflowed && !this.#head && this.room.isAt(this.#position!)) {
      this.become('live');
      this.#position = this.#hold = null;
    } else void this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    const hasLagged = this.#state === 'lagging';
    if (this.#state !== 'catching-up') this.become('catching-up');
    this.#hold = new Hold();
    try {
      const from = this.#position!;
      const slice = await this.room.read(from);
      if (this.#state !== 'catching-up') return;
      const disproved = this.#lost ?? disproof(from, slice) ?? (this.#isHeadGone(slice) ? 'rollback' : null);
      if (disproved) {
        this.#lost = disproved === 'trimmed' && hasLagged ? 'lagging' : disproved;
        const isTold = await this.reset(this.#lost, slice);
        if (this.#state !== 'catching-up') return;
        if (!isTold) {
          this.#lag(from);
          return;
        }
        this.#lost = this.#head = null;
        this.#position = slice.top;
      } else if (!this.#sendAll(slice.entries)) return;
      if (this.#isApart(slice)) {
        await this.room.advance();
        if (this.#state !== 'catching-up') return;
        if (this.#isApart(slice)) {
          this.#catchUpLater();
          return;
        }
      }
      this.#joinOrRead();
    } catch (cause) {
      if (this.#state !== 'catching-up') return;
      this.readFailed(cause);
      this.#catchUpLater();
    }
  }

  #isHeadGone({ top, entries }: StreamSlice): boolean {
    const head = this.#head;
    if (!head) return false;
    const there = entries.find(({ offset }) => offset >= head.offset);
    return there ? there.tag !== head.tag : top.offset < head.offset;
  }

  /**
   * At the stream's top, and yet not where the subscription is: the broker's answers may overtake its live messages, and
   * a broker may have come back with an older stream. The subscription has to look for itself.
   */
  #isApart({ top }: StreamSlice): boolean {
    const position = this.#position!;
    return this.#hold!.isEmpty && position.offset >= top.offset && !this.room.isAt(position);
  }

  #catchUpLater(): void {
    const again = (): void => {
      if (this.#state === 'catching-up') void this.#catchUp();
    };
    setTimer(again, RETRY_MS * (0.5 + Math.random()));
  }
}
