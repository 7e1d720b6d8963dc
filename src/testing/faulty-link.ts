// The way from a faulty broker to one subscriber: loses, doubles, delays and reorders what passes.

import type { DisconnectMark, Publication, StreamListener } from '../index.ts';
import type { BrokerFaults } from './faulty-broker.ts';

/** What the faulty broker decides for its links. */
export interface LinkFaults {
  happens(fault: keyof BrokerFaults): boolean;
  delayMs(): number;
  isCut(): boolean;
}

type Arrival = () => void;

export class FaultyLink implements StreamListener {
  readonly #listener: StreamListener;
  readonly #faults: LinkFaults;
  /** Waits in order behind something delayed. */
  #waiting: Arrival[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** Waits until something else has passed, or for its own time to come. */
  readonly #overtaken = new Map<Arrival, ReturnType<typeof setTimeout>>();
  #hasEnded = false;

  constructor(listener: StreamListener, faults: LinkFaults) {
    this.#listener = listener;
    this.#faults = faults;
  }

  publication(publication: Publication): void {
    this.#carry(() => this.#listener.publication(publication));
  }

  whisper(payload: string): void {
    this.#carry(() => this.#listener.whisper(payload));
  }

  mark(mark: DisconnectMark): void {
    this.#carry(() => this.#listener.mark(mark));
  }

  /** What is on its way does not arrive any more. */
  lose(): void {
    this.#waiting = [];
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    for (const timer of this.#overtaken.values()) clearTimeout(timer);
    this.#overtaken.clear();
  }

  end(): void {
    this.#hasEnded = true;
    this.lose();
  }

  #carry(arrive: Arrival): void {
    const { happens } = this.#faults;
    if (this.#hasEnded || this.#faults.isCut() || happens('drop')) return;
    if (happens('duplicate')) this.#hold(() => arrive());
    if (happens('reorder')) this.#hold(arrive);
    else {
      const isDelayed = happens('delay');
      if (isDelayed || this.#waiting.length > 0) this.#wait(arrive);
      else this.#pass(arrive);
    }
  }

  /** Until the next one has passed, or a while. */
  #hold(arrive: Arrival): void {
    const go = (): void => {
      if (this.#overtaken.delete(arrive)) arrive();
    };
    this.#overtaken.set(arrive, setTimeout(go, this.#faults.delayMs()));
  }

  #wait(arrive: Arrival): void {
    this.#waiting.push(arrive);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      for (const one of this.#waiting.splice(0)) this.#pass(one);
    }, this.#faults.delayMs());
  }

  #pass(arrive: Arrival): void {
    arrive();
    for (const [overtaken, timer] of this.#overtaken) {
      clearTimeout(timer);
      this.#overtaken.delete(overtaken);
      overtaken();
    }
  }
}
