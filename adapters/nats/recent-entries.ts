// The entries that this process wrote a moment ago, so that a user who is written to often costs one request each time. A
// guess and no more: whoever uses one finds out, when writing, whether it is still the last.

import { monotonicMs } from '../../src/timers.ts';
import type { CounterEntry } from './counter-bucket.ts';

const KEEP_MS = 10_000;
const MAX_BYTES = 16_777_216;

/** What an entry takes beside its bytes, about. */
const OVERHEAD_BYTES = 256;

interface Kept extends CounterEntry {
  readonly untilMs: number;
}

export class RecentEntries {
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  #size = 0;

  get(userId: string): CounterEntry | null {
    const kept = this.#kept.get(userId);
    return kept && kept.untilMs > monotonicMs() ? kept : null;
  }

  set(userId: string, { bytes, revision }: CounterEntry): void {
    this.delete(userId);
    const nowMs = monotonicMs();
    this.#kept.set(userId, { bytes, revision, untilMs: nowMs + KEEP_MS });
    this.#size += OVERHEAD_BYTES + bytes.length;
    for (const [oldest, { untilMs }] of this.#kept) {
      if (this.#size <= MAX_BYTES && untilMs > nowMs) break;
      this.delete(oldest);
    }
  }

  delete(userId: string): void {
    const kept = this.#kept.get(userId);
    if (!kept) return;
    this.#kept.delete(userId);
    this.#size -= OVERHEAD_BYTES + kept.bytes.length;
  }

  clear(): void {
    this.#kept.clear();
    this.#size = 0;
  }
}
