// usercast as a host mounts it: the built package, a JWT on every handshake, a broker with its history, counters and
// deduplication: the one in memory, or one between processes. Its clients choose between plain sessions and `usercast.v1`.

import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { createUsercast, jwtVerifier, memoryBroker } from '../../dist/src/index.js';

/** The brokers between processes, loaded where they are used: each needs its client. */
export const BROKERS = {
  async redis(url) {
    const { redisBroker } = await import('../../dist/adapters/redis/index.js');
    return { broker: redisBroker({ url }) };
  },

  async nats(servers) {
    const { natsBroker, natsCounters } = await import('../../dist/adapters/nats/index.js');
    return { broker: natsBroker({ servers }), counters: natsCounters({ servers }) };
  },
};

/** Whether `dist/` has this broker. */
export const isBuilt = (broker) => existsSync(new URL(`../../dist/adapters/${broker}/index.js`, import.meta.url));

export async function start({ quiet, keys, historyMessages, between, brokerUrl }) {
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
    ...(between ? await BROKERS[between](brokerUrl) : {}),
    ...(quiet ? { heartbeat: { intervalMs: 3_600_000, pingMs: 3_600_000 } } : {}),
  });
  usercast.on('error', (error) => {
    throw new Error(`usercast: ${error.stage}`, { cause: error.cause });
  });
  usercast.attach(server);

  return { server, publish: (userIds, event) => usercast.publishEvent(userIds, event) };
}
