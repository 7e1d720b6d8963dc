// An entry as NATS stores it: the tag, a letter that says what it is, then the payload. Headers would cost more, and what
// the server adds to them then stands alone.

import { ORIGIN_TAG } from '../../src/index.ts';
import { randomName } from '../../src/random.ts';

/** A stored entry. */
export interface NatsEntry {
  /** Its sequence in the stream: the offset of its position. */
  readonly sequence: number;
  readonly tag: string;
  readonly kind: EntryKind;
  /** When the server stored it, in epoch milliseconds; 0 where that was not told. */
  readonly storedMs: number;
  /** The whole of it, tag and kind included. */
  readonly bytes: Buffer;
}

/** `marker`: hidden, the first entry of a subject, so that the position before any message names something stored. */
export type EntryKind = 'message' | 'unread' | 'marker';

const KIND_LETTERS: Readonly<Record<EntryKind, string>> = { message: '.', unread: '+', marker: '0' };
const KINDS = new Map(Object.entries(KIND_LETTERS).map(([kind, letter]) => [letter.charCodeAt(0), kind as EntryKind]));
/** Characters of a tag. */
export const TAG_LENGTH = ORIGIN_TAG.length;
const KIND_AT = TAG_LENGTH;

/** The bytes that are stored. */
export function encodeEntry(tag: string, kind: EntryKind, payload: string): Buffer {
  return Buffer.from(`${tag}${KIND_LETTERS[kind]}${payload}`);
}

/** The bytes of a marker, with a tag of its own. */
export function newMarker(): Buffer {
  return encodeEntry(randomName(TAG_LENGTH), 'marker', '');
}

/** null for bytes that are no entry of ours. */
export function decodeEntry(sequence: number, data: Uint8Array, storedMs: number): NatsEntry | null {
  const kind = KINDS.get(data[KIND_AT] ?? 0);
  if (!kind) return null;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { sequence, tag: bytes.toString('latin1', 0, KIND_AT), kind, storedMs, bytes };
}

export function payloadOf({ bytes }: NatsEntry): string {
  return bytes.toString('utf8', KIND_AT + 1);
}
