// The `usercast.v1` wire: `session.ready` first, then messages with a cursor that moves one place at a time and with the
// mark of what counts as unread. It comes back with the cursor that it has, and must be carried on from it.

import { Client } from './client.mjs';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const DIGIT_VALUES = new Int8Array(256).fill(-1);
for (const [value, digit] of [...DIGITS].entries()) DIGIT_VALUES[digit.charCodeAt(0)] = value;

/** The parts of a cursor: a version and the stream's incarnation, a running number in base 64, the entry's own mark. */
const INCARNATION_LENGTH = 17;
const NUMBER_END = INCARNATION_LENGTH + 9;
const CURSOR_LENGTH = NUMBER_END + 8;

const CURSOR_KEY = Buffer.from(',"cursor":"');
const END = Buffer.from('","unread":true}');
const READY = Buffer.from('{"type":"session.ready",');

export class V1Client extends Client {
  #cursor = Buffer.alloc(CURSOR_LENGTH);
  #number = -1;

  handshake() {
    const query = this.#number === -1 ? '' : `?cursor=${this.#cursor.latin1Slice()}`;
    return { path: `/box-users/${this.user}/ws${query}`, protocol: 'usercast.v1' };
  }

  upgraded() {}

  isControl(bytes, start, end) {
    if (READY.compare(bytes, start, Math.min(end, start + READY.length)) !== 0) return false;
    const { resumed, cursor } = JSON.parse(bytes.utf8Slice(start, end)).object;
    const isBack = this.#number !== -1;
    const place = Buffer.from(cursor, 'latin1');
    if (resumed !== isBack || (isBack && !place.equals(this.#cursor)) || numberOf(place, 0, place.length) === -1) {
      this.fail(`was not carried on from its cursor: ${bytes.utf8Slice(start, end)}`);
      return true;
    }
    place.copy(this.#cursor);
    this.#number = numberOf(place, 0, place.length);
    this.isReady();
    return true;
  }

  isTail(bytes, start, end) {
    const at = start + CURSOR_KEY.length;
    const endAt = at + CURSOR_LENGTH;
    const isExpected =
      end === endAt + END.length &&
      CURSOR_KEY.compare(bytes, start, at) === 0 &&
      this.#cursor.compare(bytes, at, at + INCARNATION_LENGTH, 0, INCARNATION_LENGTH) === 0 &&
      numberOf(bytes, at, endAt) === this.#number + 1 &&
      END.compare(bytes, endAt, end) === 0;
    if (!isExpected) return false;
    bytes.copy(this.#cursor, 0, at, endAt);
    this.#number++;
    return true;
  }
}

/** The running number of a cursor; -1 for what is none. */
function numberOf(bytes, start, end) {
  if (end - start !== CURSOR_LENGTH) return -1;
  let number = 0;
  for (let i = start; i < end; i++) {
    const value = DIGIT_VALUES[bytes[i]];
    if (value === -1) return -1;
    if (i >= start + INCARNATION_LENGTH && i < start + NUMBER_END) number = number * 64 + value;
  }
  return number;
}
