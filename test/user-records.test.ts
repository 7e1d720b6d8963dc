// `counts`, `online`, `cursor`, `forget` and `disconnect`, as the host calls them.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MemoryBroker, memoryBroker } from '../src/broker/memory-broker.ts';
import type { CounterStore } from '../src/counter/counter-store.ts';
import { memoryCounters } from '../src/counter/memory-counter-store.ts';
import { decodeCursor } from '../src/protocol/cursor.ts';
import { Recorder } from '../src/testing/recorder.ts';
import { createUsercast, type Usercast } from '../src/usercast.ts';
import { textEvent } from './support/box-events.ts';
import { type Faulty, faulty, Outage } from './support/faulty.ts';
import { COUNTING } from './support/publisher-bench.ts';

describe.each(COUNTING)('with $counting', ({ withStore }) => {
  let broker: Faulty<MemoryBroker>;
  let store: Faulty<CounterStore>;
  let usercast: Usercast;
  let errors: { readonly stage: string; readonly cause: unknown }[];

  beforeEach(() => {
    broker = faulty(memoryBroker());
    store = faulty(memoryCounters());
    errors = [];
    usercast = createUsercast({
      broker: broker.thing,
      ...(withStore ? { counters: store.thing } : {}),
      limits: { deadlineMs: 20 },
    });
    usercast.on('error', (error) => errors.push(error));
  });
  afterEach(async () => {
    await usercast.close();
    await broker.thing.close();
  });

  it('counts are the events since the last ack of the box; nothing takes one back but an ack', async () => {
    for (const id of ['e1', 'e2']) await usercast.publishEvent(['ann', 'zoe'], textEvent(id));
    await usercast.publishEvent('ann', { ...textEvent('e3'), type: 'msg.delete', referrer_id: 'e1' });
    await usercast.notify('ann', 'box.delete', { id: 'box', sender_id: 'zoe', public_key: 'k' });
    expect([await usercast.counts('ann'), await usercast.counts('zoe')]).toEqual([{ box: 2 }, {}]);
    await usercast.ack('ann', 'other');
    expect(await usercast.counts('ann')).toEqual({ box: 2 });
    await usercast.ack('ann', 'box');
    expect(await usercast.counts('ann')).toEqual({});
    await usercast.publishEvent('ann', textEvent('e4'));
    expect(await usercast.counts('ann')).toEqual({ box: 1 });
    expect(await usercast.counts('nobody')).toEqual({});
  });

  it('online is who has a subscription anywhere', async () => {
    await broker.thing.subscribe('ann', new Recorder());
    expect(await usercast.online(['ann', 'bob', 'ann'])).toEqual(new Set(['ann']));
    expect(await usercast.online('ann')).toEqual(new Set(['ann']));
    expect(await usercast.online([])).toEqual(new Set());
  });

  it('cursor is the top: what is published later comes after it', async () => {
    const first = await usercast.cursor('ann');
    expect(await usercast.cursor('ann')).toBe(first);
    await usercast.publishEvent('ann', textEvent('e1'));
    const second = await usercast.cursor('ann');
    await usercast.notify('ann', 'mine', {});
    expect(second).not.toBe(first);
    const position = decodeCursor(second);
    if (typeof position === 'string') throw new Error(position);
    expect((await broker.thing.read('ann', position, 10)).entries).toMatchObject([
      { payload: '{"type":"mine","object":{}}' },
    ]);
  });

  it('forget erases the stream and the counts of one user', async () => {
    await usercast.publishEvent(['ann', 'bob'], textEvent('e1'));
    const [ann, bob] = [await usercast.cursor('ann'), await usercast.cursor('bob')];
    await usercast.forget('ann');
    expect([await usercast.counts('ann'), await usercast.counts('bob')]).toEqual([{}, { box: 1 }]);
    expect(await usercast.cursor('ann')).not.toBe(ann);
    expect(await usercast.cursor('bob')).toBe(bob);
    await usercast.publishEvent('ann', textEvent('e2'));
    expect(await usercast.counts('ann')).toEqual({ box: 1 });
  });

  it.each(['', 'x'.repeat(257), 7, null, '\ud800'])('an id of %j is refused', async (id) => {
    const userId = id as string;
    for (const call of [
      usercast.counts(userId),
      usercast.cursor(userId),
      usercast.forget(userId),
      usercast.disconnect(userId),
      usercast.online([userId]),
    ]) {
      await expect(call).rejects.toMatchObject({ code: 'invalid_message' });
    }
    expect(broker.thing.stats().users).toBe(0);
  });

  it.each([
    ['hang', 'deadline'],
    ['reject', 'broker_unavailable'],
  ] as const)(
    'a broker or store that fails (%s) is an error to the caller and an event; then service is back',
    async (fault, code) => {
      const calls: [() => Promise<unknown>, string][] = [
        [() => usercast.cursor('ann'), 'read'],
        [() => usercast.online('ann'), 'read'],
        [() => usercast.forget('ann'), 'publish'],
        [() => usercast.disconnect('ann'), 'publish'],
        ...(withStore
          ? ([
              [() => usercast.counts('ann'), 'count'],
              [() => usercast.forget('bob'), 'count'],
            ] as [() => Promise<unknown>, string][])
          : []),
      ];
      for (const [call, stage] of calls) {
        errors.length = 0;
        broker.faults = stage === 'count' ? {} : { read: fault, online: fault, forget: fault, mark: fault };
        store.faults = stage === 'count' ? { counts: fault, forget: fault } : {};
        const error: unknown = await call().then(
          () => null,
          (cause: unknown) => cause,
        );
        expect(error).toMatchObject({ code });
        expect(errors).toEqual([{ stage, cause: fault === 'hang' ? error : expect.any(Outage) }]);
        broker.faults = {};
        store.faults = {};
        await call();
        expect(errors).toHaveLength(1);
      }
      expect(usercast.stats().errors).toBe(calls.length);
    },
  );

  it('nothing is answered after the end', async () => {
    await usercast.close();
    for (const call of [
      () => usercast.publishEvent('ann', textEvent('e1')),
      () => usercast.notify('ann', 'mine', {}),
      () => usercast.ack('ann', 'box'),
      () => usercast.counts('ann'),
      () => usercast.online('ann'),
      () => usercast.cursor('ann'),
      () => usercast.forget('ann'),
      () => usercast.disconnect('ann'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'closed' });
    }
    expect(broker.thing.stats().users).toBe(0);
  });
});
