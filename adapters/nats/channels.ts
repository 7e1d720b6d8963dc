// The live side: one subscription for each user that somebody listens to here. What the stream republishes arrives with the
// sequences that the server adds as headers; what is not stored arrives without headers, after a letter that says what it is.

import type { DisconnectMark, Position, Publication, StreamListener, Unsubscribe } from '../../src/index.ts';
import type { NatsMessageLike } from './nats-connection.ts';
import { decodeEntry, type NatsEntry, payloadOf, TAG_LENGTH } from './nats-entry.ts';
import { userToken } from './nats-names.ts';
import type { NatsStore } from './nats-store.ts';
import type { Reader } from './reader.ts';

/** Never the tag of an entry: what has it as the tag before follows nothing, and history is read. */
const UNKNOWN_TAG = '?'.repeat(TAG_LENGTH);

const WHISPER = 'w';
const MARK = 'm';
const ASK = 'o';
const [WHISPER_BYTE, MARK_BYTE, ASK_BYTE] = [WHISPER, MARK, ASK].map((letter) => letter.charCodeAt(0));

/** What is sent to a user's live subject without being stored. */
export const liveMessages = {
  whisper: (payload: string): Buffer => Buffer.from(WHISPER + payload),
  mark: (mark: DisconnectMark): Buffer => Buffer.from(MARK + JSON.stringify(mark)),
  /** Is anyone subscribed? Answered with nothing. */
  ask: Buffer.from(ASK),
} as const;

/** This process's listeners by user. */
export class Channels {
  readonly #store: NatsStore;
  readonly #reader: Reader;
  readonly #byUser = new Map<string, Channel>();
  #doubts = 0;

  constructor(natsStore: NatsStore, reader: Reader) {
    this.#store = natsStore;
    this.#reader = reader;
  }

  /** Resolves when live. @throws UsercastError */
  async subscribe(userId: string, listener: StreamListener): Promise<Unsubscribe> {
    let channel = this.#byUser.get(userId);
    if (!channel) {
      channel = new Channel(this.#store, userToken(userId));
      this.#byUser.set(userId, channel);
    }
    const own = channel;
    const leave = own.listen(listener, () => {
      if (this.#byUser.get(userId) === own) this.#byUser.delete(userId);
    });
    try {
      await own.opened(this.#reader);
    } catch (cause) {
      leave();
      throw cause;
    }
    return leave;
  }

  has(userId: string): boolean {
    return this.#byUser.has(userId);
  }

  /** Does `work`, which tells where users stand: what arrives there next has that before it, where nothing else is known. */
  async learning<T>(work: (learn: (userId: string, top: Position) => void) => Promise<T>): Promise<T> {
    const doubts = this.#doubts;
    return work((userId, { offset: sequence, tag }) => {
      const channel = this.#byUser.get(userId);
      // An answer from before the doubt is what was doubted.
      if (channel && doubts === this.#doubts) channel.last ??= { sequence, tag };
    });
  }

  /** Something may have been missed, or undone: what arrives next follows nothing that was known. */
  doubt(): void {
    this.#doubts++;
    for (const channel of this.#byUser.values()) channel.last = null;
  }

  clear(): void {
    this.#byUser.clear();
  }
}

class Channel {
  /** The entry that arrived last, or that was read when it opened; null when something may have been missed since. */
  last: Pick<NatsEntry, 'sequence' | 'tag'> | null = null;
  readonly #store: NatsStore;
  readonly #token: string;
  #listeners: readonly StreamListener[] = [];
  #opening: Promise<void> | null = null;
  #unsubscribe: Unsubscribe | null = null;
  #incarnation = '';
  #epoch = '';

  constructor(natsStore: NatsStore, token: string) {
    this.#store = natsStore;
    this.#token = token;
  }

  /** `onEmpty`: the last listener has left. */
  listen(given: StreamListener, onEmpty: () => void): Unsubscribe {
    // One of its own for each call, so that the same listener can be there twice.
    const listener: StreamListener = {
      publication: (publication) => given.publication(publication),
      whisper: (payload) => given.whisper(payload),
      mark: (mark) => given.mark(mark),
    };
    this.#listeners = [...this.#listeners, listener];
    return () => {
      if (!this.#listeners.includes(listener)) return;
      this.#listeners = this.#listeners.filter((other) => other !== listener);
      if (this.#listeners.length > 0) return;
      onEmpty();
      this.#unsubscribe?.();
    };
  }

  opened(reader: Reader): Promise<void> {
    this.#opening ??= this.#open(reader);
    return this.#opening;
  }

  async #open(reader: Reader): Promise<void> {
    const { link, names } = this.#store;
    this.#unsubscribe = await link.subscribe(`${names.live}${this.#token}`, (message) => this.#arrive(message));
    if (this.#listeners.length === 0) this.#unsubscribe();
    // Asked of the leader, after the subscription on the same connection: it republishes to us from before it answers.
    const last = await this.#store.use((caller) => reader.last(caller, this.#token));
    this.last ??= last;
  }

  #arrive({ headers, data, reply }: NatsMessageLike): void {
    if (!headers) this.#arriveUnstored(data, reply);
    else {
      const entry = decodeEntry(Number(headers.get('Nats-Sequence')), data, 0);
      if (entry) this.#arriveStored(entry, Number(headers.get('Nats-Last-Sequence')));
    }
  }

  #arriveStored(entry: NatsEntry, sequenceBefore: number): void {
    const { sequence: offset, tag, kind } = entry;
    const previousTag = this.last?.sequence === sequenceBefore ? this.last.tag : UNKNOWN_TAG;
    // Not the entry itself: its payload would be kept for as long as the user is quiet.
    this.last = { sequence: offset, tag };
    this.#store.seen.add(`${this.#store.names.entries}${this.#token}`, offset, tag);
    if (kind === 'marker') return;
    const payload = payloadOf(entry);
    const publication: Publication = {
      epoch: this.#currentEpoch(),
      offset,
      tag,
      previousTag,
      payload,
      unread: kind === 'unread',
    };
    for (const listener of this.#listeners) listener.publication(publication);
  }

  #arriveUnstored(data: Uint8Array, reply: string | undefined): void {
    const [kind] = data;
    const content = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8', 1);
    if (kind === WHISPER_BYTE) for (const listener of this.#listeners) listener.whisper(content);
    else if (kind === MARK_BYTE) {
      const mark = parseMark(content);
      if (mark) for (const listener of this.#listeners) listener.mark(mark);
    } else if (kind === ASK_BYTE && reply) this.#store.link.caller?.connection.publish(reply);
  }

  #currentEpoch(): string {
    const { incarnation } = this.#store;
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      this.#epoch = this.#store.epochOf(this.#token);
    }
    return this.#epoch;
  }
}

function parseMark(text: string): DisconnectMark | null {
  try {
    const mark = JSON.parse(text) as DisconnectMark | null;
    return typeof mark?.number === 'number' ? mark : null;
  } catch {
    // Not ours. What a subscription's callback throws would end the connection.
    return null;
  }
}
