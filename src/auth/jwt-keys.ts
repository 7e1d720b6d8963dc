// Where the JWT verifier's keys come from, and which signature algorithms each source allows: none but these is ever
// tried, so a token cannot choose how it is checked.

import { createPublicKey, KeyObject, webcrypto } from 'node:crypto';
import { types } from 'node:util';
import type { CryptoKey, JWK, JWTVerifyGetKey } from 'jose';
import { shown, wrongOption } from '../option-checks.ts';
import { RemoteKeys } from './jwks.ts';

/** Tokens signed with a secret that this service shares with their issuer. */
export interface SecretSource {
  /** A string stands for its UTF-8 bytes. Use at least 32 random bytes. @see RFC 7518 section 3.2 */
  readonly secret: string | Uint8Array;
  readonly publicKey?: undefined;
  readonly jwksUrl?: undefined;
}

/** Tokens signed with one key pair. */
export interface PublicKeySource {
  /** PEM text (a public key or an X.509 certificate), a JSON Web Key, a `KeyObject` or a `CryptoKey`. */
  readonly publicKey: string | JWK | KeyObject | CryptoKey;
  readonly secret?: undefined;
  readonly jwksUrl?: undefined;
}

/** Tokens of an identity provider that publishes its keys. */
export interface JwksSource {
  /** `https:`, or `http:` on this machine. The keys are kept for a day when the provider does not answer. */
  readonly jwksUrl: string | URL;
  readonly secret?: undefined;
  readonly publicKey?: undefined;
}

/** Exactly one of `secret`, `publicKey` and `jwksUrl`. */
export type KeySource = SecretSource | PublicKeySource | JwksSource;

/** A key source as the verifier uses it. */
export interface Keys {
  readonly algorithms: readonly string[];
  readonly find: JWTVerifyGetKey;
}

const SOURCES = ['secret', 'publicKey', 'jwksUrl'] as const;
const HMAC = ['HS256', 'HS384', 'HS512'];
const RSA_PKCS1 = ['RS256', 'RS384', 'RS512'];
const RSA_PSS = ['PS256', 'PS384', 'PS512'];
const EDWARDS = ['EdDSA', 'Ed25519'];
/** By the curve's name in OpenSSL and in Web Cryptography. */
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
};
const ASYMMETRIC = [...RSA_PKCS1, ...RSA_PSS, 'ES256', 'ES384', 'ES512', ...EDWARDS];
const MIN_RSA_BITS = 2048;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Checks the key source and the algorithms, which default to all that the source allows (for a secret: HS256).
 * @throws TypeError that names the option, and never a key.
 */
export function resolveKeys(source: KeySource, algorithms: readonly string[] | undefined): Keys {
  const given = SOURCES.filter((name) => source[name] !== undefined);
  if (given.length !== 1) {
    throw new TypeError(`give exactly one of ${SOURCES.join(', ')}: ${given.join(' and ') || 'none'} was given`);
  }
  if (source.secret !== undefined) return secretKeys(source.secret, algorithms);
  if (source.publicKey !== undefined) return publicKeys(source.publicKey, algorithms);
  return { algorithms: pinned(algorithms, ASYMMETRIC), find: new RemoteKeys(jwksUrl(source.jwksUrl)).find };
}

function pinned(
  algorithms: readonly string[] | undefined,
  allowed: readonly string[],
  standard = allowed,
): readonly string[] {
  if (algorithms === undefined) return standard;
  if (!Array.isArray(algorithms) || algorithms.length === 0) {
    wrongOption('algorithms', 'a list of at least one name', algorithms);
  }
  for (const algorithm of algorithms) {
    if (allowed.includes(algorithm)) continue;
    throw new TypeError(`algorithms: ${shown(algorithm)} does not fit the key; ${allowed.join(', ')} would`);
  }
  return [...algorithms];
}

