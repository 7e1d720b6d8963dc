// The part of the broker suite about what is not stored in the stream: subscriptions, whispers, marks, who is online, the end.

import assert from 'node:assert/strict';
import { type BrokerCapabilities, type BrokerTest, messageTo, newTag } from './broker-bench.ts';
import { Recorder } from './recorder.ts';
import { eventually, type TestRunner } from './runner.ts';

export function testSubscribing({ describe }: TestRunner, test: BrokerTest, { counters }: BrokerCapabilities): void {
  describe('subscribing', () => {
    test('brings nothing from before', async (bench) => {
      await bench.say(bench.ann, 'before');
      const { recorder } = await bench.listen(bench.ann);
      await bench.say(bench.ann, 'after');
      await eventually(() => assert.deepEqual(recorder.payloads, ['after']));
    });

    test('ends for one listener alone, and ends once', async (bench) => {
      const [one, two] = [await bench.listen(bench.ann), await bench.listen(bench.ann)];
      one.stop();
      one.stop();
      await bench.say(bench.ann, 'a');
      await eventually(() => assert.deepEqual(two.recorder.payloads, ['a']));
      assert.deepEqual(one.recorder.payloads, []);
      two.stop();
      await eventually(async () => assert.deepEqual(await bench.broker.online([bench.ann]), new Set()));
    });

    test('again after it ended brings what comes from then on', async (bench) => {
      const first = await bench.listen(bench.ann);
      first.stop();
      await eventually(async () => assert.deepEqual(await bench.broker.online([bench.ann]), new Set()));
      await bench.say(bench.ann, 'between');
      const second = await bench.listen(bench.ann);
      await bench.say(bench.ann, 'after');
      await eventually(() => assert.deepEqual(second.recorder.payloads, ['after']));
    });

    test('is what makes a user online', async ({ broker, ann, bob }) => {
      assert.deepEqual(await broker.online([ann, bob]), new Set());
      await broker.subscribe(ann, new Recorder());
      await eventually(async () => assert.deepEqual(await broker.online([ann, bob]), new Set([ann])));
      assert.deepEqual(await broker.online([]), new Set());
    });
  });

  describe('whispering', () => {
    test('reaches who is subscribed, and moves no position', async (bench) => {
      const { broker, ann, bob } = bench;
      const { recorder } = await bench.listen(ann);
      const before = [await bench.top(ann), await bench.top(bob)];
      await broker.whisper([ann, bob], 'psst');
      await eventually(() => assert.deepEqual(recorder.whispers, ['psst']));
      assert.deepEqual(recorder.publications, []);
      assert.deepEqual([await bench.top(ann), await bench.top(bob)], before);
    });
  });

  describe('marking', () => {
    test('stores marks with growing numbers, and sends them', async (bench) => {
      const { broker, ann } = bench;
      const { recorder } = await bench.listen(ann);
      const none = await broker.read(ann, null, 0);
      assert.deepEqual([none.markNumber, none.marks, none.markAgeMs], [0, [], undefined]);
      const beforeMs = performance.now();
      await broker.mark(ann, { reason: 'why' });
      const earlier = await broker.read(ann, null, 0);
      await broker.mark(ann, { sessionId: 'one' });
      await eventually(() => assert.equal(recorder.marks.length, 2));
      const [first, second] = recorder.marks;
      assert.deepEqual([first?.reason, first?.sessionId], ['why', undefined]);
      assert.deepEqual([second?.reason, second?.sessionId], [undefined, 'one']);
      assert.ok(second!.number > first!.number);
      const { markNumber, marks } = await broker.read(ann, null, 0);
      assert.equal(markNumber, second!.number);
      assert.deepEqual(marks, [first, second]);
      assert.deepEqual(earlier.marks, [first]);
      // By whole milliseconds on either clock.
      const { markAgeMs } = earlier;
      assert.ok(markAgeMs! > -1 && markAgeMs! <= performance.now() - beforeMs + 1, `the mark is ${markAgeMs} ms old`);
    });

    test('moves no position', async (bench) => {
      const before = await bench.top(bench.ann);
      await bench.broker.mark(bench.ann, {});
      assert.deepEqual(await bench.top(bench.ann), before);
    });
  });

  describe('closing', () => {
    test('refuses what comes after, and takes an unsubscribe that comes late', async ({ broker, ann }) => {
      const stop = await broker.subscribe(ann, new Recorder());
      await eventually(() => assert.equal(broker.status, 'ready'));
      await broker.close();
      assert.equal(broker.status, 'lost');
      const calls: readonly (() => Promise<unknown>)[] = [
        () => broker.publish(messageTo([ann], 'p')),
        () => broker.publish({ tag: newTag(), deliveries: [] }),
        () => broker.subscribe(ann, new Recorder()),
        () => broker.read(ann, null, 0),
        () => broker.tops([ann]),
        () => broker.whisper([ann], 'p'),
        () => broker.online([ann]),
        () => broker.mark(ann, {}),
        () => broker.forget(ann),
        ...(counters ? [() => broker.counters!.counts(ann)] : []),
      ];
      for (const call of calls) await assert.rejects(call, { code: 'closed' });
      stop();
      await broker.close();
    });

    test('takes back a status listener', async ({ broker }) => {
      const stop = broker.onStatus(() => {});
      stop();
      stop();
    });
  });
}
