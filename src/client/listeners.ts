// Functions of the application that are called when something happens. One that throws breaks nothing.

/** Ends a registration; calling it again does nothing. */
export type Unsubscribe = () => void;

/** Takes what a listener threw. */
export type Report = (cause: unknown) => void;

/** An ordered list of listeners; the same function may be in it several times. */
export class Listeners<Arguments extends unknown[]> {
  #entries: readonly { readonly listener: (...values: Arguments) => unknown }[] = [];

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  add(listener: (...values: Arguments) => unknown): Unsubscribe {
    const entry = { listener };
    this.#entries = [...this.#entries, entry];
    return () => {
      this.#entries = this.#entries.filter((other) => other !== entry);
    };
  }

  /** Calls those that are there now and not removed by one before them. A rejected promise is a throw. */
  call(report: Report, ...values: Arguments): void {
    for (const entry of this.#entries) {
      if (!this.#entries.includes(entry)) continue;
      try {
        const result = entry.listener(...values);
        if (result instanceof Promise) result.catch(report);
      } catch (cause) {
        report(cause);
      }
    }
  }
}
