// What hosts have compiles as `client`: `npm run typecheck` is what fails here.

import type { Cluster, Redis } from 'ioredis';
import type { createClient, createClientPool, createCluster, RedisClientType, RedisClusterType } from 'redis';
import { describe, expectTypeOf, it } from 'vitest';
import type { RedisClient } from '../../adapters/redis/redis-client.ts';

describe('the client of a host', () => {
  it('may be of node-redis, whatever it speaks', () => {
    expectTypeOf<ReturnType<typeof createClient>>().toExtend<RedisClient>();
    expectTypeOf<RedisClientType>().toExtend<RedisClient>();
    expectTypeOf<
      RedisClientType<Record<string, never>, Record<string, never>, Record<string, never>, 2>
    >().toExtend<RedisClient>();
    expectTypeOf<ReturnType<typeof createCluster>>().toExtend<RedisClient>();
    expectTypeOf<RedisClusterType>().toExtend<RedisClient>();
  });

  it('may be of ioredis', () => {
    expectTypeOf<Redis>().toExtend<RedisClient>();
    expectTypeOf<Cluster>().toExtend<RedisClient>();
  });

  it('may not be something else', () => {
    expectTypeOf<string>().not.toExtend<RedisClient>();
    expectTypeOf<{ url: string }>().not.toExtend<RedisClient>();
    expectTypeOf<NodeJS.EventEmitter>().not.toExtend<RedisClient>();
    expectTypeOf<ReturnType<typeof createClientPool>>().not.toExtend<RedisClient>();
  });
});
