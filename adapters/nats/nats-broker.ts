// The broker over NATS JetStream: one stream for all users, republished to plain subscriptions. This file puts the parts
// together; each of them does one thing.

import {
  type Broker,
  type BrokerMessage,
  type BrokerStatus,
  type DisconnectTarget,
  type Position,
  type PublishResult,
  type StreamListener,
  type StreamSlice,
  type StreamTop,
  type Unsubscribe,
  UsercastError,
} from '../../src/index.ts';
import { Appender } from './appender.ts';
import { Channels, liveMessages } from './channels.ts';
import { askJetStream } from './jetstream.ts';
import { Marks } from './marks.ts';
import { type NatsBrokerOptions, resolveNatsBrokerOptions } from './nats-broker-options.ts';
import { NO_RESPONDERS } from './nats-calls.ts';
import type { NatsCaller } from './nats-link.ts';
import { userToken } from './nats-names.ts';
import { NatsStore } from './nats-store.ts';
import { Reader } from './reader.ts';

/** Who does not answer whether it has a subscriber within this time has none: somebody only watches the subjects. */
const ONLINE_MS = 1_000;
/** Asked at once whether they are online. */
const CHUNK = 500;

/**
 * A `Broker` on NATS 2.9 or later with JetStream, for any number of processes. It connects at once and goes on trying; it
 * makes the stream and the buckets that it needs, and refuses those whose settings would break its guarantees: calls then
 * reject with `broker_unavailable`, and the message names each setting. It keeps no counts: give `natsCounters` beside it.
 * A message id is known for `deduplicationMs`, across a restart of the server as far as the history reaches.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function natsBroker(options: NatsBrokerOptions): Broker {
  return new NatsBroker(resolveNatsBrokerOptions(options));
}

class NatsBroker implements Broker {
  readonly #store: NatsStore;
  readonly #marks: Marks;
  readonly #reader: Reader;
  readonly #channels: Channels;
  readonly #appender: Appender;
  readonly #listeners = new Set<(status: BrokerStatus) => void>();

  constructor(options: ReturnType<typeof resolveNatsBrokerOptions>) {
    this.#store = new NatsStore(options, () => this.#changed());
    this.#marks = new Marks(this.#store);
    this.#reader = new Reader(this.#store, this.#marks);
    this.#channels = new Channels(this.#store, this.#reader);
    this.#appender = new Appender(this.#store, this.#reader);
    this.#store.link.onStatus((status) => {
      if (status === 'lost') this.#channels.doubt();
      this.#tell(status);
    });
  }

  get status(): BrokerStatus {
    return this.#store.link.status;
  }

  get outage(): Error | null {
    return this.#store.link.outage;
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    const own = (status: BrokerStatus): void => listener(status);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  publish(message: BrokerMessage): Promise<PublishResult> {
    return this.#appender.append(message);
  }

  subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    return this.#channels.subscribe(userId, listener);
  }

  read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    return this.#channels.learning(async (learn) => {
      const slice = await this.#reader.read(userId, after, limit);
      learn(userId, slice.top);
      return slice;
    });
  }

  tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    return this.#channels.learning(async (learn) => {
      const tops = await this.#reader.tops(userIds);
      for (const [userId, top] of tops) learn(userId, top);
      return tops;
    });
  }

  async whisper(userIds: readonly string[], payload: string): Promise<void> {
    const { connection } = await this.#store.link.ready();
    const message = liveMessages.whisper(payload);
    for (const userId of userIds) connection.publish(this.#liveSubject(userId), message);
  }

  async online(userIds: readonly string[]): Promise<Set<string>> {
    const caller = await this.#store.link.ready();
    const online = new Set<string>();
    for (let from = 0; from < userIds.length; from += CHUNK) {
      await Promise.all(
        userIds.slice(from, from + CHUNK).map(async (userId) => {
          if (this.#channels.has(userId) || (await this.#isOnlineElsewhere(caller, userId))) online.add(userId);
        }),
      );
    }
    return online;
  }

  async mark(userId: string, target: DisconnectTarget): Promise<void> {
    await this.#store.use(async (caller) => {
      const mark = await this.#marks.add(caller, userToken(userId), target);
      caller.connection.publish(this.#liveSubject(userId), liveMessages.mark(mark));
    });
  }

  async forget(userId: string): Promise<void> {
    const { seen, names } = this.#store;
    const filter = `${names.entries}${userToken(userId)}`;
    await this.#store.use(async (caller) => {
      // That they are gone is no proof to any process that the server came back older.
      seen.forget(filter);
      caller.connection.publish(names.changed, filter);
      await askJetStream(caller, `STREAM.PURGE.${names.stream}`, { filter });
    });
  }

  async close(): Promise<void> {
    this.#channels.clear();
    await this.#store.link.close();
  }

  async #isOnlineElsewhere(caller: NatsCaller, userId: string): Promise<boolean> {
    const withinMs = Math.min(ONLINE_MS, this.#store.options.deadlineMs);
    try {
      const { code } = await caller.request(this.#liveSubject(userId), liveMessages.ask, { withinMs });
      return code !== NO_RESPONDERS;
    } catch (cause) {
      if (cause instanceof UsercastError && cause.code === 'deadline') return false;
      throw cause;
    }
  }

  /** All positions are of a stream that is no more: whoever checks positions after a reconnect has to do it now. */
  #changed(): void {
    this.#channels.doubt();
    if (this.status !== 'ready') return;
    this.#tell('lost');
    this.#tell('ready');
  }

  #tell(status: BrokerStatus): void {
    for (const listener of [...this.#listeners]) listener(status);
  }

  #liveSubject(userId: string): string {
    return `${this.#store.names.live}${userToken(userId)}`;
  }
}
