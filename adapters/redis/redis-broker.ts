// Streams in Redis: one step per partition and batch, live messages over a channel per user. Knows what each script is
// given; `scripts.ts` is what happens inside.

import type {
  Broker,
  BrokerMessage,
  BrokerStatus,
  DisconnectTarget,
  Position,
  PublishResult,
  StreamListener,
  StreamSlice,
  StreamTop,
  Unsubscribe,
} from '../../src/index.ts';
import { UsercastError } from '../../src/index.ts';
import { randomName } from '../../src/random.ts';
import { setTimer, type Timer } from '../../src/timers.ts';
import { type AppendReply, appendCall, stampOf, takeAppended } from './append-call.ts';
import { type Batch, batchesOf } from './batches.ts';
import { defaultPartitions, partitionOf } from './keys.ts';
import { checkLayout } from './layout.ts';
import { LocalUsers } from './local-users.ts';
import { Part } from './part.ts';
import { openRedisLink, type RedisLink, type RedisScript } from './redis-link.ts';
import {
  type RedisBrokerOptions,
  type ResolvedRedisBrokerOptions,
  resolveRedisBrokerOptions,
} from './redis-options.ts';
import { type ReadReply, sharedOf, sliceOf, topsOf } from './replies.ts';
import * as scripts from './scripts.ts';

/** A `Broker` in Redis; it keeps the counts too. */
export interface RedisBroker extends Broker {
  readonly counters: { counts(userId: string): Promise<Record<string, number>> };
}

/**
 * Keeps streams, counts and deduplication records in Redis 7 or Valkey, single or cluster. Connects at once.
 * @throws TypeError when an option is wrong; it names the option.
 */
export function redisBroker(options: RedisBrokerOptions): RedisBroker {
  return new BrokerOnRedis(resolveRedisBrokerOptions(options));
}

/** Between two tries to look for what may be lost. */
const RETRY_MS = 500;
/** Partitions lose what they had at about the same time. */
const CATCH_UP_MS = 50;
const MAX_MARKS = 100;
/** Users of one whisper or question. */
const CHUNK = 500;

type Scripts = Record<'append' | 'probe' | 'mark' | 'whisper', RedisScript>;

const PLAIN: Scripts = { append: scripts.APPEND, probe: scripts.PROBE, mark: scripts.MARK, whisper: scripts.WHISPER };

class BrokerOnRedis implements RedisBroker {
  readonly #options: ResolvedRedisBrokerOptions;
  readonly #link: RedisLink;
  readonly #parts: readonly Part[];
  readonly #scripts: Scripts;
  readonly #users = new LocalUsers(() => this.#link);
  readonly #statusListeners = new Set<(status: BrokerStatus) => void>();
  #status: BrokerStatus = 'connecting';
  #closed = false;
  #catchingUp: Timer | null = null;
  /** The stored layout was compared with ours. */
  #prepared: Promise<void> | null = null;

  readonly counters = {
    counts: async (userId: string) => ({ ...(await this.read(userId, null, 0)).counts }),
  };

