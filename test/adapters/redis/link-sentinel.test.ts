// A primary that Sentinels replace, by the clients that ask them who it is.

import { setImmediate } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createSentinel } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RedisClient } from '../../../adapters/redis/redis-client.ts';
import { eventually } from '../../support/raw-client.ts';
import { freePort } from '../../support/servers/free-port.ts';
import type { RedisServer } from '../../support/servers/redis.ts';
import { PRIMARY_NAME, type RedisSentinels, startRedisSentinels } from '../../support/servers/redis-sentinel.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { hold, LinkBench, outcome } from './link-bench.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

type Make = (places: Place[], more?: object) => RedisClient;

/** Never connected. */
const CLIENTS: Record<string, Make> = {
  ioredis: (sentinels, more) => new Redis({ sentinels, name: PRIMARY_NAME, lazyConnect: true, ...more }),
  'node-redis': (sentinelRootNodes, more) =>
    createSentinel({ name: PRIMARY_NAME, sentinelRootNodes, nodeClientOptions: { ...more } }),
};

/** Kill to first reply: the Sentinels need about 3 s to agree, on a machine that has the time. */
const FAILS_OVER_WITHIN_MS = 45_000;
const PATIENT_MS = 60_000;

let scene: RedisSentinels;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  // A busy machine is no reason to replace anybody here.
  scene = await startRedisSentinels({ downAfterMs: PATIENT_MS });
}, 40_000);
afterAll(() => scene.close());
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function open(client: RedisClient, options: ConstructorParameters<typeof LinkBench>[1] = {}): LinkBench {
  const bench = new LinkBench({ client }, { deadlineMs: 4_000, probeMs: 1_000, probed: ['probe'], ...options });
  ends.push(() => bench.link.close());
  return bench;
}

const count = async () => Number(await scene.first.info('clients', 'connected_clients'));

/** Sentinels have names for one another; the last one is who asks. */
const asking = async (sentinel: RedisServer): Promise<number> =>
  (await sentinel.cli('CLIENT', 'LIST')).split('\n').filter((line) => / name= /.test(line)).length - 1;

const noneAsks = async () => (await Promise.all(scene.sentinels.map(asking))).every((clients) => clients === 0);

describe.each(Object.entries(CLIENTS))('a link by a Sentinel client of %s', (library, make) => {
  it('runs scripts and hears its channels on the primary, and leaves nothing behind', async () => {
    const before = await count();
    const bench = open(make(scene.addresses));
    await bench.link.ready();
    expect([bench.link.isCluster, bench.link.database, bench.link.status]).toEqual([false, 0, 'ready']);
    await bench.link.subscribe('ears');
    await bench.increment(`runs by ${library}`);
    await bench.hears('ears');
    await eventually('two connections are left', async () => (await count()) === before + 2);
    await eventually('none to the Sentinels', noneAsks);
    await bench.link.close();
    await eventually('no connection is left', async () => (await count()) === before);
  });

  it('leaves nothing behind when its time is over on the way to the primary', async () => {
    const before = await count();
    for (let turns = 0; turns < 40; turns++) {
      const { link } = open(make(scene.addresses), { deadlineMs: 200 });
      for (let turn = 0; turn < turns; turn++) await setImmediate();
      // More than an attempt has, less than a socket of the library.
      await hold(160);
      await link.close();
    }
    await eventually('none to the Sentinels', noneAsks);
    await eventually('no connection is left', async () => (await count()) === before);
  });

  it('leaves nothing behind at a Sentinel that does not answer', async () => {
    const proxy = await new TcpProxy(scene.sentinels[0]!.port).start();
    ends.push(() => proxy.stop());
    proxy.drop('down');
    const bench = open(make([{ host: '127.0.0.1', port: proxy.port }]), { deadlineMs: 200 });
    await eventually('it was tried often', () => proxy.accepted >= 8);
    expect(proxy.open, 'those of two attempts at most').toBeLessThanOrEqual(2);
    await bench.link.close();
    await eventually('no connection is left', () => proxy.open === 0);
  });

  it('says why when no Sentinel can be reached', async () => {
    const bench = open(make([{ host: '127.0.0.1', port: await freePort() }]), { deadlineMs: 500 });
    const error = await bench.link.ready().catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: 'deadline',
      message: expect.stringMatching(/sentinels are unreachable|None of the sentinels are available/),
    });
  });

  it('asks the next Sentinel when one is gone', async () => {
    const bench = open(make([{ host: '127.0.0.1', port: await freePort() }, ...scene.addresses]));
    await bench.link.ready();
  });

  it('says no at once when the primary does', async () => {
    await scene.first.cli('ACL', 'SETUSER', 'app', 'on', '>right', '~*', '&*', '+@all');
    const bench = open(make(scene.addresses, { username: 'app', password: 's3cret-wrong' }), { deadlineMs: 10_000 });
    const error = (await bench.link.ready().catch((cause: unknown) => cause)) as Error;
    expect(error.message).toMatch(/^redis refused: WRONGPASS .*; change the user or the password/);
    const right = open(make(scene.addresses, { username: 'app', password: 'right' }));
    await right.link.ready();
  });
});

