// The link to NATS, as the broker and the counter store see it: it connects when it is made, says when the connection is lost
// and back, looks whether it still carries anything, and bounds every call in time and number.

import type { BrokerStatus, Unsubscribe } from '../../src/index.ts';
import { Link } from './link.ts';
import type { NatsReply } from './nats-calls.ts';
import type { NatsConnectionLike, NatsHeadersLike, NatsMessageLike } from './nats-connection.ts';

/** What can be asked over one connection. */
export interface NatsCaller {
  readonly connection: NatsConnectionLike;
  /** The link's: milliseconds that a request may take, where it does not say otherwise. */
  readonly deadlineMs: number;
  /**
   * Resolves with the first answer, whatever it says; `code` is 503 when nobody listens to the subject.
   * @throws UsercastError `deadline`, `overloaded` (too many calls under way), `broker_unavailable`, `closed`
   */
  request(subject: string, data?: Uint8Array | string, options?: NatsRequestOptions): Promise<NatsReply>;
}

/** What a request can have beside its subject and data. */
export interface NatsRequestOptions {
  readonly headers?: NatsHeadersLike;
  /** Default: the link's `deadlineMs`. */
  readonly withinMs?: number;
}

/** What `openNatsLink` takes. */
export interface NatsLinkOptions {
  /** One or several `nats://host:port`, with credentials where needed. Left out where `connection` is given. */
  readonly servers?: readonly string[] | undefined;
  /** The host's own connection, which is never closed and never told to reconnect. */
  readonly connection?: NatsConnectionLike | undefined;
  /** Milliseconds that a call may take, waiting for the first connection included. */
  readonly deadlineMs: number;
  /** A connection that carries nothing is noticed within two such times. */
  readonly probeMs: number;
  /**
   * Called after each connect, before the link is ready; called again, after a pause, when it rejects. Until it was
   * through for the first time, calls reject at once with what it rejects with, where that is a `SetupRefusal`.
   */
  readonly prepare?: (caller: NatsCaller) => Promise<void>;
  /** Called in each probe, with a caller whose requests overtake others: a rejection is a missed probe. */
  readonly probe?: (caller: NatsCaller) => Promise<void>;
}

/** One connection for everything. Owned by whoever opened it. */
export interface NatsLink {
  /** `ready` when connected and prepared; each loss is followed by another `ready`. `lost` for ever once closed. */
  readonly status: BrokerStatus;
  /** Why it is not ready, as far as that is known; null while it is. */
  readonly outage: Error | null;
  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe;
  /**
   * What to call over, once it was ready for the first time; from then on at once, or not at all.
   * @throws UsercastError `broker_unavailable`, `closed`
   */
  ready(): Promise<NatsCaller>;
  /** What to call over at this moment, null while it is not ready. */
  readonly caller: NatsCaller | null;
  /** New headers, of the client library in use. Known once it was ready. */
  headers(): NatsHeadersLike;
  /** Receives what is sent to the subject, across reconnects too. @throws UsercastError as `ready` */
  subscribe(subject: string, listener: (message: NatsMessageLike) => void): Promise<Unsubscribe>;
  /** Ends what it opened itself; the host's connection stays open. */
  close(): Promise<void>;
}

/** Opens a link; it connects at once, and goes on trying. */
export function openNatsLink(options: NatsLinkOptions): NatsLink {
  return new Link(options);
}
