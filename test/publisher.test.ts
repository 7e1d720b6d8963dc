import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { textEvent } from './support/box-events.ts';
import { Bench, COUNTING } from './support/publisher-bench.ts';

describe.each(COUNTING)('with $counting', ({ withStore }) => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench({}, withStore);
  });
  afterEach(() => bench.memory.close());

  describe('publishEvent', () => {
    it('delivers to each recipient once, counts for all but the sender, and says how many', async () => {
      const [zoe, ann] = [await bench.listen('zoe'), await bench.listen('ann')];
      const event = textEvent('e1');
      const result = await bench.publisher.publishEvent(['zoe', 'ann', 'bob', 'ann'], event);
      expect(result).toEqual({ recipients: 3, duplicates: 0 });
      const payload = JSON.stringify({ type: 'event.new', object: event });
      expect(zoe.publications).toMatchObject([{ payload, unread: false }]);
      expect(ann.publications).toMatchObject([{ payload, unread: true }]);
      expect([await bench.counts('zoe'), await bench.counts('ann'), await bench.counts('bob')]).toEqual([
        {},
        { box: 1 },
        { box: 1 },
      ]);
      expect(bench.published).toEqual([{ type: 'msg.text', id: 'e1', recipients: 3, duplicates: 0 }]);
      expect(bench.errors).toEqual([]);
    });

    it.each([
      ['a string', 'ann'],
      ['a set', new Set(['ann'])],
      [
        'a generator',
        (function* () {
          yield 'ann';
          yield 'ann';
        })(),
      ],
    ])('takes recipients as %s', async (_, userIds) => {
      expect(await bench.publisher.publishEvent(userIds, textEvent('e1'))).toEqual({ recipients: 1, duplicates: 0 });
      expect(await bench.counts('ann')).toEqual({ box: 1 });
    });

    it('does nothing for an empty list', async () => {
      expect(await bench.publisher.publishEvent([], textEvent('e1'))).toEqual({ recipients: 0, duplicates: 0 });
      expect(await bench.publisher.publishEvent(new Set<string>(), () => ({}))).toEqual({
        recipients: 0,
        duplicates: 0,
      });
      expect(bench.published).toEqual([]);
      expect(bench.memory.stats().users).toBe(0);
    });

    it('delivers and counts an id once per recipient, however often it is called', async () => {
      const ann = await bench.listen('ann');
      await bench.publisher.publishEvent('ann', textEvent('e1'));
      await bench.publisher.ack('ann', 'box');
      const again = await bench.publisher.publishEvent(['ann', 'bob'], textEvent('e1'));
      expect(again).toEqual({ recipients: 2, duplicates: 1 });
      expect(ann.publications).toHaveLength(2);
      expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{}, { box: 1 }]);
      expect(bench.published.map(({ duplicates }) => duplicates)).toEqual([0, 1]);
    });

    it('delivers once when called twice at one time', async () => {
      const ann = await bench.listen('ann');
      const calls = [1, 2, 3].map(() => bench.publisher.publishEvent('ann', textEvent('e1')));
      expect((await Promise.all(calls)).map(({ duplicates }) => duplicates).sort()).toEqual([0, 1, 1]);
      expect(ann.publications).toHaveLength(1);
      expect(await bench.counts('ann')).toEqual({ box: 1 });
    });

    it('keeps the order of calls in each stream', async () => {
      const ann = await bench.listen('ann');
      const ids = Array.from({ length: 20 }, (_, i) => `e${i}`);
      await Promise.all(ids.map((id) => bench.publisher.publishEvent('ann', textEvent(id))));
      expect(ann.payloads.map((payload) => JSON.parse(payload).object.id)).toEqual(ids);
    });

    it('delivers to muted users and counts nothing for them', async () => {
      const ann = await bench.listen('ann');
      await bench.publisher.publishEvent(['ann', 'bob', 'carol'], textEvent('e1'), {
        muted: new Set(['ann', 'nobody']),
      });
      await bench.publisher.publishEvent(['ann', 'bob'], textEvent('e2'), { muted: 'ann' });
      await bench.publisher.publishEvent(['ann'], textEvent('e3'), {});
      expect(ann.publications.map(({ unread }) => unread)).toEqual([false, false, true]);
      expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{ box: 1 }, { box: 2 }]);
    });

    it('counts the types that count', async () => {
      const base = textEvent('e1');
      await bench.publisher.publishEvent('ann', { ...base, id: 'e1', type: 'msg.edit', referrer_id: 'e0' });
      await bench.publisher.publishEvent('ann', { ...base, id: 'e2', type: 'msg.delete', referrer_id: 'e0' });
      expect(await bench.counts('ann')).toEqual({});
      await bench.publisher.publishEvent('ann', { ...base, id: 'e3', type: 'member.join' });
      await bench.publisher.publishEvent('ann', { ...base, id: 'e4', type: 'msg.delete', referrer_id: 'e3' });
      expect(await bench.counts('ann')).toEqual({ box: 1 });
    });

    it('gives each recipient a view of its own, in one message', async () => {
      const [ann, bob, zoe] = [await bench.listen('ann'), await bench.listen('bob'), await bench.listen('zoe')];
      const result = await bench.publisher.publishEvent(['ann', 'bob', 'zoe'], (userId: string) =>
        textEvent('e1', { text: `for ${userId}`, boxId: `box of ${userId}` }),
      );
      expect(result).toEqual({ recipients: 3, duplicates: 0 });
      expect(
        [ann, bob, zoe].map(({ payloads }) => payloads.map((payload) => JSON.parse(payload).object.content)),
      ).toEqual(['ann', 'bob', 'zoe'].map((userId) => [{ text: `for ${userId}` }]));
      expect([await bench.counts('ann'), await bench.counts('bob'), await bench.counts('zoe')]).toEqual([
        { 'box of ann': 1 },
        { 'box of bob': 1 },
        {},
      ]);
      const again = await bench.publisher.publishEvent(['bob', 'carol'], () => textEvent('e1'));
      expect(again.duplicates).toBe(1);
    });

    it('encodes a view once for all who share it', async () => {
      const publish = vi.spyOn(bench.memory, 'publish');
      const [one, two] = [textEvent('e1', { text: 'one' }), textEvent('e1', { text: 'two' })];
      await bench.publisher.publishEvent(['ann', 'bob', 'carol', 'zoe'], (userId: string) =>
        userId === 'bob' ? two : one,
      );
      expect(publish.mock.calls[0]![0].deliveries.map(({ userIds }) => userIds)).toEqual([
        ['ann', 'carol'],
        ['zoe'],
        ['bob'],
      ]);
    });

    it('gives every message a tag of its own', async () => {
      const ann = await bench.listen('ann');
      for (let i = 0; i < 600; i++) await bench.publisher.notify('ann', 'tick', {});
      const tags = new Set(ann.publications.map(({ tag }) => tag));
      expect(tags.size).toBe(600);
      for (const tag of tags) expect(tag).toMatch(/^[A-Za-z0-9_-]{8}$/);
    });
  });

  describe('ack', () => {
    it("sets that user's count on that box to 0, and tells all of the user's sessions through the stream", async () => {
      const [ann, bob] = [await bench.listen('ann'), await bench.listen('bob')];
      await bench.publisher.publishEvent(['ann', 'bob'], textEvent('e1'));
      await bench.publisher.publishEvent(['ann', 'bob'], textEvent('e2', { boxId: 'other' }));
      await bench.publisher.ack('ann', 'box');
      expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{ other: 1 }, { box: 1, other: 1 }]);
      expect(ann.payloads.at(-1)).toBe('{"type":"ack","object":{"sender_id":"ann","box_id":"box"}}');
      expect(bob.payloads).toHaveLength(2);
      expect(bench.acked).toEqual(['ann box']);
    });

    it('of a box without unread messages is told all the same', async () => {
      const ann = await bench.listen('ann');
      await bench.publisher.ack('ann', 'box');
      await bench.publisher.ack('ann', 'box');
      expect(ann.payloads).toHaveLength(2);
      expect(await bench.counts('ann')).toEqual({});
    });

    it.each(['', 'x'.repeat(257), 7, null, '\ud800'])('refuses the id %j', async (id) => {
      for (const call of [bench.publisher.ack(id as string, 'box'), bench.publisher.ack('ann', id as string)]) {
        expect(await bench.refusal(call)).toMatchObject({ code: 'invalid_message' });
      }
      expect(bench.memory.stats().entries).toBe(0);
    });
  });

  describe('notify', () => {
    it('sends type and object to each recipient, and counts nothing', async () => {
      const ann = await bench.listen('ann');
      const object = { id: 'b', sender_id: 'zoe', public_key: 'k' };
      await bench.publisher.publishEvent('ann', textEvent('e1'));
      expect(await bench.publisher.notify(['ann', 'bob'], 'box.delete', object)).toEqual({
        recipients: 2,
        duplicates: 0,
      });
      expect(await bench.publisher.notify('ann', 'mine', { z: 1, a: [2] })).toEqual({ recipients: 1, duplicates: 0 });
      expect(ann.payloads.slice(1)).toEqual([
        JSON.stringify({ type: 'box.delete', object }),
        '{"type":"mine","object":{"z":1,"a":[2]}}',
      ]);
      expect(await bench.counts('ann')).toEqual({ box: 1 });
      expect(bench.published.at(-1)).toEqual({ type: 'mine', id: undefined, recipients: 1, duplicates: 0 });
    });

    it('delivers a key once per recipient; the key is no event id', async () => {
      const ann = await bench.listen('ann');
      await bench.publisher.publishEvent('ann', textEvent('k'));
      const keyed = { idempotencyKey: 'k' };
      expect((await bench.publisher.notify('ann', 'mine', {}, keyed)).duplicates).toBe(0);
      expect((await bench.publisher.notify(['ann', 'bob'], 'mine', {}, keyed)).duplicates).toBe(1);
      expect((await bench.publisher.notify('ann', 'mine', {})).duplicates).toBe(0);
      expect(ann.payloads).toHaveLength(3);
      expect(bench.published.map(({ id }) => id)).toEqual(['k', 'k', 'k', undefined]);
    });

    it('sends volatile messages to whoever is connected, and stores nothing', async () => {
      const ann = await bench.listen('ann');
      const before = await bench.memory.tops(['ann', 'bob']);
      const result = await bench.publisher.notify(['ann', 'bob'], 'typing', { in: 'box' }, { volatile: true });
      expect(result).toEqual({ recipients: 2, duplicates: 0 });
      expect([ann.whispers, ann.publications]).toEqual([['{"type":"typing","object":{"in":"box"}}'], []]);
      expect(await bench.memory.tops(['ann', 'bob'])).toEqual(before);
      expect(bench.published).toEqual([{ type: 'typing', id: undefined, recipients: 2, duplicates: 0 }]);
    });

    it('does nothing for an empty list, volatile or not', async () => {
      for (const volatile of [true, false]) {
        expect(await bench.publisher.notify([], 'mine', {}, { volatile })).toEqual({ recipients: 0, duplicates: 0 });
      }
      expect(bench.published).toEqual([]);
    });
  });
});

