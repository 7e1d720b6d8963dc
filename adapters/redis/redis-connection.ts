// A connection that is made again whenever it is lost, with growing pauses. Two of these to each server: commands, and
// subscriptions.

import { monotonicMs, setTimer, type Timer } from '../../src/timers.ts';
import { bare, isPassing, replyCode } from './redis-errors.ts';
import type { RedisWire, WireEvents } from './redis-wire.ts';

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
const LOADING_PAUSE_MS = 100;

/** @internal */
export interface ConnectionHooks {
  up(): void;
  /** `meant`: we ended it ourselves to make a better one. */
  down(wire: RedisWire, meant: boolean): void;
  message(channel: string, message: string): void;
  moved(): void;
}

/** @internal */
export class RedisConnection {
  /** Null while there is none. */
  wire: RedisWire | null = null;
  /** Was up at least once. */
  wasUp = false;
  downSinceMs = monotonicMs();
  /** Why it is down, or was last. */
  lastError: Error | null = null;
  readonly #open: (events: WireEvents) => RedisWire;
  readonly #connectMs: number;
  readonly #hooks: ConnectionHooks;
  #trying: RedisWire | null = null;
  #attempts = 0;
  #pause: Timer | null = null;
  #isClosed = false;

  constructor(open: (events: WireEvents) => RedisWire, connectMs: number, hooks: ConnectionHooks) {
    this.#open = open;
    this.#connectMs = connectMs;
    this.#hooks = hooks;
    void this.#connect();
  }

  get downForMs(): number {
    return this.wire ? 0 : monotonicMs() - this.downSinceMs;
  }

  /** Ends the connection and makes another. Does nothing while one is being made. */
  renew(cause: Error): void {
    if (this.wire) this.#lost(this.wire, cause, true);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#pause) clearTimeout(this.#pause);
    this.#trying?.destroy();
    this.wire?.destroy();
    this.#trying = this.wire = null;
  }

  async #connect(): Promise<void> {
    let wire: RedisWire | null = null;
    let limit: Timer | null = null;
    try {
      wire = this.#open({
        down: (cause) => wire && this.#lost(wire, cause, false),
        message: this.#hooks.message,
        moved: this.#hooks.moved,
      });
      this.#trying = wire;
      const late = new Promise<never>((_, reject) => {
        limit = setTimer(() => reject(new Error(`no answer within ${this.#connectMs} ms`)), this.#connectMs);
      });
      await Promise.race([wire.connected, late]);
      while (!(await Promise.race([isLoaded(wire), late]))) {
        if (limit) clearTimeout(limit);
        await new Promise<void>((resolve) => setTimer(resolve, LOADING_PAUSE_MS));
      }
      if (this.#trying !== wire) return;
      this.#trying = null;
      this.wire = wire;
      this.wasUp = true;
      this.#attempts = 0;
      this.#hooks.up();
    } catch (cause) {
      if (wire && this.#trying !== wire) return;
      this.#trying = null;
      wire?.destroy();
      this.lastError = bare(cause);
      this.#again();
    } finally {
      if (limit) clearTimeout(limit);
    }
  }

  #lost(wire: RedisWire, cause: Error, meant: boolean): void {
    // While it is being made, `connected` or the greeting fails as well and says why.
    if (this.wire !== wire) return;
    this.wire = null;
    this.downSinceMs = monotonicMs();
    this.lastError = bare(cause);
    wire.destroy();
    this.#again();
    this.#hooks.down(wire, meant);
  }

  #again(): void {
    if (this.#isClosed) return;
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#attempts++, 10));
    this.#pause = setTimer(() => void this.#connect(), pauseMs * (0.5 + Math.random() / 2));
  }
}

/** A server that has just started answers nothing but this until its data are loaded. */
async function isLoaded(wire: RedisWire): Promise<boolean> {
  try {
    await wire.send(['PING']);
    return true;
  } catch (cause) {
    if (isPassing(replyCode(cause))) return false;
    throw cause;
  }
}
