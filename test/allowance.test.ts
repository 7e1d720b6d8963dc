import { afterEach, describe, expect, it, vi } from 'vitest';
import { Allowance } from '../src/allowance.ts';

describe('an allowance', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  function taken(allowance: Allowance, tries: number): number {
    let count = 0;
    for (let i = 0; i < tries; i++) if (allowance.take()) count++;
    return count;
  }

  it('gives its burst at once, and then as time goes by', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const allowance = new Allowance(10, 40);
    expect(taken(allowance, 50)).toBe(40);
    vi.advanceTimersByTime(300);
    expect(taken(allowance, 50)).toBe(3);
    vi.advanceTimersByTime(60_000);
    expect(taken(allowance, 50)).toBe(40);
  });

  it('has no limit with 0', () => {
    expect(taken(new Allowance(0, 0), 1000)).toBe(1000);
  });
});
