// What the host can see of a running usercast: events, stats and health. Nothing in them holds a token or a payload.

import type { BrokerStatus } from './broker/broker.ts';
import type { ErrorStage } from './errors.ts';
import type { RefusedInfo } from './http/door.ts';
import type { PublishInfo } from './publisher.ts';
import type { SessionEvents, SessionStats } from './session/context.ts';

/** What `on` tells of, by name. No event holds a token. */
export interface UsercastEvents extends SessionEvents {
  /** A user's count on a box was set to 0. */
  ack: { readonly userId: string; readonly boxId: string };
  /** A message was stored for all of its recipients, or sent where it is volatile. */
  publish: PublishInfo;
  /** A handshake or request was refused. */
  refuse: RefusedInfo;
  /** Something that the host plugged in, or the connection to it, failed. */
  error: { readonly stage: ErrorStage; readonly cause: unknown };
}

/** The names that `on` takes. */
export const EVENT_NAMES: readonly (keyof UsercastEvents)[] = [
  'connect',
  'disconnect',
  'ack',
  'publish',
  'slow',
  'reset',
  'refuse',
  'error',
];

/** Counters since the start, and the gauges `sessions` and `users`. */
export interface UsercastStats extends Readonly<SessionStats> {
  /** Users with a session here, or with one until a few seconds ago. */
  readonly users: number;
  readonly published: number;
  /** Recipients of published messages. */
  readonly recipients: number;
  readonly duplicates: number;
  readonly acks: number;
  readonly refused: number;
  readonly errors: number;
}

/** What `health` tells. */
export interface UsercastHealth {
  /** True while messages can be published and clients can connect. */
  readonly ok: boolean;
  readonly broker: BrokerStatus;
  readonly draining: boolean;
}
