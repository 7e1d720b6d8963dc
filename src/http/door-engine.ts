// What the door and its parts share: what it needs of the engine, and the options that it goes by.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Allowance } from '../allowance.ts';
import type { Authenticate } from '../auth/authenticate.ts';
import type { ErrorStage } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { RefusalCode } from '../protocol/refusals.ts';
import type { PollAnswer, PollOpening } from '../session/poll.ts';
import type { SessionOpening } from '../session/session.ts';
import type { TransportKind, TransportOwner } from '../transports/transport.ts';
import type { ClientAddress } from './client-address.ts';
import type { Endpoints } from './endpoint.ts';
import type { OriginRule } from './origin.ts';

/** A handshake or request that was refused: the `refuse` event. */
export interface RefusedInfo {
  readonly code: RefusalCode;
  readonly status: number;
  /** What the client was told to change. */
  readonly detail: string;
  readonly userId?: string;
  readonly address: string;
  readonly transport: TransportKind;
}

/** What the door needs of the engine. */
export interface DoorEngine {
  readonly options: ResolvedOptions;
  /** null: there is no verifier, and nothing can be served. */
  readonly authenticate: Authenticate | null;
  /**
   * Opens a session; resolves when it is live. Then comes `accept` at once, or `closed(1006, '')` where the client left.
   * @throws Refusal
   */
  open(opening: SessionOpening): Promise<TransportOwner>;
  /**
   * Answers a long poll.
   * @throws Refusal
   */
  poll(opening: PollOpening): Promise<PollAnswer>;
  /** Completes a WebSocket handshake that was found valid; synchronous. */
  accept(req: IncomingMessage, socket: Duplex, head: Buffer, owner: TransportOwner, protocol: string | undefined): void;
  /** @throws Refusal */
  counts(userId: string): Promise<{ readonly counts: Record<string, number>; readonly cursor: string }>;
  /** @throws Refusal */
  ack(userId: string, boxId: string): Promise<void>;
  /** Then every handshake and request is refused with `restarting`. */
  draining(): boolean;
  refused(info: RefusedInfo): void;
  failed(stage: ErrorStage, cause: unknown): void;
}

/** The options that the door goes by, compiled once. */
export interface DoorRules {
  readonly engine: DoorEngine;
  readonly endpoints: Endpoints;
  readonly origins: OriginRule;
  readonly addresses: ClientAddress;
  /** Handshakes that may begin. */
  readonly admission: Allowance;
}
