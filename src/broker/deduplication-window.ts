// Which message ids the memory broker has seen lately, and where each recipient's entry stands. A record is two arrays
// that grow by one element per recipient; they are indexed only when their id comes again.

import type { Position } from '../protocol/cursor.ts';
import type { MemoryStream } from './memory-stream.ts';

const RECORD_BYTES = 300;
const RECIPIENT_BYTES = 20;
const INDEXED_BYTES = 150;

/** One message id: the recipients that have it. */
class DeduplicationRecord {
  expiresMs = 0;
  bytes = RECORD_BYTES;
  /** Of the newest call, whose recipients are not indexed yet. */
  #tag = '';
  #streams: MemoryStream[] = [];
  #offsets: number[] = [];
  #index: Map<string, Position> | null = null;
  readonly #window: DeduplicationWindow;

  constructor(window: DeduplicationWindow) {
    this.#window = window;
  }

  begin(tag: string, expiresMs: number): void {
    this.expiresMs = expiresMs;
    if (this.#streams.length > 0) this.#indexNewest();
    this.#tag = tag;
  }

  /** Where this recipient's entry stands from an earlier call. */
  find(userId: string): Position | undefined {
    return this.#index?.get(userId);
  }

  /** Notes that the next entry of this stream is this message. */
  add(stream: MemoryStream): void {
    this.#streams.push(stream);
    this.#offsets.push(stream.offset + 1);
    this.#grow(RECIPIENT_BYTES);
  }

  #indexNewest(): void {
    const index = this.#index ?? new Map<string, Position>();
    this.#streams.forEach(({ userId, epoch }, i) => {
      index.set(userId, { epoch, offset: this.#offsets[i]!, tag: this.#tag });
    });
    this.#grow((INDEXED_BYTES - RECIPIENT_BYTES) * this.#streams.length);
    this.#index = index;
    this.#streams = [];
    this.#offsets = [];
  }

  #grow(bytes: number): void {
    this.bytes += bytes;
    this.#window.bytes += bytes;
  }
}

export class DeduplicationWindow {
  /** Estimated, of all records. */
  bytes = 0;
  readonly #records = new Map<string, DeduplicationRecord>();
  readonly #windowMs: number;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** The record of this id, ready for one call's recipients; it lives for a whole window from now. */
  open(id: string, tag: string, nowMs: number): DeduplicationRecord {
    const known = this.#records.get(id);
    if (known) this.#records.delete(id);
    else this.bytes += RECORD_BYTES;
    const record = known ?? new DeduplicationRecord(this);
    record.begin(tag, nowMs + this.#windowMs);
    this.#records.set(id, record);
    return record;
  }

  expire(nowMs: number): void {
    for (const [id, record] of this.#records) {
      if (record.expiresMs > nowMs) return;
      this.#records.delete(id);
      this.bytes -= record.bytes;
    }
  }

  clear(): void {
    this.#records.clear();
    this.bytes = 0;
  }
}
