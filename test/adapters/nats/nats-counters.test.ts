import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { connect, type NatsConnection, type PublishOptions } from '@nats-io/transport-node';
import type { Counted, CounterStore, Position } from 'usercast';
import { counterStoreSuite } from 'usercast/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { natsBroker } from '../../../adapters/nats/nats-broker.ts';
import { type NatsCounterOptions, natsCounters } from '../../../adapters/nats/nats-counters.ts';
import { expectRightCounts } from '../../support/busy-user.ts';
import { cleanUp, listen } from '../../support/fixture.ts';
import { eventually } from '../../support/raw-client.ts';
import { seededRandom } from '../../support/seed.ts';
import { type NatsServer, startNats } from '../../support/servers/nats.ts';
import { startNatsCluster } from '../../support/servers/nats-cluster.ts';
import { answering } from './nats-scene.ts';

const EPOCH = 'epoch-of-stream-';
const BUCKET = 'usercast-counters';

let server: NatsServer;
const stores: CounterStore[] = [];

beforeAll(async () => {
  server = await startNats();
});

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

afterAll(() => server.close());

function at(offset: number): Position {
  return { epoch: EPOCH, offset, tag: 'tttttttt' };
}

function event(userId: string, offset: number, more: Partial<Counted> = {}): Counted {
  return { userId, boxId: 'box', id: `event:${offset}`, position: at(offset), ...more };
}

function open(options: Partial<NatsCounterOptions> = {}, on = server): CounterStore {
  const store = natsCounters({ ...(options.connection ? {} : { servers: on.url }), ...options });
  stores.push(store);
  return store;
}

/** What an operator's tools say: a JetStream request beside the store, over a connection of its own. */
async function ask<T>(subject: string, question?: object, on = server): Promise<T> {
  const connection = await connect({ servers: on.url });
  try {
    const reply = await connection.request(`$JS.API.${subject}`, question ? JSON.stringify(question) : '');
    return reply.json<T>();
  } finally {
    await connection.close();
  }
}

interface StreamInfo {
  readonly config: Record<string, unknown>;
  readonly state: { readonly messages: number; readonly bytes: number; readonly last_seq: number };
}

const infoOf = (bucket = BUCKET, on = server): Promise<StreamInfo> => ask(`STREAM.INFO.KV_${bucket}`, undefined, on);

/** A bucket that somebody else made. */
async function makeBucket(bucket: string, settings: object): Promise<void> {
  const usual = { max_msgs_per_subject: 1, storage: 'file', discard: 'new', allow_rollup_hdrs: true, num_replicas: 1 };
  const stream = { name: `KV_${bucket}`, subjects: [`$KV.${bucket}.>`], retention: 'limits', ...usual, ...settings };
  expect(await ask(`STREAM.CREATE.KV_${bucket}`, stream)).not.toHaveProperty('error');
}

