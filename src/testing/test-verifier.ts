// A verifier for tests, and tokens that it takes. Anyone can make such a token: it has no place in production.

import { randomUUID } from 'node:crypto';
import { type Identity, type TokenVerifier, UsercastError } from '../index.ts';

/** What a token for tests says. */
export interface TokenOptions {
  /** Whom it stands for. */
  readonly userId: string;
  /** Milliseconds from now until it ends; negative: it has ended. Default: it never ends. */
  readonly expiresInMs?: number;
  /** Its name. Default: a new one. */
  readonly tokenId?: string;
}

/** A `TokenVerifier` that a test can make fail. */
export interface TestVerifier extends TokenVerifier {
  /** What becomes of the next calls: it `works` (the default), `fails` as one that cannot tell (503), or `hangs`. */
  mode: 'works' | 'fails' | 'hangs';
  /** How often it was asked. */
  readonly calls: number;
  /** Refuses this token from now on. */
  revoke(token: string): void;
}

const PREFIX = 'test-token.';

interface Content extends Identity {
  readonly tokenId: string;
}

/** A new token that every `testVerifier` takes, in any process. */
export function testToken({ userId, expiresInMs, tokenId = randomUUID() }: TokenOptions): string {
  const ends = expiresInMs === undefined ? {} : { expiresAt: Date.now() + expiresInMs };
  const content: Content = { userId, tokenId, ...ends };
  const text = Buffer.from(JSON.stringify(content)).toString('base64url');
  return `${PREFIX}${text}.${checksum(text)}`;
}

/** Takes the tokens of `testToken` until they end or are revoked. */
export function testVerifier(): TestVerifier {
  const revoked = new Set<string>();
  let calls = 0;
  return {
    mode: 'works',
    get calls() {
      return calls;
    },
    revoke(token) {
      revoked.add(token);
    },
    async verify(token) {
      calls++;
      if (this.mode === 'hangs') await new Promise<never>(() => {});
      if (this.mode === 'fails') throw new UsercastError('verifier_unavailable', 'the test verifier was told to fail');
      const content = contentOf(token);
      if (!content || revoked.has(token)) throw new UsercastError('token_invalid', 'no such token');
      if (content.expiresAt !== undefined && content.expiresAt <= Date.now()) {
        throw new UsercastError('token_expired', 'the token has ended');
      }
      return content;
    },
  };
}

function contentOf(token: string): Content | null {
  const [text = '', sum, ...rest] = token.startsWith(PREFIX) ? token.slice(PREFIX.length).split('.') : [];
  if (text === '' || rest.length > 0 || sum !== checksum(text)) return null;
  return JSON.parse(Buffer.from(text, 'base64url').toString()) as Content;
}

/** Against slips, such as half a token; no protection against anybody. */
function checksum(text: string): string {
  let sum = 0;
  for (const character of text) sum = (Math.imul(sum, 31) + character.charCodeAt(0)) >>> 0;
  return sum.toString(36);
}
