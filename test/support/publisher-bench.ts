// A publisher over a memory broker and, where asked for, a counter store; both can be made to fail.

import { expect } from 'vitest';
import { type MemoryBroker, memoryBroker } from '../../src/broker/memory-broker.ts';
import type { CounterStore } from '../../src/counter/counter-store.ts';
import { memoryCounters } from '../../src/counter/memory-counter-store.ts';
import { UsercastError } from '../../src/errors.ts';
import { resolveOptions, type UsercastOptions } from '../../src/options.ts';
import { Publisher, type PublishInfo } from '../../src/publisher.ts';
import { Recorder } from '../../src/testing/recorder.ts';
import { type Faulty, faulty } from './faulty.ts';

const DEADLINE_MS = 20;

/** A publisher over parts that can fail, and what it told. */
export class Bench {
  readonly memory: MemoryBroker = memoryBroker();
  readonly broker = faulty<MemoryBroker>(this.memory);
  readonly store: Faulty<CounterStore> | null;
  readonly errors: { readonly stage: string; readonly cause: unknown }[] = [];
  readonly published: PublishInfo[] = [];
  readonly acked: string[] = [];
  readonly publisher: Publisher;

  constructor(options: UsercastOptions = {}, withStore = false) {
    this.store = withStore ? faulty(memoryCounters()) : null;
    this.publisher = new Publisher({
      options: resolveOptions({ ...options, limits: { deadlineMs: DEADLINE_MS, ...options.limits } }),
      broker: this.broker.thing,
      counters: this.store?.thing ?? null,
      onError: (stage, cause) => this.errors.push({ stage, cause }),
      onPublish: (info) => this.published.push(info),
      onAck: (userId, boxId) => this.acked.push(`${userId} ${boxId}`),
    });
  }

  async listen(userId: string): Promise<Recorder> {
    const recorder = new Recorder();
    await this.memory.subscribe(userId, recorder);
    return recorder;
  }

  counts(userId: string): Promise<Record<string, number>> {
    return (this.store?.thing ?? this.memory.counters).counts(userId);
  }

  /** What a call was refused with; it has to be refused. */
  async refusal(call: Promise<unknown>): Promise<UsercastError> {
    const error = await call.then(
      () => null,
      (cause: unknown) => cause,
    );
    expect(error).toBeInstanceOf(UsercastError);
    return error as UsercastError;
  }
}

/** Both ways to count, for `describe.each`. */
export const COUNTING = [
  { counting: "the broker's own counts", withStore: false },
  { counting: 'a counter store', withStore: true },
];
