import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type RememberedLimits, RememberedTokens } from '../../src/auth/remembered.ts';
import type { Identity } from '../../src/auth/token-verifier.ts';

const HOUR_MS = 3_600_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function identity(userId = 'ann', expiresAt = Date.now() + HOUR_MS): Identity {
  return { userId, expiresAt };
}

/** As a verifier has it: what a token says can be had of the token itself. */
function rememberedTokens(limits: RememberedLimits) {
  const said = new Map<string, Identity>();
  const remembered = new RememberedTokens(limits, (token) => said.get(token)!);
  return {
    get size() {
      return remembered.size;
    },
    forget: (userId: string) => remembered.forget(userId),
    identify: (token: string, check: () => Promise<Identity>) =>
      remembered.identify(token, async () => {
        const found = await check();
        said.set(token, found);
        return found;
      }),
  };
}

describe('remembered tokens', () => {
  it('checks a token once', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    const check = vi.fn(async () => identity());
    const first = await remembered.identify('token', check);
    expect(await remembered.identify('token', check)).toEqual(first);
    expect(check).toHaveBeenCalledTimes(1);
  });

  it('checks another token for itself', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    await remembered.identify('token', async () => identity('ann'));
    expect(await remembered.identify('tokem', async () => identity('bob'))).toMatchObject({ userId: 'bob' });
  });

  it('shares one check between calls at one time', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 0 });
    const check = vi.fn(async () => identity());
    const calls = [remembered.identify('token', check), remembered.identify('token', check)];
    const [first, second] = await Promise.all(calls);
    expect(second).toBe(first);
    expect(check).toHaveBeenCalledTimes(1);
  });

  it('does not remember a refusal', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    await expect(remembered.identify('token', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(remembered.size).toBe(0);
    expect(await remembered.identify('token', async () => identity())).toMatchObject({ userId: 'ann' });
  });

  it('checks again after the age', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    const check = vi.fn(async () => identity());
    await remembered.identify('token', check);
    vi.advanceTimersByTime(1_000);
    await remembered.identify('token', check);
    expect(check).toHaveBeenCalledTimes(2);
    expect(remembered.size).toBe(1);
  });

  it('checks again after the token has ended, within the age', async () => {
    const remembered = rememberedTokens({ maxAgeMs: HOUR_MS });
    const check = vi.fn(async () => identity('ann', Date.now() + 500));
    await remembered.identify('token', check);
    vi.advanceTimersByTime(500);
    await remembered.identify('token', check);
    expect(check).toHaveBeenCalledTimes(2);
  });

  it('remembers a token without an end', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    await remembered.identify('token', async () => ({ userId: 'ann' }));
    await remembered.identify('token', () => Promise.reject(new Error('asked again')));
    expect(remembered.size).toBe(1);
  });

  it('keeps nothing that has ended, and nothing at all with an age of 0', async () => {
    const ended = rememberedTokens({ maxAgeMs: 1_000 });
    await ended.identify('token', async () => identity('ann', Date.now()));
    const off = rememberedTokens({ maxAgeMs: 0 });
    await off.identify('token', async () => identity());
    expect([ended.size, off.size]).toEqual([0, 0]);
  });

  it('lets the oldest go when it is full', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000, maxTokens: 2 });
    const check = vi.fn(async () => identity());
    for (const token of ['one', 'two', 'three']) await remembered.identify(token, check);
    expect(remembered.size).toBe(2);
    await remembered.identify('three', check);
    await remembered.identify('two', check);
    expect(check).toHaveBeenCalledTimes(3);
    await remembered.identify('one', check);
    expect(check).toHaveBeenCalledTimes(4);
  });

  it('keeps 10 000 tokens by default', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    const ann = identity();
    for (let i = 0; i <= 10_000; i++) await remembered.identify(`token ${i}`, async () => ann);
    expect(remembered.size).toBe(10_000);
  });

  it('forgets the tokens of one user', async () => {
    const remembered = rememberedTokens({ maxAgeMs: 1_000 });
    for (const user of ['ann', 'bob', 'ann']) {
      await remembered.identify(`token ${user} ${remembered.size}`, async () => identity(user));
    }
    remembered.forget('ann');
    for (const token of ['token ann 0', 'token ann 2']) {
      const check = vi.fn(async () => identity('ann'));
      await remembered.identify(token, check);
      expect(check).toHaveBeenCalledTimes(1);
    }
    expect(await remembered.identify('token bob 1', () => Promise.reject(new Error('asked again')))).toMatchObject({
      userId: 'bob',
    });
  });

  it.each(['resolves', 'rejects'])(
    'neither remembers nor shares a check that was under way at a forget, when it %s',
    async (how) => {
      const remembered = rememberedTokens({ maxAgeMs: 1_000 });
      const before = withResolvers<Identity>();
      const early = remembered.identify('token', () => before.promise);
      remembered.forget('ann');
      const after = withResolvers<Identity>();
      const late = remembered.identify('token', () => after.promise);
      if (how === 'resolves') before.resolve(identity('before'));
      else before.reject(new Error('before'));
      if (how === 'resolves') expect(await early).toMatchObject({ userId: 'before' });
      else await expect(early).rejects.toThrow('before');
      expect(remembered.size).toBe(0);
      after.resolve(identity('after'));
      expect(await late).toMatchObject({ userId: 'after' });
      expect(remembered.size).toBe(1);
    },
  );
});

function withResolvers<T>() {
  let resolve: (value: T) => void = () => undefined;
  let reject: (cause: Error) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
