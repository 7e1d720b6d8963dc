// The host's own clients: one structural type for all of them, and telling them apart when the program runs.

/**
 * A client of the host: of `redis` (node-redis 5 or later) what `createClient`, `createCluster` or, from 6 on, `createSentinel`
 * made, of `ioredis` (5 or later) a `Redis`, also with Sentinels, or a `Cluster`. Connected or not: it is never used, only
 * duplicated.
 */
export interface RedisClient {
  duplicate(...overrides: never[]): unknown;
  connect(): Promise<unknown>;
  on(event: string, listener: (...details: unknown[]) => void): unknown;
}

/** What is used of node-redis' client. */
export interface NodeRedis {
  readonly options?: { readonly socket?: { readonly tls?: unknown }; readonly database?: number } | undefined;
  duplicate(overrides: object): NodeRedis;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: string, listener: (...details: never[]) => void): unknown;
  sendCommand(words: readonly string[]): Promise<unknown>;
  subscribe(channels: string[], listener: NodeRedisListener): Promise<unknown>;
  unsubscribe(channels: string[]): Promise<unknown>;
  sSubscribe(channels: string[], listener: NodeRedisListener): Promise<unknown>;
  sUnsubscribe(channels: string[]): Promise<unknown>;
}

/** Called for each message. */
export type NodeRedisListener = (message: string, channel: string) => void;

/** What is used of node-redis' cluster. */
export interface NodeRedisCluster {
  readonly masters: readonly object[];
  duplicate(overrides: object): NodeRedisCluster;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: string, listener: (...details: never[]) => void): unknown;
  nodeClient(node: object): NodeRedis | Promise<NodeRedis>;
}

/** What is used of node-redis' client for Sentinels. */
export interface NodeRedisSentinel {
  duplicate(overrides: object): NodeRedisSentinel;
  connect(): Promise<unknown>;
  destroy(): Promise<unknown>;
  on(event: string, listener: (...details: never[]) => void): unknown;
  /** Hands the client of the primary on. */
  _execute<T>(isReadonly: boolean, task: (primary: NodeRedis) => Promise<T>): Promise<T>;
}

/** What is used of ioredis' client. */
export interface IoRedis {
  readonly options: {
    readonly host?: string;
    readonly port?: number;
    readonly db?: number;
    readonly sentinels?: readonly unknown[] | null;
    readonly tls?: unknown;
    readonly sentinelTLS?: unknown;
  };
  /** Absent while there is no connection. */
  readonly stream?: { cork(): void; uncork(): void };
  duplicate(overrides: object): IoRedis;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: string, listener: (...details: never[]) => void): unknown;
  call(command: string, args: readonly string[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  ssubscribe(...channels: string[]): Promise<unknown>;
  sunsubscribe(...channels: string[]): Promise<unknown>;
}

/** What is used of ioredis' cluster. */
export interface IoRedisCluster {
  readonly options?: { readonly natMap?: unknown };
  duplicate(startupNodes: readonly object[], overrides: object): IoRedisCluster;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: string, listener: (...details: never[]) => void): unknown;
  nodes(role: 'master'): readonly IoRedis[];
}

/** A client, told apart. */
export type KnownClient =
  | { readonly kind: 'node-redis'; readonly client: NodeRedis }
  | { readonly kind: 'node-redis-cluster'; readonly client: NodeRedisCluster }
  | { readonly kind: 'node-redis-sentinel'; readonly client: NodeRedisSentinel }
  | { readonly kind: 'ioredis'; readonly client: IoRedis }
  | { readonly kind: 'ioredis-cluster'; readonly client: IoRedisCluster };

const PASS =
  'client must be a client of redis (createClient or createCluster of 5 or later, createSentinel of 6) or of ioredis (Redis or Cluster, 5 or later)';

/**
 * Says whose client it is.
 * @throws TypeError for anything else; it says what to pass.
 */
export function knownClient(value: unknown): KnownClient {
  if (typeof value === 'string') throw new TypeError(`${PASS}; give an address as url`);
  if (typeof value !== 'object' || value === null) throw new TypeError(`${PASS}, got ${typeof value}`);
  const has = (...methods: string[]) =>
    methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
  if (has('duplicate', 'connect', 'on')) {
    const { isCluster } = value as { isCluster?: unknown };
    if (has('call', 'ssubscribe')) {
      return isCluster === true
        ? { kind: 'ioredis-cluster', client: value as unknown as IoRedisCluster }
        : { kind: 'ioredis', client: value as unknown as IoRedis };
    }
    if (has('sendCommand', 'nodeClient') && 'masters' in value) {
      return { kind: 'node-redis-cluster', client: value as unknown as NodeRedisCluster };
    }
    if (has('sendCommand', 'getMasterNode', '_execute')) {
      return { kind: 'node-redis-sentinel', client: value as unknown as NodeRedisSentinel };
    }
    if (has('sendCommand', 'sSubscribe', 'destroy') && !has('getMasterNode')) {
      return { kind: 'node-redis', client: value as unknown as NodeRedis };
    }
  }
  if (has('getMasterNode'))
    throw new TypeError(`${PASS}, got a sentinel of redis before 6: pass ioredis' with sentinels`);
  throw new TypeError(`${PASS}, got another object`);
}
