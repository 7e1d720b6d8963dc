// The parsed request, before any trust: what rules and verifiers may know of it, and what a WebSocket handshake must be.

import type { IncomingMessage } from 'node:http';
import type { AuthenticateContext } from '../auth/authenticate.ts';
import { decodeCursor, type Position } from '../protocol/cursor.ts';
import { Refusal } from '../protocol/refusals.ts';
import type { TransportKind } from '../transports/transport.ts';
import { queryParameter } from './token.ts';

const KEY = /^[+/0-9A-Za-z]{22}==$/;
const SUBPROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PLAIN = 'usercast.plain';
/** The subprotocol of clients that understand cursors and `session.*` messages. */
export const V1 = 'usercast.v1';

/** What `Handshake` keeps of a request; no token, for the host's rules see it. */
interface HandshakeFields {
  readonly userId: string;
  readonly transport: TransportKind;
  readonly address: string;
  readonly host: string | undefined;
}

/** One request on its way to an identity. Rules and verifiers of the host get it as their context. */
export class Handshake implements AuthenticateContext {
  readonly userId: string;
  readonly transport: TransportKind;
  readonly address: string;
  readonly origin: string | undefined;
  readonly host: string | undefined;
  /** When it began: who was disconnected after that does not open. */
  readonly startedMs = performance.now();
  #over: AbortController | null = null;
  #isOver = false;

  constructor(req: IncomingMessage, fields: HandshakeFields) {
    this.userId = fields.userId;
    this.transport = fields.transport;
    this.address = fields.address;
    this.origin = req.headers.origin;
    this.host = fields.host;
  }

  /** Aborts when the client left or the time is up. Made when asked for: most verifiers never look. */
  get signal(): AbortSignal {
    if (this.#over === null) {
      this.#over = new AbortController();
      if (this.#isOver) this.#over.abort();
    }
    return this.#over.signal;
  }

  /** The client left, or the time is up. */
  end(): void {
    this.#isOver = true;
    this.#over?.abort();
  }
}

/**
 * The subprotocols that a WebSocket handshake offers.
 * @throws Refusal `method_not_allowed`, `upgrade_required` or `malformed_request` for what is no WebSocket handshake.
 * @see RFC 6455 section 4.2.1
 */
export function offeredProtocols(req: IncomingMessage): readonly string[] {
  const { headers } = req;
  if (req.method !== 'GET') throw new Refusal('method_not_allowed', 'a WebSocket handshake is a GET request');
  // @see RFC 9110 section 7.8
  if (req.httpVersionMajor === 1 && req.httpVersionMinor === 0) {
    throw new Refusal('upgrade_required', 'a WebSocket handshake needs HTTP/1.1, of a proxy in between as well');
  }
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    throw new Refusal('upgrade_required', 'this endpoint upgrades to "websocket" alone');
  }
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) {
    throw new Refusal('malformed_request', 'the header Sec-WebSocket-Key must be 16 bytes in base64');
  }
  if (headers['sec-websocket-version'] !== '13') {
    throw new Refusal('upgrade_required', 'the header Sec-WebSocket-Version must be 13');
  }
  const header = headers['sec-websocket-protocol'];
  if (header === undefined) return [];
  const protocols = header.split(',').map((protocol) => protocol.trim());
  if (!protocols.every((protocol) => SUBPROTOCOL.test(protocol)) || new Set(protocols).size !== protocols.length) {
    throw new Refusal('malformed_request', 'the header Sec-WebSocket-Protocol must list different tokens');
  }
  return protocols;
}

/** The subprotocol to answer with, never one that holds a token; undefined where none of ours is offered. */
export function selectedProtocol(offered: readonly string[]): string | undefined {
  if (offered.includes(V1)) return V1;
  return offered.includes(PLAIN) ? PLAIN : undefined;
}

/**
 * The position that the client presents in the query; null for none.
 * @throws Refusal `malformed_cursor`
 */
export function cursorOf(req: IncomingMessage): Position | 'unreadable' | null {
  return readCursor(queryParameter(req, 'cursor'));
}

/**
 * The position that a client of an event stream presents: an `EventSource` that reconnects keeps its URL, so what the
 * header says is newer than what the query does.
 * @throws Refusal `malformed_cursor`
 * @see WHATWG HTML section 9.2.4
 */
export function eventStreamCursorOf(req: IncomingMessage): Position | 'unreadable' | null {
  const lastEventId = req.headers['last-event-id'];
  return lastEventId ? readCursor(String(lastEventId)) : cursorOf(req);
}

function readCursor(cursor: string | null): Position | 'unreadable' | null {
  if (cursor === null || cursor === '') return null;
  const position = decodeCursor(cursor);
  if (position === 'malformed') {
    throw new Refusal('malformed_cursor', 'a cursor has at most 64 characters of A-Z a-z 0-9 _ -');
  }
  return position;
}
