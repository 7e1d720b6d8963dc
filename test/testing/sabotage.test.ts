// The suites' own control: a broker, store or verifier that breaks a promise does not pass.

import {
  type Broker,
  type CounterStore,
  memoryBroker,
  memoryCounters,
  type StreamListener,
  type TokenVerifier,
} from 'usercast';
import {
  brokerSuite,
  counterStoreSuite,
  modelBroker,
  type TestRunner,
  testToken,
  testVerifier,
  verifierSuite,
} from 'usercast/testing';
import { expect, it } from 'vitest';

/** A runner that only collects. */
function collector() {
  const tests: { readonly name: string; readonly body: () => Promise<void> }[] = [];
  const runner: TestRunner = {
    describe: (_name, body) => body(),
    it: (name, body) => tests.push({ name, body }),
  };
  /** The names of the tests that failed. */
  const run = async (): Promise<string[]> => {
    const outcomes = await Promise.allSettled(tests.map(({ body }) => body()));
    return tests.filter((_, i) => outcomes[i]!.status === 'rejected').map(({ name }) => name);
  };
  return { runner, run };
}

/** The same object, but for some of its methods. */
function but<T extends object>(target: T, changes: (target: T) => Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      const changed = changes(target);
      return Reflect.get(key in changed ? changed : target, key);
    },
  });
}

const deaf: StreamListener = { publication: () => {}, whisper: () => {}, mark: () => {} };

const brokers: readonly [what: string, change: (broker: Broker) => Partial<Broker>][] = [
  ['forgets the ids of messages', (b) => ({ publish: ({ id: _, ...message }) => b.publish(message) })],
  [
    'appends, and answers that it did not',
    (b) => ({ publish: async (message) => ({ ...(await b.publish(message)), appended: [new Error('no')] }) }),
  ],
  ['delivers nothing', (b) => ({ subscribe: (userId) => b.subscribe(userId, deaf) })],
  [
    'delivers everything twice',
    (b) => ({
      subscribe: (userId, listener) =>
        b.subscribe(userId, {
          ...deaf,
          publication: (publication) => {
            listener.publication(publication);
            listener.publication(publication);
          },
        }),
    }),
  ],
  [
    'never ends a subscription',
    (b) => ({
      subscribe: async (...args) => {
        await b.subscribe(...args);
        return () => {};
      },
    }),
  ],
  [
    'delivers to all users what it delivers to one',
    (b) => ({
      subscribe: (_, listener) => b.subscribe('all', listener),
      publish: async (message) => {
        const result = await b.publish(message);
        await b.publish({
          ...message,
          deliveries: message.deliveries.map((delivery) => ({ ...delivery, userIds: ['all'] })),
        });
        return result;
      },
    }),
  ],
  [
    'mixes up users whose ids differ in case and spaces',
    (b) => ({
      subscribe: (userId, listener) => b.subscribe(userId.trim().toLowerCase(), listener),
      publish: (message) =>
        b.publish({
          ...message,
          deliveries: message.deliveries.map((delivery) => ({
            ...delivery,
            userIds: delivery.userIds.map((id) => id.trim().toLowerCase()),
          })),
        }),
    }),
  ],
  [
    'reads the newest entries in place of the oldest',
    (b) => ({
      read: async (userId, after, limit) => {
        const slice = await b.read(userId, after, 1_000);
        return { ...slice, entries: limit === 0 ? [] : slice.entries.slice(-limit) };
      },
    }),
  ],
  [
    'leaves out an entry of what it reads',
    (b) => ({
      read: async (...args) => {
        const slice = await b.read(...args);
        return { ...slice, entries: slice.entries.filter((_, i) => i !== 1) };
      },
    }),
  ],
  [
    'reads the counts a while after the entries',
    (b) => ({
      read: async (userId, after, limit) => {
        const slice = await b.read(userId, after, limit);
        await new Promise((resolve) => setTimeout(resolve, 1));
        return { ...slice, counts: await b.counters!.counts(userId) };
      },
    }),
  ],
  [
    'knows no marks',
    (b) => ({ mark: async () => {}, read: async (...args) => ({ ...(await b.read(...args)), marks: [] }) }),
  ],
  [
    'says nothing of marks in tops',
    (b) => ({
      tops: async (userIds) =>
        new Map([...(await b.tops(userIds))].map(([id, top]) => [id, { ...top, markNumber: 0 }])),
    }),
  ],
  ['thinks that everyone is online', () => ({ online: async (userIds) => new Set(userIds) })],
  ['forgets nothing', () => ({ forget: async () => {} })],
  [
    'forgets the marks too',
    (b) => ({
      forget: async (userId) => {
        await b.forget(userId);
        await b.mark(userId, {});
      },
    }),
  ],
  [
    'whispers into the stream',
    (b) => ({
      whisper: async (userIds, payload) =>
        void (await b.publish({ tag: 'whisper-', deliveries: [{ payload, userIds }] })),
    }),
  ],
  ['answers when it is closed', () => ({ close: async () => {} })],
];

