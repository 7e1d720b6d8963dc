import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Beating, Heartbeat, type HeartbeatTimes } from '../../src/session/heartbeat.ts';
import { Wheel } from '../../src/timers.ts';

const INTERVAL_MS = 60_000;
const DAY_MS = 86_400_000;

class Beaten implements Beating {
  readonly log: { readonly what: string; readonly atMs: number }[] = [];
  readonly #startMs = Date.now();
  sentMs = performance.now();
  hasRoom = true;
  /** Answers pings at once. */
  heartbeat: Heartbeat | null = null;

  #note(what: string): void {
    this.log.push({ what, atMs: Date.now() - this.#startMs });
  }

  ping(): void {
    this.#note('ping');
    if (this.heartbeat) this.heartbeat.alive = true;
  }

  quiet(): void {
    this.#note('quiet');
    this.sentMs = performance.now();
  }

  silent(): void {
    this.#note('silent');
  }

  expiring(): boolean {
    this.#note('expiring');
    return this.hasRoom;
  }

  expired(): void {
    this.#note('expired');
  }

  hung(): void {
    this.#note('hung');
  }

  /** When this happened, in milliseconds since the start. */
  times(what: string): number[] {
    return this.log.filter((entry) => entry.what === what).map(({ atMs }) => atMs);
  }
}

let wheel: Wheel;

beforeEach(() => {
  vi.useFakeTimers();
  wheel = new Wheel();
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface Beat extends Partial<HeartbeatTimes> {
  readonly isAlive?: boolean;
  readonly expiresInMs?: number;
}

function beat({ isAlive = true, expiresInMs, ...times }: Beat = {}) {
  const session = new Beaten();
  const expiresAt = expiresInMs === undefined ? undefined : Date.now() + expiresInMs;
  const heartbeat = new Heartbeat(
    session,
    wheel,
    { intervalMs: INTERVAL_MS, quietMs: 0, warnMs: 0, ...times },
    expiresAt,
  );
  if (isAlive) session.heartbeat = heartbeat;
  return { session, heartbeat };
}

describe('pings', () => {
  it('come once per interval, the first within the first', () => {
    const { session } = beat();
    vi.advanceTimersByTime(10 * INTERVAL_MS);
    const pings = session.times('ping');
    expect(pings[0]).toBeLessThanOrEqual(INTERVAL_MS);
    expect(pings.length).toBeGreaterThanOrEqual(10);
    expect(pings.length).toBeLessThanOrEqual(11);
    for (let i = 1; i < pings.length; i++) {
      expect(pings[i]! - pings[i - 1]!).toBeGreaterThan(INTERVAL_MS - 500);
      expect(pings[i]! - pings[i - 1]!).toBeLessThan(INTERVAL_MS + 500);
    }
  });

  it('of many sessions that came at one moment are spread over the interval', () => {
    const sessions = Array.from({ length: 1_000 }, () => beat().session);
    vi.advanceTimersByTime(INTERVAL_MS + 200);
    const perSixth = new Array<number>(6).fill(0);
    for (const session of sessions) {
      const sixth = Math.min(5, Math.floor((session.times('ping')[0]! / INTERVAL_MS) * 6));
      perSixth[sixth] = perSixth[sixth]! + 1;
    }
    for (const count of perSixth) expect(count).toBeGreaterThan(80);
  });

  it('of all sessions hang on one timer, which goes with the last of them', () => {
    const heartbeats = Array.from({ length: 100 }, () => beat().heartbeat);
    expect(vi.getTimerCount()).toBe(1);
    for (const heartbeat of heartbeats) heartbeat.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a peer', () => {
  it('without a life sign by the next ping is told of as silent, once', () => {
    const { session, heartbeat } = beat({ isAlive: false });
    vi.advanceTimersByTime(2 * INTERVAL_MS + 500);
    const [ping] = session.times('ping');
    const [silent] = session.times('silent');
    expect(session.times('ping')).toHaveLength(1);
    expect(Math.abs(silent! - ping! - INTERVAL_MS)).toBeLessThan(500);
    heartbeat.closing();
    vi.advanceTimersByTime(10 * INTERVAL_MS);
    expect(session.times('silent')).toHaveLength(1);
  });

  it('with any life sign in between is not', () => {
    const { session, heartbeat } = beat({ isAlive: false });
    for (let i = 0; i < 20; i++) {
      vi.advanceTimersByTime(INTERVAL_MS / 2);
      heartbeat.alive = true;
    }
    expect(session.times('silent')).toEqual([]);
  });

  it('is not taken for dead when this process was blocked, and is given another interval', () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const { session, heartbeat } = beat({ isAlive: false });
    vi.advanceTimersByTime(INTERVAL_MS / 2 + 200);
    expect(session.times('ping')).toHaveLength(1);
    // The ticks stand still, and the clock does not: what a blocked event loop looks like when it goes on.
    const clock = performance.now.bind(performance);
    const blockedMs = INTERVAL_MS + 5_000;
    vi.spyOn(performance, 'now').mockImplementation(() => clock() + blockedMs);
    vi.advanceTimersByTime(200);
    expect(session.times('silent')).toEqual([]);
    expect(session.times('ping')).toHaveLength(2);
    heartbeat.alive = true;
    vi.advanceTimersByTime(INTERVAL_MS + 500);
    expect(session.times('silent')).toEqual([]);
    expect(session.times('ping')).toHaveLength(3);
    vi.advanceTimersByTime(INTERVAL_MS + 500);
    expect(session.times('silent')).toHaveLength(1);
  });
});

describe('the end of a token', () => {
  it.each([0, 1, 50, 99, 100, 249, 250, 251, 999, 5_000, 61_234, 3_600_000])(
    'ends the session to the moment, %i ms on',
    (expiresInMs) => {
      const { session } = beat({ expiresInMs });
      vi.advanceTimersByTime(Math.max(0, expiresInMs - 1));
      if (expiresInMs > 1) expect(session.times('expired')).toEqual([]);
      vi.advanceTimersByTime(3);
      const [expired] = session.times('expired');
      expect(Math.abs(expired! - expiresInMs)).toBeLessThanOrEqual(1);
    },
  );

  it('that is further away than a timer can wait does not come at once', () => {
    const { session } = beat({ expiresInMs: 30 * DAY_MS });
    vi.advanceTimersByTime(10 * INTERVAL_MS);
    expect(session.times('expired')).toEqual([]);
    expect(session.times('ping').length).toBeGreaterThanOrEqual(10);
  });

  it('that is over already ends it at once', () => {
    const { session } = beat({ expiresInMs: -1_000 });
    vi.advanceTimersByTime(1);
    expect(session.log.map(({ what }) => what)).toEqual(['expired']);
  });

  it('does not matter to a session that is closing or closed', () => {
    const closing = beat({ expiresInMs: 100 });
    const closed = beat({ expiresInMs: 100 });
    closing.heartbeat.closing();
    closed.heartbeat.stop();
    vi.advanceTimersByTime(1_000);
    expect([...closing.session.log, ...closed.session.log]).toEqual([]);
  });

  it('is noticed when the process was blocked over it', () => {
    const { session } = beat({ expiresInMs: 10_000 });
    const clock = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => clock() + 20_000);
    vi.advanceTimersByTime(200);
    expect(session.log.map(({ what }) => what)).toContain('expired');
  });
});

describe('a close', () => {
  it('that is not answered within 2 s is told of as hung', () => {
    const { session, heartbeat } = beat();
    heartbeat.closing();
    vi.advanceTimersByTime(2_200);
    expect(session.log.map(({ what }) => what)).toEqual(['hung']);
    expect(Math.abs(session.times('hung')[0]! - 2_000)).toBeLessThanOrEqual(100);
  });

  it('that was answered is not', () => {
    const { session, heartbeat } = beat();
    heartbeat.closing();
    heartbeat.stop();
    vi.advanceTimersByTime(10_000);
    expect(session.log).toEqual([]);
  });
});

describe('silence', () => {
  const quietMs = 25_000;

  it('is told after so long without anything sent, and again', () => {
    const { session } = beat({ quietMs, intervalMs: 0 });
    vi.advanceTimersByTime(100_500);
    const times = session.times('quiet');
    expect(times).toHaveLength(4);
    for (const [i, atMs] of times.entries()) expect(Math.abs(atMs - (i + 1) * quietMs)).toBeLessThan(1_500);
    expect(session.times('ping')).toEqual([]);
  });

  it('is not, while something is sent', () => {
    const { session } = beat({ quietMs });
    for (let i = 0; i < 50; i++) {
      vi.advanceTimersByTime(10_000);
      session.sentMs = performance.now();
    }
    expect(session.times('quiet')).toEqual([]);
    vi.advanceTimersByTime(24_500);
    expect(session.times('quiet')).toEqual([]);
    vi.advanceTimersByTime(700);
    expect(session.times('quiet')).toHaveLength(1);
  });

  it('is never told where it does not matter, and needs no timer', () => {
    const { session } = beat({ intervalMs: 0 });
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(DAY_MS);
    expect(session.log).toEqual([]);
  });
});

describe('the warning before the end of a token', () => {
  const warnMs = 60_000;

  it('comes so long before, once', () => {
    const { session } = beat({ warnMs, expiresInMs: 300_000 });
    vi.advanceTimersByTime(299_000);
    const [warned] = session.times('expiring');
    expect(session.times('expiring')).toHaveLength(1);
    expect(Math.abs(warned! - 240_000)).toBeLessThan(500);
  });

  it.each([59_000, 1_000, 300])('comes at once when only %i ms are left', (expiresInMs) => {
    const { session } = beat({ warnMs, expiresInMs });
    vi.advanceTimersByTime(150);
    expect(session.times('expiring')).toHaveLength(1);
  });

  it.each([250, 1, 0, -1_000])('comes before the end also when that is %i ms away', (expiresInMs) => {
    const { session } = beat({ warnMs, expiresInMs });
    vi.advanceTimersByTime(300);
    expect(session.log.map(({ what }) => what).filter((what) => what !== 'ping')).toEqual(['expiring', 'expired']);
  });

  it('is tried again while there is no room for it', () => {
    const { session } = beat({ warnMs, expiresInMs: 30_000 });
    session.hasRoom = false;
    vi.advanceTimersByTime(1_000);
    expect(session.times('expiring').length).toBeGreaterThan(3);
    session.hasRoom = true;
    vi.advanceTimersByTime(200);
    const { length } = session.times('expiring');
    vi.advanceTimersByTime(10_000);
    expect(session.times('expiring')).toHaveLength(length);
  });

  it('comes anew for a new end, and the old end is none any more', () => {
    const { session, heartbeat } = beat({ warnMs, expiresInMs: 30_000 });
    vi.advanceTimersByTime(29_900);
    heartbeat.renew(Date.now() + 100_000);
    vi.advanceTimersByTime(30_000);
    expect(session.times('expiring')).toHaveLength(1);
    vi.advanceTimersByTime(69_000);
    expect(session.times('expiring')).toHaveLength(2);
    expect(session.times('expired')).toEqual([]);
    heartbeat.renew(undefined);
    vi.advanceTimersByTime(DAY_MS);
    expect(session.times('expired')).toEqual([]);
  });

  it('does not bring back a heartbeat that has stopped', () => {
    const { session, heartbeat } = beat({ warnMs, expiresInMs: 30_000 });
    heartbeat.stop();
    heartbeat.renew(Date.now() + 1_000);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(DAY_MS);
    expect(session.log).toEqual([]);
  });
});
