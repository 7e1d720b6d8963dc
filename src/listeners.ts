// The host's event listeners: whatever they do, nothing of it comes back but an `error` event.

import { EventEmitter } from 'eventemitter3';
import { wrongOption } from './option-checks.ts';

type Listener<Event> = (event: Event) => void;

/** Listeners by event name. `Events` maps a name to what its listeners are given. */
export class Listeners<Events extends object> {
  readonly #emitter = new EventEmitter();
  readonly #names: readonly (keyof Events)[];
  readonly #onFailure: (name: keyof Events, cause: unknown) => void;

  /** `onFailure` is told what a listener threw, or its promise rejected with. */
  constructor(names: readonly (keyof Events)[], onFailure: (name: keyof Events, cause: unknown) => void) {
    this.#names = names;
    this.#onFailure = onFailure;
  }

  /** @throws TypeError for a name that is no event's, and for a listener that is no function. */
  add<K extends keyof Events & string>(name: K, listener: Listener<Events[K]>): void {
    if (!this.#names.includes(name)) wrongOption('the event', `one of ${this.#names.join(', ')}`, name);
    if (typeof listener !== 'function') wrongOption(`the listener of ${name}`, 'a function', listener);
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
