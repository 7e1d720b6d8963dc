// Clients that speak HTTP and WebSocket byte by byte: for what a well-behaved client would never send.

import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const POLL_MS = 5;
/** On a busy machine, too. */
const WITHIN_MS = 10_000;

const PSK = Buffer.from('a key that both ends know');
const PSK_SUITE = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const;

/** For `https.createServer`: a shared key in place of a certificate, which would end one day. */
export const TLS_SERVER_OPTIONS = { ...PSK_SUITE, pskCallback: () => PSK };

/** For any TLS client of such a server. */
export const TLS_CLIENT_OPTIONS = {
  ...PSK_SUITE,
  pskCallback: () => ({ psk: PSK, identity: 'test' }),
  // There is no certificate to reject.
  rejectUnauthorized: false,
};

/** Starts the server on a free port of 127.0.0.1. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Ends the server and whatever is still open on it. */
export async function shut(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  if (server.listening) await once(server, 'close');
}

/** Waits until `check` holds. @throws Error naming `what` after `withinMs`. */
export async function eventually(
  what: string,
  check: () => boolean | Promise<boolean>,
  withinMs = WITHIN_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** How many sockets the server has, upgraded ones included. */
export function socketsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

/** A response as it came over the wire. */
export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One TCP or TLS connection. */
export class RawClient {
  readonly socket: Socket;
  /** Resolves when the connection is gone, however it went. */
  readonly closed: Promise<void>;
  #received = Buffer.alloc(0);

  /** `stays`: does not close when the server does. */
  constructor(port: number, { tls = false, stays = false }: { readonly tls?: boolean; readonly stays?: boolean } = {}) {
    this.socket = tls
      ? connectTls({ port, host: '127.0.0.1', ...TLS_CLIENT_OPTIONS })
      : connectTcp({ port, host: '127.0.0.1', allowHalfOpen: stays });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
  }

  /** Everything that has come in. */
  get received(): Buffer {
    return this.#received;
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  /** The first response: with its body, where the server said how long that is. */
  async response(withinMs = WITHIN_MS): Promise<RawResponse> {
    let response: RawResponse | null = null;
    await eventually(
      'a whole response',
      () => {
        response = parseResponse(this.#received);
        return response !== null;
      },
      withinMs,
    );
    return response!;
  }
}

function parseResponse(bytes: Buffer): RawResponse | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return null;
  const [statusLine = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const length = Number(headers['content-length'] ?? 0);
  const body = bytes.subarray(end + 4, end + 4 + length);
  return body.length < length ? null : { status: Number(statusLine.split(' ')[1]), headers, body: body.toString() };
}

/** What an upgrade request is made of; undefined leaves a header out. */
export interface UpgradeParts {
  readonly method?: string;
  readonly version?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** The text of an upgrade request that is right, but for what `parts` changes. */
export function upgradeText(
  target: string,
  { method = 'GET', version = '1.1', headers = {} }: UpgradeParts = {},
): string {
  const all: Record<string, string | undefined> = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${method} ${target} HTTP/${version}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

/** A masked frame of a client. @see RFC 6455 section 5.2 */
export function clientFrame(opcode: number, payload: string | Uint8Array): Buffer {
  const data = Buffer.from(payload as string);
  const header = data.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | data.length]) : Buffer.alloc(4);
  if (data.length >= 126) {
    header[0] = 0x80 | opcode;
    header[1] = 0x80 | 126;
    header.writeUInt16BE(data.length, 2);
  }
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([header, Buffer.alloc(4), data]);
}
