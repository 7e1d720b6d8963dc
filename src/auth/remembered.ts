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

/** What is kept of a token: until when, on the clock that never jumps, and whom it stands for. */
type Memory = readonly [untilMs: number, identity: Identity];

/** Verified tokens by their hash, and the verifications under way. */
export class RememberedTokens {
  readonly #maxAgeMs: number;
  readonly #maxTokens: number;
  /** Oldest first. As JSON: it takes a third of what the objects would, and most are never asked for again. */
  readonly #memories = new Map<string, string>();
  readonly #flights = new Map<string, Promise<Identity>>();

  constructor(limits: RememberedLimits) {
    this.#maxAgeMs = limits.maxAgeMs;
    this.#maxTokens = limits.maxTokens ?? MAX_TOKENS;
  }

  /** How many tokens are kept now. */
  get size(): number {
    return this.#memories.size;
  }

  /**
   * Whom the token was found to stand for, or what `check` says of it; calls for one token at one time share one check.
   * What a check throws is passed on and not remembered.
   */
  identify(token: string, check: () => Promise<Identity>): Promise<Identity> {
    const key = hash('sha256', token, 'binary');
    const memory = this.#memories.get(key);
    if (memory !== undefined) {
      const [untilMs, identity] = JSON.parse(memory) as Memory;
      // A promise of its own for each caller: a kept one would hold on to the async context of the request that made it.
      if (monotonicMs() < untilMs && !hasEnded(identity)) return Promise.resolve(identity);
      this.#memories.delete(key);
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

  /** Drops this user's tokens, and what any check under way will say. Looks at every token kept: 0.2 ms with 10 000. */
  forget(userId: string): void {
    this.#flights.clear();
    const spelled = JSON.stringify(userId);
    for (const [key, memory] of this.#memories) {
      if (memory.includes(spelled) && (JSON.parse(memory) as Memory)[1].userId === userId) this.#memories.delete(key);
    }
  }

  #remember(key: string, identity: Identity): void {
    if (this.#maxAgeMs === 0 || hasEnded(identity)) return;
    if (this.#memories.size >= this.#maxTokens) {
      const [oldest] = this.#memories.keys();
      if (oldest !== undefined) this.#memories.delete(oldest);
    }
    const memory: Memory = [monotonicMs() + this.#maxAgeMs, identity];
    // What JSON.stringify returns is a rope of parts; this is one flat string.
    this.#memories.set(key, Buffer.from(JSON.stringify(memory)).toString());
  }
}

function hasEnded({ expiresAt }: Identity): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now();
}
