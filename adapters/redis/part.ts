// What one process knows of a partition, and what every script is given because of it.

import { randomName } from '../../src/random.ts';
import { Partition } from './keys.ts';

export class Part extends Partition {
  /** How many of this process's writes Redis is known to have carried out, and since when. */
  #written = 0;
  #knownMs = 0;
  #generationSeen: string | null = null;
  /** How many processes hear the common channel. */
  #processes = 1;
  readonly #process: string;
  readonly #strict: string;

  constructor(prefix: string, index: number, database: number, process: string, isStrict: boolean) {
    super(prefix, index, database);
    this.#process = process;
    this.#strict = isStrict ? '1' : '';
  }

  get probeChannel(): string {
    return this.probe(this.#process);
  }

  /** The keys that every script begins with. */
  get keys(): [string, string] {
    return [this.generation, this.writes(this.#process)];
  }

  /** The arguments that every script begins with. */
  get args(): [string, string, string, string] {
    const agoMs = Math.floor(performance.now() - this.#knownMs);
    return [String(this.#written), String(agoMs), randomName(16), this.#strict];
  }

  wrote(written: number): void {
    if (written <= this.#written) return;
    this.#written = written;
    this.#knownMs = performance.now();
  }

  /** Whether the generation is another one than the last that was seen. */
  probed(generation: string, processes: number): boolean {
    const isNew = this.#generationSeen !== null && this.#generationSeen !== generation;
    this.#generationSeen = generation;
    this.#processes = processes;
    return isNew;
  }

  /** What names the payload of a message's delivery: tags alone may be the same by chance. */
  payloadName(delivery: number): string {
    return this.#process + delivery;
  }

  /** Whether one message to all processes is less than one to each recipient. */
  isCommon(recipients: number): boolean {
    return recipients > Math.max(this.#processes, 3);
  }
}
