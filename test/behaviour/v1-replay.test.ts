// From replay to live over real sockets: while others publish and ack, past one page of history, past what a client reads.

import type { Socket } from 'node:net';
import { memoryBroker, memoryCounters, type TokenVerifier } from 'usercast';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { cleanUp, connectV1, listen, type Site, testVerifier, textEvent, type V1Client } from '../support/fixture.ts';
import { Gate, settled } from '../support/scripted-broker.ts';
import { seededRandom } from '../support/seed.ts';

afterEach(cleanUp);

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function publish(site: Site, from: number, to: number, text = ''): Promise<void> {
  for (const n of range(from, to)) await site.usercast.notify('ada', 'n', { n, text });
}

/** Goes on in the background, until it is told to stop. */
function publishing(site: Site, from: number) {
  let n = from - 1;
  let isOver = false;
  const over = (async () => {
    const random = seededRandom(from);
    while (!isOver) {
      await site.usercast.notify('ada', 'n', { n: ++n });
      if (random() < 0.3) await new Promise((resolve) => setImmediate(resolve));
    }
    return n;
  })();
  return () => {
    isOver = true;
    return over;
  };
}

describe('a resume while others publish', () => {
  it('brings every message once and in order, however often the client drops', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 1_000_000 } }) });
    const random = seededRandom(7);
    const stop = publishing(site, 1);
    const got: unknown[] = [];
    let cursor = await site.usercast.cursor('ada');
    for (let life = 0; life < 60; life++) {
      const client = await connectV1(site, { userId: 'ada', cursor });
      expect(await client.ready()).toMatchObject({ resumed: true, cursor });
      await client.read(Math.floor(random() * 150));
      client.ws.terminate();
      await client.closed;
      got.push(...client.reader.all('n'));
      cursor = client.reader.cursor!;
    }
    const last = await stop();
    const client = await connectV1(site, { userId: 'ada', cursor });
    const first = got[0] as number;
    await client.read(last - first + 1 - got.length);
    got.push(...client.reader.all('n'));
    expect(got).toEqual(range(first, last));
    expect(site.usercast.stats().resets).toBe(0);
  });

  it('brings more than a page of history, and then goes on live', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 1_000_000 } }) });
    const cursor = await site.usercast.cursor('ada');
    await publish(site, 1, 950);
    const stop = publishing(site, 951);
    const clients = await Promise.all(range(1, 5).map(() => connectV1(site, { userId: 'ada', cursor })));
    for (const client of clients) {
      expect(await client.ready()).toMatchObject({ resumed: true, cursor });
      await client.read(990);
    }
    const last = await stop();
    for (const client of clients) {
      await client.read(last);
      expect(client.reader.all('n')).toEqual(range(1, last));
      expect(client.reader.resets).toEqual([]);
    }
  });

  it('is all or nothing: what history no longer holds is a reset, and nothing from before it is sent', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 50 } }) });
    const cursor = await site.usercast.cursor('ada');
    await publish(site, 1, 51);
    const client = await connectV1(site, { userId: 'ada', cursor });
    expect(await client.ready()).toMatchObject({ resumed: false, reset: 'trimmed' });
    await publish(site, 52, 52);
    await client.read(1);
    expect(client.reader.all('n')).toEqual([52]);
  });
});

