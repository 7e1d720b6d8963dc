// WebSockets without a network, for tests with fake time: the test is the server.

import type { WebSocketLike } from '../../src/client/index.ts';

/** What the test does with the sockets that a client opens. */
export class FakeWebSocket implements WebSocketLike {
  /** Every socket since the last `reset`, in order. */
  static readonly all: FakeWebSocket[] = [];

  static get last(): FakeWebSocket {
    return FakeWebSocket.all.at(-1)!;
  }

  static reset(): void {
    FakeWebSocket.all.length = 0;
  }

  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  readonly url: string;
  readonly sent: { type: string; object: Record<string, unknown> }[] = [];
  /** How the client left: with a close code, or without a word. */
  left: number | 'terminated' | null = null;

  constructor(url: string) {
    this.url = url;
    FakeWebSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code = 1005): void {
    this.readyState = 2;
    this.left = code;
  }

  terminate(): void {
    this.readyState = 3;
    this.left = 'terminated';
  }

  /** The server accepts. */
  open(): this {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }

  /** The server sends a message. */
  receive(type: string, object: Record<string, unknown> = {}, rest: object = {}): this {
    this.onmessage?.({ data: JSON.stringify({ type, object, ...rest }) });
    return this;
  }

  /** The server accepts and is ready. */
  ready(object: Record<string, unknown> = {}): this {
    return this.open().receive('session.ready', {
      resumed: true,
      cursor: 'c0',
      head: 'c0',
      counts: {},
      ping_ms: 25_000,
      ...object,
    });
  }

  /** The connection ends. */
  end(code = 1006, reason = ''): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}
