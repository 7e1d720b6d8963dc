// Counts that another store keeps than the broker: what sessions are told of them while messages are on their way.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type CounterStore, memoryBroker, memoryCounters } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { expectRightCounts } from '../support/busy-user.ts';
import { cleanUp, connectV1, listen, textEvent } from '../support/fixture.ts';
import { Gate, settled } from '../support/scripted-broker.ts';
import { seededRandom } from '../support/seed.ts';

afterEach(cleanUp);

/** Waits before each call, and by default not at all. */
class SlowCounters implements CounterStore {
  before: Partial<Record<keyof CounterStore, () => Promise<void>>> = {};
  readonly #inner = memoryCounters();

  increment: CounterStore['increment'] = async (counted) => {
    await this.before.increment?.();
    return this.#inner.increment(counted);
  };

  reset: CounterStore['reset'] = async (...given) => {
    await this.before.reset?.();
    return this.#inner.reset(...given);
  };

  counts: CounterStore['counts'] = async (...given) => {
    await this.before.counts?.();
    return this.#inner.counts(...given);
  };

  forget: CounterStore['forget'] = (userId) => this.#inner.forget(userId);
  close: CounterStore['close'] = () => this.#inner.close();
}

describe('a session that opens', () => {
  it('is told the counts as of head, whatever was counted since', async () => {
    const counters = new SlowCounters();
    const site = await listen({ counters });
    for (let i = 0; i < 2; i++) await site.usercast.publishEvent('ada', textEvent());
    const head = await site.usercast.cursor('ada');
    const asked = new Gate();
    counters.before.counts = asked.pass;
    const opening = connectV1(site, { userId: 'ada' });
    await asked.reached;
    for (let i = 0; i < 3; i++) await site.usercast.publishEvent('ada', textEvent());
    asked.open();
    const client = await opening;
    expect(await client.ready()).toMatchObject({ head, counts: { 'box-1': 2 } });
    await client.read(3);
    expect(client.reader.counts).toEqual({ 'box-1': 5 });
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 5 });
  });

  it('is told of an event up to head that was not counted yet, and of an ack', async () => {
    const counters = new SlowCounters();
    const broker = memoryBroker();
    const site = await listen({ broker, counters });
    await site.usercast.publishEvent('ada', textEvent());
    const [increment, reset] = [new Gate(), new Gate()];
    counters.before = { increment: increment.pass, reset: reset.pass };
    const work = [site.usercast.ack('ada', 'box-1'), site.usercast.publishEvent('ada', textEvent({ box_id: 'box-2' }))];
    await Promise.all([increment.reached, reset.reached]);
    let reads = 0;
    const { read } = broker;
    broker.read = (...given) => {
      reads++;
      return read.apply(broker, given);
    };
    const opening = connectV1(site, { userId: 'ada' });
    await expect.poll(() => reads).toBeGreaterThan(0);
    await settled();
    increment.open();
    await settled();
    reset.open();
    const client = await opening;
    expect((await client.ready()).counts).toEqual({ 'box-2': 1 });
    await Promise.all(work);
    expect(await site.usercast.counts('ada')).toEqual({ 'box-2': 1 });
  });

  it('waits for no other user, and for nothing longer than the deadline', async () => {
    const counters = new SlowCounters();
    const site = await listen({ counters, limits: { deadlineMs: 1_500 } });
    const gate = new Gate();
    counters.before.increment = gate.pass;
    const failed = expect(site.usercast.publishEvent('ada', textEvent())).rejects.toMatchObject({
      code: 'publish_failed',
    });
    await gate.reached;
    const other = await connectV1(site, { userId: 'grace' });
    expect((await other.ready()).counts).toEqual({});
    expect(site.events('error')).toEqual([]);
    const client = await connectV1(site, { userId: 'ada' });
    expect((await client.ready()).counts).toEqual({});
    await failed;
    gate.open();
  });
});

it('all clients of a busy user have the counts of the store when it is quiet, whenever they came', async () => {
  const random = seededRandom(1);
  const counters = new SlowCounters();
  const turns = async (): Promise<void> => {
    for (let left = Math.floor(random() * 6); left > 0; left--) await nextTurn();
  };
  counters.before = { increment: turns, reset: turns, counts: turns };
  await expectRightCounts(await listen({ counters }), random);
});
