import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type RedisBroker, redisBroker } from '../../../adapters/redis/index.ts';
import { brokerSuite } from '../../../src/testing/index.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';

const DEDUPLICATION_MS = 300;
let redis: RedisServer;
/** Each test has a prefix of its own; its peers and successors share it. */
const prefixes = new WeakMap<RedisBroker, string>();

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

function open(prefix: string): RedisBroker {
  const broker = redisBroker({ url: redis.url, prefix, deduplicationMs: DEDUPLICATION_MS });
  prefixes.set(broker, prefix);
  return broker;
}
const again = (broker: RedisBroker): RedisBroker => open(prefixes.get(broker)!);

brokerSuite(
  { describe, it },
  {
    name: 'redisBroker',
    create: () => open(randomUUID()),
    capabilities: {
      counters: true,
      dense: true,
      historyMessages: 100,
      peer: again,
      reopen: again,
      clock: {
        deduplicationMs: DEDUPLICATION_MS,
        advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      },
    },
  },
);
