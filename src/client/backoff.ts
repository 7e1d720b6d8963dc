// How long to wait before the next attempt: full jitter, so that clients that lost their connection together do not come
// back together.

/** Milliseconds within which the first attempt is made. */
const FIRST_MS = 500;
/** Milliseconds that no wait of ours is longer than. */
const LONGEST_MS = 20_000;

/** Grows with each attempt: `random(0, min(20 s, 0.5 s * 2^n))`. */
export class Backoff {
  #attempts = 0;

  /** Milliseconds to wait now. */
  next(): number {
    return Math.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#attempts++);
  }

  /** As if so many attempts had failed already, where it were fewer. */
  atLeast(attempts: number): void {
    this.#attempts = Math.max(this.#attempts, attempts);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