describe('the counts of a client, by the rule', () => {
  const boxes = ['box-1', 'box-2', 'box-3'];

  /** Publishes, mutes, acks and notifies at random. */
  async function disturb(site: Site, random: () => number, times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const box_id = boxes[Math.floor(random() * boxes.length)]!;
      const kind = random();
      if (kind < 0.15) await site.usercast.ack('ada', box_id);
      else if (kind < 0.25) await site.usercast.notify('ada', 'n', { box_id });
      else {
        const type = kind < 0.35 ? 'msg.delete' : 'msg.text';
        const muted = kind > 0.9 ? ['ada'] : [];
        const changes = type === 'msg.delete' ? { type, referrer_id: 'x' } : {};
        await site.usercast.publishEvent('ada', textEvent({ box_id, ...changes }) as never, { muted });
      }
      if (random() < 0.4) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('are those of the server, whenever and wherever it came in', async () => {
    const site = await listen({ broker: memoryBroker({ history: { messages: 300 } }) });
    const random = seededRandom(11);
    const clients: V1Client[] = [];
    let cursor: string | undefined;
    const publishers = range(1, 4).map((salt) => disturb(site, seededRandom(salt), 150));
    for (let i = 0; i < 15; i++) {
      const client = await connectV1(site, { userId: 'ada', ...(cursor && random() < 0.7 ? { cursor } : {}) });
      await client.ready();
      clients.push(client);
      if (random() < 0.3) client.send('ack', { sender_id: 'ada', box_id: boxes[Math.floor(random() * 3)]! });
      if (cursor === undefined || random() < 0.3) cursor = client.reader.cursor!;
    }
    await Promise.all(publishers);
    const top = await site.usercast.cursor('ada');
    const counts = await site.usercast.counts('ada');
    for (const client of clients) {
      await expect.poll(() => client.reader.cursor).toBe(top);
      expect(client.reader.counts).toEqual(counts);
    }
  });

  it('are whole again after a store beside the broker was asked in a quiet moment', async () => {
    const site = await listen({ counters: memoryCounters() });
    await disturb(site, seededRandom(5), 60);
    const client = await connectV1(site, { userId: 'ada' });
    const { counts } = await client.ready();
    expect(counts).toEqual(await site.usercast.counts('ada'));
    await disturb(site, seededRandom(6), 60);
    const top = await site.usercast.cursor('ada');
    await expect.poll(() => client.reader.cursor).toBe(top);
    expect(client.reader.counts).toEqual(await site.usercast.counts('ada'));
  });
});

describe('the tabs of one user that come back at once', () => {
  it('share reads that have not been sent', async () => {
    const broker = memoryBroker();
    let verified = 0;
    const verifier: TokenVerifier = {
      verify: (...given) => {
        verified++;
        return testVerifier.verify(...given);
      },
    };
    const site = await listen({ broker, verifier });
    const cursor = await site.usercast.cursor('ada');
    await publish(site, 1, 5);
    const answer = broker.read.bind(broker);
    const gate = new Gate();
    const read = vi.spyOn(broker, 'read').mockImplementation(async (...args) => {
      await gate.pass();
      return answer(...args);
    });
    const coming = Promise.all(range(1, 20).map(() => connectV1(site, { userId: 'ada', cursor })));
    await expect.poll(() => verified).toBe(20);
    await settled();
    gate.open();
    for (const tab of await coming) {
      expect(await tab.ready()).toMatchObject({ resumed: true });
      await tab.read(5);
      expect(tab.reader.all('n')).toEqual(range(1, 5));
    }
    expect(read.mock.calls.length).toBeLessThanOrEqual(5);
  });
});

describe('a slow client', () => {
  const MAX_BUFFERED = 262_144;
  const TEXT = 'x'.repeat(100_000);

  async function stalled(historyMessages: number) {
    const site = await listen({
      broker: memoryBroker({ history: { messages: historyMessages } }),
      limits: { maxBufferedBytes: MAX_BUFFERED },
    });
    const sockets: Socket[] = [];
    site.server.on('connection', (socket) => sockets.push(socket));
    const client = await connectV1(site, { userId: 'ada' });
    await client.ready();
    client.ws.pause();
    const [socket] = sockets;
    let last = 0;
    let maxBuffered = 0;
    for (let more = 30; more > 0; ) {
      last++;
      await publish(site, last, last, TEXT);
      await new Promise((resolve) => setImmediate(resolve));
      maxBuffered = Math.max(maxBuffered, socket!.writableLength);
      if (site.events('slow').length > 0) more--;
      else if (last > 500) throw new Error('the operating system takes everything');
    }
    expect(maxBuffered).toBeLessThan(MAX_BUFFERED + TEXT.length + 1_000);
    return { site, client, last };
  }

  it('catches up whole where the history reaches, volatile messages apart, and is live again', async () => {
    const { site, client, last } = await stalled(1_000);
    await site.usercast.notify('ada', 'psst', {}, { volatile: true });
    client.ws.resume();
    await client.read(last);
    await publish(site, last + 1, last + 1);
    await client.read(last + 1);
    expect(client.reader.all('n')).toEqual(range(1, last + 1));
    expect(client.reader.resets).toEqual([]);
    expect(client.reader.told('psst')).toEqual([]);
    expect(site.usercast.stats()).toMatchObject({ slow: 1, resets: 0 });
  });

  it('is told of a reset where it does not reach, with the counts of that moment, and stays', async () => {
    const { site, client, last } = await stalled(5);
    await site.usercast.publishEvent('ada', textEvent({ box_id: 'box-7' }));
    client.ws.resume();
    await expect.poll(() => client.reader.resets.length).toBeGreaterThan(0);
    const [reset] = client.reader.resets;
    expect(reset).toEqual({
      reason: 'lagging',
      cursor: await site.usercast.cursor('ada'),
      counts: { 'box-7': 1 },
    });
    const before = client.reader.all('n');
    expect(before).toEqual(range(1, before.length));
    expect(before.length).toBeLessThan(last);
    await publish(site, last + 1, last + 1);
    await expect.poll(() => client.reader.all('n').at(-1)).toBe(last + 1);
    expect(client.reader.stored).toHaveLength(before.length + 1);
    expect(client.ws.readyState).toBe(client.ws.OPEN);
    expect(site.events('reset')).toMatchObject([{ reason: 'lagging' }]);
  });

  it('is told why it is closed, though there is no room', async () => {
    const { site, client } = await stalled(1_000);
    await site.usercast.disconnect('ada');
    client.ws.resume();
    expect((await client.closed).code).toBe(4403);
    expect(JSON.parse(client.messages.at(-1)!)).toMatchObject({ type: 'session.closing', object: { code: 4403 } });
  });
});
