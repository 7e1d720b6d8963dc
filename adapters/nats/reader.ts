// Reads users' streams: where they stand, and what came after a position, with the proof that it is all. What a position names
// must still be stored after everything behind it was read: entries of one user go from the oldest on.

import type { Position, Publication, StreamSlice, StreamTop } from '../../src/index.ts';
import {
  JetStreamError,
  type MessageQuery,
  readDirect,
  readLeader,
  type StoredMessage,
  store,
  WRONG_LAST_SEQUENCE,
} from './jetstream.ts';
import { ageOf, type Marks, numberOf } from './marks.ts';
import { decodeEntry, type NatsEntry, newMarker, payloadOf } from './nats-entry.ts';
import type { NatsCaller } from './nats-link.ts';
import { userToken } from './nats-names.ts';
import type { NatsStore } from './nats-store.ts';

/** Asked one after the other before the rest is asked for in parts at once. */
const FIRST_ENTRIES = 3;
const PARTS = 8;
const MAX_TRIES = 20;

/** Who is asked: where there are replicas, which may lag behind or stay apart, the leader. */
type Ask = (query: MessageQuery) => Promise<StoredMessage | null>;

export class Reader {
  readonly #store: NatsStore;
  readonly #marks: Marks;

  constructor(natsStore: NatsStore, marks: Marks) {
    this.#store = natsStore;
    this.#marks = marks;
  }

