// What a client knows from its messages: where it stands in the stream and its unread counts. It hands each message on
// once.

import type { SessionReady, SessionReset } from '../protocol/session-messages.ts';
import { countMessage, type UnreadCounts } from './counts.ts';
import type { Envelope } from './transports/transport.ts';

/** What goes with a message. */
export interface MessageMeta {
  /** Its place in the stream, to carry on from; absent for one that is not stored. */
  readonly cursor?: string;
  /** Whether it counts as unread. */
  readonly unread: boolean;
  /** Whether it was sent while this client was away, so that the counts have it already. */
  readonly replayed: boolean;
}

/** The stream could not be carried on from the cursor: load the application's state anew. */
export interface Reset {
  /** Why: `trimmed`, `epoch`, `rollback`, `too_many` or `lagging`. */
  readonly reason: string;
  /** The unread counts from here on. */
  readonly counts: UnreadCounts;
}

/** What the inbox tells its client, once its own state is up to date. */
export interface InboxOwner {
  counted(counts: UnreadCounts): void;
  reset(reset: Reset): void;
  deliver(message: Envelope, meta: MessageMeta): void;
}

/** Cursors kept, to notice a message that was handed on already. */
const REMEMBERED = 256;

export class Inbox {
  /** The last message seen, or where the client started. */
  cursor: string | undefined;
  counts: UnreadCounts = {};
  readonly #owner: InboxOwner;
  readonly #seen = new Set<string>();
  /** Where replay ends; null when it has. */
  #head: string | null = null;
  #isLost = false;

  constructor(cursor: string | undefined, owner: InboxOwner) {
    this.cursor = cursor;
    this.#owner = owner;
  }

  /** The next session starts anew, and says so. */
  forget(): void {
    this.cursor = undefined;
    this.#isLost = true;
  }

  receive(message: Envelope): void {
    const { type, object } = message;
    if (type === 'session.ready') this.#begin(object as unknown as SessionReady);
    else if (type === 'session.reset') this.#reset(object as unknown as SessionReset);
    else this.#take(message);
  }

  #take(message: Envelope): void {
    const { cursor, unread = false } = message;
    if (cursor !== undefined) {
      if (this.#seen.has(cursor)) return;
      this.#remember(cursor);
    }
    const replayed = this.#head !== null;
    if (!replayed) this.#count(countMessage(this.counts, message));
    if (cursor === this.#head) this.#head = null;
    this.#owner.deliver(message, { ...(cursor !== undefined && { cursor }), unread, replayed });
  }

  #begin({ resumed, reset, cursor, head, counts }: SessionReady): void {
    const isReset = this.#isLost || (this.cursor !== undefined && !resumed);
    this.#isLost = false;
    if (isReset) this.#reset({ reason: reset ?? 'lagging', cursor, counts });
    else {
      this.cursor = cursor;
      this.#head = cursor === head ? null : head;
      this.#count(counts);
    }
  }

  #reset({ reason, cursor, counts }: SessionReset): void {
    this.cursor = cursor;
    this.#head = null;
    this.#count(counts);
    this.#owner.reset({ reason, counts: this.counts });
  }

  #count(counts: UnreadCounts): void {
    if (counts === this.counts) return;
    this.counts = counts;
    this.#owner.counted(counts);
  }

  #remember(cursor: string): void {
    this.cursor = cursor;
    this.#seen.add(cursor);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value!);
  }
}
