// One server, by every way to it: what holds while it comes, goes, stands still and comes back.

import { setTimeout as passed } from 'node:timers/promises';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RedisLinkOptions } from '../../../adapters/redis/redis-link.ts';
import { eventually } from '../../support/raw-client.ts';
import { freePort } from '../../support/servers/free-port.ts';
import { type RedisServer, startRedis, startRedisReplica } from '../../support/servers/redis.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { CLIENTS, hold, LinkBench, outcome, script } from './link-bench.ts';

type Way = (url: string) => RedisLinkOptions['connection'];

const WAYS: Record<string, Way> = {
  'a url': (url) => ({ url }),
  ...Object.fromEntries(
    Object.entries(CLIENTS).map(([name, make]): [string, Way] => [`a client of ${name}`, (url) => make(url)]),
  ),
};

let server: RedisServer;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());
beforeEach(async () => {
  await server.cli('FLUSHALL');
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function open(
  connection: RedisLinkOptions['connection'],
  options?: ConstructorParameters<typeof LinkBench>[1],
): LinkBench {
  const bench = new LinkBench(connection, options);
  ends.push(() => bench.link.close());
  return bench;
}

async function proxied(): Promise<{ proxy: TcpProxy; url: string }> {
  const proxy = await new TcpProxy(server.port).start();
  ends.push(() => proxy.stop());
  return { proxy, url: `redis://127.0.0.1:${proxy.port}` };
}

async function ownServer(options?: Parameters<typeof startRedis>[0]): Promise<RedisServer> {
  const own = await startRedis(options);
  ends.push(() => own.close());
  return own;
}

/** So much later than they are due may things be on a busy machine. */
const BUSY_MS = 2_000;

/** Everything that a log may show of an error. */
const shown = (error: unknown): string => inspect(error, { depth: null, showHidden: true });

describe.each(Object.entries(WAYS))('a link to one server by %s', (_, way) => {
  it('runs scripts and commands, and hears its channels', async () => {
    const bench = open(way(server.url));
    await bench.link.ready();
    expect([bench.link.isCluster, bench.link.database, bench.link.status]).toEqual([false, 0, 'ready']);
    expect(await bench.increment('runs')).toBe(1);
    expect(await bench.link.command('runs', 'GET', 'runs')).toBe('1');
    await bench.link.subscribe('ears');
    await bench.publish('ears', 'ünïcode');
    await eventually('it is heard', () => bench.messages.includes('ears ünïcode'));
    bench.link.unsubscribe('ears');
    await eventually('it is let go', async () => (await bench.publish('ears', 'x')) === 0);
  });

  it('keeps to the database of the url or the client', async () => {
    const bench = open(way(`${server.url}/5`));
    await bench.increment('in five');
    expect(bench.link.database).toBe(5);
    expect(await server.cli('-n', '5', 'GET', 'in five')).toBe('1');
  });

  it('sends a script whole to a server that has lost it', async () => {
    const bench = open(way(server.url));
    await bench.increment('scripts');
    await server.cli('SCRIPT', 'FLUSH');
    expect(await Promise.all([bench.increment('scripts'), bench.increment('scripts')])).toEqual([2, 3]);
  });

  it('asks for the arguments of a script each time that it is sent', async () => {
    const own = await ownServer();
    const bench = open(way(own.url));
    const store = script("redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]");
    let known = 0;
    const args = () => [String(++known)];
    expect(await bench.link.run(store, ['known'], args)).toBe('2');
    expect(await bench.link.run(store, ['known'], args)).toBe('3');
    await own.cli('REPLICAOF', '127.0.0.1', String(await freePort()));
    const call = bench.link.run(store, ['known'], args);
    await bench.became('lost');
    known = 100;
    await own.cli('REPLICAOF', 'NO', 'ONE');
    expect(Number(await call)).toBeGreaterThan(100);
    expect(await own.cli('GET', 'known')).toBe(String(known));
  });

  it('waits for a server that comes later, within the deadline', async () => {
    const port = await freePort();
    const bench = open(way(`redis://127.0.0.1:${port}`));
    const call = bench.increment('early');
    const subscribed = bench.link.subscribe('early');
    expect(bench.link.status).toBe('connecting');
    await passed(300);
    await ownServer({ port });
    expect(await call).toBe(1);
    await subscribed;
    await bench.link.ready();
    await bench.hears('early');
  });

  it('gives up at the deadline when there is no server', async () => {
    const bench = open(way(`redis://127.0.0.1:${await freePort()}`), { deadlineMs: 1_000 });
    const calls = [bench.link.ready(), bench.increment('never'), bench.link.subscribe('never')];
    expect(await Promise.all(calls.map(outcome))).toEqual(['deadline', 'deadline', 'deadline']);
    await expect(bench.link.ready()).rejects.toThrow(/ECONNREFUSED/);
  });

  it('fails at once while the server is away, and goes on when it is back', async () => {
    const own = await ownServer();
    const bench = open(way(own.url));
    await bench.link.subscribe('away');
    await bench.link.ready();
    const from = bench.statuses.length;
    await own.kill();
    await bench.became('lost');
    const startMs = performance.now();
    expect(await outcome(bench.increment('away'))).toBe('broker_unavailable');
    expect(performance.now() - startMs).toBeLessThan(4_000);
    await own.start();
    await bench.lostAndBack(from);
    expect(await bench.increment('away')).toBe(1);
    await bench.hears('away');
  });

  it('fails what was in flight when the connection is lost', async () => {
    const { proxy, url } = await proxied();
    const bench = open(way(url));
    await bench.link.ready();
    proxy.pause('down');
    const calls = Array.from({ length: 5 }, () => outcome(bench.increment('in flight')));
    await passed(50);
    proxy.cutAll();
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['broker_unavailable']));
    proxy.pass();
    await bench.became('ready');
  });

  it('tells of a call that was cut off without what was sent', async () => {
    const { proxy, url } = await proxied();
    const bench = open(way(url));
    await bench.link.ready();
    proxy.pause('down');
    const call = bench.publish('cut off', 's3cret payload').catch((cause: unknown) => cause);
    await passed(50);
    proxy.cutAll();
    expect(await call).toMatchObject({ code: 'broker_unavailable', cause: expect.any(Error) });
    expect(shown(await call)).not.toContain('s3cret');
  });

  it('is lost and back when a subscription connection was killed, and hears again', async () => {
    const bench = open(way(server.url));
    await Promise.all(['one', 'two', 'three'].map((channel) => bench.link.subscribe(channel)));
    await bench.link.ready();
    for (let round = 0; round < 3; round++) {
      const from = bench.statuses.length;
      await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await bench.lostAndBack(from);
      for (const channel of ['one', 'two', 'three']) await bench.hears(channel);
    }
    expect(bench.statuses).toEqual(['ready', 'lost', 'ready', 'lost', 'ready', 'lost', 'ready']);
    expect(bench.restored).toEqual(['ready', 'ready', 'ready']);
  });

  it('subscribes to 10 000 channels again within 3 s', async () => {
    const bench = open(way(server.url), { deadlineMs: 8_000 });
    const channels = Array.from({ length: 10_000 }, (_, i) => `many:${i}`);
    await Promise.all(channels.map((channel) => bench.link.subscribe(channel)));
    const from = bench.statuses.length;
    const startMs = performance.now();
    await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await bench.lostAndBack(from);
    expect(performance.now() - startMs).toBeLessThan(3_000);
    for (const i of [0, 4_999, 9_999]) await bench.hears(`many:${i}`);
  });

  it('ends subscribed when a channel was let go and asked for again at once', async () => {
    const bench = open(way(server.url));
    await bench.link.ready();
    for (let round = 0; round < 20; round++) {
      const first = bench.link.subscribe('to and fro');
      if (round % 2) await first;
      else first.catch(() => {});
      bench.link.unsubscribe('to and fro');
      await bench.link.subscribe('to and fro');
      await Promise.all([bench.link.subscribe('to and fro'), bench.hears('to and fro')]);
    }
    bench.link.unsubscribe('to and fro');
    bench.link.unsubscribe('to and fro');
    await eventually('it is let go', async () => (await bench.publish('to and fro', 'x')) === 0);
  });

  it('ends unsubscribed when a channel was let go while it was subscribed to again', async () => {
    const bench = open(way(server.url));
    const channels = Array.from({ length: 2_000 }, (_, i) => `let go:${i}`);
    await Promise.all(channels.map((channel) => bench.link.subscribe(channel)));
    const from = bench.statuses.length;
    await server.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually('it is lost', () => bench.statuses.length > from);
    for (const channel of channels.slice(1)) bench.link.unsubscribe(channel);
    await bench.lostAndBack(from);
    await bench.hears('let go:0');
    await eventually('the rest is let go', async () =>
      (await server.cli('PUBSUB', 'NUMSUB', 'let go:1')).endsWith('0'),
    );
    expect(await bench.publish('let go:1999', 'x')).toBe(0);
  });

  it('settles calls to a server that stands still by their deadline, then fails them at once, and is back after it', async () => {
    const own = await ownServer();
    const bench = open(way(own.url), { deadlineMs: 1_000, probeMs: 1_500, probed: ['probe'] });
    await bench.link.subscribe('frozen');
    await bench.link.ready();
    const from = bench.statuses.length;
    own.freeze();
    try {
      const startMs = performance.now();
      expect(await outcome(bench.increment('frozen'))).toBe('deadline');
      expect(performance.now() - startMs).toBeLessThan(4_000);
      await bench.became('lost');
      expect(await outcome(bench.increment('frozen'))).toBe('broker_unavailable');
    } finally {
      own.thaw();
    }
    await bench.lostAndBack(from);
    await bench.hears('frozen');
  });

  it.each(['up', 'down'] as const)('notices within two intervals that nothing goes %s any more', async (direction) => {
    const probeMs = 1_000;
    const { proxy, url } = await proxied();
    const bench = open(way(url), { probeMs, probed: ['probe of proxied'] });
    await bench.link.subscribe('half-dead');
    await bench.link.ready();
    const from = bench.statuses.length;
    proxy.drop(direction, 'open');
    const startMs = performance.now();
    await eventually('it is noticed', () => bench.statuses.length > from);
    expect(performance.now() - startMs).toBeLessThan(2 * probeMs + BUSY_MS);
    await bench.lostAndBack(from);
    await bench.hears('half-dead');
  });

  it.each(['up', 'down'] as const)(
    'notices it within two intervals where nothing is listened to, %s',
    async (direction) => {
      const probeMs = 1_000;
      const { proxy, url } = await proxied();
      const bench = open(way(url), { probeMs, listens: false });
      await bench.link.ready();
      await passed(2 * probeMs);
      expect(bench.statuses).toEqual(['ready']);
      proxy.drop(direction, 'open');
      await eventually('it is noticed', () => bench.statuses.length > 1, 2 * probeMs + BUSY_MS);
      await bench.became('ready');
      expect(await bench.increment('half-dead')).toBe(1);
    },
  );

  it('calls nothing dead that is alive', async () => {
    const bench = open(way(server.url), { probeMs: 500, probed: ['probe one', 'probe two'] });
    await bench.link.ready();
    await passed(2_500);
    expect(bench.statuses).toEqual(['ready']);
    expect(bench.messages).toEqual([]);
  });

  it('makes calls again that a loading server refused', async () => {
    const own = await ownServer({ config: ['--key-load-delay', '2000'], persistence: 'rdb' });
    await own.cli('DEBUG', 'POPULATE', '300');
    const bench = open(way(own.url));
    await bench.link.ready();
    await own.stop();
    await own.start();
    const from = 1;
    await bench.lostAndBack(from);
    expect(await bench.increment('loaded')).toBe(1);
  });

  it('connects anew when the server has become a replica, to whoever is there then', async () => {
    const old = await ownServer();
    const next = await startRedisReplica(old);
    ends.push(() => next.close());
    const proxy = await new TcpProxy(old.port).start();
    ends.push(() => proxy.stop());
    const bench = open(way(`redis://127.0.0.1:${proxy.port}`));
    await bench.link.subscribe('failover');
    await bench.increment('failover');
    await eventually('the replica has it', async () => (await next.cli('GET', 'failover')) === '1');
    await next.promote();
    await old.cli('REPLICAOF', '127.0.0.1', String(next.port));
    const call = bench.increment('failover');
    await passed(200);
    proxy.mend(next.port);
    expect(await call).toBe(2);
    await bench.became('ready');
    await bench.hears('failover');
  });

  it('tells what the server refuses, without what was sent', async () => {
    const bench = open(way(server.url));
    await bench.link.command('text', 'SET', 'text', 'not a number');
    const error = await bench.increment('text').catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringMatching(/^redis refused: .*not an integer/),
    });
  });

  it('shows no password when the server refuses it', async () => {
    const own = await ownServer();
    await own.cli('CONFIG', 'SET', 'requirepass', 'the-right-one');
    const bench = open(way(`redis://:s3cret-password@127.0.0.1:${own.port}`), { deadlineMs: 1_500 });
    const errors = await Promise.all(
      [bench.link.ready(), bench.increment('x'), bench.link.subscribe('x')].map((call) =>
        call.then(
          () => null,
          (error: Error) => error,
        ),
      ),
    );
    for (const error of errors) {
      expect(error).toBeInstanceOf(Error);
      expect(shown(error)).not.toContain('s3cret');
    }
    expect(errors[0]!.message).toMatch(/WRONGPASS/);
  });

  it('shows no password when the server does not know the command that holds it', async () => {
    const own = await ownServer({ config: ['--rename-command', 'HELLO', '', '--rename-command', 'AUTH', ''] });
    const bench = open(way(`redis://:s3cret@127.0.0.1:${own.port}`), { deadlineMs: 1_500 });
    const calls = [bench.link.ready(), bench.increment('x'), bench.link.subscribe('x')];
    const errors = await Promise.all(calls.map((call) => call.catch((error: unknown) => error)));
    for (const error of errors) {
      expect(error).toBeInstanceOf(Error);
      expect(shown(error)).not.toContain('s3cret');
    }
    expect(shown(errors[0])).toMatch(/unknown command/);
  });

  it('bounds the calls in flight', async () => {
    const bench = open(way(`redis://127.0.0.1:${await freePort()}`), { deadlineMs: 1_000 });
    const calls = Array.from({ length: 10_001 }, () => outcome(bench.increment('many')));
    expect(await calls.at(-1)).toBe('overloaded');
    await bench.link.close();
    expect(new Set(await Promise.all(calls.slice(0, -1)))).toEqual(new Set(['closed']));
  });

  it('does not count subscriptions that wait among the calls in flight', async () => {
    const port = await freePort();
    const bench = open(way(`redis://127.0.0.1:${port}`), { deadlineMs: 8_000 });
    const waiting = Array.from({ length: 12_000 }, (_, i) => outcome(bench.link.subscribe(`waits:${i}`)));
    const call = bench.increment('called');
    await ownServer({ port });
    expect(await call).toBe(1);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([undefined]));
  });

  it('ends its connections when it is closed, and no call after that works', async () => {
    const own = await ownServer();
    const bench = open(way(own.url));
    await bench.link.subscribe('closed');
    await bench.link.ready();
    await Promise.all([bench.link.close(), bench.link.close()]);
    expect(await outcome(bench.increment('closed'))).toBe('closed');
    expect(await outcome(bench.link.subscribe('closed'))).toBe('closed');
    expect(await outcome(bench.link.command('closed', 'PING'))).toBe('closed');
    await eventually('no connection is left', async () => (await own.info('clients', 'connected_clients')) === '1');
  });

  it('leaves no connection behind whose time was over before it was made', async () => {
    const own = await ownServer();
    for (let turns = 0; turns < 10; turns++) {
      const { link } = open(way(own.url), { deadlineMs: 100 });
      for (let turn = 0; turn < turns; turn++) await null;
      // More than an attempt has, less than a socket of the library.
      await hold(80);
      await link.close();
    }
    await eventually('no connection is left', async () => (await own.info('clients', 'connected_clients')) === '1');
  });

  it('has no subscription connection where nothing is listened to', async () => {
    const own = await ownServer();
    const bench = open(way(own.url), { listens: false });
    await bench.link.ready();
    expect(await own.info('clients', 'connected_clients')).toBe('2');
    expect(await bench.increment('x')).toBe(1);
  });
});

describe('the probes', () => {
  it('are what notices: without them a half-dead connection stays', async () => {
    const { proxy, url } = await proxied();
    const bench = open({ url }, { probeMs: 300 });
    await bench.link.subscribe('unwatched');
    await bench.link.ready();
    proxy.drop('down', 'open');
    await passed(1_200);
    expect(bench.link.status).toBe('ready');
  });
});
