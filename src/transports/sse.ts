// The server-sent events transport: a response that only writes. A message's `id:` is its cursor.

import type { ServerResponse } from 'node:http';
import { withUnread } from '../protocol/codec.ts';
import { CURSOR_LENGTH } from '../protocol/cursor.ts';
import { COMMENT, EVENT_STREAM_TYPE, encodeEvent, encodeRetry } from '../protocol/event-stream.ts';
import { monotonicMs } from '../timers.ts';
import type { Frame, Transport, TransportOwner } from './transport.ts';

const HEADERS = {
  'Content-Type': `${EVENT_STREAM_TYPE}; charset=utf-8`,
  // Without `no-transform` a compressing middleware holds events back.
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'Referrer-Policy': 'no-referrer',
};
const CURSOR_PLACE = '-'.repeat(CURSOR_LENGTH);

/** An event whose `id:` is still to be stamped. @see WHATWG HTML section 9.2.5 */
function stampedEvent(payload: string): Frame {
  const event = encodeEvent(payload, CURSOR_PLACE);
  return { bytes: Buffer.from(event), stampAt: event.indexOf(CURSOR_PLACE) };
}

/** One message goes to many responses, one after the other: the last frame is the next one's as well. */
let lastPayload = '';
let lastUnread = false;
let lastFrame = stampedEvent('');

/** Milliseconds. */
export interface SseTimes {
  /** After a drop the client comes back so much later. */
  readonly retryMs: number;
  /** A client that has taken nothing of what it was sent for so long is ended: it can be asked for no other sign of life. */
  readonly stuckMs: number;
}

export class SseTransport implements Transport {
  readonly kind = 'sse';
  readonly #response: ServerResponse;
  readonly #owner: TransportOwner;
  readonly #times: SseTimes;
  #ended = false;
  /** Since when a ping has found bytes that wait, and nothing more was written. */
  #stuckSinceMs: number | null = null;

  constructor(response: ServerResponse, owner: TransportOwner, times: SseTimes) {
    this.#response = response;
    this.#owner = owner;
    this.#times = times;
  }

  /** Answers 200 at once and starts the owner. */
  open(): void {
    const response = this.#response;
    response.once('close', () => {
      this.#ended = true;
      this.#owner.closed(1006, '');
    });
    response.on('error', () => {});
    response.socket?.setNoDelay(true);
    response.writeHead(200, HEADERS);
    response.write(encodeRetry(this.#times.retryMs));
    this.#owner.start(this);
  }

  get bufferedBytes(): number {
    return this.#response.writableLength;
  }

  message(payload: string, unread: boolean): Frame {
    if (payload !== lastPayload || unread !== lastUnread) {
      lastFrame = stampedEvent(withUnread(payload, unread));
      lastPayload = payload;
      lastUnread = unread;
    }
    return lastFrame;
  }

  control(payload: string, cursor: string | null): Frame {
    return { bytes: Buffer.from(encodeEvent(payload, cursor ?? undefined)), stampAt: -1 };
  }

  write(frames: Uint8Array): boolean {
    this.#stuckSinceMs = null;
    return this.#ended || this.#response.write(frames);
  }

  awaitDrain(): void {
    if (this.#response.writableNeedDrain) this.#response.once('drain', () => this.#owner.drained());
    else setImmediate(() => this.#owner.drained());
  }

  ping(): void {
    if (this.#ended) return;
    if (this.bufferedBytes === 0) this.#response.write(COMMENT);
    else if (this.#stuckSinceMs === null) this.#stuckSinceMs = monotonicMs();
    else if (monotonicMs() - this.#stuckSinceMs >= this.#times.stuckMs) this.terminate();
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#response.end();
  }

  terminate(): void {
    this.#ended = true;
    this.#response.destroy();
  }
}
