import { afterEach, describe, expect, it, vi } from 'vitest';
import { Backoff } from '../../src/client/backoff.ts';

afterEach(() => vi.restoreAllMocks());

describe('the waits of a client', () => {
  it('lie anywhere between nothing and a bound that doubles up to 20 s', () => {
    const bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000];
    for (const part of [0, 0.25, 0.999]) {
      vi.spyOn(Math, 'random').mockReturnValue(part);
      const backoff = new Backoff();
      expect(bounds.map(() => backoff.next())).toEqual(bounds.map((bound) => part * bound));
    }
  });

  it('start over after a reset, and further on where the server is in trouble', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const backoff = new Backoff();
    backoff.atLeast(3);
    expect(backoff.next()).toBe(4_000);
    backoff.atLeast(3);
    expect(backoff.next()).toBe(8_000);
    backoff.reset();
    expect(backoff.next()).toBe(500);
  });

  it('stay bounded after any number of attempts', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const backoff = new Backoff();
    backoff.atLeast(100_000);
    expect(backoff.next()).toBe(20_000);
  });
});
