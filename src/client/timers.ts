// The timers of one connection: by name, one of each, all gone together.

import type { Timer } from './platform.ts';

/** The longest delay that platforms keep. */
const LONGEST_MS = 2 ** 31 - 1;

/** A set of timers; starting one again replaces it. */
export class Timers<Name extends string> {
  readonly #timers = new Map<Name, Timer>();

  has(name: Name): boolean {
    return this.#timers.has(name);
  }

  start(name: Name, delayMs: number, callback: () => void): void {
    clearTimeout(this.#timers.get(name));
    const run = (): void => {
      this.#timers.delete(name);
      callback();
    };
    this.#timers.set(name, setTimeout(run, Math.min(delayMs, LONGEST_MS)));
  }

  clear(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
