// The publisher's calls that are not over yet: for whoever waits until there is none, or until a user's counts have caught
// up with the user's stream.

interface Call {
  readonly userIds: readonly string[];
  readonly work: Promise<unknown>;
}

export class UnderWay {
  readonly #calls = new Set<Call>();
  #whenIdle: (() => void)[] = [];

  /** `work` itself. `userIds`: whose counts it moves. */
  async track<T>(userIds: readonly string[], work: Promise<T>): Promise<T> {
    const call = { userIds, work };
    this.#calls.add(call);
    try {
      return await work;
    } finally {
      this.#calls.delete(call);
      if (this.#calls.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
  }

  /** Resolves when those calls are over that move this user's counts now. What begins later is not waited for. */
  async settled(userId: string): Promise<void> {
    const calls = [...this.#calls].filter(({ userIds }) => userIds.includes(userId));
    await Promise.allSettled(calls.map(({ work }) => work));
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }
}
