import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { memoryCounters } from '../../src/counter/memory-counter-store.ts';
import { counterStoreSuite } from '../../src/testing/counter-store-suite.ts';

counterStoreSuite({ describe, it }, { name: 'memoryCounters', create: () => memoryCounters() });

const at = (offset: number) => ({ epoch: 'epoch-of-stream-', offset, tag: 'tag-----' });
const event = (offset: number) => ({ userId: 'ann', boxId: 'box', id: `event ${offset}`, position: at(offset) });

describe('what memoryCounters remembers', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('of a message is that it was counted, for rememberMs', async () => {
    const store = memoryCounters({ rememberMs: 1_000 });
    await store.increment([event(1)]);
    vi.advanceTimersByTime(999);
    await store.increment([event(1)]);
    expect(await store.counts('ann')).toEqual({ box: 1 });
    vi.advanceTimersByTime(1);
    await store.increment([event(1)]);
    expect(await store.counts('ann')).toEqual({ box: 2 });
  });

  it('of an ack is its position, for rememberMs', async () => {
    const store = memoryCounters({ rememberMs: 1_000 });
    await store.reset('ann', 'box', at(5));
    vi.advanceTimersByTime(999);
    await store.increment([event(4)]);
    expect(await store.counts('ann')).toEqual({});
    vi.advanceTimersByTime(1);
    await store.increment([event(3)]);
    expect(await store.counts('ann')).toEqual({ box: 1 });
  });

  it('of a box with unread messages is all, for ever', async () => {
    const store = memoryCounters({ rememberMs: 1_000 });
    await store.reset('ann', 'box', at(5));
    await store.reset('ann', 'other', at(6));
    await store.increment([event(7)]);
    vi.advanceTimersByTime(1e9);
    await store.increment([event(8)]);
    expect(await store.counts('ann')).toEqual({ box: 2 });
  });

  it('of acks of boxes that nobody has is bounded', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const heapBytes = () => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = heapBytes();
    const store = memoryCounters({ rememberMs: 1_000 });
    for (let second = 0; second < 200; second++) {
      for (let i = 0; i < 1_000; i++) await store.reset('ann', `box ${second} ${i}`.padEnd(200), at(i));
      vi.advanceTimersByTime(1_000);
    }
    // Kept, the 200 000 ids alone would take 40 MB.
    expect(await store.counts('ann')).toEqual({});
    expect(heapBytes() - before).toBeLessThan(20_000_000);
  });
});

it.each([
  [{ rememberMs: 0 }, /^rememberMs must be a whole number of at least 1, got 0$/],
  [{ rememberMs: Number.NaN }, /^rememberMs must be a whole number of at least 1, got NaN$/],
  [{ remember: 1 }, /^memoryCounters options has no option "remember"; it takes rememberMs$/],
  [null, /^memoryCounters options must be an object, got null$/],
])('memoryCounters refuses %o', (options, message) => {
  expect(() => memoryCounters(options as never)).toThrow(TypeError);
  expect(() => memoryCounters(options as never)).toThrow(message);
});
