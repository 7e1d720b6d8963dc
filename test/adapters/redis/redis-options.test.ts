import { describe, expect, it } from 'vitest';
import { redisBroker, redisCounters } from '../../../adapters/redis/index.ts';

const url = 'redis://127.0.0.1:1';

describe('a wrong option', () => {
  it.each([
    ['nothing', {}, /either url or client/],
    ['both', { url, client: {} }, /either url or client/],
    ['another scheme', { url: 'http://user:secret@redis' }, /redis:\/\//],
    ['no address', { url: [] }, /url/],
    ['an address that is none', { url: ['redis://:secret@'] }, /url/],
    ['a password that is none', { url: 'redis://u:secret%ZZ@localhost' }, /url/],
    ['an address where the options should be', 'redis://u:secret@localhost', /must be an object/],
    ['a client of something else', { client: { query() {} } }, /createClient or createCluster.*ioredis/],
    ['an unknown name', { url, host: 'redis' }, /no option "host"/],
    ['a prefix with braces', { url, prefix: '{a}' }, /prefix must be a string of 1 to 64 characters without braces/],
    ['no partitions', { url, partitions: 0 }, /partitions must be a whole number of at least 1, got 0/],
    ['a deadline that is none', { url, deadlineMs: Number.NaN }, /deadlineMs must be .* got NaN/],
  ])('%s is told at once, with what to change', (_, options, message) => {
    for (const make of [redisBroker, redisCounters]) {
      expect(() => make(options as never)).toThrow(TypeError);
      expect(() => make(options as never)).toThrow(message);
      expect(() => make(options as never)).not.toThrow(/secret/);
    }
  });

  it.each([
    [{ url, history: { messages: 0 } }, /history\.messages must be/],
    [{ url, history: { age: 1 } }, /history has no option "age"; it takes messages, ageMs/],
    [{ url, rollback: 'always' }, /rollback must be "detect" or "strict", got "always"/],
    [{ url, positionMs: 60_000 }, /positionMs must be a whole number of at least 300000, got 60000/],
    [{ url, deduplicationMs: 1_000 }, /deduplicationMs must be a whole number of at least 4000, got 1000/],
    [{ url, partitions: 20_000 }, /partitions must be at most 1024, got 20000/],
    [{ url, marksMs: 5 }, /marksMs must be a whole number of at least 1000, got 5/],
  ])('of the broker alone as well: %j', (options, message) => {
    expect(() => redisBroker(options as never)).toThrow(message);
  });
});
