import { memoryBroker, memoryCounters } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { faulty } from '../support/faulty.ts';
import { cleanUp, endOf, listen, type Site, shortTokenFor, textEvent, tokenFor } from '../support/fixture.ts';
import { poll, stalledStream } from '../support/http-clients.ts';
import { eventually } from '../support/raw-client.ts';

afterEach(cleanUp);

const cursorOf = async (site: Site) => (await poll(site, { userId: 'ada' })).body.cursor;
const waits = (site: Site) => eventually('the poll waits', () => site.usercast.stats().sessions === 1);

describe('a long poll', () => {
  it('begins with the current cursor, at once', async () => {
    const site = await listen();
    const { status, headers, body } = await poll(site, { userId: 'ada', query: { wait: 55 } });
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toEqual({ messages: [], cursor: await site.usercast.cursor('ada') });
  });

  it('gives what came since, each message with its cursor, and marked where it counted', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const event = textEvent();
    await site.usercast.publishEvent('ada', event);
    await site.usercast.notify('ada', 'n', { n: 1 });
    const { body } = await poll(site, { userId: 'ada', query: { cursor } });
    expect(body).toEqual({
      messages: [
        { type: 'event.new', object: event, cursor: expect.any(String), unread: true },
        { type: 'n', object: { n: 1 }, cursor: body.cursor },
      ],
      cursor: await site.usercast.cursor('ada'),
    });
    const between = await poll(site, { userId: 'ada', query: { cursor: body.messages[0]!.cursor! } });
    expect(between.body.messages).toEqual([body.messages[1]]);
  });

  it('waits for the first message', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const answer = poll(site, { userId: 'ada', query: { cursor } });
    await waits(site);
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await answer).body.messages).toMatchObject([{ type: 'n' }]);
    expect(site.usercast.stats().sessions).toBe(0);
  });

  it('is answered with nothing and the same cursor after its wait', async () => {
    const site = await listen({ limits: { handshakeTimeoutMs: 50 } });
    const cursor = await cursorOf(site);
    const startMs = performance.now();
    const { status, body } = await poll(site, { userId: 'ada', query: { cursor, wait: 0.3 } });
    expect([status, body]).toEqual([200, { messages: [], cursor }]);
    expect(performance.now() - startMs).toBeGreaterThan(290);
  });

  it('gives no more than its limit, and no more than a session may buffer', async () => {
    const site = await listen({ limits: { maxBufferedBytes: 250_000 } });
    let cursor = await cursorOf(site);
    const object = { text: 'x'.repeat(100_000) };
    for (let i = 0; i < 5; i++) await site.usercast.notify('ada', 'n', object);
    const lengths: number[] = [];
    for (const limit of [1, 100, 100]) {
      const { body } = await poll(site, { userId: 'ada', query: { cursor, limit } });
      lengths.push(body.messages.length);
      cursor = body.cursor;
    }
    expect(lengths).toEqual([1, 2, 2]);
    expect(cursor).toBe(await site.usercast.cursor('ada'));
  });

  it('says why it cannot go on from a cursor, and gives one to go on from', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 2 } }) });
    const old = await cursorOf(site);
    for (let n = 1; n <= 5; n++) await site.usercast.notify('ada', 'n', { n });
    for (const [cursor, reset] of [
      [old, 'trimmed'],
      ['none-of-ours', 'epoch'],
      [await site.usercast.cursor('grace'), 'epoch'],
    ] as const) {
      const { body } = await poll(site, { userId: 'ada', query: { cursor } });
      expect(body).toEqual({ messages: [], cursor: await site.usercast.cursor('ada'), reset });
    }
  });

  it('looks at the token each time', async () => {
    const site = await listen();
    const token = shortTokenFor('ada', 1_000);
    const { cursor } = (await poll(site, { userId: 'ada', token })).body;
    const last = await poll(site, { userId: 'ada', token, query: { cursor, wait: 55 } });
    expect([last.status, last.body]).toEqual([200, { messages: [], cursor }]);
    const lateMs = Date.now() - endOf(token);
    expect(lateMs).toBeGreaterThanOrEqual(-5);
    // Long before its wait is over.
    expect(lateMs).toBeLessThan(5_000);
    const refused = await poll(site, { userId: 'ada', token, query: { cursor } });
    expect([refused.status, refused.body.title]).toEqual([401, 'token expired']);
    expect((await poll(site, { userId: 'ada', token: tokenFor('grace') })).status).toBe(403);
    expect(site.events('refuse').map(({ code, transport }) => [code, transport])).toEqual([
      ['token_expired', 'poll'],
      ['wrong_user', 'poll'],
    ]);
  });

  it('is answered at once when the server drains', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const answer = poll(site, { userId: 'ada', query: { cursor, wait: 55 } });
    await waits(site);
    const startMs = performance.now();
    await site.usercast.drain({ withinMs: 60_000 });
    expect((await answer).body).toEqual({ messages: [], cursor });
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  it('is refused with 503 while the server drains', async () => {
    const site = await listen();
    await stalledStream(site, { userId: 'grace' });
    const drained = site.usercast.drain({ withinMs: 60_000 });
    const refused = await poll(site, { userId: 'ada' });
    expect([refused.status, refused.headers.get('retry-after'), refused.body.title]).toEqual([
      503,
      '1',
      'service restart',
    ]);
    await site.usercast.close();
    await drained;
  });

  it('is refused with 403 when the user is disconnected meanwhile', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const answer = poll(site, { userId: 'ada', query: { cursor } });
    await waits(site);
    await site.usercast.disconnect('ada');
    const { status, body } = await answer;
    expect([status, body.title]).toEqual([403, 'disconnected by the host']);
    expect(site.usercast.stats().sessions).toBe(0);
  });

  it('ends with its client, and leaves nothing behind', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const leaving = new AbortController();
    const answer = poll(site, { userId: 'ada', query: { cursor, wait: 55 }, signal: leaving.signal });
    await waits(site);
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await eventually('nothing waits', () => site.usercast.stats().sessions === 0);
    expect(site.told.filter(({ name }) => ['error', 'refuse', 'connect'].includes(name))).toEqual([]);
  });

  it('is refused with 503 when the broker does not answer, and works again when it does', async () => {
    const broken = faulty(memoryBroker());
    const site = await listen({ broker: broken.thing, counters: memoryCounters(), limits: { deadlineMs: 100 } });
    const cursor = await cursorOf(site);
    broken.faults.read = 'hang';
    const refused = await poll(site, { userId: 'ada', query: { cursor } });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    broken.faults = {};
    await site.usercast.notify('ada', 'n', {});
    expect((await poll(site, { userId: 'ada', query: { cursor } })).body.messages).toHaveLength(1);
  });

  it('counts towards the limits while it waits', async () => {
    const site = await listen({ limits: { maxConnectionsPerUser: 1 } });
    const cursor = await cursorOf(site);
    const answer = poll(site, { userId: 'ada', query: { cursor, wait: 55 } });
    await waits(site);
    expect((await poll(site, { userId: 'ada', query: { cursor } })).status).toBe(429);
    await site.usercast.notify('ada', 'n', {});
    expect((await answer).status).toBe(200);
    expect((await poll(site, { userId: 'ada' })).status).toBe(200);
  });

  it('gets volatile messages while it waits, without a cursor', async () => {
    const site = await listen();
    const cursor = await cursorOf(site);
    const answer = poll(site, { userId: 'ada', query: { cursor } });
    await waits(site);
    // The poll is there before it has read for the first time, and a volatile message does not wait for that.
    await eventually('an answer', async () => {
      await site.usercast.notify('ada', 'typing', {}, { volatile: true });
      return site.usercast.stats().sessions === 0;
    });
    const { body } = await answer;
    expect(body.messages[0]).toEqual({ type: 'typing', object: {} });
    expect(body.cursor).toBe(cursor);
  });
});
