// What Redis can lose of a user or of all, and that no position is carried on from across it.

import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { redisBroker } from '../../../adapters/redis/index.ts';
import { partitionOf } from '../../../adapters/redis/keys.ts';
import type { RedisBrokerOptions } from '../../../adapters/redis/redis-options.ts';
import { disproof } from '../../../src/broker/contiguity.ts';
import type { Broker } from '../../../src/index.ts';
import { BrokerBench, isProven, messageTo, place } from '../../../src/testing/broker-bench.ts';
import { eventually } from '../../support/raw-client.ts';
import { type RedisPersistence, type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';

const PREFIX = 'loss';
/** Rare, so that no busy machine is taken for a dead one; who waits for a probe asks for more. */
const PROBE_MS = 3_000;

/** So many, and so much, that it is stored once. */
const MANY = { userIds: Array.from({ length: 12 }, (_, i) => `many ${i}`), payload: 'p'.repeat(60) };

let redis: RedisServer;
const brokers: Broker[] = [];

function open(options: Partial<RedisBrokerOptions> = {}): BrokerBench {
  const broker = redisBroker({ url: redis.url, prefix: PREFIX, probeMs: PROBE_MS, deadlineMs: 15_000, ...options });
  brokers.push(broker);
  return new BrokerBench(broker);
}

const start = async (persistence: RedisPersistence = 'none'): Promise<void> => {
  redis = await startRedis({ persistence });
};

const key = (kind: string, userId: string, partitions = 1) =>
  `{${PREFIX}:${partitionOf(userId, partitions)}}:${kind}:${userId}`;

/** Beside them is the place where the stream began, as long as they are all there. */
async function entriesOf(userId: string, partitions = 1): Promise<number> {
  return Number(await redis.cli('LLEN', key('s', userId, partitions))) - 1;
}

/** What the broker's status was, from now on. */
function statusesOf({ broker }: BrokerBench): string[] {
  const statuses: string[] = [];
  broker.onStatus((status) => statuses.push(status));
  return statuses;
}

async function isReady({ broker }: BrokerBench): Promise<void> {
  await eventually('the broker is ready', () => broker.status === 'ready');
}

afterEach(async () => {
  for (const broker of brokers.splice(0)) await broker.close();
  await redis.close();
});

describe('what is gone of one user', () => {
  beforeEach(() => start());

  it('resets who stands behind the history, when the history is gone, and nobody at its end', async () => {
    const bench = open();
    await bench.say(bench.ann, 'a', 'b');
    const top = await bench.top(bench.ann);
    await bench.say(bench.ann, 'c');
    const end = await bench.top(bench.ann);
    await redis.cli('DEL', key('s', bench.ann));
    expect(isProven(top, await bench.broker.read(bench.ann, top, 10))).toBe(false);
    await bench.say(bench.ann, 'd');
    expect(await bench.payloadsAfter(bench.ann, end)).toEqual(['d']);
    expect((await bench.top(bench.ann)).offset).toBeGreaterThan(end.offset);
    expect(isProven(top, await bench.broker.read(bench.ann, top, 10))).toBe(false);
  });

  it('resets who would need a payload that many share, when it is gone, and nobody after it', async () => {
    const bench = open();
    const { userIds, payload } = MANY;
    await bench.broker.publish(messageTo(userIds, 'a'));
    const before = await bench.top(userIds[0]!);
    await bench.broker.publish(messageTo(userIds, payload));
    const after = await bench.top(userIds[0]!);
    await bench.broker.publish(messageTo(userIds, `${payload} b`));
    expect(await bench.payloadsAfter(userIds[0]!, before)).toEqual([payload, `${payload} b`]);
    await redis.cli('DEL', await redis.cli('KEYS', `*:p:${after.tag}*`));
    expect(disproof(before, await bench.broker.read(userIds[0]!, before, 10))).toBe('trimmed');
    expect(await bench.payloadsAfter(userIds[0]!, after)).toEqual([`${payload} b`]);
  });

  it('goes on in line when the history has had its time', async () => {
    const bench = open({ history: { ageMs: 40 } });
    const { recorder } = await bench.listen(bench.ann);
    await bench.say(bench.ann, 'a', 'b');
    await eventually('the stream has ended', async () => (await redis.cli('EXISTS', key('s', bench.ann))) === '0');
    const end = await bench.top(bench.ann);
    await bench.say(bench.ann, 'c');
    await eventually('c came', () => recorder.payloads.length === 3);
    const [, b, c] = recorder.publications;
    expect(c!.previousTag).toBe(b!.tag);
    expect(c!.offset).toBeGreaterThan(b!.offset);
    expect(await bench.payloadsAfter(bench.ann, end)).toEqual(['c']);
  });

  it('keeps at least as many messages as asked for, and an eighth more at most', async () => {
    const bench = open({ history: { messages: 40 } });
    const positions = [await bench.top(bench.ann)];
    for (let i = 0; i < 100; i++) {
      await bench.say(bench.ann, `p${i}`);
      positions.push(await bench.top(bench.ann));
      const isKept = async (back: number) => {
        const position = positions.at(-1 - back);
        return position ? isProven(position, await bench.broker.read(bench.ann, position, 100)) : null;
      };
      expect(await isKept(40)).not.toBe(false);
      expect(await isKept(46)).not.toBe(true);
    }
  });

  it('resets everyone when its top is gone, also where the stream is still there and grows past', async () => {
    const bench = open();
    const origin = await bench.top(bench.ann);
    await bench.say(bench.ann, 'a', 'b');
    const end = await bench.top(bench.ann);
    await redis.cli('DEL', key('u', bench.ann));
    await bench.say(bench.ann, 'c');
    for (const grown of ['d', 'e', 'f']) {
      for (const position of [origin, end]) {
        expect(isProven(position, await bench.broker.read(bench.ann, position, 10))).toBe(false);
      }
      await bench.say(bench.ann, grown);
    }
  });

  it('takes a stream that was read before anything was said for gone as well', async () => {
    const bench = open();
    const origin = await bench.top(bench.ann);
    await redis.cli('DEL', key('u', bench.ann));
    await bench.say(bench.ann, 'a');
    expect(isProven(origin, await bench.broker.read(bench.ann, origin, 10))).toBe(false);
  });

  it('leaves the others alone when a key of one is none of ours', async () => {
    const bench = open();
    await redis.cli('SET', key('u', bench.bob), 'foreign');
    const id = randomUUID();
    const unread = { boxId: 'box' };
    const users = [bench.ann, bench.bob, bench.carol];
    const { appended } = await bench.broker.publish(messageTo(users, 'p', { id, unread }));
    expect(appended.map((one) => one instanceof Error)).toEqual([false, true, false]);
    expect(String(appended[1])).toContain('WRONGTYPE');
    await redis.cli('DEL', key('u', bench.bob));
    const second = await bench.broker.publish(messageTo(users, 'p', { id, unread }));
    expect(second.duplicates).toBe(2);
    for (const user of users) expect(await bench.broker.counters!.counts(user)).toEqual({ box: 1 });
  });
});

describe('what could not be counted', () => {
  beforeEach(() => start());

  it('is not in the stream either', async () => {
    const bench = open();
    await bench.say(bench.ann, 'a');
    const before = await bench.top(bench.ann);
    await redis.cli('HSET', key('u', bench.ann), 'box', 'foreign');
    const { appended } = await bench.broker.publish(messageTo([bench.ann], 'b', { unread: { boxId: 'box' } }));
    expect(appended[0]).toBeInstanceOf(Error);
    await bench.say(bench.ann, 'c');
    expect(await bench.payloadsAfter(bench.ann, before)).toEqual(['c']);
  });
});

describe('calls that are made again', () => {
  beforeEach(() => start());

  it('are known for as long as asked for to those who joined last as well', async () => {
    const bench = open({ deduplicationMs: 60_000 });
    await bench.broker.publish(messageTo([bench.ann], 'p', { id: 'one' }));
    const record = `{${PREFIX}:0}:d:one`;
    await redis.cli('PEXPIRE', record, '30000');
    await bench.broker.publish(messageTo([bench.bob], 'p', { id: 'one' }));
    expect(Number(await redis.cli('PTTL', record))).toBeGreaterThan(30_000);
  });

  it('append once, with an id and without, in batches and to others as well', async () => {
    const bench = open({ partitions: 3 });
    const users = Array.from({ length: 300 }, (_, i) => `user ${i}`);
    const message = messageTo(users.slice(0, 200), 'p', { id: 'one' });
    const first = await bench.broker.publish(message);
    expect(first.duplicates).toBe(0);
    expect(await bench.broker.publish(message)).toEqual(first);
    const wider = await bench.broker.publish(messageTo([...users].reverse(), 'p', { id: 'one' }));
    expect(wider.duplicates).toBe(200);
    expect([...wider.appended].reverse().slice(0, 200)).toEqual(first.appended);
    expect((await bench.broker.publish(messageTo(users, 'p', { id: 'one' }))).duplicates).toBe(300);
    const tops = await bench.broker.tops(users);
    expect(users.map((userId) => place(tops.get(userId)!))).toEqual([...wider.appended].reverse());
    for (const userId of users) expect(await entriesOf(userId, 3)).toBe(1);

    const anonymous = messageTo(users, 'q');
    const told = await bench.broker.publish(anonymous);
    expect(await bench.broker.publish(anonymous)).toEqual(told);
    expect(await entriesOf('user 7', 3)).toBe(2);
  });

  it('at the same time from two processes reach each recipient once', async () => {
    const [one, two] = [open(), open()];
    const users = Array.from({ length: 200 }, (_, i) => `user ${i}`);
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => {
        const some = i % 3 === 0 ? users : users.filter((_, at) => at % (i + 1) > 0);
        return (i % 2 ? one : two).broker.publish(messageTo(some, 'p', { id: 'same', unread: { boxId: 'box' } }));
      }),
    );
    expect(results.flatMap(({ appended }) => appended).filter((position) => position instanceof Error)).toEqual([]);
    for (const user of users) {
      expect(await entriesOf(user)).toBe(1);
      expect(await two.broker.counters!.counts(user)).toEqual({ box: 1 });
    }
  });
});

