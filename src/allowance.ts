// A token bucket: so many at once, and so many more each second. For handshakes of a process and messages of a client.

import { monotonicMs } from './timers.ts';

export class Allowance {
  readonly #perSecond: number;
  readonly #burst: number;
  #left: number;
  #asOfMs = monotonicMs();

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#left = burst;
  }

  /** False when there is none left. */
  take(): boolean {
    if (this.#perSecond === 0) return true;
    const nowMs = monotonicMs();
    this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#asOfMs) * this.#perSecond) / 1_000);
    this.#asOfMs = nowMs;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