  constructor(options: ResolvedRedisBrokerOptions) {
    this.#options = options;
    this.#link = openRedisLink({
      connection: options.connection,
      deadlineMs: options.deadlineMs,
      probeMs: options.probeMs,
      probes: () => this.#parts.map((part) => ({ channel: part.probeChannel, send: () => this.#probe(part) })),
      onMessage: (channel, message) => this.#users.take(channel, message),
    });
    const { isCluster, database } = this.#link;
    const name = randomName(12);
    const count = options.partitions ?? defaultPartitions(isCluster);
    this.#parts = Array.from(
      { length: count },
      (_, index) => new Part(options.prefix, index, database, name, options.isStrict),
    );
    this.#scripts = isCluster
      ? (Object.fromEntries(Object.entries(PLAIN).map(([name, one]) => [name, scripts.sharded(one)])) as Scripts)
      : PLAIN;
    this.#link.onStatus((status) => void this.#follow(status));
    this.#link.onRestored(() => this.#restored());
  }

  get status(): BrokerStatus {
    return this.#status;
  }

  get outage(): Error | null {
    return this.#link.outage;
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  async publish(message: BrokerMessage): Promise<PublishResult> {
    await this.#ready();
    const appended: (Position | Error)[] = [];
    const batches = batchesOf(message.deliveries, this.#parts.length);
    const duplicates = await Promise.all(batches.map((batch) => this.#append(message, batch, appended)));
    return { appended, duplicates: duplicates.reduce((sum, count) => sum + count, 0) };
  }

  async #append(message: BrokerMessage, batch: Batch, appended: (Position | Error)[]): Promise<number> {
    const part = this.#parts[batch.partition]!;
    const { keys, args } = appendCall(message, batch, part, this.#options);
    try {
      const reply = (await this.#link.run(this.#scripts.append, keys, args)) as AppendReply;
      part.wrote(reply[0]);
      return takeAppended(reply, message.tag, batch.places, appended);
    } catch (cause) {
      const error = cause instanceof Error ? cause : new UsercastError('broker_unavailable', String(cause));
      for (const place of batch.places) appended[place] = error;
      return 0;
    }
  }

  async subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    return this.#users.listen(await this.#part(userId), userId, listener);
  }

  async read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    const part = await this.#part(userId);
    const keys = [part.user(userId), part.stream(userId), part.marks(userId)];
    const reply = (await this.#run(scripts.READ, part, keys, [
      stampOf(this.#options),
      String(this.#options.positionMs),
      after?.epoch ?? '',
      String(after?.offset ?? 0),
      String(limit),
    ])) as ReadReply;
    const shared = sharedOf(reply).map(([tag, name]) => part.payload(tag, name));
    if (shared.length === 0) return sliceOf(reply, []);
    return sliceOf(reply, (await this.#link.command(part.generation, 'MGET', ...shared)) as (string | null)[]);
  }

  async tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    await this.#ready();
    const asked = this.#chunks(userIds).map(async ([part, users]) => {
      const keys = users.flatMap((userId) => [part.user(userId), part.stream(userId), part.marks(userId)]);
      const args = [stampOf(this.#options), String(this.#options.positionMs)];
      return topsOf(users, (await this.#run(scripts.TOPS, part, keys, args)) as string[]);
    });
    // Of the users of a node that is away, nothing is known.
    const answers = await Promise.allSettled(asked);
    const [refusal] = answers.filter((answer) => answer.status === 'rejected');
    const tops = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (refusal && tops.length === 0) throw refusal.reason;
    return new Map(tops);
  }

  async whisper(userIds: readonly string[], payload: string): Promise<void> {
    await this.#ready();
    const calls = this.#chunks(userIds).map(([part, users]) => {
      const channels = users.map((userId) => part.channel(userId));
      return this.#link.run(this.#scripts.whisper, [part.generation], [payload, ...channels]);
    });
    await Promise.all(calls);
  }

  async online(userIds: readonly string[]): Promise<Set<string>> {
    await this.#ready();
    const question = this.#link.isCluster ? 'SHARDNUMSUB' : 'NUMSUB';
    const asked = this.#chunks(userIds).map(async ([part, users]) => {
      const channels = users.map((userId) => part.channel(userId));
      const reply = (await this.#link.command(part.generation, 'PUBSUB', question, ...channels)) as unknown[];
      return users.filter((_, i) => Number(reply[2 * i + 1]) > 0);
    });
    return new Set((await Promise.all(asked)).flat());
  }

  async mark(userId: string, target: DisconnectTarget): Promise<void> {
    const part = await this.#part(userId);
    const args = [JSON.stringify(target), String(this.#options.marksMs), String(MAX_MARKS), part.channel(userId)];
    await this.#write(this.#scripts.mark, part, [part.marks(userId)], args);
  }

  async forget(userId: string): Promise<void> {
    const part = await this.#part(userId);
    const keys = [part.user(userId), part.stream(userId)];
    await this.#write(scripts.FORGET, part, keys, []);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#users.clear();
    await this.#link.close();
    this.#tell('lost');
  }

  #run(script: RedisScript, part: Part, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return this.#link.run(script, [...part.keys, ...keys], () => [...part.args, ...args]);
  }

  async #write(script: RedisScript, part: Part, keys: readonly string[], args: readonly string[]): Promise<void> {
    part.wrote((await this.#run(script, part, keys, args)) as number);
  }

  async #part(userId: string): Promise<Part> {
    await this.#ready();
    return this.#parts[partitionOf(userId, this.#parts.length)]!;
  }

  /** By partition, and not too many in one call. */
  #chunks(userIds: readonly string[]): [Part, string[]][] {
    const chunks: [Part, string[]][] = [];
    const open = new Map<Part, string[]>();
    for (const userId of userIds) {
      const part = this.#parts[partitionOf(userId, this.#parts.length)]!;
      let users = open.get(part);
      if (!users || users.length === CHUNK) {
        users = [];
        open.set(part, users);
        chunks.push([part, users]);
      }
      users.push(userId);
    }
    return chunks;
  }

  #ready(): Promise<void> {
    if (this.#closed) return Promise.reject(new UsercastError('closed', 'the Redis broker is closed'));
    this.#prepared ??= this.#prepare();
    return this.#prepared;
  }

  async #prepare(): Promise<void> {
    try {
      await this.#link.ready();
      await this.#checkLayout();
    } catch (cause) {
      this.#prepared = null;
      throw cause;
    }
    for (const part of this.#parts) this.#probe(part).catch(ignore);
    if (this.#link.status === 'ready') this.#tell('ready');
  }

  #checkLayout(): Promise<void> {
    return checkLayout(this.#link, this.#options.prefix, this.#parts.length);
  }

  async #probe(part: Part): Promise<void> {
    const args = [part.probeChannel, part.commonChannel];
    const reply = await this.#run(this.#scripts.probe, part, [], args);
    const isNew = part.probed(...(reply as [generation: string, processes: number]));
    if (!isNew) return;
    if (this.#status === 'ready') this.#catchUp();
    await this.#checkLayout();
  }

  /** Has everybody compare where they stand with Redis: something may have been missed. Once for several reasons. */
  #catchUp(): void {
    this.#catchingUp ??= setTimer(() => {
      this.#catchingUp = null;
      if (this.#status !== 'ready') return;
      this.#tell('lost');
      this.#tell('ready');
    }, CATCH_UP_MS);
  }

  /** Ready is told once this process has looked for what Redis may have lost: who compares positions then, sees it. */
  async #follow(status: BrokerStatus): Promise<void> {
    if (status !== 'ready') {
      this.#tell(status);
      return;
    }
    try {
      await this.#ready();
      if (this.#status === 'ready') return;
      await this.#checkLayout();
      await Promise.all(this.#parts.map((part) => this.#probe(part)));
    } catch {
      setTimer(() => {
        if (this.#isUp) void this.#follow('ready');
      }, RETRY_MS);
      return;
    }
    if (this.#isUp) this.#tell('ready');
  }

  get #isUp(): boolean {
    return this.#link.status === 'ready' && !this.#closed;
  }

  /** A node of a cluster is back while another is still away: those who stand on it have to compare now. */
  #restored(): void {
    if (!this.#link.isCluster || this.#status !== 'lost' || this.#link.status === 'ready') return;
    this.#tell('ready');
    this.#tell('lost');
  }

  #tell(status: BrokerStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    for (const listener of [...this.#statusListeners]) listener(status);
  }
}

/** What a probe finds wrong, the next one finds as well. */
const ignore = (): void => {};
