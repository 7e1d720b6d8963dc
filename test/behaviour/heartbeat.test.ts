import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, tokenFor } from '../support/fixture.ts';
import { clientFrame, RawClient, upgradeText } from '../support/raw-client.ts';

afterEach(cleanUp);

const heartbeat = { intervalMs: 300 };

describe('the heartbeat', () => {
  it('pings, and keeps a client that answers', async () => {
    const site = await listen({ heartbeat });
    const client = await connectClient(site, { userId: 'ada' });
    let pings = 0;
    client.ws.on('ping', () => pings++);
    await expect.poll(() => pings).toBeGreaterThanOrEqual(4);
    expect(site.usercast.stats().sessions).toBe(1);
  });

  it('ends a client without a life sign with 4408', async () => {
    const site = await listen({ heartbeat });
    const client = await connectClient(site, { userId: 'ada', ws: { autoPong: false } });
    expect(await client.closed).toEqual({ code: 4408, reason: 'no life sign' });
    expect(await site.event('disconnect')).toMatchObject({ code: 4408 });
  });

  it('takes anything that a client sends for a life sign', async () => {
    const site = await listen({ heartbeat });
    const client = await connectClient(site, { userId: 'ada', ws: { autoPong: false } });
    let pings = 0;
    client.ws.on('ping', () => {
      pings++;
      if (pings % 2 === 0) client.ws.ping();
      else client.send('ack', { sender_id: 'ada', box_id: 'box' });
    });
    await expect.poll(() => pings).toBeGreaterThanOrEqual(4);
    expect(client.ws.readyState).toBe(client.ws.OPEN);
  });

  it('cuts a peer that is gone without a word, and lets go of all that it held', async () => {
    const site = await listen({ heartbeat });
    const peer = new RawClient(site.port).send(
      upgradeText('/box-users/ada/ws', { headers: { Authorization: `Bearer ${tokenFor('ada')}` } }),
    );
    await peer.response();
    await expect.poll(() => site.usercast.stats().sessions).toBe(1);
    peer.socket.pause();
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    expect(await site.event('disconnect')).toMatchObject({ code: 4408 });
    peer.socket.destroy();
  });

  it('kills nobody after the event loop was blocked for longer than an interval', async () => {
    const site = await listen({ heartbeat });
    const client = await connectClient(site, { userId: 'ada' });
    let pings = 0;
    client.ws.on('ping', () => {
      if (++pings !== 2) return;
      // The pong is on its way, and this process does not get to read it before the next ping is due.
      const untilMs = performance.now() + 1_700;
      while (performance.now() < untilMs);
    });
    await expect.poll(() => pings).toBeGreaterThanOrEqual(5);
    expect(site.events('disconnect')).toEqual([]);
  });

  it('answers the pings of a client', async () => {
    const site = await listen();
    const peer = new RawClient(site.port).send(
      upgradeText('/box-users/ada/ws', { headers: { Authorization: `Bearer ${tokenFor('ada')}` } }),
    );
    await peer.response();
    peer.send(clientFrame(0x9, 'hi'));
    await expect.poll(() => peer.received.subarray(-4).toString('latin1')).toBe('\x8a\x02hi');
    peer.socket.destroy();
  });
});
