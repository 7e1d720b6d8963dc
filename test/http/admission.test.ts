import { afterEach, describe, expect, it, vi } from 'vitest';
import { Admission } from '../../src/http/admission.ts';

describe('Admission', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  function admitted(admission: Admission, tries: number): number {
    let count = 0;
    for (let i = 0; i < tries; i++) if (admission.admit()) count++;
    return count;
  }

  it('admits one second’s worth at once, and then as time goes by', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const admission = new Admission(10);
    expect(admitted(admission, 50)).toBe(10);
    vi.advanceTimersByTime(300);
    expect(admitted(admission, 50)).toBe(3);
    vi.advanceTimersByTime(60_000);
    expect(admitted(admission, 50)).toBe(10);
  });

  it('has no limit with 0', () => {
    expect(admitted(new Admission(0), 1000)).toBe(1000);
  });
});
