import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DisconnectMark, Publication } from '../../src/broker/broker.ts';
import { type Audience, type Subscription, Subscriptions } from '../../src/broker/subscriptions.ts';
import { resolveOptions } from '../../src/options.ts';
import { Wheel } from '../../src/timers.ts';
import { Gate, ScriptedBroker, type ScriptedStream } from '../support/scripted-broker.ts';

class Listening implements Audience {
  readonly payloads: string[] = [];
  readonly resets: string[] = [];
  readonly marks: DisconnectMark[] = [];
  readonly whispers: string[] = [];
  during: (payload: string) => void = () => {};

  deliver({ payload }: Publication): void {
    this.payloads.push(payload);
    this.during(payload);
  }

  whisper(payload: string): void {
    this.whispers.push(payload);
  }

  mark(mark: DisconnectMark): void {
    this.marks.push(mark);
  }

  reset(reason: string): void {
    this.resets.push(reason);
  }
}

const DEADLINE_MS = 400;

let broker: ScriptedBroker;
let stream: ScriptedStream;
let errors: { stage: string; cause: unknown }[];
let subscriptions: Subscriptions<Listening>;

beforeEach(() => {
  vi.useFakeTimers();
  broker = new ScriptedBroker();
  stream = broker.stream('ada');
  errors = [];
  subscriptions = new Subscriptions<Listening>(
    {
      broker,
      wheel: new Wheel(),
      deadlineMs: DEADLINE_MS,
      times: resolveOptions({}).subscriptions,
      onError: (stage, cause) => errors.push({ stage, cause }),
    },
    () => new Listening(),
  );
});

afterEach(() => {
  subscriptions.close();
  vi.useRealTimers();
});

const settled = () => vi.advanceTimersByTimeAsync(0);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

async function subscribed(): Promise<Subscription<Listening>> {
  const subscription = subscriptions.acquire('ada');
  await subscription.opened();
  return subscription;
}

