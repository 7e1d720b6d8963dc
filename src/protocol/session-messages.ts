// The messages of `usercast.v1` that are about the session itself: never stored, without a cursor of their own.

import { encodeMessage } from './codec.ts';
import { encodeCursor, type Position } from './cursor.ts';
import { PING } from './event-types.ts';

/** Why a position could not be carried on from. */
export type ResetReason = 'trimmed' | 'epoch' | 'rollback' | 'too_many' | 'lagging';

/** The object of `session.ready`: always the first message. */
export interface SessionReady {
  readonly session_id: string;
  /** Whether the cursor that was presented is carried on from. */
  readonly resumed: boolean;
  /** Why it is not; absent where none was presented. */
  readonly reset?: ResetReason;
  /** Where replay starts. */
  readonly cursor: string;
  /** Where replay ends. */
  readonly head: string;
  /** The unread counts as of `head`. */
  readonly counts: Readonly<Record<string, number>>;
  /** Milliseconds of silence after which `session.ping` comes. */
  readonly ping_ms: number;
  /** When the token ends, RFC 3339. */
  readonly expires_at: string | null;
}

/** The object of `session.reset`: reload state, then go on from this cursor. */
export interface SessionReset {
  readonly reason: ResetReason;
  readonly cursor: string;
  readonly counts: Readonly<Record<string, number>>;
}

/** The object of `session.closing`: the server is about to close. */
export interface SessionClosing {
  /** The close code that follows. */
  readonly code: number;
  readonly reason: string;
  /** Milliseconds to wait before coming back. */
  readonly retry_ms: number;
}

/** Where a session starts, as `readyPayload` takes it. */
export interface ReadyParts {
  readonly sessionId: string;
  readonly resumed: boolean;
  readonly reset: ResetReason | null;
  readonly position: Position;
  readonly head: Position;
  readonly counts: Readonly<Record<string, number>>;
  readonly pingMs: number;
  readonly expiresAt: number | undefined;
}

/** RFC 3339, or null for never. */
function time(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : new Date(epochMs).toISOString();
}

export function readyPayload(parts: ReadyParts): string {
  const { sessionId, resumed, reset, position, head, counts, pingMs, expiresAt } = parts;
  return encodeMessage('session.ready', {
    session_id: sessionId,
    resumed,
    ...(reset && { reset }),
    cursor: encodeCursor(position),
    head: encodeCursor(head),
    counts,
    ping_ms: pingMs,
    expires_at: time(expiresAt),
  } satisfies SessionReady);
}

export function resetPayload(
  reason: ResetReason,
  position: Position,
  counts: Readonly<Record<string, number>>,
): string {
  return encodeMessage('session.reset', { reason, cursor: encodeCursor(position), counts } satisfies SessionReset);
}

export function closingPayload(code: number, reason: string, retryMs: number): string {
  return encodeMessage('session.closing', { code, reason, retry_ms: retryMs } satisfies SessionClosing);
}

/** `session.expiring` and `session.refreshed`. */
export function expiryPayload(type: 'session.expiring' | 'session.refreshed', expiresAt: number | undefined): string {
  return encodeMessage(type, { expires_at: time(expiresAt) });
}

/** Sent when nothing else was for a while. */
export const PING_PAYLOAD = encodeMessage(PING, {});

/** The answer to a client's `session.ping`. */
export const PONG_PAYLOAD = encodeMessage('session.pong', {});
