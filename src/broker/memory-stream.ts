// One user's stream in memory: the entries that are kept, the counts, the marks and who listens. Owned by the memory
// broker. An entry is shared by all recipients of a message; a stream holds one reference for each.

import { ORIGIN_TAG, type Position } from '../protocol/cursor.ts';
import type {
  DisconnectMark,
  DisconnectTarget,
  Publication,
  StreamListener,
  StreamSlice,
  StreamTop,
} from './broker.ts';

/** A message as stored, once for all of its recipients. */
export interface StoredMessage {
  readonly payload: string;
  readonly tag: string;
  readonly unread: boolean;
  readonly storedMs: number;
  /** How many streams hold it. */
  references: number;
}

const NOBODY: readonly StreamListener[] = Object.freeze([]);
/** For streams without entries; `append` replaces it. */
const NO_MESSAGES: (StoredMessage | undefined)[] = [];
const MAX_MARKS = 100;

export class MemoryStream {
  readonly userId: string;
  readonly epoch: string;
  offset = 0;
  listeners: readonly StreamListener[] = NOBODY;
  counts: Map<string, number> | null = null;
  markNumber = 0;
  marks: DisconnectMark[] | null = null;
  /** When all of the user's sessions were last disconnected. */
  markedMs: number | null = null;
  /** Set by use, cleared by the broker's search for what to let go. */
  used = true;
  #messages: (StoredMessage | undefined)[] = NO_MESSAGES;
  #first = 0;
  #topTag = ORIGIN_TAG;
  /** The tag of the entry before the oldest that is kept. */
  #tagBefore = ORIGIN_TAG;

  constructor(userId: string, epoch: string) {
    this.userId = userId;
    this.epoch = epoch;
  }

  get length(): number {
    return this.#messages.length - this.#first;
  }

  get top(): Position {
    return { epoch: this.epoch, offset: this.offset, tag: this.#topTag };
  }

  get topAndMark(): StreamTop {
    return { ...this.top, markNumber: this.markNumber };
  }

  get disconnects(): Pick<StreamSlice, 'markNumber' | 'marks' | 'markAgeMs'> {
    const age = this.markedMs === null ? {} : { markAgeMs: performance.now() - this.markedMs };
    return { markNumber: this.markNumber, marks: [...(this.marks ?? [])], ...age };
  }

  get oldest(): StoredMessage | undefined {
    return this.#messages[this.#first];
  }

  /** Appends and tells the listeners. */
  append(message: StoredMessage): void {
    const publication: Publication = {
      epoch: this.epoch,
      offset: ++this.offset,
      tag: message.tag,
      previousTag: this.#topTag,
      payload: message.payload,
      unread: message.unread,
    };
    this.used = true;
    if (this.#messages === NO_MESSAGES) this.#messages = [message];
    else this.#messages.push(message);
    message.references++;
    this.#topTag = message.tag;
    const listeners = this.listeners;
    for (let i = 0; i < listeners.length; i++) listeners[i]!.publication(publication);
  }

  /** Lets the oldest entry go, and returns it. */
  dropOldest(): StoredMessage {
    const message = this.#messages[this.#first]!;
    this.#messages[this.#first++] = undefined;
    this.#tagBefore = message.tag;
    message.references--;
    if (this.#first === this.#messages.length) {
      this.#messages = NO_MESSAGES;
      this.#first = 0;
    } else if (this.#first >= 32 && this.#first * 2 > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#first);
      this.#first = 0;
    }
    return message;
  }

  /** At most `limit` entries after `after`, oldest first; all that is kept where the position is older than that. */
  entriesAfter(after: Position, limit: number): Publication[] {
    const entries: Publication[] = [];
    if (after.epoch !== this.epoch || after.offset >= this.offset) return entries;
    const firstOffset = this.offset - this.length + 1;
    const start = Math.max(after.offset + 1, firstOffset);
    const end = Math.min(start + limit - 1, this.offset);
    let previousTag = start === firstOffset ? this.#tagBefore : this.#at(start - 1).tag;
    for (let offset = start; offset <= end; offset++) {
      const { tag, payload, unread } = this.#at(offset);
      entries.push({ epoch: this.epoch, offset, tag, previousTag, payload, unread });
      previousTag = tag;
    }
    return entries;
  }

  #at(offset: number): StoredMessage {
    return this.#messages[this.#messages.length - 1 - (this.offset - offset)]!;
  }

  listen(listener: StreamListener): void {
    this.used = true;
    this.listeners = [...this.listeners, listener];
  }

  unlisten(listener: StreamListener): void {
    this.used = true;
    const rest = this.listeners.filter((other) => other !== listener);
    this.listeners = rest.length === 0 ? NOBODY : rest;
  }

  /** Adds a mark and returns it. */
  mark(target: DisconnectTarget): DisconnectMark {
    const mark: DisconnectMark = { ...target, number: ++this.markNumber };
    if (target.sessionId === undefined) this.markedMs = performance.now();
    this.marks ??= [];
    this.marks.push(mark);
    if (this.marks.length > MAX_MARKS) this.marks.shift();
    return mark;
  }
}

/**
 * Looks through the streams for those that were not used for longest, until `visit` says that it is enough: a stream
 * used since the last visit goes to the end of the line, the others are offered. False when there is no more to visit.
 */
export function letGo(streams: Map<string, MemoryStream>, visit: (stream: MemoryStream) => boolean): boolean {
  let visits = 2 * streams.size;
  for (const stream of streams.values()) {
    if (visits-- === 0) return false;
    if (!stream.used && visit(stream)) return true;
    if (!streams.delete(stream.userId)) continue;
    stream.used = false;
    streams.set(stream.userId, stream);
  }
  return false;
}
