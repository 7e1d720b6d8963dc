// Unread counts in a key-value bucket of NATS JetStream: one entry per user, replaced with compare-and-set.

import type { Counted, CounterStore, Position } from '../../src/index.ts';
import { checkKeys, optionalObjectWith, wholeNumber, wrongOption } from '../../src/option-checks.ts';
import { CLOCK_KEY, type CounterBucket, openCounterBucket } from './counter-bucket.ts';
import { CounterChanges } from './counter-changes.ts';
import { askJetStream } from './jetstream.ts';
import type { NatsConnectionLike, NatsHeadersLike } from './nats-connection.ts';
import { type NatsCaller, type NatsLink, openNatsLink } from './nats-link.ts';
import { RecentEntries } from './recent-entries.ts';
import type { UserCounts } from './user-counts.ts';

/** What `natsCounters` takes: `servers` or `connection`, and how to count. */
export interface NatsCounterOptions {
  /** Where NATS is: `host:port` or a URL, one or several. The connection is the store's own. */
  readonly servers?: string | readonly string[];
  /** The host's connection. It is never closed by the store. */
  readonly connection?: NatsConnectionLike;
  /** The name of the key-value bucket: letters, digits, `-` and `_`. Made where it is missing. Default `usercast-counters`. */
  readonly bucket?: string;
  /** On how many servers of a cluster each count is stored, 1 to 5. Default 1. */
  readonly replicas?: number;
  /** Milliseconds in which a message id is counted once per user; longer than the broker's window. Default 600 000. */
  readonly rememberMs?: number;
  /** Milliseconds within which each call ends. Default 4 000. */
  readonly deadlineMs?: number;
}

interface ResolvedCounterOptions {
  readonly servers: readonly string[] | undefined;
  readonly connection: NatsConnectionLike | undefined;
  readonly bucket: string;
  readonly replicas: number;
  readonly rememberMs: number;
  readonly deadlineMs: number;
}

const OPTION_NAMES = ['servers', 'connection', 'bucket', 'replicas', 'rememberMs', 'deadlineMs'] as const;

const DEFAULTS = Object.freeze({
  bucket: 'usercast-counters',
  replicas: 1,
  rememberMs: 600_000,
  deadlineMs: 4_000,
});

/** What the server takes. */
const MAX_REPLICAS = 5;

/** A connection that carries nothing is noticed within two such times. */
const PROBE_MS = 5_000;

/** A request that a reconnect has swallowed is only noticed by its time: several fit into one call. */
const REQUESTS_PER_DEADLINE = 4;
const MAX_REQUEST_MS = 2_000;

