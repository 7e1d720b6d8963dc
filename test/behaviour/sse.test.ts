import type { Socket } from 'node:net';
import { EventSource } from 'eventsource';
import { memoryBroker } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import {
  cleanUp,
  connectClient,
  endOf,
  listen,
  type Refused,
  type Site,
  shortTokenFor,
  textEvent,
  tokenFor,
} from '../support/fixture.ts';
import { type EventStream, openStream, poll, stalledStream } from '../support/http-clients.ts';
import { eventually } from '../support/raw-client.ts';

const sources: EventSource[] = [];

afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  await cleanUp();
});

const numbers = (stream: EventStream) =>
  stream.messages.filter(({ type }) => type === 'n').map(({ object }) => object.n);
const notify = (site: Site, n: number) => site.usercast.notify('ada', 'n', { n });

describe('an event stream', () => {
  it('begins with session.ready, whose id resumes, then carries each message with its cursor', async () => {
    const site = await listen();
    const stream = await openStream(site, { userId: 'ada' });
    const ready = await stream.next();
    expect(ready).toEqual({
      id: expect.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      type: 'session.ready',
      object: {
        session_id: expect.any(String),
        resumed: false,
        cursor: ready.id,
        head: ready.id,
        counts: {},
        ping_ms: 25_000,
        expires_at: null,
      },
    });
    const event = textEvent();
    await site.usercast.publishEvent('ada', event);
    await site.usercast.ack('ada', event.box_id);
    const message = await stream.next();
    expect(message).toEqual({ id: expect.any(String), type: 'event.new', object: event, unread: true });
    expect(await stream.next()).toMatchObject({ type: 'ack', object: { sender_id: 'ada', box_id: event.box_id } });
    expect(stream.text).not.toMatch(/^(?:event|cursor):/m);
    expect(await site.event('connect')).toMatchObject({ userId: 'ada', transport: 'sse', address: '127.0.0.1' });

    const resumed = await openStream(site, { userId: 'ada', headers: { 'last-event-id': message.id! } });
    expect((await resumed.next()).object).toMatchObject({ resumed: true, cursor: message.id, counts: {} });
    expect((await resumed.next()).type).toBe('ack');
  });

  it('resumes after a drop before the first message', async () => {
    const site = await listen();
    const dropped = await openStream(site, { userId: 'ada' });
    const { id } = await dropped.next();
    dropped.leave();
    await notify(site, 1);
    const stream = await openStream(site, { userId: 'ada', query: { cursor: id! } });
    expect(await stream.next()).toMatchObject({ type: 'session.ready', object: { resumed: true } });
    expect(await stream.next()).toMatchObject({ type: 'n', object: { n: 1 } });
  });

  it('tells of a reset where history does not reach back', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 2 } }) });
    const { body } = await poll(site, { userId: 'ada' });
    for (let n = 1; n <= 5; n++) await notify(site, n);
    const stream = await openStream(site, { userId: 'ada', query: { cursor: body.cursor } });
    const ready = await stream.next();
    expect(ready.object).toMatchObject({ resumed: false, reset: 'trimmed', cursor: ready.id, head: ready.id });
    await notify(site, 6);
    expect((await stream.next()).object).toEqual({ n: 6 });
  });

  it('gets volatile messages without an id', async () => {
    const site = await listen();
    const stream = await openStream(site, { userId: 'ada' });
    await stream.next();
    await site.usercast.notify('ada', 'typing', {}, { volatile: true });
    expect(await stream.next()).toEqual({ type: 'typing', object: {} });
  });

  it('shows a sign of life in a comment when nothing else was sent', async () => {
    const site = await listen({ heartbeat: { pingMs: 300 } });
    const stream = await openStream(site, { userId: 'ada' });
    await eventually('two comments', () => (stream.text.match(/^:$/gm)?.length ?? 0) >= 2);
    expect(stream.messages).toHaveLength(1);
  });

  it('is refused with a problem document before it begins', async () => {
    const site = await listen({ limits: { maxConnectionsPerUser: 1, maxConnections: 2 } });
    const refusal = (parts: Parameters<typeof openStream>[1]) =>
      openStream(site, parts).catch((cause: Refused) => cause);
    const invalid = (await refusal({ userId: 'ada', token: 'wrong' })) as Refused;
    expect(invalid.status).toBe(401);
    expect(invalid.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    expect(await refusal({ userId: 'ada', token: tokenFor('grace') })).toMatchObject({ status: 403 });
    expect(await refusal({ userId: 'ada', query: { cursor: '?' } })).toMatchObject({ status: 400 });
    await openStream(site, { userId: 'ada' });
    const tooMany = (await refusal({ userId: 'ada' })) as Refused;
    expect([tooMany.status, tooMany.headers['retry-after']]).toEqual([429, '5']);
    await openStream(site, { userId: 'grace' });
    expect(await refusal({ userId: 'joan' })).toMatchObject({ status: 503 });
    expect(site.events('refuse').map(({ transport }) => transport)).toEqual(new Array(5).fill('sse'));
    expect(site.usercast.stats().sessions).toBe(2);
  });

  it('ends with its token, and says so before', async () => {
    const site = await listen();
    const token = shortTokenFor('ada', 800);
    const stream = await openStream(site, { userId: 'ada', token });
    const ready = await stream.next();
    expect(ready.object.expires_at).toBe(new Date(endOf(token)).toISOString());
    expect(await stream.next()).toMatchObject({
      type: 'session.expiring',
      object: { expires_at: ready.object.expires_at },
    });
    const closing = await stream.next();
    expect(closing).toEqual({
      type: 'session.closing',
      object: { code: 4401, reason: 'token expired', retry_ms: expect.any(Number) },
    });
    expect(await stream.over).toBe('end');
    expect(Date.now() - endOf(token)).toBeGreaterThanOrEqual(-5);
    expect(await site.event('disconnect')).toMatchObject({ code: 4401, transport: 'sse' });
  });

  it('ends when the server drains, and says so before', async () => {
    const site = await listen();
    const streams = await Promise.all(['ada', 'ada', 'grace'].map((userId) => openStream(site, { userId })));
    await site.usercast.drain({ withinMs: 2_000 });
    for (const stream of streams) {
      expect(await stream.over).toBe('end');
      expect(stream.messages.at(-1)).toMatchObject({
        type: 'session.closing',
        object: { code: 1012, reason: 'service restart' },
      });
    }
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, connects: 3, disconnects: 3 });
    await expect(openStream(site, { userId: 'ada' })).rejects.toMatchObject({ status: 404 });
  });

  it('ends when the user is disconnected, and says so before', async () => {
    const site = await listen();
    const stream = await openStream(site, { userId: 'ada' });
    await site.usercast.disconnect('ada', { reason: 'signed out' });
    expect(await stream.over).toBe('end');
    expect(stream.messages.at(-1)!.object).toMatchObject({ code: 4403, reason: 'signed out' });
  });

  it('is over when its client leaves, and leaves nothing behind', async () => {
    const site = await listen();
    const stream = await openStream(site, { userId: 'ada' });
    await stream.next();
    stream.leave();
    expect(await site.event('disconnect')).toMatchObject({ code: 1006, transport: 'sse' });
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, connects: 1, disconnects: 1 });
  });

  it('that is stalled when the server closes is cut', async () => {
    const site = await listen();
    const stream = await stalledStream(site, { userId: 'ada' });
    await site.usercast.close();
    expect(await site.event('disconnect')).toMatchObject({ code: 1001 });
    stream.response.resume();
    expect(await stream.over).toBe('cut');
  });
});

