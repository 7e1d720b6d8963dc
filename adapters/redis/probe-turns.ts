// When a link looks whether its connections are alive: turn after turn, not in step with other processes.

import { monotonicMs, setTimer, type Timer } from '../../src/timers.ts';

/** Of the interval: three turns are under two intervals, and two misses in a row are needed. */
const TURN = 0.6;
const JITTER = 0.05;

/** So many turns without an answer: it is dead. */
export const MISSES = 2;

/** Goes on until it is closed. */
export class ProbeTurns {
  readonly #turnMs: number;
  readonly #turn: (stoodStill: boolean) => void;
  #timer: Timer | null = null;
  #lastTurnMs = monotonicMs();

  /** `stoodStill`: this process did, so what is missing since the last turn says nothing about the other side. */
  constructor(probeMs: number, turn: (stoodStill: boolean) => void) {
    this.#turnMs = probeMs * TURN;
    this.#turn = turn;
    this.#later();
    queueMicrotask(() => this.#now());
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #later(): void {
    const pauseMs = this.#turnMs * (1 - JITTER + 2 * JITTER * Math.random());
    this.#timer = setTimer(() => {
      this.#later();
      // What lies in the sockets already is read first.
      setImmediate(() => this.#now());
    }, pauseMs);
  }

  #now(): void {
    if (!this.#timer) return;
    const nowMs = monotonicMs();
    const stoodStill = nowMs - this.#lastTurnMs > 2 * this.#turnMs;
    this.#lastTurnMs = nowMs;
    this.#turn(stoodStill);
  }
}