/**
 * A `CounterStore` in a key-value bucket of NATS 2.9 or later with JetStream, for any number of processes. It connects at
 * once, and goes on trying. Calls wait within their deadline for a connection. They reject with `deadline`, after which the
 * outcome is not known and calling again is safe; `overloaded`, where over 100 000 changes wait, or a user's entry is
 * larger than the server takes; `broker_unavailable`, as where the bucket has settings that would lose counts; `closed`.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function natsCounters(options: NatsCounterOptions): CounterStore {
  return new NatsCounterStore(resolveOptions(options));
}

function resolveOptions(given: NatsCounterOptions): ResolvedCounterOptions {
  checkKeys('natsCounters options', given, OPTION_NAMES);
  const { servers, connection, bucket = DEFAULTS.bucket } = given;
  if ((servers === undefined) === (connection === undefined)) {
    wrongOption('natsCounters options', 'given either servers or connection', given);
  }
  const methods = ['publish', 'subscribe', 'status', 'isClosed'];
  optionalObjectWith('connection', connection, methods, 'a NatsConnection of @nats-io/transport-node 3');
  if (typeof bucket !== 'string' || !/^[-\w]+$/.test(bucket)) {
    wrongOption('bucket', 'a name of letters, digits, - and _', bucket);
  }
  const replicas = wholeNumber('replicas', given.replicas, DEFAULTS.replicas, 1);
  if (replicas > MAX_REPLICAS) wrongOption('replicas', `a whole number from 1 to ${MAX_REPLICAS}`, replicas);
  return {
    servers: servers === undefined ? undefined : serverList(servers),
    connection,
    bucket,
    replicas,
    rememberMs: wholeNumber('rememberMs', given.rememberMs, DEFAULTS.rememberMs, 1),
    deadlineMs: wholeNumber('deadlineMs', given.deadlineMs, DEFAULTS.deadlineMs, 1),
  };
}

function serverList(servers: unknown): readonly string[] {
  const list: unknown = typeof servers === 'string' ? [servers] : servers;
  const isList =
    Array.isArray(list) && list.length > 0 && list.every((each) => typeof each === 'string' && each !== '');
  return isList ? (list as string[]) : wrongOption('servers', 'a non-empty string or a list of them', servers);
}

class NatsCounterStore implements CounterStore {
  readonly #options: ResolvedCounterOptions;
  readonly #link: NatsLink;
  readonly #changes: CounterChanges;
  readonly #recent = new RecentEntries();
  #bucket: Promise<CounterBucket> | null = null;

  constructor(options: ResolvedCounterOptions) {
    this.#options = options;
    const { servers, connection, bucket, rememberMs, deadlineMs } = options;
    this.#link = openNatsLink({
      servers,
      connection,
      deadlineMs: this.#requestMs,
      probeMs: PROBE_MS,
      prepare: async (caller) => {
        // What is found after a reconnect may be another bucket, or an older one.
        this.#recent.clear();
        this.#bucket = null;
        await this.#open(caller);
      },
      // Only the bucket's leader answers: a server that is cut off from it is left.
      probe: async (caller) => {
        await askJetStream(caller, `STREAM.MSG.GET.KV_${bucket}`, { last_by_subj: `$KV.${bucket}.${CLOCK_KEY}` });
      },
    });
    this.#changes = new CounterChanges({
      recent: this.#recent,
      rememberMs,
      deadlineMs,
      bucket: async () => this.#open(await this.#link.ready()),
      missing: () => {
        this.#recent.clear();
        this.#bucket = null;
      },
    });
  }

  async increment(counted: readonly Counted[]): Promise<void> {
    const byUser = new Map<string, Counted[]>();
    for (const each of counted) {
      const ofUser = byUser.get(each.userId);
      if (ofUser) ofUser.push(each);
      else byUser.set(each.userId, [each]);
    }
    const changes = [...byUser].map(([userId, events]) => ({
      userId,
      apply: (counts: UserCounts, nowMs: number): boolean => {
        let isChanged = false;
        for (const event of events) isChanged = counts.count(event, nowMs) || isChanged;
        return isChanged;
      },
    }));
    await this.#changes.run(changes);
  }

  async reset(userId: string, boxId: string, upTo: Position): Promise<void> {
    await this.#changes.run([{ userId, apply: (counts, nowMs) => counts.ack(boxId, upTo, nowMs) }]);
  }

  async counts(userId: string, upTo?: Position): Promise<Record<string, number>> {
    let unread: Record<string, number> = {};
    const look = (counts: UserCounts): boolean => {
      unread = counts.unread(upTo);
      return false;
    };
    await this.#changes.run([{ userId, apply: look }]);
    return unread;
  }

  async forget(userId: string): Promise<void> {
    const clear = (counts: UserCounts): boolean => {
      counts.clear();
      return true;
    };
    await this.#changes.run([{ userId, apply: clear }]);
  }

  async close(): Promise<void> {
    this.#changes.close();
    this.#recent.clear();
    await this.#link.close();
  }

  get #requestMs(): number {
    return Math.min(Math.ceil(this.#options.deadlineMs / REQUESTS_PER_DEADLINE), MAX_REQUEST_MS);
  }

  #open(caller: NatsCaller): Promise<CounterBucket> {
    if (this.#bucket) return this.#bucket;
    const { bucket, replicas } = this.#options;
    const headers = (): NatsHeadersLike => this.#link.headers();
    const opening = openCounterBucket(caller, { bucket, replicas, requestMs: this.#requestMs, headers });
    this.#bucket = opening;
    opening.catch(() => {
      if (this.#bucket === opening) this.#bucket = null;
    });
    return opening;
  }
}
