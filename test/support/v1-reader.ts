// What a client of `usercast.v1` makes of what it is sent: its cursor, its counts by the rule of the protocol, and the
// promises that it can check by itself.

import type { SessionReady, SessionReset } from '../../src/protocol/session-messages.ts';

/** Any message of the server. */
export interface V1Message {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
  readonly cursor?: string;
  readonly unread?: true;
}

export class V1Reader {
  /** Everything but the stored messages: `session.*`, `error` and what is volatile. */
  readonly others: V1Message[] = [];
  /** The stored messages, oldest first. */
  readonly stored: V1Message[] = [];
  readonly resets: SessionReset[] = [];
  ready: SessionReady | null = null;
  /** Where the client stands. */
  cursor: string | null = null;
  counts: Record<string, number> = {};
  #isPastHead = false;

  /** @throws Error where the message breaks the protocol. */
  take(text: string): void {
    const message = JSON.parse(text) as V1Message;
    if (this.ready === null) this.#begin(message);
    else if (message.type === 'session.ready') throw new Error('a second session.ready');
    else if (message.cursor !== undefined) this.#store(message);
    else if (message.type === 'session.reset') this.#reset(message.object as unknown as SessionReset);
    else this.others.push(message);
  }

  /** What stands under `key` in the object of each stored message. */
  all(key: string): unknown[] {
    return this.stored.map(({ object }) => object[key]);
  }

  /** The messages of this type that are not stored. */
  told(type: string): V1Message[] {
    return this.others.filter((message) => message.type === type);
  }

  #begin({ type, object }: V1Message): void {
    if (type !== 'session.ready') throw new Error(`the first message is ${type}`);
    this.ready = object as unknown as SessionReady;
    this.cursor = this.ready.cursor;
    this.counts = { ...this.ready.counts };
    this.#isPastHead = this.ready.cursor === this.ready.head;
    if (!this.ready.resumed && !this.#isPastHead) throw new Error('not resumed, and yet there is a replay');
  }

  #store(message: V1Message): void {
    if (message.cursor === this.cursor) throw new Error('the same message twice');
    this.stored.push(message);
    this.cursor = message.cursor!;
    if (this.#isPastHead) this.#count(message);
    else this.#isPastHead = this.cursor === this.ready!.head;
  }

  #count({ type, object, unread }: V1Message): void {
    const boxId = object.box_id as string;
    if (unread) this.counts[boxId] = (this.counts[boxId] ?? 0) + 1;
    if (type === 'ack') delete this.counts[boxId];
  }

  #reset(reset: SessionReset): void {
    this.resets.push(reset);
    this.cursor = reset.cursor;
    this.counts = { ...reset.counts };
    this.#isPastHead = true;
  }
}
