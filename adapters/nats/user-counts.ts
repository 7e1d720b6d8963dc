// What is known of one user's unread messages: per box what was counted since its last ack, and which message ids were
// counted. It is read from an entry of the bucket, changed, and written back; `user-counts-codec` says in what form.

import { hash } from 'node:crypto';
import type { Counted, Position } from '../../src/index.ts';

/** How many of a box's newest counted positions are kept one by one: an ack, or a question, can only be that far behind. */
export const RECENT = 128;

/** How many are kept of each box where the boxes of a user are so many that the entry grows large. */
const RECENT_OF_MANY = 16;

/** How many boxes without unread messages are kept for what comes late. Clients choose what they ack. */
const MAX_ACKED_BOXES = 256;

/** Bytes of a digest. */
export const DIGEST_LENGTH = 8;

/**
 * A message id in short. Two of n remembered ids are mistaken for each other with a probability of n / 2^64 per message:
 * of a user with 10 000 ids in the window, and a billion messages a day, one is left uncounted in about 5 000 years. Whoever
 * wants a message of somebody else uncounted has to find an id to a given digest, 2^63 attempts within the window;
 * two ids of one's own that meet, which are easier to find, leave a message of one's own uncounted.
 */
export function digestOf(id: string): string {
  return hash('sha256', id, 'buffer').toString('latin1', 0, DIGEST_LENGTH);
}

/** An ack, and when it was seen. */
export interface Ack {
  readonly epoch: string;
  readonly offset: number;
  readonly at: number;
}

/** A counted position. The tag takes no part in counting. */
export type CountedPosition = Pick<Position, 'epoch' | 'offset'>;

/** What was counted for one box since its last ack. */
export class CountedBox {
  acked: Ack | null;
  /** Those that are not kept one by one any more. */
  older: number;
  /** In the order in which they were counted. */
  recent: CountedPosition[];

  constructor(acked: Ack | null = null, older = 0, recent: CountedPosition[] = []) {
    this.acked = acked;
    this.older = older;
    this.recent = recent;
  }

  get count(): number {
    return this.older + this.recent.length;
  }

  countUpTo(upTo: CountedPosition): number {
    const later = this.recent.filter(({ epoch, offset }) => epoch === upTo.epoch && offset > upTo.offset);
    return this.count - later.length;
  }

  add(position: CountedPosition): void {
    if (this.isAcked(position)) return;
    this.recent.push({ epoch: position.epoch, offset: position.offset });
    this.fold(RECENT);
  }

  ack(upTo: CountedPosition, at: number): void {
    this.acked = { epoch: upTo.epoch, offset: upTo.offset, at };
    this.older = 0;
    this.recent = this.recent.filter(({ epoch, offset }) => epoch === upTo.epoch && offset > upTo.offset);
  }

  /** Keeps so many positions one by one. */
  fold(keep: number): void {
    const excess = this.recent.length - keep;
    if (excess <= 0) return;
    this.recent.splice(0, excess);
    this.older += excess;
  }

  isAcked({ epoch, offset }: CountedPosition): boolean {
    return this.acked?.epoch === epoch && offset <= this.acked.offset;
  }
}

/** One user's counts. Times are of any clock and unit that all who write the entry share, and never go back. */
export class UserCounts {
  readonly boxes: Map<string, CountedBox>;
  /** Digests of the ids that were counted, to when; oldest first. */
  readonly counted: Map<string, number>;
  /** When it was last changed. */
  changedAt: number;

  constructor(boxes = new Map<string, CountedBox>(), counted = new Map<string, number>(), changedAt = 0) {
    this.boxes = boxes;
    this.counted = counted;
    this.changedAt = changedAt;
  }

  get isEmpty(): boolean {
    return this.boxes.size === 0 && this.counted.size === 0;
  }

  /** Adds 1, unless the id was counted before. Whether anything changed. */
  count({ boxId, id, position }: Counted, now: number): boolean {
    const digest = digestOf(id);
    if (this.counted.has(digest)) return false;
    this.counted.set(digest, this.#moveTo(now));
    this.#box(boxId).add(position);
    return true;
  }

  /** Takes away what was counted up to the position. Whether anything changed. */
  ack(boxId: string, upTo: CountedPosition, now: number): boolean {
    if (this.boxes.get(boxId)?.isAcked(upTo)) return false;
    this.#box(boxId).ack(upTo, this.#moveTo(now));
    return true;
  }

  /** Drops ids that were counted, and acks of empty boxes that were seen, longer than `remember` ago. */
  expire(now: number, remember: number): void {
    const oldest = this.#moveTo(now) - remember;
    for (const [digest, at] of this.counted) {
      if (at >= oldest) break;
      this.counted.delete(digest);
    }
    const empty = [...this.boxes].filter(([, box]) => box.count === 0);
    empty.sort(([, one], [, other]) => (other.acked?.at ?? 0) - (one.acked?.at ?? 0));
    empty.forEach(([boxId, box], index) => {
      if (index >= MAX_ACKED_BOXES || (box.acked?.at ?? 0) < oldest) this.boxes.delete(boxId);
    });
  }

  clear(): void {
    this.boxes.clear();
    this.counted.clear();
  }

  /** Makes the boxes small: fewer positions one by one. Counts stay, and acks that are far behind become less exact. */
  fold(): void {
    for (const box of this.boxes.values()) box.fold(RECENT_OF_MANY);
  }

  /** The boxes with a count above 0; with `upTo`, without what is known to lie after it in its epoch. */
  unread(upTo?: CountedPosition): Record<string, number> {
    const counts = [...this.boxes].map(([boxId, box]) => [boxId, upTo ? box.countUpTo(upTo) : box.count] as const);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }

  #box(boxId: string): CountedBox {
    const box = this.boxes.get(boxId) ?? new CountedBox();
    this.boxes.set(boxId, box);
    return box;
  }

  /** Clocks of several processes differ a little; the order of the remembered ids must not suffer from it. */
  #moveTo(now: number): number {
    this.changedAt = Math.max(this.changedAt, now);
    return this.changedAt;
  }
}
