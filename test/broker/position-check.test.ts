import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { memoryBroker } from '../../src/broker/memory-broker.ts';
import { type Checked, PositionCheck } from '../../src/broker/position-check.ts';
import { Subscriptions } from '../../src/broker/subscriptions.ts';
import { resolveOptions } from '../../src/options.ts';
import { Wheel } from '../../src/timers.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A subscription of one user that stands where the broker does. */
class Standing implements Checked {
  readonly userId: string;
  epoch: string;
  offset: number;
  tag: string;
  markNumber = 0;
  isLive = true;
  advanced = 0;

  constructor(broker: ScriptedBroker, userId: string) {
    this.userId = userId;
    const { epoch, offset, tag } = broker.stream(userId).top;
    [this.epoch, this.offset, this.tag] = [epoch, offset, tag];
  }

  async advance(): Promise<void> {
    this.advanced++;
  }
}

function checkOf(broker: ScriptedBroker, users: number) {
  const asked: number[] = [];
  const tops = broker.tops.bind(broker);
  broker.tops = (userIds) => {
    asked.push(userIds.length);
    return tops(userIds);
  };
  const standing = Array.from({ length: users }, (_, i) => new Standing(broker, `user ${i}`));
  const errors: unknown[] = [];
  const options = {
    broker,
    deadlineMs: 4_000,
    times: resolveOptions({}).subscriptions,
    onError: (_stage: string, cause: unknown) => errors.push(cause),
  };
  const check = new PositionCheck(options, () => standing);
  check.watch();
  return { check, standing, asked, errors, advanced: () => standing.reduce((sum, { advanced }) => sum + advanced, 0) };
}

describe('a session whose last message was lost on its way', () => {
  const lastIsLost = async () => {
    const fixture = new HubFixture();
    const { pipe } = await fixture.start('ada');
    fixture.broker.stream('ada').publish('one');
    fixture.broker.stream('ada').append('lost');
    return { fixture, pipe };
  };

  it('gets it within 30 s', async () => {
    const { pipe } = await lastIsLost();
    await pass(19_900);
    expect(pipe.written).toEqual(['one']);
    await pass(10_200);
    expect(pipe.written).toEqual(['one', 'lost']);
  });

  it('gets it within 7 s of a reconnect', async () => {
    const { fixture, pipe } = await lastIsLost();
    fixture.broker.become('lost');
    fixture.broker.become('ready');
    await pass(7_000);
    expect(pipe.written).toEqual(['one', 'lost']);
  });

  it('does not get it while nobody looks: that is what the check is for', async () => {
    const { fixture, pipe } = await lastIsLost();
    fixture.broker.tops = async () => new Map();
    await pass(120_000);
    expect(pipe.written).toEqual(['one']);
  });

  it('ends when it is a disconnect that was lost', async () => {
    const { fixture, pipe } = await lastIsLost();
    const stream = fixture.broker.stream('ada');
    stream.marks.push({ number: ++stream.markNumber, reason: 'out' });
    await pass(30_100);
    expect(pipe.closes).toEqual([{ code: 4403, reason: 'out' }]);
  });

  it('is told of a reset when the broker came back older, and quiet', async () => {
    const fixture = new HubFixture();
    const { pipe } = await fixture.start('ada', { isTold: true });
    fixture.broker.stream('ada').publish('{"n":1}', '{"n":2}');
    await pass(0);
    fixture.broker.stream('ada').rollBack(1);
    await pass(30_100);
    expect(pipe.written.at(-1)).toMatch(/session\.reset.*rollback/);
  });
});

describe('a check of positions', () => {
  it('asks for all within one round, at most 500 at once, and begins again', async () => {
    const { asked, advanced } = checkOf(new ScriptedBroker(), 1_200);
    // The first within 30 s, each of the next within 10 s.
    await pass(71_000);
    expect(Math.max(...asked)).toBeLessThanOrEqual(500);
    expect(asked.slice(0, 3)).toEqual([500, 500, 200]);
    expect(asked.length).toBeGreaterThanOrEqual(5);
    expect(advanced()).toBe(0);
  });

  it('leaves alone what moves meanwhile, what reads already, and what the broker does not name', async () => {
    const broker = new ScriptedBroker();
    const { standing, advanced } = checkOf(broker, 3);
    const [moving, reading, unnamed] = standing as [Standing, Standing, Standing];
    for (const { userId } of standing) broker.stream(userId).append('more');
    reading.isLive = false;
    broker.after = () => {
      moving.offset++;
    };
    const tops = broker.tops;
    broker.tops = async (userIds) => new Map([...(await tops(userIds))].filter(([id]) => id !== unnamed.userId));
    await pass(31_000);
    expect([broker.calls.tops, advanced()]).toEqual([1, 0]);
  });

  it('goes on after a broker that fails: asks again within seconds after a reconnect, in the next round otherwise', async () => {
    const broker = new ScriptedBroker();
    const { standing, errors } = checkOf(broker, 1);
    broker.stream('user 0').append('lost');
    let isAway = true;
    broker.before = () => {
      if (isAway) throw new Error('away');
    };
    await pass(30_100);
    expect([errors.length, standing[0]!.advanced]).toEqual([1, 0]);
    broker.become('lost');
    // Parts of it may answer, so it asks; that they do not is known.
    await pass(60_000);
    expect([broker.calls.tops > 1, errors.length]).toEqual([true, 1]);
    broker.become('ready');
    await pass(1_300);
    expect([errors.length, standing[0]!.advanced]).toEqual([2, 0]);
    isAway = false;
    await pass(6_100);
    expect(standing[0]!.advanced).toBe(1);
  });

  it('takes a call that hangs for a failed one', async () => {
    const broker = new ScriptedBroker();
    const { errors } = checkOf(broker, 1);
    broker.before = () => new Promise(() => {});
    await pass(34_100);
    expect(errors).toMatchObject([{ code: 'deadline' }]);
    await pass(34_100);
    expect(errors).toHaveLength(2);
  });

  it('rests while there is nothing to check, and leaves nothing behind', async () => {
    const broker = new ScriptedBroker();
    const { check } = checkOf(broker, 1);
    check.watch();
    expect([vi.getTimerCount(), broker.statusListeners.size]).toEqual([1, 1]);
    check.rest();
    expect(vi.getTimerCount()).toBe(0);
    broker.become('lost');
    broker.become('ready');
    await pass(60_000);
    expect(broker.calls.tops).toBe(0);
    check.watch();
    await pass(30_100);
    expect(broker.calls.tops).toBe(1);
    check.stop();
    check.watch();
    expect([vi.getTimerCount(), broker.statusListeners.size]).toEqual([0, 0]);
  });

  it('is not made of a broker that loses nothing', async () => {
    const broker = memoryBroker();
    const tops = vi.spyOn(broker, 'tops');
    const options = {
      broker,
      wheel: new Wheel(),
      deadlineMs: 4_000,
      times: resolveOptions({}).subscriptions,
      onError: () => {},
    };
    const subscriptions = new Subscriptions(options, () => ({ deliver() {}, whisper() {}, mark() {}, reset() {} }));
    await subscriptions.acquire('ada').opened();
    await pass(120_000);
    expect(tops).not.toHaveBeenCalled();
    subscriptions.close();
  });
});
