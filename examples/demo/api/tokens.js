// Short-lived access tokens, signed with a secret that lives as long as the process, or is shared by several. A real API
// takes them from its identity provider; the demo is its own, and signs anyone in without a password.

import { randomBytes } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import { Refused } from './refused.js';

const issuer = 'usercast-demo';
const audience = 'usercast-demo';

const { TOKEN_SECRET = randomBytes(32).toString('base64url') } = process.env;

/** What both the API and usercast check a token against. */
export const tokenRules = { secret: new TextEncoder().encode(TOKEN_SECRET), issuer, audience, algorithms: ['HS256'] };

const lifetimeSeconds = Number(process.env.TOKEN_SECONDS ?? 300);

export async function issueToken(personId) {
  const token = await new SignJWT()
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(personId)
    .setIssuer(issuer)
    .setAudience(audience)
    .setJti(crypto.randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${lifetimeSeconds}s`)
    .sign(tokenRules.secret);
  return { token, expires_in: lifetimeSeconds };
}

/** The id of the person who sends this `Authorization` header. */
export async function personIdOf(authorization = '') {
  try {
    const { payload } = await jwtVerify(authorization.replace(/^Bearer /, ''), tokenRules.secret, tokenRules);
    return payload.sub;
  } catch {
    throw new Refused(401, 'Sign in again.');
  }
}
