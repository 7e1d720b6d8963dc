// The embedded broker: every user's stream in this process, bounded in messages, age, users and bytes. The reference for
// the Broker contract; several usercast instances of one process may share one.

import { UsercastError } from '../errors.ts';
import { EPOCH_LENGTH, type Position } from '../protocol/cursor.ts';
import { randomName } from '../random.ts';
import { monotonicMs } from '../timers.ts';
import type {
  Broker,
  BrokerMessage,
  BrokerStatus,
  Delivery,
  DisconnectTarget,
  PublishResult,
  StreamListener,
  StreamSlice,
  StreamTop,
  Unsubscribe,
} from './broker.ts';
import { DeduplicationWindow } from './deduplication-window.ts';
import {
  type MemoryBrokerOptions,
  type ResolvedMemoryBrokerOptions,
  resolveMemoryBrokerOptions,
} from './memory-broker-options.ts';
import { letGo, MemoryStream, type StoredMessage } from './memory-stream.ts';

/** Estimates of what V8 keeps for each, in bytes. */
const STREAM_BYTES = 480;
const MESSAGE_BYTES = 120;
const REFERENCE_BYTES = 12;
const COUNT_BYTES = 100;
const SWEEP_MS = 30_000;
/** What acks may add to the history before it is looked for something to let go, while counts fill `maxBytes`. */
const ACKS_SHARE = 0.01;

/** The memory broker's gauges. */
export interface MemoryBrokerStats {
  readonly users: number;
  /** Entries kept, over all users. */
  readonly entries: number;
  /** Estimated bytes of streams, messages, counts and deduplication records. */
  readonly bytes: number;
  /** Users whose stream or counts were let go to stay within the bounds. */
  readonly evictedUsers: number;
}

/** A `Broker` in the memory of this process. */
export interface MemoryBroker extends Broker {
  readonly counters: { counts(userId: string): Promise<Record<string, number>> };
  stats(): MemoryBrokerStats;
}

