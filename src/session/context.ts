// What all sessions of one usercast share: its options, its clocks, its stats, and how they speak to the host.

import type { Identity } from '../auth/token-verifier.ts';
import type { StreamSlice } from '../broker/broker.ts';
import type { Subscription } from '../broker/subscriptions.ts';
import type { ErrorStage } from '../errors.ts';
import type { HeartbeatOptions, LimitOptions } from '../options.ts';
import type { ResetReason } from '../protocol/session-messages.ts';
import type { Wheel } from '../timers.ts';
import type { TransportKind } from '../transports/transport.ts';
import type { HeartbeatTimes } from './heartbeat.ts';
import type { Turns } from './send-queue.ts';
import type { Member, UserSessions } from './user-sessions.ts';

/** One session, as events tell of it. */
export interface SessionInfo {
  readonly userId: string;
  readonly sessionId: string;
  readonly transport: TransportKind;
  /** The client's address, as `trustProxy` sees it. */
  readonly address: string;
}

/** What happens to sessions, by name of the event. */
export interface SessionEvents {
  connect: SessionInfo;
  /** `code` is the close code, 1006 where there was none. */
  disconnect: SessionInfo & { readonly code: number; readonly reason: string };
  /** The session stopped taking live messages, with this many bytes unsent. */
  slow: SessionInfo & { readonly bufferedBytes: number };
  /** The session's position could not be proven. */
  reset: SessionInfo & { readonly reason: ResetReason };
}

/** The counters that sessions keep, all since the start. */
export interface SessionStats {
  sessions: number;
  connects: number;
  disconnects: number;
  /** Messages handed to transports. */
  delivered: number;
  /** Messages received from clients. */
  received: number;
  slow: number;
  resets: number;
}

/** The counters of a process that has not had a session yet. */
export function noSessions(): SessionStats {
  return { sessions: 0, connects: 0, disconnects: 0, delivered: 0, received: 0, slow: 0, resets: 0 };
}

export interface SessionContext {
  readonly heartbeat: Required<HeartbeatOptions>;
  readonly limits: Required<LimitOptions>;
  readonly wheel: Wheel;
  readonly turns: Turns;
  readonly stats: SessionStats;
  emit<K extends keyof SessionEvents>(name: K, event: SessionEvents[K]): void;
  onError(stage: ErrorStage, cause: unknown): void;
  /** Sets the user's count on a box to 0 and echoes that to all of the user's sessions. Has told of it when it rejects. */
  ack(userId: string, boxId: string): Promise<void>;
  /** Checks a session's new token. @throws Refusal */
  authenticate(session: SessionInfo, accessToken: string): Promise<Identity>;
  /** The user's unread counts as of the slice's top. */
  countsOf(userId: string, slice: StreamSlice): Promise<Readonly<Record<string, number>>>;
  /** What a session's heartbeat goes by; one object for all of a kind. */
  heartbeatTimes(kind: TransportKind, isTold: boolean): HeartbeatTimes;
  /** A session or poll is over. */
  left(member: Member, subscription: Subscription<UserSessions>): void;
  /** The host disconnected the user: what is remembered of its tokens goes. */
  forgetTokens(userId: string): void;
}
