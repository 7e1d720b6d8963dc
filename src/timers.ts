// Every timer of the package: clamped to what Node can hold, and keeping the process alive only for what somebody waits
// for. The wheel carries what each session needs (pings, deadlines, expiry) on one timer for all.

import { UsercastError } from './errors.ts';

const MAX_TIMER_MS = 2 ** 31 - 1;

/** A started timer, to be given to `clearTimeout`. */
export type Timer = ReturnType<typeof setTimeout>;

/** Calls back after `delayMs`, or after 24.8 days where that is sooner. */
export function setTimer(callback: () => void, delayMs: number): Timer {
  const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
  timer.unref();
  return timer;
}

/** Whole milliseconds on a clock that never jumps. */
export function monotonicMs(): number {
  return Math.floor(performance.now());
}

/**
 * What `work` settles with, unless it takes longer than `deadlineMs`. The process stays alive until then: a script that
 * publishes hears of it when the broker cannot be reached.
 * @throws UsercastError `deadline`; what `work` does later is ignored.
 */
export function withDeadline<T>(work: PromiseLike<T>, deadlineMs: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimer(
      () => reject(new UsercastError('deadline', `${what} did not answer within ${deadlineMs} ms`)),
      deadlineMs,
    ).ref();
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (cause) => {
        clearTimeout(timer);
        reject(cause);
      },
    );
  });
}

const TICK_MS = 100;
const SLOTS = 1024;

/** Something that a wheel calls once when its time has come. A task is in one wheel at most. */
export abstract class WheelTask {
  /** @internal */
  dueTick = -1;
  /** @internal */
  before: WheelTask | null = null;
  /** @internal */
  after: WheelTask | null = null;

  /** `lateMs`: how much later than planned, when the event loop was blocked. */
  abstract due(lateMs: number): void;
}

/** A hashed timing wheel with ticks of 100 ms: any number of tasks on one timer, each in constant time. */
export class Wheel {
  readonly #slots: (WheelTask | null)[] = new Array(SLOTS).fill(null);
  #tick = 0;
  #tasks = 0;
  #timer: ReturnType<typeof setInterval> | null = null;

  /** Calls `task.due` in about `delayMs`, up to one tick early; a task that waits already is moved. */
  schedule(task: WheelTask, delayMs: number): void {
    this.cancel(task);
    const nowMs = monotonicMs();
    if (!this.#timer) {
      this.#tick = Math.floor(nowMs / TICK_MS);
      this.#timer = setInterval(this.#advance, TICK_MS);
      this.#timer.unref();
    }
    task.dueTick = Math.max(this.#tick + 1, Math.floor((nowMs + delayMs) / TICK_MS));
    const slot = task.dueTick % SLOTS;
    const head = this.#slots[slot] ?? null;
    task.after = head;
    if (head) head.before = task;
    this.#slots[slot] = task;
    this.#tasks++;
  }

  cancel(task: WheelTask): void {
    if (task.dueTick < 0) return;
    if (task.before) task.before.after = task.after;
    else this.#slots[task.dueTick % SLOTS] = task.after;
    if (task.after) task.after.before = task.before;
    task.before = task.after = null;
    task.dueTick = -1;
    if (--this.#tasks === 0 && this.#timer) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  readonly #advance = (): void => {
    const nowMs = monotonicMs();
    const target = Math.floor(nowMs / TICK_MS);
    const from = Math.max(this.#tick + 1, target - SLOTS + 1);
    this.#tick = target;
    for (let tick = from; tick <= target; tick++) this.#call(tick % SLOTS, target, nowMs);
  };

  #call(slot: number, target: number, nowMs: number): void {
    const ready: WheelTask[] = [];
    for (let task = this.#slots[slot]; task; task = task.after) if (task.dueTick <= target) ready.push(task);
    for (const task of ready) {
      if (task.dueTick < 0 || task.dueTick > target) continue;
      const lateMs = nowMs - task.dueTick * TICK_MS;
      this.cancel(task);
      task.due(lateMs);
    }
  }
}
