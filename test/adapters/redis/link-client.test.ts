// What is given as `client` or `url`: the host's own is left alone, and what cannot be used is refused in words.

import { EventEmitter } from 'node:events';
import { Cluster, Redis } from 'ioredis';
import { createClient, createClientPool, createCluster, createSentinel } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openRedisLink, type RedisLinkOptions } from '../../../adapters/redis/redis-link.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { LinkBench, outcome } from './link-bench.ts';

let server: RedisServer;
let cluster: RedisCluster;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  [server, cluster] = await Promise.all([startRedis(), startRedisCluster()]);
}, 40_000);
afterAll(() => Promise.all([server.close(), cluster.close()]));
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function open(connection: RedisLinkOptions['connection'], deadlineMs = 4_000): LinkBench {
  const bench = new LinkBench(connection, { deadlineMs });
  ends.push(() => bench.link.close());
  return bench;
}

const options = (connection: unknown): RedisLinkOptions => ({
  connection: connection as RedisLinkOptions['connection'],
  deadlineMs: 1_000,
  probeMs: 1_000,
  probes: () => [],
});

describe('the client of the host', () => {
  /** Last commands of the connections that carry the name. */
  async function lastCommands(node: RedisServer): Promise<string[]> {
    const lines = (await node.cli('CLIENT', 'LIST')).split('\n').filter((line) => line.includes(' name=hosts-own '));
    return lines.map((line) => / cmd=(\S+)/.exec(line)?.[1] ?? '');
  }

  async function used(bench: LinkBench): Promise<void> {
    await bench.link.subscribe('{a}channel');
    await bench.increment('{a}key');
    await bench.hears('{a}channel');
    await bench.link.close();
  }

  it('of node-redis is neither used nor closed', async () => {
    const client = createClient({ url: server.url });
    await client.connect();
    ends.push(() => client.destroy());
    await client.sendCommand(['CLIENT', 'SETNAME', 'hosts-own']);
    await used(open({ client }));
    expect(await lastCommands(server)).toEqual(['client|setname']);
    expect([client.isOpen, await client.ping()]).toEqual([true, 'PONG']);
  });

  it('of ioredis is neither used nor closed', async () => {
    const client = new Redis(server.url);
    ends.push(() => client.disconnect());
    await client.call('CLIENT', 'SETNAME', 'hosts-own');
    await used(open({ client }));
    expect(await lastCommands(server)).toEqual(['client|setname']);
    expect([client.status, await client.ping()]).toEqual(['ready', 'PONG']);
  });

  it('of a cluster is neither used nor closed', async () => {
    const ours = createCluster({ rootNodes: [{ url: cluster.urls[0]! }] });
    await ours.connect();
    ends.push(() => ours.destroy());
    const theirs = new Cluster([cluster.urls[0]!]);
    ends.push(() => theirs.disconnect());
    await theirs.set('{a}there', '1');
    for (const client of [ours, theirs]) {
      await used(open({ client }));
      expect(await client.get('{a}there')).toBe('1');
    }
  });

  it('may have options that would change what we send and get', async () => {
    const clients = [
      createClient({ url: server.url, RESP: 2, keyPrefix: 'host:', commandsQueueMaxLength: 1, pingInterval: 10 }),
      createClient({
        url: server.url,
        disableOfflineQueue: true,
        clientSideCache: { ttl: 0, maxEntries: 10, evictPolicy: 'LRU' },
      }),
      new Redis(server.url, { lazyConnect: true, keyPrefix: 'host:', enableAutoPipelining: true, stringNumbers: true }),
      new Redis(server.url, { lazyConnect: true, readOnly: true, commandTimeout: 1, retryStrategy: () => 1 }),
    ];
    for (const client of clients) {
      await server.cli('FLUSHALL');
      const bench = open({ client });
      await bench.link.subscribe('{a}channel');
      expect(await Promise.all([bench.increment('{a}key'), bench.increment('{a}key')])).toEqual([1, 2]);
      await bench.hears('{a}channel');
      expect(await server.cli('GET', '{a}key')).toBe('2');
    }
  });

  it('gives its password and user on', async () => {
    const own = await startRedis();
    ends.push(() => own.close());
    await own.cli('ACL', 'SETUSER', 'app', 'on', '>pass', '~*', '&*', '+@all');
    await own.cli('ACL', 'SETUSER', 'default', 'off');
    const url = `redis://app:pass@127.0.0.1:${own.port}`;
    const ways: RedisLinkOptions['connection'][] = [
      { url },
      { client: createClient({ url }) },
      { client: createClient({ username: 'app', password: 'pass', socket: { port: own.port } }) },
      { client: new Redis(url, { lazyConnect: true }) },
    ];
    for (const way of ways) await used(open(way));
  });

  it('of a cluster gives its password and its map of addresses on', async () => {
    const secured = await startRedisCluster();
    ends.push(() => secured.close());
    const proxies: TcpProxy[] = [];
    const there: Record<string, { host: string; port: number }> = {};
    for (const node of secured.nodes) {
      const proxy = await new TcpProxy(node.port).start();
      ends.push(() => proxy.stop());
      proxies.push(proxy);
      there[`127.0.0.1:${node.port}`] = { host: 'localhost', port: proxy.port };
      await node.cli('CONFIG', 'SET', 'requirepass', 'pass');
    }
    const [first] = secured.nodes;
    const ways: RedisLinkOptions['connection'][] = [
      { url: secured.nodes.map(({ port }) => `redis://:pass@127.0.0.1:${port}`) },
      {
        client: createCluster({
          rootNodes: [{ url: first!.url }],
          defaults: { password: 'pass' },
          nodeAddressMap: there,
        }),
      },
      {
        client: new Cluster([first!.url], { lazyConnect: true, redisOptions: { password: 'pass' }, natMap: there }),
      },
    ];
    for (const way of ways) {
      const bench = open(way);
      const before = proxies.map(({ accepted }) => accepted);
      await Promise.all(['{a}', '{b}', '{c}', '{d}'].map((tag) => bench.increment(tag)));
      await used(bench);
      const isMapped = proxies.map(({ accepted }, i) => accepted > before[i]!);
      expect(isMapped).toEqual(proxies.map(() => 'client' in way));
    }
  }, 30_000);
});

