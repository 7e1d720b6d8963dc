import { memoryBroker, type Publication } from 'usercast';
import { type BrokerFaults, faultyBroker, modelBroker, Recorder } from 'usercast/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { messageTo } from '../../src/testing/broker-bench.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const numbers = Array.from({ length: 40 }, (_, i) => `p${i}`);

/** A subscriber of a faulty broker to which 40 messages were published, with what it got by then and in the end. */
async function received(faults: Partial<BrokerFaults>, seed = 1) {
  const broker = faultyBroker(memoryBroker(), { seed, ...faults });
  const recorder = new Recorder();
  await broker.subscribe('ann', recorder);
  for (const payload of numbers) {
    await broker.publish(messageTo(['ann'], payload));
    await pass(1);
  }
  const atOnce = [...recorder.payloads];
  await pass(100);
  return { broker, recorder, atOnce, inTheEnd: recorder.payloads };
}

describe('a faulty broker', () => {
  it('is the broker that it wraps until it is told otherwise, but for being reliable', async () => {
    const { broker, atOnce } = await received({});
    expect(atOnce).toEqual(numbers);
    expect(Object.values(broker.happened).every((times) => times === 0)).toBe(true);
    expect(broker.reliable).toBeUndefined();
    expect(memoryBroker().reliable).toBe(true);
  });

  it('drops', async () => {
    const { broker, inTheEnd } = await received({ drop: 0.3 });
    expect(inTheEnd).toHaveLength(40 - broker.happened.drop);
    expect(broker.happened.drop).toBeGreaterThan(3);
    expect((await received({ drop: 1 })).inTheEnd).toEqual([]);
  });

  it('duplicates', async () => {
    const { broker, inTheEnd } = await received({ duplicate: 0.3 });
    expect(inTheEnd).toHaveLength(40 + broker.happened.duplicate);
    expect(broker.happened.duplicate).toBeGreaterThan(3);
    expect([...new Set(inTheEnd)]).toEqual(numbers);
  });

  it('reorders, and loses nothing by it', async () => {
    const { inTheEnd } = await received({ reorder: 0.3 });
    expect(inTheEnd).not.toEqual(numbers);
    expect([...inTheEnd].sort()).toEqual([...numbers].sort());
  });

  it('delays, and keeps the order', async () => {
    const { atOnce, inTheEnd } = await received({ delay: 0.3 });
    expect(atOnce.length).toBeLessThan(40);
    expect(inTheEnd).toEqual(numbers);
  });

  it('does the same again with the same seed', async () => {
    const faults = { drop: 0.2, duplicate: 0.2, reorder: 0.2, delay: 0.2 };
    const runs = [await received(faults, 7), await received(faults, 7), await received(faults, 8)];
    const [first, second, third] = runs.map(({ inTheEnd }) => inTheEnd.join());
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  it('rejects calls without an effect, and with one when their answer gets lost', async () => {
    const broker = faultyBroker(modelBroker(), { reject: 1 });
    const publish = () => broker.publish(messageTo(['ann'], 'p', { id: 'one' }));
    await expect(publish()).rejects.toMatchObject({ code: 'broker_unavailable' });
    broker.set({ reject: 0, loseAnswer: 1 });
    await expect(publish()).rejects.toMatchObject({ code: 'broker_unavailable' });
    broker.calm();
    expect((await publish()).duplicates).toBe(1);
    expect(broker.happened).toMatchObject({ reject: 1, loseAnswer: 1 });
  });

  it('answers slowly', async () => {
    const broker = faultyBroker(modelBroker(), { slow: 1, maxDelayMs: 1_000 });
    const answered = vi.fn();
    void broker.tops(['ann']).then(answered);
    await pass(5);
    expect(answered).not.toHaveBeenCalled();
    await pass(1_000);
    expect(answered).toHaveBeenCalledOnce();
  });

  it('is lost while it is cut: says so, rejects every call, and lets nothing arrive, not afterwards either', async () => {
    const model = modelBroker();
    const broker = faultyBroker(model, { delay: 1 });
    const recorder = new Recorder();
    const told: string[] = [];
    broker.onStatus((status) => told.push(status));
    await broker.subscribe('ann', recorder);
    await model.publish(messageTo(['ann'], 'on its way'));
    broker.cut();
    broker.cut();
    await model.publish(messageTo(['ann'], 'meanwhile'));
    for (const call of [
      () => broker.publish(messageTo(['ann'], 'p')),
      () => broker.subscribe('ann', new Recorder()),
      () => broker.read('ann', null, 0),
      () => broker.tops(['ann']),
      () => broker.whisper(['ann'], 'p'),
      () => broker.online(['ann']),
      () => broker.mark('ann', {}),
      () => broker.forget('ann'),
      () => broker.counters!.counts('ann'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'broker_unavailable' });
    }
    await pass(100);
    expect([broker.status, told, recorder.payloads]).toEqual(['lost', ['lost'], []]);
    expect(broker.happened.cut).toBeGreaterThan(0);
    broker.calm();
    broker.mend();
    await model.publish(messageTo(['ann'], 'after'));
    await pass(0);
    expect([broker.status, told, recorder.payloads]).toEqual(['ready', ['lost', 'ready'], ['after']]);
  });

  it('goes back to what it knew, tells nobody, and is a stream of other tags from there', async () => {
    const model = modelBroker();
    const broker = faultyBroker(model);
    const say = async (payload: string) => (await broker.publish(messageTo(['ann'], payload))).appended[0];
    await say('kept');
    broker.save();
    const lost = (await say('lost')) as Publication;
    broker.rollBack();
    const other = (await say('other')) as Publication;
    expect([other.epoch, other.offset]).toEqual([lost.epoch, lost.offset]);
    expect(other.tag).not.toBe(lost.tag);
    expect(model.stream('ann').map(({ payload }) => payload)).toEqual(['kept', 'other']);
  });

  it('refuses what cannot be', () => {
    expect(() => faultyBroker(memoryBroker(), { drop: 2 })).toThrow(
      new TypeError('drop must be a number from 0 to 1, got 2'),
    );
    expect(() => faultyBroker(memoryBroker(), { lose: 1 } as never)).toThrow(new TypeError('there is no fault "lose"'));
    expect(() => faultyBroker(memoryBroker()).set({ delay: Number.NaN })).toThrow(TypeError);
    expect(() => faultyBroker(memoryBroker()).save()).toThrow(/cannot be rolled back/);
    expect(() => faultyBroker(modelBroker()).rollBack()).toThrow(/call save\(\) first/);
  });

  it('leaves no timer when a subscription ends, nor when it is closed', async () => {
    const model = modelBroker();
    const broker = faultyBroker(model, { delay: 1, reorder: 0.5, duplicate: 0.5 });
    const stop = await broker.subscribe('ann', new Recorder());
    await broker.subscribe('bob', new Recorder());
    for (let i = 0; i < 10; i++) await model.publish(messageTo(['ann', 'bob'], 'p'));
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    stop();
    await broker.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
