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

/** `<offset> <tag before><epoch><tag><1 where it counted><payload>` */
function publicationOf(message: string): Publication {
  const at = message.indexOf(' ') + 1;
  const epochAt = at + TAG;
  const tagAt = epochAt + EPOCH;
  const flagAt = tagAt + TAG;
  return {
    epoch: message.slice(epochAt, tagAt),
    offset: Number(message.slice(0, at - 1)),
    tag: message.slice(tagAt, flagAt),
    previousTag: message.slice(at, epochAt),
    payload: message.slice(flagAt + 1),
    unread: message[flagAt] === '1',
  };
}

/**
 * Gives a message from a partition's channel to those of its recipients who have listeners here.
 * `<epoch><tag><1 where it counted><recipients as JSON>\n<places>\n<payload>`: a place is the tag before, the offset and a
 * space; dashes and a space for who is not told, for it had the message already.
 */
export function handToAll(
  message: string,
  listenersOf: (userId: string) => readonly StreamListener[] | undefined,
): void {
  const usersAt = EPOCH + TAG + 1;
  let at = message.indexOf('\n', usersAt) + 1;
  const userIds = JSON.parse(message.slice(usersAt, at - 1)) as string[];
  const payload = message.slice(message.indexOf('\n', at) + 1);
  const epoch = message.slice(0, EPOCH);
  const tag = message.slice(EPOCH, EPOCH + TAG);
  const unread = message[usersAt - 1] === '1';
  for (const userId of userIds) {
    const offsetAt = at + TAG;
    const end = message.indexOf(' ', offsetAt);
    const listeners = listenersOf(userId);
    if (listeners && end > offsetAt) {
      const [previousTag, offset] = [message.slice(at, offsetAt), Number(message.slice(offsetAt, end))];
      const publication = { epoch, offset, tag, previousTag, payload, unread };
      for (const listener of listeners) listener.publication(publication);
    }
    at = end + 1;
  }
}

/** What `READ` returns. */
export type ReadReply = readonly [
  top: string,
  firstOffset: number,
  entries: readonly string[],
  fields: readonly string[],
  marks: readonly string[],
  now?: string,
];

export function sliceOf([storedTop, firstOffset, stored, fields, storedMarks, now]: ReadReply): StreamSlice {
  const top = topOf(storedTop);
  const entries: Publication[] = [];
  for (let i = 0; i < stored.length; i += 2) {
    const head = stored[i]!;
    const [tag, previousTag] = [head.slice(0, TAG), head.slice(TAG + 1)];
    const offset = firstOffset + i / 2;
    entries.push({ epoch: top.epoch, offset, tag, previousTag, payload: stored[i + 1]!, unread: head[TAG] === '1' });
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
