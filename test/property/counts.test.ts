import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PublishResult } from '../../src/broker/broker.ts';
import { type MemoryBroker, memoryBroker } from '../../src/broker/memory-broker.ts';
import { memoryCounters } from '../../src/counter/memory-counter-store.ts';
import { resolveOptions } from '../../src/options.ts';
import { Publisher } from '../../src/publisher.ts';
import { Recorder } from '../../src/testing/recorder.ts';
import { textEvent } from '../support/box-events.ts';
import { COUNTING } from '../support/publisher-bench.ts';

const USERS = ['ann', 'bob', 'carol'];
const EVENTS = ['e1', 'e2', 'e3', 'e4', 'e5', 'e6'];
const BOXES = ['one', 'two'];

/** What goes wrong in a call: the answer of the broker or the store is lost, or they do not take it at all. */
type Trouble =
  | 'none'
  | 'broker refuses'
  | 'broker answer lost'
  | 'store refuses'
  | 'store answer lost'
  | 'some refused';

/** All about an event follows from its id, as it does for a host that calls again. */
const about = (id: string) => ({
  senderId: USERS[id.charCodeAt(1) % 4] ?? 'zoe',
  muted: id === 'e3' ? ['bob'] : id === 'e5' ? ['ann', 'carol'] : [],
  ownViews: id === 'e2' || id === 'e6',
});
const boxOf = (id: string, userId: string) => BOXES[(id.charCodeAt(1) + (about(id).ownViews ? userId.length : 0)) % 2]!;
const counts = (id: string, userId: string) => userId !== about(id).senderId && !about(id).muted.includes(userId);

const trouble = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Trouble>('none') },
  fc.constantFrom<Trouble>(
    'broker refuses',
    'broker answer lost',
    'store refuses',
    'store answer lost',
    'some refused',
  ),
);
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      id: fc.constantFrom(...EVENTS),
      to: fc.uniqueArray(fc.constantFrom(...USERS), { minLength: 1 }),
      trouble,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('ack' as const),
      userId: fc.constantFrom(...USERS),
      boxId: fc.constantFrom(...BOXES),
      trouble,
    }),
  },
);

/** The simple model: each user's stream, and counts as what follows from it. */
class Model {
  readonly streams = new Map(USERS.map((userId) => [userId, [] as string[]]));

  publish(id: string, userId: string): void {
    const stream = this.streams.get(userId)!;
    if (!stream.includes(`event ${id}`)) stream.push(`event ${id}`);
  }

  ack(userId: string, boxId: string): void {
    this.streams.get(userId)!.push(`ack ${boxId}`);
  }

  counts(userId: string): Record<string, number> {
    const counted: Record<string, number> = {};
    for (const entry of this.streams.get(userId)!) {
      const [kind, name = ''] = entry.split(' ');
      if (kind === 'ack') delete counted[name];
      else if (counts(name, userId)) counted[boxOf(name, userId)] = (counted[boxOf(name, userId)] ?? 0) + 1;
    }
    return counted;
  }
}

function entryOf(payload: string): string {
  const { type, object } = JSON.parse(payload) as { type: string; object: { id: string; box_id: string } };
  return type === 'ack' ? `ack ${object.box_id}` : `event ${object.id}`;
}

/** A publisher whose broker and store have troubles for one call, and wait for `underway` before each. */
function createTroubled(withStore: boolean, underway: () => Promise<void> = async () => {}) {
  let next: Trouble = 'none';
  const memory = memoryBroker();
  const store = memoryCounters();
  const broker: MemoryBroker = Object.create(memory, {
    publish: {
      value: async (message: Parameters<MemoryBroker['publish']>[0]): Promise<PublishResult> => {
        await underway();
        if (next === 'broker refuses') throw new Error(next);
        if (next !== 'some refused') {
          const result = await memory.publish(message);
          if (next === 'broker answer lost') throw new Error(next);
          return result;
        }
        // Every second recipient.
        let at = 0;
        const refused = new Set(message.deliveries.flatMap(({ userIds }) => userIds.filter(() => at++ % 2 === 0)));
        const { appended, duplicates } = await memory.publish({
          ...message,
          deliveries: message.deliveries.map((delivery) => ({
            ...delivery,
            userIds: delivery.userIds.filter((userId) => !refused.has(userId)),
          })),
        });
        const positions = [...appended];
        const userIds = message.deliveries.flatMap((delivery) => delivery.userIds);
        return {
          duplicates,
          appended: userIds.map((userId) => (refused.has(userId) ? new Error(next) : positions.shift()!)),
        };
      },
    },
  });
  const troubledStore = async (work: () => Promise<void>): Promise<void> => {
    await underway();
    if (next === 'store refuses') throw new Error(next);
    await work();
    if (next === 'store answer lost') throw new Error(next);
  };
  const publisher = new Publisher({
    options: resolveOptions({}),
    broker,
    counters: withStore
      ? {
          increment: (counted) => troubledStore(() => store.increment(counted)),
          reset: (userId, boxId, upTo) => troubledStore(() => store.reset(userId, boxId, upTo)),
          counts: (userId) => store.counts(userId),
          forget: (userId) => store.forget(userId),
          close: () => store.close(),
        }
      : null,
    onError: () => {},
    onPublish: () => {},
    onAck: () => {},
  });
  return {
    memory,
    publisher,
    counts: (userId: string) => (withStore ? store : memory.counters).counts(userId),
    /** Runs the call in trouble; true when it went well all the same. */
    async inTrouble(trouble: Trouble, call: () => Promise<unknown>): Promise<boolean> {
      next = trouble;
      try {
        await call();
        return true;
      } catch {
        return false;
      } finally {
        next = 'none';
      }
    },
  };
}

