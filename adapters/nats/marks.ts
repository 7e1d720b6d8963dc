// The disconnect marks of each user, in a bucket: stored with compare-and-set, and gone some time after the last one.

import type { DisconnectMark, DisconnectTarget } from '../../src/index.ts';
import { JetStreamError, type Replaced, readDirect, readLeader, replace, WRONG_LAST_SEQUENCE } from './jetstream.ts';
import type { NatsCaller } from './nats-link.ts';
import { keySubject } from './nats-names.ts';
import type { NatsStore } from './nats-store.ts';

const MAX_MARKS = 100;
/** Each that fails is another's mark; after so many, ours would be pushed out. */
const MAX_TRIES = MAX_MARKS;
const NONE: readonly DisconnectMark[] = Object.freeze([]);
const NOTHING: Replaced = { revision: 0, data: new Uint8Array(0) };

export class Marks {
  readonly #store: NatsStore;

  constructor(natsStore: NatsStore) {
    this.#store = natsStore;
  }

  /** Those still kept, oldest first. */
  async read(caller: NatsCaller, token: string): Promise<readonly DisconnectMark[]> {
    return (await this.#entry(caller, token, this.#store.mayLag)).marks;
  }

  async add(caller: NatsCaller, token: string, target: DisconnectTarget): Promise<DisconnectMark> {
    for (let tries = 1; ; tries++) {
      const { marks, stored } = await this.#entry(caller, token, true);
      // Numbers are times, so that they grow even when the bucket has forgotten the one before.
      const mark: DisconnectMark = { ...target, number: Math.max(Date.now(), numberOf(marks) + 1) };
      const headers = () => this.#store.link.headers();
      const kept = JSON.stringify([...marks, mark].slice(-MAX_MARKS));
      try {
        await replace(caller, keySubject(this.#store.names.marks, token), kept, stored, headers);
        return mark;
      } catch (cause) {
        const isOvertaken = cause instanceof JetStreamError && cause.code === WRONG_LAST_SEQUENCE;
        if (!isOvertaken || tries === MAX_TRIES) throw cause;
      }
    }
  }

  async #entry(caller: NatsCaller, token: string, fromLeader: boolean) {
    const { marks: bucket } = this.#store.names;
    const query = { last_by_subj: keySubject(bucket, token) };
    const message = await (fromLeader ? readLeader : readDirect)(caller, bucket, query);
    if (!message) return { marks: NONE, stored: NOTHING };
    const oldest = Date.now() - this.#store.options.marksMs;
    const all = JSON.parse(Buffer.from(message.data).toString()) as DisconnectMark[];
    const stored: Replaced = { revision: message.sequence, data: message.data };
    return { marks: all.filter(({ number }) => number > oldest), stored };
  }
}

/** The number of the newest, 0 when there is none. */
export function numberOf(marks: readonly DisconnectMark[]): number {
  return marks.at(-1)?.number ?? 0;
}

/** How old the newest mark for all sessions is, by the clocks of the processes: they should be in step. */
export function ageOf(marks: readonly DisconnectMark[]): { readonly markAgeMs?: number } {
  const newest = marks.findLast(({ sessionId }) => sessionId === undefined);
  return newest ? { markAgeMs: Date.now() - newest.number } : {};
}