/** The connection of a client that never says what it expects to replace. */
function withoutHeaders(connection: NatsConnection): NatsConnection {
  return new Proxy(connection, {
    get(target, key) {
      if (key === 'publish') {
        return (subject: string, data: Uint8Array, options?: { reply?: string }) =>
          target.publish(subject, data, options?.reply ? { reply: options.reply } : {});
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A connection to a replica that has given out so many sequences fewer than the leader before it. */
function behind(connection: NatsConnection, fewer: () => number): NatsConnection {
  const told = answering(connection, (text) => text.replace(/"seq":(\d+)/g, (_, seq) => `"seq":${seq - fewer()}`));
  const expected = 'Nats-Expected-Last-Subject-Sequence';
  return new Proxy(told, {
    get(target, key) {
      if (key !== 'publish') return Reflect.get(target, key, target);
      return (subject: string, data: Uint8Array, options?: PublishOptions) => {
        const revision = Number(options?.headers?.get(expected));
        if (revision > 0) options!.headers!.set(expected, String(revision + fewer()));
        target.publish(subject, data, options);
      };
    },
  });
}

/**
 * Increments and resets one user from all processes at once, some of it twice, in a random order.
 * Gives what each process counts then, and what is right: an event counts that no ack of its box reaches.
 */
async function race(processes: readonly CounterStore[], random: () => number) {
  const pick = (below: number): number => Math.floor(random() * below);
  const any = (): CounterStore => processes[pick(processes.length)]!;
  const boxes = ['one', 'two', 'three'];
  const ann = randomUUID();
  const events = Array.from({ length: 240 }, (_, i) => event(ann, i + 1, { boxId: boxes[pick(3)]! }));
  const acks = Array.from({ length: 12 }, () => ({ boxId: boxes[pick(3)]!, upTo: pick(200) }));
  const calls: (() => Promise<void>)[] = acks.map(
    ({ boxId, upTo }) =>
      () =>
        any().reset(ann, boxId, at(upTo)),
  );
  for (let from = 0; from < events.length; ) {
    const some = events.slice(from, from + 1 + pick(4));
    from += some.length;
    // Now and then again, as a publisher does that was not answered.
    for (let times = pick(3) === 0 ? 2 : 1; times > 0; times--) calls.push(() => any().increment(some));
  }
  for (let i = calls.length - 1; i > 0; i--) {
    const other = pick(i + 1);
    [calls[i], calls[other]] = [calls[other]!, calls[i]!];
  }
  // A few at a time, so that acks meet counts of all sides.
  while (calls.length > 0) await Promise.all(calls.splice(0, 1 + pick(20)).map((call) => call()));

  const model: Record<string, number> = {};
  for (const boxId of boxes) {
    const acked = Math.max(0, ...acks.filter((ack) => ack.boxId === boxId).map(({ upTo }) => upTo));
    const left = events.filter((each) => each.boxId === boxId && each.position.offset > acked).length;
    if (left > 0) model[boxId] = left;
  }
  return { found: await Promise.all(processes.map((store) => store.counts(ann))), model };
}

counterStoreSuite(
  { describe, it },
  {
    name: 'natsCounters',
    create: () => natsCounters({ servers: server.url }),
    capabilities: { reopen: () => natsCounters({ servers: server.url }) },
  },
);

it('natsCounters give every session of a busy user the counts as of its head', async () => {
  const broker = natsBroker({ servers: server.url });
  try {
    await expectRightCounts(await listen({ broker, counters: open({ bucket: 'busy' }) }), seededRandom(4));
  } finally {
    await cleanUp();
    await broker.close();
  }
});

describe('the options of natsCounters', () => {
  const servers = 'nats://127.0.0.1:4222';
  const wrong: [string, unknown, RegExp][] = [
    ['neither servers nor connection', {}, /either servers or connection/],
    ['both', { servers, connection: {} }, /either servers or connection/],
    ['no servers in the list', { servers: [] }, /servers must be .* got an array/],
    ['an empty server', { servers: '' }, /servers must be .* got ""/],
    ['a connection that is none', { connection: { publish() {} } }, /connection must be a NatsConnection/],
    ['a bucket that is no name', { servers, bucket: 'a.b' }, /bucket must be .* got "a\.b"/],
    ['too many replicas', { servers, replicas: 6 }, /replicas must be .* got 6/],
    ['half a replica', { servers, replicas: 0.5 }, /replicas must be .* got 0\.5/],
    ['no time to remember', { servers, rememberMs: 0 }, /rememberMs must be .* got 0/],
    ['no deadline', { servers, deadlineMs: Number.NaN }, /deadlineMs must be .* got NaN/],
    ['an unknown one', { servers, buckets: 'x' }, /no option "buckets"/],
  ];
  it.each(wrong)('are refused at once: %s', (_, options, message) => {
    const make = (): CounterStore => natsCounters(options as NatsCounterOptions);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });
});

describe('the bucket of natsCounters', () => {
  it('is made by several processes at once, with the settings that counts need', async () => {
    const bucket = `made-${randomUUID()}`;
    const ann = randomUUID();
    const many = Array.from({ length: 5 }, () => open({ bucket }));
    await Promise.all(many.map((store, i) => store.increment([event(ann, i + 1)])));
    expect(await many[0]!.counts(ann)).toEqual({ box: 5 });
    expect((await infoOf(bucket)).config).toMatchObject({
      max_msgs_per_subject: 1,
      storage: 'file',
      max_age: 0,
      discard: 'new',
      num_replicas: 1,
    });
  });

  const refused: [string, object, RegExp][] = [
    ['a longer history', { max_msgs_per_subject: 5 }, /history \(max_msgs_per_subject\) 5/],
    ['a memory store', { storage: 'memory' }, /storage "memory"/],
    ['an expiry', { max_age: 3_600_000_000_000, duplicate_window: 60_000_000_000 }, /ttl .* 3600000000000/],
    ['a limit that drops the oldest', { max_bytes: 1_000_000, discard: 'old' }, /discard beside max_bytes "old"/],
    ['no purge', { deny_purge: true, allow_rollup_hdrs: false }, /deny_purge true/],
    ['other subjects', { subjects: ['something.else'] }, /subjects \["something\.else"\]/],
  ];
  it.each(refused)('is refused with %s, and the error names the setting', async (_, settings, message) => {
    const bucket = `refused-${randomUUID()}`;
    await makeBucket(bucket, settings);
    const store = open({ bucket });
    const failed = expect(store.increment([event('ann', 1)])).rejects;
    await failed.toMatchObject({ code: 'broker_unavailable', message: expect.stringMatching(message) });
    await ask(`STREAM.DELETE.KV_${bucket}`);
  });

  it('is refused when the server cannot store it as often as asked for', async () => {
    const alone = open({ bucket: `alone-${randomUUID()}`, replicas: 3 });
    await expect(alone.counts('ann')).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringMatching(/with 3 replicas: replicas > 1 not supported/),
    });
    const bucket = `single-${randomUUID()}`;
    await makeBucket(bucket, {});
    await expect(open({ bucket, replicas: 2 }).counts('ann')).rejects.toMatchObject({
      message: expect.stringMatching(/replicas \(num_replicas\) 1; counts need the 2 asked for/),
    });
  });

  it('is made anew when it was deleted', async () => {
    const bucket = `deleted-${randomUUID()}`;
    const store = open({ bucket });
    await store.increment([event('ann', 1)]);
    await ask(`STREAM.DELETE.KV_${bucket}`);
    await store.increment([event('ann', 2)]);
    expect(await store.counts('ann')).toEqual({ box: 1 });
  });

  it('holds little per user', async () => {
    const bucket = `sizes-${randomUUID()}`;
    const store = open({ bucket });
    await store.counts('nobody');
    const empty = (await infoOf(bucket)).state.bytes;
    const users = Array.from({ length: 200 }, () => randomUUID());
    await store.increment(users.map((userId) => event(userId, 12_345_678, { boxId: randomUUID(), id: randomUUID() })));
    const perUser = ((await infoOf(bucket)).state.bytes - empty) / users.length;
    expect(perUser).toBeLessThan(300);
  });

  it('keeps nothing of a user that was forgotten, not the name either', async () => {
    const bucket = `forgotten-${randomUUID()}`;
    const store = open({ bucket });
    await store.counts('nobody');
    const before = (await infoOf(bucket)).state.messages;
    await store.increment([event('ann', 1)]);
    await store.forget('ann');
    expect((await infoOf(bucket)).state.messages).toBe(before);
    await store.increment([event('ann', 2)]);
    expect(await store.counts('ann')).toEqual({ box: 1 });
  });

  it('is told to be unreadable where an entry is not ours', async () => {
    const store = open();
    const ann = randomUUID();
    const connection = await connect({ servers: server.url });
    await connection.request(`$KV.${BUCKET}.${Buffer.from(ann).toString('base64url')}`, 'something else');
    await connection.close();
    await expect(store.increment([event(ann, 1)])).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringMatching(/entries of version 115 are not known/),
    });
  });

  it('refuses an entry that the server would not take, for that user alone', async () => {
    const bucket = `small-${randomUUID()}`;
    await makeBucket(bucket, { max_msg_size: 2_048 });
    const store = open({ bucket });
    const many = Array.from({ length: 300 }, (_, i) => event('ann', i + 1));
    await expect(store.increment([...many, event('bob', 1)])).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringMatching(/take \d+ bytes, and the server takes at most 1792/),
    });
    expect([await store.counts('ann'), await store.counts('bob')]).toEqual([{}, { box: 1 }]);
  });
});

