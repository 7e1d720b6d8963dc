import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Broker } from '../../src/broker/broker.ts';
import { disproof } from '../../src/broker/contiguity.ts';
import { memoryBroker } from '../../src/broker/memory-broker.ts';
import { messageTo } from '../../src/testing/broker-bench.ts';
import { brokerSuite } from '../../src/testing/broker-suite.ts';
import { Recorder } from '../../src/testing/recorder.ts';

brokerSuite(
  { describe, it },
  {
    name: 'memoryBroker',
    create: () => memoryBroker(),
    capabilities: {
      counters: true,
      dense: true,
      historyMessages: 100,
      clock: { deduplicationMs: 300_000, advance: (ms) => void vi.advanceTimersByTime(ms) },
    },
  },
);

const MINUTE_MS = 60_000;
const unread = { boxId: 'box' };
const KB = 'x'.repeat(1_024);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const top = async (broker: Broker, userId: string) => (await broker.read(userId, null, 0)).top;
const origin = async (broker: Broker, userId: string) => {
  const { epoch } = await top(broker, userId);
  return { epoch, offset: 0, tag: '--------' };
};
const kept = async (broker: Broker, userId: string) =>
  (await broker.read(userId, await origin(broker, userId), 1_000)).entries.map(({ payload }) => payload);

describe('the history', () => {
  it('keeps so many messages per user', async () => {
    const broker = memoryBroker({ history: { messages: 2 } });
    const positions = [await top(broker, 'ann')];
    for (const payload of ['a', 'b', 'c']) {
      await broker.publish(messageTo(['ann'], payload));
      positions.push(await top(broker, 'ann'));
    }
    expect(await kept(broker, 'ann')).toEqual(['b', 'c']);
    const reasons = [];
    for (const position of positions) reasons.push(disproof(position, await broker.read('ann', position, 10)));
    expect(reasons).toEqual(['trimmed', null, null, null]);
  });

  it('keeps 100 messages by default', async () => {
    const broker = memoryBroker();
    for (let i = 0; i < 101; i++) await broker.publish(messageTo(['ann', 'bob'], `p${i}`));
    expect(await kept(broker, 'ann')).toHaveLength(100);
    expect(broker.stats().entries).toBe(200);
  });

  it('keeps messages for so long, and a position at the top stays good', async () => {
    const broker = memoryBroker();
    const before = await origin(broker, 'ann');
    await broker.publish(messageTo(['ann'], 'old'));
    vi.advanceTimersByTime(4 * MINUTE_MS);
    await broker.publish(messageTo(['ann'], 'new'));
    const last = await top(broker, 'ann');
    vi.advanceTimersByTime(MINUTE_MS);
    expect(await kept(broker, 'ann')).toEqual(['new']);
    expect(disproof(before, await broker.read('ann', before, 10))).toBe('trimmed');
    vi.advanceTimersByTime(4 * MINUTE_MS);
    expect(await kept(broker, 'ann')).toEqual([]);
    expect(disproof(before, await broker.read('ann', before, 10))).toBe('trimmed');
    expect(disproof(last, await broker.read('ann', last, 10))).toBeNull();
    await broker.publish(messageTo(['ann'], 'newer'));
    const slice = await broker.read('ann', last, 10);
    expect([slice.entries.length, disproof(last, slice)]).toEqual([1, null]);
  });

  it('of users that nobody reads goes too, without anyone publishing', async () => {
    const broker = memoryBroker({ history: { ageMs: MINUTE_MS } });
    await broker.publish(messageTo(['ann', 'bob'], 'p', { id: 'one' }));
    const full = broker.stats();
    expect(full.entries).toBe(2);
    vi.advanceTimersByTime(6 * MINUTE_MS);
    expect(broker.stats()).toMatchObject({ users: 2, entries: 0 });
    expect(broker.stats().bytes).toBeLessThan(full.bytes);
  });
});

