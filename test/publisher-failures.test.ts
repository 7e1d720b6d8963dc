// What `publishEvent`, `notify` and `ack` do when the broker or the counter store fails.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MemoryBroker } from '../src/broker/memory-broker.ts';
import { textEvent } from './support/box-events.ts';
import { Outage } from './support/faulty.ts';
import { Bench, COUNTING } from './support/publisher-bench.ts';

describe.each(COUNTING)('with $counting', ({ withStore }) => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench({}, withStore);
  });
  afterEach(() => bench.memory.close());

  describe('a broker that fails', () => {
    it.each(['hang', 'reject', 'throw'] as const)(
      '(%s) is told to the caller and as an event; the next call works',
      async (fault) => {
        const publisher = bench.publisher;
        const calls: [keyof MemoryBroker, () => Promise<unknown>, string[]][] = [
          ['publish', () => publisher.publishEvent(['zoe', 'ann', 'bob'], textEvent('e1')), ['zoe', 'ann', 'bob']],
          ['publish', () => publisher.notify(['bob', 'ann'], 'mine', {}), ['bob', 'ann']],
          ['publish', () => publisher.ack('ann', 'box'), ['ann']],
          ['whisper', () => publisher.notify(['ann'], 'mine', {}, { volatile: true }), ['ann']],
        ];
        for (const [method, call, failedUserIds] of calls) {
          bench.errors.length = 0;
          bench.broker.faults = { [method]: fault };
          const error = await bench.refusal(call());
          expect(error).toMatchObject({ code: 'publish_failed', failedUserIds });
          if (fault === 'hang') expect(error.cause).toMatchObject({ code: 'deadline' });
          else expect(error.cause).toBeInstanceOf(Outage);
          expect(bench.errors).toEqual([{ stage: 'publish', cause: error.cause }]);
          bench.broker.faults = {};
          await call();
          expect(bench.errors).toHaveLength(1);
        }
        expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{}, { box: 1 }]);
        expect(bench.acked).toEqual(['ann box']);
      },
    );

    it('takes the message and loses the answer: calling again finishes what was left, and nothing twice', async () => {
      const ann = await bench.listen('ann');
      bench.broker.faults = { publish: 'late' };
      const error = await bench.refusal(bench.publisher.publishEvent(['ann', 'bob'], textEvent('e1')));
      expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['ann', 'bob'] });
      bench.broker.faults = {};
      const again = await bench.publisher.publishEvent(error.failedUserIds!, textEvent('e1'));
      expect(again).toEqual({ recipients: 2, duplicates: 2 });
      expect(ann.payloads).toHaveLength(1);
      expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{ box: 1 }, { box: 1 }]);
    });

    it('for some recipients names these, in the order in which they were given, and serves the others', async () => {
      const { memory } = bench;
      const real = memory.publish.bind(memory);
      const refused = new Set(['zoe', 'bob']);
      // As a broker of several nodes does, of which one is away.
      vi.spyOn(memory, 'publish').mockImplementation(async (message) => {
        const deliveries = message.deliveries.map((delivery) => ({
          ...delivery,
          userIds: delivery.userIds.filter((userId) => !refused.has(userId)),
        }));
        const { appended, duplicates } = await real({ ...message, deliveries });
        const positions = [...appended];
        return {
          duplicates,
          appended: message.deliveries.flatMap(({ userIds }) =>
            userIds.map((userId) => (refused.has(userId) ? new Outage(userId) : positions.shift()!)),
          ),
        };
      });
      const error = await bench.refusal(bench.publisher.publishEvent(['zoe', 'ann', 'bob', 'carol'], textEvent('e1')));
      expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['zoe', 'bob'] });
      expect(error.cause).toBeInstanceOf(Outage);
      expect(error.message).toBe(
        'not known to be stored for 2 of 4 recipients; calling again with the same id is safe',
      );
      expect(bench.errors).toEqual([{ stage: 'publish', cause: error.cause }]);
      expect([await bench.counts('ann'), await bench.counts('carol')]).toEqual([{ box: 1 }, { box: 1 }]);
      expect(await bench.refusal(bench.publisher.ack('bob', 'box'))).toMatchObject({
        code: 'publish_failed',
        failedUserIds: ['bob'],
      });
      expect(bench.errors).toHaveLength(2);
      expect([bench.published, bench.acked]).toEqual([[], []]);
      refused.clear();
      const again = await bench.publisher.publishEvent(['zoe', 'ann', 'bob', 'carol'], textEvent('e1'));
      expect(again).toEqual({ recipients: 4, duplicates: 2 });
      for (const userId of ['ann', 'bob', 'carol']) expect(await bench.counts(userId)).toEqual({ box: 1 });
    });
  });

  describe('idle', () => {
    it('resolves for everyone who waits, when the last call is over', async () => {
      await bench.publisher.idle();
      bench.broker.faults = { publish: 'hang', whisper: 'hang' };
      const calls = [
        bench.publisher.publishEvent('ann', textEvent('e1')),
        bench.publisher.notify('ann', 'mine', {}, { volatile: true }),
        bench.publisher.ack('ann', 'box'),
      ];
      const order: string[] = [];
      const idle = [1, 2].map(() => bench.publisher.idle().then(() => order.push('idle')));
      await Promise.all([...calls.map((call) => call.catch(() => order.push('call'))), ...idle]);
      expect(order.filter((name) => name === 'idle')).toHaveLength(2);
      expect(order.slice(0, 2)).toEqual(['call', 'call']);
      await bench.publisher.idle();
    });
  });
});

