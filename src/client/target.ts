// Where the server is, and how a request to it looks. The token goes into a header, never into a URL.

import { actionAfter } from './close-codes.ts';
import type { FetchLike, ResponseLike, WebSocketConstructor } from './platform.ts';

/** How a pipe ended, or why it never opened. */
export interface Ending {
  /** The close code, or the one that the HTTP status stands for; 1006 where the server did not say. */
  readonly code: number;
  /** For people. */
  readonly reason: string;
  /** Milliseconds that the server asks to wait. */
  readonly pauseMs?: number;
  /** A WebSocket that never opened. */
  readonly isBlocked?: boolean;
}

/** The last segment of the endpoints' paths. */
export type Endpoint = 'ws' | 'sse' | 'messages' | 'counts' | 'ack';

/** The close codes that HTTP statuses stand for. */
const CLOSE_CODES: Readonly<Record<number, number>> = {
  400: 4400,
  401: 4401,
  403: 4403,
  404: 4400,
  405: 4400,
  413: 1009,
  415: 4400,
  426: 4400,
  429: 4429,
  503: 1013,
};

/** @see RFC 9457 section 3.1 */
interface Problem {
  readonly title?: unknown;
  readonly detail?: unknown;
}

/** The endpoints of one user on one server. */
export class Target {
  readonly WebSocket: WebSocketConstructor | undefined;
  readonly #base: string;
  readonly #fetch: FetchLike | undefined;

  /** `base`: the URL that the endpoints are under, with `http:` or `https:` and no slash at its end. */
  constructor(base: string, WebSocket: WebSocketConstructor | undefined, fetch: FetchLike | undefined) {
    this.#base = base;
    this.WebSocket = WebSocket;
    this.#fetch = fetch;
  }

  url(endpoint: Endpoint, cursor?: string, more = ''): string {
    return `${this.#base}/${endpoint}${cursor === undefined ? '' : `?${new URLSearchParams({ cursor })}${more}`}`;
  }

  /** Sends a request; a POST where there is a `body`. */
  request(url: string, token: string, signal: AbortSignal, headers = {}, body?: string): Promise<ResponseLike> {
    // Browsers want to find `fetch` called without an object.
    const fetch = this.#fetch!;
    return fetch(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { Authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { body }),
      cache: 'no-store',
      signal,
    });
  }
}

/** What a response that is no answer says. `token`: what was sent, to be repeated in no error. */
export async function endingOf(response: ResponseLike, token: string): Promise<Ending> {
  const { status, headers } = response;
  const code = CLOSE_CODES[status] ?? 1006;
  const isOwn = headers.get('content-type')?.includes('problem+json');
  const problem = (isOwn && (await response.json().catch(() => null))) as Problem | null;
  const plain = `HTTP ${status}`;
  const reason = `${problem?.detail || problem?.title || plain}`;
  const retryAfter = headers.get('retry-after') ?? '';
  // @see RFC 9110 section 10.2.3
  const pauseMs = Number(retryAfter) * 1_000 || Date.parse(retryAfter) - Date.now();
  return {
    // Only the server's own word ends it for good, not that of something on the way.
    code: isOwn || actionAfter(code) !== 'stop' ? code : 1006,
    reason: reason.includes(token) ? plain : reason,
    ...(pauseMs > 0 && { pauseMs }),
  };
}