it.each(brokers)('a broker that %s does not pass', { concurrent: true, timeout: 120_000 }, async (_what, change) => {
  const { runner, run } = collector();
  brokerSuite(runner, {
    name: 'sabotaged',
    create: () => but<Broker>(modelBroker(), change),
    capabilities: { counters: true, dense: true },
  });
  const failed = await run();
  expect(failed).not.toEqual([]);
  expect(failed.length).toBeLessThan(45);
});

it('a broker that keeps less than it says does not pass', { timeout: 120_000 }, async () => {
  const { runner, run } = collector();
  brokerSuite(runner, {
    name: 'short',
    create: () => memoryBroker({ history: { messages: 60 } }),
    capabilities: { counters: true, historyMessages: 100 },
  });
  expect(await run()).toEqual(['keeps 100 messages, and proves nothing of what came before them']);
});

const stores: readonly [what: string, change: (store: CounterStore) => Partial<CounterStore>][] = [
  [
    'counts the same message twice',
    (s) => ({
      increment: (counted) => s.increment(counted.map((one) => ({ ...one, id: `${one.id} ${Math.random()}` }))),
    }),
  ],
  [
    'acks more than it was asked to',
    (s) => ({ reset: (userId, boxId, upTo) => s.reset(userId, boxId, { ...upTo, offset: upTo.offset + 1 }) }),
  ],
  ['acks nothing', () => ({ reset: async () => {} })],
  [
    'mixes up boxes',
    (s) => ({ increment: (counted) => s.increment(counted.map((one) => ({ ...one, boxId: 'box' }))) }),
  ],
  ['forgets nobody', () => ({ forget: async () => {} })],
  ['knows the counts of now alone', (s) => ({ counts: (userId) => s.counts(userId) })],
  [
    'leaves out what is at the position that it is asked for',
    (s) => ({ counts: (userId, upTo) => s.counts(userId, upTo && { ...upTo, offset: upTo.offset - 1 }) }),
  ],
  [
    'takes all epochs for one',
    (s) => ({
      increment: (counted) =>
        s.increment(counted.map((one) => ({ ...one, position: { ...one.position, epoch: 'epoch-of-stream-' } }))),
      counts: (userId, upTo) => s.counts(userId, upTo && { ...upTo, epoch: 'epoch-of-stream-' }),
    }),
  ],
];

it.each(stores)('a counter store that %s does not pass', async (_what, change) => {
  const { runner, run } = collector();
  counterStoreSuite(runner, { name: 'sabotaged', create: () => but(memoryCounters(), change) });
  expect(await run()).not.toEqual([]);
});

const verifiers: readonly [what: string, change: (verifier: TokenVerifier) => Partial<TokenVerifier>][] = [
  ['takes any token', () => ({ verify: async () => ({ userId: 'ann' }) })],
  [
    'believes the path',
    (v) => ({ verify: async (token, context) => ({ ...(await v.verify(token, context)), userId: context.userId }) }),
  ],
  [
    'tells the end in seconds',
    (v) => ({
      verify: async (token, context) => {
        const identity = await v.verify(token, context);
        return { ...identity, ...(identity.expiresAt && { expiresAt: identity.expiresAt / 1_000 }) };
      },
    }),
  ],
  [
    'tells the token that it refuses',
    (v) => ({
      verify: (token, context) =>
        v.verify(token, context).catch(() => {
          throw new Error(`bad token ${token}`);
        }),
    }),
  ],
];

it.each(verifiers)('a verifier that %s does not pass', async (_what, change) => {
  const { runner, run } = collector();
  verifierSuite(runner, {
    name: 'sabotaged',
    create: () => but<TokenVerifier>(testVerifier(), change),
    tokenFor: testToken,
    capabilities: { expiry: true, tokenIds: true },
  });
  expect(await run()).not.toEqual([]);
});
