import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AWKWARD_IDS, type BrokerBench, messageTo, newTag } from './broker-bench.ts';

export function describeCounting(bench: BrokerBench): void {
  describe('counting', () => {
    const counts = async (userId: string) => {
      const kept = await bench.broker.counters!.counts(userId);
      expect((await bench.broker.read(userId, null, 0)).counts).toEqual(kept);
      return kept;
    };
    const unread = { boxId: 'box' };

    it('adds 1 for each recipient of a delivery that counts', async () => {
      await bench.broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'p', userIds: [bench.ann, bench.bob], unread },
          { payload: 'p', userIds: [bench.carol] },
        ],
      });
      await bench.broker.publish(messageTo([bench.ann], 'p', { unread }));
      await bench.broker.publish(messageTo([bench.ann], 'p', { unread: { boxId: 'other' } }));
      expect(await counts(bench.ann)).toEqual({ box: 2, other: 1 });
      expect([await counts(bench.bob), await counts(bench.carol)]).toEqual([{ box: 1 }, {}]);
    });

    it('counts an id once', async () => {
      const id = randomUUID();
      for (let i = 0; i < 3; i++) await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      expect(await counts(bench.ann)).toEqual({ box: 1 });
    });

    it('counts an id once, also when an ack came between', async () => {
      const id = randomUUID();
      await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      await bench.broker.publish(messageTo([bench.ann], 'ack', { ack: unread }));
      await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      expect(await counts(bench.ann)).toEqual({});
    });

    it('starts again from 0 at an ack of that box and that user', async () => {
      for (const boxId of ['box', 'other', 'box']) {
        await bench.broker.publish(messageTo([bench.ann, bench.bob], 'p', { unread: { boxId } }));
      }
      await bench.broker.publish(messageTo([bench.ann], 'ack', { ack: unread }));
      expect([await counts(bench.ann), await counts(bench.bob)]).toEqual([{ other: 1 }, { box: 2, other: 1 }]);
      await bench.broker.publish(messageTo([bench.ann], 'p', { unread }));
      await bench.broker.publish(messageTo([bench.carol], 'ack', { ack: unread }));
      expect([await counts(bench.ann), await counts(bench.carol)]).toEqual([{ box: 1, other: 1 }, {}]);
    });

    it('keeps the counts of any box id', async () => {
      for (const boxId of AWKWARD_IDS) await bench.broker.publish(messageTo([bench.ann], 'p', { unread: { boxId } }));
      expect(Object.entries(await counts(bench.ann)).sort()).toEqual(AWKWARD_IDS.map((boxId) => [boxId, 1]).sort());
    });

    it('forgets the counts with the user', async () => {
      await bench.broker.publish(messageTo([bench.ann, bench.bob], 'p', { unread }));
      await bench.broker.forget(bench.ann);
      expect([await counts(bench.ann), await counts(bench.bob)]).toEqual([{}, { box: 1 }]);
    });

    it('gives an answer that does not change any more', async () => {
      await bench.broker.publish(messageTo([bench.ann], 'p', { unread }));
      const earlier = [
        await bench.broker.counters!.counts(bench.ann),
        (await bench.broker.read(bench.ann, null, 0)).counts,
      ];
      await bench.broker.publish(messageTo([bench.ann], 'p', { unread }));
      expect(earlier).toEqual([{ box: 1 }, { box: 1 }]);
    });
  });
}
