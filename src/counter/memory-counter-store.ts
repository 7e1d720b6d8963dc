// Unread counts in this process, for a broker that keeps none or whose counts should not be used.

import { checkKeys, wholeNumber } from '../option-checks.ts';
import type { Position } from '../protocol/cursor.ts';
import { monotonicMs } from '../timers.ts';
import type { Counted, CounterStore } from './counter-store.ts';

/** What `memoryCounters` takes. */
export interface MemoryCounterOptions {
  /** Milliseconds in which a message id is counted once per user; longer than the broker's window. Default 600 000. */
  readonly rememberMs?: number;
}

/**
 * A `CounterStore` in the memory of this process.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function memoryCounters(options: MemoryCounterOptions = {}): CounterStore {
  checkKeys('memoryCounters options', options, ['rememberMs']);
  return new MemoryCounterStore(wholeNumber('rememberMs', options.rememberMs, 600_000, 1));
}

/** How many of a box's newest counted positions are kept one by one: an ack, or a question, can only be that far behind. */
const RECENT = 128;

/** What was counted for one user's box since its last ack. */
class Box {
  #acked: Position | null = null;
  #older = 0;
  #recent: Position[] = [];

  get count(): number {
    return this.#older + this.#recent.length;
  }

  countUpTo(upTo: Position): number {
    const later = this.#recent.filter(({ epoch, offset }) => epoch === upTo.epoch && offset > upTo.offset);
    return this.count - later.length;
  }

  add(position: Position): void {
    if (this.#isAcked(position)) return;
    this.#recent.push(position);
    if (this.#recent.length <= RECENT) return;
    this.#recent.shift();
    this.#older++;
  }

  ack(upTo: Position): void {
    if (this.#isAcked(upTo)) return;
    this.#acked = upTo;
    this.#older = 0;
    this.#recent = this.#recent.filter(({ epoch, offset }) => epoch === upTo.epoch && offset > upTo.offset);
  }

  #isAcked({ epoch, offset }: Position): boolean {
    return this.#acked?.epoch === epoch && offset <= this.#acked.offset;
  }
}

class MemoryCounterStore implements CounterStore {
  readonly #users = new Map<string, Map<string, Box>>();
  /** User and message id, to when it may be forgotten; oldest first. */
  readonly #seen = new Map<string, number>();
  /** User and box, to when it may go unless something was counted since; oldest first. Clients choose what they ack. */
  readonly #acked = new Map<string, number>();
  readonly #rememberMs: number;

  constructor(rememberMs: number) {
    this.#rememberMs = rememberMs;
  }

  async increment(counted: readonly Counted[]): Promise<void> {
    const nowMs = monotonicMs();
    this.#expire(nowMs);
    for (const { userId, boxId, id, position } of counted) {
      const key = JSON.stringify([userId, id]);
      if (this.#seen.has(key)) continue;
      this.#seen.set(key, nowMs + this.#rememberMs);
      this.#box(userId, boxId).add(position);
    }
  }

  async reset(userId: string, boxId: string, upTo: Position): Promise<void> {
    const nowMs = monotonicMs();
    this.#expire(nowMs);
    this.#box(userId, boxId).ack(upTo);
    const key = JSON.stringify([userId, boxId]);
    this.#acked.delete(key);
    this.#acked.set(key, nowMs + this.#rememberMs);
  }

  async counts(userId: string, upTo?: Position): Promise<Record<string, number>> {
    const boxes = [...(this.#users.get(userId) ?? [])];
    const counts = boxes.map(([boxId, box]) => [boxId, upTo ? box.countUpTo(upTo) : box.count] as const);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }

  async forget(userId: string): Promise<void> {
    this.#users.delete(userId);
  }

  async close(): Promise<void> {
    this.#users.clear();
    this.#seen.clear();
    this.#acked.clear();
  }

  #box(userId: string, boxId: string): Box {
    const boxes = this.#users.get(userId) ?? new Map<string, Box>();
    const box = boxes.get(boxId) ?? new Box();
    boxes.set(boxId, box);
    this.#users.set(userId, boxes);
    return box;
  }

  #expire(nowMs: number): void {
    takeExpired(this.#seen, nowMs);
    for (const key of takeExpired(this.#acked, nowMs)) {
      const [userId, boxId] = JSON.parse(key) as [string, string];
      const boxes = this.#users.get(userId);
      if (boxes?.get(boxId)?.count === 0) boxes.delete(boxId);
      if (boxes?.size === 0) this.#users.delete(userId);
    }
  }
}

/** Takes out of the map what has had its time. */
function takeExpired(untilMs: Map<string, number>, nowMs: number): string[] {
  const taken: string[] = [];
  for (const [key, endMs] of untilMs) {
    if (endMs > nowMs) break;
    untilMs.delete(key);
    taken.push(key);
  }
  return taken;
}
