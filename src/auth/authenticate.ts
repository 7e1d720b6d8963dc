// From a token to an identity that may open this user's stream, or a refusal. The door calls it for every handshake and
// every HTTP request.

import { type ErrorStage, UsercastError } from '../errors.ts';
import type { Authorize, RequestContext } from '../options.ts';
import { Refusal } from '../protocol/refusals.ts';
import { withDeadline } from '../timers.ts';
import { withoutToken } from './redact.ts';
import {
  type Identity,
  MAX_EPOCH_MS,
  MAX_USER_ID_LENGTH,
  type TokenVerifier,
  type VerifyContext,
} from './token-verifier.ts';

/** What fits in a close reason. @see RFC 6455 section 5.5 */
const SHORT_ASCII = /^[\x20-\x7e]{1,100}$/;

/** What is known of the request that the token came with. */
export interface AuthenticateContext extends VerifyContext, RequestContext {}

/** What is known when a client sends a new token for its open session: no request comes with it. */
export function renewalOf(session: Pick<AuthenticateContext, 'userId' | 'transport' | 'address'>): AuthenticateContext {
  const { userId, transport, address } = session;
  return { userId, transport, address, origin: undefined, host: undefined, signal: new AbortController().signal };
}

/**
 * Resolves to who the token stands for, when that is somebody who may open the stream of `context.userId`.
 * @throws Refusal `token_missing`, `token_invalid`, `token_expired`, `wrong_user`, `verifier_unavailable` or `internal_error`.
 */
export type Authenticate = (token: string | undefined, context: AuthenticateContext) => Promise<Identity>;

/** What `createAuthenticator` needs. */
export interface AuthenticatorParts {
  readonly verifier: TokenVerifier;
  readonly authorize: Authorize;
  /** Milliseconds that the verifier may take, and then again the rule. */
  readonly deadlineMs: number;
  /** Told of what failed on the host's side, never of a bad token. The cause holds no token. */
  readonly onError: (stage: ErrorStage, cause: unknown) => void;
}

/** Binds the host's verifier and rule to one function that never lets through what they throw. */
export function createAuthenticator(parts: AuthenticatorParts): Authenticate {
  return async (token, context) => {
    if (token === undefined || token === '') {
      throw new Refusal('token_missing', 'send an access token, such as in the Authorization header');
    }
    const identity = await verified(parts, token, context);
    if (identity.expiresAt !== undefined && identity.expiresAt <= Date.now()) throw expired();
    if (!(await allowed(parts, token, identity, context))) {
      throw new Refusal('wrong_user', 'the token does not give access to the user id in the path');
    }
    return identity;
  };
}

async function verified(parts: AuthenticatorParts, token: string, context: AuthenticateContext): Promise<Identity> {
  const { verifier, deadlineMs, onError } = parts;
  const ended = new AbortController();
  let result: unknown;
  try {
    // A verifier written in plain JavaScript may return its identity without a promise.
    const work = Promise.resolve(verifier.verify(token, verifyContext(context, ended)));
    result = await withDeadline(work, deadlineMs, 'the token verifier');
  } catch (cause) {
    ended.abort();
    throw verifyRefusal(cause, token, context.signal, onError);
  }
  if (result === null || result === undefined) throw invalid();
  const fault = identityFault(result);
  if (fault !== null) {
    onError('verify', new TypeError(`the token verifier returned ${fault}`));
    throw new Refusal('internal_error', 'the token could not be checked: try again later');
  }
  return result as Identity;
}

/** Most verifiers never look at the signal, and a signal of signals costs more than a remembered token: made when asked for. */
function verifyContext(context: AuthenticateContext, ended: AbortController): VerifyContext {
  let signal: AbortSignal | null = null;
  return {
    userId: context.userId,
    transport: context.transport,
    address: context.address,
    get signal() {
      signal ??= AbortSignal.any([context.signal, ended.signal]);
      return signal;
    },
  };
}

function verifyRefusal(
  cause: unknown,
  token: string,
  left: AbortSignal,
  onError: AuthenticatorParts['onError'],
): Refusal {
  const code = cause instanceof UsercastError ? cause.code : null;
  if (code === 'token_expired') return expired();
  if (code === 'verifier_unavailable' || code === 'deadline') {
    onError('verify', withoutToken(cause, token));
    return unavailable();
  }
  if (code === 'token_invalid') return invalid((cause as UsercastError).message, token);
  // What a verifier throws because its client left says nothing about the token, and nobody is at fault.
  return left.aborted ? unavailable() : invalid();
}

function expired(): Refusal {
  return new Refusal('token_expired', 'the token has expired: get a new one');
}

function unavailable(): Refusal {
  return new Refusal('verifier_unavailable', 'the token could not be checked now: keep it and try again later');
}

/** `why` is what a verifier said in a `token_invalid` error: worth telling, where it is short and does not hold the token. */
function invalid(why?: string, token = ''): Refusal {
  const tellable = why !== undefined && SHORT_ASCII.test(why) && withoutToken(why, token) === why;
  return new Refusal('token_invalid', tellable ? why : 'the token is not valid here: get a new one');
}

/** What keeps a verifier's result from being an identity; names no values, for they may be personal. */
function identityFault(result: unknown): string | null {
  if (typeof result !== 'object' || result === null) return `a ${typeof result}, and not an identity`;
  const { userId, expiresAt, tokenId } = result as Partial<Record<keyof Identity, unknown>>;
  if (typeof userId !== 'string') return `a userId of type ${typeof userId}, and not a string`;
  if (userId === '' || userId.length > MAX_USER_ID_LENGTH) {
    return `a userId of ${userId.length} characters, and not 1 to ${MAX_USER_ID_LENGTH}`;
  }
  if (expiresAt !== undefined && !(typeof expiresAt === 'number' && Math.abs(expiresAt) <= MAX_EPOCH_MS)) {
    return `an expiresAt of type ${typeof expiresAt} that is not a time in epoch milliseconds`;
  }
  if (tokenId !== undefined && typeof tokenId !== 'string')
    return `a tokenId of type ${typeof tokenId}, and not a string`;
  return null;
}

async function allowed(
  parts: AuthenticatorParts,
  token: string,
  identity: Identity,
  context: AuthenticateContext,
): Promise<boolean> {
  try {
    let answer: unknown = parts.authorize(identity, context.userId, context);
    if (typeof answer !== 'boolean')
      answer = await withDeadline(Promise.resolve(answer), parts.deadlineMs, 'authorize');
    if (typeof answer === 'boolean') return answer;
    throw new TypeError(`authorize returned a value of type ${typeof answer}, and not true or false`);
  } catch (cause) {
    parts.onError('authorize', withoutToken(cause, token));
    throw new Refusal('internal_error', 'access could not be checked: try again later');
  }
}
