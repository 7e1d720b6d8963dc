// A transport without a socket: it keeps what is written, and takes only as much as a test lets it.

import { withCursor } from '../../src/protocol/codec.ts';
import { CURSOR_LENGTH } from '../../src/protocol/cursor.ts';
import type { Frame, Transport, TransportKind, TransportOwner } from '../../src/transports/transport.ts';

const CURSOR_PLACE = '-'.repeat(CURSOR_LENGTH);

export class FakeTransport implements Transport {
  readonly kind: TransportKind;
  readonly written: string[] = [];
  pings = 0;
  closes: { readonly code: number; readonly reason: string }[] = [];
  isTerminated = false;
  /** The client does not read: bytes pile up. */
  isStuck = false;
  bufferedBytes = 0;
  awaitsDrain = false;
  readonly #isV1: boolean;

  /** `isV1`: stored messages carry their cursor. */
  constructor({ isV1 = false, kind = 'websocket' }: { readonly isV1?: boolean; readonly kind?: TransportKind } = {}) {
    this.#isV1 = isV1;
    this.kind = kind;
  }

  message(payload: string, unread: boolean): Frame {
    if (!this.#isV1) return this.control(payload);
    const bytes = Buffer.from(`${withCursor(payload, CURSOR_PLACE, unread)}\n`);
    return { bytes, stampAt: bytes.lastIndexOf(CURSOR_PLACE) };
  }

  control(payload: string): Frame {
    return { bytes: Buffer.from(`${payload}\n`), stampAt: -1 };
  }

  write(frames: Uint8Array): boolean {
    if (this.closes.length > 0) return true;
    this.written.push(...Buffer.from(frames).toString().split('\n').slice(0, -1));
    if (this.isStuck) this.bufferedBytes += frames.length;
    return !this.isStuck;
  }

  awaitDrain(): void {
    this.awaitsDrain = true;
  }

  /** The client has read all of it. */
  drain(owner: TransportOwner): void {
    this.bufferedBytes = 0;
    const { awaitsDrain } = this;
    this.awaitsDrain = false;
    if (awaitsDrain) owner.drained();
  }

  ping(): void {
    this.pings++;
  }

  close(code: number, reason: string): void {
    this.closes.push({ code, reason });
  }

  terminate(): void {
    this.isTerminated = true;
  }
}