describe('the deduplication window', () => {
  it('is five minutes from the newest call by default', async () => {
    const broker = memoryBroker();
    const again = async () => (await broker.publish(messageTo(['ann'], 'p', { id: 'one', unread }))).duplicates;
    expect(await again()).toBe(0);
    vi.advanceTimersByTime(5 * MINUTE_MS - 1);
    expect(await again()).toBe(1);
    vi.advanceTimersByTime(5 * MINUTE_MS - 1);
    expect(await again()).toBe(1);
    vi.advanceTimersByTime(5 * MINUTE_MS);
    expect(await again()).toBe(0);
    expect(await broker.counters.counts('ann')).toEqual({ box: 2 });
  });

  it('ends for each id on its own', async () => {
    const broker = memoryBroker({ deduplicationMs: 1_000 });
    const publish = async (id: string) => (await broker.publish(messageTo(['ann'], 'p', { id }))).duplicates;
    await publish('one');
    vi.advanceTimersByTime(600);
    await publish('two');
    vi.advanceTimersByTime(600);
    expect([await publish('one'), await publish('two')]).toEqual([0, 1]);
  });

  it('costs nothing any more once it is over, also of ids that came often', async () => {
    const broker = memoryBroker({ deduplicationMs: 1_000, history: { ageMs: 1_000 } });
    await broker.publish(messageTo(['ann', 'bob', 'carol'], 'p'));
    vi.advanceTimersByTime(30_000);
    const { bytes } = broker.stats();
    for (const userIds of [['ann'], ['ann', 'bob'], ['ann', 'bob'], ['carol']]) {
      await broker.publish(messageTo(userIds, 'p', { id: 'one' }));
    }
    expect(broker.stats().bytes).toBeGreaterThan(bytes);
    vi.advanceTimersByTime(60_000);
    expect(broker.stats().bytes).toBe(bytes);
  });

  it('outlives the history: what was let go is not delivered again', async () => {
    const broker = memoryBroker({ history: { messages: 1 } });
    const first = await broker.publish(messageTo(['ann'], 'p', { id: 'one' }));
    await broker.publish(messageTo(['ann'], 'q'));
    const again = await broker.publish(messageTo(['ann'], 'p', { id: 'one' }));
    expect(again).toEqual({ ...first, duplicates: 1 });
    expect(await kept(broker, 'ann')).toEqual(['q']);
  });

  it('outlives a forgotten user', async () => {
    const broker = memoryBroker();
    await broker.publish(messageTo(['ann'], 'p', { id: 'one', unread }));
    await broker.forget('ann');
    expect((await broker.publish(messageTo(['ann'], 'p', { id: 'one', unread }))).duplicates).toBe(1);
    expect([await kept(broker, 'ann'), await broker.counters.counts('ann')]).toEqual([[], {}]);
  });
});

describe('maxUsers', () => {
  it('lets users go that were not used lately, with their counts; connected users stay', async () => {
    const broker = memoryBroker({ maxUsers: 10 });
    await broker.subscribe('connected', new Recorder());
    const before = await top(broker, 'connected');
    const idle = Array.from({ length: 8 }, (_, i) => `idle ${i}`);
    await broker.publish(messageTo([...idle, 'ann'], 'p', { unread }));
    for (let i = 0; i < 8; i++) await broker.publish(messageTo([`new ${i}`, 'ann'], 'p', { unread }));
    expect(broker.stats()).toMatchObject({ users: 10, evictedUsers: 8 });
    expect(await broker.counters.counts('ann')).toEqual({ box: 9 });
    for (const userId of idle) expect(await broker.counters.counts(userId)).toEqual({});
    expect(await broker.counters.counts('new 7')).toEqual({ box: 1 });
    expect(await top(broker, 'connected')).toEqual(before);
  });

  it('gives a user that comes back another epoch', async () => {
    const broker = memoryBroker({ maxUsers: 1 });
    await broker.publish(messageTo(['ann'], 'p'));
    const last = await top(broker, 'ann');
    await broker.publish(messageTo(['bob'], 'p'));
    expect(disproof(last, await broker.read('ann', last, 10))).toBe('epoch');
  });

  it('tells which recipients it has no room for when all are connected, and serves the others', async () => {
    const broker = memoryBroker({ maxUsers: 2 });
    const recorder = new Recorder();
    const stop = await broker.subscribe('ann', recorder);
    await broker.subscribe('bob', new Recorder());
    const message = () => messageTo(['carol', 'ann', 'dave', 'bob'], 'p', { id: 'one', unread });
    const { appended, duplicates } = await broker.publish(message());
    expect(duplicates).toBe(0);
    expect(appended.map((position) => position instanceof Error)).toEqual([true, false, true, false]);
    expect(appended[0]).toMatchObject({ code: 'overloaded', message: expect.stringContaining('maxUsers of 2') });
    expect(recorder.payloads).toEqual(['p']);
    for (const call of [
      () => broker.read('carol', null, 0),
      () => broker.subscribe('carol', new Recorder()),
      () => broker.tops(['carol']),
      () => broker.mark('carol', {}),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'overloaded' });
    }
    expect(await broker.counters.counts('carol')).toEqual({});
    stop();
    const again = await broker.publish({
      ...message(),
      deliveries: [{ payload: 'p', userIds: ['carol', 'bob'], unread }],
    });
    expect(again.duplicates).toBe(1);
    expect(await broker.counters.counts('carol')).toEqual({ box: 1 });
  });
});

