// usercast as a host mounts it: the built package, a JWT on every handshake, the memory broker with its history,
// counters and deduplication, plain sessions.

import { createServer } from 'node:http';
import { createUsercast, jwtVerifier } from '../../dist/src/index.js';

export function start({ quiet, keys }) {
  const server = createServer();
  const usercast = createUsercast({
    verifier: jwtVerifier({
      ...(keys.secret
        ? { secret: keys.secret, algorithms: ['HS256'] }
        : { publicKey: keys.publicKey, algorithms: ['RS256'] }),
      issuer: keys.issuer,
      audience: keys.audience,
    }),
    ...(quiet ? { heartbeat: { intervalMs: 3_600_000, pingMs: 3_600_000 } } : {}),
  });
  usercast.on('error', (error) => {
    throw new Error(`usercast: ${error.stage}`, { cause: error.cause });
  });
  usercast.attach(server);

  return { server, publish: (userIds, event) => usercast.publishEvent(userIds, event) };
}
