// What `publishEvent`, `notify` and `ack` refuse.

import { describe, expect, it } from 'vitest';
import type { Publisher } from '../src/publisher.ts';
import { textEvent } from './support/box-events.ts';
import { Bench } from './support/publisher-bench.ts';

describe('bad input', () => {
  const text = textEvent('e1');
  const long = 'x'.repeat(257);
  const thrown = new Error('no view');
  const bad: [string, (publisher: Publisher) => Promise<unknown>, RegExp][] = [
    ['an empty user id', (p) => p.publishEvent(['ann', ''], text), /^user ids: must be a non-empty string/],
    ['a long user id', (p) => p.publishEvent(['ann', long], text), /^user ids: must be a non-empty string/],
    ['a user id that is no string', (p) => p.publishEvent(['ann', 7 as never], text), /^user ids: /],
    ['no user ids', (p) => p.publishEvent(undefined as never, text), /^user ids: must be a string or an iterable/],
    ['a number for user ids', (p) => p.publishEvent(7 as never, text), /^user ids: must be a string or an iterable/],
    [
      'a muted id that is none',
      (p) => p.publishEvent('ann', text, { muted: [''] }),
      /^options\.muted: must be a non-empty/,
    ],
    [
      'muted that is no list',
      (p) => p.publishEvent('ann', text, { muted: true as never }),
      /^options\.muted: must be a string or/,
    ],
    ['no event', (p) => p.publishEvent('ann', undefined), /^event: must be a plain object/],
    ['an event without an id', (p) => p.publishEvent('ann', { ...text, id: undefined }), /^event\.id: /],
    ['an unknown type', (p) => p.publishEvent('ann', { ...text, type: 'nope' }), /^event\.type: must be one of/],
    [
      'a content that is none',
      (p) => p.publishEvent('ann', { ...text, content: 'x' }),
      /^event\.content: must be a plain/,
    ],
    [
      'a content that JSON cannot carry',
      (p) => p.publishEvent('ann', { ...text, content: { n: 1n } }),
      /cannot be written as JSON/,
    ],
    ['an event as a promise', (p) => p.publishEvent('ann', Promise.resolve(text)), /^event: must be a plain object/],
    [
      'a bad view among good ones',
      (p) => p.publishEvent(['ann', 'bob'], (u: string) => (u === 'bob' ? {} : text)),
      /^event\.id: is missing|^event/,
    ],
    ['views with several ids', (p) => p.publishEvent(['ann', 'bob'], (u: string) => textEvent(u)), /same id and type/],
    [
      'views of several types',
      (p) => p.publishEvent(['ann', 'bob'], (u: string) => (u === 'bob' ? { ...text, type: 'member.join' } : text)),
      /same id and type/,
    ],
    ['a view as a promise', (p) => p.publishEvent('ann', async () => text), /^event: must be a plain object/],
    [
      'a view as a promise that fails',
      (p) => p.publishEvent('ann', () => Promise.reject(thrown)),
      /^event: must be a plain object/,
    ],
    [
      'a view that throws',
      (p) =>
        p.publishEvent(['ann', 'bob'], (u: string) => {
          if (u === 'bob') throw thrown;
          return text;
        }),
      /^no view$/,
    ],
    [
      'an unknown option of publishEvent',
      (p) => p.publishEvent('ann', text, { mute: ['ann'] } as never),
      /^publishEvent options has no option "mute"; it takes muted$/,
    ],
    [
      'publishEvent options that are none',
      (p) => p.publishEvent('ann', text, ['ann'] as never),
      /^publishEvent options must be an object, got an array$/,
    ],
    [
      'an unknown option of notify',
      (p) => p.notify('ann', 'mine', {}, { key: 'k' } as never),
      /^notify options has no option "key"; it takes idempotencyKey, volatile$/,
    ],
    [
      'volatile that is no boolean',
      (p) => p.notify('ann', 'mine', {}, { volatile: 'no' as never }),
      /^options\.volatile must be true or false, got "no"$/,
    ],
    [
      'a key that is no id',
      (p) => p.notify('ann', 'mine', {}, { idempotencyKey: '' }),
      /^options\.idempotencyKey: must be a non-empty/,
    ],
    [
      'a key of a volatile message',
      (p) => p.notify('ann', 'mine', {}, { idempotencyKey: 'k', volatile: true }),
      /^options\.idempotencyKey: nothing is remembered/,
    ],
    ['a reserved type', (p) => p.notify('ann', 'event.new', {}), /^notification type: reserved/],
    [
      'a reserved type, volatile',
      (p) => p.notify('ann', 'session.ready', {}, { volatile: true }),
      /^notification type: reserved/,
    ],
    ['a reserved type to nobody', (p) => p.notify([], 'ack', {}), /^notification type: reserved/],
    ['an empty type', (p) => p.notify('ann', '', {}), /^notification type: must be a non-empty/],
    ['an object that is none', (p) => p.notify('ann', 'mine', ['x']), /^object: must be a plain object/],
    [
      'a notification of the catalogue that breaks its rule',
      (p) => p.notify('ann', 'file.saved', { encrypted_file_id: 'f', is_saved: 'yes' }),
      /^object\.is_saved: must be true or false/,
    ],
    [
      'a message that is too large',
      (p) => p.publishEvent(['ann', 'bob'], textEvent('e1', { text: 'x'.repeat(2_000) })),
      /limits\.maxPublishBytes is 1000$/,
    ],
    [
      'a message that is too large in bytes',
      (p) => p.notify('ann', 'mine', { text: '€'.repeat(400) }),
      /has 1\d\d\d bytes; limits\.maxPublishBytes is 1000$/,
    ],
    [
      'a view that is too large',
      (p) =>
        p.publishEvent(['ann', 'bob'], (u: string) => textEvent('e1', { text: u === 'bob' ? 'x'.repeat(2_000) : 'x' })),
      /limits\.maxPublishBytes is 1000$/,
    ],
  ];

  it.each(bad)('changes nothing: %s', async (_, call, message) => {
    const bench = new Bench({ limits: { maxPublishBytes: 1_000 } }, true);
    const ann = await bench.listen('ann');
    const before = bench.memory.stats();
    await expect(call(bench.publisher)).rejects.toThrow(message);
    expect(bench.memory.stats()).toEqual(before);
    expect([ann.publications, ann.whispers, bench.published, bench.errors]).toEqual([[], [], [], []]);
    expect(await bench.counts('ann')).toEqual({});
    expect((await bench.publisher.publishEvent('ann', text)).duplicates).toBe(0);
  });

  it('may be as large as maxPublishBytes', async () => {
    const bench = new Bench({ limits: { maxPublishBytes: 1_000 } });
    const length = 1_000 - JSON.stringify({ type: 'mine', object: { text: '' } }).length;
    await bench.publisher.notify('ann', 'mine', { text: 'x'.repeat(length) });
    expect(await bench.refusal(bench.publisher.notify('ann', 'mine', { text: 'x'.repeat(length + 1) }))).toMatchObject({
      code: 'too_large',
      message: 'the encoded message has 1001 bytes; limits.maxPublishBytes is 1000',
    });
  });
});