describe('a call that is made again', () => {
  it('after a new generation appends again, for the stream that held it is gone, and counts no more', async () => {
    await start();
    const bench = open();
    const { recorder } = await bench.listen(bench.ann);
    const many = [bench.ann, bench.bob, ...Array.from({ length: 10 }, (_, i) => `user ${i}`)];
    const message = messageTo(many, 'p', { id: 'one', unread: { boxId: 'box' } });
    await bench.broker.publish(message);
    await redis.cli('DEL', `{${PREFIX}:0}:g`);
    for (const again of [message, messageTo(many, 'p', { id: 'one', unread: { boxId: 'box' } })]) {
      const { appended } = await bench.broker.publish(again);
      const { epoch } = await bench.top(bench.ann);
      expect(appended.map((position) => !(position instanceof Error) && position.epoch)).toEqual(many.map(() => epoch));
      expect((await bench.broker.read(bench.ann, null, 0)).top.offset).toBe(1);
      expect(await bench.broker.counters!.counts(bench.ann)).toEqual({ box: 1 });
    }
    await eventually('it came again', () => recorder.payloads.length === 2);
    expect(recorder.publications.map(({ unread }) => unread)).toEqual([true, false]);
    expect((await bench.broker.publish(messageTo([bench.bob], 'p', { id: 'one' }))).duplicates).toBe(1);
  });

  it('by many is not dearer the second time', async () => {
    await start();
    const bench = open();
    const users = Array.from({ length: 5_000 }, (_, i) => `user ${i}`);
    for (let round = 0; round < 4; round++) {
      const { duplicates } = await bench.broker.publish(messageTo(users, 'p', { id: 'one' }));
      expect(duplicates).toBe(round === 0 ? 0 : users.length);
    }
    const record = await redis.cli('HLEN', `{${PREFIX}:0}:d:one`);
    expect(record).toBe(String(users.length + 1));
  });

  it('counts once where Redis forbids to publish, and says what it forbids', async () => {
    await start();
    await redis.cli('ACL', 'SETUSER', 'worker', 'on', '>pass', '~*', '+@all', 'resetchannels');
    const broker = redisBroker({ url: `redis://worker:pass@127.0.0.1:${redis.port}`, prefix: PREFIX });
    brokers.push(broker);
    const message = () => messageTo(['ann'], 'p', { id: 'one', unread: { boxId: 'box' } });
    const { appended } = await broker.publish(message());
    expect(String(appended[0])).toMatch(/channel/);
    expect((await broker.publish(message())).duplicates).toBe(1);
    expect(await broker.counters.counts('ann')).toEqual({ box: 1 });
  });
});