/** A live subscription after three messages. */
async function live() {
  const subscription = await subscribed();
  stream.publish('1', '2', '3');
  expect(subscription.audience.payloads).toEqual(['1', '2', '3']);
  return { subscription, heard: subscription.audience };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

describe('a subscription that works', () => {
  it('delivers from the top of the moment of opening, in order, without a read', async () => {
    stream.publish('before');
    const subscription = await subscribed();
    stream.publish('1', '2');
    expect(subscription.audience.payloads).toEqual(['1', '2']);
    expect(broker.calls.read).toBe(1);
  });

  it('loses and doubles nothing of what arrives while it opens', async () => {
    stream.publish('before');
    broker.after = (call) => {
      if (call === 'subscribe') stream.publish('held and before the read');
      if (call === 'read') stream.publish('held and after the read');
    };
    const subscription = await subscribed();
    stream.publish('live');
    expect(subscription.audience.payloads).toEqual(['held and after the read', 'live']);
  });

  it('is shared by all who acquire it, and lingers after the last of them', async () => {
    const first = await subscribed();
    expect(await subscribed()).toBe(first);
    subscriptions.release(first);
    await pass(10_000);
    expect(broker.unsubscribed).toBe(0);
    subscriptions.release(first);
    await pass(2_000);
    expect(await subscribed()).toBe(first);
    await pass(10_000);
    expect(broker.unsubscribed).toBe(0);
    subscriptions.release(first);
    await pass(4_000);
    expect({ calls: broker.calls.subscribe, ended: broker.unsubscribed, size: subscriptions.size }).toEqual({
      calls: 1,
      ended: 1,
      size: 0,
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('tells of each disconnect mark once', async () => {
    const { heard } = await live();
    await broker.mark('ada', { reason: 'one' });
    stream.listeners[0]!.mark(stream.marks[0]!);
    await broker.mark('ada', { reason: 'two' });
    expect(heard.marks.map(({ reason }) => reason)).toEqual(['one', 'two']);
  });
});

describe('a gap', () => {
  it('is repaired in place when a message was dropped', async () => {
    const { heard } = await live();
    stream.append('4');
    stream.append('5');
    stream.publish('6');
    await settled();
    stream.publish('7');
    expect(heard.payloads).toEqual(range(1, 7));
    expect(heard.resets).toEqual([]);
    expect(broker.calls.subscribe).toBe(1);
  });

  it('is none where a message comes twice, at once or later', async () => {
    const { heard } = await live();
    const [first, , third] = stream.entries;
    stream.send(third!);
    await settled();
    stream.send(first!, third!);
    await settled();
    stream.publish('4');
    expect(heard.payloads).toEqual(range(1, 4));
    expect(heard.resets).toEqual([]);
  });

  it('is none where messages change places', async () => {
    const { heard } = await live();
    const [four, five, six] = ['4', '5', '6'].map((payload) => stream.append(payload));
    stream.send(six!, four!, five!);
    await settled();
    stream.publish('7');
    expect(heard.payloads).toEqual(range(1, 7));
    expect(heard.resets).toEqual([]);
  });

  it('holds what arrives while it is read, and then goes on in order', async () => {
    const { heard } = await live();
    const reply = new Gate();
    broker.after = reply.pass;
    stream.append('4');
    stream.publish('5');
    await reply.reached;
    stream.publish('6', '7');
    expect(heard.payloads).toEqual(range(1, 3));
    broker.after = () => {};
    reply.open();
    await settled();
    expect(heard.payloads).toEqual(range(1, 7));
    expect(broker.calls.read).toBe(2);
  });

  it('that opens while another is read is read as well', async () => {
    const { heard } = await live();
    const reply = new Gate();
    broker.after = reply.pass;
    stream.append('4');
    stream.publish('5');
    await reply.reached;
    stream.append('6');
    stream.publish('7');
    reply.open();
    await settled();
    expect(heard.payloads).toEqual(range(1, 7));
  });

  it('of more than one page is read to its end', async () => {
    const { heard } = await live();
    for (const payload of range(4, 350)) stream.append(payload);
    stream.publish('351');
    await settled();
    expect(heard.payloads).toEqual(range(1, 351));
  });

  it('keeps what it holds within bounds, and still delivers all', async () => {
    const { heard } = await live();
    const reply = new Gate();
    broker.after = reply.pass;
    stream.append('4');
    stream.publish('5');
    await reply.reached;
    stream.publish(...range(6, 2_500));
    broker.after = () => {};
    reply.open();
    await settled();
    stream.publish('2501');
    expect(heard.payloads).toEqual(range(1, 2_501));
    expect(broker.calls.read).toBeGreaterThan(2);
  });

  it('keeps the size of what it holds within bounds, and still delivers all', async () => {
    const { heard } = await live();
    const reply = new Gate();
    broker.after = reply.pass;
    stream.append('4');
    stream.publish('5');
    await reply.reached;
    const large = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(400_000));
    stream.publish(...large);
    broker.after = () => {};
    reply.open();
    await settled();
    expect(heard.payloads.slice(5).map(([letter]) => letter)).toEqual(['a', 'b', 'c', 'd']);
    expect(broker.calls.read).toBeGreaterThan(2);
  });

  it('is read again when the read failed or hung, and each failure is told', async () => {
    const { heard } = await live();
    let failures = 0;
    broker.before = (call) => {
      if (call !== 'read' || ++failures > 3) return;
      if (failures === 2) return new Promise(() => {});
      throw new Error('the broker is away');
    };
    stream.append('4');
    stream.publish('5');
    await pass(2_000 + DEADLINE_MS + 4_000);
    stream.publish('6');
    expect(heard.payloads).toEqual(range(1, 6));
    expect(errors.map(({ stage }) => stage)).toEqual(['read', 'read', 'read']);
    expect(errors[1]!.cause).toMatchObject({ code: 'deadline' });
  });

  it('brings the disconnect marks that were missed', async () => {
    const { heard } = await live();
    stream.marks.push({ number: ++stream.markNumber, reason: 'missed' });
    stream.append('4');
    stream.publish('5');
    await settled();
    expect(heard.marks.map(({ reason }) => reason)).toEqual(['missed']);
  });

  it('goes on being repaired when the last holder leaves and another comes', async () => {
    const { subscription, heard } = await live();
    broker.before = (call) => {
      if (call === 'read') throw new Error('the broker is away');
    };
    stream.append('4');
    stream.publish('5');
    await settled();
    broker.before = () => {};
    subscriptions.release(subscription);
    expect(await subscribed()).toBe(subscription);
    await settled();
    stream.publish('6');
    expect(heard.payloads).toEqual(range(1, 6));
  });

  it('does not double a message during whose delivery the host publishes another', async () => {
    const { heard } = await live();
    heard.during = (payload) => {
      if (payload === '4') stream.publish('5');
    };
    stream.publish('4');
    await settled();
    stream.publish('6');
    expect(heard.payloads).toEqual(range(1, 6));
  });

  it('that is advanced over by several at once costs one read', async () => {
    const { subscription, heard } = await live();
    stream.append('4');
    const reads = broker.calls.read;
    await Promise.all([subscription.advance(), subscription.advance(), subscription.advance()]);
    expect(heard.payloads).toEqual(range(1, 4));
    expect(broker.calls.read).toBe(reads + 1);
  });
});

describe('a gap that cannot be proven closed', () => {
  it('is a reset when history does not reach back', async () => {
    const { heard } = await live();
    stream.append('4');
    stream.append('5');
    stream.trimmed = 4;
    stream.publish('6');
    await settled();
    stream.publish('7');
    expect(heard.resets).toEqual(['trimmed']);
    expect(heard.payloads).toEqual(['1', '2', '3', '7']);
  });

  it('is a reset when the stream is a new one, of which nothing is delivered before', async () => {
    const { heard } = await live();
    stream.renew();
    stream.publish('new 1');
    await settled();
    stream.publish('new 2');
    expect(heard.resets).toEqual(['epoch']);
    expect(heard.payloads).toEqual(['1', '2', '3', 'new 2']);
  });

  it('drops what comes late from a stream that is no more, without reading in a circle', async () => {
    const { heard } = await live();
    const late = stream.append('late');
    stream.renew();
    stream.publish('new 1');
    await settled();
    const reads = broker.calls.read;
    stream.send(late);
    await settled();
    stream.publish('new 2');
    expect(heard.payloads).toEqual(['1', '2', '3', 'new 2']);
    expect(heard.resets).toEqual(['epoch']);
    expect(broker.calls.read).toBe(reads + 1);
  });

  it.each([
    ['shorter', 1, ['2 again']],
    ['as long', 1, ['2 again', '3 again']],
    ['exactly one longer, so that the next arrival has the next offset', 1, ['2 again', '3 again', '4']],
    ['longer', 1, ['2 again', '3 again', '4', '5']],
  ])('is a reset when the broker came back older, and is now %s', async (_how, offset, payloads) => {
    const { heard } = await live();
    stream.rollBack(offset);
    for (const payload of payloads.slice(0, -1)) stream.append(payload);
    stream.publish(payloads.at(-1)!);
    await settled();
    stream.publish('next');
    expect(heard.resets).toEqual(['rollback']);
    expect(heard.payloads).toEqual(['1', '2', '3', 'next']);
  });

  it('is a reset when the broker lost the messages before they could be read', async () => {
    const { heard } = await live();
    stream.append('4');
    const five = stream.append('5');
    stream.rollBack(3);
    stream.send(five);
    await settled();
    stream.publish('another 4');
    expect(heard.resets).toEqual(['rollback']);
    expect(heard.payloads).toEqual(['1', '2', '3', 'another 4']);
  });

  it('leaves marks in force whose numbers began anew', async () => {
    const { heard } = await live();
    for (let i = 0; i < 3; i++) await broker.mark('ada', { reason: 'old' });
    stream.marks = [];
    stream.markNumber = 0;
    stream.renew();
    stream.publish('new 1');
    await settled();
    await broker.mark('ada', { reason: 'new' });
    expect(heard.marks.map(({ reason }) => reason)).toEqual(['old', 'old', 'old', 'new']);
  });
});

describe('a subscription that cannot be opened', () => {
  it('fails for all who wait for it, and is opened anew for the next', async () => {
    broker.before = () => {
      throw new Error('the broker is away');
    };
    const [first, second] = [subscriptions.acquire('ada'), subscriptions.acquire('ada')];
    const outcomes = await Promise.allSettled([first.opened(), second.opened()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    subscriptions.release(first);
    subscriptions.release(second);
    broker.before = () => {};
    const subscription = await subscribed();
    stream.publish('1');
    expect(subscription.audience.payloads).toEqual(['1']);
    expect(subscriptions.size).toBe(1);
  });

  it('gives up a subscription that comes after the deadline', async () => {
    const reply = new Gate();
    broker.after = reply.pass;
    const opened = subscriptions.acquire('ada').opened();
    const outcome = expect(opened).rejects.toMatchObject({ code: 'deadline' });
    await pass(DEADLINE_MS);
    await outcome;
    reply.open();
    await settled();
    expect(broker.unsubscribed).toBe(1);
  });

  it('holds no user and no timer when the broker throws', async () => {
    const failing = {
      ...broker,
      onStatus: () => () => {},
      subscribe: () => {
        throw new Error('not even a promise');
      },
    } as unknown as ScriptedBroker;
    const own = new Subscriptions<Listening>(
      {
        broker: failing,
        wheel: new Wheel(),
        deadlineMs: DEADLINE_MS,
        times: resolveOptions({}).subscriptions,
        onError: () => {},
      },
      () => new Listening(),
    );
    const subscription = own.acquire('ada');
    await expect(subscription.opened()).rejects.toThrow('not even a promise');
    own.release(subscription);
    expect(own.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a broker that throws when a subscription is given up', () => {
  it('harms nobody, and the error is told', async () => {
    const { subscription } = await live();
    broker.unsubscribing = () => {
      throw new Error('no such channel');
    };
    subscriptions.release(subscription);
    await pass(4_000);
    expect(subscriptions.size).toBe(0);
    expect(errors).toMatchObject([{ stage: 'subscribe', cause: { message: 'no such channel' } }]);
  });
});

describe('closing', () => {
  it('ends everything at once, what is being opened and repaired too, and tells nothing more', async () => {
    const { heard } = await live();
    broker.before = (call) => (call === 'read' ? new Promise(() => {}) : undefined);
    stream.append('4');
    stream.publish('5');
    const opening = subscriptions.acquire('grace').opened();
    const outcome = expect(opening).rejects.toMatchObject({ code: 'deadline' });
    await settled();
    subscriptions.close();
    stream.publish('6');
    await pass(10_000);
    await outcome;
    expect(broker.unsubscribed).toBe(2);
    expect(heard.payloads).toEqual(range(1, 3));
    expect(errors).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('whatever the way from the broker does', () => {
  const fate = fc.constantFrom(
    'arrives',
    'is dropped',
    'comes twice',
    'comes late',
    'comes after the next',
    'read waits',
  );

  it('delivers every message once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fate, { maxLength: 40 }), async (fates) => {
        broker.after = () => {};
        stream = broker.stream(`user ${Math.random()}`);
        const subscription = subscriptions.acquire(stream.userId);
        await subscription.opened();
        const late: Publication[] = [];
        let swapped: Publication[] = [];
        let gate: Gate | null = null;
        for (const [i, how] of fates.entries()) {
          const publication = stream.append(String(i + 1));
          if (how === 'comes after the next') {
            swapped.push(publication);
            continue;
          }
          if (how === 'comes late') late.push(publication);
          if (how === 'read waits') {
            gate?.open();
            gate = new Gate();
            broker.after = gate.pass;
          }
          if (how !== 'is dropped' && how !== 'comes late') stream.send(publication, ...swapped);
          if (how === 'comes twice') stream.send(publication);
          swapped = [];
          if (how !== 'read waits') await Promise.resolve();
        }
        gate?.open();
        broker.after = () => {};
        await settled();
        stream.send(...late);
        stream.publish(String(fates.length + 1));
        await settled();
        expect(subscription.audience.payloads).toEqual(range(1, fates.length + 1));
        expect(subscription.audience.resets).toEqual([]);
        subscription.end();
      }),
      { numRuns: 200 },
    );
  });
});
