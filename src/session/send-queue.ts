// The bounded queue between a session and its transport. What is sent in one turn of the event loop leaves at its end, in
// one system call. Sessions that are sent the same frames in the same order share one run of them, joined once.

import type { Transport } from '../transports/transport.ts';

/** Frames in the order in which they were sent, as a path: each run is the one before it and one frame more. */
class Run {
  readonly bytes: number;
  readonly #before: Run | null;
  readonly #frame: Uint8Array;
  #next: Run | null = null;
  #joined: Uint8Array | null = null;

  constructor(before: Run | null, frame: Uint8Array) {
    this.#before = before;
    this.#frame = frame;
    this.bytes = (before?.bytes ?? 0) + frame.length;
  }

  /** This run and one frame more; the same run for the queue that was last here with the same frame. */
  with(frame: Uint8Array): Run {
    if (this.#next === null || this.#next.#frame !== frame) this.#next = new Run(this, frame);
    return this.#next;
  }

  /** Whether this is the run of this frame alone. */
  is(frame: Uint8Array): boolean {
    return this.#before === null && this.#frame === frame;
  }

  /** All frames as one. */
  get joined(): Uint8Array {
    if (!this.#before) return this.#frame;
    if (!this.#joined) {
      this.#joined = Buffer.allocUnsafeSlow(this.bytes);
      let end = this.bytes;
      for (let run: Run | null = this; run; run = run.#before) {
        end -= run.#frame.length;
        this.#joined.set(run.#frame, end);
      }
    }
    return this.#joined;
  }
}

/** Knows when a turn of the event loop ends; one for all queues. */
export class Turns {
  #first: Run | null = null;
  #waiting: SendQueue[] = [];

  /** The run of this frame alone, for a queue that is to be flushed when the turn ends. */
  start(queue: SendQueue, frame: Uint8Array): Run {
    if (this.#waiting.push(queue) === 1) setImmediate(this.#end);
    if (!this.#first?.is(frame)) this.#first = new Run(null, frame);
    return this.#first;
  }

  readonly #end = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#first = null;
    for (let i = 0; i < waiting.length; i++) waiting[i]!.flush();
  };
}

export class SendQueue {
  readonly #transport: Transport;
  readonly #turns: Turns;
  readonly #maxBytes: number;
  #run: Run | null = null;
  /** The transport did not take all of the last write at once. */
  #congested = false;

  /** `maxBytes`: what may wait for the client; an empty queue takes a frame of any size. */
  constructor(transport: Transport, turns: Turns, maxBytes: number) {
    this.#transport = transport;
    this.#turns = turns;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that the client's side has not taken yet. */
  get bufferedBytes(): number {
    return (this.#run?.bytes ?? 0) + this.#transport.bufferedBytes;
  }

  /** False, and nothing is sent, where there is no room. */
  push(frame: Uint8Array): boolean {
    const run = this.#run;
    if (this.#congested || (run && run.bytes + frame.length > this.#maxBytes)) {
      const bufferedBytes = this.bufferedBytes;
      if (bufferedBytes > 0 && bufferedBytes + frame.length > this.#maxBytes) return false;
    }
    this.#run = run ? run.with(frame) : this.#turns.start(this, frame);
    return true;
  }

  flush(): void {
    const run = this.#run;
    if (!run) return;
    this.#run = null;
    this.#congested = !this.#transport.write(run.joined);
  }
}
