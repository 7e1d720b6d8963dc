// What every counter store promises, as tests over a factory.

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Counted, CounterStore } from '../../src/counter/counter-store.ts';
import type { Position } from '../../src/protocol/cursor.ts';
import { AWKWARD_IDS } from './broker-bench.ts';

export function describeCounterStore(name: string, create: () => CounterStore): void {
  describe(name, () => {
    let store: CounterStore;
    let ann: string;
    let bob: string;

    beforeEach(() => {
      store = create();
      const run = randomUUID();
      [ann, bob] = [`ann ${run}`, `bob ${run}`];
    });
    afterEach(() => store.close());

    const at = (offset: number, epoch = 'epoch-of-stream-'): Position => ({
      epoch,
      offset,
      tag: String(offset).padStart(8, 't'),
    });
    const event = (offset: number, more: Partial<Counted> = {}): Counted => ({
      userId: ann,
      boxId: 'box',
      id: `event ${offset}`,
      position: at(offset),
      ...more,
    });

    it('adds 1 for each counted message, by user and box', async () => {
      await store.increment([event(1), event(1, { userId: bob }), event(2, { boxId: 'other' })]);
      await store.increment([event(3)]);
      expect(await store.counts(ann)).toEqual({ box: 2, other: 1 });
      expect(await store.counts(bob)).toEqual({ box: 1 });
      expect(await store.counts('nobody')).toEqual({});
    });

    it('does nothing for an empty list', async () => {
      await store.increment([]);
      expect(await store.counts(ann)).toEqual({});
    });

    it('counts a message once per user, in one call and in several', async () => {
      await store.increment([event(1), event(1)]);
      await store.increment([event(1), event(2), event(1, { userId: bob })]);
      expect([await store.counts(ann), await store.counts(bob)]).toEqual([{ box: 2 }, { box: 1 }]);
    });

    it('counts a message once, also when an ack came between', async () => {
      await store.increment([event(1)]);
      await store.reset(ann, 'box', at(2));
      await store.increment([event(1)]);
      expect(await store.counts(ann)).toEqual({});
    });

    it('takes away what was counted up to the position, and leaves what was counted after it', async () => {
      await store.increment([1, 2, 3, 4].map((offset) => event(offset)));
      await store.increment([event(2, { userId: bob }), event(2, { boxId: 'other', id: 'another' })]);
      await store.reset(ann, 'box', at(2));
      expect([await store.counts(ann), await store.counts(bob)]).toEqual([{ box: 2, other: 1 }, { box: 1 }]);
      await store.reset(ann, 'box', at(5));
      expect(await store.counts(ann)).toEqual({ other: 1 });
    });

    it('counts nothing that comes late for a position that was acked', async () => {
      await store.reset(ann, 'box', at(2));
      await store.increment([event(1), event(3)]);
      expect(await store.counts(ann)).toEqual({ box: 1 });
    });

    it('counts what overtook a message of an earlier position', async () => {
      await store.increment([event(5)]);
      await store.increment([event(3)]);
      await store.reset(ann, 'box', at(4));
      expect(await store.counts(ann)).toEqual({ box: 1 });
    });

    it('takes nothing away for an ack that another one overtook', async () => {
      await store.increment([event(1)]);
      await store.reset(ann, 'box', at(4));
      await store.increment(Array.from({ length: 300 }, (_, i) => event(5 + i)));
      await store.reset(ann, 'box', at(2));
      expect(await store.counts(ann)).toEqual({ box: 300 });
      await store.increment([event(3)]);
      expect(await store.counts(ann)).toEqual({ box: 300 });
    });

    it('acks a box with many counted messages, to the message', async () => {
      await store.increment(Array.from({ length: 300 }, (_, i) => event(1 + i)));
      expect(await store.counts(ann)).toEqual({ box: 300 });
      await store.reset(ann, 'box', at(290));
      expect(await store.counts(ann)).toEqual({ box: 10 });
    });

    it('takes what was counted in an earlier epoch away with an ack of a later one', async () => {
      await store.increment([event(90), event(91)]);
      await store.increment([event(1, { id: 'new', position: at(1, 'epoch-that-came-') })]);
      await store.reset(ann, 'box', at(2, 'epoch-that-came-'));
      expect(await store.counts(ann)).toEqual({});
      await store.increment([event(3, { position: at(3, 'epoch-that-came-') })]);
      expect(await store.counts(ann)).toEqual({ box: 1 });
    });

    it('takes any id', async () => {
      await store.increment(AWKWARD_IDS.map((id, i) => event(1 + i, { id, boxId: id })));
      expect(Object.entries(await store.counts(ann)).sort()).toEqual(AWKWARD_IDS.map((id) => [id, 1]).sort());
      for (const id of AWKWARD_IDS) await store.reset(ann, id, at(100));
      expect(await store.counts(ann)).toEqual({});
      // A user and an id that run together as another user and id do are still two.
      await store.increment([event(1, { userId: `${ann}a`, id: 'b' }), event(1, { userId: ann, id: 'ab' })]);
      expect([await store.counts(`${ann}a`), await store.counts(ann)]).toEqual([{ box: 1 }, { box: 1 }]);
    });

    it('forgets one user', async () => {
      await store.increment([event(1), event(1, { userId: bob })]);
      await store.forget(ann);
      await store.forget('nobody');
      expect([await store.counts(ann), await store.counts(bob)]).toEqual([{}, { box: 1 }]);
    });

    it('gives an answer that does not change any more', async () => {
      await store.increment([event(1)]);
      const earlier = await store.counts(ann);
      await store.increment([event(2)]);
      expect(earlier).toEqual({ box: 1 });
    });
  });
}
