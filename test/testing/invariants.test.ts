// The control of the checker that the soak and the properties rely on: it sees each thing that can go wrong.

import { describe, expect, it } from 'vitest';
import { encodeCursor, ORIGIN_TAG } from '../../src/protocol/cursor.ts';
import { type Evidence, violationsOf, Witness } from '../support/invariants.ts';

const place = (offset: number, epoch = 'epoch-of-stream-') => ({
  epoch,
  offset,
  tag: offset === 0 ? ORIGIN_TAG : String(offset).padStart(8, 't'),
});
const cursor = (offset: number, epoch?: string) => encodeCursor(place(offset, epoch));
const message = (offset: number, id = `event ${offset}`) => ({
  type: 'event.new',
  object: { id, box_id: 'box' },
  cursor: cursor(offset),
  unread: true,
});
const ready = (at: number, counts = {}, more = {}) => ({
  type: 'session.ready',
  object: { cursor: cursor(at), head: cursor(at), counts, ...more },
});

/** A user with three events, and a witness that was there from the start. */
function evidence(see: (witness: Witness) => void, changes: Partial<Evidence> = {}): string[] {
  const witness = new Witness('ann');
  witness.take(ready(0));
  const fromMs = performance.now() + 1;
  see(witness);
  return violationsOf({
    accepted: [1, 2, 3].map((n) => ({ userId: 'ann', id: `event ${n}`, boxId: 'box', fromMs })),
    witnesses: [witness],
    tops: new Map([['ann', place(3)]]),
    counts: new Map([['ann', { box: 3 }]]),
    ...changes,
  });
}

const sees =
  (...offsets: number[]) =>
  (witness: Witness): void => {
    for (const offset of offsets) witness.take(message(offset));
  };

it.each<[what: string, see: (witness: Witness) => void, found: RegExp | null]>([
  ['what is right', sees(1, 2, 3), null],
  ['a message that is missing in the middle', sees(1, 3), /event 3 at offset 3 came after 1/],
  ['a message that is missing in the end', sees(1, 2), /event 3 was lost silently/],
  ['messages that changed places', sees(2, 1, 3), /event 1 at offset 1 came after 2/],
  ['a message that came twice', sees(1, 2, 2, 3), /event 2 came twice/],
  [
    'a message that was stored twice',
    (w) => {
      w.take(message(1));
      w.take(message(2, 'event 1'));
      w.take(message(3));
    },
    /event 1 came twice/,
  ],
  [
    'a message of another epoch',
    (w) => {
      w.take(message(1));
      w.take({ ...message(2), cursor: cursor(2, 'another-epoch---') });
    },
    /event 2 is of another epoch/,
  ],
  [
    'a session that goes on from elsewhere',
    (w) => {
      w.take(message(1));
      w.take(ready(3));
    },
    /resumed at/,
  ],
  [
    'a count that is wrong',
    (w) => {
      w.take(message(1));
      w.take({ ...message(2), unread: false });
      w.take(message(3));
    },
    /counts \[\["box",2\]\], and the broker \[\["box",3\]\]/,
  ],
])('the checker judges %s', (_what, see, found) => {
  const violations = evidence(see);
  if (found === null) expect(violations).toEqual([]);
  else expect(violations.join('\n')).toMatch(found);
});

it('a reset excuses what was published before it, and nothing after it', () => {
  const witness = new Witness('ann');
  witness.take(ready(0));
  const earlier = { userId: 'ann', id: 'event 1', boxId: 'box', fromMs: performance.now() };
  witness.reset(cursor(2), { box: 2 });
  const later = { userId: 'ann', id: 'event 3', boxId: 'box', fromMs: performance.now() + 1 };
  const rest = { witnesses: [witness], tops: new Map([['ann', place(2)]]), counts: new Map([['ann', { box: 2 }]]) };
  expect(violationsOf({ accepted: [earlier], ...rest })).toEqual([]);
  expect(violationsOf({ accepted: [earlier, later], ...rest })).toEqual(['ann, client 0: event 3 was lost silently']);
});

it('two clients of one user that saw different messages at one place are told apart', () => {
  const witnesses = [message(1), message(1, 'event 2')].map((seen) => {
    const witness = new Witness('ann');
    witness.take(ready(0));
    witness.take(seen);
    return witness;
  });
  const rest = { accepted: [], tops: new Map([['ann', place(1)]]), counts: new Map([['ann', { box: 1 }]]) };
  expect(violationsOf({ witnesses, ...rest })).toEqual(['ann, client 1: saw event 2 where another client saw event 1']);
});

describe('where offsets may leave room', () => {
  const seenAt = (...offsets: readonly number[]): Witness => {
    const witness = new Witness('ann');
    witness.take(ready(0));
    for (const offset of offsets) witness.take(message(offset));
    return witness;
  };
  const found = (witnesses: readonly Witness[], accepted: readonly number[]): string[] =>
    violationsOf({
      accepted: accepted.map((n) => ({ userId: 'ann', id: `event ${n}`, boxId: 'box', fromMs: 0 })),
      witnesses,
      tops: new Map([['ann', place(9)]]),
      counts: new Map(),
      dense: false,
      exactCounts: false,
    });

  it('the checker takes what only grows', () => {
    expect(found([seenAt(2, 5, 9), seenAt(2, 5, 9)], [2, 5, 9])).toEqual([]);
    expect(found([seenAt(5, 2, 9)], []).join()).toMatch(/event 2 at offset 2 came after 5/);
  });

  it('the checker sees that a client went past what another one has', () => {
    const witnesses = [seenAt(2, 5, 9), seenAt(2, 9)];
    expect(found(witnesses, [2, 5, 9])).toEqual(['ann, client 1: went past event 5 at offset 5']);
    expect(found(witnesses, [2, 9])).toEqual([]);
  });

  it('a reset excuses what another one has', () => {
    const witness = seenAt(2);
    witness.reset(cursor(7), null);
    witness.take(message(9));
    expect(found([seenAt(2, 5, 9), witness], [2, 5, 9])).toEqual([]);
  });
});
