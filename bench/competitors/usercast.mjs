// usercast as a host mounts it: the built package, a JWT on every handshake, the memory broker with its history,
// counters and deduplication. Its clients choose between plain sessions and `usercast.v1`.

import { createServer } from 'node:http';
import { createUsercast, jwtVerifier, memoryBroker } from '../../dist/src/index.js';

export function start({ quiet, keys, historyMessages }) {
  const server = createServer();
  const usercast = createUsercast({
    verifier: jwtVerifier({
      ...(keys.secret
        ? { secret: keys.secret, algorithms: ['HS256'] }
        : { publicKey: keys.publicKey, algorithms: ['RS256'] }),
      issuer: keys.issuer,
      audience: keys.audience,
    }),
    ...(historyMessages ? { broker: memoryBroker({ history: { messages: historyMessages } }) } : {}),
    ...(quiet ? { heartbeat: { intervalMs: 3_600_000, pingMs: 3_600_000 } } : {}),
  });
  usercast.on('error', (error) => {
    throw new Error(`usercast: ${error.stage}`, { cause: error.cause });
  });
  usercast.attach(server);

  return { server, publish: (userIds, event) => usercast.publishEvent(userIds, event) };
}
