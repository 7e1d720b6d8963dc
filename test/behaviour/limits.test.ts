import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, Refused, type Site, type TestClient, tokenFor } from '../support/fixture.ts';
import { clientFrame, RawClient, upgradeText } from '../support/raw-client.ts';

afterEach(cleanUp);

const ack = { sender_id: 'ada', box_id: 'box' };

async function refusal(connecting: Promise<unknown>): Promise<Refused> {
  const outcome = await connecting.catch((cause: unknown) => cause);
  expect(outcome).toBeInstanceOf(Refused);
  return outcome as Refused;
}

describe('connections', () => {
  it.each([
    ['maxConnections', 503, 'overloaded', ['ada', 'grace', 'linus']],
    ['maxConnectionsPerUser', 429, 'too many connections', ['ada', 'ada', 'ada']],
    ['maxConnectionsPerAddress', 429, 'too many connections', ['ada', 'grace', 'linus']],
  ] as const)(
    'above %s are refused with %i, and taken again when one has left',
    async (limit, status, title, users) => {
      const site = await listen({ limits: { [limit]: 2 } });
      const first = await connectClient(site, { userId: users[0] });
      await connectClient(site, { userId: users[1] });
      const refused = await refusal(connectClient(site, { userId: users[2] }));
      expect(refused).toMatchObject({ status, problem: { title } });
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect(await site.event('refuse')).toMatchObject({ status, userId: users[2] });
      first.ws.close();
      await expect.poll(() => site.usercast.stats().sessions).toBe(1);
      await connectClient(site, { userId: users[2] });
    },
  );

  it('are counted for a user only on this process’s own account: 20 by default', async () => {
    const site = await listen();
    const outcomes = await Promise.allSettled(Array.from({ length: 25 }, () => connectClient(site, { userId: 'ada' })));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    expect(site.usercast.stats()).toMatchObject({ sessions: 20, refused: 5, users: 1 });
  });

  it('are not limited by 0', async () => {
    const site = await listen({ limits: { maxConnections: 0, maxConnectionsPerUser: 0, maxConnectionsPerAddress: 0 } });
    await Promise.all(Array.from({ length: 25 }, () => connectClient(site, { userId: 'ada' })));
  });
});

describe('a message from a client', () => {
  async function open(options = {}): Promise<{ site: Site; client: TestClient }> {
    const site = await listen(options);
    return { site, client: await connectClient(site, { userId: 'ada' }) };
  }

  it('of the greatest size is taken, and one byte more closes with 1009', async () => {
    const { site, client } = await open({ limits: { maxMessageBytes: 200 } });
    const text = JSON.stringify({ type: 'ack', object: ack });
    client.ws.send(text.padEnd(200));
    await site.event('ack');
    client.ws.send(text.padEnd(201));
    expect((await client.closed).code).toBe(1009);
    expect(await site.event('disconnect')).toMatchObject({ code: 1009 });
    expect(site.events('ack')).toHaveLength(1);
  });

  it('in many small fragments is measured as a whole', async () => {
    const { client } = await open({ limits: { maxMessageBytes: 200 } });
    for (let i = 0; i < 30; i++) client.ws.send('x'.repeat(10), { fin: false });
    expect((await client.closed).code).toBe(1009);
  });

  it('that is not UTF-8 closes with 1007', async () => {
    const { site, client } = await open();
    client.ws.send(Buffer.from([0x22, 0xff, 0x22]), { binary: false });
    expect((await client.closed).code).toBe(1007);
    expect(await site.event('disconnect')).toMatchObject({ code: 1007 });
  });

  it('that breaks the WebSocket protocol closes with 1002', async () => {
    const site = await listen();
    const peer = new RawClient(site.port).send(
      upgradeText('/box-users/ada/ws', { headers: { Authorization: `Bearer ${tokenFor('ada')}` } }),
    );
    await peer.response();
    peer.send(clientFrame(0x3, 'reserved'));
    await expect.poll(() => peer.received.subarray(-4).toString('latin1')).toBe('\x88\x02\x03\xea');
    expect(await site.event('disconnect')).toMatchObject({ code: 1002 });
    peer.socket.destroy();
  });

  it.each([
    ['not_text', Buffer.from('{}')],
    ['bad_json', '{'],
    ['invalid_message', '"ack"'],
    ['invalid_message', '{"type":"ack","object":[]}'],
    ['unknown_type', '{"type":"event.new","object":{}}'],
    ['invalid_object', '{"type":"ack","object":{"sender_id":"ada","box_id":""}}'],
    ['invalid_object', JSON.stringify({ type: 'ack', object: { sender_id: 'ada', box_id: 'x'.repeat(257) } })],
    ['wrong_sender', '{"type":"ack","object":{"sender_id":"grace","box_id":"box"}}'],
  ])('that is wrong is answered with %s, and the connection stays', async (code, data) => {
    const { site, client } = await open();
    client.ws.send(data);
    expect(await client.next()).toEqual({ type: 'error', object: { code, message: expect.any(String) } });
    client.send('ack', ack);
    expect(await client.next()).toEqual({ type: 'ack', object: ack });
    expect(site.events('ack')).toHaveLength(1);
  });

  it('that is wrong again and again closes with 1008', async () => {
    const { client } = await open();
    for (let i = 0; i < 12; i++) client.ws.send('nonsense');
    expect(await client.closed).toEqual({ code: 1008, reason: 'repeated bad messages' });
    expect(client.messages.map((text) => JSON.parse(text).object.code)).toEqual(new Array(10).fill('bad_json'));
  });

  it('above the rate closes with 4429', async () => {
    const { site, client } = await open({ limits: { messagesPerSecond: 2 } });
    const startMs = performance.now();
    for (let i = 0; i < 40; i++) client.send('ack', ack);
    expect(await client.closed).toEqual({ code: 4429, reason: 'too many messages' });
    const seconds = (performance.now() - startMs) / 1_000;
    expect(site.usercast.stats().acks).toBeLessThanOrEqual(9 + 2 * seconds);
    expect(site.usercast.stats().acks).toBeGreaterThanOrEqual(8);
  });

  it('comes at any rate where the limit is 0', async () => {
    const { site, client } = await open({ limits: { messagesPerSecond: 0 } });
    for (let i = 0; i < 200; i++) client.send('ack', ack);
    await expect.poll(() => site.usercast.stats().acks).toBe(200);
  });
});
