import { randomUUID } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { disproof } from '../../src/broker/subscriptions.ts';
import { ORIGIN_TAG } from '../../src/protocol/cursor.ts';
import { Recorder } from '../support/recorder.ts';
import { AWKWARD_IDS, type BrokerBench, messageTo, newTag } from './broker-bench.ts';

export function describePublishing(bench: BrokerBench, dense: boolean): void {
  describe('publishing', () => {
    it('appends to the stream of each recipient, and says where, in the order of the deliveries', async () => {
      await bench.say(bench.bob, 'earlier');
      const { appended, duplicates } = await bench.broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'for two', userIds: [bench.bob, bench.ann] },
          { payload: 'for carol', userIds: [bench.carol] },
        ],
      });
      expect(duplicates).toBe(0);
      expect(appended).toEqual([await bench.top(bench.bob), await bench.top(bench.ann), await bench.top(bench.carol)]);
    });

    it('gives each delivery its own payload', async () => {
      const [atBob, atCarol] = [await bench.top(bench.bob), await bench.top(bench.carol)];
      await bench.broker.publish({
        tag: newTag(),
        deliveries: [
          { payload: 'for bob', userIds: [bench.bob] },
          { payload: 'for carol', userIds: [bench.carol], unread: { boxId: 'box' } },
        ],
      });
      const [entriesOfBob, entriesOfCarol] = [
        (await bench.broker.read(bench.bob, atBob, 10)).entries,
        (await bench.broker.read(bench.carol, atCarol, 10)).entries,
      ];
      expect(entriesOfBob).toMatchObject([{ payload: 'for bob', unread: false }]);
      expect(entriesOfCarol).toMatchObject([{ payload: 'for carol', unread: true }]);
    });

    it('sends to everyone who is subscribed, in stream order, each entry with the tag of the one before', async () => {
      const [one, two] = [await bench.listen(bench.ann), await bench.listen(bench.ann)];
      await bench.say(bench.ann, 'a', 'b', 'c');
      await vi.waitFor(() => expect(one.recorder.payloads).toHaveLength(3));
      expect(one.recorder.payloads).toEqual(['a', 'b', 'c']);
      await vi.waitFor(() => expect(two.recorder.publications).toEqual(one.recorder.publications));
      const [a, b, c] = one.recorder.publications;
      expect([a!.previousTag, b!.previousTag, c!.previousTag]).toEqual([ORIGIN_TAG, a!.tag, b!.tag]);
      expect(c).toMatchObject(await bench.top(bench.ann));
    });

    it('keeps one order for publishers at the same time', async () => {
      const { recorder } = await bench.listen(bench.ann);
      const from = await bench.top(bench.ann);
      const payloads = Array.from({ length: 50 }, (_, i) => `p${i}`);
      await Promise.all(payloads.map((payload) => bench.broker.publish(messageTo([bench.ann], payload))));
      await vi.waitFor(() => expect(recorder.payloads).toHaveLength(50));
      const slice = await bench.broker.read(bench.ann, from, 100);
      expect(disproof(from, slice)).toBeNull();
      expect(slice.entries).toEqual(recorder.publications);
      expect(new Set(recorder.payloads)).toEqual(new Set(payloads));
      if (dense) expect(slice.top.offset).toBe(from.offset + 50);
    });

    it('shows every listener the same order when one of them publishes in turn', async () => {
      const eager = new Recorder();
      let answer: Promise<unknown> | null = null;
      await bench.broker.subscribe(bench.ann, {
        publication: (publication) => {
          eager.publication(publication);
          answer ??= bench.broker.publish(messageTo([bench.ann], 'in turn'));
        },
        whisper: () => {},
        mark: () => {},
      });
      const { recorder } = await bench.listen(bench.ann);
      const { appended } = await bench.broker.publish(messageTo([bench.ann, bench.bob], 'first'));
      await answer;
      await vi.waitFor(() => expect(recorder.payloads).toEqual(['first', 'in turn']));
      expect(eager.publications).toEqual(recorder.publications);
      expect(recorder.publications[0]).toMatchObject(appended[0]!);
    });

    it('takes any id', async () => {
      for (const id of AWKWARD_IDS) {
        const userId = `${bench.ann} ${id}`.slice(-256);
        const { recorder } = await bench.listen(userId);
        await bench.broker.publish(messageTo([userId], id, { id }));
        await vi.waitFor(() => expect(recorder.payloads).toEqual([id]));
        expect((await bench.broker.publish(messageTo([userId], id, { id }))).duplicates).toBe(1);
      }
    });
  });

  describe('publishing the same id again', () => {
    it('delivers once, and answers with the position of the first time', async () => {
      const { recorder } = await bench.listen(bench.ann);
      const id = randomUUID();
      const first = await bench.broker.publish(messageTo([bench.ann], 'once', { id }));
      await bench.say(bench.ann, 'between');
      const again = await bench.broker.publish(messageTo([bench.ann], 'once', { id }));
      const third = await bench.broker.publish(messageTo([bench.ann], 'once', { id }));
      expect([first.duplicates, again.duplicates, third.duplicates]).toEqual([0, 1, 1]);
      expect([again.appended, third.appended]).toEqual([first.appended, first.appended]);
      await bench.say(bench.ann, 'after');
      await vi.waitFor(() => expect(recorder.payloads).toEqual(['once', 'between', 'after']));
    });

    it('finishes what was left: only who has it not yet gets it', async () => {
      const id = randomUUID();
      const positions = new Map<string, unknown>();
      const publish = async (...userIds: string[]) => {
        const { appended, duplicates } = await bench.broker.publish(messageTo(userIds, 'event', { id }));
        userIds.forEach((userId, i) => {
          if (positions.has(userId)) expect(appended[i]).toEqual(positions.get(userId));
          positions.set(userId, appended[i]);
        });
        return duplicates;
      };
      expect(await publish(bench.bob)).toBe(0);
      expect(await publish(bench.ann, bench.bob)).toBe(1);
      expect(await publish(bench.carol, bench.bob, bench.ann)).toBe(2);
      for (const userId of [bench.ann, bench.bob, bench.carol]) {
        expect(await bench.payloadsAfter(userId, { ...(await bench.top(userId)), offset: 0, tag: ORIGIN_TAG })).toEqual(
          ['event'],
        );
      }
    });

    it('remembers nothing of a message without an id', async () => {
      const { recorder } = await bench.listen(bench.ann);
      for (let i = 0; i < 2; i++)
        expect((await bench.broker.publish(messageTo([bench.ann], 'again'))).duplicates).toBe(0);
      await vi.waitFor(() => expect(recorder.payloads).toEqual(['again', 'again']));
    });
  });
}