describe('natsCounters', () => {
  it('agree with the model when three processes increment and reset one user at once', async () => {
    const random = seededRandom(1);
    for (let round = 0; round < 5; round++) {
      const processes = [open(), open(), open()];
      const { found, model } = await race(processes, random);
      expect(found).toEqual([model, model, model]);
    }
  });

  it('would not agree with it if the server did not compare, or ids were not remembered', async () => {
    const random = seededRandom(2);
    const connection = await connect({ servers: server.url });
    const blind = [1, 2, 3].map(() => open({ connection: withoutHeaders(connection) }));
    const forgetful = [1, 2, 3].map(() => open({ rememberMs: 1, bucket: `forgetful-${randomUUID()}` }));
    for (const processes of [blind, forgetful]) {
      let differences = 0;
      for (let round = 0; round < 10 && differences === 0; round++) {
        const { found, model } = await race(processes, random);
        if (!isDeepStrictEqual(found[0], model)) differences++;
      }
      expect(differences).toBe(1);
    }
    await Promise.all(stores.splice(0).map((store) => store.close()));
    await connection.close();
  });

  it('count for many users in one call', async () => {
    const store = open();
    const users = Array.from({ length: 1_000 }, () => randomUUID());
    await store.increment(users.map((userId) => event(userId, 1)));
    await store.increment(users.map((userId) => event(userId, 2)));
    const counts = await Promise.all(users.map((userId) => store.counts(userId)));
    expect(counts.every(({ box }) => box === 2)).toBe(true);
  });

  it('write once for what comes together, and once for each that comes alone', async () => {
    const connection = await connect({ servers: server.url });
    const store = open({ connection });
    const ann = randomUUID();
    await store.increment([event(ann, 1)]);
    const writes = async (work: () => Promise<unknown>): Promise<[stored: number, asked: number]> => {
      const [before, askedBefore] = [(await infoOf()).state.last_seq, connection.stats().outMsgs];
      await work();
      return [(await infoOf()).state.last_seq - before, connection.stats().outMsgs - askedBefore];
    };
    const together = await writes(() =>
      Promise.all(Array.from({ length: 500 }, (_, i) => store.increment([event(ann, 2 + i)]))),
    );
    // The first goes alone, at once; the others wait for it and go together.
    expect(together).toEqual([2, 2]);
    const alone = await writes(async () => {
      for (let i = 0; i < 20; i++) await store.increment([event(ann, 1_000 + i)]);
    });
    expect(alone).toEqual([20, 20]);
    expect(await store.counts(ann)).toEqual({ box: 521 });
    await store.close();
    expect(connection.isClosed()).toBe(false);
    await connection.close();
  });

  it('go on from what another process wrote, also right after a write of their own', async () => {
    const [one, other] = [open(), open()];
    const ann = randomUUID();
    for (let i = 1; i <= 10; i++) {
      await one.increment([event(ann, 2 * i)]);
      await other.increment([event(ann, 2 * i + 1)]);
      expect(await one.counts(ann)).toEqual({ box: 2 * i });
    }
    await other.forget(ann);
    await one.increment([event(ann, 50)]);
    expect(await other.counts(ann)).toEqual({ box: 1 });
  });

  it('go on at once where a replica leads that gives out sequences again', async () => {
    const connection = await connect({ servers: server.url });
    let fewer = 0;
    const store = open({ connection: behind(connection, () => fewer), bucket: `behind-${randomUUID()}` });
    const [before, after] = [20, 40];
    for (let i = 1; i <= after; i++) {
      if (i > before) fewer = before / 2;
      await store.increment([event('ann', i)]);
    }
    expect(await store.counts('ann')).toEqual({ box: after });
    await store.close();
    await connection.close();
  });

  it('reject what waits and what comes when they are closed', async () => {
    const store = natsCounters({ servers: server.url });
    const waiting = expect(store.increment([event('ann', 1)])).rejects.toMatchObject({ code: 'closed' });
    await store.close();
    await waiting;
    await expect(store.counts('ann')).rejects.toMatchObject({ code: 'closed' });
    await store.close();
  });
});

