// @ts-check
// A broker of one's own: streams in memory, and in one JSON file that the next start reads. Small, and not fast: it writes the
// whole file at every change. What makes it a broker is the contract, which `npm test` in this folder holds it to.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { ORIGIN_TAG, UsercastError } from 'usercast';

/**
 * @typedef {import('usercast').Publication} Publication
 * @typedef {import('usercast').Position} Position
 * @typedef {{ epoch: string, top: Position, entries: Publication[], marks: import('usercast').DisconnectMark[],
 *   markedMs: number | null, counts: [boxId: string, count: number][], seen: [id: string, position: Position, untilMs: number][] }} Stream
 */

const HISTORY = 100;
const REMEMBER_MS = 300_000;

/** @returns {Stream} */
function newStream() {
  const epoch = randomBytes(12).toString('base64url');
  return {
    epoch,
    top: { epoch, offset: 0, tag: ORIGIN_TAG },
    entries: [],
    marks: [],
    markedMs: null,
    counts: [],
    seen: [],
  };
}

/**
 * @param {{ path: string }} options where the file is, or will be
 * @returns {import('usercast').Broker & { readonly path: string }}
 */
export function fileBroker({ path }) {
  /** @type {Map<string, Stream>} */
  const streams = new Map(existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : []);
  /** @type {Map<string, Set<{ listener: import('usercast').StreamListener }>>} */
  const subscribers = new Map();
  let isClosed = false;

  const assertOpen = () => {
    if (isClosed) throw new UsercastError('closed', 'the file broker is closed');
  };
  const save = () => writeFileSync(path, JSON.stringify([...streams]));

  /** @param {string} userId */
  function streamOf(userId) {
    const stream = streams.get(userId) ?? newStream();
    streams.set(userId, stream);
    return stream;
  }

  /** @param {string} userId @param {(listener: import('usercast').StreamListener) => void} arrive */
  function tell(userId, arrive) {
    // Not before the step is over: a listener may publish in turn.
    for (const subscriber of subscribers.get(userId) ?? []) {
      queueMicrotask(() => {
        if (subscribers.get(userId)?.has(subscriber)) arrive(subscriber.listener);
      });
    }
  }

  /** @param {Stream} stream */
  const markNumberOf = (stream) => stream.marks.at(-1)?.number ?? 0;

  return {
    path,
    // Publishers and subscribers are in one process, and nothing between them can fail.
    reliable: true,
    get status() {
      return isClosed ? 'lost' : 'ready';
    },
    onStatus: () => () => {},
    counters: {
      async counts(userId) {
        assertOpen();
        return Object.fromEntries(streamOf(userId).counts);
      },
    },

    async publish({ id, tag, deliveries }) {
      assertOpen();
      const nowMs = Date.now();
      const appended = [];
      let duplicates = 0;
      for (const { payload, unread, ack, userIds } of deliveries) {
        for (const userId of userIds) {
          const stream = streamOf(userId);
          stream.seen = stream.seen.filter(([, , untilMs]) => untilMs > nowMs);
          const known = stream.seen.find(([seenId]) => seenId === id);
          if (known) {
            duplicates++;
            appended.push(known[1]);
            continue;
          }
          const previous = stream.top;
          stream.top = { epoch: stream.epoch, offset: previous.offset + 1, tag };
          const publication = { ...stream.top, previousTag: previous.tag, payload, unread: unread !== undefined };
          stream.entries = [...stream.entries, publication].slice(-HISTORY);
          const counts = new Map(stream.counts);
          if (unread) counts.set(unread.boxId, (counts.get(unread.boxId) ?? 0) + 1);
          if (ack) counts.delete(ack.boxId);
          stream.counts = [...counts];
          if (id !== undefined) stream.seen.push([id, stream.top, nowMs + REMEMBER_MS]);
          appended.push(stream.top);
          tell(userId, (listener) => listener.publication(publication));
        }
      }
      save();
      return { appended, duplicates };
    },

    async subscribe(userId, listener) {
      assertOpen();
      const subscriber = { listener };
      subscribers.set(userId, new Set([...(subscribers.get(userId) ?? []), subscriber]));
      return () => {
        subscribers.get(userId)?.delete(subscriber);
      };
    },

    async read(userId, after, limit) {
      assertOpen();
      const stream = streamOf(userId);
      const later = stream.entries.filter(({ offset }) => after?.epoch === stream.epoch && offset > after.offset);
      return {
        top: stream.top,
        entries: later.slice(0, limit),
        counts: Object.fromEntries(stream.counts),
        markNumber: markNumberOf(stream),
        marks: [...stream.marks],
        ...(stream.markedMs !== null && { markAgeMs: Date.now() - stream.markedMs }),
      };
    },

    async tops(userIds) {
      assertOpen();
      return new Map(
        userIds.map((userId) => {
          const stream = streamOf(userId);
          return [userId, { ...stream.top, markNumber: markNumberOf(stream) }];
        }),
      );
    },

    async whisper(userIds, payload) {
      assertOpen();
      for (const userId of userIds) tell(userId, (listener) => listener.whisper(payload));
    },

    async online(userIds) {
      assertOpen();
      return new Set(userIds.filter((userId) => (subscribers.get(userId)?.size ?? 0) > 0));
    },

    async mark(userId, target) {
      assertOpen();
      const stream = streamOf(userId);
      const mark = { ...target, number: markNumberOf(stream) + 1 };
      stream.marks.push(mark);
      if (target.sessionId === undefined) stream.markedMs = Date.now();
      save();
      tell(userId, (listener) => listener.mark(mark));
    },

    async forget(userId) {
      assertOpen();
      // Marks stay in force, and so does what must not come twice.
      const { marks, markedMs, seen } = streamOf(userId);
      streams.set(userId, { ...newStream(), marks, markedMs, seen });
      save();
    },

    async close() {
      if (!isClosed) save();
      isClosed = true;
      subscribers.clear();
    },
  };
}
