// The options of `redisBroker` and their check.

import type { HistoryOptions } from '../../src/index.ts';
import { checkKeys, wholeNumber, wrongOption } from '../../src/option-checks.ts';
import { knownClient, type RedisClient } from './redis-client.ts';

/** Where Redis is: one of the two. */
export interface RedisConnectionOptions {
  /**
   * `redis://` or `rediss://`, for the `redis` package (5 or later); several are start nodes of a cluster. Certificates are
   * checked; an authority of your own is named in `NODE_EXTRA_CA_CERTS`.
   */
  readonly url?: string | readonly string[];
  /** The host's own client, node-redis or ioredis, single, with Sentinels or cluster: it is duplicated, never used or closed. */
  readonly client?: RedisClient;
  /** The first part of every key and channel, without braces. Default `usercast`. */
  readonly prefix?: string;
  /**
   * Parts that the users are spread over, each in one slot of a cluster; the same for all processes, for ever. Default 1,
   * on a cluster 32.
   */
  readonly partitions?: number;
  /** Milliseconds that one call may take. Default 4 000. */
  readonly deadlineMs?: number;
  /** Milliseconds between two probes of the connections; two that fail in a row make them anew. Default 5 000. */
  readonly probeMs?: number;
}

/** What `redisBroker` takes. */
export interface RedisBrokerOptions extends RedisConnectionOptions {
  /** What is kept for clients that come back. Default 100 messages, 5 minutes. */
  readonly history?: HistoryOptions;
  /** Milliseconds in which a message id is delivered and counted once per recipient, at least `deadlineMs`. Default 300 000. */
  readonly deduplicationMs?: number;
  /**
   * Milliseconds that the position of a user without messages and connections is kept: at least a minute, and as long as
   * the history. Default 86 400 000.
   */
  readonly positionMs?: number;
  /** Milliseconds that a disconnect is kept: as long as the longest token can live. Default 86 400 000. */
  readonly marksMs?: number;
  /**
   * `detect`: a Redis that came back older is noticed by the processes that wrote what it lost. `strict`: every restart
   * and failover counts as one, and resets all clients. Default `detect`.
   */
  readonly rollback?: 'detect' | 'strict';
}

/** The connection options with their defaults. */
export interface ResolvedRedisConnection {
  readonly connection: { readonly url: string | readonly string[] } | { readonly client: RedisClient };
  readonly prefix: string;
  /** null: by the kind of the connection. */
  readonly partitions: number | null;
  readonly deadlineMs: number;
  readonly probeMs: number;
}

/** The options with their defaults. */
export interface ResolvedRedisBrokerOptions extends ResolvedRedisConnection {
  readonly history: Required<HistoryOptions>;
  readonly deduplicationMs: number;
  readonly positionMs: number;
  readonly marksMs: number;
  readonly isStrict: boolean;
}

const CONNECTION = ['url', 'client', 'prefix', 'partitions', 'deadlineMs', 'probeMs'] as const;
const BROKER = ['history', 'deduplicationMs', 'positionMs', 'marksMs', 'rollback'] as const;

/** @throws TypeError that names the option and the value. */
export function resolveRedisBrokerOptions(options: RedisBrokerOptions): ResolvedRedisBrokerOptions {
  checkKeys('redisBroker options', options, [...CONNECTION, ...BROKER]);
  const { history = {}, rollback = 'detect' } = options;
  checkKeys('history', history, ['messages', 'ageMs']);
  if (rollback !== 'detect' && rollback !== 'strict') wrongOption('rollback', '"detect" or "strict"', rollback);
  const connection = resolveRedisConnection('redisBroker', options);
  const ageMs = wholeNumber('history.ageMs', history.ageMs, 300_000, 1);
  return {
    ...connection,
    history: { messages: wholeNumber('history.messages', history.messages, 100, 1), ageMs },
    // A call that is made again must find what it did the first time.
    deduplicationMs: wholeNumber('deduplicationMs', options.deduplicationMs, 300_000, connection.deadlineMs),
    positionMs: wholeNumber('positionMs', options.positionMs, 86_400_000, Math.max(ageMs, 60_000)),
    marksMs: wholeNumber('marksMs', options.marksMs, 86_400_000, 1_000),
    isStrict: rollback === 'strict',
  };
}

/** @throws TypeError that names the option and the value. */
export function resolveRedisConnection(name: string, options: RedisConnectionOptions): ResolvedRedisConnection {
  const { url, client, prefix = 'usercast', partitions } = options;
  if ((url === undefined) === (client === undefined)) {
    throw new TypeError(`${name} takes either url or client: where Redis is, or the client that you have`);
  }
  if (client !== undefined) knownClient(client);
  if (typeof prefix !== 'string' || !/^[^{}]{1,64}$/.test(prefix)) {
    wrongOption('prefix', 'a string of 1 to 64 characters without braces', prefix);
  }
  return {
    connection: url === undefined ? { client: client! } : { url },
    prefix,
    partitions: partitions === undefined ? null : partitionsOf(partitions),
    deadlineMs: wholeNumber('deadlineMs', options.deadlineMs, 4_000, 1),
    probeMs: wholeNumber('probeMs', options.probeMs, 5_000, 10),
  };
}

/** Each is probed. */
const MAX_PARTITIONS = 1_024;

function partitionsOf(value: number): number {
  if (wholeNumber('partitions', value, 1, 1) > MAX_PARTITIONS) {
    wrongOption('partitions', `at most ${MAX_PARTITIONS}`, value);
  }
  return value;
}
