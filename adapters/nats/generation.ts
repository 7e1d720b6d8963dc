// The generation in the control bucket: a random name that is part of every epoch, and is replaced when somebody has proof that
// NATS came back with older data, so that every position from before is refused.

import { randomName } from '../../src/random.ts';
import { JetStreamError, readLeader, replace, WRONG_LAST_SEQUENCE } from './jetstream.ts';
import type { NatsCaller, NatsLink } from './nats-link.ts';
import { keySubject } from './nats-names.ts';

/** A generation as it stands in the bucket. */
export interface Generation {
  readonly name: string;
  /** Grows with each change, unless the bucket itself came back older. */
  readonly revision: number;
}

const KEY = 'generation';
const NAME_LENGTH = 16;

export class Generations {
  readonly #bucket: string;
  readonly #link: () => Pick<NatsLink, 'headers'>;

  constructor(bucket: string, link: () => Pick<NatsLink, 'headers'>) {
    this.#bucket = bucket;
    this.#link = link;
  }

  /** null where there is none yet. */
  async read(caller: NatsCaller): Promise<Generation | null> {
    const query = { last_by_subj: keySubject(this.#bucket, KEY) };
    const message = await readLeader(caller, this.#bucket, query);
    return message && { name: Buffer.from(message.data).toString(), revision: message.sequence };
  }

  /** Writes a new one in the place of `old`. Gives the one that is there in the end, whoever wrote it. */
  async replace(caller: NatsCaller, old: Generation | null): Promise<Generation> {
    const headers = () => this.#link().headers();
    const replaced = { revision: old?.revision ?? 0, data: Buffer.from(old?.name ?? '') };
    const name = randomName(NAME_LENGTH);
    try {
      const { seq } = await replace(caller, keySubject(this.#bucket, KEY), name, replaced, headers);
      return { name, revision: seq };
    } catch (cause) {
      if (!(cause instanceof JetStreamError && cause.code === WRONG_LAST_SEQUENCE)) throw cause;
      const there = await this.read(caller);
      if (!there) throw cause;
      return there;
    }
  }
}
