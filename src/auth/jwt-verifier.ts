// The TokenVerifier for JSON Web Tokens, over jose: pinned algorithms, required claims, and a memory of verified tokens.

import { decodeJwt, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import { UsercastError } from '../errors.ts';
import { checkKeys, wrongOption } from '../option-checks.ts';
import { type KeySource, type Keys, resolveKeys } from './jwt-keys.ts';
import { RememberedTokens } from './remembered.ts';
import { type Identity, MAX_EPOCH_MS, MAX_USER_ID_LENGTH, type TokenVerifier } from './token-verifier.ts';

/** What `jwtVerifier` checks beside the signature. */
export interface JwtRules {
  /** Who must have issued the token (`iss`): one of these. Default: anybody who has the key. */
  readonly issuer?: string | readonly string[];
  /** Whom the token must be meant for (`aud`): one of these. Default: anybody. */
  readonly audience?: string | readonly string[];
  /** The signature algorithms taken. Default: HS256 with a secret, else the asymmetric ones that fit the key. */
  readonly algorithms?: readonly string[];
  /** The claim that holds the user id, a string. Default `sub`. */
  readonly userIdClaim?: string;
  /** Seconds by which a token may be from the future (`nbf`). It never lengthens a token's life. Default 0. */
  readonly clockToleranceSeconds?: number;
  /** Milliseconds that a verified token is remembered, never past its end. Default 300 000; 0 = not at all. */
  readonly cacheMs?: number;
}

/** The key source and the rules of a `jwtVerifier`. */
export type JwtVerifierOptions = KeySource & JwtRules;

const DEFAULTS = Object.freeze({ userIdClaim: 'sub', clockToleranceSeconds: 0, cacheMs: 300_000 });
const OPTIONS = [
  'secret',
  'publicKey',
  'jwksUrl',
  'issuer',
  'audience',
  'algorithms',
  'userIdClaim',
  'clockToleranceSeconds',
  'cacheMs',
] as const satisfies readonly (keyof JwtVerifierOptions)[];

interface Rules {
  readonly keys: Keys;
  readonly userIdClaim: string;
  readonly checks: JWTVerifyOptions;
}

/**
 * Verifies JSON Web Tokens. A token needs `exp` and the user id; `jti` becomes the token id, all claims the identity's.
 * Its `verify` rejects with a UsercastError: `token_expired`, `token_invalid` (the message says which check failed) or
 * `verifier_unavailable`. A remembered token stays good until `cacheMs` after its check, also when its key is withdrawn.
 * @throws TypeError when an option is wrong.
 * @see RFC 8725
 */
export function jwtVerifier(options: JwtVerifierOptions): TokenVerifier {
  const rules = resolveRules(options);
  const maxAgeMs = nonNegative('cacheMs', options.cacheMs);
  const remembered = new RememberedTokens({ maxAgeMs }, (token) => identityOf(decodeJwt(token), rules));
  return {
    verify: (token) => remembered.identify(token, () => check(token, rules)),
    forget: (userId) => remembered.forget(userId),
  };
}

async function check(token: string, rules: Rules): Promise<Identity> {
  let claims: JWTPayload;
  try {
    claims = await verifiedClaims(token, rules);
  } catch (cause) {
    throw refusal(cause, rules);
  }
  return identityOf(claims, rules);
}

/** Of claims that were verified. @throws UsercastError `token_expired`, or `token_invalid` where they name no user. */
function identityOf(claims: JWTPayload, rules: Rules): Identity {
  const userId = claims[rules.userIdClaim];
  if (typeof userId !== 'string' || userId === '' || userId.length > MAX_USER_ID_LENGTH) {
    throw invalid(`the claim ${rules.userIdClaim} must be a string of 1 to ${MAX_USER_ID_LENGTH} characters`);
  }
  const expiresAt = Math.min(claims.exp! * 1_000, MAX_EPOCH_MS);
  // jose applies the tolerance to `exp` too.
  if (expiresAt <= Date.now()) throw expired();
  const { jti } = claims;
  return { userId, expiresAt, ...(typeof jti === 'string' && { tokenId: jti }), claims };
}

async function verifiedClaims(token: string, { keys, checks }: Rules): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, keys.find, checks)).payload;
  } catch (cause) {
    if (!(cause instanceof errors.JWKSMultipleMatchingKeys)) throw cause;
    // A token that does not name its key, and a provider that has several of its kind.
    for await (const key of cause) {
      try {
        return (await jwtVerify(token, key, checks)).payload;
      } catch (inner) {
        if (!(inner instanceof errors.JWSSignatureVerificationFailed)) throw inner;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

function expired(): UsercastError {
  return new UsercastError('token_expired', 'the token has expired');
}

function invalid(why: string): UsercastError {
  return new UsercastError('token_invalid', why);
}

/** Without a cause: jose's errors carry the token's claims. */
function refusal(cause: unknown, { keys }: Rules): UsercastError {
  if (cause instanceof UsercastError) return cause;
  if (cause instanceof errors.JWTExpired) return expired();
  if (cause instanceof errors.JWTClaimValidationFailed) return invalid(claimFault(cause));
  if (cause instanceof errors.JWSSignatureVerificationFailed)
    return invalid('the signature of the token does not fit the key');
  if (cause instanceof errors.JOSEAlgNotAllowed) {
    return invalid(`the token's alg must be one of ${keys.algorithms.join(', ')}`);
  }
  if (cause instanceof errors.JWKSNoMatchingKey) return invalid('the key (kid) of the token is unknown');
  return invalid('the token is not a JSON Web Token that can be checked here');
}

function claimFault({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `the claim ${claim} is missing in the token`;
  if (reason === 'invalid') return `the claim ${claim} of the token is not a number`;
  if (claim === 'nbf') return 'the token is not valid yet (nbf)';
  return claim === 'aud' ? 'the token is meant for another service (aud)' : 'the token is of another issuer (iss)';
}

function resolveRules(options: JwtVerifierOptions): Rules {
  // A rule that is spelt wrong would be a check that does not happen.
  checkKeys('jwtVerifier', options, OPTIONS);
  const keys = resolveKeys(options, options.algorithms);
  const { userIdClaim = DEFAULTS.userIdClaim } = options;
  if (typeof userIdClaim !== 'string' || userIdClaim === '')
    wrongOption('userIdClaim', 'a non-empty string', userIdClaim);
  const issuer = names('issuer', options.issuer);
  const audience = names('audience', options.audience);
  const checks: JWTVerifyOptions = {
    algorithms: [...keys.algorithms],
    requiredClaims: ['exp', userIdClaim],
    clockTolerance: nonNegative('clockToleranceSeconds', options.clockToleranceSeconds),
    ...(issuer && { issuer }),
    ...(audience && { audience }),
  };
  return { keys, userIdClaim, checks };
}

function names(option: 'issuer' | 'audience', given: string | readonly string[] | undefined): string[] | null {
  if (given === undefined) return null;
  const list: readonly string[] = typeof given === 'string' ? [given] : given;
  const usable = Array.isArray(list) && list.length > 0;
  if (usable && list.every((name: unknown) => typeof name === 'string' && name !== '')) return [...list];
  return wrongOption(option, 'a non-empty string or a list of such', given);
}

function nonNegative(option: 'clockToleranceSeconds' | 'cacheMs', given: number | undefined): number {
  const value = given === undefined ? DEFAULTS[option] : given;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  return wrongOption(option, 'a finite number of at least 0', value);
}
