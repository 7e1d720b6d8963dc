import { expect, it } from 'vitest';
import type { Publication } from '../../src/broker/broker.ts';
import { Hold } from '../../src/broker/hold.ts';

const publication = (offset: number, payload = '{}'): Publication => ({
  epoch: 'epoch-----------',
  offset,
  tag: 'tag-0000',
  previousTag: 'tag-0000',
  payload,
  unread: false,
});
const offsets = (hold: Hold) => hold.held.map(({ offset }) => offset);

it('keeps what arrives, in order', () => {
  const hold = new Hold();
  expect([hold.isEmpty, hold.held]).toEqual([true, []]);
  for (const offset of [1, 2, 3]) hold.add(publication(offset));
  expect(offsets(hold)).toEqual([1, 2, 3]);
  expect([hold.isEmpty, hold.overflowed]).toEqual([false, false]);
});

it('keeps 1 000 publications, and knows that it dropped one', () => {
  const hold = new Hold();
  for (let offset = 1; offset <= 1_000; offset++) hold.add(publication(offset));
  expect(hold.overflowed).toBe(false);
  hold.add(publication(1_001));
  expect([hold.held.length, hold.overflowed]).toEqual([1_000, true]);
  expect(hold.begin()).toBe(1_000);
  expect(hold.overflowed).toBe(false);
});

it('keeps 1 048 576 characters, and one publication of any size', () => {
  const hold = new Hold();
  hold.add(publication(1, 'x'.repeat(2_000_000)));
  expect([offsets(hold), hold.overflowed]).toEqual([[1], false]);
  hold.add(publication(2));
  expect([offsets(hold), hold.overflowed]).toEqual([[1], true]);
  hold.forgetFirst(1);
  hold.add(publication(3, 'x'.repeat(1_048_576)));
  hold.add(publication(4));
  expect(offsets(hold)).toEqual([3]);
});

it('forgets the first, and has room for as much again', () => {
  const hold = new Hold();
  for (const offset of [1, 2, 3]) hold.add(publication(offset, 'x'.repeat(349_525)));
  hold.forgetFirst(2);
  expect(offsets(hold)).toEqual([3]);
  for (const offset of [4, 5]) hold.add(publication(offset, 'x'.repeat(349_525)));
  expect([offsets(hold), hold.overflowed]).toEqual([[3, 4, 5], false]);
  hold.forgetFirst(3);
  expect(hold.isEmpty).toBe(true);
});
