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
  /** Asked at each turn; their channels are subscribed to by the link, and what arrives on them goes no further. */
  readonly probes: () => readonly RedisProbe[];
  /** Gets what arrives on the channels; never throws. Without it there are no connections for subscriptions. */
  readonly onMessage?: (channel: string, message: string) => void;
}

/** A Lua script, run by its digest and sent whole where the server does not know it. */
export interface RedisScript {
  readonly source: string;
  /** SHA-1 of the source, in hex. */
  readonly digest: string;
}

/** What is sent over the command connection again and again, and must arrive on the subscription's. */
export interface RedisProbe {
  readonly channel: string;
  /** Publishes anything to `channel`, by a script on the command connection. */
  send(): Promise<void>;
}

/** The link of a broker or a counter store. Owned by whoever made it. */
export interface RedisLink {
  /** Channels are sharded: SSUBSCRIBE, SPUBLISH. Known once `ready` has resolved. */
  readonly isCluster: boolean;
  /** The database that the host selected; 0 on a cluster. */
  readonly database: number;
  /** `ready` when both connections are up and every channel is subscribed to; each loss, of one node too, is followed by another `ready`. */
  readonly status: BrokerStatus;
  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe;
  /** Resolves when it was ready for the first time. @throws UsercastError `deadline` after `deadlineMs`, `closed` */
  ready(): Promise<void>;
  /**
   * Runs the script on the primary that has the first key. All keys are of one slot.
   * @throws UsercastError `deadline`, `overloaded` (too many calls in flight), `broker_unavailable`, `closed`
   */
  run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** One command on the primary that has the key. Throws as `run` does. */
  command(key: string, ...words: readonly string[]): Promise<unknown>;
  /** Resolves when messages to the channel arrive at `onMessage`. Throws as `run` does. */
  subscribe(channel: string): Promise<void>;
  unsubscribe(channel: string): void;
  close(): Promise<void>;
}
