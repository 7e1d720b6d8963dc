// What the server will not have: passwords, users without a right, and writes to a replica. It is said at once, with what to
// change, and without what was secret.

import { inspect } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { redisBroker } from '../../../adapters/redis/index.ts';
import type { RedisClient } from '../../../adapters/redis/redis-client.ts';
import type { RedisLinkOptions } from '../../../adapters/redis/redis-link.ts';
import type { Broker } from '../../../src/index.ts';
import { BrokerBench, messageTo } from '../../../src/testing/broker-bench.ts';
import { eventually } from '../../support/raw-client.ts';
import { type RedisServer, startRedis, startRedisReplica } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { CLIENTS, LinkBench, outcome } from './link-bench.ts';

type Connection = RedisLinkOptions['connection'];

/** By credentials: `user:password@`, or none. */
type Way = (credentials: string) => Connection;

const SECRET = 's3cret-password';
/** Longer than a test may take: nothing of this waits for it. */
const DEADLINE_MS = 60_000;
/** All that the README says to allow. */
const ALLOWED =
  '-@all +@read +@write +@pubsub +@scripting +@connection +time +cluster|slots -@dangerous ~{usercast* &{usercast*';

let server: RedisServer;
let cluster: RedisCluster;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  [server, cluster] = await Promise.all([startRedis(), startRedisCluster()]);
  for (const node of [server, ...cluster.nodes]) {
    const user = (name: string, rules: string) => node.cli('ACL', 'SETUSER', name, 'on', '>right', ...rules.split(' '));
    await user('all', '+@all ~* &*');
    await user('mute', '+@all -eval -evalsha ~* &*');
    await user('idle', '+@all -ping ~* &*');
    await user('deaf', '+@all ~* resetchannels');
    await user('keyless', '+@all ~other &*');
    await user('app', ALLOWED);
    await user('strict', `${ALLOWED} +info`);
    await node.cli('CONFIG', 'SET', 'masteruser', 'all');
    await node.cli('CONFIG', 'SET', 'masterauth', 'right');
  }
}, 60_000);
afterAll(() => Promise.all([server.close(), cluster.close()]));
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function open(connection: Connection, deadlineMs = DEADLINE_MS): LinkBench {
  const bench = new LinkBench(connection, { deadlineMs });
  ends.push(() => bench.link.close());
  return bench;
}

function brokerOn(connection: Connection): Broker {
  const broker = redisBroker({ ...connection, deadlineMs: 10_000 });
  ends.push(() => broker.close());
  return broker;
}

const parts = (credentials: string) => {
  const [username = '', password = ''] = credentials.replace('@', '').split(':');
  return { ...(username && { username }), ...(password && { password }) };
};

const SINGLE: Record<string, Way> = {
  'a url': (credentials) => ({ url: `redis://${credentials}127.0.0.1:${server.port}` }),
  ...Object.fromEntries(
    Object.entries(CLIENTS).map(([name, make]): [string, Way] => [
      `a client of ${name}`,
      (credentials) => ({ client: make(`redis://${credentials}127.0.0.1:${server.port}`).client }),
    ]),
  ),
};

const CLUSTER: Record<string, Way> = {
  'the urls of a cluster': (credentials) => ({
    url: cluster.nodes.map(({ port }) => `redis://${credentials}127.0.0.1:${port}`),
  }),
  'a cluster of node-redis': (credentials) => {
    const rootNodes = cluster.urls.map((url) => ({ url }));
    return { client: createCluster({ rootNodes, defaults: parts(credentials) }) as unknown as RedisClient };
  },
  'a cluster of ioredis': (credentials) => ({
    client: new Cluster(cluster.urls, { lazyConnect: true, redisOptions: parts(credentials) }),
  }),
};

/** Everything that a log may show of an error. */
const shown = (error: unknown): string => inspect(error, { depth: null, showHidden: true });

/** What each call says, all of them at once. */
async function refusals({ link }: LinkBench): Promise<Error[]> {
  const early = [link.ready(), link.command('{x}', 'GET', '{x}'), link.subscribe('{x}')];
  const errors = await Promise.all(early.map((call) => call.catch((cause: unknown) => cause)));
  const late = [link.ready(), link.command('{x}', 'GET', '{x}'), link.subscribe('{x}')];
  return [...errors, ...(await Promise.all(late.map((call) => call.catch((cause: unknown) => cause))))] as Error[];
}

