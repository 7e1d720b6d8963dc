import { describe, expect, it } from 'vitest';
import { CURSOR_LENGTH, decodeCursor, encodeCursor, ORIGIN_TAG } from '../../src/protocol/cursor.ts';

const position = { epoch: 'abcdefghABCD01_-', offset: 42, tag: 'Tag_-001' };

describe('a cursor', () => {
  it('names its position, in a fixed width of URL-safe characters', () => {
    const cursor = encodeCursor(position);
    expect(cursor).toHaveLength(CURSOR_LENGTH);
    expect(cursor).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    expect(decodeCursor(cursor)).toEqual(position);
  });

  it('holds the place before the first entry, and the last offset that a number can count', () => {
    for (const edge of [
      { ...position, offset: 0, tag: ORIGIN_TAG },
      { ...position, offset: Number.MAX_SAFE_INTEGER },
    ]) {
      expect(decodeCursor(encodeCursor(edge))).toEqual(edge);
    }
  });

  it.each(['', 'a b', 'a+b', 'é', 'a\n', '%41', 'a'.repeat(65)])('is malformed as %j', (cursor) => {
    expect(decodeCursor(cursor)).toBe('malformed');
  });

  it('is unreadable when it is well-formed and none of ours', () => {
    const cursor = encodeCursor(position);
    for (const other of ['0', cursor.slice(1), `${cursor}A`, `2${cursor.slice(1)}`, 'a'.repeat(64)]) {
      expect(decodeCursor(other)).toBe('unreadable');
    }
  });

  it('is unreadable when its offset is more than a number can count', () => {
    const cursor = encodeCursor(position);
    expect(decodeCursor(`${cursor.slice(0, 17)}${'_'.repeat(9)}${cursor.slice(26)}`)).toBe('unreadable');
  });
});