describe('what cannot be used', () => {
  const pool = createClientPool({ url: 'redis://127.0.0.1:1' });
  /** As it was before 6. */
  const sentinel = new Proxy(createSentinel({ name: 'primary', sentinelRootNodes: [] }), {
    get: (target, name) => (name === 'duplicate' ? undefined : Reflect.get(target, name)),
  });
  it.each([
    ['nothing', undefined, /client must be .* got undefined/],
    ['an address', 'redis://:s3cret@localhost', /give an address as url/],
    ['an object', { host: 'localhost' }, /got another object/],
    ['an emitter', new EventEmitter(), /client must be/],
    ['a pool', pool, /client must be/],
    ['a sentinel of redis 5', sentinel, /a sentinel of redis before 6: pass ioredis' with sentinels/],
    ['a pipeline', new Redis({ lazyConnect: true }).pipeline(), /client must be/],
  ])('is refused as client: %s', (_, client, message) => {
    expect(() => openRedisLink(options({ client }))).toThrow(TypeError);
    expect(() => openRedisLink(options({ client }))).toThrow(message);
    expect(() => openRedisLink(options({ client }))).not.toThrow(/s3cret/);
  });

  it.each([
    ['no url', 'localhost:6379:s3cret'],
    ['another scheme', 'http://:s3cret@localhost'],
    ['no text', { host: 's3cret' }],
    ['no urls', []],
    ['one bad url among good ones', ['redis://localhost', 'rediss:s3cret@']],
    ['a database that is no number', 'redis://:s3cret@localhost/main'],
  ])('is refused as url, without being shown: %s', (_, url) => {
    expect(() => openRedisLink(options({ url }))).toThrow(TypeError);
    expect(() => openRedisLink(options({ url }))).toThrow(/url/);
    expect(() => openRedisLink(options({ url }))).not.toThrow(/s3cret/);
  });

  it('is told when one server is a part of a cluster', async () => {
    const bench = open({ url: cluster.urls[0]! });
    const calls = await Promise.allSettled(['{a}', '{b}', '{c}'].map((tag) => bench.increment(tag)));
    const failed = calls.find((call) => call.status === 'rejected') as PromiseRejectedResult;
    expect(failed.reason).toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringContaining('array of urls'),
    });
  });

  it('fails every call when the package is missing, and says how to get it', async () => {
    vi.resetModules();
    vi.doMock('redis', () => {
      throw new Error('Cannot find package');
    });
    try {
      const { openRedisLink: openAnew } = await import('../../../adapters/redis/redis-link.ts');
      const link = openAnew({ ...options({ url: server.url }), onMessage: () => {} });
      ends.push(() => link.close());
      const early = link.command('x', 'PING');
      await expect(early).rejects.toMatchObject({
        code: 'broker_unavailable',
        message: expect.stringContaining('npm install redis'),
      });
      await expect(link.ready()).rejects.toThrow('npm install redis');
      await expect(link.subscribe('x')).rejects.toThrow('npm install redis');
    } finally {
      vi.doUnmock('redis');
      vi.resetModules();
    }
  });

  it('settles everything when it is closed while it connects', async () => {
    const bench = open({ url: server.url });
    const calls = [bench.increment('x'), bench.link.subscribe('x'), bench.link.ready()].map(outcome);
    await bench.link.close();
    expect(await Promise.all(calls)).toEqual(['closed', 'closed', 'closed']);
  });
});
