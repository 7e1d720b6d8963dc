// The calls in flight: their number bounded, and one deadline for each, all with a single timer. The deadlines are of equal
// length, so they come due in the order in which the calls began.

import { monotonicMs, setTimer } from '../../src/timers.ts';

/** A call that has to settle in time. */
export abstract class Pending {
  dueMs = 0;
  /** In the list, so not settled. */
  isPending = false;
  before: Pending | null = null;
  after: Pending | null = null;

  /** Its time is up; it is out of the list already. */
  abstract expire(): void;
}

/** What is in flight, first come first due. */
export class Deadlines<Kind extends Pending> {
  readonly deadlineMs: number;
  size = 0;
  // Nothing but what was added is linked to what was added.
  #first: Kind | null = null;
  #last: Kind | null = null;
  #isSweeping = false;

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
  }

  add(pending: Kind): void {
    pending.dueMs = monotonicMs() + this.deadlineMs;
    pending.isPending = true;
    pending.before = this.#last;
    if (this.#last) this.#last.after = pending;
    else this.#first = pending;
    this.#last = pending;
    this.size++;
    if (!this.#isSweeping) this.#sweepLater();
  }

  /** Takes it out. False when it had settled before. */
  remove(pending: Kind): boolean {
    if (!pending.isPending) return false;
    pending.isPending = false;
    if (pending.before) pending.before.after = pending.after;
    else this.#first = pending.after as Kind | null;
    if (pending.after) pending.after.before = pending.before;
    else this.#last = pending.before as Kind | null;
    pending.before = pending.after = null;
    this.size--;
    return true;
  }

  /** All of now; each may be removed meanwhile. */
  *[Symbol.iterator](): Generator<Kind> {
    const all: Kind[] = [];
    for (let pending = this.#first; pending; pending = pending.after as Kind | null) all.push(pending);
    for (const pending of all) if (pending.isPending) yield pending;
  }

  #sweepLater(): void {
    this.#isSweeping = true;
    // After a blocked event loop the answers may lie in the socket already: they are read before the sweep.
    setTimer(() => setImmediate(() => this.#sweep()), Math.min(100, Math.max(5, this.deadlineMs / 20)));
  }

  #sweep(): void {
    const nowMs = monotonicMs();
    for (let pending = this.#first; pending && pending.dueMs <= nowMs; pending = this.#first) {
      this.remove(pending);
      pending.expire();
    }
    this.#isSweeping = false;
    if (this.#first) this.#sweepLater();
  }
}
