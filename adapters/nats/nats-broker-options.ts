// The options of `natsBroker` and their check.

import type { HistoryOptions } from '../../src/index.ts';
import { checkKeys, optionalObjectWith, wholeNumber, wrongOption } from '../../src/option-checks.ts';
import type { NatsConnectionLike } from './nats-connection.ts';

/** What `natsBroker` takes. */
export interface NatsBrokerOptions {
  /**
   * `nats://host:port`, one or several of a cluster, for `@nats-io/transport-node`; or `connection`. `tls://` takes no server
   * without TLS; certificates are checked, and an authority of your own is named in `NODE_EXTRA_CA_CERTS`.
   */
  readonly servers?: string | readonly string[];
  /** The host's own connection, of any transport of `@nats-io/nats-core` 3: used, and never closed. */
  readonly connection?: NatsConnectionLike;
  /** The stream that holds all users' entries, and the first part of the buckets' names. Default `usercast`. */
  readonly stream?: string;
  /** The first part of every subject. Default `usercast`. */
  readonly prefix?: string;
  /** What is kept for clients that come back. Default 100 messages, 5 minutes. */
  readonly history?: HistoryOptions;
  /** Milliseconds in which a message id is delivered once per recipient, as far as the history reaches; at least 100. Default 300 000. */
  readonly deduplicationMs?: number;
  /** Replicas of the stream and the buckets, 1 to 5; more than 1 takes a cluster. Default 1. */
  readonly replicas?: number;
  /** Milliseconds that a disconnect is kept: as long as the longest token can live. Default 86 400 000. */
  readonly marksMs?: number;
  /**
   * Milliseconds that entries are stored, to prove that a client has missed nothing: at least `deduplicationMs` and
   * `history.ageMs`. Default 86 400 000.
   */
  readonly proofMs?: number;
  /** Milliseconds that one call may take. Default 4 000. */
  readonly deadlineMs?: number;
  /** Milliseconds between two probes of the connection; one that carries nothing is noticed within two. Default 5 000. */
  readonly probeMs?: number;
}

/** The options with their defaults. */
export interface ResolvedNatsBrokerOptions {
  readonly servers: readonly string[] | undefined;
  readonly connection: NatsConnectionLike | undefined;
  readonly stream: string;
  readonly prefix: string;
  readonly history: Required<HistoryOptions>;
  readonly deduplicationMs: number;
  readonly replicas: number;
  readonly marksMs: number;
  readonly proofMs: number;
  readonly deadlineMs: number;
  readonly probeMs: number;
}

const KEYS: readonly (keyof NatsBrokerOptions)[] = [
  'servers',
  'connection',
  'stream',
  'prefix',
  'history',
  'deduplicationMs',
  'replicas',
  'marksMs',
  'proofMs',
  'deadlineMs',
  'probeMs',
];
const DAY_MS = 86_400_000;
/** The least that JetStream takes for a time. */
const LEAST_MS = 100;
const MAX_REPLICAS = 5;
const STREAM_NAME = /^[A-Za-z0-9_-]{1,200}$/;
const PREFIX = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

/** @throws TypeError that names the option and the value. */
export function resolveNatsBrokerOptions(options: NatsBrokerOptions): ResolvedNatsBrokerOptions {
  checkKeys('natsBroker options', options, KEYS);
  const { history = {}, stream = 'usercast', prefix = 'usercast' } = options;
  checkKeys('history', history, ['messages', 'ageMs']);
  if (typeof stream !== 'string' || !STREAM_NAME.test(stream)) {
    wrongOption('stream', 'a name of letters, digits, - and _', stream);
  }
  if (typeof prefix !== 'string' || prefix.length > 200 || !PREFIX.test(prefix)) {
    wrongOption('prefix', 'tokens of letters, digits, - and _, with dots between them', prefix);
  }
  const ageMs = wholeNumber('history.ageMs', history.ageMs, 300_000, 1);
  const deduplicationMs = wholeNumber('deduplicationMs', options.deduplicationMs, 300_000, LEAST_MS);
  const leastProofMs = Math.max(deduplicationMs, ageMs, LEAST_MS);
  const replicas = wholeNumber('replicas', options.replicas, 1, 1);
  if (replicas > MAX_REPLICAS) wrongOption('replicas', `at most ${MAX_REPLICAS}`, replicas);
  return {
    ...resolvePlace(options),
    stream,
    prefix,
    history: { messages: wholeNumber('history.messages', history.messages, 100, 1), ageMs },
    deduplicationMs,
    replicas,
    marksMs: wholeNumber('marksMs', options.marksMs, DAY_MS, LEAST_MS),
    proofMs: wholeNumber('proofMs', options.proofMs, Math.max(DAY_MS, leastProofMs), leastProofMs),
    deadlineMs: wholeNumber('deadlineMs', options.deadlineMs, 4_000, 1),
    probeMs: wholeNumber('probeMs', options.probeMs, 5_000, LEAST_MS),
  };
}

function resolvePlace({ servers, connection }: NatsBrokerOptions) {
  optionalObjectWith(
    'connection',
    connection,
    ['publish', 'subscribe', 'status', 'isClosed'],
    'a connection of @nats-io/transport-node, or of another transport of @nats-io/nats-core',
  );
  if (connection) {
    if (servers !== undefined) throw new TypeError('natsBroker takes servers or connection, not both');
    return { servers: undefined, connection };
  }
  const list = typeof servers === 'string' ? [servers] : servers;
  const areStrings =
    Array.isArray(list) && list.length > 0 && list.every((server) => typeof server === 'string' && server);
  // Not shown: it may hold credentials.
  if (!areStrings) throw new TypeError('servers must be a string or several, such as nats://localhost:4222');
  return { servers: list as readonly string[], connection: undefined };
}
