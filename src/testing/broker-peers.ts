// The part of the broker suite about several processes on the same streams, and about one that comes back.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Publication } from '../index.ts';
import {
  assertAppended,
  BrokerBench,
  type BrokerCapabilities,
  type BrokerTest,
  isProven,
  messageTo,
} from './broker-bench.ts';
import { eventually, type TestRunner } from './runner.ts';

const unread = { boxId: 'box' };

/** As they stand in the stream. What came out of turn may leave open what it follows, and never says it wrongly. */
function putInOrder(live: readonly Publication[], entries: readonly Publication[]): Publication[] {
  const known = new Set(entries.flatMap(({ tag, previousTag }) => [tag, previousTag]));
  const inOrder = [...live].sort((a, b) => a.offset - b.offset);
  return inOrder.map((one, i) => (known.has(one.previousTag) ? one : { ...one, previousTag: entries[i]!.previousTag }));
}

export function testPeers({ describe }: TestRunner, test: BrokerTest, capabilities: BrokerCapabilities): void {
  const { counters } = capabilities;
  if (capabilities.peer) {
    describe('two brokers on the same streams', () => {
      const testTwo = (guarantee: string, body: (one: BrokerBench, two: BrokerBench) => Promise<void>) =>
        test(guarantee, async (bench) => {
          const other = await capabilities.peer!(bench.broker);
          try {
            await body(bench, new BrokerBench(other));
          } finally {
            await other.close();
          }
        });

      testTwo('deliver what the other publishes, in one order', async (one, two) => {
        const from = await one.top(one.ann);
        const [here, there] = [await one.listen(one.ann), await two.listen(one.ann)];
        const calls = Array.from({ length: 40 }, (_, i) =>
          [one, two][i % 2]!.broker.publish(messageTo([one.ann], `p${i}`)),
        );
        for (const { appended } of await Promise.all(calls)) assertAppended(appended);
        const { entries } = await one.broker.read(one.ann, from, 100);
        for (const { broker } of [one, two]) {
          const slice = await broker.read(one.ann, from, 100);
          assert.ok(isProven(from, slice));
          assert.deepEqual(slice.entries, entries);
        }
        for (const { recorder } of [here, there]) {
          await eventually(() => assert.equal(recorder.payloads.length, 40));
          const { publications } = recorder;
          assert.deepEqual(capabilities.overtaking ? putInOrder(publications, entries) : publications, entries);
        }
      });

      testTwo("know each other's ids, positions, counts, marks and subscribers", async (one, two) => {
        const { ann } = one;
        const id = randomUUID();
        const first = await one.broker.publish(messageTo([ann], 'p', { id, unread }));
        const again = await two.broker.publish(messageTo([ann], 'p', { id, unread }));
        assert.deepEqual([again.duplicates, assertAppended(again.appended)], [1, assertAppended(first.appended)]);
        assert.deepEqual(await two.top(ann), await one.top(ann));
        if (counters) assert.deepEqual({ ...(await two.broker.counters!.counts(ann)) }, { box: 1 });
        const { recorder, stop } = await two.listen(ann);
        await eventually(async () => assert.deepEqual(await one.broker.online([ann]), new Set([ann])));
        await one.broker.whisper([ann], 'psst');
        await one.broker.mark(ann, { reason: 'why' });
        await eventually(() => assert.deepEqual([recorder.whispers, recorder.marks.length], [['psst'], 1]));
        stop();
        await eventually(async () => assert.deepEqual(await one.broker.online([ann]), new Set()));
      });

      testTwo('go on when the other one closes', async (one, two) => {
        const { recorder } = await one.listen(one.ann);
        await two.listen(one.ann);
        await two.broker.close();
        await one.say(one.ann, 'after');
        await eventually(() => assert.deepEqual(recorder.payloads, ['after']));
        assert.equal(one.broker.status, 'ready');
      });
    });
  }

  if (capabilities.reopen) {
    describe('a broker that was closed and opened again', () => {
      test('goes on where it was: streams, ids, counts and marks', async (bench) => {
        const { ann, bob, broker } = bench;
        const id = randomUUID();
        const origin = await bench.top(ann);
        await broker.publish(messageTo([ann, bob], 'counted', { id, unread }));
        await bench.say(ann, 'more');
        await broker.mark(ann, { reason: 'why' });
        const [last, before] = [await bench.top(ann), await broker.read(ann, null, 0)];
        await broker.close();
        const again = new BrokerBench(await capabilities.reopen!(broker));
        try {
          assert.deepEqual(await again.top(ann), last);
          assert.deepEqual(await again.payloadsAfter(ann, origin), ['counted', 'more']);
          assert.deepEqual((await again.broker.read(ann, null, 0)).marks, before.marks);
          assert.equal((await again.broker.publish(messageTo([ann, bob], 'counted', { id, unread }))).duplicates, 2);
          if (counters) assert.deepEqual({ ...(await again.broker.counters!.counts(ann)) }, { box: 1 });
          await again.say(ann, 'new');
          assert.deepEqual(await again.payloadsAfter(ann, last), ['new']);
        } finally {
          await again.broker.close();
        }
      });
    });
  }
}