describe.each(Object.entries({ ...SINGLE, ...CLUSTER }))('a link by %s', (_, way) => {
  it.each([
    ['a wrong password', `all:${SECRET}@`, /^redis refused: WRONGPASS .*; change the user or the password/],
    ['a user that is not there', `nobody:${SECRET}@`, /^redis refused: WRONGPASS .*; change the user or the password/],
    ['a user who may not ping', 'idle:right@', /^redis refused: NOPERM .*'ping'.*; allow it in the ACL of the user/],
  ])('says no to %s at once, and for every call', async (_case, credentials, message) => {
    for (const error of await refusals(open(way(credentials)))) {
      expect(error).toMatchObject({ code: 'broker_unavailable', message: expect.stringMatching(message) });
      expect(shown(error)).not.toContain(SECRET);
    }
  });

  it('goes on by itself when the server has changed its mind', async () => {
    const bench = open(way('late:right@'));
    await expect(bench.link.ready()).rejects.toThrow('WRONGPASS');
    for (const node of [server, ...cluster.nodes]) {
      await node.cli('ACL', 'SETUSER', 'late', 'on', '>right', '+@all', '~*', '&*');
    }
    await bench.became('ready');
    await bench.link.ready();
    await bench.link.subscribe('{x}');
    await bench.hears('{x}');
    const from = bench.statuses.length;
    for (const node of [server, ...cluster.nodes]) await node.cli('ACL', 'DELUSER', 'late');
    await eventually('it is lost', () => bench.statuses.slice(from).includes('lost'));
    await eventually('it says why', async () =>
      shown(await bench.increment('{x}').catch((cause: unknown) => cause)).includes('WRONGPASS'),
    );
  });

  it('names the command, the key or the channel that the user may not have', async () => {
    const [mute, deaf, keyless] = ['mute', 'deaf', 'keyless'].map((user) => open(way(`${user}:right@`)));
    await expect(mute!.increment('{x}')).rejects.toThrow(/^redis refused: NOPERM .*'eval.*; allow it in the ACL/);
    await expect(deaf!.link.subscribe('{x}')).rejects.toThrow(
      /^redis refused: NOPERM .*channel.*; allow it in the ACL/,
    );
    await expect(keyless!.link.command('{x}', 'GET', '{x}')).rejects.toThrow(/NOPERM .*key.*; allow it in the ACL/);
  });

  it('is content with what the README says to allow', async () => {
    const bench = new BrokerBench(brokerOn(way('app:right@')));
    const { recorder } = await bench.listen(bench.ann);
    const users = [bench.ann, bench.bob, ...Array.from({ length: 200 }, (_, i) => `user ${i}`)];
    const { appended } = await bench.broker.publish(messageTo(users, 'p', { id: 'one', unread: { boxId: 'box' } }));
    expect(appended.filter((position) => position instanceof Error)).toEqual([]);
    await bench.broker.publish(messageTo([bench.ann], 'q', { ack: { boxId: 'box' } }));
    await bench.broker.whisper([bench.ann], 'w');
    await bench.broker.mark(bench.ann, {});
    await eventually('all of it came', () => recorder.payloads.length === 2);
    expect(await bench.broker.counters!.counts(bench.bob)).toEqual({ box: 1 });
    expect([...(await bench.broker.online([bench.ann, bench.bob]))]).toEqual([bench.ann]);
    expect((await bench.broker.tops([bench.ann])).size).toBe(1);
    await bench.broker.forget(bench.bob);
  });
});

it.each(Object.entries(SINGLE))('no password where one is needed is said at once: %s', async (_, way) => {
  await server.cli('CONFIG', 'SET', 'requirepass', 'right');
  try {
    for (const error of await refusals(open(way('')))) {
      expect(error.message).toMatch(
        /^redis refused: NOAUTH .*; give the user and the password in url or to the client/,
      );
    }
  } finally {
    const client = createClient({ url: `redis://:right@127.0.0.1:${server.port}` });
    await client.connect();
    await client.sendCommand(['CONFIG', 'SET', 'requirepass', '']);
    client.destroy();
  }
});

it('with rollback strict, INFO is needed as well', async () => {
  for (const [user, counts] of [
    ['strict', {}],
    ['app', /NOPERM|can't run this command/],
  ] as const) {
    const url = `redis://${user}:right@127.0.0.1:${server.port}`;
    const broker = redisBroker({ url, rollback: 'strict', prefix: 'usercast-strict', deadlineMs: 1_000 });
    ends.push(() => broker.close());
    const answer = broker.counters.counts('ann');
    if (counts instanceof RegExp) await expect(answer).rejects.toThrow(counts);
    else expect(await answer).toEqual(counts);
  }
});

it('a database that may not be selected is not exchanged for another', async () => {
  await server.cli('ACL', 'SETUSER', 'zero', 'on', '>right', '+@all', '-select', '~*', '&*');
  const url = `redis://zero:right@127.0.0.1:${server.port}/3`;
  for (const way of [{ url }, { client: createClient({ url }) }, { client: new Redis(url, { lazyConnect: true }) }]) {
    await expect(open(way).link.ready()).rejects.toThrow(/NOPERM .*'select'/);
  }
});

describe('a primary that becomes a replica', () => {
  const start = async (way: (url: string) => Connection) => {
    const old = await startRedis();
    const next = await startRedisReplica(old);
    const proxy = await new TcpProxy(old.port).start();
    ends.push(
      () => old.close(),
      () => next.close(),
      () => proxy.stop(),
    );
    const bench = open(way(`redis://127.0.0.1:${proxy.port}`), 1_000);
    await bench.link.subscribe('{x}');
    await bench.link.ready();
    return { old, next, proxy, bench };
  };
  const WAYS: [string, (url: string) => Connection][] = [
    ['a url', (url) => ({ url })],
    ...Object.entries(CLIENTS).map(([name, make]): [string, (url: string) => Connection] => [name, make]),
  ];

  it.each(WAYS)(
    'is named as the cause for as long as it lasts, and left when the name leads elsewhere: %s',
    async (_, way) => {
      const { old, next, proxy, bench } = await start(way);
      await next.promote();
      await old.cli('REPLICAOF', '127.0.0.1', String(next.port));
      // The first one finds out, and waits for what may come within its deadline.
      await expect(bench.increment('{x}')).rejects.toMatchObject({
        code: 'broker_unavailable',
        message: expect.stringMatching(/^redis cannot be reached: READONLY/),
      });
      const startMs = performance.now();
      await expect(bench.increment('{x}')).rejects.toThrow(/READONLY/);
      expect(performance.now() - startMs).toBeLessThan(900);
      await eventually('it is not taken for ready again', () => bench.link.status === 'lost');
      expect(bench.statuses).toEqual(['ready', 'lost']);
      proxy.mend(next.port);
      await bench.became('ready');
      expect(await outcome(bench.increment('{x}'))).toBe(1);
      await bench.hears('{x}');
    },
  );

  it.each(WAYS)('is used again when it is a primary again: %s', async (_, way) => {
    const { old, next, bench } = await start(way);
    await old.cli('REPLICAOF', '127.0.0.1', String(next.port));
    await expect(bench.increment('{x}')).rejects.toThrow(/READONLY/);
    await old.cli('REPLICAOF', 'NO', 'ONE');
    await bench.became('ready');
    expect(await outcome(bench.increment('{x}'))).toBe(1);
    await bench.hears('{x}');
  });

  it('is found out by the broker, which is not ready until it can write', async () => {
    const { old, next, proxy } = await start((url) => ({ url }));
    const broker = redisBroker({ url: `redis://127.0.0.1:${proxy.port}`, deadlineMs: 1_000, probeMs: 200 });
    ends.push(() => broker.close());
    const bench = new BrokerBench(broker);
    await bench.say(bench.ann, 'a');
    await next.promote();
    await old.cli('REPLICAOF', '127.0.0.1', String(next.port));
    await eventually('it is lost', () => broker.status === 'lost');
    const { appended } = await broker.publish(messageTo([bench.ann], 'b'));
    expect(String(appended[0])).toMatch(/READONLY/);
    proxy.mend(next.port);
    await eventually('it is back', () => broker.status === 'ready', 5_000);
    await bench.say(bench.ann, 'c');
  });
});
