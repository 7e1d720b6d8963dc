// The public entry of `usercast/redis`.

export { type RedisBroker, redisBroker } from './redis-broker.ts';
export type { RedisClient } from './redis-client.ts';
export { type RedisCounterOptions, redisCounters } from './redis-counters.ts';
export type { RedisBrokerOptions, RedisConnectionOptions } from './redis-options.ts';
