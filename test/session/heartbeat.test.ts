import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Beating, Heartbeat } from '../../src/session/heartbeat.ts';
import { Wheel } from '../../src/timers.ts';

const INTERVAL_MS = 60_000;
const DAY_MS = 86_400_000;

class Beaten implements Beating {
  readonly log: { readonly what: string; readonly atMs: number }[] = [];
  readonly #startMs = Date.now();
  /** Answers pings at once. */
  heartbeat: Heartbeat | null = null;

  #note(what: string): void {
    this.log.push({ what, atMs: Date.now() - this.#startMs });
  }

  ping(): void {
    this.#note('ping');
    if (this.heartbeat) this.heartbeat.alive = true;
  }

  silent(): void {
    this.#note('silent');
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

function beat({ isAlive = true, expiresInMs }: { isAlive?: boolean; expiresInMs?: number } = {}) {
  const session = new Beaten();
  const expiresAt = expiresInMs === undefined ? undefined : Date.now() + expiresInMs;
  const heartbeat = new Heartbeat(session, wheel, INTERVAL_MS, expiresAt);
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
