// Reads of users' streams, shared by those who ask for the same before it is sent: a user whose tabs all come back at once
// costs few reads. A read that is under way is never shared, for it may have been answered before the asker held what arrives.

import { encodeCursor, type Position } from '../protocol/cursor.ts';
import { withDeadline } from '../timers.ts';
import type { Broker, StreamSlice } from './broker.ts';

interface SharedReadsOptions {
  readonly broker: Broker;
  readonly deadlineMs: number;
}

export class SharedReads {
  readonly #options: SharedReadsOptions;
  /** By what they ask for: those that wait for the one under way, or for the end of this step. */
  readonly #waiting = new Map<string, Promise<StreamSlice>>();
  /** By what they ask for; settle when answered, and never reject. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(options: SharedReadsOptions) {
    this.#options = options;
  }

  /** @throws UsercastError `deadline`, or what the broker rejects with. */
  read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    const key = `${limit} ${after ? encodeCursor(after) : ''} ${userId}`;
    const waiting = this.#waiting.get(key);
    if (waiting) return waiting;
    const read = (this.#underWay.get(key) ?? NONE).then(() => {
      this.#waiting.delete(key);
      const { broker, deadlineMs } = this.#options;
      const answered = withDeadline(broker.read(userId, after, limit), deadlineMs, 'the broker, asked to read,');
      const over = (): void => {
        this.#underWay.delete(key);
      };
      this.#underWay.set(key, answered.then(over, over));
      return answered;
    });
    this.#waiting.set(key, read);
    return read;
  }
}

const NONE = Promise.resolve();
