// An identity provider for tests: publishes keys over HTTP on port 0, answers as it is told to, and counts the questions.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

/** What the provider does when it is asked for its keys. */
export type Mood = 'well' | 'failing' | 'redirecting' | 'hanging' | 'garbled' | 'empty' | 'not a set';

/** A key pair under a key id, and what signs with it. */
export interface SigningKey {
  readonly jwk: JWK;
  sign(claims?: JWTPayload, header?: { kid?: string }): Promise<string>;
}

/** Seconds since 1970, `fromNow` seconds away. */
export function epochSeconds(fromNow: number): number {
  return Math.floor(Date.now() / 1_000) + fromNow;
}

/** A key pair of the given algorithm. */
export async function signingKey(kid: string, alg = 'ES256'): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' },
    sign: (claims, header = { kid }) =>
      new SignJWT({ sub: 'ann', exp: epochSeconds(3_600), ...claims })
        .setProtectedHeader({ alg, ...header })
        .sign(privateKey),
  };
}

/** Starts a provider on a free port. */
export async function identityProvider(keys: JWK[]) {
  const provider = { keys, mood: 'well' as Mood, asked: 0, url: new URL('http://127.0.0.1/'), close };
  const server = createServer((_request, response) => {
    provider.asked += 1;
    switch (provider.mood) {
      case 'failing':
        return response.writeHead(500).end('<h1>sorry</h1>');
      case 'redirecting':
        return response.writeHead(302, { location: '/elsewhere' }).end();
      case 'hanging':
        return;
      case 'garbled':
        return response.end('<html>');
      case 'empty':
        return response.end('{"keys":[]}');
      case 'not a set':
        return response.end('{"keys":"none"}');
      case 'well':
        return response.end(JSON.stringify({ keys: provider.keys }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  provider.url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks?api_key=hidden`);
  return provider;

  function close(): Promise<void> {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  }
}
