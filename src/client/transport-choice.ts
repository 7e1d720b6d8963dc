// Which transport to try next: the best one, and another only where that one is blocked while the server can be reached.

import type { TransportName } from './transports/transport.ts';

/** Failures to open after which a WebSocket counts as blocked; one may be bad luck. */
const STRIKES = 2;

/** Walks along the transports. */
export class TransportChoice {
  readonly #names: readonly TransportName[];
  #index = 0;
  #strikes = 0;

  constructor(names: readonly TransportName[]) {
    this.#names = names;
  }

  /** The one to try now. */
  get name(): TransportName {
    return this.#names[this.#index]!;
  }

  get best(): TransportName {
    return this.#names[0]!;
  }

  get isFallback(): boolean {
    return this.#index > 0;
  }

  /** Back to the best one. Where another had to do until now, one failure is enough to leave it again. */
  startOver(): void {
    this.#strikes = this.isFallback ? STRIKES - 1 : 0;
    this.#index = 0;
  }

  /** It did not get through. Returns whether the next one is to be tried at once, for an answer there tells why. */
  fail(): boolean {
    if (this.name === 'websocket' && ++this.#strikes < STRIKES) return false;
    this.#strikes = 0;
    // With the last one nothing got through: no transport is to blame.
    this.#index = (this.#index + 1) % this.#names.length;
    return this.#index > 0;
  }
}
