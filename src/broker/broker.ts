// The Broker contract: keeps each user's stream and carries publications between processes. The publisher appends,
// subscriptions follow. `memory-broker.ts` beside this file is the reference.

import type { Position } from '../protocol/cursor.ts';

/** A stored message on its way to one user's sessions. */
export interface Publication extends Position {
  /** The tag of the entry before this one in the stream. */
  readonly previousTag: string;
  /** The message as it goes to plain clients: `{"type":…,"object":…}`. */
  readonly payload: string;
  /** Whether it counted as unread for this user. */
  readonly unread: boolean;
}

/** One form of a message, and who gets it. No user id stands twice in one message. */
export interface Delivery {
  readonly payload: string;
  /** Adds 1 to this box's count of each recipient, in the step that appends. */
  readonly unread?: { readonly boxId: string };
  /** Sets this box's count of each recipient to 0, in the step that appends. */
  readonly ack?: { readonly boxId: string };
  readonly userIds: readonly string[];
}

/** What `publish` is given: one message in all its forms. */
export interface BrokerMessage {
  /** Deduplicates per recipient within the broker's window; without it, nothing is remembered. */
  readonly id?: string;
  /** Marks the entries; random, made anew for each call. */
  readonly tag: string;
  readonly deliveries: readonly Delivery[];
}

/** What `publish` resolves with. */
export interface PublishResult {
  /** One for each recipient, in the order of the deliveries: where the message stands, or why it does not. */
  readonly appended: readonly (Position | Error)[];
  /** How many of the recipients had the message already; their positions are those of the first time. */
  readonly duplicates: number;
}

/** Whom a disconnect is aimed at: all of the user's sessions, or one. */
export interface DisconnectTarget {
  readonly sessionId?: string;
  /** Told to the client as the close reason. */
  readonly reason?: string;
}

/** A stored disconnect. `number` grows with each mark of the user. */
export interface DisconnectMark extends DisconnectTarget {
  readonly number: number;
}

/** Where a user's stream and marks stand. */
export interface StreamTop extends Position {
  /** The number of the user's newest mark, 0 when there is none. */
  readonly markNumber: number;
}

/** What one atomic look at a user's stream saw. */
export interface StreamSlice {
  /** The newest entry's position, or the origin of an empty stream. */
  readonly top: Position;
  /** The oldest entries after the position asked for, at most `limit`; all that is kept when the position is unknown. */
  readonly entries: readonly Publication[];
  /** The counts as of `top`, where the broker keeps them. */
  readonly counts?: Readonly<Record<string, number>>;
  /** The number of the user's newest mark, 0 when there is none. */
  readonly markNumber: number;
  /** The marks still kept, oldest first. */
  readonly marks: readonly DisconnectMark[];
  /**
   * Milliseconds since the newest mark for all of the user's sessions was stored, by the broker's clock; absent where
   * none is kept. A session whose handshake began before that does not open.
   */
  readonly markAgeMs?: number;
}

/**
 * Receives what a user's stream carries, in stream order. Where the broker is not `reliable`, a publication may be lost, or
 * come twice or out of turn, as long as its `previousTag` is not the tag of an entry that it does not follow. Never throws.
 */
export interface StreamListener {
  publication(publication: Publication): void;
  /** A volatile message: outside of the stream. */
  whisper(payload: string): void;
  mark(mark: DisconnectMark): void;
}

/** Where the broker's connection stands. */
export type BrokerStatus = 'connecting' | 'ready' | 'lost';

/** Takes back what returned it; calling it again does nothing. */
export type Unsubscribe = () => void;

/**
 * Keeps one ordered stream per user. Recipients are independent: a failure of one is told in its place, not spread.
 * Every method may reject; callers put a deadline on each call.
 */
export interface Broker {
  /** Appends to each recipient's stream, moves its counts and sends it on: one atomic step per recipient, idempotent per (recipient, id). */
  publish(message: BrokerMessage): Promise<PublishResult>;
  /** Live publications in stream order; resolves when live. */
  subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe>;
  /** Reads the stream after a position (`null`: after its top, so no entries) in one atomic step. */
  read(userId: string, after: Position | null, limit: number): Promise<StreamSlice>;
  /** Where each stream stands, for checks of at most 500 users whether a subscriber has missed something. */
  tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>>;
  /** Sends to whoever is subscribed now, and stores nothing. */
  whisper(userIds: readonly string[], payload: string): Promise<void>;
  /** Those of the users who have a subscriber anywhere; may lag by seconds. */
  online(userIds: readonly string[]): Promise<Set<string>>;
  /** Stores a disconnect mark, then sends it. */
  mark(userId: string, target: DisconnectTarget): Promise<void>;
  /** Erases the user's stream and counts. */
  forget(userId: string): Promise<void>;
  /** The counts that `publish` moves, where the broker keeps any. */
  readonly counters?: { counts(userId: string): Promise<Record<string, number>> };
  /** Nothing can get lost between `publish` and this process's subscribers: positions need no checks. Absent: it can. */
  readonly reliable?: true;
  readonly status: BrokerStatus;
  /** Why the status is not `ready`, for the `error` event of a broker that stays away. Absent or null: it does not know. */
  readonly outage?: Error | null;
  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe;
  close(): Promise<void>;
}
