// The connections to Redis: one for commands and one for subscriptions, single or cluster, by URL or made after the host's
// own client. Says when they are lost and back, and bounds every call in time and number.

import type { BrokerStatus, Unsubscribe } from '../../src/index.ts';
import type { RedisClient } from './redis-client.ts';

export { openRedisLink } from './open-redis-link.ts';

/** By address, or after the host's client. */
export type RedisConnectionSource =
  | {
      /** `redis://` or `rediss://`; an array holds nodes of a cluster to begin with. */
      readonly url: string | readonly string[];
    }
  | { readonly client: RedisClient };

/** What a link is made of. */
export interface RedisLinkOptions {
  readonly connection: RedisConnectionSource;
  /** Milliseconds within which each call settles, and each attempt to connect. */
  readonly deadlineMs: number;
  /** Milliseconds; a connection that is dead and does not say so is noticed within two of these. */
  readonly probeMs: number;
  /**
   * Asked at each turn; their channels are subscribed to by the link, and what arrives on them goes no further. Default none;
   * a link without `onMessage` pings its servers instead.
   */
  readonly probes?: () => readonly RedisProbe[];
  /** Gets what arrives on the channels; never throws. Without it there are no connections for subscriptions. */
  readonly onMessage?: (channel: string, message: string) => void;
}

/** A Lua script, run by its digest and sent whole where the server does not know it. */
export interface RedisScript {
  readonly source: string;
  /** SHA-1 of the source, in hex. */
  readonly digest: string;
}

/**
 * The arguments of a script. A function is asked each time the call is sent, also when that is done again after a refusal or
 * a loss, so that it carries what is known by then; it never throws.
 */
export type RedisArgs = readonly string[] | (() => readonly string[]);

/** What is sent over the command connection again and again, and must arrive on the subscription's. */
export interface RedisProbe {
  readonly channel: string;
  /** Publishes anything to `channel`, by a script on the command connection. */
  send(): Promise<void>;
}

/** The link of a broker or a counter store. Owned by whoever made it. */
export interface RedisLink {
  /** Channels are sharded: SSUBSCRIBE, SPUBLISH. Known at once, by what the link was made of. */
  readonly isCluster: boolean;
  /** The database that the host selected; 0 on a cluster. */
  readonly database: number;
  /** `ready` when both connections are up and every channel is subscribed to; each loss, of one node too, is followed by another `ready`. */
  readonly status: BrokerStatus;
  /** Why the status is not `ready`, as far as that is known; null while it is. */
  readonly outage: Error | null;
  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe;
  /**
   * Called when channels of any server are on again after they were not, whatever became of the others: what was published
   * meanwhile did not arrive. The status says nothing of it where it stays `lost`; where it becomes `ready` by it, that is
   * told first.
   */
  onRestored(listener: () => void): Unsubscribe;
  /**
   * Resolves when the servers are connected to for the first time. Those of a cluster that cannot be reached are not waited
   * for as long as there is another, so the status may still be `connecting`.
   * @throws UsercastError `broker_unavailable` at once where the server or its certificate was refused, or refused us: the
   *   message says what to change; `deadline` after `deadlineMs`, `closed`
   */
  ready(): Promise<void>;
  /**
   * Runs the script on the primary that has the first key. All keys are of one slot. It is sent again while that makes
   * sense, so it may be run more than once.
   * @throws UsercastError `deadline`, `overloaded` (too many calls in flight), `broker_unavailable`, `closed`
   */
  run(script: RedisScript, keys: readonly string[], args: RedisArgs): Promise<unknown>;
  /** One command on the primary that has the key. Throws as `run` does. */
  command(key: string, ...words: readonly string[]): Promise<unknown>;
  /** Resolves when messages to the channel arrive at `onMessage`. Throws as `run` does. */
  subscribe(channel: string): Promise<void>;
  unsubscribe(channel: string): void;
  close(): Promise<void>;
}
