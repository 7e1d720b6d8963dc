// A session's place in the wheel: pings and their deadline, silence, the token's end and the warning before it, and the
// end of a close that hangs.

import { monotonicMs, setTimer, type Wheel, WheelTask } from '../timers.ts';

/** What a heartbeat asks of its session, and tells it. */
export interface Beating {
  /** When something was last sent to the client, on the clock that never jumps. */
  readonly sentMs: number;
  ping(): void;
  /** Nothing was sent for `quietMs`. */
  quiet(): void;
  /** No sign of life since the last ping. */
  silent(): void;
  /** The token ends within a minute. False where there was no room to say so: it is called again. */
  expiring(): boolean;
  expired(): void;
  /** The close was not answered in time. */
  hung(): void;
}

/** Milliseconds; 0: never. */
export interface HeartbeatTimes {
  /** Between pings that the peer has to answer. */
  readonly intervalMs: number;
  /** Of silence towards the client. */
  readonly quietMs: number;
  /** Before the token's end that the client is warned. */
  readonly warnMs: number;
}

const CLOSE_MS = 2_000;
/** A tick this late means that this process was blocked: peers get another interval. */
const BLOCKED_MS = 1_000;
/** The wheel may be a tick early or late: from here on an own timer ends the session to the millisecond. */
const EXACT_MS = 250;
const NEVER = Number.POSITIVE_INFINITY;

function orNever(ms: number): number {
  return ms < 0 ? NEVER : ms;
}

export class Heartbeat extends WheelTask {
  /** Set by the session at each sign of life. */
  alive = true;
  readonly #session: Beating;
  readonly #wheel: Wheel;
  readonly #times: HeartbeatTimes;
  /** Below 0: never. Whole numbers, which V8 keeps without a box of their own; Infinity would make both floating-point. */
  #endMs = -1;
  #pingAtMs = -1;
  #warned = false;
  #closing = false;

  /** `expiresAt`: when the token ends, in epoch milliseconds. The first ping comes somewhere within the interval. */
  constructor(session: Beating, wheel: Wheel, times: HeartbeatTimes, expiresAt: number | undefined) {
    super();
    this.#session = session;
    this.#wheel = wheel;
    this.#times = times;
    if (times.intervalMs > 0) this.#pingAtMs = monotonicMs() + Math.ceil(times.intervalMs * Math.random());
    this.renew(expiresAt);
  }

  /** The session's token ends at another time from now on. */
  renew(expiresAt: number | undefined): void {
    if (this.#closing) return;
    const nowMs = monotonicMs();
    this.#endMs = expiresAt === undefined ? -1 : Math.max(0, Math.floor(nowMs + expiresAt - Date.now()));
    this.#warned = false;
    this.#schedule(nowMs);
  }

  override due(lateMs: number): void {
    if (this.#closing) {
      this.#session.hung();
      return;
    }
    const nowMs = monotonicMs();
    if (nowMs >= orNever(this.#endMs)) {
      this.#session.expired();
      return;
    }
    if (nowMs >= this.#warnAtMs - EXACT_MS) this.#warned = this.#session.expiring();
    else if (nowMs >= this.#quietAtMs - EXACT_MS) this.#session.quiet();
    if (nowMs >= orNever(this.#pingAtMs) - EXACT_MS && !this.#ping(nowMs, lateMs)) return;
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

  get #warnAtMs(): number {
    return this.#warned || this.#times.warnMs === 0 ? NEVER : orNever(this.#endMs) - this.#times.warnMs;
  }

  get #quietAtMs(): number {
    return this.#times.quietMs === 0 ? NEVER : this.#session.sentMs + this.#times.quietMs;
  }

  /** False when the peer has not answered the ping before. */
  #ping(nowMs: number, lateMs: number): boolean {
    this.#pingAtMs = nowMs + this.#times.intervalMs;
    if (!this.alive && lateMs < BLOCKED_MS) {
      this.#session.silent();
      return false;
    }
    this.alive = false;
    this.#session.ping();
    return true;
  }

  #schedule(nowMs: number): void {
    const endMs = orNever(this.#endMs);
    if (endMs - nowMs <= EXACT_MS) {
      if (this.#warnAtMs < NEVER) this.#warned = this.#session.expiring();
      const end = (): void => {
        if (!this.#closing && orNever(this.#endMs) === endMs) this.#session.expired();
      };
      setTimer(end, endMs - nowMs);
      return;
    }
    const nextMs = Math.min(orNever(this.#pingAtMs), this.#quietAtMs, this.#warnAtMs, endMs - EXACT_MS / 2);
    if (nextMs !== NEVER) this.#wheel.schedule(this, nextMs - nowMs);
  }
}
