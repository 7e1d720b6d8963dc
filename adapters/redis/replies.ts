// What Redis answers and sends, read into the words of the Broker contract.

import type {
  DisconnectMark,
  DisconnectTarget,
  Position,
  Publication,
  StreamListener,
  StreamSlice,
  StreamTop,
} from '../../src/index.ts';

/** Characters of an epoch. */
export const EPOCH = 16;
const STAMP = 7;
/** Characters of a tag. */
export const TAG = 8;
const NOT_TOLD = '-'.repeat(TAG);
/** Of a user's hash; all others are boxes. */
const TOP_FIELD = '';

/** A user's top as it is stored: epoch, stamp, tag, offset. */
export function topOf(stored: string): Position {
  const tagAt = EPOCH + STAMP;
  return {
    epoch: stored.slice(0, EPOCH),
    offset: Number(stored.slice(tagAt + TAG)),
    tag: stored.slice(tagAt, tagAt + TAG),
  };
}

/** A mark as it is stored: its number, a space, its target. */
function markOf(stored: string): DisconnectMark {
  const space = stored.indexOf(' ');
  const target = JSON.parse(stored.slice(space + 1)) as DisconnectTarget;
  return { ...target, number: Number(stored.slice(0, space)) };
}

/** Gives a message from a user's own channel to those who listen. */
export function hand(message: string, listeners: readonly StreamListener[]): void {
  const kind = message[0];
  if (kind === 'w') {
    const payload = message.slice(1);
    for (const listener of listeners) listener.whisper(payload);
  } else if (kind === 'm') {
    const mark = markOf(message.slice(1));
    for (const listener of listeners) listener.mark(mark);
  } else {
    const publication = publicationOf(message);
    for (const listener of listeners) listener.publication(publication);
  }
}

/** `p<tag before><epoch>`, and the entry as it is stored. */
function publicationOf(message: string): Publication {
  const epochAt = 1 + TAG;
  const entryAt = epochAt + EPOCH;
  return entryOf(message.slice(entryAt), message.slice(epochAt, entryAt), message.slice(1, epochAt));
}

/** An entry as it is stored: `<tag><flag><offset> <payload>`, or what names the payload where that is shared. */
function entryOf(stored: string, epoch: string, previousTag: string): Publication {
  const space = stored.indexOf(' ');
  return {
    epoch,
    offset: Number(stored.slice(TAG + 1, space)),
    tag: stored.slice(0, TAG),
    previousTag,
    payload: stored.slice(space + 1),
    unread: stored[TAG] === '1' || stored[TAG] === '3',
  };
}

function isShared(stored: string): boolean {
  return stored[TAG] === '2' || stored[TAG] === '3';
}

/**
 * Gives a message from a partition's channel to those of its recipients who have listeners here.
 * `<epoch><tag><1 where it counted><offset> <recipients as JSON>\n<the tag before of each>\n<payload>`: dashes for who is not
 * told, for it had the message already.
 */
export function handToAll(
  message: string,
  listenersOf: (userId: string) => readonly StreamListener[] | undefined,
): void {
  const offsetAt = EPOCH + TAG + 1;
  const usersAt = message.indexOf(' ', offsetAt) + 1;
  let at = message.indexOf('\n', usersAt) + 1;
  const userIds = JSON.parse(message.slice(usersAt, at - 1)) as string[];
  const payload = message.slice(at + userIds.length * TAG + 1);
  const epoch = message.slice(0, EPOCH);
  const tag = message.slice(EPOCH, EPOCH + TAG);
  const offset = Number(message.slice(offsetAt, usersAt - 1));
  const unread = message[offsetAt - 1] === '1';
  for (const userId of userIds) {
    const listeners = listenersOf(userId);
    if (listeners) {
      const previousTag = message.slice(at, at + TAG);
      const publication = { epoch, offset, tag, previousTag, payload, unread };
      if (previousTag !== NOT_TOLD) for (const listener of listeners) listener.publication(publication);
    }
    at += TAG;
  }
}

/** What `READ` returns. */
export type ReadReply = readonly [
  top: string,
  /** The first is the one before. */
  entries: readonly string[],
  fields: readonly string[],
  marks: readonly string[],
  now?: string,
];

/** Which payloads its entries share with other streams: the tag, and what names it. */
export function sharedOf([, stored]: ReadReply): [tag: string, name: string][] {
  return stored
    .slice(1)
    .filter(isShared)
    .map((entry) => [entry.slice(0, TAG), entry.slice(entry.indexOf(' ') + 1)]);
}

/** `shared` are the payloads of `sharedOf`; where one is gone (null), nothing before it is an entry any more. */
export function sliceOf(
  [storedTop, stored, fields, storedMarks, now]: ReadReply,
  shared: readonly (string | null)[],
): StreamSlice {
  const top = topOf(storedTop);
  const payloads = shared.values();
  let entries: Publication[] = [];
  for (let i = 1; i < stored.length; i++) {
    const entry = entryOf(stored[i]!, top.epoch, stored[i - 1]!.slice(0, TAG));
    const payload = isShared(stored[i]!) ? payloads.next().value : entry.payload;
    if (typeof payload === 'string') entries.push({ ...entry, payload });
    else entries = [];
  }
  const counts: [string, number][] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== TOP_FIELD) counts.push([fields[i]!, Number(fields[i + 1])]);
  }
  const marks = storedMarks.map(markOf);
  const forAll = marks.findLast(({ sessionId }) => sessionId === undefined);
  return {
    top,
    entries,
    counts: Object.fromEntries(counts),
    markNumber: marks.at(-1)?.number ?? 0,
    marks,
    ...(forAll && { markAgeMs: (Number(now) - forAll.number) / 1_000 }),
  };
}

/** What `TOPS` returns: the stored top and the newest mark of each. */
export function topsOf(userIds: readonly string[], reply: readonly string[]): [string, StreamTop][] {
  return userIds.map((userId, i) => {
    const mark = reply[2 * i + 1]!;
    return [userId, { ...topOf(reply[2 * i]!), markNumber: mark === '' ? 0 : markOf(mark).number }];
  });
}
