// What every counter store promises, as tests.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Counted, CounterStore, Position } from '../index.ts';
import { AWKWARD_IDS } from './broker-bench.ts';
import { type TestRunner, withinWindow } from './runner.ts';

/** What a counter store can, beyond what all must. */
export interface CounterStoreCapabilities<S extends CounterStore = CounterStore> {
  /** Opens again what a closed store had stored; for stores that outlive their process. */
  reopen?(closed: S): CounterStore | Promise<CounterStore>;
  /** Lets time pass for the store, real or not; `rememberMs` is how long it remembers that an id was counted. */
  readonly clock?: { readonly rememberMs: number; readonly advance: (ms: number) => void | Promise<void> };
}

/** Whose store is tested, and how to make one. */
export interface CounterStoreSuiteOptions<S extends CounterStore = CounterStore> {
  /** The name of the group of tests. */
  readonly name: string;
  /** Makes a store for one test; several may stand on one server, for every test has users of its own. */
  create(): S | Promise<S>;
  /** Takes away what is left of a store that was closed. */
  cleanUp?(closed: S): void | Promise<void>;
  /** Default: none. */
  readonly capabilities?: CounterStoreCapabilities<S>;
}

const EPOCH = 'epoch-of-stream-';
const LATER_EPOCH = 'epoch-that-came-';

function at(offset: number, epoch = EPOCH): Position {
  return { epoch, offset, tag: String(offset).padStart(8, 't') };
}

class StoreBench {
  readonly store: CounterStore;
  readonly ann = `ann ${randomUUID()}`;
  readonly bob = `bob ${randomUUID()}`;

  constructor(store: CounterStore) {
    this.store = store;
  }

  event(offset: number, more: Partial<Counted> = {}): Counted {
    return { userId: this.ann, boxId: 'box', id: `event ${offset}`, position: at(offset), ...more };
  }

  /** The events at offsets from `first` on. */
  events(first: number, count: number): Counted[] {
    return Array.from({ length: count }, (_, i) => this.event(first + i));
  }

  async counts(userId = this.ann): Promise<Record<string, number>> {
    return { ...(await this.store.counts(userId)) };
  }

  async countsUpTo(upTo: Position): Promise<Record<string, number>> {
    return { ...(await this.store.counts(this.ann, upTo)) };
  }
}