describe('what is none of ours', () => {
  it('on a channel of ours harms nobody', async () => {
    await start();
    const bench = open();
    const { recorder } = await bench.listen(bench.ann);
    for (const channel of ['0:a', `0:u:${bench.ann}`]) {
      for (const garbage of ['', 'garbage', 'm garbage', `${'x'.repeat(30)}\n\n`]) {
        await redis.cli('PUBLISH', `{${PREFIX}:0}:${channel}`, garbage);
      }
    }
    await bench.say(bench.ann, 'a');
    await eventually('the message', () => recorder.payloads.at(-1) === 'a');
    expect(bench.broker.status).toBe('ready');
  });

  it('asks for more users than fit into one question', async () => {
    await start();
    const bench = open();
    await bench.listen(bench.ann);
    const users = [bench.ann, ...Array.from({ length: 200_000 }, (_, i) => `user ${i}`)];
    expect(await bench.broker.online(users)).toEqual(new Set([bench.ann]));
  });
});

describe('a Redis that has lost what it had accepted', () => {
  it('came back older: a new generation, told to who follows, and no position holds', async () => {
    await start('rdb');
    const bench = open();
    await bench.say(bench.ann, 'a');
    const kept = await bench.top(bench.ann);
    await redis.saveCopy('older');
    await bench.say(bench.ann, 'b', 'c');
    const lost = await bench.top(bench.ann);
    const statuses = statusesOf(bench);
    await redis.kill();
    await eventually('the loss of the connection', () => bench.broker.status === 'lost');
    await redis.restoreCopy('older');
    await redis.start();
    await isReady(bench);
    expect([statuses[0], statuses.at(-1)]).toEqual(['lost', 'ready']);
    for (const position of [kept, lost]) {
      expect(isProven(position, await bench.broker.read(bench.ann, position, 10))).toBe(false);
    }
    await bench.say(bench.ann, 'd', 'e', 'f');
    for (const position of [kept, lost]) {
      expect(isProven(position, await bench.broker.read(bench.ann, position, 10))).toBe(false);
    }
  });

  it('grew past the old offsets before any publisher of the lost part came back: the tags tell', async () => {
    await start('rdb');
    const gone = open();
    await gone.say(gone.ann, 'a');
    await redis.saveCopy('older');
    await gone.say(gone.ann, 'b', 'c');
    const lost = await gone.top(gone.ann);
    await gone.broker.close();
    await redis.kill();
    await redis.restoreCopy('older');
    await redis.start();
    const fresh = open();
    for (const grown of ['d', 'e', 'f']) {
      await fresh.say(gone.ann, grown);
      expect(isProven(lost, await fresh.broker.read(gone.ann, lost, 10))).toBe(false);
    }
  });

  it('was flushed: a new generation by the next probe, and who follows is told', async () => {
    await start();
    const bench = open({ probeMs: 1_000 });
    await bench.say(bench.ann, 'a');
    const position = await bench.top(bench.ann);
    const statuses = statusesOf(bench);
    await redis.cli('FLUSHALL');
    await eventually('the probe', () => statuses.length === 2);
    expect(statuses).toEqual(['lost', 'ready']);
    expect((await bench.top(bench.ann)).epoch).not.toBe(position.epoch);
  });

  it('was flushed: the first process that sees it makes the new generation, and the others go by it', async () => {
    await start();
    const benches = [open({ probeMs: 10_000 }), open({ probeMs: 10_000 }), open({ probeMs: 10_000 })];
    for (const bench of benches) await bench.say(bench.ann, 'a', 'b');
    for (let round = 0; round < 3; round++) {
      const before = await benches[0]!.top('dora');
      await redis.cli('FLUSHALL');
      const epochs = new Set<string>();
      for (const bench of benches) {
        await bench.say(bench.ann, 'c');
        epochs.add((await bench.top('dora')).epoch);
      }
      expect(epochs.size).toBe(1);
      expect(epochs).not.toContain(before.epoch);
    }
  });

  it('was replaced for one process, and goes on for another: what that one loses later is a loss for both', async () => {
    await start();
    const second = await startRedis({ config: ['--replicaof', `127.0.0.1 ${redis.port}`] });
    const wires = await Promise.all([0, 1].map(() => new TcpProxy(redis.port).start()));
    try {
      const [early, late] = wires.map(({ port }) => open({ url: `redis://127.0.0.1:${port}` })) as [
        BrokerBench,
        BrokerBench,
      ];
      for (const bench of [early, late]) await bench.say(bench.ann, 'a');
      await second.synced();
      await second.cli('REPLICAOF', 'NO', 'ONE');
      const move = async (bench: BrokerBench, wire: TcpProxy): Promise<string> => {
        wire.mend(second.port);
        wire.cutAll();
        await eventually('the loss', () => bench.broker.status === 'lost');
        await isReady(bench);
        await bench.say(bench.ann, 'd');
        return (await bench.top(bench.ann)).epoch;
      };
      await early.say(early.ann, 'b');
      const first = await move(early, wires[0]!);
      await late.say(early.ann, 'c');
      expect(await move(late, wires[1]!)).not.toBe(first);
      expect((await early.top(early.ann)).epoch).toBe((await late.top(early.ann)).epoch);
    } finally {
      await Promise.all(brokers.splice(0).map((broker) => broker.close()));
      await Promise.all(wires.map((wire) => wire.stop()));
      await second.close();
    }
  });

  it('went back to a generation before the last: that is a new one again', async () => {
    await start('rdb');
    const bench = open();
    await bench.say(bench.ann, 'a');
    await redis.saveCopy('first');
    const epochs = [(await bench.top(bench.ann)).epoch];
    for (let round = 0; round < 2; round++) {
      await bench.say(bench.ann, 'b', 'c');
      await redis.kill();
      await eventually('the loss of the connection', () => bench.broker.status === 'lost');
      await redis.restoreCopy('first');
      await redis.start();
      await isReady(bench);
      await bench.say(bench.ann, 'd');
      epochs.push((await bench.top(bench.ann)).epoch);
    }
    expect(new Set(epochs).size).toBe(3);
  });

  it('restarted whole: positions hold, and with rollback strict they do not', async () => {
    await start('aof-always');
    const [detecting, strict] = [open(), open({ prefix: 'strict', rollback: 'strict' })];
    await detecting.say(detecting.ann, 'a');
    await strict.say(strict.ann, 'a');
    const [one, other] = [await detecting.top(detecting.ann), await strict.top(strict.ann)];
    await redis.kill();
    await eventually('the loss', () => [detecting, strict].every(({ broker }) => broker.status === 'lost'));
    await redis.start();
    await Promise.all([detecting, strict].map(isReady));
    expect(isProven(one, await detecting.broker.read(detecting.ann, one, 10))).toBe(true);
    expect(isProven(other, await strict.broker.read(strict.ann, other, 10))).toBe(false);
  });
});

