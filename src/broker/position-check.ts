// Finds what no live message tells of: that the last one of a stream, or a disconnect, was lost on its way. Compares where
// the local subscriptions stand with the broker's tops, in turn, and all of them soon after its connection came back.

import type { ErrorStage } from '../errors.ts';
import type { Position } from '../protocol/cursor.ts';
import { setTimer, type Timer, withDeadline } from '../timers.ts';
import type { Broker, BrokerStatus, Unsubscribe } from './broker.ts';

/** A subscription, as far as it is checked. */
export interface Checked extends Position {
  readonly userId: string;
  readonly markNumber: number;
  /** Stands at a position, and is not reading after it already. */
  readonly isLive: boolean;
  /** Reads what may be missing after the position. Never rejects. */
  advance(): Promise<void>;
}

export interface CheckTimes {
  /** All are checked once in about this time. */
  readonly checkMs: number;
  /** All are checked within this time after a reconnect. */
  readonly catchUpMs: number;
}

export interface PositionCheckOptions {
  readonly broker: Broker;
  readonly deadlineMs: number;
  readonly times: CheckTimes;
  readonly onError: (stage: ErrorStage, cause: unknown) => void;
}

const RETRY_MS = 1_000;
const BATCH = 500;

/** Owned by a process's subscriptions. */
export class PositionCheck {
  readonly #options: PositionCheckOptions;
  readonly #all: () => Iterable<Checked>;
  readonly #stopListening: Unsubscribe;
  /** What is left of the round. */
  #queue: Checked[] = [];
  #pauseMs: number;
  #catchesUp = false;
  #wasLost: boolean;
  #timer: Timer | null = null;
  #state: 'idle' | 'watching' | 'stopped' = 'idle';

  constructor(options: PositionCheckOptions, all: () => Iterable<Checked>) {
    this.#options = options;
    this.#all = all;
    this.#pauseMs = options.times.checkMs;
    this.#wasLost = options.broker.status === 'lost';
    this.#stopListening = options.broker.onStatus((status) => this.#follow(status));
  }

  /** There is something to check. */
  watch(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'watching';
    this.#schedule(this.#options.times.checkMs);
  }

  /** There is nothing to check any more. */
  rest(): void {
    if (this.#state === 'watching') this.#state = 'idle';
    this.#queue = [];
    this.#unschedule();
  }

  stop(): void {
    this.rest();
    this.#state = 'stopped';
    this.#stopListening();
  }

  #follow(status: BrokerStatus): void {
    if (status === 'lost') this.#wasLost = true;
    if (status !== 'ready' || !this.#wasLost) return;
    this.#wasLost = false;
    if (this.#state !== 'watching') return;
    this.#begin(this.#options.times.catchUpMs);
    this.#catchesUp = true;
    this.#schedule(Math.random() * Math.min(this.#pauseMs, RETRY_MS));
  }

  #begin(roundMs: number): void {
    this.#queue = [...this.#all()];
    this.#pauseMs = roundMs / Math.max(Math.ceil(this.#queue.length / BATCH), 1);
    this.#catchesUp = false;
  }

  /** Jitter keeps many processes from asking at one moment. */
  #schedule(delayMs: number): void {
    this.#unschedule();
    this.#timer = setTimer(() => void this.#next(), delayMs * (0.8 + Math.random() * 0.4));
  }

  #unschedule(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #next(): Promise<void> {
    this.#timer = null;
    if (this.#queue.length === 0) this.#begin(this.#options.times.checkMs);
    const batch = this.#queue.splice(0, BATCH);
    let pauseMs = this.#pauseMs;
    try {
      // Also while the broker is lost: some of its parts may answer.
      await this.#check(batch.filter(({ isLive }) => isLive));
    } catch (cause) {
      if (this.#options.broker.status === 'ready') this.#options.onError('read', cause);
      if (this.#catchesUp) {
        this.#queue.push(...batch);
        pauseMs = Math.max(pauseMs, RETRY_MS);
      }
    }
    if (this.#state === 'watching' && !this.#timer) this.#schedule(pauseMs);
  }

  async #check(batch: readonly Checked[]): Promise<void> {
    if (batch.length === 0) return;
    const { broker, deadlineMs } = this.#options;
    // The answer may overtake live messages: it is compared with where a subscription stood when it was asked for.
    const held = batch.map(({ epoch, offset, tag }) => ({ epoch, offset, tag }));
    const asked = broker.tops(batch.map(({ userId }) => userId));
    const tops = await withDeadline(asked, deadlineMs, 'the broker, asked for positions,');
    for (const [i, subscription] of batch.entries()) {
      const top = tops.get(subscription.userId);
      if (!top || !subscription.isLive) continue;
      const hasMoved = !isSame(held[i]!, subscription);
      if (top.markNumber > subscription.markNumber || (!hasMoved && !isSame(top, subscription))) {
        void subscription.advance();
      }
    }
  }
}

function isSame(a: Position, b: Position): boolean {
  return a.tag === b.tag && a.offset === b.offset && a.epoch === b.epoch;
}
