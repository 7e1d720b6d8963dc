// The smallest broker that keeps the contract: it forgets nothing, so that tests can compare with all there ever was, and it
// can be put back to an earlier state, which is what a server that lost its last writes looks like.

import { randomBytes } from 'node:crypto';
import {
  type Broker,
  type BrokerStatus,
  type DisconnectMark,
  ORIGIN_TAG,
  type Position,
  type Publication,
  type StreamListener,
  UsercastError,
} from '../index.ts';

/** A `Broker` for tests, in the memory of this process. */
export interface ModelBroker extends Broker {
  readonly counters: { counts(userId: string): Promise<Record<string, number>> };
  /** Another broker on the same streams, as another process would have it; each is closed on its own. */
  peer(): ModelBroker;
  /** Keeps the present state; the returned function brings it back, and tells nobody. */
  snapshot(): () => void;
  /** All publications of the user's stream, oldest first. */
  stream(userId: string): readonly Publication[];
}

interface Stream {
  readonly epoch: string;
  readonly entries: readonly Publication[];
  readonly counts: ReadonlyMap<string, number>;
  readonly marks: readonly DisconnectMark[];
  /** When all of the user's sessions were last disconnected. */
  readonly markedMs?: number;
  /** Message ids, to where each stands. */
  readonly seen: ReadonlyMap<string, Position>;
}

/** What all peers share. A stream is replaced and never changed, so that a snapshot is a copy of one map. */
interface State {
  streams: ReadonlyMap<string, Stream>;
  readonly listeners: Map<string, Set<{ readonly listener: StreamListener }>>;
}

/** A broker that keeps everything, counts, and can be rolled back. Unbounded: for tests. */
export function modelBroker(): ModelBroker {
  return createPeer({ streams: new Map(), listeners: new Map() });
}

function newStream(): Stream {
  const epoch = randomBytes(12).toString('base64url');
  return { epoch, entries: [], counts: new Map(), marks: [], seen: new Map() };
}

function topOf({ epoch, entries }: Stream): Position {
  const last = entries.at(-1);
  return last ? { epoch, offset: last.offset, tag: last.tag } : { epoch, offset: 0, tag: ORIGIN_TAG };
}

function createPeer(state: State): ModelBroker {
  const closing = new Set<() => void>();
  let status: BrokerStatus = 'ready';
  const assertOpen = (): void => {
    if (status === 'lost') throw new UsercastError('closed', 'the model broker is closed');
  };
  const put = (userId: string, stream: Stream): Stream => {
    state.streams = new Map([...state.streams, [userId, stream]]);
    return stream;
  };
  const find = (userId: string): Stream => state.streams.get(userId) ?? put(userId, newStream());
  const tell = (userId: string, arrive: (listener: StreamListener) => void): void => {
    const listeners = state.listeners.get(userId);
    for (const subscriber of listeners ?? []) {
      queueMicrotask(() => {
        if (listeners?.has(subscriber)) arrive(subscriber.listener);
      });
    }
  };

  return {
    get status() {
      return status;
    },
    onStatus: () => () => {},
    counters: {
      counts: async (userId) => {
        assertOpen();
        return Object.fromEntries(find(userId).counts);
      },
    },
    peer: () => createPeer(state),
    snapshot() {
      const { streams } = state;
      return () => {
        state.streams = streams;
      };
    },
    stream: (userId) => find(userId).entries,

    async publish({ id, tag, deliveries }) {
      assertOpen();
      const appended: Position[] = [];
      let duplicates = 0;
      for (const { payload, unread, ack, userIds } of deliveries) {
        for (const userId of userIds) {
          const stream = find(userId);
          const known = id === undefined ? undefined : stream.seen.get(id);
          if (known) {
            duplicates++;
            appended.push(known);
            continue;
          }
          const before = topOf(stream);
          const position = { epoch: stream.epoch, offset: before.offset + 1, tag };
          const publication = { ...position, previousTag: before.tag, payload, unread: unread !== undefined };
          const counts = new Map(stream.counts);
          if (unread) counts.set(unread.boxId, (counts.get(unread.boxId) ?? 0) + 1);
          if (ack) counts.delete(ack.boxId);
          const seen = id === undefined ? stream.seen : new Map([...stream.seen, [id, position]]);
          put(userId, { ...stream, counts, seen, entries: [...stream.entries, publication] });
          appended.push(position);
          tell(userId, (listener) => listener.publication(publication));
        }
      }
      return { appended, duplicates };
    },

    async subscribe(userId, listener) {
      assertOpen();
      const listeners = state.listeners.get(userId) ?? new Set();
      state.listeners.set(userId, listeners);
      const subscriber = { listener };
      listeners.add(subscriber);
      const leave = (): void => {
        closing.delete(leave);
        listeners.delete(subscriber);
      };
      closing.add(leave);
      return leave;
    },

    async read(userId, after, limit) {
      assertOpen();
      const stream = find(userId);
      const isKnown = after?.epoch === stream.epoch;
      return {
        top: topOf(stream),
        entries: isKnown ? stream.entries.slice(after.offset, after.offset + limit) : [],
        counts: Object.fromEntries(stream.counts),
        markNumber: stream.marks.at(-1)?.number ?? 0,
        marks: stream.marks,
        ...(stream.markedMs !== undefined && { markAgeMs: performance.now() - stream.markedMs }),
      };
    },

    async tops(userIds) {
      assertOpen();
      return new Map(
        userIds.map((userId) => {
          const stream = find(userId);
          return [userId, { ...topOf(stream), markNumber: stream.marks.at(-1)?.number ?? 0 }];
        }),
      );
    },

    async whisper(userIds, payload) {
      assertOpen();
      for (const userId of userIds) tell(userId, (listener) => listener.whisper(payload));
    },

    async online(userIds) {
      assertOpen();
      return new Set(userIds.filter((userId) => (state.listeners.get(userId)?.size ?? 0) > 0));
    },

    async mark(userId, target) {
      assertOpen();
      const stream = find(userId);
      const mark = { ...target, number: (stream.marks.at(-1)?.number ?? 0) + 1 };
      const isForAll = target.sessionId === undefined;
      put(userId, { ...stream, marks: [...stream.marks, mark], ...(isForAll && { markedMs: performance.now() }) });
      tell(userId, (listener) => listener.mark(mark));
    },

    async forget(userId) {
      assertOpen();
      const { marks, markedMs } = find(userId);
      put(userId, { ...newStream(), marks, ...(markedMs !== undefined && { markedMs }) });
    },

    async close() {
      status = 'lost';
      for (const leave of closing) leave();
    },
  };
}