describe('what is kept', () => {
  beforeEach(() => start());

  it('has an end, but for counts, the generation and the layout', async () => {
    const bench = open({ marksMs: 60_000, positionMs: 60_000, deduplicationMs: 60_000, history: { ageMs: 60_000 } });
    const write = { id: 'one', unread: { boxId: 'box' } };
    await bench.broker.publish(messageTo([bench.ann], 'p', write));
    await bench.broker.publish(messageTo(MANY.userIds, MANY.payload));
    await bench.broker.mark(bench.ann, {});
    await bench.top(bench.bob);
    const kept = (await redis.cli('KEYS', '*')).split('\n');
    const endless = async () => {
      const ends = await Promise.all(kept.map(async (name) => [name, await redis.cli('PTTL', name)] as const));
      return ends.filter(([, ms]) => ms === '-1').map(([name]) => name);
    };
    const meant = [key('u', bench.ann), `{${PREFIX}:0}:g`, `{${PREFIX}}:layout`].sort();
    await eventually('the rest has an end', async () => isDeepStrictEqual((await endless()).sort(), meant));
    // The layout, the generation, the writes; ann's, bob's; and of many, the payload and a record.
    expect(kept).toHaveLength(10 + 2 * MANY.userIds.length);
  });

  it('is laid out for so many partitions, and another number is refused with what to change', async () => {
    const bench = open({ partitions: 2 });
    await bench.say(bench.ann, 'a');
    const other = open({ partitions: 3 });
    await expect(other.top(bench.ann)).rejects.toThrow(
      /"format 1, partitions 2".*give every process the same partitions/,
    );
    expect(partitionOf(bench.ann, 2)).toBeLessThan(2);
  });
});
