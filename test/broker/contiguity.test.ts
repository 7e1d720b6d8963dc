import { describe, expect, it } from 'vitest';
import type { Publication, StreamSlice } from '../../src/broker/broker.ts';
import { disproof, follows } from '../../src/broker/contiguity.ts';
import { ORIGIN_TAG, type Position } from '../../src/protocol/cursor.ts';

const EPOCH = 'epoch-----------';
const at = (offset: number, changes: Partial<Position> = {}): Position => ({
  epoch: EPOCH,
  offset,
  tag: offset === 0 ? ORIGIN_TAG : `tag-000${offset}`,
  ...changes,
});
const entry = (offset: number, changes: Partial<Publication> = {}): Publication => ({
  ...at(offset),
  previousTag: at(offset - 1).tag,
  payload: '{}',
  unread: false,
  ...changes,
});
const slice = (top: number, ...entries: Publication[]): StreamSlice => ({
  top: at(top),
  entries,
  markNumber: 0,
  marks: [],
});

describe('a publication', () => {
  it('follows the position whose tag it names, on brokers that skip offsets as well', () => {
    expect(follows(at(3), entry(4))).toBe(true);
    expect(follows(at(0), entry(1))).toBe(true);
    expect(follows(at(3), entry(7, { previousTag: at(3).tag }))).toBe(true);
  });

  it.each([
    ['that is the next by its offset alone', entry(4, { previousTag: 'other000' })],
    ['that was there before', entry(3)],
    ['that was there before and names the tag', entry(2, { previousTag: at(3).tag })],
    ['of another epoch', entry(4, { epoch: 'another---------' })],
    ['after a gap', entry(5)],
  ])('%s does not', (_, publication) => {
    expect(follows(at(3), publication)).toBe(false);
  });
});

describe('a slice', () => {
  it.each([
    ['everything after the position', at(2), slice(5, entry(3), entry(4), entry(5))],
    ['the first page of it', at(2), slice(9, entry(3), entry(4))],
    ['nothing, at the top', at(5), slice(5)],
    ['nothing, of an empty stream', at(0), slice(0)],
  ])('with %s proves it', (_, position, read) => {
    expect(disproof(position, read)).toBeNull();
  });

  it.each([
    ['epoch', 'another epoch', at(2, { epoch: 'another---------' }), slice(5, entry(3))],
    ['trimmed', 'a later first entry', at(2), slice(5, entry(4), entry(5))],
    ['trimmed', 'no entries, below the top', at(2), slice(5)],
    ['trimmed', 'a gap within', at(2), slice(5, entry(3), entry(5))],
    ['rollback', 'no entries, above the top', at(7), slice(5)],
    ['rollback', 'no entries, at the top with another tag', at(5, { tag: 'forged00' }), slice(5)],
    ['rollback', 'a next entry that names another tag', at(2, { tag: 'forged00' }), slice(5, entry(3))],
    ['rollback', 'another history within', at(2), slice(5, entry(3), entry(4, { previousTag: 'other000' }))],
  ])('is disproved as %s with %s', (reason, _, position, read) => {
    expect(disproof(position, read)).toBe(reason);
  });
});
