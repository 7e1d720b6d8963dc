// How many handshakes per second this process takes on, told before any work on a token is done: what keeps a storm of
// reconnecting clients from taking the host down with it.

import { monotonicMs } from '../timers.ts';

/** A token bucket that holds one second's worth. */
export class Admission {
  readonly #perSecond: number;
  #left: number;
  #filledAtMs: number;

  /** @param perSecond the option `limits.handshakesPerSecond`; 0 = no limit */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#filledAtMs = monotonicMs();
  }

  /** Whether one more handshake may begin now. */
  admit(): boolean {
    if (this.#perSecond === 0) return true;
    const nowMs = monotonicMs();
    this.#left = Math.min(this.#perSecond, this.#left + ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond);
    this.#filledAtMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