describe('with a counter store that fails', () => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench({}, true);
  });

  it.each(['hang', 'reject', 'throw', 'late'] as const)(
    '(%s) an event is not delivered or counted twice by calling again',
    async (fault) => {
      const ann = await bench.listen('ann');
      bench.store!.faults = { increment: fault };
      const error = await bench.refusal(bench.publisher.publishEvent(['zoe', 'bob', 'ann'], textEvent('e1')));
      expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['bob', 'ann'] });
      expect(bench.errors).toEqual([{ stage: 'count', cause: error.cause }]);
      expect(bench.published).toEqual([]);
      bench.store!.faults = {};
      const again = await bench.publisher.publishEvent(error.failedUserIds!, textEvent('e1'));
      expect(again).toEqual({ recipients: 2, duplicates: 2 });
      expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{ box: 1 }, { box: 1 }]);
      expect(ann.payloads).toHaveLength(1);
    },
  );

  it.each(['hang', 'reject', 'throw', 'late'] as const)('(%s) an ack is finished by calling again', async (fault) => {
    await bench.publisher.publishEvent('ann', textEvent('e1'));
    bench.store!.faults = { reset: fault };
    const error = await bench.refusal(bench.publisher.ack('ann', 'box'));
    expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['ann'] });
    expect(bench.errors).toEqual([{ stage: 'count', cause: error.cause }]);
    expect(bench.acked).toEqual([]);
    bench.store!.faults = {};
    await bench.publisher.ack('ann', 'box');
    expect(await bench.counts('ann')).toEqual({});
  });

  it('while the broker refused others, all of them are named', async () => {
    const { memory } = bench;
    const real = memory.publish.bind(memory);
    vi.spyOn(memory, 'publish').mockImplementationOnce(async (message) => {
      const [delivery] = message.deliveries;
      const { appended, duplicates } = await real({ ...message, deliveries: [{ ...delivery!, userIds: ['ann'] }] });
      return { appended: [new Outage('carol'), ...appended], duplicates };
    });
    bench.store!.faults = { increment: 'reject' };
    const error = await bench.refusal(bench.publisher.publishEvent(['carol', 'ann'], textEvent('e1')));
    expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['carol', 'ann'] });
    expect(bench.errors.map(({ stage }) => stage)).toEqual(['publish', 'count']);
    bench.store!.faults = {};
    await bench.publisher.publishEvent(error.failedUserIds!, textEvent('e1'));
    expect([await bench.counts('ann'), await bench.counts('carol')]).toEqual([{ box: 1 }, { box: 1 }]);
  });

  it('notifications and events that do not count go on', async () => {
    bench.store!.faults = { increment: 'reject', reset: 'reject' };
    await bench.publisher.notify('ann', 'mine', {}, { idempotencyKey: 'k' });
    await bench.publisher.publishEvent(['ann', 'zoe'], textEvent('e1'), { muted: ['ann'] });
    expect(bench.errors).toEqual([]);
  });

  it('a call is under way until it is counted, or has failed to be', async () => {
    bench.store!.faults = { increment: 'hang' };
    const call = bench.refusal(bench.publisher.publishEvent('ann', textEvent('e1')));
    await bench.publisher.idle();
    expect(bench.errors.map(({ stage }) => stage)).toEqual(['count']);
    await call;
  });
});
