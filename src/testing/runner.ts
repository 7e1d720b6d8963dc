// What the suites need of a test runner, and of time: any runner with `describe` and `it` will do.

/** The two functions that the suites call: those of vitest, node:test, jest, mocha, or of your own. */
export interface TestRunner {
  /** Groups tests; `body` is synchronous. */
  readonly describe: (name: string, body: () => void) => unknown;
  /** One test; it fails when the promise rejects. */
  readonly it: (name: string, body: () => Promise<void>) => unknown;
}

const POLL_MS = 5;
const MAX_POLLS = 600;

/** Waits until `check` does not throw any more; about 3 s at most, then throws what it threw last. */
export async function eventually(check: () => void | Promise<void>): Promise<void> {
  for (let polls = 0; ; polls++) {
    try {
      await check();
      return;
    } catch (cause) {
      if (polls === MAX_POLLS) throw cause;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const MAX_TRIES = 3;

/**
 * What `attempt` finds within a window of time. A busy machine may take longer: then, unless it is `right`, what was found
 * says nothing, and it is tried again, 3 times at most.
 */
export async function withinWindow<T>(
  windowMs: number,
  attempt: (tries: number) => Promise<T>,
  isRight: (found: T) => boolean,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const startMs = performance.now();
    const found = await attempt(tries);
    const isLate = performance.now() - startMs >= windowMs;
    if (isRight(found) || !isLate || tries === MAX_TRIES) return found;
  }
}
