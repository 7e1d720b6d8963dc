// The keys that an identity provider publishes, fetched when needed and kept when it is down. The JWT verifier asks it for
// the key of each token.

import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { UsercastError } from '../errors.ts';
import { monotonicMs } from '../timers.ts';

/** How long keys are believed, in milliseconds. */
export interface RemoteKeysTimes {
  /** What one fetch may take. Default 3 000: shorter than a verifier's deadline, so that stale keys can still answer. */
  readonly timeoutMs: number;
  /** The age at which keys are fetched anew while the old ones answer. Default 300 000. */
  readonly refreshMs: number;
  /** The age at which new keys are waited for. Default 600 000. */
  readonly maxAgeMs: number;
  /** The age past which keys are not used even when there are no newer ones to get. Default 86 400 000. */
  readonly staleMs: number;
  /** How long after a fetch an unknown key id is believed to be wrong, and not new. Default 30 000. */
  readonly unknownKeyMs: number;
  /** How long the provider is left alone after a fetch that failed, give or take a half. Default 2 000. */
  readonly retryMs: number;
}

const DEFAULTS: RemoteKeysTimes = Object.freeze({
  timeoutMs: 3_000,
  refreshMs: 300_000,
  maxAgeMs: 600_000,
  staleMs: 86_400_000,
  unknownKeyMs: 30_000,
  retryMs: 2_000,
});

interface KeySet {
  readonly find: JWTVerifyGetKey;
  readonly fetchedAtMs: number;
}

/**
 * A JSON Web Key Set behind a URL.
 * @see RFC 7517 section 5
 */
export class RemoteKeys {
  readonly #url: URL;
  readonly #times: RemoteKeysTimes;
  #keys: KeySet | null = null;
  #flight: Promise<KeySet> | null = null;
  #failure: UsercastError | null = null;
  #retryAtMs = 0;

  constructor(url: URL, times: Partial<RemoteKeysTimes> = {}) {
    this.#url = url;
    this.#times = { ...DEFAULTS, ...times };
  }

  /**
   * The key that the token's header names.
   * @throws UsercastError `verifier_unavailable` when the provider cannot be asked and nothing kept will do.
   * @throws what jose throws when there is no such key, or more than one.
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#current();
    try {
      return await keys.find(header, token);
    } catch (cause) {
      const mayBeNew = monotonicMs() - keys.fetchedAtMs >= this.#times.unknownKeyMs;
      if (!(cause instanceof errors.JWKSNoMatchingKey) || !mayBeNew) throw cause;
    }
    return (await this.#fetch()).find(header, token);
  };

  async #current(): Promise<KeySet> {
    const keys = this.#keys;
    if (keys === null) return this.#fetch();
    const ageMs = monotonicMs() - keys.fetchedAtMs;
    const { refreshMs, maxAgeMs, staleMs } = this.#times;
    if (ageMs < refreshMs) return keys;
    const newer = this.#fetch();
    if (ageMs >= staleMs) return newer;
    const newest = newer.catch(() => keys);
    return ageMs < maxAgeMs ? keys : newest;
  }

  /** One fetch at a time, and none for a while after a failure, which is what it rejects with then. */
  #fetch(): Promise<KeySet> {
    if (this.#flight !== null) return this.#flight;
    if (this.#failure !== null && monotonicMs() < this.#retryAtMs) return Promise.reject(this.#failure);
    this.#flight = this.#download().then(
      (keys) => {
        this.#flight = null;
        this.#failure = null;
        this.#keys = keys;
        return keys;
      },
      (cause) => {
        this.#flight = null;
        this.#retryAtMs = monotonicMs() + this.#times.retryMs * (0.5 + Math.random());
        // Without the query: it may hold an API key.
        const where = this.#url.origin + this.#url.pathname;
        this.#failure = new UsercastError('verifier_unavailable', `no keys from ${where}`, { cause });
        throw this.#failure;
      },
    );
    return this.#flight;
  }

  async #download(): Promise<KeySet> {
    const response = await fetch(this.#url, {
      headers: { accept: 'application/json, application/jwk-set+json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(this.#times.timeoutMs),
    });
    if (response.status !== 200) {
      // An unread body keeps its connection.
      await response.body?.cancel();
      throw new Error(`status ${response.status} instead of 200`);
    }
    const set = (await response.json()) as JSONWebKeySet;
    const find = createLocalJWKSet(set);
    if (set.keys.length === 0) throw new Error('an empty key set');
    return { find, fetchedAtMs: monotonicMs() };
  }
}
