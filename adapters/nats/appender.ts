// Stores messages: one request for each recipient, with an id that lets the server drop what it has already, so that asking
// again after no answer is safe.

import { type BrokerMessage, ORIGIN_TAG, type Position, type PublishResult, UsercastError } from '../../src/index.ts';
import { monotonicMs, setTimer } from '../../src/timers.ts';
import { askMs, isUnanswered, JetStreamError, type PublishAck, store } from './jetstream.ts';
import type { NatsHeadersLike } from './nats-connection.ts';
import { encodeEntry } from './nats-entry.ts';
import { messageId, userToken } from './nats-names.ts';
import { isMissing, type NatsStore, toUsercastError } from './nats-store.ts';
import type { Reader } from './reader.ts';

const PAUSE_MS = 100;
/** Recipients of one call that are asked for at once. */
const CHUNK = 2_000;
/** What a message may have beside its payload: tag, headers. */
const OVERHEAD_BYTES = 512;

interface Append {
  readonly token: string;
  readonly data: Buffer;
}

interface Appended {
  readonly position: Position;
  readonly isDuplicate: boolean;
}

export class Appender {
  readonly #store: NatsStore;
  readonly #reader: Reader;

  constructor(natsStore: NatsStore, reader: Reader) {
    this.#store = natsStore;
    this.#reader = reader;
  }

  /** As `Broker.publish`. @throws UsercastError where nothing was sent at all */
  async append({ id, tag, deliveries }: BrokerMessage): Promise<PublishResult> {
    const { connection } = await this.#store.link.ready();
    const appends: Append[] = [];
    for (const { payload, unread, userIds } of deliveries) {
      const data = encodeEntry(tag, unread ? 'unread' : 'message', payload);
      const most = connection.info?.max_payload ?? Number.POSITIVE_INFINITY;
      if (data.length + OVERHEAD_BYTES > most) {
        throw new UsercastError(
          'too_large',
          `the message has ${data.length} bytes; the server's max_payload is ${most}`,
        );
      }
      for (const userId of userIds) appends.push({ token: userToken(userId), data });
    }
    const appended: (Position | Error)[] = [];
    let duplicates = 0;
    for (let from = 0; from < appends.length; from += CHUNK) {
      const chunk = appends.slice(from, from + CHUNK);
      const outcomes = await Promise.all(chunk.map((append) => this.#appendOne(append, id ?? tag, tag)));
      for (const outcome of outcomes) {
        if (outcome instanceof Error) appended.push(outcome);
        else {
          appended.push(outcome.position);
          if (outcome.isDuplicate) duplicates++;
        }
      }
    }
    return { appended, duplicates };
  }

  async #appendOne({ token, data }: Append, id: string, tag: string): Promise<Appended | Error> {
    try {
      const { seen, names } = this.#store;
      const subject = `${names.entries}${token}`;
      const { highest } = seen;
      const { incarnation } = this.#store;
      const headers = this.#store.link.headers();
      headers.set('Nats-Msg-Id', messageId(token, id));
      const ack = await this.#askUntilAnswered(subject, data, headers);
      if (ack.duplicate) return await this.#duplicate(token, ack.seq, tag);
      if (ack.seq <= highest) await this.#store.cameBackOlder(incarnation);
      seen.add(subject, ack.seq, tag);
      return { position: this.#position(token, ack.seq, tag), isDuplicate: false };
    } catch (cause) {
      return toUsercastError(cause);
    }
  }

  async #askUntilAnswered(subject: string, data: Buffer, headers: NatsHeadersLike): Promise<PublishAck> {
    const { link, options } = this.#store;
    // Asking again is safe for as long as the server knows the id.
    const endMs = monotonicMs() + Math.min(options.deadlineMs, options.deduplicationMs);
    for (;;) {
      try {
        const caller = await link.ready();
        const withinMs = Math.max(Math.min(askMs(caller), endMs - monotonicMs()), 1);
        return await store(caller, subject, data, { headers, withinMs });
      } catch (cause) {
        const isPassing = cause instanceof JetStreamError && cause.isPassing;
        if (!(isUnanswered(cause) || isPassing) || monotonicMs() + PAUSE_MS >= endMs) throw cause;
        if (isMissing(cause)) await this.#store.recheck();
      }
      await new Promise<void>((resolve) => setTimer(resolve, PAUSE_MS));
    }
  }

  /** The server had a message with this id: its tag is that of the first time. */
  async #duplicate(token: string, sequence: number, tag: string): Promise<Appended> {
    const entry = await this.#store.use((caller) => this.#reader.at(caller, token, sequence));
    // With the tag of this call, it was an earlier ask of ours that was not answered. Without an entry, history has moved on.
    return {
      position: this.#position(token, sequence, entry?.tag ?? ORIGIN_TAG),
      isDuplicate: entry?.tag !== tag,
    };
  }

  #position(token: string, offset: number, tag: string): Position {
    return { epoch: this.#store.epochOf(token), offset, tag };
  }
}