/** Declares the tests that a `CounterStore` has to pass, with the runner's own `describe` and `it`. */
export function counterStoreSuite<S extends CounterStore>(
  { describe, it }: TestRunner,
  options: CounterStoreSuiteOptions<S>,
): void {
  const { name, capabilities = {} } = options;
  const { clock } = capabilities;
  const test = (guarantee: string, body: (bench: StoreBench) => Promise<void>): void => {
    it(guarantee, async () => {
      const store = await options.create();
      try {
        await body(new StoreBench(store));
      } finally {
        await store.close();
        await options.cleanUp?.(store);
      }
    });
  };

  describe(name, () => {
    test('adds 1 for each counted message, by user and box', async (bench) => {
      const { store, bob } = bench;
      await store.increment([bench.event(1), bench.event(1, { userId: bob }), bench.event(2, { boxId: 'other' })]);
      await store.increment([bench.event(3)]);
      assert.deepEqual(await bench.counts(), { box: 2, other: 1 });
      assert.deepEqual(await bench.counts(bob), { box: 1 });
      assert.deepEqual(await bench.counts(randomUUID()), {});
    });

    test('does nothing for an empty list', async (bench) => {
      await bench.store.increment([]);
      assert.deepEqual(await bench.counts(), {});
    });

    test('counts a message once per user, in one call, in several, and at the same moment', async (bench) => {
      const { store, bob } = bench;
      await store.increment([bench.event(1), bench.event(1)]);
      await store.increment([bench.event(1), bench.event(2), bench.event(1, { userId: bob })]);
      assert.deepEqual([await bench.counts(), await bench.counts(bob)], [{ box: 2 }, { box: 1 }]);
      await Promise.all(Array.from({ length: 10 }, () => store.increment([bench.event(3), bench.event(4)])));
      assert.deepEqual(await bench.counts(), { box: 4 });
    });

    test('counts a message once, also when an ack came between', async (bench) => {
      await bench.store.increment([bench.event(1)]);
      await bench.store.reset(bench.ann, 'box', at(2));
      await bench.store.increment([bench.event(1)]);
      assert.deepEqual(await bench.counts(), {});
    });

    test('takes away what was counted up to the position, and leaves what was counted after it', async (bench) => {
      const { store, ann, bob } = bench;
      await store.increment(bench.events(1, 4));
      await store.increment([bench.event(2, { userId: bob }), bench.event(2, { boxId: 'other', id: 'another' })]);
      await store.reset(ann, 'box', at(2));
      assert.deepEqual([await bench.counts(), await bench.counts(bob)], [{ box: 2, other: 1 }, { box: 1 }]);
      await store.reset(ann, 'box', at(5));
      assert.deepEqual(await bench.counts(), { other: 1 });
    });

    test('counts nothing that comes late for a position that was acked', async (bench) => {
      await bench.store.reset(bench.ann, 'box', at(2));
      await bench.store.increment([bench.event(1), bench.event(3)]);
      assert.deepEqual(await bench.counts(), { box: 1 });
    });

    test('counts what overtook a message of an earlier position', async (bench) => {
      await bench.store.increment([bench.event(5)]);
      await bench.store.increment([bench.event(3)]);
      await bench.store.reset(bench.ann, 'box', at(4));
      assert.deepEqual(await bench.counts(), { box: 1 });
    });

    test('takes nothing away for an ack that another one overtook', async (bench) => {
      await bench.store.increment([bench.event(1)]);
      await bench.store.reset(bench.ann, 'box', at(4));
      await bench.store.increment(bench.events(5, 300));
      await bench.store.reset(bench.ann, 'box', at(2));
      assert.deepEqual(await bench.counts(), { box: 300 });
      await bench.store.increment([bench.event(3)]);
      assert.deepEqual(await bench.counts(), { box: 300 });
    });

    test('acks a box with many counted messages, to the message', async (bench) => {
      await bench.store.increment(bench.events(1, 300));
      assert.deepEqual(await bench.counts(), { box: 300 });
      await bench.store.reset(bench.ann, 'box', at(290));
      assert.deepEqual(await bench.counts(), { box: 10 });
    });

    test('takes what was counted in an earlier epoch away with an ack of a later one', async (bench) => {
      await bench.store.increment(bench.events(90, 2));
      await bench.store.increment([bench.event(1, { id: 'new', position: at(1, LATER_EPOCH) })]);
      await bench.store.reset(bench.ann, 'box', at(2, LATER_EPOCH));
      assert.deepEqual(await bench.counts(), {});
      await bench.store.increment([bench.event(3, { position: at(3, LATER_EPOCH) })]);
      assert.deepEqual(await bench.counts(), { box: 1 });
    });

    test('counts up to a position, as often as it is asked, and forgets nothing by it', async (bench) => {
      const { store, ann } = bench;
      await store.increment(bench.events(1, 5));
      await store.increment([bench.event(4, { boxId: 'other', id: 'another' })]);
      const answers: Record<string, number>[] = [];
      for (const offset of [3, 0, 5, 4, 3]) answers.push(await bench.countsUpTo(at(offset)));
      assert.deepEqual(answers, [{ box: 3 }, {}, { box: 5, other: 1 }, { box: 4, other: 1 }, { box: 3 }]);
      assert.deepEqual(await bench.counts(), { box: 5, other: 1 });
      await store.increment([bench.event(5), bench.event(6)]);
      await store.reset(ann, 'box', at(1));
      assert.deepEqual([await bench.countsUpTo(at(3)), await bench.counts()], [{ box: 2 }, { box: 5, other: 1 }]);
    });

    test('leaves out up to a position what is later, in whatever order it came', async (bench) => {
      for (const offset of [5, 2, 4, 1]) await bench.store.increment([bench.event(offset)]);
      assert.deepEqual([await bench.countsUpTo(at(3)), await bench.counts()], [{ box: 2 }, { box: 4 }]);
    });

    test('counts up to a position all that was counted in another epoch', async (bench) => {
      await bench.store.increment(bench.events(8, 2));
      const later = [1, 2, 9].map((offset) =>
        bench.event(offset, { id: `${offset}`, position: at(offset, LATER_EPOCH) }),
      );
      await bench.store.increment(later);
      await bench.store.increment([bench.event(10)]);
      assert.deepEqual(await bench.countsUpTo(at(1, LATER_EPOCH)), { box: 4 });
      assert.deepEqual(await bench.countsUpTo(at(9)), { box: 5 });
    });

    test('counts up to a position the older ones of many that lie before it', async (bench) => {
      await bench.store.increment(bench.events(1, 300));
      assert.deepEqual([await bench.countsUpTo(at(290)), await bench.counts()], [{ box: 290 }, { box: 300 }]);
    });

    test('takes any id', async (bench) => {
      const { store, ann } = bench;
      await store.increment(AWKWARD_IDS.map((id, i) => bench.event(1 + i, { id, boxId: id })));
      const counted = Object.entries(await bench.counts());
      assert.deepEqual(counted.sort(), AWKWARD_IDS.map((id): [string, number] => [id, 1]).sort());
      for (const id of AWKWARD_IDS) await store.reset(ann, id, at(100));
      assert.deepEqual(await bench.counts(), {});
      for (const id of AWKWARD_IDS) {
        await store.increment([bench.event(1, { userId: `${ann}${id}` }), bench.event(2, { userId: `${ann}${id}.` })]);
      }
      assert.deepEqual(await bench.counts(), {});
      for (const id of AWKWARD_IDS) assert.deepEqual(await bench.counts(`${ann}${id}`), { box: 1 });
    });

    test('tells two users apart whose ids and message ids run together', async (bench) => {
      const { store, ann } = bench;
      await store.increment([bench.event(1, { userId: `${ann}a`, id: 'b' }), bench.event(1, { id: 'ab' })]);
      assert.deepEqual([await bench.counts(`${ann}a`), await bench.counts()], [{ box: 1 }, { box: 1 }]);
    });

    test('forgets one user', async (bench) => {
      const { store, ann, bob } = bench;
      await store.increment([bench.event(1), bench.event(1, { userId: bob })]);
      await store.forget(ann);
      await store.forget(randomUUID());
      assert.deepEqual([await bench.counts(), await bench.counts(bob)], [{}, { box: 1 }]);
    });

    test('gives an answer that does not change any more', async (bench) => {
      await bench.store.increment([bench.event(1)]);
      const earlier = await bench.store.counts(bench.ann);
      await bench.store.increment([bench.event(2)]);
      assert.deepEqual({ ...earlier }, { box: 1 });
    });

    if (clock) {
      test('remembers what it counted for the whole window', async (bench) => {
        const countTwice = async (tries: number) => {
          const userId = `${bench.ann} ${tries}`;
          await bench.store.increment([bench.event(1, { userId })]);
          await clock.advance(clock.rememberMs * 0.9);
          await bench.store.increment([bench.event(1, { userId })]);
          return await bench.counts(userId);
        };
        assert.deepEqual(await withinWindow(clock.rememberMs, countTwice, ({ box }) => box === 1), { box: 1 });
      });
    }

    if (capabilities.reopen) {
      test('goes on where it was when it is closed and opened again', async (bench) => {
        const { ann } = bench;
        const store = bench.store as S;
        await store.increment(bench.events(1, 3));
        await store.reset(ann, 'box', at(1));
        await store.close();
        const again = await capabilities.reopen!(store);
        try {
          assert.deepEqual({ ...(await again.counts(ann)) }, { box: 2 });
          await again.increment(bench.events(1, 4));
          assert.deepEqual({ ...(await again.counts(ann)) }, { box: 3 });
        } finally {
          await again.close();
        }
      });
    }
  });
}