/**
 * Keeps every stream, count and deduplication record in this process.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function memoryBroker(options: MemoryBrokerOptions = {}): MemoryBroker {
  return new InMemoryBroker(resolveMemoryBrokerOptions(options));
}

class InMemoryBroker implements MemoryBroker {
  readonly reliable = true;
  readonly #options: ResolvedMemoryBrokerOptions;
  readonly #streams = new Map<string, MemoryStream>();
  readonly #window: DeduplicationWindow;
  /** Of streams and counts. */
  #bytes = 0;
  #historyBytes = 0;
  #entries = 0;
  #evictedUsers = 0;
  #sweeper: ReturnType<typeof setInterval> | null = null;
  #closed = false;
  #publishing = false;

  readonly counters = {
    counts: async (userId: string) => {
      this.#assertOpen();
      return this.#counts(this.#streams.get(userId));
    },
  };

  constructor(options: ResolvedMemoryBrokerOptions) {
    this.#options = options;
    this.#window = new DeduplicationWindow(options.deduplicationMs);
  }

  get status(): BrokerStatus {
    return this.#closed ? 'lost' : 'ready';
  }

  onStatus(): Unsubscribe {
    return () => {};
  }

  async publish(message: BrokerMessage): Promise<PublishResult> {
    // A listener that publishes in turn waits: every listener sees the stream in its order.
    if (this.#publishing) await Promise.resolve();
    this.#assertOpen();
    const nowMs = monotonicMs();
    this.#window.expire(nowMs);
    this.#makeRoom(message);
    this.#publishing = true;
    try {
      return this.#appendAll(message, nowMs);
    } finally {
      this.#publishing = false;
    }
  }

  #appendAll(message: BrokerMessage, nowMs: number): PublishResult {
    const record = message.id === undefined ? null : this.#window.open(message.id, message.tag, nowMs);
    const appended: (Position | Error)[] = [];
    let duplicates = 0;
    let full: UsercastError | null = null;
    for (const delivery of message.deliveries) {
      const stored: StoredMessage = {
        payload: delivery.payload,
        tag: message.tag,
        unread: delivery.unread !== undefined,
        storedMs: nowMs,
        references: 0,
      };
      for (const userId of delivery.userIds) {
        const known = record?.find(userId);
        if (known) {
          duplicates++;
          appended.push(known);
          continue;
        }
        const stream = this.#streams.get(userId) ?? (full ? null : this.#createWithinBounds(userId));
        if (!stream) {
          full ??= this.#fullError();
          appended.push(full);
          continue;
        }
        record?.add(stream);
        this.#append(stream, stored, delivery, nowMs);
        appended.push({ epoch: stream.epoch, offset: stream.offset, tag: message.tag });
      }
    }
    return { appended, duplicates };
  }

  #append(stream: MemoryStream, stored: StoredMessage, delivery: Delivery, nowMs: number): void {
    if (delivery.unread) {
      stream.counts ??= new Map();
      const count = stream.counts.get(delivery.unread.boxId);
      if (count === undefined) this.#bytes += COUNT_BYTES;
      stream.counts.set(delivery.unread.boxId, (count ?? 0) + 1);
    }
    if (delivery.ack && stream.counts?.delete(delivery.ack.boxId)) this.#bytes -= COUNT_BYTES;
    if (stored.references === 0) this.#historyBytes += MESSAGE_BYTES + stored.payload.length;
    this.#historyBytes += REFERENCE_BYTES;
    this.#entries++;
    stream.append(stored);
    this.#trim(stream, nowMs);
  }

  async subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    this.#assertOpen();
    this.#existing(userId).listen(listener);
    return () => this.#streams.get(userId)?.unlisten(listener);
  }

  async read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    this.#assertOpen();
    const stream = this.#existing(userId);
    this.#trim(stream, monotonicMs());
    return {
      top: stream.top,
      entries: after ? stream.entriesAfter(after, limit) : [],
      counts: this.#counts(stream),
      ...stream.disconnects,
    };
  }

  async tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    this.#assertOpen();
    return new Map(userIds.map((userId) => [userId, this.#existing(userId).topAndMark]));
  }

  async whisper(userIds: readonly string[], payload: string): Promise<void> {
    this.#assertOpen();
    for (const userId of userIds) {
      for (const listener of this.#streams.get(userId)?.listeners ?? []) listener.whisper(payload);
    }
  }

  async online(userIds: readonly string[]): Promise<Set<string>> {
    this.#assertOpen();
    return new Set(userIds.filter((userId) => (this.#streams.get(userId)?.listeners.length ?? 0) > 0));
  }

  async mark(userId: string, target: DisconnectTarget): Promise<void> {
    this.#assertOpen();
    const stream = this.#existing(userId);
    const mark = stream.mark(target);
    for (const listener of stream.listeners) listener.mark(mark);
  }

  async forget(userId: string): Promise<void> {
    this.#assertOpen();
    const stream = this.#streams.get(userId);
    if (!stream) return;
    this.#remove(stream);
    if (stream.listeners.length === 0 && stream.markNumber === 0) return;
    const fresh = this.#create(userId);
    fresh.listeners = stream.listeners;
    fresh.markNumber = stream.markNumber;
    fresh.marks = stream.marks;
    fresh.markedMs = stream.markedMs;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#sweeper) clearInterval(this.#sweeper);
    this.#sweeper = null;
    this.#streams.clear();
    this.#window.clear();
    this.#bytes = this.#historyBytes = this.#entries = 0;
  }

  stats(): MemoryBrokerStats {
    return {
      users: this.#streams.size,
      entries: this.#entries,
      bytes: this.#bytes + this.#historyBytes + this.#window.bytes,
      evictedUsers: this.#evictedUsers,
    };
  }

  #assertOpen(): void {
    if (this.#closed) throw new UsercastError('closed', 'the memory broker is closed');
  }

  #counts(stream: MemoryStream | undefined): Record<string, number> {
    return Object.fromEntries(stream?.counts ?? []);
  }

  #existing(userId: string): MemoryStream {
    const stream = this.#streams.get(userId) ?? this.#createWithinBounds(userId);
    if (!stream) throw this.#fullError();
    return stream;
  }

  #fullError(): UsercastError {
    const { maxUsers } = this.#options;
    return new UsercastError('overloaded', `the memory broker holds its maxUsers of ${maxUsers}, all connected`);
  }

  #createWithinBounds(userId: string): MemoryStream | null {
    return this.#roomForUser() ? this.#create(userId) : null;
  }

  #create(userId: string): MemoryStream {
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    const stream = new MemoryStream(userId, randomName(EPOCH_LENGTH));
    this.#streams.set(userId, stream);
    this.#bytes += STREAM_BYTES;
    return stream;
  }

  #trim(stream: MemoryStream, nowMs: number): void {
    const { messages, ageMs } = this.#options.history;
    const endMs = nowMs - ageMs;
    while (stream.length > messages || (stream.oldest?.storedMs ?? nowMs) <= endMs) this.#drop(stream);
  }

  #drop(stream: MemoryStream): void {
    const message = stream.dropOldest();
    this.#entries--;
    this.#historyBytes -= REFERENCE_BYTES;
    if (message.references === 0) this.#historyBytes -= MESSAGE_BYTES + message.payload.length;
  }

  #sweep(): void {
    const nowMs = monotonicMs();
    this.#window.expire(nowMs);
    for (const stream of this.#streams.values()) this.#trim(stream, nowMs);
  }

  #remove(stream: MemoryStream): void {
    while (stream.length > 0) this.#drop(stream);
    this.#bytes -= STREAM_BYTES + COUNT_BYTES * (stream.counts?.size ?? 0);
    this.#streams.delete(stream.userId);
    // Deduplication records may hold the stream for a whole window.
    stream.counts = null;
  }

  /**
   * Over `maxBytes`, lets go of the histories that were not used for longest; their positions and counts stay. Where
   * these alone are over it, only acks pass: they free more than they take.
   */
  #makeRoom(message: BrokerMessage): void {
    const { maxBytes } = this.#options;
    const room = Math.max(maxBytes - this.#bytes - this.#window.bytes, 0);
    if (room === 0 && !message.deliveries.every(({ ack }) => ack)) {
      throw new UsercastError(
        'overloaded',
        `the memory broker is over its maxBytes of ${maxBytes} with counts and deduplication records alone`,
      );
    }
    if (this.#historyBytes <= Math.max(room, maxBytes * ACKS_SHARE)) return;
    letGo(this.#streams, (stream) => {
      while (stream.length > 0) this.#drop(stream);
      return this.#historyBytes <= room * 0.9;
    });
  }

  #roomForUser(): boolean {
    if (this.#streams.size < this.#options.maxUsers) return true;
    return letGo(this.#streams, (stream) => {
      if (stream.listeners.length > 0) return false;
      this.#remove(stream);
      this.#evictedUsers++;
      return true;
    });
  }
}
