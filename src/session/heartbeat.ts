// A session's place in the wheel: pings and their deadline, the token's end, and the end of a close that hangs.

import { monotonicMs, setTimer, type Wheel, WheelTask } from '../timers.ts';

/** What a heartbeat tells its session. */
export interface Beating {
  ping(): void;
  /** No sign of life since the last ping. */
  silent(): void;
  expired(): void;
  /** The close was not answered in time. */
  hung(): void;
}

const CLOSE_MS = 2_000;
/** A tick this late means that this process was blocked: peers get another interval. */
const BLOCKED_MS = 1_000;
/** From here on an own timer ends the session to the millisecond; the wheel may be a tick early or late. */
const EXACT_MS = 250;

export class Heartbeat extends WheelTask {
  /** Set by the session at each sign of life. */
  alive = true;
  readonly #session: Beating;
  readonly #wheel: Wheel;
  readonly #intervalMs: number;
  readonly #endMs: number;
  #pingAtMs: number;
  #closing = false;

  /** `expiresAt`: when the token ends, in epoch milliseconds. The first ping comes somewhere within the interval. */
  constructor(session: Beating, wheel: Wheel, intervalMs: number, expiresAt: number | undefined) {
    super();
    this.#session = session;
    this.#wheel = wheel;
    this.#intervalMs = intervalMs;
    const nowMs = monotonicMs();
    this.#endMs = expiresAt === undefined ? Number.POSITIVE_INFINITY : nowMs + expiresAt - Date.now();
    this.#pingAtMs = nowMs + intervalMs * Math.random();
    this.#schedule(nowMs);
  }

  override due(lateMs: number): void {
    if (this.#closing) {
      this.#session.hung();
      return;
    }
    const nowMs = monotonicMs();
    if (nowMs >= this.#endMs) {
      this.#session.expired();
      return;
    }
    if (nowMs >= this.#pingAtMs - EXACT_MS) {
      this.#pingAtMs = nowMs + this.#intervalMs;
      if (!this.alive && lateMs < BLOCKED_MS) {
        this.#session.silent();
        return;
      }
      this.alive = false;
      this.#session.ping();
    }
    this.#schedule(nowMs);
  }

  /** From now on only waits for the close to be over. */
  closing(): void {
    this.#closing = true;
    this.#wheel.schedule(this, CLOSE_MS);
  }

  stop(): void {
    this.#closing = true;
    this.#wheel.cancel(this);
  }

  #schedule(nowMs: number): void {
    const leftMs = this.#endMs - nowMs;
    if (leftMs <= EXACT_MS) {
      setTimer(() => {
        if (!this.#closing) this.#session.expired();
      }, leftMs);
      return;
    }
    this.#wheel.schedule(this, Math.min(this.#pingAtMs - nowMs, leftMs - EXACT_MS / 2));
  }
}
