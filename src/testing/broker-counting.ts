// The part of the broker suite about counts that move in the step that appends.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { AWKWARD_IDS, type BrokerBench, type BrokerTest, messageTo, newTag } from './broker-bench.ts';
import type { TestRunner } from './runner.ts';

const unread = { boxId: 'box' };

/** The counts, which the store and a read of the stream agree on. */
async function countsOf({ broker }: BrokerBench, userId: string): Promise<Record<string, number>> {
  const counts = { ...(await broker.counters!.counts(userId)) };
  assert.deepEqual({ ...(await broker.read(userId, null, 0)).counts }, counts);
  return counts;
}

export function testCounting({ describe }: TestRunner, test: BrokerTest): void {
  describe('counting', () => {
    test('adds 1 for each recipient of a delivery that counts', async (bench) => {
      const { broker, ann, bob, carol } = bench;
      await broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'p', userIds: [ann, bob], unread },
          { payload: 'p', userIds: [carol] },
        ],
      });
      await broker.publish(messageTo([ann], 'p', { unread }));
      await broker.publish(messageTo([ann], 'p', { unread: { boxId: 'other' } }));
      assert.deepEqual(await countsOf(bench, ann), { box: 2, other: 1 });
      assert.deepEqual([await countsOf(bench, bob), await countsOf(bench, carol)], [{ box: 1 }, {}]);
    });

    test('counts an id once', async (bench) => {
      const id = randomUUID();
      for (let i = 0; i < 3; i++) await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      assert.deepEqual(await countsOf(bench, bench.ann), { box: 1 });
    });

    test('counts an id once, also when an ack came between', async (bench) => {
      const id = randomUUID();
      await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      await bench.broker.publish(messageTo([bench.ann], 'ack', { ack: unread }));
      await bench.broker.publish(messageTo([bench.ann], 'p', { id, unread }));
      assert.deepEqual(await countsOf(bench, bench.ann), {});
    });

    test('counts all that come at the same moment', async (bench) => {
      const { ann, bob, broker } = bench;
      await Promise.all(Array.from({ length: 40 }, () => broker.publish(messageTo([ann, bob], 'p', { unread }))));
      assert.deepEqual([await countsOf(bench, ann), await countsOf(bench, bob)], [{ box: 40 }, { box: 40 }]);
    });

    test('starts again from 0 at an ack of that box and that user', async (bench) => {
      const { broker, ann, bob, carol } = bench;
      for (const boxId of ['box', 'other', 'box']) {
        await broker.publish(messageTo([ann, bob], 'p', { unread: { boxId } }));
      }
      await broker.publish(messageTo([ann], 'ack', { ack: unread }));
      assert.deepEqual([await countsOf(bench, ann), await countsOf(bench, bob)], [{ other: 1 }, { box: 2, other: 1 }]);
      await broker.publish(messageTo([ann], 'p', { unread }));
      await broker.publish(messageTo([carol], 'ack', { ack: unread }));
      assert.deepEqual([await countsOf(bench, ann), await countsOf(bench, carol)], [{ box: 1, other: 1 }, {}]);
    });

    test('reads counts as of the top of the same read', async ({ broker, ann }) => {
      const { top } = await broker.read(ann, null, 0);
      const turn = () => new Promise((resolve) => setImmediate(resolve));
      const publish = async () => {
        for (let i = 0; i < 60; i++) {
          await broker.publish(messageTo([ann], 'p', { unread }));
          await turn();
        }
      };
      const read = async () => {
        for (let i = 0; i < 60; i++) {
          const { entries, counts } = await broker.read(ann, top, 100);
          assert.equal(counts?.box ?? 0, entries.length);
          await turn();
        }
      };
      const outcomes = await Promise.allSettled([publish(), read()]);
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    });

    test('keeps the counts of any box id', async (bench) => {
      for (const boxId of AWKWARD_IDS) {
        await bench.broker.publish(messageTo([bench.ann], 'p', { unread: { boxId } }));
      }
      const counted = Object.entries(await countsOf(bench, bench.ann));
      assert.deepEqual(counted.sort(), AWKWARD_IDS.map((boxId): [string, number] => [boxId, 1]).sort());
    });

    test('forgets the counts with the user', async (bench) => {
      await bench.broker.publish(messageTo([bench.ann, bench.bob], 'p', { unread }));
      await bench.broker.forget(bench.ann);
      assert.deepEqual([await countsOf(bench, bench.ann), await countsOf(bench, bench.bob)], [{}, { box: 1 }]);
    });

    test('gives an answer that does not change any more', async ({ broker, ann }) => {
      await broker.publish(messageTo([ann], 'p', { unread }));
      const earlier = [await broker.counters!.counts(ann), (await broker.read(ann, null, 0)).counts];
      await broker.publish(messageTo([ann], 'p', { unread }));
      assert.deepEqual(
        earlier.map((counts) => ({ ...counts })),
        [{ box: 1 }, { box: 1 }],
      );
    });
  });
}
