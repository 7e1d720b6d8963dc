// The WebSocket transport: `ws` does the handshake, the parsing and its own control frames; messages are framed here,
// once for all sockets, and written straight to the socket.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Server, WebSocket, WebSocketServer } from 'ws';
import { withCursor } from '../protocol/codec.ts';
import { CURSOR_LENGTH } from '../protocol/cursor.ts';
import type { Frame, Transport, TransportOwner } from './transport.ts';

const CLOSE_MS = 2_000;
const V1 = 'usercast.v1';

/** An unmasked, final text frame. @see RFC 6455 section 5.2 */
function textFrame(payload: string): Buffer {
  const length = Buffer.byteLength(payload);
  const headerLength = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafeSlow(headerLength + length);
  frame[0] = 0x81;
  if (headerLength === 2) frame[1] = length;
  else if (headerLength === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(payload, headerLength);
  return frame;
}

const NOTHING = Buffer.alloc(0);

const CURSOR_PLACE = '-'.repeat(CURSOR_LENGTH);

function plainFrame(payload: string): Frame {
  return { bytes: textFrame(payload), stampAt: -1 };
}

/** The `usercast.v1` form of a stored message, its cursor still to be stamped. */
function stampedFrame(payload: string, unread: boolean): Frame {
  const text = withCursor(payload, CURSOR_PLACE, unread);
  const bytes = textFrame(text);
  return { bytes, stampAt: bytes.length - (text.length - text.lastIndexOf(CURSOR_PLACE)) };
}

/** One message goes to many sockets, one after the other: the last frame of a form is the next one's as well. */
class LastFrame {
  #payload = '';
  #frame: Frame;
  readonly #make: (payload: string) => Frame;

  constructor(make: (payload: string) => Frame) {
    this.#make = make;
    this.#frame = make('{}');
  }

  of(payload: string): Frame {
    if (payload !== this.#payload) {
      this.#frame = this.#make(payload);
      this.#payload = payload;
    }
    return this.#frame;
  }
}

const plain = new LastFrame(plainFrame);
const stamped = new LastFrame((payload) => stampedFrame(payload, false));
const stampedUnread = new LastFrame((payload) => stampedFrame(payload, true));

/** A `ws` socket that is its session's transport: one object for both, and listeners that are functions shared by all. */
class SessionWebSocket extends WebSocket implements Transport {
  readonly kind = 'websocket';
  owner: TransportOwner | null = null;
  #socket: Duplex | null = null;
  #isV1 = false;

  /** To be called when the handshake is complete. */
  carry(owner: TransportOwner, socket: Duplex, isV1: boolean): void {
    this.owner = owner;
    this.#socket = socket;
    this.#isV1 = isV1;
    owner.start(this);
  }

  /** Takes the events itself: listeners would cost each idle socket memory. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    switch (event) {
      case 'message':
        if (args[1]) this.owner?.receiveBinary();
        else this.owner?.receive(String(args[0]));
        return true;
      case 'ping':
      case 'pong':
        this.owner?.alive();
        return true;
      case 'close':
        this.#over(args[0] as number, String(args[1]));
        return true;
      case 'error':
        this.#over(closeCodeOf(args[0] as WsError), '');
        return true;
      default:
        return super.emit(event, ...args);
    }
  }

  get bufferedBytes(): number {
    return this.#socket!.writableLength;
  }

  message(payload: string, unread: boolean): Frame {
    if (!this.#isV1) return plain.of(payload);
    return unread ? stampedUnread.of(payload) : stamped.of(payload);
  }

  control(payload: string): Frame {
    return plainFrame(payload);
  }

  write(frames: Uint8Array): boolean {
    return this.readyState !== WebSocket.OPEN || this.#socket!.write(frames);
  }

  awaitDrain(): void {
    // `drain` comes only after a write that went over the socket's own mark; the call back of a write comes after each.
    this.#socket!.write(NOTHING, () => this.owner?.drained());
  }

  /** After a fault of the peer's nothing more is read, and `ws` closes by itself; no later event has the code of that. */
  #over(code: number, reason: string): void {
    this.owner?.closed(code, reason);
    this.owner = null;
  }
}

/** What `ws` closes with after a fault of the peer's, by the code of its error. @see RFC 6455 section 7.4.1 */
const CLOSE_CODES: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
};
const PROTOCOL_ERROR = 1002;
const NO_CLOSE_FRAME = 1006;

type WsError = Error & { readonly code?: string };

function closeCodeOf({ code = '' }: WsError): number {
  return code.startsWith('WS_ERR_') ? (CLOSE_CODES[code] ?? PROTOCOL_ERROR) : NO_CLOSE_FRAME;
}

/** Completes WebSocket handshakes; one for each usercast. */
export class WebSocketAcceptor {
  readonly #server: Server<typeof SessionWebSocket>;
  #protocol: string | undefined;

  /** `maxMessageBytes`: a longer message from a client closes with 1009. */
  constructor({ maxMessageBytes }: { readonly maxMessageBytes: number }) {
    const options = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxMessageBytes,
      closeTimeout: CLOSE_MS,
      handleProtocols: () => this.#protocol ?? false,
      WebSocket: SessionWebSocket,
    };
    this.#server = new WebSocketServer(options);
  }

  /** Answers 101, selects `protocol` where there is one, and starts the owner on the open pipe; all before it returns. */
  accept(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    owner: TransportOwner,
    protocol: string | undefined,
  ): void {
    let opened = false;
    this.#protocol = protocol;
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      opened = true;
      ws.carry(owner, socket, protocol === V1);
    });
    if (!opened) owner.closed(1006, '');
  }
}
