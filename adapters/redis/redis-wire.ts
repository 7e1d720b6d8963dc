// One connection to one server, from its beginning to its end, whichever library carries it. It never comes back by
// itself: RedisConnection makes another.

/** Where a node listens. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** What a connection tells. Nothing comes after `down`, or after `destroy`. */
export interface WireEvents {
  /** It was made, and is lost; what was in flight has an unknown outcome. */
  down(cause: Error): void;
  message(channel: string, message: string): void;
  /** The server took a channel's subscription away: its slot has moved. */
  moved(): void;
}

/** One connection. */
export interface RedisWire {
  /** Settles once: when it can be used, or when it could not be made. */
  readonly connected: Promise<void>;
  /** What the library reported by itself: why a call fails that only says that there is no connection. */
  readonly reported: Error | null;
  readonly isTls: boolean;
  send(words: readonly string[]): Promise<unknown>;
  subscribe(channels: string[]): Promise<unknown>;
  unsubscribe(channels: string[]): Promise<unknown>;
  /** Ends it, also where it is still being made. */
  destroy(): void;
}

/** Makes connections by one library, as the host would. */
export interface RedisDriver {
  readonly isCluster: boolean;
  readonly database: number;
  /** Loads what `open` needs. @throws UsercastError `broker_unavailable` when a package is missing */
  prepare(): Promise<void>;
  /** Connects to a node of the cluster, or, with null, to the one server there is. */
  open(address: RedisAddress | null, connectMs: number, events: WireEvents): RedisWire;
  /** The nodes of the cluster to begin with. */
  seeds(connectMs: number): Promise<readonly RedisAddress[]>;
  /** Where a node is reached that says of itself that it is at this address. */
  reachedAt(address: RedisAddress): RedisAddress;
}
