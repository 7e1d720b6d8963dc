// A cluster, by every way to it: each channel and key where its slot is, also when that changes.

import { setTimeout as passed } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RedisLinkOptions } from '../../../adapters/redis/redis-link.ts';
import { slotOf } from '../../../adapters/redis/slots.ts';
import { eventually } from '../../support/raw-client.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../support/servers/redis-cluster.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { CLUSTERS, hold, LinkBench, outcome } from './link-bench.ts';

type Way = (urls: readonly string[]) => RedisLinkOptions['connection'];

const WAYS: Record<string, Way> = {
  'an array of urls': (url) => ({ url }),
  ...Object.fromEntries(
    Object.entries(CLUSTERS).map(([name, make]): [string, Way] => [`a cluster of ${name}`, (urls) => make(urls)]),
  ),
};

/** Keys and channels on every node. */
const TAGS = Array.from({ length: 12 }, (_, i) => `{tag ${i}}`);

let cluster: RedisCluster;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  cluster = await startRedisCluster({ config: ['--cluster-require-full-coverage', 'no'] });
});
afterAll(() => cluster.close());
beforeEach(async () => {
  for (const node of cluster.nodes) await node.cli('FLUSHALL');
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

async function hearsAll(bench: LinkBench): Promise<void> {
  for (const tag of TAGS) await bench.hears(tag);
}

async function subscribed(bench: LinkBench): Promise<LinkBench> {
  await Promise.all(TAGS.map((tag) => bench.link.subscribe(tag)));
  await bench.link.ready();
  return bench;
}

it('a slot is that of the server', async () => {
  const keys = ['', 'a', '{tag 1}', 'a{b}c', 'a{}b', '{', '}{', 'a{b}{c}', 'ünïcode', '{日本}x', '{a', 'x'.repeat(300)];
  for (const key of keys) expect([key, slotOf(key)]).toEqual([key, await cluster.slotOf(key)]);
});

describe.each(Object.entries(WAYS))('a link to a cluster by %s', (_, way) => {
  it('runs scripts where the keys are, and hears its channels from all nodes', async () => {
    const bench = await subscribed(open(way(cluster.urls)));
    expect([bench.link.isCluster, bench.link.database, bench.statuses]).toEqual([true, 0, ['ready']]);
    expect(await Promise.all(TAGS.map((tag) => bench.increment(tag)))).toEqual(TAGS.map(() => 1));
    await hearsAll(bench);
    for (const tag of TAGS) bench.link.unsubscribe(tag);
    for (const tag of TAGS) await eventually('it is let go', async () => (await bench.publish(tag, 'x')) === 0);
  });

  it('begins with whichever start node is there', async () => {
    const away = await startRedis();
    await away.close();
    const bench = open(way([away.url, cluster.urls[1]!]));
    expect(await Promise.all(TAGS.map((tag) => bench.increment(tag)))).toEqual(TAGS.map(() => 1));
  });

  it('is lost and back when a subscription connection to one node was killed', async () => {
    const bench = await subscribed(open(way(cluster.urls)));
    const from = bench.statuses.length;
    await cluster.nodes[1]!.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await bench.lostAndBack(from);
    await hearsAll(bench);
  });

  it('subscribes to 10 000 channels again within 3 s', async () => {
    const bench = open(way(cluster.urls), { deadlineMs: 8_000 });
    const channels = Array.from({ length: 10_000 }, (_, i) => `{part ${i % 32}}${i}`);
    await Promise.all(channels.map((channel) => bench.link.subscribe(channel)));
    await bench.link.ready();
    const from = bench.statuses.length;
    const startMs = performance.now();
    for (const node of cluster.nodes) await node.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await bench.lostAndBack(from);
    expect(performance.now() - startMs).toBeLessThan(3_000);
    for (const i of [0, 4_999, 9_999]) await bench.hears(channels[i]!);
  });

  it('follows a slot that moves, is lost and back, and goes on calling all the while', async () => {
    const bench = await subscribed(open(way(cluster.urls), { probeMs: 1_000, probed: ['{tag 3}probe'] }));
    for (const tag of TAGS) await bench.increment(tag);
    const from = bench.statuses.length;
    let calls = 1;
    let isMoving = true;
    const calling = (async () => {
      while (isMoving) {
        expect(await bench.increment('{tag 3}')).toBe(++calls);
        await passed(2);
      }
    })();
    await cluster.moveSlot(slotOf('{tag 3}'));
    isMoving = false;
    await calling;
    await bench.lostAndBack(from);
    await hearsAll(bench);
  });

  it('notices a slot that moved under a quiet link', async () => {
    const bench = await subscribed(open(way(cluster.urls)));
    const from = bench.statuses.length;
    const target = await cluster.moveSlot(slotOf('{tag 5}'));
    await bench.lostAndBack(from);
    await target.cli('SPUBLISH', '{tag 5}', 'from the new one');
    await eventually('it is heard', () => bench.messages.includes('{tag 5} from the new one'));
    await cluster.moveSlot(slotOf('{tag 5}'));
    await eventually('it has moved again', () => bench.statuses.filter((status) => status === 'lost').length >= 2);
    await bench.became('ready');
    await hearsAll(bench);
  });

  it('closes all of its connections', async () => {
    const bench = await subscribed(open(way(cluster.urls)));
    await bench.link.close();
    for (const node of cluster.nodes) {
      await eventually('no connection is left', async () => (await connectionsOf(node)) === 0);
    }
    expect(await outcome(bench.increment('x'))).toBe('closed');
  });

  it('asks a start node again that does not answer, and leaves nothing behind at it', async () => {
    const proxy = await new TcpProxy(cluster.nodes[0]!.port).start();
    ends.push(() => proxy.stop());
    proxy.drop('down');
    const bench = open(way([`redis://127.0.0.1:${proxy.port}`]), { deadlineMs: 200 });
    await eventually('it was tried often', () => proxy.accepted >= 4);
    expect(proxy.open, 'that of one attempt, and the one before').toBeLessThanOrEqual(2);
    await bench.link.close();
    await eventually('no connection is left', () => proxy.open === 0);
  });

  it('leaves no connection behind, whenever it is closed', async () => {
    for (let turns = 0; turns < 30; turns++) {
      const { link } = open(way(cluster.urls));
      for (let turn = 0; turn < turns; turn++) await hold(2);
      await link.close();
    }
    for (const node of cluster.nodes) {
      await eventually('no connection is left', async () => (await connectionsOf(node)) === 0);
    }
  });
});

/** Of clients: not the one that asks, nor what the nodes keep open to each other for a while after keys were moved. */
async function connectionsOf(node: RedisServer): Promise<number> {
  const lists = await Promise.all(['normal', 'pubsub'].map((type) => node.cli('CLIENT', 'LIST', 'TYPE', type)));
  const isClient = (line: string) => line !== '' && !/ cmd=(client|restore|asking)/.test(line);
  return lists.flatMap((list) => list.split('\n')).filter(isClient).length;
}

describe.each(Object.entries(WAYS))('a link to a cluster whose nodes die, by %s', (_, way) => {
  it('goes on with the other nodes at once, and with the dead one when it is back', async () => {
    const victim = (await cluster.primaryOf(slotOf('{tag 0}')))!;
    const bench = await subscribed(open(way(cluster.urls), { deadlineMs: 2_000 }));
    const from = bench.statuses.length;
    await victim.kill();
    await bench.became('lost');
    const startMs = performance.now();
    const outcomes = await Promise.all(TAGS.slice(1).map((tag) => outcome(bench.increment(tag))));
    expect(outcomes.filter((one) => one === 1).length).toBeGreaterThan(4);
    expect(await outcome(bench.increment('{tag 0}'))).toMatch(/deadline|broker_unavailable/);
    expect(performance.now() - startMs).toBeLessThan(7_000);
    await victim.start();
    await cluster.settled();
    await bench.lostAndBack(from, 30_000);
    await hearsAll(bench);
  }, 120_000);

  it('tells that channels of a live node are back while another one is dead', async () => {
    const victim = (await cluster.primaryOf(slotOf('{tag 0}')))!;
    const bench = await subscribed(open(way(cluster.urls), { deadlineMs: 2_000 }));
    const alive = cluster.nodes.find((node) => node !== victim)!;
    const theirs: string[] = [];
    for (const tag of TAGS) if ((await cluster.primaryOf(slotOf(tag))) === alive) theirs.push(tag);
    await victim.kill();
    await bench.became('lost');
    try {
      await alive.cli('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await eventually('it is told', () => bench.restored.length > 0);
      expect(bench.restored).toEqual(['lost']);
      expect(theirs.length).toBeGreaterThan(0);
      for (const tag of theirs) await bench.hears(tag);
    } finally {
      await victim.start();
      await cluster.settled();
    }
    await bench.became('ready', 30_000);
    await eventually('the rest is told', () => bench.restored.length > 1);
    await hearsAll(bench);
  }, 120_000);

  it('begins while a node is dead, and is ready when that is back', async () => {
    const victim = (await cluster.primaryOf(slotOf('{tag 0}')))!;
    await victim.kill();
    const bench = open(way(cluster.urls), { deadlineMs: 4_000 });
    try {
      await bench.link.ready();
      expect(bench.link.status).toBe('connecting');
      const outcomes = await Promise.all(TAGS.map((tag) => outcome(bench.increment(tag))));
      expect(outcomes.filter((one) => one === 1).length).toBeGreaterThan(4);
    } finally {
      await victim.start();
      await cluster.settled();
    }
    await bench.became('ready', 30_000);
    expect(bench.statuses).toEqual(['ready']);
  }, 120_000);

  it('goes over to the replica of a primary that was killed', async () => {
    const own = await startRedisCluster({ replicas: 1, nodeTimeoutMs: 1_000 });
    ends.push(() => own.close());
    const bench = await subscribed(open(way(own.urls.slice(0, 3)), { deadlineMs: 20_000 }));
    for (const tag of TAGS) await bench.increment(tag);
    const from = bench.statuses.length;
    const victim = await own.killPrimaryOf(slotOf('{tag 0}'));
    // A replica that was behind would begin again at 1.
    expect([1, 2]).toContain(await bench.increment('{tag 0}'));
    await own.settled();
    await bench.lostAndBack(from, 30_000);
    await hearsAll(bench);
    await victim.start();
    await own.settled();
    await hearsAll(bench);
    expect(bench.link.status).toBe('ready');
  }, 180_000);
});
