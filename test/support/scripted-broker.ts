// A broker whose every step a test decides: what arrives, in which order, what a read answers, and what was lost.

import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  Broker,
  BrokerMessage,
  BrokerStatus,
  DisconnectMark,
  DisconnectTarget,
  Publication,
  PublishResult,
  StreamListener,
  StreamSlice,
  StreamTop,
  Unsubscribe,
} from '../../src/broker/broker.ts';
import { ORIGIN_TAG, type Position } from '../../src/protocol/cursor.ts';

export type BrokerCall =
  | 'publish'
  | 'subscribe'
  | 'read'
  | 'tops'
  | 'whisper'
  | 'online'
  | 'mark'
  | 'forget'
  | 'counts';

/** So many reads mean that somebody reads in a circle; the next one is never answered, so that the test can say so. */
const MAX_READS = 2_000;

/** One user's stream. */
export class ScriptedStream {
  readonly userId: string;
  epoch: string;
  entries: Publication[] = [];
  listeners: StreamListener[] = [];
  marks: DisconnectMark[] = [];
  markAgeMs: number | undefined;
  markNumber = 0;
  /** Entries before this index are gone from history. */
  trimmed = 0;
  #serial = 0;

  constructor(userId: string) {
    this.userId = userId;
    this.epoch = epochOf(userId, 0);
  }

  get top(): Position {
    const last = this.entries.at(-1);
    return last
      ? { epoch: last.epoch, offset: last.offset, tag: last.tag }
      : { epoch: this.epoch, offset: 0, tag: ORIGIN_TAG };
  }

  /** Stores a message and tells nobody. */
  append(payload: string, tag = `t${String(++this.#serial).padStart(7, '0')}`): Publication {
    const { offset, tag: previousTag } = this.top;
    const publication = { epoch: this.epoch, offset: offset + 1, tag, previousTag, payload, unread: false };
    this.entries.push(publication);
    return publication;
  }

  /** Tells the subscribers, and stores nothing. */
  send(...publications: readonly Publication[]): void {
    for (const publication of publications) for (const listener of this.listeners) listener.publication(publication);
  }

  /** As a broker that works. */
  publish(...payloads: readonly string[]): void {
    for (const payload of payloads) this.send(this.append(payload));
  }

  /** The broker comes back, and knows only the first `offset` entries. */
  rollBack(offset: number): void {
    this.entries.length = offset;
  }

  /** The broker comes back with nothing. */
  renew(): void {
    this.entries = [];
    this.trimmed = 0;
    this.epoch = epochOf(this.userId, ++this.#serial);
  }

  slice(after: Position | null, limit: number): StreamSlice {
    const kept = this.entries.slice(this.trimmed);
    const isKnown = after?.epoch === this.epoch;
    const entries = after && isKnown ? kept.filter(({ offset }) => offset > after.offset).slice(0, limit) : [];
    const age = this.markAgeMs === undefined ? {} : { markAgeMs: this.markAgeMs };
    return { top: this.top, entries, markNumber: this.markNumber, marks: [...this.marks], ...age };
  }
}

function epochOf(userId: string, number: number): string {
  return `${userId}-${number}`.padEnd(16, '-');
}

export class ScriptedBroker implements Broker {
  status: BrokerStatus = 'ready';
  /** How often each method was called. */
  readonly calls: Record<BrokerCall, number> = {
    publish: 0,
    subscribe: 0,
    read: 0,
    tops: 0,
    whisper: 0,
    online: 0,
    mark: 0,
    forget: 0,
    counts: 0,
  };
  unsubscribed = 0;
  readonly statusListeners = new Set<(status: BrokerStatus) => void>();
  /** Runs before a call does anything; what it throws, the call rejects with. */
  before: (call: BrokerCall, userId: string) => unknown = () => {};
  /** Runs when a call has done its work and has not answered yet. */
  after: (call: BrokerCall, userId: string) => unknown = () => {};
  /** What subscribers get in place of a publication. */
  route: (publication: Publication, stream: ScriptedStream) => readonly Publication[] = (publication) => [publication];
  /** Runs when a subscription is given up. */
  unsubscribing: () => void = () => {};
  readonly counters = { counts: async (userId: string) => this.#call('counts', userId, () => ({})) };
  readonly #streams = new Map<string, ScriptedStream>();

  stream(userId: string): ScriptedStream {
    let stream = this.#streams.get(userId);
    if (!stream) {
      stream = new ScriptedStream(userId);
      this.#streams.set(userId, stream);
    }
    return stream;
  }

  async publish({ tag, deliveries }: BrokerMessage): Promise<PublishResult> {
    return this.#call('publish', '', () => {
      const appended = deliveries.flatMap(({ payload, userIds }) =>
        userIds.map((userId): Position => {
          const stream = this.stream(userId);
          const publication = stream.append(payload, tag);
          stream.send(...this.route(publication, stream));
          return publication;
        }),
      );
      return { appended, duplicates: 0 };
    });
  }

  async subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    return this.#call('subscribe', userId, () => {
      const stream = this.stream(userId);
      stream.listeners.push(listener);
      return () => {
        this.unsubscribed++;
        stream.listeners = stream.listeners.filter((other) => other !== listener);
        this.unsubscribing();
      };
    });
  }

  async read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    if (this.calls.read >= MAX_READS) return new Promise(() => {});
    return this.#call('read', userId, () => this.stream(userId).slice(after, limit));
  }

  async tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    return this.#call('tops', '', () => {
      const streams = userIds.map((userId) => this.stream(userId));
      return new Map(streams.map(({ userId, top, markNumber }) => [userId, { ...top, markNumber }]));
    });
  }

  async whisper(userIds: readonly string[], payload: string): Promise<void> {
    await this.#call('whisper', '', () => {
      for (const userId of userIds) for (const listener of this.stream(userId).listeners) listener.whisper(payload);
    });
  }

  async online(userIds: readonly string[]): Promise<Set<string>> {
    return this.#call(
      'online',
      '',
      () => new Set(userIds.filter((userId) => this.stream(userId).listeners.length > 0)),
    );
  }

  async mark(userId: string, target: DisconnectTarget): Promise<void> {
    await this.#call('mark', userId, () => {
      const stream = this.stream(userId);
      const mark = { ...target, number: ++stream.markNumber };
      stream.marks.push(mark);
      for (const listener of stream.listeners) listener.mark(mark);
    });
  }

  async forget(userId: string): Promise<void> {
    await this.#call('forget', userId, () => this.stream(userId).renew());
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    this.statusListeners.add(listener);
    return () => this.statusListeners.delete(listener);
  }

  /** Tells its status listeners. */
  become(status: BrokerStatus): void {
    this.status = status;
    for (const listener of this.statusListeners) listener(status);
  }

  async close(): Promise<void> {}

  async #call<T>(call: BrokerCall, userId: string, work: () => T): Promise<T> {
    this.calls[call]++;
    await this.before(call, userId);
    const result = work();
    await this.after(call, userId);
    return result;
  }
}

/** A step that waits until it is opened; `reached` resolves when somebody waits. */
export class Gate {
  #open: () => void = () => {};
  #reach: () => void = () => {};
  readonly reached = new Promise<void>((resolve) => {
    this.#reach = resolve;
  });
  readonly #opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });

  readonly pass = async (): Promise<void> => {
    this.#reach();
    await this.#opened;
  };

  open(): void {
    this.#open();
  }
}

/** Lets everything that is under way in this process go on as far as it can. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}
