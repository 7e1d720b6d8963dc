// A memory broker over a slow, fair wire: every call waits before it takes effect and again before it answers, live
// messages wait in one lane per subscriber, and the test lets them go one by one in any order that can happen.

import { type MemoryBrokerOptions, memoryBroker } from 'usercast';
import type {
  Broker,
  BrokerMessage,
  BrokerStatus,
  DisconnectTarget,
  PublishResult,
  StreamListener,
  StreamSlice,
  StreamTop,
  Unsubscribe,
} from '../../src/broker/broker.ts';
import type { Position } from '../../src/protocol/cursor.ts';

export class SteppedBroker implements Broker {
  readonly status: BrokerStatus = 'ready';
  readonly reliable = true;
  reads = 0;
  readonly #inner;
  /** Calls that wait to take effect or to answer. */
  #calls: (() => void)[] = [];
  /** What is on its way to each subscriber. */
  readonly #lanes: (() => void)[][] = [];

  constructor(options: MemoryBrokerOptions) {
    this.#inner = memoryBroker(options);
  }

  /** Nothing waits. */
  get isQuiet(): boolean {
    return this.#calls.length === 0 && this.#lanes.every((lane) => lane.length === 0);
  }

  /** Lets one thing happen. `random`: in [0, 1). */
  step(random: () => number): void {
    const lanes = this.#lanes.filter((lane) => lane.length > 0);
    const choice = Math.floor(random() * (this.#calls.length + lanes.length));
    const next =
      choice < this.#calls.length ? this.#calls.splice(choice, 1)[0] : lanes[choice - this.#calls.length]?.shift();
    next?.();
  }

  publish(message: BrokerMessage): Promise<PublishResult> {
    return this.#inner.publish(message);
  }

  whisper(userIds: readonly string[], payload: string): Promise<void> {
    return this.#inner.whisper(userIds, payload);
  }

  async subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    await this.#turn();
    const lane: (() => void)[] = [];
    this.#lanes.push(lane);
    const unsubscribe = await this.#inner.subscribe(userId, {
      publication: (publication) => lane.push(() => listener.publication(publication)),
      whisper: (payload) => lane.push(() => listener.whisper(payload)),
      mark: (mark) => lane.push(() => listener.mark(mark)),
    });
    await this.#turn();
    return unsubscribe;
  }

  async read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    this.reads++;
    await this.#turn();
    const slice = await this.#inner.read(userId, after, limit);
    await this.#turn();
    return slice;
  }

  tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    return this.#inner.tops(userIds);
  }

  online(userIds: readonly string[]): Promise<Set<string>> {
    return this.#inner.online(userIds);
  }

  mark(userId: string, target: DisconnectTarget): Promise<void> {
    return this.#inner.mark(userId, target);
  }

  forget(userId: string): Promise<void> {
    return this.#inner.forget(userId);
  }

  /** The counts as they are. */
  counts(userId: string): Promise<Record<string, number>> {
    return this.#inner.counters.counts(userId);
  }

  onStatus(): Unsubscribe {
    return () => {};
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#calls.push(resolve));
  }
}
