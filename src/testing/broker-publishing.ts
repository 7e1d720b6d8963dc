// The part of the broker suite about publishing: order, positions, payloads, and the same id again.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Position } from '../index.ts';
import {
  assertAppended,
  type BrokerCapabilities,
  type BrokerTest,
  isProven,
  messageTo,
  newTag,
  place,
} from './broker-bench.ts';
import { Recorder } from './recorder.ts';
import { eventually, type TestRunner, withinWindow } from './runner.ts';

export function testPublishing({ describe }: TestRunner, test: BrokerTest, { dense, clock }: BrokerCapabilities): void {
  describe('publishing', () => {
    test('appends to the stream of each recipient, and says where, in the order of the deliveries', async (bench) => {
      const { broker, ann, bob, carol } = bench;
      await bench.say(bob, 'earlier');
      const { appended, duplicates } = await broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'for two', userIds: [bob, ann] },
          { payload: 'for carol', userIds: [carol] },
        ],
      });
      assert.equal(duplicates, 0);
      assert.deepEqual(assertAppended(appended), [await bench.top(bob), await bench.top(ann), await bench.top(carol)]);
    });

    test('marks the entry with the tag of the message', async ({ broker, ann }) => {
      const message = messageTo([ann], 'p');
      const [position] = assertAppended((await broker.publish(message)).appended);
      assert.equal(position?.tag, message.tag);
    });

    test('gives each delivery its own payload, and says what counts', async (bench) => {
      const { broker, bob, carol } = bench;
      const [atBob, atCarol] = [await bench.top(bob), await bench.top(carol)];
      await broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'for bob', userIds: [bob] },
          { payload: 'for carol', userIds: [carol], unread: { boxId: 'box' } },
        ],
      });
      const [ofBob] = (await broker.read(bob, atBob, 10)).entries;
      const [ofCarol] = (await broker.read(carol, atCarol, 10)).entries;
      assert.deepEqual([ofBob?.payload, ofBob?.unread], ['for bob', false]);
      assert.deepEqual([ofCarol?.payload, ofCarol?.unread], ['for carol', true]);
    });

    test('carries any text as it is', async (bench) => {
      const payloads = ['', '\u0000', 'ünï 💬 \u2028', '"\\\r\n\t', 'x'.repeat(300_000)];
      const from = await bench.top(bench.ann);
      const { recorder } = await bench.listen(bench.ann);
      await bench.say(bench.ann, ...payloads);
      await eventually(() => assert.equal(recorder.payloads.length, payloads.length));
      assert.deepEqual(recorder.payloads, payloads);
      assert.deepEqual(await bench.payloadsAfter(bench.ann, from), payloads);
    });

    test('sends to everyone who is subscribed, in stream order, each with the tag of the one before', async (bench) => {
      const origin = await bench.top(bench.ann);
      const [one, two] = [await bench.listen(bench.ann), await bench.listen(bench.ann)];
      await bench.say(bench.ann, 'a', 'b', 'c');
      await eventually(() => assert.equal(one.recorder.payloads.length, 3));
      assert.deepEqual(one.recorder.payloads, ['a', 'b', 'c']);
      await eventually(() => assert.deepEqual(two.recorder.publications, one.recorder.publications));
      const [a, b, c] = one.recorder.publications;
      assert.deepEqual([a!.previousTag, b!.previousTag, c!.previousTag], [origin.tag, a!.tag, b!.tag]);
      assert.deepEqual(place(c!), await bench.top(bench.ann));
    });

    test('keeps one order for publishers at the same time', async (bench) => {
      const { recorder } = await bench.listen(bench.ann);
      const from = await bench.top(bench.ann);
      const payloads = Array.from({ length: 50 }, (_, i) => `p${i}`);
      const results = await Promise.all(
        payloads.map((payload) => bench.broker.publish(messageTo([bench.ann, bench.bob], payload))),
      );
      for (const { appended } of results) assertAppended(appended);
      await eventually(() => assert.equal(recorder.payloads.length, 50));
      const slice = await bench.broker.read(bench.ann, from, 100);
      assert.ok(isProven(from, slice));
      assert.deepEqual(slice.entries, recorder.publications);
      assert.deepEqual([...recorder.payloads].sort(), [...payloads].sort());
      if (dense) assert.equal(slice.top.offset, from.offset + 50);
    });

    test('shows every listener the same order when one of them publishes in turn', async ({ broker, ann, bob }) => {
      const eager = new Recorder();
      let answer: Promise<unknown> | null = null;
      await broker.subscribe(ann, {
        publication: (publication) => {
          eager.publication(publication);
          answer ??= broker.publish(messageTo([ann], 'in turn'));
        },
        whisper: () => {},
        mark: () => {},
      });
      const recorder = new Recorder();
      await broker.subscribe(ann, recorder);
      const { appended } = await broker.publish(messageTo([ann, bob], 'first'));
      await answer;
      await eventually(() => assert.deepEqual(recorder.payloads, ['first', 'in turn']));
      await eventually(() => assert.deepEqual(eager.publications, recorder.publications));
      assert.deepEqual(place(recorder.publications[0]!), assertAppended(appended)[0]);
    });

    test('of a message to nobody does nothing', async ({ broker }) => {
      assert.deepEqual(await broker.publish({ tag: newTag(), deliveries: [] }), { appended: [], duplicates: 0 });
      assert.deepEqual((await broker.publish(messageTo([], 'p'))).appended, []);
    });
  });

  describe('publishing the same id again', () => {
    test('delivers once, and answers with the position of the first time', async (bench) => {
      const { recorder } = await bench.listen(bench.ann);
      const id = randomUUID();
      const publish = () => bench.broker.publish(messageTo([bench.ann], 'once', { id }));
      const first = await publish();
      await bench.say(bench.ann, 'between');
      const [again, third] = [await publish(), await publish()];
      assert.deepEqual([first.duplicates, again.duplicates, third.duplicates], [0, 1, 1]);
      assert.deepEqual(assertAppended(again.appended), assertAppended(first.appended));
      assert.deepEqual(assertAppended(third.appended), assertAppended(first.appended));
      await bench.say(bench.ann, 'after');
      await eventually(() => assert.deepEqual(recorder.payloads, ['once', 'between', 'after']));
    });

    test('at the same moment delivers once', async (bench) => {
      const from = await bench.top(bench.ann);
      const id = randomUUID();
      const calls = Array.from({ length: 10 }, () => bench.broker.publish(messageTo([bench.ann], 'once', { id })));
      const results = await Promise.all(calls);
      assert.equal(
        results.reduce((sum, { duplicates }) => sum + duplicates, 0),
        9,
      );
      assert.equal(new Set(results.map(({ appended }) => assertAppended(appended)[0]?.offset)).size, 1);
      assert.deepEqual(await bench.payloadsAfter(bench.ann, from), ['once']);
    });

    test('finishes what was left: only who has it not yet gets it', async (bench) => {
      const { ann, bob, carol } = bench;
      const origins = new Map<string, Position>();
      for (const userId of [ann, bob, carol]) origins.set(userId, await bench.top(userId));
      const id = randomUUID();
      const positions = new Map<string, Position>();
      const publish = async (...userIds: string[]) => {
        const { appended, duplicates } = await bench.broker.publish(messageTo(userIds, 'event', { id }));
        for (const [i, position] of assertAppended(appended).entries()) {
          const userId = userIds[i]!;
          assert.deepEqual(position, positions.get(userId) ?? position);
          positions.set(userId, position);
        }
        return duplicates;
      };
      assert.equal(await publish(bob), 0);
      assert.equal(await publish(ann, bob), 1);
      assert.equal(await publish(carol, bob, ann), 2);
      for (const [userId, origin] of origins) assert.deepEqual(await bench.payloadsAfter(userId, origin), ['event']);
    });

    test('remembers nothing of a message without an id', async (bench) => {
      const { recorder } = await bench.listen(bench.ann);
      for (let i = 0; i < 2; i++) {
        assert.equal((await bench.broker.publish(messageTo([bench.ann], 'again'))).duplicates, 0);
      }
      await eventually(() => assert.deepEqual(recorder.payloads, ['again', 'again']));
    });

    if (clock) {
      test('is known for the whole window', async ({ broker, ann }) => {
        const publishTwice = async () => {
          const id = randomUUID();
          const publish = async () => (await broker.publish(messageTo([ann], 'once', { id }))).duplicates;
          assert.equal(await publish(), 0);
          await clock.advance(clock.deduplicationMs * 0.9);
          return await publish();
        };
        assert.equal(await withinWindow(clock.deduplicationMs, publishTwice, (duplicates) => duplicates !== 0), 1);
      });
    }
  });
}
