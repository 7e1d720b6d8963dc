// The bounded queue between a session and its transport. What is sent in one turn of the event loop leaves at its end, in
// one system call. Sessions that are sent the same frames in the same order share one run of them, joined once; where
// frames carry a cursor, each session stamps its own into a copy.

import { type Position, writeCursor } from '../protocol/cursor.ts';
import { monotonicMs } from '../timers.ts';
import type { Frame, Transport } from '../transports/transport.ts';

/** Frames in the order in which they were sent, as a path: each run is the one before it and one frame more. */
class Run {
  readonly bytes: number;
  readonly #before: Run | null;
  readonly #frame: Frame;
  #next: Run | null = null;
  #joined: Uint8Array | null = null;
  #stampPlaces: number[] | null = null;

  constructor(before: Run | null, frame: Frame) {
    this.#before = before;
    this.#frame = frame;
    this.bytes = (before?.bytes ?? 0) + frame.bytes.length;
  }

  /** This run and one frame more; the same run for the queue that was last here with the same frame. */
  with(frame: Frame): Run {
    if (this.#next === null || this.#next.#frame !== frame) this.#next = new Run(this, frame);
    return this.#next;
  }

  /** Whether this is the run of this frame alone. */
  is(frame: Frame): boolean {
    return this.#before === null && this.#frame === frame;
  }

  /** All frames as one. */
  get joined(): Uint8Array {
    if (!this.#before) return this.#frame.bytes;
    if (!this.#joined) {
      this.#joined = Buffer.allocUnsafeSlow(this.bytes);
      for (let run: Run | null = this; run; run = run.#before) this.#joined.set(run.#frame.bytes, run.#start);
    }
    return this.#joined;
  }

  /** Where cursors go in the joined frames, in order. */
  get stampPlaces(): readonly number[] {
    if (!this.#stampPlaces) {
      this.#stampPlaces = [];
      for (let run: Run | null = this; run; run = run.#before) {
        if (run.#frame.stampAt >= 0) this.#stampPlaces.unshift(run.#start + run.#frame.stampAt);
      }
    }
    return this.#stampPlaces;
  }

  get #start(): number {
    return this.bytes - this.#frame.bytes.length;
  }
}

/** Knows when a turn of the event loop ends; one for all queues. */
export class Turns {
  #first: Run | null = null;
  #waiting: SendQueue[] = [];

  /** The run of this frame alone, for a queue that is to be flushed when the turn ends. */
  start(queue: SendQueue, frame: Frame): Run {
    if (this.#waiting.push(queue) === 1) setImmediate(this.#end);
    if (!this.#first?.is(frame)) this.#first = new Run(null, frame);
    return this.#first;
  }

  readonly #end = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#first = null;
    const nowMs = monotonicMs();
    for (let i = 0; i < waiting.length; i++) waiting[i]!.flush(nowMs);
  };
}

const NO_STAMPS: Position[] = [];

/** Node's own pool takes nothing above 4 KiB, and a buffer of its own costs as much as all the stamps in it. */
const SLAB_BYTES = 32_768;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let slabUsed = 0;

/** Bytes that nobody has had before. */
function piece(length: number): Buffer {
  if (length > SLAB_BYTES / 4) return Buffer.allocUnsafeSlow(length);
  if (slabUsed + length > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  slabUsed += length;
  return slab.subarray(slabUsed - length, slabUsed);
}

export class SendQueue {
  /** When something was last sent, on the clock that never jumps. */
  sentMs = monotonicMs();
  readonly #transport: Transport;
  readonly #turns: Turns;
  readonly #maxBytes: number;
  #run: Run | null = null;
  /** The positions that this run's cursors name. */
  #stamps = NO_STAMPS;
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

  /** False, and nothing is sent, where there is no room. `position`: of a stored message. */
  push(frame: Frame, position: Position | null): boolean {
    const run = this.#run;
    const { length } = frame.bytes;
    if (this.#congested || (run && run.bytes + length > this.#maxBytes)) {
      const bufferedBytes = this.bufferedBytes;
      if (bufferedBytes > 0 && bufferedBytes + length > this.#maxBytes) return false;
    }
    this.#run = run ? run.with(frame) : this.#turns.start(this, frame);
    if (frame.stampAt >= 0) {
      if (this.#stamps === NO_STAMPS) this.#stamps = [position!];
      else this.#stamps.push(position!);
    }
    return true;
  }

  /** For what is said before a close: it goes whether there is room or not. `frame` has no cursor. */
  pushLast(frame: Frame): void {
    this.#run = this.#run ? this.#run.with(frame) : this.#turns.start(this, frame);
  }

  flush(nowMs: number = monotonicMs()): void {
    const run = this.#run;
    if (!run) return;
    this.#run = null;
    this.sentMs = nowMs;
    this.#congested = !this.#transport.write(this.#stamps === NO_STAMPS ? run.joined : this.#stamped(run));
  }

  #stamped(run: Run): Uint8Array {
    const { joined, stampPlaces } = run;
    // A piece keeps all of its slab in memory for as long as it waits.
    const bytes = this.#congested ? Buffer.allocUnsafeSlow(joined.length) : piece(joined.length);
    bytes.set(joined);
    for (let i = 0; i < stampPlaces.length; i++) writeCursor(this.#stamps[i]!, bytes, stampPlaces[i]!);
    this.#stamps = NO_STAMPS;
    return bytes;
  }
}