describe('an EventSource', () => {
  /** What a browser does, but for the header with the token. */
  function openSource(site: Site, options: { query?: string; token?: string } = {}) {
    const { query = '', token = tokenFor('ada') } = options;
    const seen: { id: string; type: string; object: Record<string, unknown> }[] = [];
    const sent: (string | undefined)[] = [];
    const url = `http://127.0.0.1:${site.port}/box-users/ada/sse?access_token=${token}${query}`;
    const source = new EventSource(url, {
      fetch: (input, init) => {
        sent.push(init.headers['Last-Event-ID' as keyof typeof init.headers]);
        return fetch(input, init);
      },
    });
    sources.push(source);
    source.onmessage = ({ data, lastEventId }) => seen.push({ id: lastEventId, ...JSON.parse(data) });
    return { source, seen, sent };
  }

  it('comes back by itself with the id of the last message, and misses nothing', async () => {
    const broker = memoryBroker();
    const site = await listen({ broker });
    const { source, seen, sent } = openSource(site);
    await eventually('ready', () => seen.length === 1);
    await notify(site, 1);
    await eventually('the message', () => seen.length === 2);
    site.server.closeAllConnections();
    await eventually('the session is gone', () => site.usercast.stats().sessions === 0);
    await notify(site, 2);
    await eventually('it has come back', () => seen.length >= 4);
    await notify(site, 3);
    await eventually('the last message', () => seen.length === 5);
    expect(seen.map(({ type, object }) => (type === 'n' ? object.n : type))).toEqual([
      'session.ready',
      1,
      'session.ready',
      2,
      3,
    ]);
    expect(sent).toEqual([undefined, seen[1]!.id]);
    expect(seen[2]!.object.resumed).toBe(true);
    expect(source.readyState).toBe(EventSource.OPEN);
  });

  it('that comes back prefers what it saw to the cursor in its URL', async () => {
    const site = await listen();
    const { cursor } = (await poll(site, { userId: 'ada' })).body;
    await notify(site, 1);
    const { seen } = openSource(site, { query: `&cursor=${cursor}` });
    await eventually('ready and replayed', () => seen.length === 2);
    site.server.closeAllConnections();
    await eventually('it has come back', () => seen.length === 3);
    await notify(site, 2);
    await eventually('the message', () => seen.length === 4);
    expect(seen.map(({ type, object }) => (type === 'n' ? object.n : type))).toEqual([
      'session.ready',
      1,
      'session.ready',
      2,
    ]);
  });

  it('gives up where its token is refused', async () => {
    const site = await listen();
    const { source } = openSource(site, { token: 'wrong' });
    await eventually('closed', () => source.readyState === EventSource.CLOSED);
    expect(site.events('refuse')).toMatchObject([{ code: 'token_invalid', transport: 'sse' }]);
  });
});

