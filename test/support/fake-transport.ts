// A transport without a socket: it keeps what is written, and takes only as much as a test lets it.

import type { Transport, TransportOwner } from '../../src/transports/transport.ts';

export class FakeTransport implements Transport {
  readonly kind = 'websocket';
  readonly written: string[] = [];
  pings = 0;
  closes: { readonly code: number; readonly reason: string }[] = [];
  isTerminated = false;
  /** The client does not read: bytes pile up. */
  isStuck = false;
  bufferedBytes = 0;
  awaitsDrain = false;

  frame(payload: string): Uint8Array {
    return Buffer.from(`${payload}\n`);
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
