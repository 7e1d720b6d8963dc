// What arrives live while history is read: kept in order, within bounds. Subscriptions and sessions own one each.

import type { Publication } from './broker.ts';

const MAX_PUBLICATIONS = 1_000;
/** In characters of payload. One publication is kept whatever its size. */
const MAX_LENGTH = 1_048_576;
const NOTHING: Publication[] = [];
Object.freeze(NOTHING);

export class Hold {
  #held: Publication[] = NOTHING;
  #length = 0;
  /** Something was dropped: history has to be read again. */
  overflowed = false;

  get held(): readonly Publication[] {
    return this.#held;
  }

  /** Nothing arrived that has to be looked at. */
  get isEmpty(): boolean {
    return this.#held.length === 0 && !this.overflowed;
  }

  add(publication: Publication): void {
    const { length } = publication.payload;
    const isFull = this.#held.length >= MAX_PUBLICATIONS || this.#length + length > MAX_LENGTH;
    if (this.#held.length > 0 && isFull) {
      this.overflowed = true;
      return;
    }
    if (this.#held === NOTHING) this.#held = [publication];
    else this.#held.push(publication);
    this.#length += length;
  }

  /** A read is about to be sent: what was dropped before is in its answer. Returns how many are held now. */
  begin(): number {
    this.overflowed = false;
    return this.#held.length;
  }

  forgetFirst(count: number): void {
    this.#held = count >= this.#held.length ? NOTHING : this.#held.slice(count);
    this.#length = this.#held.reduce((sum, { payload }) => sum + payload.length, 0);
  }
}
