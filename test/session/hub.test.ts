import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeTransport } from '../support/fake-transport.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { Gate } from '../support/scripted-broker.ts';

let fixture: HubFixture;

beforeEach(() => {
  vi.useFakeTimers();
  fixture = new HubFixture();
});

afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Whether the promise has settled after the timers that are due have run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.finally(() => {
    settled = true;
  });
  await pass(0);
  return settled;
}

/** A session whose pipe answers a close at once. */
async function polite(userId: string) {
  const session = await fixture.open(userId);
  const pipe = new FakeTransport();
  pipe.close = (code, reason) => {
    pipe.closes.push({ code, reason });
    session.closed(code, reason);
  };
  session.start(pipe);
  return { session, pipe };
}

describe('a hub', () => {
  it('opens one subscription for all sessions of a user', async () => {
    await Promise.all([fixture.open('ada'), fixture.open('ada'), fixture.open('grace')]);
    expect(fixture.broker.calls.subscribe).toBe(2);
    expect(fixture.hub.users).toBe(2);
    expect(fixture.stats.sessions).toBe(3);
  });

  it.each([
    ['maxConnections', 'overloaded', ['ada', 'grace']],
    ['maxConnectionsPerUser', 'too_many_connections', ['ada', 'ada']],
    ['maxConnectionsPerAddress', 'too_many_connections', ['ada', 'grace']],
  ] as const)('refuses above %s with %s, until one has left', async (limit, code, [first, second]) => {
    fixture = new HubFixture({ [limit]: 1 });
    const session = await fixture.open(first);
    await expect(fixture.open(second)).rejects.toMatchObject({ name: 'Refusal', code });
    await expect(fixture.open(second)).rejects.toMatchObject({ code });
    session.closed(1000, '');
    await fixture.open(second);
    expect(fixture.stats.sessions).toBe(1);
  });

  it('counts all that come at one moment', async () => {
    fixture = new HubFixture({ maxConnectionsPerUser: 3 });
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => fixture.open('ada')));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(fixture.stats.sessions).toBe(3);
  });

  it('refuses where the broker fails, tells of it, and is itself again when the broker is', async () => {
    fixture.broker.before = () => {
      throw new Error('away');
    };
    await expect(fixture.open('ada')).rejects.toMatchObject({ code: 'broker_unavailable' });
    expect(fixture.errors).toMatchObject([{ stage: 'subscribe', cause: { message: 'away' } }]);
    expect(fixture.stats.sessions).toBe(0);
    fixture.broker.before = () => {};
    await fixture.open('ada');
    expect(fixture.stats.sessions).toBe(1);
  });

  it('ends the sessions that a disconnect is aimed at, and drops what is remembered of tokens', async () => {
    const [one, two, three] = [await fixture.start('ada'), await fixture.start('ada'), await fixture.start('grace')];
    await fixture.broker.mark('ada', { sessionId: one.session.id, reason: 'this one' });
    expect([one, two, three].map(({ pipe }) => pipe.closes)).toEqual([[{ code: 4403, reason: 'this one' }], [], []]);
    await fixture.broker.mark('ada', {});
    expect(one.pipe.closes).toHaveLength(1);
    expect(two.pipe.closes).toEqual([{ code: 4403, reason: 'disconnected by the host' }]);
    expect(three.pipe.closes).toEqual([]);
    expect(fixture.forgotten).toEqual(['ada', 'ada']);
  });
});

describe('draining', () => {
  it('ends every session with 1012, spread out in time, and is done with the last', async () => {
    const all = await Promise.all(Array.from({ length: 400 }, (_, i) => polite(`user ${i}`)));
    const drained = fixture.hub.drain(10_000);
    await pass(0);
    const atOnce = all.filter(({ pipe }) => pipe.closes.length > 0).length;
    await pass(200);
    const half = all.filter(({ pipe }) => pipe.closes.length > 0).length;
    expect(atOnce).toBeLessThan(40);
    expect(half).toBeGreaterThan(120);
    expect(half).toBeLessThan(280);
    await pass(200);
    expect(await isSettled(drained)).toBe(true);
    expect(new Set(all.map(({ pipe }) => pipe.closes[0]?.code))).toEqual(new Set([1012]));
    expect(fixture.stats.sessions).toBe(0);
  });

  it('cuts those that have not closed when the time is over', async () => {
    const { session, pipe } = await fixture.start('ada');
    session.hung = () => pipe.terminate();
    const drained = fixture.hub.drain(500);
    await pass(450);
    expect(await isSettled(drained)).toBe(false);
    await pass(60);
    expect(await isSettled(drained)).toBe(true);
    expect(pipe.isTerminated).toBe(true);
  });

  it('takes any time, also one longer than a timer can', async () => {
    const { session, pipe } = await fixture.start('ada');
    const drained = fixture.hub.drain(Number.POSITIVE_INFINITY);
    await pass(1_000);
    expect(pipe.closes).toEqual([{ code: 1012, reason: 'service restart' }]);
    expect(pipe.isTerminated).toBe(false);
    session.closed(1012, '');
    expect(await isSettled(drained)).toBe(true);
  });

  it('is done when a close comes in between', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, i) => polite(`user ${i}`)));
    const drained = fixture.hub.drain(60_000);
    const closed = fixture.hub.close();
    expect(await isSettled(Promise.all([drained, closed]))).toBe(true);
    expect(all.every(({ pipe }) => pipe.closes.length === 1)).toBe(true);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(50);
  });

  it('refuses who comes, and who is on the way', async () => {
    const gate = new Gate();
    fixture.broker.before = gate.pass;
    const opening = fixture.open('ada');
    const outcome = expect(opening).rejects.toMatchObject({ code: 'restarting' });
    await gate.reached;
    const drained = fixture.hub.drain(10_000);
    await expect(fixture.open('grace')).rejects.toMatchObject({ code: 'restarting' });
    expect(await isSettled(drained)).toBe(false);
    gate.open();
    await outcome;
    expect(await isSettled(drained)).toBe(true);
  });

  it('ends a session that was opened and not yet started', async () => {
    const session = await fixture.open('ada');
    const drained = fixture.hub.drain(10_000);
    await pass(100);
    const pipe = new FakeTransport();
    session.start(pipe);
    expect(pipe.closes).toEqual([{ code: 1012, reason: 'service restart' }]);
    session.closed(1012, '');
    expect(await isSettled(drained)).toBe(true);
  });
});

describe('closing', () => {
  it('ends every session with 1001 at once, and every subscription', async () => {
    const [one, two] = [await polite('ada'), await polite('grace')];
    await fixture.hub.close();
    expect([one.pipe.closes, two.pipe.closes]).toEqual([
      [{ code: 1001, reason: 'going away' }],
      [{ code: 1001, reason: 'going away' }],
    ]);
    expect(fixture.hub.users).toBe(0);
    expect(fixture.broker.unsubscribed).toBe(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('cuts who does not answer within a second', async () => {
    const { pipe } = await fixture.start('ada');
    const closed = fixture.hub.close();
    await pass(1_000);
    expect(await isSettled(closed)).toBe(true);
    expect(pipe.isTerminated).toBe(true);
  });

  it('waits for no broker that hangs', async () => {
    fixture.broker.before = () => new Promise(() => {});
    const opening = expect(fixture.open('ada')).rejects.toMatchObject({ code: 'going_away' });
    const closed = fixture.hub.close();
    await pass(1_000);
    expect(await isSettled(closed)).toBe(true);
    await pass(5_000);
    await opening;
    expect(fixture.errors).toEqual([]);
    expect(fixture.stats.sessions).toBe(0);
  });
});
