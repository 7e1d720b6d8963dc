import fc from 'fast-check';
import { type Counted, memoryCounters } from 'usercast';
import { describe, expect, it } from 'vitest';
import { UserCounts } from '../../../adapters/nats/user-counts.ts';
import { decodeUserCounts, encodeUserCounts } from '../../../adapters/nats/user-counts-codec.ts';

const EPOCHS = ['epoch-of-stream-', 'epoch-that-came-'];

function event(offset: number, more: Partial<Counted> = {}): Counted {
  const position = { epoch: EPOCHS[0]!, offset, tag: 'tttttttt' };
  return { userId: 'ann', boxId: 'box', id: `event ${offset}`, position, ...more };
}

const written = (counts: UserCounts): UserCounts => decodeUserCounts(encodeUserCounts(counts));

/** A UUID's worth of characters. */
const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

describe('the counts of a user', () => {
  it('are those that counters in memory would give, through every write and read', async () => {
    const position = fc.record({ epoch: fc.nat(1), offset: fc.oneof(fc.nat(40), fc.nat(2 ** 50)) });
    const box = fc.constantFrom('a', 'b', '__proto__');
    const steps = fc.oneof(
      fc.record({ boxId: box, position, id: fc.nat(60) }),
      fc.record({ boxId: box, position, burst: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ boxId: box, position, ack: fc.constant(true) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 40 }), async (all) => {
        const model = memoryCounters();
        let counts = new UserCounts();
        let now = 1_700_000_000_000;
        for (const step of all) {
          now += 1000;
          const at = { epoch: EPOCHS[step.position.epoch]!, offset: step.position.offset, tag: 'tttttttt' };
          if ('ack' in step) {
            counts.ack(step.boxId, at, now);
            await model.reset('ann', step.boxId, at);
          } else {
            const burst = 'burst' in step ? step.burst : 1;
            for (let i = 0; i < burst; i++) {
              const id = 'id' in step ? `${step.id}` : `burst ${now} ${i}`;
              const counted = event(0, { boxId: step.boxId, id, position: { ...at, offset: at.offset + i } });
              counts.count(counted, now);
              await model.increment([counted]);
            }
          }
          counts.expire(now, 600_000);
          counts = written(counts);
          expect(counts.unread()).toEqual(await model.counts('ann'));
          expect(counts.unread(at)).toEqual(await model.counts('ann', at));
        }
      }),
      { numRuns: 200 },
    );
  });

  it('forget an id, and the ack of an empty box, when their time is over, and nothing else', () => {
    let counts = new UserCounts();
    counts.count(event(1), 1_000);
    counts.ack('box', event(2).position, 1_500);
    counts.count(event(3, { boxId: 'other' }), 2_000);
    counts.expire(11_500, 10_000);
    counts = written(counts);
    expect([counts.counted.size, [...counts.boxes.keys()]]).toEqual([1, ['box', 'other']]);
    counts.expire(12_001, 10_000);
    counts = written(counts);
    expect([counts.counted.size, [...counts.boxes.keys()], counts.unread()]).toEqual([0, ['other'], { other: 1 }]);
  });

  it('never let a clock that lags behind make an id older than it is', () => {
    const counts = new UserCounts();
    counts.count(event(1), 20_000);
    counts.count(event(2), 1_000);
    counts.expire(29_999, 10_000);
    expect(written(counts).counted.size).toBe(2);
  });

  it('keep the newest 256 acks of boxes without unread messages: clients choose what they ack', () => {
    const counts = new UserCounts();
    for (let n = 0; n < 300; n++) counts.ack(`box ${n}`, event(1).position, 1_000 + n);
    counts.count(event(5, { boxId: 'unread' }), 1_000);
    counts.expire(2_000, 600_000);
    expect(counts.boxes.size).toBe(257);
    expect(counts.boxes.has('box 43')).toBe(false);
    expect(counts.boxes.has('box 44')).toBe(true);
    expect(written(counts).unread()).toEqual({ unread: 1 });
  });

  it('stay right when there are so many that positions are not kept one by one', () => {
    let counts = new UserCounts();
    for (let box = 0; box < 600; box++) {
      for (let n = 1; n <= 130; n++) {
        counts.count(event(n * 1_000, { boxId: uuid(box), id: `${box} ${n}` }), 1_000_000 + n);
      }
    }
    counts.expire(10_000_000, 1);
    const bytes = encodeUserCounts(counts);
    expect(bytes.length).toBeLessThan(65_536);
    counts = decodeUserCounts(bytes);
    expect(new Set(Object.values(counts.unread()))).toEqual(new Set([130]));
    counts.ack(uuid(7), event(125_000).position, 10_000_001);
    expect(counts.unread()[uuid(7)]).toBe(5);
  });

  it('take as few bytes as the README says', () => {
    const base = new UserCounts();
    base.count(event(1_000_000, { boxId: uuid(0) }), 1_700_000_000_000);
    base.expire(1_700_000_700_000, 600_000);
    const sizeOf = (counts: UserCounts): number => encodeUserCounts(counts).length;
    const oneBox = sizeOf(base);

    const boxes = written(base);
    for (let n = 1; n <= 100; n++) boxes.boxes.set(uuid(n), written(base).boxes.get(uuid(0))!);
    const perBox = (sizeOf(boxes) - oneBox) / 100;

    const ids = written(base);
    for (let n = 1; n <= 127; n++)
      ids.count(event(1_000_000 + n * 500, { boxId: uuid(0) }), 1_700_001_000_000 + n * 5_000);
    const withIds = sizeOf(ids);
    ids.counted.clear();
    const perPosition = (sizeOf(ids) - oneBox) / 127;
    const perId = (withIds - sizeOf(ids)) / 127;
    expect(oneBox).toBeLessThanOrEqual(75);
    expect(perBox).toBeLessThanOrEqual(48);
    expect(perPosition).toBeLessThanOrEqual(2.1);
    expect(perId).toBeLessThanOrEqual(10.1);
  });

  it('refuse bytes that are cut off, go on, or are of another version', () => {
    const counts = new UserCounts();
    counts.count(event(7), 1_000);
    counts.ack('other', event(9, {}).position, 1_000);
    const bytes = encodeUserCounts(counts);
    for (let length = 1; length < bytes.length; length++) {
      expect(() => decodeUserCounts(bytes.subarray(0, length)), `${length} bytes`).toThrow(RangeError);
    }
    expect(() => decodeUserCounts(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(/after its end/);
    expect(() => decodeUserCounts(Buffer.concat([Buffer.from([2]), bytes.subarray(1)]))).toThrow(/version 2/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
        try {
          decodeUserCounts(Buffer.from([1, ...noise]));
        } catch (cause) {
          expect(cause).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
