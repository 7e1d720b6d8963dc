// The generation in the control bucket: what every epoch is made of. It is replaced when somebody has proof that NATS came back
// with older data, or when the stream was made anew, so that every position from before is refused.

import { randomName } from '../../src/random.ts';
import { JetStreamError, readLeader, replace, WRONG_LAST_SEQUENCE } from './jetstream.ts';
import type { NatsCaller, NatsLink } from './nats-link.ts';
import { keySubject } from './nats-names.ts';

/** A generation as it stands in the bucket. */
export interface Generation {
  readonly name: string;
  /** When the stream was made, as its leader said when the generation began. */
  readonly created: string;
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
    if (!message) return null;
    const [name = '', created = ''] = Buffer.from(message.data).toString().split(' ');
    return { name, created, revision: message.sequence };
  }

  /** Writes a new one in the place of `old`, of the stream made then. Gives the one that is there in the end, whoever wrote it. */
  async replace(caller: NatsCaller, old: Generation | null, created: string): Promise<Generation> {
    const headers = () => this.#link().headers();
    const replaced = { revision: old?.revision ?? 0, data: Buffer.from(old ? textOf(old) : '') };
    const name = randomName(NAME_LENGTH);
    try {
      const text = textOf({ name, created });
      const { seq } = await replace(caller, keySubject(this.#bucket, KEY), text, replaced, headers);
      return { name, created, revision: seq };
    } catch (cause) {
      if (!(cause instanceof JetStreamError && cause.code === WRONG_LAST_SEQUENCE)) throw cause;
      const there = await this.read(caller);
      if (!there) throw cause;
      return there;
    }
  }
}

function textOf({ name, created }: Pick<Generation, 'name' | 'created'>): string {
  return `${name} ${created}`;
}
