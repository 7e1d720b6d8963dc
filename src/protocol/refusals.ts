// The one table of everything that ends or refuses a connection: close code, HTTP status, reason, and what the client does.

/** What a client does after a close or a refusal. */
export type ClientAction = 'stop' | 'reconnect' | 'renew the token, then reconnect' | 'reconnect, then reload';

interface RefusalRow {
  /** The WebSocket close code. @see RFC 6455 section 7.4 */
  readonly close: number;
  /** The HTTP status; 0 where it cannot happen to a request. */
  readonly status: number;
  /** The close reason, and the title of the problem document: ASCII, at most 123 bytes. */
  readonly reason: string;
  readonly client: ClientAction;
  /** Seconds for `Retry-After`. */
  readonly retryAfter?: number;
}

/** Every refusal and every close that is the server's, by name. */
export const REFUSALS = {
  malformed_request: { close: 4400, status: 400, reason: 'malformed request', client: 'stop' },
  malformed_user_id: { close: 4400, status: 400, reason: 'malformed user id', client: 'stop' },
  malformed_cursor: { close: 4400, status: 400, reason: 'malformed cursor', client: 'stop' },
  malformed_body: { close: 4400, status: 400, reason: 'malformed body', client: 'stop' },
  token_missing: { close: 4401, status: 401, reason: 'token missing', client: 'renew the token, then reconnect' },
  token_invalid: { close: 4401, status: 401, reason: 'token invalid', client: 'renew the token, then reconnect' },
  token_expired: { close: 4401, status: 401, reason: 'token expired', client: 'renew the token, then reconnect' },
  wrong_user: { close: 4403, status: 403, reason: "another user's id", client: 'stop' },
  origin_not_allowed: { close: 4403, status: 403, reason: 'origin not allowed', client: 'stop' },
  disconnected: { close: 4403, status: 403, reason: 'disconnected by the host', client: 'stop' },
  not_found: { close: 4400, status: 404, reason: 'not found', client: 'stop' },
  method_not_allowed: { close: 4400, status: 405, reason: 'method not allowed', client: 'stop' },
  body_too_large: { close: 1009, status: 413, reason: 'body too large', client: 'stop' },
  unsupported_media_type: { close: 4400, status: 415, reason: 'unsupported media type', client: 'stop' },
  upgrade_required: { close: 4400, status: 426, reason: 'upgrade required', client: 'stop' },
  too_many_connections: {
    close: 4429,
    status: 429,
    reason: 'too many connections',
    client: 'reconnect',
    retryAfter: 5,
  },
  too_many_messages: { close: 4429, status: 429, reason: 'too many messages', client: 'reconnect', retryAfter: 5 },
  internal_error: { close: 1011, status: 503, reason: 'internal error', client: 'reconnect', retryAfter: 5 },
  overloaded: { close: 1013, status: 503, reason: 'overloaded', client: 'reconnect', retryAfter: 5 },
  broker_unavailable: { close: 1013, status: 503, reason: 'broker unavailable', client: 'reconnect', retryAfter: 5 },
  verifier_unavailable: {
    close: 1013,
    status: 503,
    reason: 'token verifier unavailable',
    client: 'reconnect',
    retryAfter: 5,
  },
  restarting: { close: 1012, status: 503, reason: 'service restart', client: 'reconnect', retryAfter: 1 },
  going_away: { close: 1001, status: 503, reason: 'going away', client: 'reconnect', retryAfter: 1 },
  bad_messages: { close: 1008, status: 0, reason: 'repeated bad messages', client: 'stop' },
  no_life_sign: { close: 4408, status: 0, reason: 'no life sign', client: 'reconnect' },
  messages_lost: { close: 4410, status: 0, reason: 'messages lost', client: 'reconnect, then reload' },
} as const satisfies Record<string, RefusalRow>;

/** The name of a row of the table. */
export type RefusalCode = keyof typeof REFUSALS;

/** Refuses a handshake or a request, or ends a session. `message` tells the client what to change; it holds no token. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;

  constructor(code: RefusalCode, message: string = REFUSALS[code].reason) {
    super(message);
    this.code = code;
  }

  get row(): RefusalRow {
    return REFUSALS[this.code];
  }
}
