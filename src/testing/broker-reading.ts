// The part of the broker suite about reading and forgetting: what is proven, and what never is.

import assert from 'node:assert/strict';
import type { Position } from '../index.ts';
import {
  assertAppended,
  type BrokerCapabilities,
  type BrokerTest,
  isProven,
  messageTo,
  place,
} from './broker-bench.ts';
import { eventually, type TestRunner } from './runner.ts';

const EPOCH = /^[\w-]{16}$/;
const TAG = /^[\w-]{8}$/;

export function testReading({ describe }: TestRunner, test: BrokerTest, { historyMessages }: BrokerCapabilities): void {
  describe('reading', () => {
    test('names the origin of a stream that has no entry, and stays with it', async (bench) => {
      const origin = await bench.top(bench.ann);
      assert.match(origin.tag, TAG);
      assert.match(origin.epoch, EPOCH);
      assert.deepEqual(await bench.top(bench.ann), origin);
      assert.deepEqual(await bench.payloadsAfter(bench.ann, origin), []);
      await bench.say(bench.ann, 'first');
      assert.deepEqual(await bench.payloadsAfter(bench.ann, origin), ['first']);
    });

    test('gives what came after any position, proven complete', async (bench) => {
      const positions = [await bench.top(bench.ann)];
      for (const payload of ['a', 'b', 'c']) {
        await bench.say(bench.ann, payload);
        positions.push(await bench.top(bench.ann));
      }
      for (const [i, position] of positions.entries()) {
        assert.deepEqual(await bench.payloadsAfter(bench.ann, position), ['a', 'b', 'c'].slice(i));
        assert.deepEqual(place((await bench.broker.read(bench.ann, position, 10)).top), positions.at(-1));
      }
    });

    test('gives the oldest first, up to the limit', async (bench) => {
      const from = await bench.top(bench.ann);
      await bench.say(bench.ann, 'a', 'b', 'c');
      const slice = await bench.broker.read(bench.ann, from, 2);
      assert.deepEqual(
        slice.entries.map(({ payload }) => payload),
        ['a', 'b'],
      );
      assert.ok(isProven(from, slice));
      assert.deepEqual(place(slice.top), await bench.top(bench.ann));
    });

    test('gives no entries without a position', async (bench) => {
      await bench.say(bench.ann, 'a');
      assert.deepEqual((await bench.broker.read(bench.ann, null, 10)).entries, []);
    });

    test('proves nothing of a position that is not of this stream', async (bench) => {
      await bench.say(bench.ann, 'a', 'b');
      const last = await bench.top(bench.ann);
      await bench.say(bench.ann, 'c');
      const wrong: readonly Position[] = [
        { ...last, epoch: 'another-epoch---' },
        { ...last, tag: 'wrongtag' },
        { ...last, offset: last.offset + 1 },
        { ...last, offset: last.offset + 1_000 },
        { ...last, offset: Number.MAX_SAFE_INTEGER },
        { ...last, offset: 0 },
        { ...last, offset: 0, tag: 'wrongtag' },
      ];
      for (const position of wrong) {
        const slice = await bench.broker.read(bench.ann, position, 10);
        assert.equal(isProven(position, slice), false, `proves ${JSON.stringify(position)}`);
      }
    });

    test('while others publish gives a proven part of the stream each time', async (bench) => {
      const from = await bench.top(bench.ann);
      const publishing = Array.from({ length: 40 }, (_, i) => bench.broker.publish(messageTo([bench.ann], `p${i}`)));
      const reading = Array.from({ length: 10 }, () => bench.broker.read(bench.ann, from, 100));
      const slices = await Promise.all(reading);
      for (const { appended } of await Promise.all(publishing)) assertAppended(appended);
      const all = await bench.broker.read(bench.ann, from, 100);
      assert.equal(all.entries.length, 40);
      for (const slice of slices) {
        assert.ok(isProven(from, slice));
        assert.deepEqual(slice.entries, all.entries.slice(0, slice.entries.length));
        assert.deepEqual(place(slice.top), place(slice.entries.at(-1) ?? from));
      }
    });

    test('after subscribing leaves no gap between what is read and what arrives', async (bench) => {
      const from = await bench.top(bench.ann);
      const before = Array.from({ length: 20 }, (_, i) => bench.broker.publish(messageTo([bench.ann], `a${i}`)));
      const { recorder } = await bench.listen(bench.ann);
      const after = Array.from({ length: 20 }, (_, i) => bench.broker.publish(messageTo([bench.ann], `b${i}`)));
      const { entries } = await bench.broker.read(bench.ann, from, 100);
      await Promise.all([...before, ...after]);
      const read = entries.at(-1)?.offset ?? 0;
      const late = () => recorder.publications.filter(({ offset }) => offset > read);
      await eventually(() => assert.equal(entries.length + late().length, 40));
      const all = await bench.broker.read(bench.ann, from, 100);
      assert.deepEqual([...entries, ...late()], all.entries);
    });

    test('gives where many users stand at once', async (bench) => {
      await bench.say(bench.ann, 'a');
      await bench.broker.mark(bench.bob, {});
      const tops = await bench.broker.tops([bench.ann, bench.bob]);
      for (const userId of [bench.ann, bench.bob]) {
        const { markNumber } = await bench.broker.read(userId, null, 0);
        assert.deepEqual({ ...tops.get(userId) }, { ...(await bench.top(userId)), markNumber });
      }
      assert.deepEqual([...tops.keys()].sort(), [bench.ann, bench.bob].sort());
      assert.equal((await bench.broker.tops([])).size, 0);
    });

    if (historyMessages !== undefined) {
      test(`keeps ${historyMessages} messages, and proves nothing of what came before them`, async (bench) => {
        const origin = await bench.top(bench.ann);
        await bench.say(bench.ann, 'gone', 'gone');
        const first = await bench.top(bench.ann);
        await bench.say(bench.ann, ...Array.from({ length: historyMessages }, (_, i) => `p${i}`));
        const slice = await bench.broker.read(bench.ann, first, historyMessages);
        assert.equal(slice.entries.length, historyMessages);
        assert.ok(isProven(first, slice));
        assert.equal(isProven(origin, await bench.broker.read(bench.ann, origin, historyMessages)), false);
      });
    }
  });

  describe('forgetting', () => {
    test('erases the stream: no position of it can be carried on from', async (bench) => {
      await bench.say(bench.ann, 'a', 'b');
      await bench.say(bench.bob, 'b');
      const [last, other] = [await bench.top(bench.ann), await bench.top(bench.bob)];
      await bench.broker.forget(bench.ann);
      const slice = await bench.broker.read(bench.ann, last, 10);
      assert.deepEqual([slice.entries, isProven(last, slice)], [[], false]);
      assert.deepEqual(await bench.top(bench.bob), other);
    });

    test('leaves subscribers subscribed, and marks in force', async (bench) => {
      const { recorder, stop } = await bench.listen(bench.ann);
      await bench.broker.mark(bench.ann, { sessionId: 'one' });
      const { marks } = await bench.broker.read(bench.ann, null, 0);
      await bench.broker.forget(bench.ann);
      const afterwards = await bench.broker.read(bench.ann, null, 0);
      assert.deepEqual(afterwards.marks, marks);
      await bench.say(bench.ann, 'new');
      await eventually(() => assert.deepEqual(recorder.payloads, ['new']));
      assert.deepEqual(place(recorder.publications[0]!), await bench.top(bench.ann));
      assert.equal(recorder.publications[0]!.previousTag, afterwards.top.tag);
      stop();
      await eventually(async () => assert.deepEqual(await bench.broker.online([bench.ann]), new Set()));
    });

    test('does nothing to a user that it does not know', async (bench) => {
      await bench.broker.forget(bench.ann);
      await bench.broker.forget(bench.ann);
      const origin = await bench.top(bench.ann);
      await bench.say(bench.ann, 'first');
      assert.deepEqual(await bench.payloadsAfter(bench.ann, origin), ['first']);
    });
  });
}
