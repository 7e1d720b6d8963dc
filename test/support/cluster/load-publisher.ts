// Publishes at a steady rate through the server processes of a scene. What fails, or dies with its process, is published
// again under its id until it is accepted.

import type { Published } from '../../../src/index.ts';
import { textEvent } from '../box-events.ts';
import type { Accepted } from '../invariants.ts';
import type { ServerProcess } from './server-process.ts';

export interface LoadPublisherOptions {
  /** Those that take messages at the moment. */
  readonly servers: () => readonly ServerProcess[];
  readonly userIds: readonly string[];
  readonly messagesPerSecond: number;
  /** Says when no more is begun than there is: the machine may not do as much. Default: never. */
  readonly isFull?: () => boolean;
  readonly random: () => number;
}

const TICK_MS = 10;
/** What the machine kept from being published for longer than this is not made up for: so much at once is no steady rate. */
const LONGEST_TICK_MS = 100;
/** A process that does not answer in this time is asked no more. */
const ANSWER_WITHIN_MS = 20_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 200;
/** One message in so many goes to several users. */
const SEVERAL_EVERY = 5;

/** Rejects when a promise takes too long. */
export function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class LoadPublisher {
  /** One for each recipient, in the order of acceptance. */
  readonly accepted: Accepted[] = [];
  /** The ids of those by user. */
  readonly idsOf = new Map<string, string[]>();
  /** Attempts that failed. */
  failed = 0;
  /** Recipients that an attempt found to have the message already. */
  duplicates = 0;
  readonly #options: LoadPublisherOptions;
  readonly #underWay = new Set<Promise<unknown>>();
  #serial = 0;
  /** Begins new messages. */
  isRunning = false;
  #hasGivenUp = false;
  #running: Promise<void> | null = null;

  constructor(options: LoadPublisherOptions) {
    this.#options = options;
    for (const userId of options.userIds) this.idsOf.set(userId, []);
  }

  /** Milliseconds that the slowest message took from its first attempt to its acceptance. */
  get slowestMs(): number {
    return this.accepted.reduce((most, { fromMs, doneMs = fromMs }) => Math.max(most, doneMs - fromMs), 0);
  }

  /** Messages that are not accepted yet. */
  get waiting(): number {
    return this.#underWay.size;
  }

  start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    this.#running = this.#run();
  }

  /** Begins no new messages; resolves when those under way are accepted. @throws Error when they are not, in that time. */
  async stop(withinMs: number): Promise<void> {
    this.isRunning = false;
    await this.#running;
    await within(withinMs, `${this.waiting} messages accepted`, Promise.all(this.#underWay));
  }

  /** What is not accepted yet is left. */
  giveUp(): void {
    this.isRunning = false;
    this.#hasGivenUp = true;
  }

  /** Resolves with the message's id when it is accepted; never rejects. */
  publish(userIds: readonly string[], boxId: string): Promise<string> {
    const one = this.#publish(userIds, boxId).finally(() => this.#underWay.delete(one));
    this.#underWay.add(one);
    return one;
  }

  async #publish(userIds: readonly string[], boxId: string): Promise<string> {
    const fromMs = performance.now();
    const event = textEvent(`event ${++this.#serial}`, { boxId });
    for (let pauseMs = FIRST_PAUSE_MS; !this.#hasGivenUp; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const server = this.#pick(this.#options.servers());
      try {
        if (!server) throw new Error('there is no server');
        const { duplicates } = await within<Published>(ANSWER_WITHIN_MS, 'published', server.publish(userIds, event));
        this.duplicates += duplicates;
        const doneMs = performance.now();
        this.accepted.push(...userIds.map((userId) => ({ userId, id: event.id, boxId, fromMs, doneMs })));
        for (const userId of userIds) this.idsOf.get(userId)!.push(event.id);
        break;
      } catch {
        this.failed++;
        await pause(pauseMs);
      }
    }
    return event.id;
  }

  /** Events to `kept` are never acked, those to `acked` may be. */
  async #run(): Promise<void> {
    const { messagesPerSecond, isFull = () => false, random, userIds } = this.#options;
    let due = 1;
    for (let lastMs = performance.now(); this.isRunning; ) {
      const nowMs = performance.now();
      due += (Math.min(nowMs - lastMs, LONGEST_TICK_MS) / 1_000) * messagesPerSecond;
      lastMs = nowMs;
      for (; due >= 1; due--) {
        if (isFull()) continue;
        const recipients = new Set([this.#pick(userIds)!]);
        if (random() * SEVERAL_EVERY < 1) for (let more = 0; more < 4; more++) recipients.add(this.#pick(userIds)!);
        void this.publish([...recipients], random() < 0.5 ? 'kept' : 'acked');
      }
      await pause(TICK_MS);
    }
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#options.random() * all.length)];
  }
}