function secretKeys(secret: unknown, algorithms: readonly string[] | undefined): Keys {
  if (!(typeof secret === 'string' || secret instanceof Uint8Array) || secret.length === 0) {
    throw new TypeError('secret must be a non-empty string or Uint8Array');
  }
  const bytes = Buffer.from(secret);
  // Everybody may know a public key: whoever does could sign.
  if (bytes.includes('-----BEGIN ')) throw new TypeError('secret is a PEM key: pass it as publicKey');
  const names = pinned(algorithms, HMAC, ['HS256']);
  const imported = new Map(
    names.map((name) => [name, webcrypto.subtle.importKey('raw', bytes, hmac(name), false, ['verify'])]),
  );
  // jose refuses every other algorithm before it asks for a key.
  return { algorithms: names, find: (header) => imported.get(header.alg)! };
}

function hmac(algorithm: string): webcrypto.HmacImportParams {
  return { name: 'HMAC', hash: `SHA-${algorithm.slice(2)}` };
}

function publicKeys(given: unknown, algorithms: readonly string[] | undefined): Keys {
  const key = publicKey(given);
  const allowed = key instanceof KeyObject ? keyObjectAlgorithms(key) : cryptoKeyAlgorithms(key);
  const named = isJwk(given) && typeof given.alg === 'string' ? allowed.filter((name) => name === given.alg) : allowed;
  if (named.length === 0) {
    throw new TypeError(
      'publicKey must be an RSA key of at least 2048 bits, P-256, P-384, P-521 or Ed25519, for signatures',
    );
  }
  return { algorithms: pinned(algorithms, named), find: () => key };
}

function publicKey(given: unknown): KeyObject | CryptoKey {
  if (given instanceof KeyObject || isCryptoKey(given)) {
    if (given.type !== 'public') throw new TypeError(`publicKey must be a public key, not a ${given.type} one`);
    return given;
  }
  // Node would take the public half of a private key: one that should not lie around in this service.
  if ((typeof given === 'string' && given.includes('PRIVATE KEY-----')) || (isJwk(given) && 'd' in given)) {
    throw new TypeError('publicKey must be a public key, not a private one');
  }
  try {
    if (typeof given === 'string') return createPublicKey(given);
    if (isJwk(given)) return createPublicKey({ key: { ...given }, format: 'jwk' });
  } catch {
    // What OpenSSL says names no option, and may quote the key.
  }
  throw new TypeError('publicKey must be PEM text, a JSON Web Key, a KeyObject or a CryptoKey that can be read');
}

function isCryptoKey(given: unknown): given is CryptoKey {
  return types.isCryptoKey(given);
}

function isJwk(given: unknown): given is JWK {
  return typeof given === 'object' && given !== null && 'kty' in given;
}

function keyObjectAlgorithms(key: KeyObject): readonly string[] {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= MIN_RSA_BITS ? [...RSA_PKCS1, ...RSA_PSS] : [];
    case 'ec':
      return ASYMMETRIC.filter((name) => name === CURVES[namedCurve]);
    case 'ed25519':
      return EDWARDS;
    default:
      return [];
  }
}

/** A `CryptoKey` is made for one algorithm. */
function cryptoKeyAlgorithms(key: CryptoKey): readonly string[] {
  if (!key.usages.includes('verify')) return [];
  const { name, hash, namedCurve, modulusLength } = key.algorithm as Partial<
    webcrypto.RsaHashedKeyAlgorithm & webcrypto.EcKeyAlgorithm
  >;
  if (name === 'Ed25519') return EDWARDS;
  if (name === 'ECDSA') return ASYMMETRIC.filter((algorithm) => algorithm === CURVES[namedCurve ?? '']);
  const family = name === 'RSA-PSS' ? RSA_PSS : name === 'RSASSA-PKCS1-v1_5' ? RSA_PKCS1 : [];
  if ((modulusLength ?? 0) < MIN_RSA_BITS) return [];
  return family.filter((algorithm) => hash?.name === `SHA-${algorithm.slice(2)}`);
}

function jwksUrl(given: unknown): URL {
  let url: URL;
  try {
    url = new URL(given as string | URL);
  } catch {
    return wrongOption('jwksUrl', 'a URL', given);
  }
  if (url.username !== '' || url.password !== '') throw new TypeError('jwksUrl must not hold a user name or password');
  if (url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.has(url.hostname))) return url;
  throw new TypeError(
    `jwksUrl must begin with https: (http: only for localhost, 127.0.0.1 and [::1]), got ${url.protocol}//${url.host}${url.pathname}`,
  );
}
