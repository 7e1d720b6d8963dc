// The host's event listeners: whatever they do, nothing of it comes back but an `error` event.

import { EventEmitter } from 'eventemitter3';

type Listener<Event> = (event: Event) => void;

/** Listeners by event name. `Events` maps a name to what its listeners are given. */
export class Listeners<Events extends object> {
  readonly #emitter = new EventEmitter();
  readonly #onFailure: (name: keyof Events, cause: unknown) => void;

  /** `onFailure` is told what a listener threw, or its promise rejected with. */
  constructor(onFailure: (name: keyof Events, cause: unknown) => void) {
    this.#onFailure = onFailure;
  }

  add<K extends keyof Events & string>(name: K, listener: Listener<Events[K]>): void {
    this.#emitter.on(name, listener);
  }

  remove<K extends keyof Events & string>(name: K, listener: Listener<Events[K]>): void {
    this.#emitter.off(name, listener);
  }

  /** Calls every listener of `name`, also after one that throws. */
  emit<K extends keyof Events & string>(name: K, event: Events[K]): void {
    if (this.#emitter.listenerCount(name) === 0) return;
    for (const listener of this.#emitter.listeners(name)) {
      try {
        const result: unknown = listener(event);
        if (result instanceof Promise) result.catch((cause: unknown) => this.#onFailure(name, cause));
      } catch (cause) {
        this.#onFailure(name, cause);
      }
    }
  }
}
