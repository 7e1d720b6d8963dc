import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CURSOR_LENGTH, decodeCursor, encodeCursor, type Position } from '../../src/protocol/cursor.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const word = (length: number) =>
  fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: length, maxLength: length });
const position: fc.Arbitrary<Position> = fc.record({
  epoch: word(16),
  offset: fc.maxSafeNat(),
  tag: word(8),
});

describe('any position', () => {
  it('comes back from its cursor', () => {
    fc.assert(
      fc.property(position, (given) => {
        const cursor = encodeCursor(given);
        expect(cursor).toHaveLength(CURSOR_LENGTH);
        expect(decodeCursor(cursor)).toEqual(given);
      }),
    );
  });

  it('has a cursor of its own', () => {
    fc.assert(
      fc.property(position, position, (a, b) => {
        const same = a.epoch === b.epoch && a.offset === b.offset && a.tag === b.tag;
        expect(encodeCursor(a) === encodeCursor(b)).toBe(same);
      }),
    );
  });
});

describe('any text as a cursor', () => {
  it('is malformed exactly when it is empty, over 64 characters or outside of the alphabet', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 80 }), fc.integer({ min: 0, max: 80 }).chain(word));
    fc.assert(
      fc.property(text, (cursor) => {
        const wellFormed = cursor !== '' && cursor.length <= 64 && [...cursor].every((c) => ALPHABET.includes(c));
        expect(decodeCursor(cursor) === 'malformed').toBe(!wellFormed);
      }),
    );
  });

  it('that can be read is the one cursor of its position', () => {
    const nearly = fc.tuple(fc.constantFrom('1', '0'), word(16), word(9), word(8)).map((parts) => parts.join(''));
    fc.assert(
      fc.property(nearly, (cursor) => {
        const decoded = decodeCursor(cursor);
        if (typeof decoded === 'object') expect(encodeCursor(decoded)).toBe(cursor);
      }),
    );
  });
});
