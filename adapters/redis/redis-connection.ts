// A connection that is made again whenever it is lost, with growing pauses. Two of these to each server: commands, and
// subscriptions.

import { UsercastError } from '../../src/index.ts';
import { monotonicMs, setTimer, type Timer, withDeadline } from '../../src/timers.ts';
import { bare, isPassing, RedisRefusal, replyCode, unconnected } from './redis-errors.ts';
import type { RedisWire, WireEvents } from './redis-wire.ts';

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
/** As if so many had failed. */
const PATIENT_ATTEMPTS = 2;
const LOADING_PAUSE_MS = 100;
/** Of a call's time: who waits for the first connection is told why it was not made. */
const ATTEMPT = 0.75;

/** What a connection tells its owner. */
export interface ConnectionHooks {
  up(): void;
  /** `isReplaced`: nothing was wrong with it but whom it led to. */
  down(wire: RedisWire, isReplaced: boolean): void;
  /** It could not be made, and cannot until something is changed; it is tried on. */
  refused(): void;
  message(channel: string, message: string): void;
  moved(): void;
}

/** Connects when it is made, and goes on until it is closed. */
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
  readonly #mustLead: boolean;
  readonly #hooks: ConnectionHooks;
  #trying: RedisWire | null = null;
  #attempts = 0;
  #pause: Timer | null = null;
  #isClosed = false;

  /** `mustLead`: a server that is a replica is as good as none. */
  constructor(open: (events: WireEvents) => RedisWire, connectMs: number, mustLead: boolean, hooks: ConnectionHooks) {
    this.#open = open;
    this.#connectMs = Math.ceil(connectMs * ATTEMPT);
    this.#mustLead = mustLead;
    this.#hooks = hooks;
    void this.#connect();
  }

  /** Why it is not there, where waiting will not mend it. */
  get refusal(): RedisRefusal | null {
    return !this.wire && this.lastError instanceof RedisRefusal ? this.lastError : null;
  }

  get downForMs(): number {
    return this.wire ? 0 : monotonicMs() - this.downSinceMs;
  }

  /** Ends the connection and makes another, after a pause where `isPatient`. Does nothing while one is being made. */
  renew(cause: Error, isPatient = false): void {
    if (!this.wire) return;
    if (isPatient) this.#attempts = PATIENT_ATTEMPTS;
    this.#lost(this.wire, cause, isPatient);
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
    try {
      wire = this.#open({
        down: (cause) => wire && this.#lost(wire, cause, false),
        message: this.#hooks.message,
        moved: this.#hooks.moved,
      });
      this.#trying = wire;
      const { isTls } = wire;
      await withDeadline(wire.connected, this.#connectMs, 'redis').catch((cause: unknown) => {
        throw cause instanceof UsercastError && cause.code === 'deadline' ? this.#silence(isTls) : cause;
      });
      while (this.#trying === wire && !(await withDeadline(isLoaded(wire), this.#connectMs, 'redis'))) {
        await new Promise<void>((resolve) => setTimer(resolve, LOADING_PAUSE_MS));
      }
      // Such as a database that may not be selected: ioredis goes on with another.
      if (wire.reported) throw wire.reported;
      if (this.#mustLead && (await withDeadline(isReplica(wire), this.#connectMs, 'redis'))) {
        throw new Error('READONLY the server is a replica');
      }
    } catch (cause) {
      wire?.destroy();
      if (wire && this.#trying !== wire) return;
      this.#trying = null;
      this.lastError = unconnected(wire?.reported ?? cause);
      this.#again();
      if (this.refusal) this.#hooks.refused();
      return;
    }
    if (this.#trying !== wire) return;
    this.#trying = null;
    this.wire = wire;
    this.wasUp = true;
    this.#attempts = 0;
    this.#hooks.up();
  }

  /** A server without TLS waits for more of what it takes for a command. One with TLS ends a connection without. */
  #silence(isTls: boolean): Error {
    return new Error(
      `no connection was made within ${this.#connectMs} ms${isTls ? '; is TLS on at one end alone?' : ''}`,
    );
  }

  #lost(wire: RedisWire, cause: Error, isReplaced: boolean): void {
    if (this.wire !== wire) {
      // While it is being made: what it waits for fails, and says why.
      if (this.#trying === wire) wire.destroy();
      return;
    }
    this.wire = null;
    this.downSinceMs = monotonicMs();
    this.lastError = bare(cause);
    wire.destroy();
    this.#again();
    this.#hooks.down(wire, isReplaced);
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

/** As the server says; one that does not know the question is taken for none. */
async function isReplica(wire: RedisWire): Promise<boolean> {
  try {
    const reply = await wire.send(['HELLO']);
    const words: unknown[] = Array.isArray(reply) ? reply : Object.entries(reply ?? {}).flat();
    return /^(?:replica|slave)$/.test(String(words[words.indexOf('role') + 1]));
  } catch (cause) {
    if (replyCode(cause) === null) throw cause;
    return false;
  }
}
