import { describe, expect, it, vi } from 'vitest';
import { disproof } from '../../src/broker/subscriptions.ts';
import { decodeCursor, encodeCursor, ORIGIN_TAG, type Position } from '../../src/protocol/cursor.ts';
import type { BrokerBench } from './broker-bench.ts';

export function describeReading(bench: BrokerBench): void {
  describe('reading', () => {
    it('names the origin of a stream that has no entry, and stays with it', async () => {
      const origin = await bench.top(bench.ann);
      expect(origin).toMatchObject({ offset: 0, tag: ORIGIN_TAG });
      expect(decodeCursor(encodeCursor(origin))).toEqual(origin);
      expect(await bench.top(bench.ann)).toEqual(origin);
    });

    it('gives what came after any position, proven complete', async () => {
      const positions = [await bench.top(bench.ann)];
      for (const payload of ['a', 'b', 'c']) {
        await bench.say(bench.ann, payload);
        positions.push(await bench.top(bench.ann));
      }
      for (const [i, position] of positions.entries()) {
        const slice = await bench.broker.read(bench.ann, position, 10);
        expect(slice.entries.map(({ payload }) => payload)).toEqual(['a', 'b', 'c'].slice(i));
        expect(slice.top).toEqual(positions.at(-1));
        expect(disproof(position, slice)).toBeNull();
      }
    });

    it('gives the oldest first, up to the limit', async () => {
      const from = await bench.top(bench.ann);
      await bench.say(bench.ann, 'a', 'b', 'c');
      const slice = await bench.broker.read(bench.ann, from, 2);
      expect(slice.entries.map(({ payload }) => payload)).toEqual(['a', 'b']);
      expect(disproof(from, slice)).toBeNull();
    });

    it('gives no entries without a position', async () => {
      await bench.say(bench.ann, 'a');
      expect((await bench.broker.read(bench.ann, null, 10)).entries).toEqual([]);
    });

    it('proves nothing of a position that is not of this stream', async () => {
      await bench.say(bench.ann, 'a', 'b');
      const last = await bench.top(bench.ann);
      await bench.say(bench.ann, 'c');
      const wrong: [Position, string][] = [
        [{ ...last, epoch: 'another-epoch---' }, 'epoch'],
        [{ ...last, tag: 'wrongtag' }, 'rollback'],
        [{ ...last, offset: last.offset + 1 }, 'rollback'],
        [{ ...last, offset: last.offset + 1_000 }, 'rollback'],
        [{ ...last, offset: 0 }, 'rollback'],
        [{ ...last, offset: 0, tag: 'wrongtag' }, 'rollback'],
      ];
      for (const [position, reason] of wrong) {
        expect([position, disproof(position, await bench.broker.read(bench.ann, position, 10))]).toEqual([
          position,
          reason,
        ]);
      }
    });

    it('is of one user: no other one moves a stream', async () => {
      const before = await bench.top(bench.ann);
      await bench.say(bench.bob, 'a');
      expect(await bench.top(bench.ann)).toEqual(before);
      expect((await bench.top(bench.bob)).epoch).not.toBe(before.epoch);
    });

    it('gives the newest positions of many users at once', async () => {
      await bench.say(bench.ann, 'a');
      const tops = await bench.broker.tops([bench.ann, bench.bob]);
      expect(tops).toEqual(
        new Map([
          [bench.ann, await bench.top(bench.ann)],
          [bench.bob, await bench.top(bench.bob)],
        ]),
      );
    });
  });

  describe('forgetting', () => {
    it('erases the stream: no position of it can be carried on from', async () => {
      await bench.say(bench.ann, 'a', 'b');
      await bench.say(bench.bob, 'b');
      const [last, other] = [await bench.top(bench.ann), await bench.top(bench.bob)];
      await bench.broker.forget(bench.ann);
      const slice = await bench.broker.read(bench.ann, last, 10);
      expect([slice.entries, slice.top.offset, disproof(last, slice)]).toEqual([[], 0, 'epoch']);
      expect(await bench.top(bench.bob)).toEqual(other);
    });

    it('leaves subscribers subscribed, and marks in force', async () => {
      const { recorder, stop } = await bench.listen(bench.ann);
      await bench.broker.mark(bench.ann, { sessionId: 'one' });
      const { marks } = await bench.broker.read(bench.ann, null, 0);
      await bench.broker.forget(bench.ann);
      expect((await bench.broker.read(bench.ann, null, 0)).marks).toEqual(marks);
      await bench.say(bench.ann, 'new');
      await vi.waitFor(() => expect(recorder.payloads).toEqual(['new']));
      expect(recorder.publications[0]).toMatchObject({ ...(await bench.top(bench.ann)), previousTag: ORIGIN_TAG });
      stop();
      await vi.waitFor(async () => expect(await bench.broker.online([bench.ann])).toEqual(new Set()));
    });

    it('does nothing to a user that it does not know', async () => {
      await bench.broker.forget(bench.ann);
      await bench.broker.forget(bench.ann);
      expect(await bench.top(bench.ann)).toMatchObject({ offset: 0, tag: ORIGIN_TAG });
    });
  });
}