describe('a slow client of an event stream', () => {
  const MAX_BUFFERED = 262_144;
  const PAYLOAD = 'x'.repeat(100_000);

  async function overwhelmed(historyMessages: number) {
    const broker = memoryBroker({ history: { messages: historyMessages } });
    const site = await listen({ broker, limits: { maxBufferedBytes: MAX_BUFFERED } });
    const sockets: Socket[] = [];
    site.server.on('connection', (socket) => sockets.push(socket));
    const slow = await openStream(site, { userId: 'ada' });
    await slow.next();
    slow.response.pause();
    const fast = await connectClient(site, { userId: 'ada' });
    let last = 0;
    let maxBuffered = 0;
    for (let more = 30; more > 0; ) {
      await site.usercast.notify('ada', 'n', { n: ++last, PAYLOAD });
      await new Promise((resolve) => setImmediate(resolve));
      maxBuffered = Math.max(maxBuffered, sockets[0]!.writableLength);
      if (site.events('slow').length > 0) more--;
      else if (last > 500) throw new Error('the operating system takes everything');
    }
    return { site, slow, fast, last, maxBuffered };
  }

  const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

  it('costs bounded memory, delays nobody, and gets everything from history when it reads again', async () => {
    const { site, slow, fast, last, maxBuffered } = await overwhelmed(1_000);
    expect(maxBuffered).toBeLessThan(MAX_BUFFERED + PAYLOAD.length + 1_000);
    await expect.poll(() => fast.messages.length).toBe(last);
    expect(site.events('slow')[0]).toMatchObject({ transport: 'sse' });
    slow.response.resume();
    await eventually('all of it', () => slow.messages.length === last + 1);
    await notify(site, last + 1);
    await eventually('live again', () => slow.messages.length === last + 2);
    expect(numbers(slow)).toEqual(upTo(last + 1));
    expect(site.usercast.stats()).toMatchObject({ slow: 1, resets: 0 });
  });

  it('is reset in its stream where history does not reach back', async () => {
    const { site, slow, last } = await overwhelmed(5);
    slow.response.resume();
    await eventually('a reset', () => slow.messages.at(-1)?.type === 'session.reset');
    const reset = slow.messages.at(-1)!;
    expect(reset.object).toEqual({ reason: 'lagging', cursor: reset.id, counts: {} });
    await notify(site, last + 1);
    await eventually('live again', () => numbers(slow).at(-1) === last + 1);
    const seen = numbers(slow);
    expect(seen.slice(0, -1)).toEqual(upTo(seen.length - 1));
  });
});
