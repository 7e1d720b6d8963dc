// Positions in a user's stream, and the opaque cursor of fixed width that names one to clients.

/**
 * A place in a user's stream. `epoch` is the stream's incarnation (16 characters), `offset` grows from 1, `tag` is the
 * publisher's mark on the entry (8 characters); both of the alphabet `A-Z a-z 0-9 _ -`. The place before the first entry
 * has a position too; where an epoch is of one stream alone, it has offset 0 and the tag `ORIGIN_TAG`.
 */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
  readonly tag: string;
}

/** The tag of the place before a stream's first entry. */
export const ORIGIN_TAG = '--------';

/** Characters of an epoch. */
export const EPOCH_LENGTH = 16;
const OFFSET_LENGTH = 9;
/** Characters of a tag. */
export const TAG_LENGTH = 8;
const VERSION = '1';

/** Every cursor has this many characters. */
export const CURSOR_LENGTH = VERSION.length + EPOCH_LENGTH + OFFSET_LENGTH + TAG_LENGTH;

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const DIGIT_VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));
const WELL_FORMED = /^[A-Za-z0-9_-]{1,64}$/;

/** The cursor of a position. */
export function encodeCursor(position: Position): string {
  let digits = '';
  let rest = position.offset;
  for (let i = 0; i < OFFSET_LENGTH; i++) {
    digits = DIGITS[rest % 64] + digits;
    rest = Math.floor(rest / 64);
  }
  return VERSION + position.epoch + digits + position.tag;
}

/** Writes the cursor's characters over `bytes` from `at` on: the same as `encodeCursor`, for a message on its way. */
export function writeCursor(position: Position, bytes: Uint8Array, at: number): void {
  const { epoch, tag } = position;
  bytes[at] = VERSION.charCodeAt(0);
  const epochAt = at + VERSION.length;
  for (let i = 0; i < EPOCH_LENGTH; i++) bytes[epochAt + i] = epoch.charCodeAt(i);
  let rest = position.offset;
  for (let i = epochAt + EPOCH_LENGTH + OFFSET_LENGTH - 1; i >= epochAt + EPOCH_LENGTH; i--) {
    bytes[i] = DIGITS.charCodeAt(rest % 64);
    rest = Math.floor(rest / 64);
  }
  const tagAt = epochAt + EPOCH_LENGTH + OFFSET_LENGTH;
  for (let i = 0; i < TAG_LENGTH; i++) bytes[tagAt + i] = tag.charCodeAt(i);
}

/**
 * The position that a client's cursor names: `malformed` over 64 characters or outside of the alphabet, `unreadable`
 * when it is well-formed and none of ours.
 */
export function decodeCursor(cursor: string): Position | 'malformed' | 'unreadable' {
  if (!WELL_FORMED.test(cursor)) return 'malformed';
  if (cursor.length !== CURSOR_LENGTH || !cursor.startsWith(VERSION)) return 'unreadable';
  const offsetAt = VERSION.length + EPOCH_LENGTH;
  let offset = 0;
  for (const digit of cursor.slice(offsetAt, offsetAt + OFFSET_LENGTH)) offset = offset * 64 + DIGIT_VALUES.get(digit)!;
  if (!Number.isSafeInteger(offset)) return 'unreadable';
  return { epoch: cursor.slice(VERSION.length, offsetAt), offset, tag: cursor.slice(offsetAt + OFFSET_LENGTH) };
}
