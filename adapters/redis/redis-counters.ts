// Unread counts in Redis, beside a broker of another kind or instead of its own.

import { type Counted, type CounterStore, type Position, UsercastError } from '../../src/index.ts';
import { checkKeys, wholeNumber } from '../../src/option-checks.ts';
import { COUNTS, COUNTS_UP_TO, FORGET, INCREMENT, RESET } from './counter-scripts.ts';
import { defaultPartitions, partitionOf, partitionPrefix } from './keys.ts';
import { checkLayout } from './layout.ts';
import { openRedisLink, type RedisLink } from './redis-link.ts';
import { type RedisConnectionOptions, resolveRedisConnection } from './redis-options.ts';

/** What `redisCounters` takes. */
export interface RedisCounterOptions extends RedisConnectionOptions {
  /** Milliseconds in which a message id is counted once per user; longer than the broker's window. Default 600 000. */
  readonly rememberMs?: number;
}

const OPTIONS = ['url', 'client', 'prefix', 'partitions', 'deadlineMs', 'probeMs', 'rememberMs'] as const;
/** Counted messages in one step: it holds up everybody else's. */
const BATCH = 250;

/**
 * A `CounterStore` in Redis. It connects at once; until it is connected the first time, calls wait within their deadline.
 * Counts stay until they are acked or the user is forgotten, and are as durable as the server is.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function redisCounters(options: RedisCounterOptions): CounterStore {
  checkKeys('redisCounters options', options, OPTIONS);
  const { connection, prefix, partitions, deadlineMs, probeMs } = resolveRedisConnection('redisCounters', options);
  const rememberMs = wholeNumber('rememberMs', options.rememberMs, 600_000, 1);
  const link = openRedisLink({ connection, deadlineMs, probeMs });
  return new RedisCounterStore(link, prefix, partitions ?? defaultPartitions(link.isCluster), rememberMs);
}

/** Counted messages of one partition, as its script takes them. */
class Batch {
  readonly #partition: string;
  readonly #records = new Map<string, number>();
  readonly #users = new Map<string, number>();
  readonly #items: string[] = [];
  size = 0;

  constructor(partition: string) {
    this.#partition = partition;
  }

  add({ userId, boxId, id, position }: Counted): void {
    const record = String(numberOf(this.#records, id));
    const user = String(numberOf(this.#users, userId));
    this.#items.push(record, user, userId, boxId, position.epoch, String(position.offset));
    this.size++;
  }

  send(link: RedisLink, rememberMs: number): Promise<unknown> {
    const records = [...this.#records.keys()].map((id) => `${this.#partition}i:${id}`);
    const users = [...this.#users.keys()].flatMap((userId) => userKeys(this.#partition, userId));
    return link.run(INCREMENT, [...records, ...users], [String(rememberMs), String(records.length), ...this.#items]);
  }
}

/** The number of a name, counted from 1 in the order in which they came. */
function numberOf(numbers: Map<string, number>, name: string): number {
  const number = numbers.get(name) ?? numbers.size + 1;
  numbers.set(name, number);
  return number;
}

/** The counts, and the details that tell an ack from a count that it overtook. */
function userKeys(partition: string, userId: string): [string, string] {
  return [`${partition}n:${userId}`, `${partition}a:${userId}`];
}

class RedisCounterStore implements CounterStore {
  readonly #link: RedisLink;
  readonly #prefix: string;
  readonly #partitions: readonly string[];
  readonly #rememberMs: number;
  #layout: Promise<void> | null = null;

  constructor(link: RedisLink, prefix: string, partitions: number, rememberMs: number) {
    this.#link = link;
    this.#prefix = prefix;
    this.#partitions = Array.from({ length: partitions }, (_, index) => partitionPrefix(prefix, index));
    this.#rememberMs = rememberMs;
  }

  async increment(counted: readonly Counted[]): Promise<void> {
    if (counted.length === 0) return;
    await this.#ready();
    const open = new Map<string, Batch>();
    const batches: Batch[] = [];
    for (const one of counted) {
      const partition = this.#partitionOf(one.userId);
      let batch = open.get(partition);
      if (!batch || batch.size >= BATCH) {
        batch = new Batch(partition);
        open.set(partition, batch);
        batches.push(batch);
      }
      batch.add(one);
    }
    await Promise.all(batches.map((batch) => batch.send(this.#link, this.#rememberMs)));
  }

  async reset(userId: string, boxId: string, upTo: Position): Promise<void> {
    await this.#ready();
    const args = [String(this.#rememberMs), boxId, upTo.epoch, String(upTo.offset)];
    await this.#link.run(RESET, this.#keys(userId), args);
  }

  async counts(userId: string, upTo?: Position): Promise<Record<string, number>> {
    await this.#ready();
    const keys = this.#keys(userId);
    const reply = upTo
      ? await this.#link.run(COUNTS_UP_TO, keys, [upTo.epoch, String(upTo.offset)])
      : await this.#link.run(COUNTS, keys.slice(0, 1), []);
    if (!Array.isArray(reply)) throw new UsercastError('broker_unavailable', 'redis gave no counts');
    const counts: [string, number][] = [];
    for (let i = 0; i < reply.length; i += 2) counts.push([String(reply[i]), Number(reply[i + 1])]);
    return Object.fromEntries(counts);
  }

  async forget(userId: string): Promise<void> {
    await this.#ready();
    await this.#link.run(FORGET, this.#keys(userId), []);
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  #partitionOf(userId: string): string {
    return this.#partitions[partitionOf(userId, this.#partitions.length)]!;
  }

  #keys(userId: string): string[] {
    return userKeys(this.#partitionOf(userId), userId);
  }

  /** Resolves when the keys are known to be laid out as ours are; asked once, and again after a failure. */
  #ready(): Promise<void> {
    this.#layout ??= checkLayout(this.#link, `${this.#prefix}:counters`, this.#partitions.length).catch(
      (error: unknown) => {
        this.#layout = null;
        throw error;
      },
    );
    return this.#layout;
  }
}