describe('natsCounters, when the server fails,', () => {
  it('wait for the first connection within their deadline, and say what kept them', async () => {
    const late = await startNats();
    await late.kill();
    try {
      const store = open({ deadlineMs: 1_500 }, late);
      const failed = expect(store.counts('ann')).rejects;
      await failed.toMatchObject({ code: 'deadline', cause: { code: 'broker_unavailable' } });
      const patient = open({ deadlineMs: 20_000 }, late);
      const counted = patient.increment([event('ann', 1)]);
      await late.start();
      await counted;
      expect(await patient.counts('ann')).toEqual({ box: 1 });
    } finally {
      await late.close();
    }
  });

  it('lose nothing that was accepted, and count nothing twice, across kill -9', async () => {
    const killed = await startNats();
    try {
      const many = [open({}, killed), open({}, killed)];
      const users = Array.from({ length: 20 }, () => randomUUID());
      const accepted: Counted[] = [];
      const unknown: Counted[] = [];
      let offset = 0;
      let isOver = false;
      const publish = async (store: CounterStore): Promise<void> => {
        while (!isOver) {
          const position = ++offset;
          const events = users.map((userId) => event(userId, position));
          await store.increment(events).then(
            () => accepted.push(...events),
            () => unknown.push(...events),
          );
        }
      };
      const publishing = many.map((store) => publish(store));
      for (let round = 0; round < 3; round++) {
        const { length } = accepted;
        await eventually('some more are counted', () => accepted.length > length + 200, 20_000);
        await killed.restart();
      }
      isOver = true;
      await Promise.all(publishing);
      for (const store of many) {
        for (const userId of users) {
          const { box = 0 } = await store.counts(userId);
          expect(box).toBeGreaterThanOrEqual(accepted.filter((each) => each.userId === userId).length);
          expect(box).toBeLessThanOrEqual(offset);
        }
      }
      for (const each of [...unknown, ...accepted.slice(-100)]) await many[0]!.increment([each]);
      for (const userId of users) expect(await many[1]!.counts(userId)).toEqual({ box: offset });
    } finally {
      await killed.close();
    }
  }, 120_000);

  it('do not remember what was forgotten, across kill -9', async () => {
    const killed = await startNats();
    try {
      const store = open({}, killed);
      await store.increment([event('ann', 1), event('bob', 1)]);
      await store.forget('ann');
      await killed.restart();
      expect([await store.counts('ann'), await store.counts('bob')]).toEqual([{}, { box: 1 }]);
    } finally {
      await killed.close();
    }
  });

  it('reject within the deadline while it stands still, and count once what is given again', async () => {
    const frozen = await startNats();
    try {
      const store = open({ deadlineMs: 1_500 }, frozen);
      await store.increment([event('ann', 1)]);
      frozen.freeze();
      const rejected = [store.increment([event('ann', 2)]), store.counts('ann'), store.forget('bob')];
      for (const each of rejected) await expect(each).rejects.toMatchObject({ code: 'deadline' });
      frozen.thaw();
      await eventually('it answers', () => store.counts('ann').then(Boolean, () => false));
      await store.increment([event('ann', 2)]);
      expect(await store.counts('ann')).toEqual({ box: 2 });
    } finally {
      frozen.thaw();
      await frozen.close();
    }
  }, 60_000);

  it('hold back only so much', async () => {
    const frozen = await startNats();
    try {
      const store = open({ deadlineMs: 2_000 }, frozen);
      await store.increment([event('ann', 1)]);
      frozen.freeze();
      const stuck = expect(store.increment([event('ann', 2)])).rejects.toMatchObject({ code: 'deadline' });
      const tooMany = Array.from({ length: 100_000 }, (_, i) => event(`user ${i}`, 1));
      await expect(store.increment(tooMany)).rejects.toMatchObject({ code: 'overloaded' });
      await stuck;
    } finally {
      frozen.thaw();
      await frozen.close();
    }
  }, 60_000);

  it('lose nothing that was accepted when the leader of three replicas is killed', async () => {
    await using cluster = await startNatsCluster();
    const many = [1, 2].map(() => open({ servers: cluster.urls, replicas: 3, deadlineMs: 20_000 }));
    const users = ['ann', 'bob', 'cid'];
    let offset = 0;
    const count = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const position = ++offset;
        await many[i % 2]!.increment(users.map((userId) => event(userId, position)));
      }
    };
    await count();
    const counting = count();
    await cluster.killLeaderOf(`KV_${BUCKET}`);
    await counting;
    for (const userId of users) {
      for (const store of many) expect(await store.counts(userId)).toEqual({ box: 100 });
    }
  }, 60_000);
});
