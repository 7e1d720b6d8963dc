import { errors } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RemoteKeys } from '../../src/auth/jwks.ts';
import { identityProvider, type Mood, type SigningKey, signingKey } from './identity-provider.ts';

const MINUTE_MS = 60_000;

let first: SigningKey;
let second: SigningKey;
let provider: Awaited<ReturnType<typeof identityProvider>>;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  [first, second] = await Promise.all([signingKey('first'), signingKey('second')]);
  provider = await identityProvider([first.jwk]);
});
afterEach(async () => {
  vi.useRealTimers();
  await provider.close();
});

/** The key that a token with this key id would be checked with. */
function find(keys: RemoteKeys, kid = 'first'): Promise<unknown> {
  return Promise.resolve(keys.find({ alg: 'ES256', kid }, { payload: '', signature: '' }));
}

const unavailable = { code: 'verifier_unavailable' };

describe('remote keys', () => {
  it('are fetched once for many tokens at one time', async () => {
    const keys = new RemoteKeys(provider.url);
    await Promise.all(Array.from({ length: 20 }, () => find(keys)));
    await find(keys);
    expect(provider.asked).toBe(1);
  });

  it('follow a rotation as soon as a token names a new key', async () => {
    const keys = new RemoteKeys(provider.url);
    await find(keys);
    provider.keys = [second.jwk];
    vi.advanceTimersByTime(31_000);
    await find(keys, 'second');
    expect(provider.asked).toBe(2);
    await expect(find(keys, 'first')).rejects.toThrow(errors.JWKSNoMatchingKey);
  });

  it('are not fetched more than twice a minute for unknown key ids', async () => {
    const keys = new RemoteKeys(provider.url);
    for (let i = 0; i < 10; i++) await expect(find(keys, `made up ${i}`)).rejects.toThrow(errors.JWKSNoMatchingKey);
    expect(provider.asked).toBe(1);
    vi.advanceTimersByTime(31_000);
    for (let i = 0; i < 10; i++) await expect(find(keys, `made up ${i}`)).rejects.toThrow(errors.JWKSNoMatchingKey);
    expect(provider.asked).toBe(2);
  });

  it('answer from what is kept while newer ones are fetched ahead of time', async () => {
    const keys = new RemoteKeys(provider.url);
    await find(keys);
    provider.mood = 'hanging';
    vi.advanceTimersByTime(6 * MINUTE_MS);
    await find(keys);
    await vi.waitFor(() => expect(provider.asked).toBe(2));
  });

  it('are fetched before use once they are old', async () => {
    const keys = new RemoteKeys(provider.url);
    await find(keys);
    provider.keys = [second.jwk];
    vi.advanceTimersByTime(11 * MINUTE_MS);
    await expect(find(keys, 'first')).rejects.toThrow(errors.JWKSNoMatchingKey);
    expect(provider.asked).toBe(2);
  });

  it.each<Mood>(['failing', 'redirecting', 'hanging', 'garbled', 'empty', 'not a set'])(
    'of a provider that is %s cannot tell, and it is not asked again at once',
    async (mood) => {
      provider.mood = mood;
      const keys = new RemoteKeys(provider.url, { timeoutMs: 1_000 });
      await expect(find(keys)).rejects.toMatchObject(unavailable);
      await expect(find(keys)).rejects.toMatchObject(unavailable);
      expect(provider.asked).toBe(1);
      provider.mood = 'well';
      vi.advanceTimersByTime(3_001);
      await find(keys);
      expect(provider.asked).toBe(2);
    },
  );

  it('of a provider that is gone cannot tell, and the error holds no query', async () => {
    await provider.close();
    const keys = new RemoteKeys(provider.url);
    const error = await find(keys).catch((cause: unknown) => cause);
    expect(error).toMatchObject(unavailable);
    expect(String(error)).toContain(`${provider.url.origin}/jwks`);
    expect(String(error)).not.toContain('hidden');
  });

  it.each<Mood>(['failing', 'hanging', 'empty'])('stay in use for a day when the provider is %s', async (mood) => {
    const keys = new RemoteKeys(provider.url, { timeoutMs: 1_000 });
    await find(keys);
    provider.mood = mood;
    vi.advanceTimersByTime(23 * 60 * MINUTE_MS);
    for (let i = 0; i < 10; i++) await find(keys);
    expect(provider.asked).toBe(2);
    await expect(find(keys, 'second')).rejects.toMatchObject(unavailable);
    vi.advanceTimersByTime(61 * MINUTE_MS);
    await expect(find(keys)).rejects.toMatchObject(unavailable);
    provider.mood = 'well';
    vi.advanceTimersByTime(3_001);
    await find(keys);
  });
});
