// Who carries the connections of a link: found out by what the host gave.

import { IoRedisClusterDriver, IoRedisDriver } from './ioredis.ts';
import { NodeRedisClusterDriver, NodeRedisDriver, UrlDriver } from './node-redis.ts';
import { NodeRedisSentinelDriver } from './node-redis-sentinel.ts';
import { knownClient } from './redis-client.ts';
import type { RedisConnectionSource } from './redis-link.ts';
import type { RedisDriver } from './redis-wire.ts';

/**
 * By the library of the client, or node-redis for a URL.
 * @throws TypeError when `url` or `client` is none that can be used; it says what to pass, and shows no URL.
 */
export function driverOf(source: RedisConnectionSource): RedisDriver {
  if ('url' in source) return urlDriver(source.url);
  const known = knownClient(source.client);
  switch (known.kind) {
    case 'node-redis':
      return new NodeRedisDriver(known.client, known.client.options?.database ?? 0);
    case 'node-redis-cluster':
      return new NodeRedisClusterDriver(known.client);
    case 'node-redis-sentinel':
      return new NodeRedisSentinelDriver(known.client);
    case 'ioredis':
      return new IoRedisDriver(known.client);
    case 'ioredis-cluster':
      return new IoRedisClusterDriver(known.client);
  }
}

function urlDriver(url: string | readonly string[]): RedisDriver {
  const isCluster = Array.isArray(url);
  const texts = (isCluster ? url : [url]) as readonly unknown[];
  // A URL may hold a password, so no message may hold the URL.
  const rule = 'a URL such as redis://user:password@host:6379/0, or rediss:// for TLS; an array of them for a cluster';
  const urls = texts.map((text) => (typeof text === 'string' && URL.canParse(text) ? new URL(text) : null));
  const isGood = (parsed: URL | null) =>
    parsed !== null && /^rediss?:$/.test(parsed.protocol) && parsed.hostname !== '' && isDecodable(parsed);
  if (urls.length === 0 || !urls.every(isGood)) throw new TypeError(`url must be ${rule}`);
  if (!isCluster && !/^\/?\d*$/.test(urls[0]!.pathname))
    throw new TypeError('the path of url must be a database number');
  return new UrlDriver(urls as URL[], isCluster);
}

/** The password and the user name are given to Redis percent-decoded. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}