describe('maxBytes', () => {
  const maxBytes = 65_536;
  const fill = async (broker: Broker, userId: string, messages: number) => {
    for (let i = 0; i < messages; i++) await broker.publish(messageTo([userId], KB, { unread }));
  };

  it('lets histories go, of the users not used for longest first; their positions and counts stay', async () => {
    const broker = memoryBroker({ maxBytes });
    await fill(broker, 'idle', 25);
    const last = await top(broker, 'idle');
    await fill(broker, 'busy', 40);
    expect(broker.stats().bytes).toBeLessThan(maxBytes + 2 * KB.length);
    expect(broker.stats()).toMatchObject({ users: 2, evictedUsers: 0 });
    expect(await kept(broker, 'idle')).toEqual([]);
    expect((await kept(broker, 'busy')).length).toBeGreaterThan(20);
    expect(await broker.counters.counts('idle')).toEqual({ box: 25 });
    expect(disproof(last, await broker.read('idle', last, 10))).toBeNull();
  });

  it('counts one message for all of its recipients', async () => {
    const broker = memoryBroker({ maxBytes });
    const userIds = Array.from({ length: 50 }, (_, i) => `user ${i}`);
    await broker.publish(messageTo(userIds, KB));
    expect(broker.stats().bytes).toBeLessThan(50 * 600 + 2 * KB.length);
  });

  it('is held by messages larger than itself', async () => {
    const broker = memoryBroker({ maxBytes });
    for (const userId of ['ann', 'bob', 'ann']) await broker.publish(messageTo([userId], KB.repeat(100)));
    expect(broker.stats().entries).toBe(1);
  });

  it('refuses messages when counts fill it, takes acks, and goes on when they have made room', async () => {
    const broker = memoryBroker({ maxBytes });
    const full = async () => {
      for (let i = 0; ; i++) await broker.publish(messageTo(['ann'], 'p', { unread: { boxId: `box ${i}` } }));
    };
    await expect(full()).rejects.toMatchObject({
      code: 'overloaded',
      message: expect.stringContaining(`maxBytes of ${maxBytes}`),
    });
    const counts = await broker.counters.counts('ann');
    const last = await top(broker, 'ann');
    await expect(broker.publish(messageTo(['ann', 'bob'], 'p'))).rejects.toMatchObject({ code: 'overloaded' });
    expect([await broker.counters.counts('ann'), await top(broker, 'ann')]).toEqual([counts, last]);
    for (let i = 0; i < 50; i++) await broker.publish(messageTo(['bob'], KB, { ack: unread }));
    expect(broker.stats().bytes).toBeLessThan(maxBytes + 5 * KB.length);
    for (const boxId of Object.keys(counts).slice(0, 60)) {
      await broker.publish(messageTo(['ann'], 'ack', { ack: { boxId } }));
    }
    await broker.publish(messageTo(['ann', 'bob'], 'p'));
    expect(await kept(broker, 'bob')).toContain('p');
  });

  it('refuses messages when ids to remember fill it, until they expire', async () => {
    const broker = memoryBroker({ maxBytes, deduplicationMs: 1_000 });
    const full = async () => {
      for (let i = 0; ; i++) await broker.publish(messageTo(['ann'], 'p', { id: `event ${i}` }));
    };
    await expect(full()).rejects.toMatchObject({ code: 'overloaded' });
    vi.advanceTimersByTime(1_000);
    await broker.publish(messageTo(['ann'], 'p', { id: 'event' }));
    expect(broker.stats().bytes).toBeLessThan(maxBytes / 2);
  });
});

describe('its end', () => {
  it('leaves no timer and nothing in memory', async () => {
    const broker = memoryBroker();
    await broker.publish(messageTo(['ann'], 'p', { id: 'one', unread }));
    expect(vi.getTimerCount()).toBe(1);
    await broker.close();
    expect(vi.getTimerCount()).toBe(0);
    expect(broker.stats()).toMatchObject({ users: 0, entries: 0, bytes: 0 });
  });

  it('costs what it cost when all users are forgotten', async () => {
    const broker = memoryBroker({ deduplicationMs: 1_000 });
    await broker.publish(messageTo(['ann', 'bob'], KB, { id: 'one', unread }));
    for (const userId of ['ann', 'bob']) await broker.forget(userId);
    vi.advanceTimersByTime(30_000);
    expect(broker.stats()).toMatchObject({ users: 0, entries: 0, bytes: 0 });
  });

  it('keeps the newest 100 disconnect marks', async () => {
    const broker = memoryBroker();
    for (let i = 0; i < 120; i++) await broker.mark('ann', {});
    const { marks, markNumber } = await broker.read('ann', null, 0);
    expect([marks.length, marks[0]!.number, marks.at(-1)!.number, markNumber]).toEqual([100, 21, 120, 120]);
  });
});

describe('its options', () => {
  it.each([
    [{ history: { messages: 0 } }, 'history.messages must be a whole number of at least 1, got 0'],
    [{ history: { ageMs: -1 } }, 'history.ageMs must be a whole number of at least 1, got -1'],
    [{ history: { ageMs: '5m' } }, 'history.ageMs must be a whole number of at least 1, got "5m"'],
    [{ history: null }, 'history must be an object, got null'],
    [{ history: { size: 3 } }, 'history has no option "size"; it takes messages, ageMs'],
    [{ deduplicationMs: Number.NaN }, 'deduplicationMs must be a whole number of at least 1, got NaN'],
    [{ maxUsers: 1.5 }, 'maxUsers must be a whole number of at least 1, got 1.5'],
    [{ maxBytes: 1_000 }, 'maxBytes must be a whole number of at least 65536, got 1000'],
    [
      { maxUser: 1 },
      'memoryBroker options has no option "maxUser"; it takes history, deduplicationMs, maxUsers, maxBytes',
    ],
    [[], 'memoryBroker options must be an object, got an array'],
  ])('refuses %o', (options, message) => {
    expect(() => memoryBroker(options as never)).toThrow(new TypeError(message));
  });
});
