import { createHmac, generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type JwtRules, jwtVerifier } from '../../src/auth/jwt-verifier.ts';
import { epochSeconds, identityProvider, type SigningKey, signingKey } from './identity-provider.ts';

const SECRET = 'a secret of more than thirty-two bytes';
const MINUTE_MS = 60_000;
const context = { userId: 'ann', transport: 'http', address: '::1', signal: new AbortController().signal } as const;

function sign(claims: JWTPayload, secret = SECRET): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret));
}

/** A token whose payload is this text. */
function signText(payload: string, header = '{"alg":"HS256"}'): string {
  const input = `${Buffer.from(header).toString('base64url')}.${Buffer.from(payload).toString('base64url')}`;
  return `${input}.${createHmac('sha256', SECRET).update(input).digest('base64url')}`;
}

const good = (): JWTPayload => ({ sub: 'ann', exp: epochSeconds(60) });

async function verify(claims: JWTPayload, rules: JwtRules = {}) {
  return jwtVerifier({ secret: SECRET, ...rules }).verify(await sign(claims), context);
}

describe('a JSON Web Token', () => {
  it('stands for its subject until it ends', async () => {
    const claims = { sub: 'ann', exp: epochSeconds(60), jti: 'token 1', role: 'admin' };
    expect(await verify(claims)).toEqual({
      userId: 'ann',
      expiresAt: claims.exp * 1_000,
      tokenId: 'token 1',
      claims,
    });
  });

  it('has no token id without a jti that is text', async () => {
    expect(await verify({ ...good(), jti: 7 as never })).not.toHaveProperty('tokenId');
  });

  it('may name its user in another claim', async () => {
    const claims = { ...good(), 'https://us.example/uid': 'bob' };
    expect(await verify(claims, { userIdClaim: 'https://us.example/uid' })).toMatchObject({ userId: 'bob' });
  });

  it('that never ends in practice ends where dates do', async () => {
    expect(await verify({ sub: 'ann', exp: 1e300 })).toMatchObject({ expiresAt: 8.64e15 });
  });

  it.each([
    ['without exp', { exp: undefined }, 'the claim exp is missing in the token'],
    ['with an exp that is no number', { exp: 'soon' as never }, 'the claim exp of the token is not a number'],
    ['without sub', { sub: undefined }, 'the claim sub is missing in the token'],
    ['with a sub that is a number', { sub: 7 as never }, 'the claim sub must be a string of 1 to 256 characters'],
    ['with an empty sub', { sub: '' }, 'the claim sub must be a string of 1 to 256 characters'],
    ['with a long sub', { sub: 'x'.repeat(257) }, 'the claim sub must be a string of 1 to 256 characters'],
    ['from the future', { nbf: epochSeconds(30) }, 'the token is not valid yet (nbf)'],
    ['of another issuer', { iss: 'them', aud: 'api' }, 'the token is of another issuer (iss)'],
    ['without issuer', { iss: undefined, aud: 'api' }, 'the claim iss is missing in the token'],
    ['for another service', { iss: 'us', aud: ['web', 'mail'] }, 'the token is meant for another service (aud)'],
    ['for nobody', { iss: 'us', aud: undefined }, 'the claim aud is missing in the token'],
  ])('%s is refused', async (_how, claims, message) => {
    const rules = 'iss' in claims ? { issuer: 'us', audience: 'api' } : {};
    await expect(verify({ ...good(), ...claims } as JWTPayload, rules)).rejects.toMatchObject({
      code: 'token_invalid',
      message,
    });
  });

  it('passes when one of several issuers and audiences fits', async () => {
    const rules = { issuer: ['us', 'them'], audience: ['api', 'web'] };
    expect(await verify({ ...good(), iss: 'them', aud: ['web', 'mail'] }, rules)).toMatchObject({ userId: 'ann' });
  });

  it('that has ended is told apart', async () => {
    await expect(verify({ ...good(), exp: epochSeconds(-1) })).rejects.toMatchObject({ code: 'token_expired' });
  });

  it('gets tolerance for its beginning and none for its end', async () => {
    const rules = { clockToleranceSeconds: 30 };
    expect(await verify({ ...good(), nbf: epochSeconds(20) }, rules)).toMatchObject({ userId: 'ann' });
    await expect(verify({ ...good(), exp: epochSeconds(-1) }, rules)).rejects.toMatchObject({ code: 'token_expired' });
  });

  it.each([
    ['empty', ''],
    ['text', 'hello'],
    ['two parts', 'e30.e30'],
    ['five parts', 'a.b.c.d.e'],
    ['a header that is no JSON', 'aGk.e30.AA'],
    ['a payload that is no JSON', signText('hi')],
    ['a payload that is no object', signText('["ann"]')],
    ['an unknown critical header', signText('{}', '{"alg":"HS256","crit":["x"],"x":1}')],
  ])('that is %s is refused', async (_what, token) => {
    await expect(jwtVerifier({ secret: SECRET }).verify(token, context)).rejects.toMatchObject({
      code: 'token_invalid',
      message: 'the token is not a JSON Web Token that can be checked here',
    });
  });

  it('with a changed payload or another secret is refused', async () => {
    const [header, , signature] = (await sign(good())).split('.');
    const payload = Buffer.from(JSON.stringify({ ...good(), sub: 'bob' })).toString('base64url');
    for (const token of [`${header}.${payload}.${signature}`, await sign(good(), 'another secret')]) {
      await expect(jwtVerifier({ secret: SECRET }).verify(token, context)).rejects.toMatchObject({
        code: 'token_invalid',
        message: 'the signature of the token does not fit the key',
      });
    }
  });

  it.each(['secret', 'publicKey', 'jwksUrl'])('without a signature is refused with a %s', async (source) => {
    const key = {
      secret: { secret: SECRET },
      publicKey: { publicKey: generateKeyPairSync('ed25519').publicKey },
      jwksUrl: { jwksUrl: 'http://127.0.0.1:9/never-asked' },
    }[source];
    const token = new UnsecuredJWT(good()).encode();
    await expect(jwtVerifier(key as { secret: string }).verify(token, context)).rejects.toMatchObject({
      code: 'token_invalid',
      message: expect.stringMatching(/^the token's alg must be one of /),
    });
  });

  it('signed with the public key as if it were a secret is refused', async () => {
    const pem = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
    const token = await sign(good(), pem.toString());
    await expect(jwtVerifier({ publicKey: pem.toString() }).verify(token, context)).rejects.toMatchObject({
      code: 'token_invalid',
      message: expect.stringMatching(/^the token's alg must be one of RS256, /),
    });
  });

  it('is in no error, and neither are its claims', async () => {
    const verifier = jwtVerifier({ secret: SECRET, issuer: 'us', audience: 'api' });
    const base = { ...good(), iss: 'us', aud: 'api', email: 'ann@private.example' };
    const tokens = [
      await sign({ ...base, exp: epochSeconds(-1) }),
      await sign({ ...base, iss: 'private-issuer' }),
      await sign({ ...base, aud: 'private-audience' }),
      await sign({ ...base, nbf: epochSeconds(99) }),
      await sign({ ...base, sub: 7 as never }),
      await sign(base, 'another secret'),
      `${await sign(base)}x`,
      `${await sign(base)}.x.y`,
      signText('{"private'),
      signText('{}', '{"alg":"private-alg"}'),
    ];
    for (const token of tokens) {
      const error = await verifier.verify(token, context).catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(Error);
      const seen = inspect(error, { depth: 20, showHidden: true, maxStringLength: null });
      for (const part of [token, ...token.split('.').filter((text) => text.length > 8), 'private']) {
        expect(seen).not.toContain(part);
      }
    }
  });
});

describe('a token that was verified', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it('is remembered until it ends', async () => {
    const checked = vi.spyOn(crypto.subtle, 'verify');
    const verifier = jwtVerifier({ secret: SECRET });
    const token = await sign(good());
    const identity = await verifier.verify(token, context);
    expect(await verifier.verify(token, context)).toEqual(identity);
    expect(checked).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(MINUTE_MS);
    await expect(verifier.verify(token, context)).rejects.toMatchObject({ code: 'token_expired' });
  });

  it('is verified again after cacheMs, after a forget, and each time with a cacheMs of 0', async () => {
    const checked = vi.spyOn(crypto.subtle, 'verify');
    const token = await sign(good());
    const brief = jwtVerifier({ secret: SECRET, cacheMs: 1_000 });
    await brief.verify(token, context);
    vi.advanceTimersByTime(1_000);
    await brief.verify(token, context);
    expect(checked).toHaveBeenCalledTimes(2);
    brief.forget?.('bob');
    await brief.verify(token, context);
    expect(checked).toHaveBeenCalledTimes(2);
    brief.forget?.('ann');
    await brief.verify(token, context);
    expect(checked).toHaveBeenCalledTimes(3);
    const off = jwtVerifier({ secret: SECRET, cacheMs: 0 });
    await off.verify(token, context);
    await off.verify(token, context);
    expect(checked).toHaveBeenCalledTimes(5);
  });

  it('is not changed by whoever holds its identity', async () => {
    const verifier = jwtVerifier({ secret: SECRET });
    const token = await sign(good());
    const identity = await verifier.verify(token, context);
    Object.assign(identity, { userId: 'bob' });
    Object.assign(identity.claims!, { sub: 'bob' });
    expect(await verifier.verify(token, context)).toMatchObject({ userId: 'ann', claims: { sub: 'ann' } });
  });
});

describe('with the keys of an identity provider', () => {
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

  it('verifies with the key that the token names, also after a rotation', async () => {
    const verifier = jwtVerifier({ jwksUrl: provider.url, cacheMs: 0 });
    expect(await verifier.verify(await first.sign(), context)).toMatchObject({ userId: 'ann' });
    provider.keys = [first.jwk, second.jwk];
    vi.advanceTimersByTime(31_000);
    expect(await verifier.verify(await second.sign(), context)).toMatchObject({ userId: 'ann' });
  });

  it('refuses a token of an unknown key', async () => {
    const verifier = jwtVerifier({ jwksUrl: provider.url });
    await expect(verifier.verify(await second.sign(), context)).rejects.toMatchObject({
      code: 'token_invalid',
      message: 'the key (kid) of the token is unknown',
    });
  });

  it('refuses a token of another key under a known name', async () => {
    const impostor = await signingKey('first');
    await expect(jwtVerifier({ jwksUrl: provider.url }).verify(await impostor.sign(), context)).rejects.toMatchObject({
      code: 'token_invalid',
      message: 'the signature of the token does not fit the key',
    });
  });

  it('tries each key of its kind for a token that names none', async () => {
    provider.keys = [first.jwk, second.jwk];
    const verifier = jwtVerifier({ jwksUrl: provider.url });
    expect(await verifier.verify(await second.sign({}, {}), context)).toMatchObject({ userId: 'ann' });
    const stranger = await signingKey('third');
    await expect(verifier.verify(await stranger.sign({}, {}), context)).rejects.toMatchObject({
      code: 'token_invalid',
    });
    await expect(verifier.verify(await second.sign({ exp: 1 }, {}), context)).rejects.toMatchObject({
      code: 'token_expired',
    });
  });

  it('never takes a shared secret from a key set', async () => {
    provider.keys = [{ kty: 'oct', kid: 'first', k: Buffer.from(SECRET).toString('base64url') }];
    await expect(jwtVerifier({ jwksUrl: provider.url }).verify(await sign(good()), context)).rejects.toMatchObject({
      code: 'token_invalid',
    });
    expect(provider.asked).toBe(0);
  });

  it('cannot tell while the provider is down, and says so', async () => {
    provider.mood = 'failing';
    const verifier = jwtVerifier({ jwksUrl: provider.url });
    await expect(verifier.verify(await first.sign(), context)).rejects.toMatchObject({ code: 'verifier_unavailable' });
    provider.mood = 'well';
    vi.advanceTimersByTime(3_001);
    expect(await verifier.verify(await first.sign(), context)).toMatchObject({ userId: 'ann' });
  });

  it('goes on verifying for a day after the provider went down', async () => {
    const verifier = jwtVerifier({ jwksUrl: provider.url, cacheMs: 0 });
    await verifier.verify(await first.sign(), context);
    await provider.close();
    vi.advanceTimersByTime(23 * 60 * MINUTE_MS);
    expect(await verifier.verify(await first.sign(), context)).toMatchObject({ userId: 'ann' });
    const impostor = await signingKey('first');
    await expect(verifier.verify(await impostor.sign(), context)).rejects.toMatchObject({ code: 'token_invalid' });
  });
});
