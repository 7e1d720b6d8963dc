// What `jwtVerifier` takes as its options, and what it refuses.

import { createPublicKey, createSecretKey, generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto';
import { exportJWK, exportSPKI, type JWK, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { type JwtVerifierOptions, jwtVerifier } from '../../src/auth/jwt-verifier.ts';
import { epochSeconds } from './identity-provider.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const shortRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const pss = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
const ed25519 = generateKeyPairSync('ed25519');
const x25519 = generateKeyPairSync('x25519');

const context = {
  userId: 'ann',
  transport: 'websocket',
  address: '::1',
  signal: new AbortController().signal,
} as const;

function token(alg: string, key: KeyObject | webcrypto.CryptoKey | Uint8Array): Promise<string> {
  return new SignJWT({ sub: 'ann', exp: epochSeconds(60) }).setProtectedHeader({ alg }).sign(key as KeyObject);
}

function spki(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** What is wrong with options that the types would not let through. */
function complaint(options: unknown): string {
  try {
    jwtVerifier(options as JwtVerifierOptions);
  } catch (cause) {
    expect(cause).toBeInstanceOf(TypeError);
    return (cause as TypeError).message;
  }
  return 'none';
}

describe('a public key', () => {
  it.each([
    ['RS256', rsa],
    ['RS384', rsa],
    ['RS512', rsa],
    ['PS256', rsa],
    ['PS384', rsa],
    ['PS512', rsa],
    ['ES256', p256],
    ['ES384', p384],
    ['ES512', p521],
    ['EdDSA', ed25519],
    ['Ed25519', ed25519],
  ])('verifies %s as PEM, as JSON Web Key and as KeyObject', async (alg, { publicKey, privateKey }) => {
    const signed = await token(alg, privateKey);
    for (const form of [spki(publicKey), await exportJWK(publicKey), publicKey]) {
      expect(await jwtVerifier({ publicKey: form }).verify(signed, context)).toMatchObject({ userId: 'ann' });
    }
  });

  it.each([
    [
      'RS256',
      { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
    ],
    ['PS384', { name: 'RSA-PSS', hash: 'SHA-384', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }],
    ['ES256', { name: 'ECDSA', namedCurve: 'P-256' }],
    ['EdDSA', { name: 'Ed25519' }],
  ])('verifies %s as CryptoKey, and allows what the key is made for', async (alg, algorithm) => {
    const pair = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const verifier = jwtVerifier({ publicKey: pair.publicKey });
    expect(await verifier.verify(await token(alg, pair.privateKey), context)).toMatchObject({ userId: 'ann' });
    expect(complaint({ publicKey: pair.publicKey, algorithms: ['RS512'] })).toMatch(
      /^algorithms: "RS512" does not fit/,
    );
  });

  it('may come in an X.509 certificate', () => {
    expect(complaint({ publicKey: CERTIFICATE })).toBe('none');
    expect(createPublicKey(CERTIFICATE).asymmetricKeyType).toBe('rsa');
  });

  it('is held to the algorithm that its JSON Web Key names', async () => {
    const jwk: JWK = { ...(await exportJWK(rsa.publicKey)), alg: 'PS256' };
    const verifier = jwtVerifier({ publicKey: jwk });
    expect(await verifier.verify(await token('PS256', rsa.privateKey), context)).toMatchObject({ userId: 'ann' });
    await expect(verifier.verify(await token('RS256', rsa.privateKey), context)).rejects.toMatchObject({
      code: 'token_invalid',
    });
  });

  it('is refused when it is private', async () => {
    const pem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const jwk = await exportJWK(rsa.privateKey);
    const pair = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    for (const publicKey of [pem, jwk, rsa.privateKey, pair.privateKey]) {
      const message = complaint({ publicKey });
      expect(message).toMatch(/^publicKey must be a public key, not a private one$/);
    }
    expect(complaint({ publicKey: createSecretKey(Buffer.from('hush')) })).toMatch(/not a secret one$/);
  });

  it.each([
    ['short', shortRsa.publicKey],
    ['of another curve', secp256k1.publicKey],
    ['not for signatures', x25519.publicKey],
    ['of a kind that jose does not take', pss.publicKey],
  ])('is refused when it is %s', (_why, publicKey) => {
    expect(complaint({ publicKey })).toMatch(/^publicKey must be an RSA key of at least 2048 bits, P-256/);
  });

  it('is refused as a CryptoKey that does not verify', async () => {
    const usage = { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
    const oaep = await webcrypto.subtle.generateKey(usage, true, ['encrypt', 'decrypt']);
    expect(complaint({ publicKey: oaep.publicKey })).toMatch(/^publicKey must be an RSA key/);
    const short = await webcrypto.subtle.generateKey({ ...usage, name: 'RSA-PSS', modulusLength: 1024 }, true, [
      'sign',
      'verify',
    ]);
    expect(complaint({ publicKey: short.publicKey })).toMatch(/^publicKey must be an RSA key/);
  });

  it.each([['ssh-rsa AAAA'], [''], [42], [null], [{ kty: 'RSA' }], [{ kty: 'oct', k: 'aHVzaA' }], [{}]])(
    'is refused when it cannot be read: %j',
    (publicKey) => {
      expect(complaint({ publicKey })).toMatch(/^publicKey must be PEM text, a JSON Web Key/);
    },
  );
});

describe('a secret', () => {
  it.each(['HS256', 'HS384', 'HS512'])('verifies %s, as text and as bytes', async (alg) => {
    const signed = await token(alg, Buffer.from('höchst geheim'));
    for (const secret of ['höchst geheim', new TextEncoder().encode('höchst geheim')]) {
      const verifier = jwtVerifier({ secret, algorithms: [alg] });
      expect(await verifier.verify(signed, context)).toMatchObject({ userId: 'ann' });
    }
  });

  it('allows HS256 alone by default', async () => {
    await expect(
      jwtVerifier({ secret: 'hush' }).verify(await token('HS512', Buffer.from('hush')), context),
    ).rejects.toThrow("the token's alg must be one of HS256");
  });

  it('is refused when it is a public key', async () => {
    const message = complaint({ secret: await exportSPKI(rsa.publicKey) });
    expect(message).toBe('secret is a PEM key: pass it as publicKey');
    expect(complaint({ secret: Buffer.from(spki(rsa.publicKey)) })).toBe(message);
  });

  it.each([[''], [new Uint8Array()], [null], [12345], [{ k: 'hush' }]])(
    'is refused, unseen, when it is %j',
    (secret) => {
      expect(complaint({ secret })).toBe('secret must be a non-empty string or Uint8Array');
    },
  );
});

describe('algorithms', () => {
  it.each([
    [{ secret: 'hush' }, 'RS256'],
    [{ secret: 'hush' }, 'none'],
    [{ publicKey: spki(rsa.publicKey) }, 'HS256'],
    [{ publicKey: spki(rsa.publicKey) }, 'none'],
    [{ publicKey: spki(p256.publicKey) }, 'ES384'],
    [{ publicKey: spki(ed25519.publicKey) }, 'RS256'],
    [{ jwksUrl: 'https://idp.example/jwks' }, 'HS256'],
    [{ jwksUrl: 'https://idp.example/jwks' }, 'none'],
    [{ jwksUrl: 'https://idp.example/jwks' }, 7],
  ])('that do not fit the key are refused: %j with %s', (source, alg) => {
    expect(complaint({ ...source, algorithms: [alg] })).toMatch(
      new RegExp(`^algorithms: "?${alg}"? does not fit the key; `),
    );
  });

  it.each([[[]], ['HS256'], [null]])('must be a list: %j', (algorithms) => {
    expect(complaint({ secret: 'hush', algorithms })).toMatch(/^algorithms must be a list of at least one name, got /);
  });
});

describe('the URL of a key set', () => {
  it.each(['https://idp.example/jwks', 'http://localhost:1/k', 'http://127.0.0.1/k', 'http://[::1]:8080/k'])(
    'may be %s, as text or URL',
    (url) => {
      expect(complaint({ jwksUrl: url })).toBe('none');
      expect(complaint({ jwksUrl: new URL(url) })).toBe('none');
    },
  );

  it.each(['http://idp.example/jwks?key=hidden', 'file:///etc/keys', 'ftp://localhost/'])('may not be %s', (url) => {
    const message = complaint({ jwksUrl: url });
    expect(message).toMatch(
      /^jwksUrl must begin with https: \(http: only for localhost, 127\.0\.0\.1 and \[::1\]\), got /,
    );
    expect(message).not.toContain('hidden');
  });

  it.each([['/jwks'], [''], [7], [null]])('must be a URL: %j', (jwksUrl) => {
    expect(complaint({ jwksUrl })).toMatch(/^jwksUrl must be a URL, got /);
  });

  it('may not hold credentials', () => {
    expect(complaint({ jwksUrl: 'https://me:hush@idp.example/' })).toBe(
      'jwksUrl must not hold a user name or password',
    );
  });
});

describe('the options', () => {
  it('name exactly one key source', () => {
    expect(complaint({})).toBe('give exactly one of secret, publicKey, jwksUrl: none was given');
    expect(complaint({ secret: 'hush', jwksUrl: 'https://idp.example/' })).toBe(
      'give exactly one of secret, publicKey, jwksUrl: secret and jwksUrl was given',
    );
    expect(complaint({ secret: 'hush', publicKey: undefined })).toBe('none');
  });

  it('are an object of known names', () => {
    expect(complaint(undefined)).toMatch(/^jwtVerifier must be an object/);
    expect(complaint({ secret: 'hush', audiences: ['us'] })).toMatch(/^jwtVerifier has no option "audiences"/);
  });

  it.each([
    ['cacheMs', -1],
    ['cacheMs', Number.NaN],
    ['cacheMs', '5'],
    ['clockToleranceSeconds', Number.POSITIVE_INFINITY],
    ['clockToleranceSeconds', -0.5],
  ])('%s may not be %s', (name, value) => {
    expect(complaint({ secret: 'hush', [name]: value })).toMatch(
      new RegExp(`^${name} must be a finite number of at least 0, got `),
    );
  });

  it.each([
    ['issuer', ''],
    ['issuer', []],
    ['audience', [7]],
    ['audience', ['us', '']],
    ['audience', null],
  ])('%s may not be %j', (name, value) => {
    expect(complaint({ secret: 'hush', [name]: value })).toMatch(
      new RegExp(`^${name} must be a non-empty string or a list`),
    );
  });

  it.each([[''], [null], [7]])('userIdClaim may not be %j', (userIdClaim) => {
    expect(complaint({ secret: 'hush', userIdClaim })).toMatch(/^userIdClaim must be a non-empty string, got /);
  });
});

/** Self-signed, for the name usercast-test; its private key is kept nowhere. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIDEzCCAfugAwIBAgIUFFI74MQeIv0sEK4e9ErdyWIJsUkwDQYJKoZIhvcNAQEL
BQAwGDEWMBQGA1UEAwwNdXNlcmNhc3QtdGVzdDAgFw0yNjExMjIxMDIyNDVaGA8y
MTI2MTAyOTEwMjI0NVowGDEWMBQGA1UEAwwNdXNlcmNhc3QtdGVzdDCCASIwDQYJ
KoZIhvcNAQEBBQADggEPADCCAQoCggEBAKp8vOIkD+80r02ZyVPE6f3J623TStfI
u/kNo5XKqVrPcoLcIrZjHaFFcI+qA65eblSYKC2p9sU752GiinmA+LSnLvVwJT/l
riWCJ03kEi4LhKIfGcGn04Xk1+q3H7REpLfe4eWymb3j47zvJSeqoKDz50QSm+QM
QCTimjoTfXpG5uraRHoYuil4RyyTVtaU9LKzPbV16oroKpiqMlP3pSMCmhuuFHqI
jmYoB5YTihfEMVRCEu/E4+gfKk2RaPhv2YWM6vcxUTS4BUrYy18YU8+Gd4oLDvw1
wDtdXKQrjP3Zh614A12Z4YYWeXCl4PL+XNb1C3XTsKsdNddjtB6bwhECAwEAAaNT
MFEwHQYDVR0OBBYEFHUQYogj+5GMJ2Hs0obsfhKjykZTMB8GA1UdIwQYMBaAFHUQ
Yogj+5GMJ2Hs0obsfhKjykZTMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEL
BQADggEBAA0G4EfcT20xWDK15lSkMk35VPPD3gqILlfv/pzpLWUCTl+AvdU+GlzF
a2AHpCtFO9SUF4ae0SN9Uw29rB5VPZGQdZQuRgUsXbFhPRp5V3kSLtF2+fu1FUj+
HTs8CBP5xfPLFkKYanDmGTDIfPIINGN3uTqQHaqWcKe6uEGVTwtHV0Ro7Qoaxz8+
utPrdFrpWd2xLsxOXCesWzgz9TwAmpBNhQ3e412SBw/WHOyeQo18BTHBd7niyOu1
2NNqMZ0kwyzF3qSawQnuUezQ7MsSdRa0HuaA7uneTtcZN1IbAQUbGAaFBNm6rIZT
nT0AIrtfl+CQcDEAnAoQ1FaRSNNINqo=
-----END CERTIFICATE-----
`;