it('a link by ioredis is not held up by a Sentinel that stands still', async () => {
  const [stuck] = scene.sentinels;
  stuck!.freeze();
  try {
    const bench = open(CLIENTS.ioredis!(scene.addresses));
    await bench.link.ready();
  } finally {
    stuck!.thaw();
  }
});

it("a link by node-redis refuses a database, for the channels' names would lack it", async () => {
  const bench = open(CLIENTS['node-redis']!(scene.addresses, { database: 3 }));
  await expect(bench.link.ready()).rejects.toThrow(/must keep to database 0; for another pass .* ioredis/);
  expect(open(CLIENTS.ioredis!(scene.addresses, { db: 3 })).link.database).toBe(3);
});

describe('the primary is killed', { timeout: 180_000 }, () => {
  it('and every link goes on with the one that the Sentinels promote, and hears again', async () => {
    const own = await startRedisSentinels();
    ends.push(() => own.close());
    const benches = Object.values(CLIENTS).map((make) => open(make(own.addresses)));
    for (const bench of benches) {
      await bench.link.subscribe('failover');
      await bench.link.ready();
    }
    const from = benches.map(({ statuses }) => statuses.length);
    await own.first.kill();
    const startMs = performance.now();
    await Promise.all(benches.map((bench) => bench.became('lost')));
    // Nobody waits for the promotion: a call ends as soon as there is no connection.
    const callMs = performance.now();
    expect(await outcome(benches[0]!.increment('x'))).toBe('broker_unavailable');
    expect(performance.now() - callMs).toBeLessThan(2_000);
    await Promise.all(benches.map((bench, i) => bench.lostAndBack(from[i]!, FAILS_OVER_WITHIN_MS)));
    expect(performance.now() - startMs).toBeLessThan(FAILS_OVER_WITHIN_MS);
    await own.led(own.second);
    for (const bench of benches) {
      expect(await outcome(bench.increment('x'))).toEqual(expect.any(Number));
      await bench.hears('failover');
      expect(bench.restored).not.toHaveLength(0);
    }
    expect(await own.second.cli('GET', 'x')).toBe('2');

    // It comes back as a replica, and nobody is led to it.
    await own.first.start();
    await eventually('it has given way', () => own.isReplica(own.first), 20_000);
    for (const bench of benches) expect(await outcome(bench.increment('x'))).toEqual(expect.any(Number));
  });

  it('a primary that is replaced by order of the Sentinels is left by everybody', async () => {
    const benches = Object.values(CLIENTS).map((make) => open(make(scene.addresses)));
    for (const bench of benches) {
      await bench.link.subscribe('ordered');
      await bench.link.ready();
    }
    await scene.sentinels[0]!.cli('SENTINEL', 'FAILOVER', PRIMARY_NAME);
    await scene.led(scene.second);
    await eventually('the old one has given way', () => scene.isReplica(scene.first), 20_000);
    for (const bench of benches) {
      await eventually(
        'it is written to the new one',
        async () => typeof (await outcome(bench.increment('x'))) === 'number',
        FAILS_OVER_WITHIN_MS,
      );
      await bench.became('ready');
      await bench.hears('ordered');
    }
    expect(Number(await scene.second.cli('GET', 'x'))).toBeGreaterThanOrEqual(2);
  });
});
