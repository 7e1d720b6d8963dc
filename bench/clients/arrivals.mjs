// What all clients of the process have received together, who waits for it, and what went wrong first.

const ARRIVES_WITHIN_MS = 20_000;

export class Arrivals {
  messages = 0;
  bytes = 0;
  #failure = null;
  #waiting = null;

  message() {
    this.messages++;
    if (this.#waiting && this.messages >= this.#waiting.count) this.#waiting.resolve();
  }

  fail(reason) {
    this.#failure ??= new Error(reason);
    this.#waiting?.reject(this.#failure);
  }

  /** Resolves with what `work` resolves with, or rejects with the first failure. */
  async during(work) {
    if (this.#failure) throw this.#failure;
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { count: Number.POSITIVE_INFINITY, resolve, reject };
        work().then(resolve, reject);
      });
    } finally {
      this.#waiting = null;
    }
  }

  /** Resolves when so many messages have arrived, and no more. */
  async until(count) {
    if (this.#failure) throw this.#failure;
    if (this.messages < count) {
      const late = setTimeout(() => this.fail(`${this.messages} of ${count} messages arrived`), ARRIVES_WITHIN_MS);
      await new Promise((resolve, reject) => {
        this.#waiting = { count, resolve, reject };
      });
      clearTimeout(late);
    }
    this.#waiting = null;
    if (this.messages !== count) throw new Error(`${this.messages} messages arrived, ${count} were sent`);
  }
}