  /** A slice as `Broker.read` gives it. */
  read(userId: string, after: Position | null, limit: number): Promise<StreamSlice> {
    return this.#store.use(async (caller) => {
      const token = userToken(userId);
      if (after && after.epoch !== this.#store.epochOf(token)) await this.#store.refresh();
      const [marks, slice] = await Promise.all([
        this.#marks.read(caller, token),
        this.#slice(caller, token, after, limit, this.#asker(caller)),
      ]);
      // A moment in which history moved on is no reason to reset anyone.
      const { top, entries } = slice.isProven
        ? slice
        : await this.#slice(caller, token, after, limit, this.#leader(caller));
      return { top, entries, markNumber: numberOf(marks), marks, ...ageOf(marks) };
    });
  }

  /** Where each user stands, as `Broker.tops` gives it. */
  tops(userIds: readonly string[]): Promise<ReadonlyMap<string, StreamTop>> {
    return this.#store.use(async (caller) => {
      const tops = await Promise.all(
        userIds.map(async (userId): Promise<[string, StreamTop]> => {
          const token = userToken(userId);
          const [last, marks] = await Promise.all([
            this.last(caller, token, this.#asker(caller)),
            this.#marks.read(caller, token),
          ]);
          return [userId, { ...this.#position(token, last), markNumber: numberOf(marks) }];
        }),
      );
      return new Map(tops);
    });
  }

  /** The newest entry of the user. Where there is none, a marker is stored, and given. */
  async last(caller: NatsCaller, token: string, ask: Ask = this.#leader(caller)): Promise<NatsEntry> {
    const subject = this.#subject(token);
    const last = entryOf(await ask({ last_by_subj: subject }), subject);
    if (last) return last;
    const headers = this.#store.link.headers();
    headers.set('Nats-Expected-Last-Subject-Sequence', '0');
    const bytes = newMarker();
    for (let tries = 1; ; tries++) {
      try {
        const { seq } = await store(caller, subject, bytes, { headers });
        const marker = decodeEntry(seq, bytes, 0)!;
        this.#store.seen.add(subject, seq, marker.tag);
        return marker;
      } catch (cause) {
        const isOvertaken = cause instanceof JetStreamError && cause.code === WRONG_LAST_SEQUENCE;
        if (!isOvertaken || tries === MAX_TRIES) throw cause;
      }
      const overtaker = entryOf(await this.#leader(caller)({ last_by_subj: subject }), subject);
      if (overtaker) return overtaker;
    }
  }

  /** The entry at this sequence, where it is one of the user's. */
  async at(caller: NatsCaller, token: string, sequence: number): Promise<NatsEntry | null> {
    return entryOf(await this.#leader(caller)({ seq: sequence }), this.#subject(token));
  }

  async #slice(caller: NatsCaller, token: string, after: Position | null, limit: number, ask: Ask) {
    const last = await this.last(caller, token, ask);
    const top = this.#position(token, last);
    const nothing = { top, entries: [] as Publication[] };
    if (!after || after.epoch !== top.epoch) return { ...nothing, isProven: true };
    if (after.offset === last.sequence) return { ...nothing, isProven: after.tag === last.tag };
    if (after.offset > last.sequence || after.offset < 1) return { ...nothing, isProven: false };
    if (limit === 0) return { ...nothing, isProven: true };
    const subject = this.#subject(token);
    const entries = await this.#entries(subject, after.offset, last, limit, ask);
    const named = entryOf(await ask({ seq: after.offset }), subject);
    const [oldest] = entries;
    const isProven =
      named?.tag === after.tag &&
      oldest !== undefined &&
      !this.#isOver(oldest) &&
      entries.every(({ kind }) => kind !== 'marker');
    if (!isProven) return { ...nothing, isProven };
    let previousTag = after.tag;
    const publications = entries.map((entry): Publication => {
      const publication = this.#publication(top.epoch, previousTag, entry);
      previousTag = entry.tag;
      return publication;
    });
    return { top, entries: publications, isProven };
  }

  /** What is stored for longer is a proof, and no history any more. */
  #isOver({ storedMs }: NatsEntry): boolean {
    return storedMs > 0 && storedMs < Date.now() - this.#store.options.history.ageMs;
  }

  /** The entries after `sequence` up to `last`, at most `limit`. */
  async #entries(subject: string, sequence: number, last: NatsEntry, limit: number, ask: Ask): Promise<NatsEntry[]> {
    const until = Math.min(limit, FIRST_ENTRIES);
    const first = await chain(subject, sequence + 1, last.sequence, until, ask);
    const reached = first.at(-1)?.sequence ?? last.sequence;
    if (first.length >= limit || reached >= last.sequence) return first;
    const rest = limit - first.length;
    const { entriesPerUser } = this.#store;
    const from = reached + 1;
    // Cut in parts by sequence, all of it is read, whatever the limit is.
    const isShort = entriesPerUser > 0 && entriesPerUser <= 4 * rest;
    if (!isShort) return [...first, ...(await chain(subject, from, last.sequence, rest, ask))];
    const width = Math.ceil((last.sequence - from + 1) / PARTS);
    const parts = Array.from({ length: PARTS }, (_, part) => {
      const start = from + part * width;
      return chain(subject, start, Math.min(start + width - 1, last.sequence), Number.POSITIVE_INFINITY, ask);
    });
    return [...first, ...(await Promise.all(parts)).flat()].slice(0, limit);
  }

  #publication(epoch: string, previousTag: string, entry: NatsEntry): Publication {
    const { sequence: offset, tag, kind } = entry;
    return { epoch, offset, tag, previousTag, payload: payloadOf(entry), unread: kind === 'unread' };
  }

  #position(token: string, { sequence, tag }: NatsEntry): Position {
    return { epoch: this.#store.epochOf(token), offset: sequence, tag };
  }

  #subject(token: string): string {
    return `${this.#store.names.entries}${token}`;
  }

  #asker(caller: NatsCaller): Ask {
    const { stream } = this.#store.names;
    return this.#store.mayLag ? this.#leader(caller) : (query) => readDirect(caller, stream, query);
  }

  #leader(caller: NatsCaller): Ask {
    const { stream } = this.#store.names;
    return (query) => readLeader(caller, stream, query);
  }
}

/** The entries of a subject from one sequence to another, each found by the one before. */
async function chain(subject: string, from: number, to: number, limit: number, ask: Ask): Promise<NatsEntry[]> {
  const entries: NatsEntry[] = [];
  for (let seq = from; seq <= to && entries.length < limit; ) {
    const entry = entryOf(await ask({ seq, next_by_subj: subject }), subject);
    if (!entry || entry.sequence > to) break;
    entries.push(entry);
    seq = entry.sequence + 1;
  }
  return entries;
}

/** null for nothing, for what is another user's, and for what is no entry. */
function entryOf(message: StoredMessage | null, subject: string): NatsEntry | null {
  return message?.subject === subject ? decodeEntry(message.sequence, message.data, message.storedMs) : null;
}
