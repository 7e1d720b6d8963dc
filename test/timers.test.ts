import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { monotonicMs, setTimer, Wheel, WheelTask, withDeadline } from '../src/timers.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const DAY_MS = 86_400_000;

describe('setTimer', () => {
  it.each([
    [50, 50],
    [Number.POSITIVE_INFINITY, 2 ** 31 - 1],
    [100 * DAY_MS, 2 ** 31 - 1],
  ])('with %d ms calls back after %d ms', (delayMs, afterMs) => {
    const called = vi.fn();
    setTimer(called, delayMs);
    vi.advanceTimersByTime(afterMs - 1);
    expect(called).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
  });

  it.each([0, -5])('with %d ms calls back as soon as it can', (delayMs) => {
    const called = vi.fn();
    setTimer(called, delayMs);
    expect(called).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(called).toHaveBeenCalledTimes(1);
  });

  it('does not keep the process alive', () => {
    vi.useRealTimers();
    const timer = setTimer(() => {}, 1_000);
    expect(timer.hasRef()).toBe(false);
    clearTimeout(timer);
  });
});

describe('withDeadline', () => {
  it('settles as the work does, and leaves no timer', async () => {
    await expect(withDeadline(Promise.resolve('done'), 100, 'it')).resolves.toBe('done');
    await expect(withDeadline(Promise.reject(new Error('broken')), 100, 'it')).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('rejects work that takes longer, and ignores what becomes of it', async () => {
    let fail: (cause: Error) => void = () => {};
    const work = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const waiting = withDeadline(work, 100, 'the broker');
    vi.advanceTimersByTime(100);
    await expect(waiting).rejects.toMatchObject({
      code: 'deadline',
      message: 'the broker did not answer within 100 ms',
    });
    fail(new Error('too late'));
    await expect(work).rejects.toThrow('too late');
  });
});

class Task extends WheelTask {
  readonly calls: { readonly atMs: number; readonly lateMs: number }[] = [];
  readonly #then: () => void;

  constructor(then: () => void = () => {}) {
    super();
    this.#then = then;
  }

  override due(lateMs: number): void {
    this.calls.push({ atMs: monotonicMs(), lateMs });
    this.#then();
  }
}

describe('the wheel', () => {
  it.each([0, 1, 99, 100, 101, 250, 25_000, 60_000, 102_400, 102_500, 300_000])(
    'calls once, at most one tick from %d ms',
    (delayMs) => {
      const wheel = new Wheel();
      const task = new Task();
      vi.advanceTimersByTime(37);
      const startMs = monotonicMs();
      wheel.schedule(task, delayMs);
      vi.advanceTimersByTime(delayMs + 200);
      expect(task.calls).toHaveLength(1);
      expect(Math.abs(task.calls[0]!.atMs - startMs - delayMs)).toBeLessThanOrEqual(100);
      vi.advanceTimersByTime(300_000);
      expect(task.calls).toHaveLength(1);
    },
  );

  it('runs a timer only while it has tasks', () => {
    const wheel = new Wheel();
    const [one, two] = [new Task(), new Task()];
    expect(vi.getTimerCount()).toBe(0);
    wheel.schedule(one, 200);
    wheel.schedule(two, 400);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(300);
    expect(vi.getTimerCount()).toBe(1);
    wheel.cancel(two);
    expect(vi.getTimerCount()).toBe(0);
    wheel.cancel(two);
    vi.advanceTimersByTime(1_000);
    expect([one.calls.length, two.calls.length]).toEqual([1, 0]);
    wheel.schedule(two, 200);
    vi.advanceTimersByTime(300);
    expect(two.calls).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('moves a task that waits already', () => {
    const wheel = new Wheel();
    const task = new Task();
    wheel.schedule(task, 200);
    wheel.schedule(task, 1_000);
    vi.advanceTimersByTime(800);
    expect(task.calls).toHaveLength(0);
    vi.advanceTimersByTime(300);
    expect(task.calls).toHaveLength(1);
  });

  it('takes any task of a slot out, from its middle and its ends', () => {
    for (const gone of [0, 1, 2]) {
      const wheel = new Wheel();
      const tasks = [new Task(), new Task(), new Task()];
      for (const task of tasks) wheel.schedule(task, 200);
      wheel.cancel(tasks[gone]!);
      vi.advanceTimersByTime(300);
      expect(tasks.map(({ calls }) => calls.length)).toEqual([0, 1, 2].map((i) => (i === gone ? 0 : 1)));
    }
  });

  it('lets a task cancel and move others that are due with it', () => {
    const wheel = new Wheel();
    const [cancelled, moved] = [new Task(), new Task()];
    const first = new Task(() => {
      wheel.cancel(cancelled);
      wheel.schedule(moved, 1_000);
    });
    // The newest of a slot is called first.
    for (const task of [cancelled, moved, first]) wheel.schedule(task, 200);
    vi.advanceTimersByTime(400);
    expect([first, cancelled, moved].map(({ calls }) => calls.length)).toEqual([1, 0, 0]);
    vi.advanceTimersByTime(1_000);
    expect([first, cancelled, moved].map(({ calls }) => calls.length)).toEqual([1, 0, 1]);
  });

  it('lets a task schedule itself again', () => {
    const wheel = new Wheel();
    const task: Task = new Task(() => wheel.schedule(task, 0));
    wheel.schedule(task, 0);
    vi.advanceTimersByTime(1_000);
    expect(task.calls.length).toBeGreaterThanOrEqual(9);
    expect(task.calls.length).toBeLessThanOrEqual(10);
    wheel.cancel(task);
  });

  it.each([5_000, 200_000])(
    'calls each task once and says how late, after the process was blocked for %d ms',
    (blockedMs) => {
      const wheel = new Wheel();
      const tasks = [200, 1_000, 4_900].map((delayMs) => {
        const task = new Task();
        wheel.schedule(task, delayMs);
        return { task, delayMs };
      });
      const after = new Task();
      wheel.schedule(after, blockedMs + 1_000);
      // Time passes, and no timer runs.
      vi.setSystemTime(Date.now() + blockedMs);
      const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + blockedMs);
      vi.advanceTimersByTime(100);
      clock.mockRestore();
      for (const { task, delayMs } of tasks) {
        expect(task.calls).toHaveLength(1);
        expect(Math.abs(task.calls[0]!.lateMs - (blockedMs - delayMs))).toBeLessThanOrEqual(100);
      }
      expect(after.calls).toHaveLength(0);
      wheel.cancel(after);
    },
  );

  it('carries many tasks on its one timer', () => {
    const wheel = new Wheel();
    const tasks = Array.from({ length: 5_000 }, (_, i) => {
      const task = new Task();
      wheel.schedule(task, (i * 37) % 200_000);
      return task;
    });
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(200_200);
    expect(tasks.filter(({ calls }) => calls.length !== 1)).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
