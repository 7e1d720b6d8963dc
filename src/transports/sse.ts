// The server-sent events transport: a response that only writes. A message's `id:` is its cursor.

import type { ServerResponse } from 'node:http';
import { CURSOR_LENGTH } from '../protocol/cursor.ts';
import { withUnread } from '../protocol/codec.ts';
import type { Frame, Transport, TransportOwner } from './transport.ts';

const HEADERS = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  // Without `no-transform` a compressing middleware holds events back.
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
  'Referrer-Policy': 'no-referrer',
};
const ID = 'id: ';
const COMMENT = Buffer.from(':\n\n');
const PLACEHOLDER = '-'.repeat(CURSOR_LENGTH);

/** An event whose `id:` is to be stamped. @see WHATWG HTML section 9.2.5 */
function stampedEvent(payload: string): Frame {
  return { bytes: Buffer.from(`${ID}${PLACEHOLDER}\ndata: ${payload}\n\n`), stampAt: ID.length };
}

/** One message goes to many responses, one after the other: the last frame is the next one's as well. */
let lastPayload = '';
let lastUnread = false;
let lastFrame = stampedEvent('');

export class SseTransport implements Transport {
  readonly kind = 'sse';
  readonly #response: ServerResponse;
  readonly #owner: TransportOwner;
  #ended = false;

  /** Answers 200 at once, asks the client to come back `retryMs` after a drop, and starts the owner. */
  constructor(response: ServerResponse, owner: TransportOwner, retryMs: number) {
    this.#response = response;
    this.#owner = owner;
    response.socket?.setNoDelay(true);
    response.writeHead(200, HEADERS);
    response.write(`retry: ${retryMs}\n\n`);
    response.on('close', () => {
      this.#ended = true;
      owner.closed(1006, '');
    });
    response.on('error', () => {});
    owner.start(this);
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
    const id = cursor === null ? '' : `${ID}${cursor}\n`;
    return { bytes: Buffer.from(`${id}data: ${payload}\n\n`), stampAt: -1 };
  }

  write(frames: Uint8Array): boolean {
    return this.#ended || this.#response.write(frames);
  }

  awaitDrain(): void {
    if (this.#response.writableNeedDrain) this.#response.once('drain', () => this.#owner.drained());
    else setImmediate(() => this.#owner.drained());
  }

  ping(): void {
    this.write(COMMENT);
  }

  close(): void {
    if (!this.#ended) this.#response.end();
  }

  terminate(): void {
    this.#response.destroy();
  }
}