describe.each(COUNTING)('with $counting', ({ withStore }) => {
  function callsOf({ publisher }: ReturnType<typeof createTroubled>) {
    return {
      publish: (id: string, to: readonly string[]) => {
        const { senderId, muted, ownViews } = about(id);
        const view = (userId: string) => textEvent(id, { senderId, boxId: boxOf(id, userId), text: userId });
        return publisher.publishEvent(to, ownViews ? view : textEvent(id, { senderId, boxId: boxOf(id, '') }), {
          muted,
        });
      },
      ack: (userId: string, boxId: string) => publisher.ack(userId, boxId),
    };
  }

  const listenToAll = async (memory: MemoryBroker) => {
    const recorders = USERS.map(() => new Recorder());
    for (const [i, userId] of USERS.entries()) await memory.subscribe(userId, recorders[i]!);
    return recorders;
  };

  /** Each event stands once in each stream, and the counts are those that the streams say. */
  const expectCountsOfStreams = async (
    countsOf: (userId: string) => Promise<Record<string, number>>,
    recorders: Recorder[],
  ) => {
    const model = new Model();
    for (const [i, userId] of USERS.entries()) {
      const stream = recorders[i]!.payloads.map(entryOf);
      const events = stream.filter((entry) => entry.startsWith('event'));
      expect(new Set(events).size).toBe(events.length);
      model.streams.set(userId, stream);
      expect(await countsOf(userId)).toEqual(model.counts(userId));
    }
  };

  it('any troubles, each call repeated at once or later until it goes well, count as the streams say', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, atOnce) => {
        const troubled = createTroubled(withStore);
        const calls = callsOf(troubled);
        const recorders = await listenToAll(troubled.memory);
        const left: (() => Promise<unknown>)[] = [];
        for (const taken of steps) {
          const call = () =>
            taken.do === 'publish' ? calls.publish(taken.id, taken.to) : calls.ack(taken.userId, taken.boxId);
          if (!(await troubled.inTrouble(taken.trouble, call))) left.push(call);
          if (!atOnce) continue;
          for (const again of left.splice(0)) await again();
          await expectCountsOfStreams(troubled.counts, recorders);
        }
        for (const again of left) await again();
        await expectCountsOfStreams(troubled.counts, recorders);
        await troubled.memory.close();
      }),
      { numRuns: 200 },
    );
  });

  it('calls that overtake each other on the way to the broker and the store count as the streams say', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.scheduler(), async (steps, scheduler) => {
        const troubled = createTroubled(withStore, () => scheduler.schedule(Promise.resolve()));
        const calls = callsOf(troubled);
        const recorders = await listenToAll(troubled.memory);
        const all = Promise.all(
          steps.map((taken) =>
            taken.do === 'publish' ? calls.publish(taken.id, taken.to) : calls.ack(taken.userId, taken.boxId),
          ),
        );
        await scheduler.waitFor(all);
        await expectCountsOfStreams(troubled.counts, recorders);
        await troubled.memory.close();
      }),
      { numRuns: 100 },
    );
  });

  it('any events and acks without trouble give the streams and counts of the model', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const troubled = createTroubled(withStore);
        const calls = callsOf(troubled);
        const model = new Model();
        for (const taken of steps) {
          if (taken.do === 'ack') {
            await calls.ack(taken.userId, taken.boxId);
            model.ack(taken.userId, taken.boxId);
            continue;
          }
          const known = taken.to.filter((userId) => model.streams.get(userId)!.includes(`event ${taken.id}`)).length;
          expect(await calls.publish(taken.id, taken.to)).toEqual({ recipients: taken.to.length, duplicates: known });
          for (const userId of taken.to) model.publish(taken.id, userId);
        }
        for (const userId of USERS) expect(await troubled.counts(userId)).toEqual(model.counts(userId));
        await troubled.memory.close();
      }),
      { numRuns: 150 },
    );
  });
});
