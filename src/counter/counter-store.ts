// The CounterStore contract: unread counts beside a broker that keeps none, or instead of its own. The publisher calls it
// after the append, so every call names the position that it is about.

import type { Position } from '../protocol/cursor.ts';

/** One recipient of a message that counts. */
export interface Counted {
  readonly userId: string;
  readonly boxId: string;
  /** The message's id: counted once per (user, id) within the store's window. */
  readonly id: string;
  readonly position: Position;
}

/** Keeps unread counts. Every method may reject; callers put a deadline on each call. */
export interface CounterStore {
  /** Adds 1 for each; those counted before are left alone. */
  increment(counted: readonly Counted[]): Promise<void>;
  /** Takes away what was counted up to this position; what was counted after it stays. */
  reset(userId: string, boxId: string, upTo: Position): Promise<void>;
  /**
   * The user's boxes with a count above 0: of now, or with `upTo` without what was counted at a later offset of the same
   * epoch. A store keeps a number of each box's newest positions one by one, 128 or so; where more than these lie after
   * `upTo`, the oldest of them are counted all the same. What an ack took away is not given back.
   */
  counts(userId: string, upTo?: Position): Promise<Record<string, number>>;
  /** Erases the user's counts. */
  forget(userId: string): Promise<void>;
  close(): Promise<void>;
}
