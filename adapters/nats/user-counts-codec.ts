// The bytes of a user's counts in the bucket. Every event rewrites the whole entry, so it is kept small: whole numbers of
// 7 bits a byte, positions as differences to the one before, each epoch once.

import { type Ack, CountedBox, type CountedPosition, DIGEST_LENGTH, RECENT, UserCounts } from './user-counts.ts';

const VERSION = 1;

/** Boxes that take more bytes than this keep fewer positions one by one. */
const MANY_BOXES_BYTES = 65_536;

/** The entry's bytes. May fold `counts`. */
export function encodeUserCounts(counts: UserCounts): Uint8Array {
  let boxes = encodeBoxes(counts);
  if (boxes.length > MANY_BOXES_BYTES) {
    counts.fold();
    boxes = encodeBoxes(counts);
  }
  const bytes = new ByteWriter();
  bytes.number(VERSION);
  bytes.number(counts.changedAt);
  bytes.raw(boxes);
  const [oldest = counts.changedAt] = counts.counted.values();
  bytes.number(counts.changedAt - oldest);
  bytes.number(counts.counted.size);
  let at = oldest;
  for (const [digest, countedAt] of counts.counted) {
    bytes.number(countedAt - at);
    bytes.raw(Buffer.from(digest, 'latin1'));
    at = countedAt;
  }
  return bytes.written();
}

/**
 * Counts from the entry's bytes; none from no bytes.
 * @throws RangeError for bytes that `encodeUserCounts` did not make.
 */
export function decodeUserCounts(entry: Uint8Array): UserCounts {
  if (entry.length === 0) return new UserCounts();
  const bytes = new ByteReader(entry);
  const version = bytes.number();
  if (version !== VERSION) throw new RangeError(`entries of version ${version} are not known`);
  const changedAt = bytes.number();
  const boxes = decodeBoxes(bytes, changedAt);
  const counted = new Map<string, number>();
  let at = changedAt - bytes.number();
  for (let left = bytes.length(); left > 0; left--) {
    at += bytes.number();
    counted.set(bytes.raw(DIGEST_LENGTH).toString('latin1'), at);
  }
  if (!bytes.isAtEnd) throw new RangeError('the entry goes on after its end');
  return new UserCounts(boxes, counted, changedAt);
}

function encodeBoxes({ boxes, changedAt }: UserCounts): Uint8Array {
  const body = new ByteWriter();
  const epochs = new Map<string, number>();
  const indexOf = (epoch: string): number => {
    const index = epochs.get(epoch) ?? epochs.size;
    epochs.set(epoch, index);
    return index;
  };
  for (const [boxId, box] of boxes) {
    body.text(boxId);
    body.number(box.older);
    body.number(box.acked ? indexOf(box.acked.epoch) + 1 : 0);
    if (box.acked) {
      body.number(box.acked.offset);
      body.number(changedAt - box.acked.at);
    }
    let offset = box.acked?.offset ?? 0;
    const runs = runsOf(box.recent);
    body.number(runs.length);
    for (const { epoch, offsets } of runs) {
      body.number(indexOf(epoch));
      body.number(offsets.length);
      for (const next of offsets) {
        body.signed(next - offset);
        offset = next;
      }
    }
  }
  const head = new ByteWriter();
  head.number(epochs.size);
  for (const epoch of epochs.keys()) head.text(epoch);
  head.number(boxes.size);
  head.raw(body.written());
  return head.written();
}

function decodeBoxes(bytes: ByteReader, changedAt: number): Map<string, CountedBox> {
  const epochs = Array.from({ length: bytes.length() }, () => bytes.text());
  const epochAt = (index: number): string => {
    const epoch = epochs[index];
    if (epoch === undefined) throw new RangeError('an epoch is missing');
    return epoch;
  };
  const boxes = new Map<string, CountedBox>();
  for (let left = bytes.length(); left > 0; left--) {
    const boxId = bytes.text();
    const older = bytes.number();
    const ackedEpoch = bytes.number();
    let acked: Ack | null = null;
    if (ackedEpoch > 0) {
      const offset = bytes.number();
      acked = { epoch: epochAt(ackedEpoch - 1), offset, at: changedAt - bytes.number() };
    }
    let offset = acked?.offset ?? 0;
    const recent: CountedPosition[] = [];
    for (let runs = bytes.length(); runs > 0; runs--) {
      const epoch = epochAt(bytes.number());
      for (let length = bytes.length(); length > 0; length--) {
        offset += bytes.signed();
        recent.push({ epoch, offset });
      }
    }
    if (recent.length > RECENT) throw new RangeError('a box has too many positions');
    boxes.set(boxId, new CountedBox(acked, older, recent));
  }
  return boxes;
}

/** The positions in their order, those of one epoch that follow each other together. */
function runsOf(positions: readonly CountedPosition[]): { epoch: string; offsets: number[] }[] {
  const runs: { epoch: string; offsets: number[] }[] = [];
  for (const { epoch, offset } of positions) {
    const last = runs.at(-1);
    if (last?.epoch === epoch) last.offsets.push(offset);
    else runs.push({ epoch, offsets: [offset] });
  }
  return runs;
}

class ByteWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  /** A whole number from 0 to 2^53 - 1: 7 bits a byte, the lowest first. */
  number(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A whole number of either sign, below 2^52. */
  signed(value: number): void {
    this.number(value < 0 ? -2 * value - 1 : 2 * value);
  }

  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.number(length);
    this.#reserve(length);
    this.#length += this.#bytes.write(text, this.#length);
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#length + bytes, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError('the entry ends early');
      value += (byte & 0x7f) * unit;
      if (!Number.isSafeInteger(value)) throw new RangeError('a number is too large');
      if (byte < 0x80) return value;
    }
  }

  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** How many things follow, each of a byte at least. */
  length(): number {
    const length = this.number();
    if (length > this.#bytes.length - this.#at) throw new RangeError('the entry ends early');
    return length;
  }

  text(): string {
    return this.raw(this.number()).toString();
  }

  raw(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new RangeError('the entry ends early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
