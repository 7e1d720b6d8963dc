// The broker that the processes share: all that makes one process of the demo one of many.

/** For `createUsercast`, by the server that the starter names: `NATS_URL`, or else `REDIS_URL`. */
export async function sharedBroker({ NATS_URL, REDIS_URL } = process.env) {
  if (!NATS_URL) {
    const { redisBroker } = await import('usercast/redis');
    // It has counters of its own.
    return { broker: redisBroker({ url: REDIS_URL, prefix: 'usercast-cluster' }) };
  }
  const { natsBroker, natsCounters } = await import('usercast/nats');
  return { broker: natsBroker({ servers: NATS_URL }), counters: natsCounters({ servers: NATS_URL }) };
}
