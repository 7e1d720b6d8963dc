// usercast as a host mounts it: the built package, a JWT on every handshake, a broker with its history, counters and
// deduplication: the one in memory, or one between processes. Its clients choose between plain sessions and `usercast.v1`.

import { createServer } from 'node:http';
import { createUsercast, jwtVerifier, memoryBroker } from '../../dist/src/index.js';

/** The broker between processes, loaded where it is used: it needs its client. */
export async function redisBroker(url) {
  const redis = await import('../../dist/adapters/redis/index.js');
  return redis.redisBroker({ url });
}

export async function start({ quiet, keys, historyMessages, brokerUrl }) {
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
    ...(brokerUrl ? { broker: await redisBroker(brokerUrl) } : {}),
    ...(quiet ? { heartbeat: { intervalMs: 3_600_000, pingMs: 3_600_000 } } : {}),
  });
  usercast.on('error', (error) => {
    throw new Error(`usercast: ${error.stage}`, { cause: error.cause });
  });
  usercast.attach(server);

  return { server, publish: (userIds, event) => usercast.publishEvent(userIds, event) };
}
