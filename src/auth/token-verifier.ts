// The TokenVerifier contract: who a token stands for. The door calls it once per handshake and per HTTP request.

import type { TransportKind } from '../transports/transport.ts';

/** The longest user id, in characters. */
export const MAX_USER_ID_LENGTH = 256;

/** The last moment that a date can name, in epoch milliseconds. @see ECMA-262 section 21.4.1.1 */
export const MAX_EPOCH_MS = 8.64e15;

/** Who a verified token stands for. */
export interface Identity {
  /** Non-empty, at most 256 characters. */
  readonly userId: string;
  /** When the token ends, in epoch milliseconds; absent: never. A session does not outlive it. */
  readonly expiresAt?: number;
  /** Names the token without being it, such as a JWT's `jti`. */
  readonly tokenId?: string;
  /** What else the token says, for `authorize`. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** What a verifier may want to know of the request. */
export interface VerifyContext {
  /** The user id in the path. */
  readonly userId: string;
  readonly transport: TransportKind;
  /** The client's address, as `trustProxy` sees it. */
  readonly address: string;
  /** Aborts when the client left or the deadline passed. */
  readonly signal: AbortSignal;
}

/** Checks access tokens: `jwtVerifier`, or the host's own. */
export interface TokenVerifier {
  /**
   * Resolves to who the token stands for. Throwing refuses the token (401, close code 4401); a `UsercastError` with the
   * code `verifier_unavailable` says that it could not tell (503, close code 1013), so that clients keep their token.
   */
  verify(token: string, context: VerifyContext): Promise<Identity>;
  /** Drops what is remembered of this user's tokens; called when the user is disconnected. */
  forget?(userId: string): void;
}
