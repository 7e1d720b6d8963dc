import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, textEvent } from '../support/fixture.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

afterEach(cleanUp);

describe('connect and disconnect', () => {
  it('tell of one session by its id, user, transport and address', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    const info = {
      userId: 'ada',
      sessionId: expect.stringMatching(/^[\w-]{8,}$/),
      transport: 'websocket',
      address: '127.0.0.1',
    };
    expect(site.events('connect')).toEqual([info]);
    client.ws.close(1000, 'bye');
    expect(await site.event('disconnect')).toEqual({
      ...site.events('connect')[0],
      code: 1000,
      reason: 'bye',
    });
    expect(site.told.map(({ name }) => name)).toEqual(['connect', 'disconnect']);
  });

  it('tell of a client that closed without a code, and of one that just went', async () => {
    const site = await listen();
    const [polite, rude] = [
      await connectClient(site, { userId: 'ada' }),
      await connectClient(site, { userId: 'grace' }),
    ];
    polite.ws.close();
    await expect
      .poll(() => site.events('disconnect').map(({ userId, code }) => [userId, code]))
      .toEqual([['ada', 1005]]);
    rude.ws.terminate();
    await expect.poll(() => site.events('disconnect').map(({ code }) => code)).toEqual([1005, 1006]);
  });

  it('come once for each session, whatever ends it', async () => {
    const site = await listen();
    const clients = await Promise.all(
      Array.from({ length: 10 }, (_, i) => connectClient(site, { userId: `user ${i}` })),
    );
    for (const [i, client] of clients.entries()) {
      if (i % 3 === 0) client.ws.close();
      if (i % 3 === 1) client.ws.terminate();
      if (i % 2 === 0) void site.usercast.disconnect(`user ${i}`);
    }
    await site.usercast.close();
    await expect.poll(() => site.events('disconnect').length).toBe(10);
    const ids = (name: 'connect' | 'disconnect') => site.events(name).map(({ sessionId }) => sessionId);
    expect(new Set(ids('disconnect')).size).toBe(10);
    expect(ids('disconnect').sort()).toEqual(ids('connect').sort());
  });
});

describe('the other events', () => {
  it('tell of publishing, acks and refusals', async () => {
    const site = await listen();
    const event = textEvent();
    await site.usercast.publishEvent(['ada', 'grace'], event);
    await site.usercast.publishEvent(['ada', 'linus'], event);
    await site.usercast.notify('ada', 'my.type', {});
    await site.usercast.ack('ada', 'box-1');
    await site.usercast.publishEvent([], textEvent());
    expect(site.events('publish')).toEqual([
      { type: 'msg.text', id: event.id, recipients: 2, duplicates: 0 },
      { type: 'msg.text', id: event.id, recipients: 2, duplicates: 1 },
      { type: 'my.type', id: undefined, recipients: 1, duplicates: 0 },
    ]);
    expect(site.events('ack')).toEqual([{ userId: 'ada', boxId: 'box-1' }]);
    await connectClient(site, { userId: 'ada', token: 'wrong' }).catch(() => {});
    expect(site.events('refuse')).toEqual([
      {
        code: 'token_invalid',
        status: 401,
        detail: 'no such token',
        userId: 'ada',
        address: '127.0.0.1',
        transport: 'websocket',
      },
    ]);
  });

  it('tell of a reset with its reason', async () => {
    const broker = new ScriptedBroker();
    const site = await listen({ broker });
    const client = await connectClient(site, { userId: 'ada' });
    broker.stream('ada').renew();
    await site.usercast.notify('ada', 'n', {});
    await client.closed;
    const [{ sessionId } = { sessionId: '' }] = site.events('connect');
    expect(site.events('reset')).toMatchObject([{ userId: 'ada', sessionId, reason: 'epoch' }]);
  });
});

describe('on and off', () => {
  it('add and remove a listener, and can be chained', async () => {
    const site = await listen();
    const heard: string[] = [];
    const first = ({ type }: { type: string }) => heard.push(`first ${type}`);
    const second = ({ type }: { type: string }) => heard.push(`second ${type}`);
    site.usercast.on('publish', first).on('publish', second);
    await site.usercast.notify('ada', 'a', {});
    expect(site.usercast.off('publish', first)).toBe(site.usercast);
    await site.usercast.notify('ada', 'b', {});
    expect(heard).toEqual(['first a', 'second a', 'second b']);
  });
});

describe('stats', () => {
  it('count what happened, and come to rest at zero', async () => {
    const site = await listen();
    const tabs = [await connectClient(site, { userId: 'ada' }), await connectClient(site, { userId: 'ada' })];
    const event = textEvent();
    await site.usercast.publishEvent(['ada', 'grace'], event);
    await site.usercast.publishEvent(['ada', 'grace'], event);
    tabs[0]!.send('ack', { sender_id: 'ada', box_id: 'box-1' });
    tabs[0]!.ws.send('nonsense');
    await expect.poll(() => tabs[0]!.messages.length).toBe(3);
    await connectClient(site, { userId: 'ada', token: 'wrong' }).catch(() => {});
    expect(site.usercast.stats()).toMatchObject({
      sessions: 2,
      users: 1,
      connects: 2,
      disconnects: 0,
      delivered: 5,
      received: 2,
      slow: 0,
      resets: 0,
      published: 2,
      recipients: 4,
      duplicates: 2,
      acks: 1,
      refused: 1,
      errors: 0,
    });
    const before = site.usercast.stats();
    for (const tab of tabs) tab.ws.close();
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    expect(before.sessions).toBe(2);
    await site.usercast.close();
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, users: 0, connects: 2, disconnects: 2 });
  });

  it('come to rest at zero after clients that left in the middle of a handshake', async () => {
    const broker = new ScriptedBroker();
    const site = await listen({ broker });
    for (let i = 0; i < 20; i++) {
      let leave: () => void = () => {};
      broker.before = () => leave();
      const connecting = connectClient(site, { userId: `user ${i}` });
      const isLate = i % 2 === 0;
      broker.after = async (call) => {
        if (call === 'read' && isLate) await new Promise((resolve) => setImmediate(resolve));
      };
      leave = () => site.server.closeAllConnections();
      const client = await connecting.catch(() => null);
      client?.ws.terminate();
    }
    broker.before = broker.after = () => {};
    await expect.poll(() => site.usercast.stats()).toMatchObject({ sessions: 0, users: 0 });
    const { connects, disconnects } = site.usercast.stats();
    expect(disconnects).toBe(connects);
    await expect.poll(() => broker.unsubscribed).toBe(broker.calls.subscribe);
  });
});

describe('health', () => {
  it('is ok while the broker is ready and nothing is draining', async () => {
    const broker = new ScriptedBroker();
    const site = await listen({ broker });
    expect(site.usercast.health()).toEqual({ ok: true, broker: 'ready', draining: false });
    for (const status of ['lost', 'connecting'] as const) {
      broker.status = status;
      expect(site.usercast.health()).toEqual({ ok: false, broker: status, draining: false });
    }
    broker.status = 'ready';
    await site.usercast.close();
    expect(site.usercast.health()).toEqual({ ok: false, broker: 'ready', draining: true });
  });
});
