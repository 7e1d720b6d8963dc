// A bounded memory of tokens that were verified, so that a client that comes back does not cost a signature check again.
// Verifiers own one each; it keeps a hash of each token, never the token.

import { hash } from 'node:crypto';
import { monotonicMs } from '../timers.ts';
import type { Identity } from './token-verifier.ts';

const MAX_TOKENS = 10_000;

/** How much is remembered, and for how long. */
export interface RememberedLimits {
  /** Milliseconds that a verified token is believed; 0: every token is verified each time. */
  readonly maxAgeMs: number;
  /** Tokens kept; past it the one verified longest ago goes. Default 10 000. */
  readonly maxTokens?: number;
}

/** Verified tokens by their hash, and the verifications under way. */
export class RememberedTokens {
  readonly #maxAgeMs: number;
  readonly #maxTokens: number;
  readonly #recall: (token: string) => Identity;
  /** By hash, oldest first: when the token was verified, on the clock that never jumps. */
  readonly #verified = new Map<string, number>();
  /** By user, oldest first: when all that was verified before was forgotten. */
  readonly #forgotten = new Map<string, number>();
  readonly #flights = new Map<string, Promise<Identity>>();

  /**
   * `recall`: whom a token stands for whose signature is known to be good; it may throw. It is asked each time, so that
   * nothing of a token is kept but its hash.
   */
  constructor(limits: RememberedLimits, recall: (token: string) => Identity) {
    this.#maxAgeMs = limits.maxAgeMs;
    this.#maxTokens = limits.maxTokens ?? MAX_TOKENS;
    this.#recall = recall;
  }

  /** How many tokens are kept now. */
  get size(): number {
    return this.#verified.size;
  }

  /**
   * Whom the token was found to stand for, or what `check` says of it; calls for one token at one time share one check.
   * What a check throws is passed on and not remembered.
   */
  identify(token: string, check: () => Promise<Identity>): Promise<Identity> {
    const key = hash('sha256', token, 'binary');
    const verifiedMs = this.#verified.get(key);
    if (verifiedMs !== undefined) {
      const identity = this.#recalled(token, verifiedMs);
      // A promise of its own for each caller: a kept one would hold on to the async context of the request that made it.
      if (identity) return Promise.resolve(identity);
      this.#verified.delete(key);
    }
    const underway = this.#flights.get(key);
    if (underway !== undefined) return underway;
    const flight: Promise<Identity> = check().then(
      (identity) => {
        // Not there any more: `forget` was called meanwhile, and the answer may be from before what it was called for.
        if (this.#flights.get(key) === flight) {
          this.#flights.delete(key);
          this.#remember(key, identity);
        }
        return identity;
      },
      (cause) => {
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        throw cause;
      },
    );
    this.#flights.set(key, flight);
    return flight;
  }

  /** Drops this user's tokens, and what any check under way will say. */
  forget(userId: string): void {
    this.#flights.clear();
    const nowMs = monotonicMs();
    for (const [oldest, forgottenMs] of this.#forgotten) {
      if (forgottenMs + this.#maxAgeMs > nowMs) break;
      this.#forgotten.delete(oldest);
    }
    this.#forgotten.delete(userId);
    this.#forgotten.set(userId, nowMs);
  }

  /** null where it has to be verified again. */
  #recalled(token: string, verifiedMs: number): Identity | null {
    if (monotonicMs() >= verifiedMs + this.#maxAgeMs) return null;
    let identity: Identity;
    try {
      identity = this.#recall(token);
    } catch {
      return null;
    }
    const isForgotten = verifiedMs <= (this.#forgotten.get(identity.userId) ?? -1);
    return isForgotten || hasEnded(identity) ? null : identity;
  }

  #remember(key: string, identity: Identity): void {
    if (this.#maxAgeMs === 0 || hasEnded(identity)) return;
    if (this.#verified.size >= this.#maxTokens) {
      const [oldest] = this.#verified.keys();
      if (oldest !== undefined) this.#verified.delete(oldest);
    }
    this.#verified.set(key, monotonicMs());
  }
}

function hasEnded({ expiresAt }: Identity): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now();
}
