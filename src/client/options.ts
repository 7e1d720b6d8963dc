// The options of `connect`, and the one place that checks them.

import { type FetchLike, platform, type WebSocketConstructor } from './platform.ts';
import { Target } from './target.ts';
import type { TransportName } from './transports/transport.ts';

/** Why a token is asked for. */
export interface TokenRequest {
  /** Whether the token given last was refused or is about to end: a remembered one will not do. */
  readonly renew: boolean;
}

/**
 * Gives an access token; asked for each connection and each refresh. When it throws or gives no string, it is asked
 * again later.
 */
export type TokenSource = (request: TokenRequest) => string | Promise<string>;

/** What `connect` takes. */
export interface ConnectOptions {
  /**
   * The server's origin, with a prefix where it is behind one: `https://api.example`, `wss://example.org/realtime`. On a
   * page it may be relative: `/`.
   */
  readonly url: string | URL;
  /** The user whose messages to receive; the token has to be theirs. */
  readonly userId: string;
  /** The access token, or a function that gives one. A string that the server refused twice ends the client. */
  readonly token: string | TokenSource;
  /** The base of every endpoint, as the server has it; `:id` is the user id. Default `/box-users/:id`. */
  readonly path?: string;
  /** Where to carry on: the `cursor` of an earlier client, or of the state that the page was rendered with. Default: now. */
  readonly cursor?: string;
  /** The ways to try, the best first. Default: `['websocket', 'sse', 'polling']`. */
  readonly transports?: readonly TransportName[];
  /** The class of WebSockets. Default: the platform's own; Node has one from version 22 on. */
  readonly WebSocket?: WebSocketConstructor;
  /** Default: the platform's own. */
  readonly fetch?: FetchLike;
}

/** The options as the client sees them: complete and checked. */
export interface ResolvedConnectOptions {
  readonly target: Target;
  readonly userId: string;
  readonly token: string | TokenSource;
  readonly cursor: string | undefined;
  readonly transports: readonly TransportName[];
}

const NAMES = ['url', 'userId', 'token', 'path', 'cursor', 'transports', 'WebSocket', 'fetch'];
const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'polling'];

function check(isRight: unknown, rule: string): void {
  if (!isRight) throw new TypeError(rule);
}

/** Whether this is a non-empty string. */
export const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/**
 * Completes and checks what `connect` was given.
 * @throws TypeError that names the option. It repeats no value: a token may stand where it should not.
 */
export function resolveConnectOptions(given: ConnectOptions): ResolvedConnectOptions {
  for (const name in given) check(NAMES.includes(name), `${name} is no option, but ${NAMES}`);
  const { userId, token, path = '/box-users/:id', cursor, transports = TRANSPORTS } = given;
  const { WebSocket = platform.WebSocket, fetch = platform.fetch } = given;
  check(isText(userId), 'userId must be a non-empty string');
  check(isText(token) || typeof token === 'function', 'token must be a non-empty string, or a function');
  check(/^\/(?:.*\/)?:id(?:\/|$)/.test(path), 'path must be one such as "/box-users/:id"');
  check(cursor === undefined || isText(cursor), 'cursor must be a non-empty string');
  check(
    transports.length > 0 && transports.every((name) => TRANSPORTS.includes(name)),
    `transports must be some of ${TRANSPORTS}`,
  );
  check(
    WebSocket || !transports.includes('websocket'),
    "WebSocket must be passed, such as that of the package 'ws'; or leave 'websocket' out of transports",
  );
  check(fetch || `${transports}` === 'websocket', "fetch must be passed; or set transports to ['websocket']");
  const base = baseOf(given.url) + path.replace(':id', () => encodeURIComponent(userId));
  return { target: new Target(base, WebSocket, fetch), userId, token, cursor, transports };
}

function baseOf(given: string | URL): string {
  let url: URL | undefined;
  try {
    url = new URL(given, platform.location?.href);
  } catch {}
  check(
    url && /^(?:http|ws)s?:$/.test(url.protocol) && !url.search,
    'url must be absolute: http:, https:, ws: or wss:, and no query',
  );
  const { protocol, host, pathname } = url!;
  return `${protocol.replace('ws', 'http')}//${host}${pathname.replace(/\/$/, '')}`;
}