describe('the counting rule of the host', () => {
  it('decides for each recipient but the sender and muted users', async () => {
    const asked: string[] = [];
    const bench = new Bench({
      countable: ({ type }, userId) => {
        asked.push(`${type} ${userId}`);
        return userId !== 'bob';
      },
    });
    await bench.publisher.publishEvent(['zoe', 'ann', 'bob', 'carol'], textEvent('e1'), { muted: 'carol' });
    expect(asked).toEqual(['msg.text ann', 'msg.text bob']);
    expect([await bench.counts('ann'), await bench.counts('bob')]).toEqual([{ box: 1 }, {}]);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no rule');
      },
      /^no rule$/,
    ],
    ['answers with a promise', async () => false, /^countable must answer true or false, at once, got an object$/],
    ['answers with a promise that fails', () => Promise.reject(new Error('no rule')), /^countable must answer/],
    ['answers with nothing', () => undefined, /^countable must answer true or false, at once, got undefined$/],
  ])('changes nothing when it %s', async (_, countable, message) => {
    const bench = new Bench({ countable: countable as never });
    await expect(bench.publisher.publishEvent(['ann'], textEvent('e1'))).rejects.toThrow(message);
    expect(bench.memory.stats()).toMatchObject({ users: 0, entries: 0 });
  });
});
