import { describe, expect, it, vi } from 'vitest';
import { Recorder } from '../support/recorder.ts';
import { type BrokerBench, messageTo } from './broker-bench.ts';

export function describeSubscribing(bench: BrokerBench, counters: boolean): void {
  describe('subscribing', () => {
    it('brings nothing from before', async () => {
      await bench.say(bench.ann, 'before');
      const { recorder } = await bench.listen(bench.ann);
      await bench.say(bench.ann, 'after');
      await vi.waitFor(() => expect(recorder.payloads).toEqual(['after']));
    });

    it('ends for one listener alone, and ends once', async () => {
      const [one, two] = [await bench.listen(bench.ann), await bench.listen(bench.ann)];
      one.stop();
      one.stop();
      await bench.say(bench.ann, 'a');
      await vi.waitFor(() => expect(two.recorder.payloads).toEqual(['a']));
      expect(one.recorder.payloads).toEqual([]);
      two.stop();
      await vi.waitFor(async () => expect(await bench.broker.online([bench.ann])).toEqual(new Set()));
    });

    it('is what makes a user online', async () => {
      expect(await bench.broker.online([bench.ann, bench.bob])).toEqual(new Set());
      await bench.listen(bench.ann);
      expect(await bench.broker.online([bench.ann, bench.bob])).toEqual(new Set([bench.ann]));
      expect(await bench.broker.online([])).toEqual(new Set());
    });
  });

  describe('whispering', () => {
    it('reaches who is subscribed, and moves no position', async () => {
      const { recorder } = await bench.listen(bench.ann);
      const before = await bench.broker.tops([bench.ann, bench.bob]);
      await bench.broker.whisper([bench.ann, bench.bob], 'psst');
      await vi.waitFor(() => expect(recorder.whispers).toEqual(['psst']));
      expect(recorder.publications).toEqual([]);
      expect(await bench.broker.tops([bench.ann, bench.bob])).toEqual(before);
    });
  });

  describe('marking', () => {
    it('stores marks with growing numbers, and sends them', async () => {
      const { recorder } = await bench.listen(bench.ann);
      expect(await bench.broker.read(bench.ann, null, 0)).toMatchObject({ markNumber: 0, marks: [] });
      await bench.broker.mark(bench.ann, { reason: 'why' });
      const earlier = await bench.broker.read(bench.ann, null, 0);
      await bench.broker.mark(bench.ann, { sessionId: 'one' });
      await vi.waitFor(() => expect(recorder.marks).toHaveLength(2));
      const [first, second] = recorder.marks;
      expect([first, second]).toMatchObject([{ reason: 'why' }, { sessionId: 'one' }]);
      expect(second!.number).toBeGreaterThan(first!.number);
      expect(await bench.broker.read(bench.ann, null, 0)).toMatchObject({
        markNumber: second!.number,
        marks: [first, second],
      });
      expect(earlier.marks).toEqual([first]);
    });

    it('moves no position', async () => {
      const before = await bench.top(bench.ann);
      await bench.broker.mark(bench.ann, {});
      expect(await bench.top(bench.ann)).toEqual(before);
    });
  });

  describe('closing', () => {
    it('refuses what comes after, and takes an unsubscribe that comes late', async () => {
      const { stop } = await bench.listen(bench.ann);
      await vi.waitFor(() => expect(bench.broker.status).toBe('ready'));
      await bench.broker.close();
      expect(bench.broker.status).toBe('lost');
      const calls = [
        () => bench.broker.publish(messageTo([bench.ann], 'p')),
        () => bench.broker.subscribe(bench.ann, new Recorder()),
        () => bench.broker.read(bench.ann, null, 0),
        () => bench.broker.tops([bench.ann]),
        () => bench.broker.whisper([bench.ann], 'p'),
        () => bench.broker.online([bench.ann]),
        () => bench.broker.mark(bench.ann, {}),
        () => bench.broker.forget(bench.ann),
        ...(counters ? [() => bench.broker.counters!.counts(bench.ann)] : []),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'closed' });
      stop();
      await bench.broker.close();
    });

    it('takes back a status listener', () => {
      const stop = bench.broker.onStatus(() => {});
      stop();
      stop();
    });
  });
}
