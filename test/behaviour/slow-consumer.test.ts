import type { Socket } from 'node:net';
import { memoryBroker } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, type Site } from '../support/fixture.ts';

afterEach(cleanUp);

const MAX_BUFFERED = 262_144;
const PAYLOAD = 'x'.repeat(100_000);

async function serve(historyMessages: number) {
  const broker = memoryBroker({ history: { messages: historyMessages } });
  const site = await listen({ broker, limits: { maxBufferedBytes: MAX_BUFFERED } });
  const sockets: Socket[] = [];
  site.server.on('connection', (socket) => sockets.push(socket));
  const slow = await connectClient(site, { userId: 'ada' });
  const [socket] = sockets;
  slow.ws.pause();
  return { site, slow, socket: socket! };
}

/** Publishes until the client that does not read has filled what the operating system takes, and some more. */
async function overwhelm(site: Site, socket: Socket): Promise<{ last: number; maxBuffered: number }> {
  let n = 0;
  let maxBuffered = 0;
  for (let more = 30; more > 0; ) {
    await site.usercast.notify(['ada', 'grace'], 'n', { n: ++n, PAYLOAD });
    await new Promise((resolve) => setImmediate(resolve));
    maxBuffered = Math.max(maxBuffered, socket.writableLength);
    if (site.events('slow').length > 0) more--;
    else if (n > 500) throw new Error('the operating system takes everything');
  }
  return { last: n, maxBuffered };
}

const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

describe('a client that does not read', () => {
  it('costs bounded memory, delays nobody, and gets everything from history when it reads again', async () => {
    const { site, slow, socket } = await serve(1_000);
    const tab = await connectClient(site, { userId: 'ada' });
    const other = await connectClient(site, { userId: 'grace' });
    const { last, maxBuffered } = await overwhelm(site, socket);
    expect(maxBuffered).toBeLessThan(MAX_BUFFERED + PAYLOAD.length + 1_000);
    for (const fast of [tab, other]) await expect.poll(() => fast.messages.length).toBe(last);
    expect(slow.messages).toEqual([]);
    slow.ws.resume();
    await expect.poll(() => slow.messages.length).toBe(last);
    await site.usercast.notify('ada', 'n', { n: last + 1 });
    await expect.poll(() => slow.messages.length).toBe(last + 1);
    expect(slow.all('n')).toEqual(upTo(last + 1));
    expect(site.usercast.stats()).toMatchObject({ slow: 1, resets: 0 });
    expect(site.events('slow')[0]!.bufferedBytes).toBeLessThanOrEqual(MAX_BUFFERED + PAYLOAD.length);
  });

  it('is closed with 4410 when it reads again and history does not reach back', async () => {
    const { site, slow, socket } = await serve(5);
    const { last } = await overwhelm(site, socket);
    slow.ws.resume();
    expect(await slow.closed).toEqual({ code: 4410, reason: 'messages lost' });
    expect(slow.all('n')).toEqual(upTo(slow.messages.length));
    expect(slow.messages.length).toBeLessThan(last);
    expect(await site.event('reset')).toMatchObject({ userId: 'ada', reason: 'lagging' });
    expect(await site.event('disconnect')).toMatchObject({ code: 4410 });
  });

  it('is let go of within seconds when it never reads', async () => {
    const { site, socket } = await serve(1_000);
    await overwhelm(site, socket);
    await site.usercast.disconnect('ada');
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    expect(socket.destroyed).toBe(true);
  });

  it('gets no volatile messages meanwhile, and again when it has caught up', async () => {
    const { site, slow, socket } = await serve(1_000);
    const { last } = await overwhelm(site, socket);
    await site.usercast.notify('ada', 'dropped', {}, { volatile: true });
    slow.ws.resume();
    await expect.poll(() => slow.messages.length).toBe(last);
    await expect
      .poll(async () => {
        await site.usercast.notify('ada', 'volatile', {}, { volatile: true });
        return slow.messages.at(-1);
      })
      .toBe('{"type":"volatile","object":{}}');
    expect(slow.messages.filter((text) => text.includes('dropped'))).toEqual([]);
  });
});

describe('a burst that is larger than what may wait', () => {
  it('reaches a client that reads, whole and in order', async () => {
    const site = await listen({ limits: { maxBufferedBytes: 1_000 } });
    const client = await connectClient(site, { userId: 'ada' });
    await Promise.all(upTo(60).map((n) => site.usercast.notify('ada', 'n', { n, text: 'y'.repeat(400) })));
    await expect.poll(() => client.messages.length).toBe(60);
    expect(client.all('n')).toEqual(upTo(60));
    expect(site.usercast.stats().resets).toBe(0);
  });

  it('may come from the connect event', async () => {
    const site = await listen({ limits: { maxBufferedBytes: 1_000 } });
    site.usercast.on('connect', ({ userId }) => {
      for (const n of upTo(20)) void site.usercast.notify(userId, 'n', { n, text: 'y'.repeat(400) });
    });
    const client = await connectClient(site, { userId: 'ada' });
    await expect.poll(() => client.messages.length).toBe(20);
    expect(client.all('n')).toEqual(upTo(20));
    expect(site.events('error')).toEqual([]);
  });

  it('comes once to every tab when the slow event makes the host publish more', async () => {
    const site = await listen({ limits: { maxBufferedBytes: 1_000 } });
    site.usercast.on('slow', ({ userId }) => {
      if (site.events('slow').length === 1) void site.usercast.notify(userId, 'n', { n: 'slow' });
    });
    const tabs = await Promise.all([1, 2, 3].map(() => connectClient(site, { userId: 'ada' })));
    await Promise.all(upTo(10).map((n) => site.usercast.notify('ada', 'n', { n, text: 'y'.repeat(400) })));
    for (const tab of tabs) {
      await expect.poll(() => tab.messages.length).toBe(11);
      expect(tab.all('n').filter((n) => n !== 'slow')).toEqual(upTo(10));
      expect(tab.messages).toEqual(tabs[0]!.messages);
    }
  });
});
