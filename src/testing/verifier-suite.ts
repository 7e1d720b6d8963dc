// What every token verifier promises, as tests.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import type { TokenVerifier, VerifyContext } from '../index.ts';
import type { TestRunner } from './runner.ts';
import type { TokenOptions } from './test-verifier.ts';

type EndOutage = () => void | Promise<void>;

/** What a verifier can, beyond what all must. */
export interface VerifierCapabilities<V extends TokenVerifier = TokenVerifier> {
  /** Tokens end, and `expiresAt` says when. Default false. */
  readonly expiry?: boolean;
  /** `tokenId` names the token. Default false. */
  readonly tokenIds?: boolean;
  /** Makes a good token bad, at once for whoever calls `forget` after it. */
  revoke?(token: string, verifier: V): void | Promise<void>;
  /** Takes away whatever the verifier asks about tokens, until the returned function is called. */
  outage?(verifier: V): EndOutage | Promise<EndOutage>;
}

/** Whose verifier is tested, and how to make one and tokens for it. */
export interface VerifierSuiteOptions<V extends TokenVerifier = TokenVerifier> {
  /** The name of the group of tests. */
  readonly name: string;
  /** Makes a verifier for one test. */
  create(): V | Promise<V>;
  /** A new token that the verifier has to take. With a negative `expiresInMs`, one that has ended. */
  tokenFor(wanted: TokenOptions): string | Promise<string>;
  /** Takes away what is left of a verifier. */
  cleanUp?(verifier: V): void | Promise<void>;
  /** Default: none. */
  readonly capabilities?: VerifierCapabilities<V>;
}

function contextOf(userId: string): VerifyContext {
  return { userId, transport: 'websocket', address: '127.0.0.1', signal: new AbortController().signal };
}

/** What came of it, whether it throws or rejects. */
async function refusalOf(verifier: TokenVerifier, token: string): Promise<unknown> {
  try {
    await verifier.verify(token, contextOf('ann'));
  } catch (cause) {
    return cause;
  }
  return assert.fail(`took a token of ${token.length} characters that it should refuse`);
}

/** Declares the tests that a `TokenVerifier` has to pass, with the runner's own `describe` and `it`. */
export function verifierSuite<V extends TokenVerifier>(
  { describe, it }: TestRunner,
  options: VerifierSuiteOptions<V>,
): void {
  const { name, capabilities = {} } = options;
  const { expiry, tokenIds } = capabilities;
  const tokenFor = (wanted: TokenOptions) => options.tokenFor(wanted);
  const test = (guarantee: string, body: (verifier: V) => Promise<void>): void => {
    it(guarantee, async () => {
      const verifier = await options.create();
      try {
        await body(verifier);
      } finally {
        await options.cleanUp?.(verifier);
      }
    });
  };
  const verify = (verifier: TokenVerifier, token: string) => verifier.verify(token, contextOf('ann'));

  describe(name, () => {
    test('says whom a token stands for, each time', async (verifier) => {
      const userId = randomUUID();
      const token = await tokenFor({ userId });
      for (let i = 0; i < 3; i++) assert.equal((await verify(verifier, token)).userId, userId);
    });

    test('tells users apart, also at the same moment', async (verifier) => {
      const userIds = Array.from({ length: 20 }, (_, i) => `${randomUUID()} ${i} ünï`);
      const tokens = await Promise.all(userIds.map((userId) => tokenFor({ userId })));
      const identities = await Promise.all([...tokens, ...tokens].map((token) => verify(verifier, token)));
      assert.deepEqual(
        identities.map(({ userId }) => userId),
        [...userIds, ...userIds],
      );
    });

    test('goes by the token and not by the path', async (verifier) => {
      const userId = randomUUID();
      const token = await tokenFor({ userId });
      assert.equal((await verifier.verify(token, contextOf('another user'))).userId, userId);
    });

    test('refuses what is no token, and what is nearly one', async (verifier) => {
      const token = await tokenFor({ userId: randomUUID() });
      const middle = Math.floor(token.length / 2);
      const changed = token[middle] === 'A' ? 'B' : 'A';
      for (const wrong of [
        '',
        ' ',
        'garbage',
        'a.b.c',
        `${token}x`,
        token.slice(0, -4),
        token.slice(0, middle) + changed + token.slice(middle + 1),
        '\u0000',
        'x'.repeat(10_000),
      ]) {
        await refusalOf(verifier, wrong);
      }
      await verify(verifier, token);
    });

    test('tells nobody the token that it refuses', async (verifier) => {
      const token = await tokenFor({ userId: randomUUID() });
      const wrong = `${token}${randomUUID().replaceAll('-', '')}`;
      const told = inspect(await refusalOf(verifier, wrong), { depth: 8, showHidden: true });
      for (const part of [wrong, ...wrong.split('.')].filter(({ length }) => length >= 16)) {
        assert.equal(told.includes(part), false, 'the error holds a part of the token');
      }
    });

    test('takes forgetting a user, known or not', async (verifier) => {
      const userId = randomUUID();
      const token = await tokenFor({ userId });
      await verify(verifier, token);
      verifier.forget?.(userId);
      verifier.forget?.('nobody');
      assert.equal((await verify(verifier, token)).userId, userId);
    });

    if (expiry) {
      test('says when the token ends, in epoch milliseconds', async (verifier) => {
        const token = await tokenFor({ userId: randomUUID(), expiresInMs: 60_000 });
        const { expiresAt } = await verify(verifier, token);
        assert.ok(Math.abs((expiresAt ?? 0) - Date.now() - 60_000) < 5_000, `${expiresAt} is not in 60 s`);
      });

      test('refuses a token that has ended', async (verifier) => {
        await refusalOf(verifier, await tokenFor({ userId: randomUUID(), expiresInMs: -60_000 }));
      });
    }

    if (tokenIds) {
      test('names the token', async (verifier) => {
        const tokenId = randomUUID();
        assert.equal((await verify(verifier, await tokenFor({ userId: randomUUID(), tokenId }))).tokenId, tokenId);
      });
    }

    if (capabilities.revoke) {
      test('refuses a token that was revoked and forgotten, and no other', async (verifier) => {
        const userId = randomUUID();
        const [revoked, kept] = [await tokenFor({ userId }), await tokenFor({ userId })];
        await verify(verifier, revoked);
        await capabilities.revoke!(revoked, verifier);
        verifier.forget?.(userId);
        await refusalOf(verifier, revoked);
        assert.equal((await verify(verifier, kept)).userId, userId);
      });
    }

    if (capabilities.outage) {
      test('says that it could not tell when it could not, and takes the same token afterwards', async (verifier) => {
        const userId = randomUUID();
        const token = await tokenFor({ userId });
        const end = await capabilities.outage!(verifier);
        try {
          await assert.rejects(async () => verify(verifier, token), { code: 'verifier_unavailable' });
        } finally {
          await end();
        }
        assert.equal((await verify(verifier, token)).userId, userId);
      });
    }
  });
}
