// The suites over the brokers, stores and verifiers that have no test file of their own, each through the public entry.

import { Buffer } from 'node:buffer';
import { SignJWT } from 'jose';
import { createUsercast, jwtVerifier, memoryBroker, memoryCounters } from 'usercast';
import {
  brokerSuite,
  counterStoreSuite,
  faultyBroker,
  modelBroker,
  testToken,
  testVerifier,
  verifierSuite,
} from 'usercast/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const runner = { describe, it };

brokerSuite(runner, {
  name: 'modelBroker',
  create: modelBroker,
  capabilities: { counters: true, dense: true, peer: (broker) => broker.peer() },
});

brokerSuite(runner, {
  name: 'faultyBroker, calm, over memoryBroker',
  create: () => faultyBroker(memoryBroker()),
  capabilities: { counters: true, dense: true, historyMessages: 100 },
});

brokerSuite(runner, {
  name: 'faultyBroker that is only slow',
  create: () => faultyBroker(modelBroker(), { slow: 0.3, delay: 0.2, maxDelayMs: 3 }),
  capabilities: { counters: true, dense: true },
});

describe('with time that passes', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  counterStoreSuite(runner, {
    name: 'memoryCounters',
    create: () => memoryCounters(),
    capabilities: { clock: { rememberMs: 600_000, advance: (ms) => void vi.advanceTimersByTime(ms) } },
  });
});

verifierSuite(runner, {
  name: 'testVerifier',
  create: testVerifier,
  tokenFor: testToken,
  capabilities: {
    expiry: true,
    tokenIds: true,
    revoke: (token, verifier) => verifier.revoke(token),
    outage: (verifier) => {
      verifier.mode = 'fails';
      return () => {
        verifier.mode = 'works';
      };
    },
  },
});

const secret = Buffer.from('a secret of this test, long enough for HS256');
verifierSuite(runner, {
  name: 'jwtVerifier',
  create: () => jwtVerifier({ secret, issuer: 'https://issuer.example', audience: 'api', algorithms: ['HS256'] }),
  tokenFor: ({ userId, expiresInMs = 3_600_000, tokenId }) => {
    const token = new SignJWT({ ...(tokenId !== undefined && { jti: tokenId }) })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://issuer.example')
      .setAudience('api')
      .setSubject(userId)
      .setExpirationTime(new Date(Date.now() + expiresInMs));
    return token.sign(secret);
  },
  capabilities: { expiry: true, tokenIds: true },
});

describe('testVerifier', () => {
  const context = { userId: 'ann', transport: 'http', address: '', signal: new AbortController().signal } as const;

  it('refuses a token that it was told to revoke, works, fails and hangs as told, and counts its calls', async () => {
    const verifier = testVerifier();
    const [token, other] = [testToken({ userId: 'ann' }), testToken({ userId: 'ann' })];
    await verifier.verify(token, context);
    verifier.revoke(token);
    await expect(verifier.verify(token, context)).rejects.toMatchObject({ code: 'token_invalid' });
    verifier.mode = 'fails';
    await expect(verifier.verify(other, context)).rejects.toMatchObject({ code: 'verifier_unavailable' });
    verifier.mode = 'hangs';
    const hung = verifier.verify(other, context);
    verifier.mode = 'works';
    expect((await verifier.verify(other, context)).userId).toBe('ann');
    expect(await Promise.race([hung, 'still hangs'])).toBe('still hangs');
    expect(verifier.calls).toBe(5);
  });

  it('makes a usercast that serves', () => {
    expect(createUsercast({ verifier: testVerifier() }).health().ok).toBe(true);
  });
});
