// How a refusal leaves: a problem document over HTTP, or the same as a complete response on the raw socket of an upgrade.

import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Refusal, RefusalCode } from '../protocol/refusals.ts';
import { setTimer } from '../timers.ts';

/** How long a peer may take to read a refusal and close. */
const LINGER_MS = 1_000;

/** What every answer of ours carries: the URL may hold a token, and the body is one user's. */
export const PRIVATE_HEADERS = { 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' } as const;

const ENDING: readonly RefusalCode[] = ['restarting', 'going_away'];

/** A refusal as it goes over HTTP. */
interface Problem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string;
}

/** @see RFC 9457 section 3 */
function problemOf(refusal: Refusal, allow: string): Problem {
  const { status, reason, retryAfter } = refusal.row;
  const body = JSON.stringify({ type: 'about:blank', title: reason, status, detail: refusal.message });
  const headers: Record<string, string | number> = {
    'Content-Type': 'application/problem+json',
    'Content-Length': Buffer.byteLength(body),
    ...PRIVATE_HEADERS,
  };
  if (retryAfter !== undefined) headers['Retry-After'] = retryAfter;
  if (status === 401) headers['WWW-Authenticate'] = 'Bearer error="invalid_token"';
  if (status === 405) headers.Allow = allow;
  // What came of the body is not read to its end; a process that ends wants its clients elsewhere.
  if (status === 413 || ENDING.includes(refusal.code)) headers.Connection = 'close';
  if (status === 426) {
    headers.Upgrade = 'websocket';
    headers['Sec-WebSocket-Version'] = 13;
    // @see RFC 9110 section 7.8
    headers.Connection = 'Upgrade, close';
  }
  return { status, headers, body };
}

/** Whether a response can still be given: nothing was sent and the client is there. */
export function isAnswerable(res: ServerResponse): boolean {
  return !res.headersSent && !res.destroyed && !res.writableEnded;
}

/**
 * Answers a request with a refusal.
 * @param allow the method that the endpoint takes
 */
export function refuseRequest(res: ServerResponse, refusal: Refusal, allow: string): void {
  const { status, headers, body } = problemOf(refusal, allow);
  res.writeHead(status, headers);
  res.end(body);
}

/**
 * Answers an upgrade with a refusal and ends its socket, also when the peer never reads or closes. The socket has an
 * `error` listener already.
 * @param allow the method that the endpoint takes
 */
export function refuseUpgrade(socket: Duplex, refusal: Refusal, allow: string): void {
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = problemOf(refusal, allow);
  const lines = Object.entries({ Connection: 'close', ...headers, Date: new Date().toUTCString() });
  const fields = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const timer = setTimer(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  // Bytes that are left unread make the system reset the connection, and the peer loses the answer.
  socket.resume();
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${fields}\r\n${body}`);
}
