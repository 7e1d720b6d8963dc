// How a session on `usercast.v1` begins: what is selected, what `session.ready` says, and what becomes of each cursor.

import { type MemoryBrokerOptions, memoryBroker, UsercastError } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeCursor, encodeCursor, type Position } from '../../src/protocol/cursor.ts';
import { cleanUp, connectClient, connectV1, listen, type Site, textEvent, tokenFor } from '../support/fixture.ts';

afterEach(cleanUp);

const bearer = (token: string) => `usercast.bearer.${Buffer.from(token).toString('base64url')}`;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function publish(site: Site, from: number, to: number): Promise<void> {
  for (const n of range(from, to)) await site.usercast.notify('ada', 'n', { n });
}

/** A site with `count` messages, and the cursor of each; the one at 0 is from before the first. */
async function siteWith(count: number, options: MemoryBrokerOptions = {}) {
  const site = await listen({ broker: memoryBroker(options) });
  const cursors = [await site.usercast.cursor('ada')];
  for (const n of range(1, count)) {
    await publish(site, n, n);
    cursors.push(await site.usercast.cursor('ada'));
  }
  return { site, cursors };
}

const forge = (cursor: string, changes: Partial<Position>): string =>
  encodeCursor({ ...(decodeCursor(cursor) as Position), ...changes });

describe('the handshake', () => {
  it.each([
    [['usercast.v1'], 'usercast.v1'],
    [['usercast.plain'], 'usercast.plain'],
    [['usercast.plain', 'usercast.v1'], 'usercast.v1'],
    [['usercast.v1', 'usercast.plain'], 'usercast.v1'],
    [['chat', 'usercast.v1'], 'usercast.v1'],
  ])('of %j selects %s', async (protocols, selected) => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada', protocols });
    expect(client.ws.protocol).toBe(selected);
  });

  it.each(['usercast.v1', 'usercast.plain'])('takes the token beside %s, and never echoes it', async (protocol) => {
    const site = await listen();
    const token = bearer(tokenFor('ada'));
    for (const protocols of [
      [token, protocol],
      [protocol, token],
    ]) {
      const client = await connectClient(site, { userId: 'ada', protocols, headers: { Authorization: '' } });
      expect(client.ws.protocol).toBe(protocol);
    }
  });

  it('gives a client that offers no protocol of ours the plain wire: no session.ready, no cursor', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    await publish(site, 1, 1);
    expect(await client.nextText()).toBe('{"type":"n","object":{"n":1}}');
    expect(client.ws.protocol).toBe('');
    expect(client.messages).toHaveLength(1);
  });
});

describe('session.ready', () => {
  it('is the first message, with the session, the head, the counts, the pings and the end of the token', async () => {
    const site = await listen({ heartbeat: { pingMs: 12_345 } });
    await site.usercast.publishEvent('ada', textEvent({ box_id: 'box-1' }));
    await site.usercast.publishEvent('ada', textEvent({ box_id: 'box-1' }));
    const expiresAt = Date.now() + 3_600_000;
    const token = tokenFor('ada', { expiresAt });
    const client = await connectV1(site, { userId: 'ada', token });
    const ready = await client.ready();
    const head = await site.usercast.cursor('ada');
    expect(ready).toEqual({
      session_id: (await site.event('connect')).sessionId,
      resumed: false,
      cursor: head,
      head,
      counts: { 'box-1': 2 },
      ping_ms: 12_345,
      expires_at: new Date(expiresAt).toISOString(),
    });
    expect(Object.keys(JSON.parse(client.messages[0]!))).toEqual(['type', 'object']);
  });

  it('says null of a token that never ends', async () => {
    const site = await listen();
    const client = await connectV1(site, { userId: 'ada' });
    expect((await client.ready()).expires_at).toBeNull();
  });

  it('is first also for what is published, and said, before it could be sent', async () => {
    const site = await listen();
    site.usercast.on('connect', ({ userId }) => {
      void site.usercast.notify(userId, 'n', { n: 1 });
      void site.usercast.notify(userId, 'psst', {}, { volatile: true });
    });
    const client = await connectV1(site, { userId: 'ada' });
    await client.read(1);
    expect(client.reader.all('n')).toEqual([1]);
    expect(site.events('error')).toEqual([]);
  });

  it('is first, and then session.closing, where the host disconnects the user when it connects', async () => {
    const site = await listen();
    await publish(site, 1, 3);
    site.usercast.on('connect', ({ userId }) => void site.usercast.disconnect(userId, { reason: 'out' }));
    const client = await connectV1(site, { userId: 'ada' });
    expect(await client.closed).toEqual({ code: 4403, reason: 'out' });
    const types = client.messages.map((text) => JSON.parse(text).type);
    expect(types).toEqual(['session.ready', 'session.closing']);
    expect(site.events('error')).toEqual([]);
  });

  it('is first where the reset event makes the host disconnect the user', async () => {
    const site = await listen();
    site.usercast.on('reset', ({ userId }) => void site.usercast.disconnect(userId));
    const client = await connectV1(site, { userId: 'ada', cursor: 'of-somewhere-else' });
    expect((await client.closed).code).toBe(4403);
    expect(client.messages.map((text) => JSON.parse(text).type)).toEqual(['session.ready', 'session.closing']);
    expect(site.events('error')).toEqual([]);
  });
});

describe('a stored message', () => {
  it('has its cursor, and says whether it counted; the plain form of it is in it as it is', async () => {
    const site = await listen();
    const client = await connectV1(site, { userId: 'ada' });
    const plain = await connectClient(site, { userId: 'ada' });
    const event = textEvent({ content: { text: '…"cursor":"----------------------------------" ' } });
    await site.usercast.publishEvent('ada', event);
    const first = await site.usercast.cursor('ada');
    await site.usercast.publishEvent('ada', textEvent({ id: 'muted' }), { muted: ['ada'] });
    const second = await site.usercast.cursor('ada');
    await client.read(2);
    const [one, two] = client.messages.slice(1);
    await expect.poll(() => plain.messages.length).toBe(2);
    expect(one).toBe(`${plain.messages[0]!.slice(0, -1)},"cursor":"${first}","unread":true}`);
    expect(two).toBe(`${plain.messages[1]!.slice(0, -1)},"cursor":"${second}"}`);
  });
});

describe('a cursor', () => {
  it('of the top is resumed, and there is nothing to replay', async () => {
    const { site, cursors } = await siteWith(5);
    const client = await connectV1(site, { userId: 'ada', cursor: cursors[5]! });
    expect(await client.ready()).toMatchObject({ resumed: true, cursor: cursors[5], head: cursors[5] });
    await publish(site, 6, 6);
    await client.read(1);
    expect(client.reader.all('n')).toEqual([6]);
  });

  it.each([0, 1, 4])('of message %d is resumed after it, up to the head', async (n) => {
    const { site, cursors } = await siteWith(5);
    const client = await connectV1(site, { userId: 'ada', cursor: cursors[n]! });
    const ready = await client.ready();
    expect(ready).toMatchObject({ resumed: true, cursor: cursors[n], head: cursors[5] });
    expect(ready).not.toHaveProperty('reset');
    await client.read(5 - n);
    expect(client.reader.all('n')).toEqual(range(n + 1, 5));
    expect(client.reader.stored.map(({ cursor }) => cursor)).toEqual(cursors.slice(n + 1));
  });

  it('of the last message before those that are kept is resumed, and the one before it is not', async () => {
    const { site, cursors } = await siteWith(8, { history: { messages: 3, ageMs: 60_000 } });
    const whole = await connectV1(site, { userId: 'ada', cursor: cursors[5]! });
    expect(await whole.ready()).toMatchObject({ resumed: true });
    await whole.read(3);
    expect(whole.reader.all('n')).toEqual([6, 7, 8]);
    const trimmed = await connectV1(site, { userId: 'ada', cursor: cursors[4]! });
    expect(await trimmed.ready()).toMatchObject({ resumed: false, reset: 'trimmed' });
  });

  it('is resumed on another connection than the one that it came over, whatever that was', async () => {
    const { site, cursors } = await siteWith(2);
    const client = await connectV1(site, { userId: 'ada', cursor: cursors[1]! });
    await client.read(1);
    client.ws.terminate();
    await publish(site, 3, 4);
    const next = await connectV1(site, { userId: 'ada', cursor: client.reader.cursor! });
    await next.read(2);
    expect(next.reader.all('n')).toEqual([3, 4]);
  });

  const changes: [string, string, (cursors: readonly string[], site: Site) => string | Promise<string>][] = [
    ['whose tag was forged', 'rollback', (cursors) => forge(cursors[2]!, { tag: 'forged00' })],
    ['of the top whose tag was forged', 'rollback', (cursors) => forge(cursors[5]!, { tag: 'forged00' })],
    ['whose offset was forged', 'rollback', (cursors) => forge(cursors[2]!, { offset: 3 })],
    ['beyond the top', 'rollback', (cursors) => forge(cursors[5]!, { offset: 6 })],
    ['far beyond the top', 'rollback', (cursors) => forge(cursors[5]!, { offset: Number.MAX_SAFE_INTEGER })],
    ['of another epoch', 'epoch', (cursors) => forge(cursors[2]!, { epoch: 'another-epoch---' })],
    [
      "of another user's stream",
      'epoch',
      async (_, site) => {
        await site.usercast.notify('grace', 'n', {});
        return site.usercast.cursor('grace');
      },
    ],
    ['that is garbage', 'epoch', () => 'garbage'],
    ['of 64 characters', 'epoch', () => 'x'.repeat(64)],
    ['of a version to come', 'epoch', (cursors) => `2${cursors[2]!.slice(1)}`],
    ['of an offset that is no number', 'epoch', (cursors) => cursors[2]!.replace(/(?<=^.{17}).{9}/, '_________')],
  ];

  it.each(changes)('%s is a reset for that client alone: %s', async (_, reason, cursorOf) => {
    const { site, cursors } = await siteWith(5);
    const other = await connectV1(site, { userId: 'ada', cursor: cursors[4]! });
    await other.read(1);
    await site.usercast.publishEvent('ada', textEvent());
    const cursor = await cursorOf(cursors, site);
    const client = await connectV1(site, { userId: 'ada', cursor });
    const ready = await client.ready();
    const top = await site.usercast.cursor('ada');
    expect(ready).toMatchObject({ resumed: false, reset: reason, cursor: top, head: top });
    expect(ready.counts).toEqual(await site.usercast.counts('ada'));
    expect(site.events('reset')).toMatchObject([{ userId: 'ada', sessionId: ready.session_id, reason }]);
    await publish(site, 7, 7);
    await client.read(1);
    expect(client.reader.all('n')).toEqual([7]);
    await other.read(3);
    expect(other.reader.resets).toEqual([]);
  });

  it('of a stream that was erased since is a reset, and so it is for whoever was on it', async () => {
    const { site, cursors } = await siteWith(5);
    const other = await connectV1(site, { userId: 'ada', cursor: cursors[5]! });
    await other.ready();
    await site.usercast.forget('ada');
    const client = await connectV1(site, { userId: 'ada', cursor: cursors[5]! });
    expect(await client.ready()).toMatchObject({ resumed: false, reset: 'epoch', counts: {} });
    await publish(site, 1, 1);
    for (const one of [client, other]) {
      await one.read(1);
      expect(one.reader.all('n')).toEqual([1]);
    }
    expect(other.reader.resets).toMatchObject([{ reason: 'epoch', counts: {} }]);
  });

  it('whose messages are too old is a reset, and one of the top is not', async () => {
    const { site, cursors } = await siteWith(3, { history: { messages: 100, ageMs: 50 } });
    const reset = async () => {
      const client = await connectV1(site, { userId: 'ada', cursor: cursors[1]! });
      const { reset } = await client.ready();
      client.ws.terminate();
      return reset;
    };
    await expect.poll(reset).toBe('trimmed');
    const whole = await connectV1(site, { userId: 'ada', cursor: cursors[3]! });
    expect(await whole.ready()).toMatchObject({ resumed: true });
  });

  it.each(['x'.repeat(65), 'no spaces', 'ä', 'a.b', '1'.repeat(1_000)])(
    'that is malformed, such as %j, is refused with 4400',
    async (cursor) => {
      const site = await listen();
      const client = await connectV1(site, { userId: 'ada', cursor });
      expect(await client.closed).toEqual({ code: 4400, reason: 'malformed cursor' });
      expect(client.messages).toEqual([]);
      await expect(connectClient(site, { userId: 'ada', cursor })).rejects.toMatchObject({ status: 400 });
      expect(site.usercast.stats().sessions).toBe(0);
    },
  );
});

describe('a plain client with a cursor', () => {
  it('gets what it missed, in the plain form, and then what comes', async () => {
    const { site, cursors } = await siteWith(5);
    const client = await connectClient(site, { userId: 'ada', cursor: cursors[2]! });
    await publish(site, 6, 6);
    await expect.poll(() => client.messages.length).toBe(4);
    expect(client.messages).toEqual(range(3, 6).map((n) => `{"type":"n","object":{"n":${n}}}`));
  });

  it.each(['garbage', 'trimmed'])('that is %s is closed with 4410 before any message', async (kind) => {
    const { site, cursors } = await siteWith(9, { history: { messages: 2, ageMs: 60_000 } });
    const client = await connectClient(site, { userId: 'ada', cursor: kind === 'garbage' ? kind : cursors[3]! });
    expect(await client.closed).toEqual({ code: 4410, reason: 'messages lost' });
    expect(client.messages).toEqual([]);
    expect(site.events('reset')).toMatchObject([{ reason: kind === 'garbage' ? 'epoch' : 'trimmed' }]);
  });
});

describe('a client that offered usercast.v1 and may not come in', () => {
  const verifier = {
    verify: async (token: string) => {
      if (token === 'away') throw new UsercastError('verifier_unavailable', 'away');
      if (token === 'ended') return { userId: 'ada', expiresAt: Date.now() - 1_000 };
      return { userId: token };
    },
  };

  it.each([
    ['a token that is missing', { token: '' }, 4401],
    ['a token that has ended', { token: 'ended' }, 4401],
    ["another user's token", { token: 'grace' }, 4403],
    ['an origin that is not allowed', { token: 'ada', headers: { Origin: 'https://elsewhere.example' } }, 4403],
    ['a verifier that is away', { token: 'away' }, 1013],
    ['a user id that is too long', { token: 'ada', userId: 'x'.repeat(300) }, 4400],
  ])('gets 101 and then the close code alone, for %s', async (_, options, code) => {
    const site = await listen({ verifier });
    const client = await connectV1(site, { userId: 'ada', ...options });
    expect((await client.closed).code).toBe(code);
    expect(client.ws.protocol).toBe('usercast.v1');
    expect(client.messages).toEqual([]);
    expect(site.events('connect')).toEqual([]);
    expect(site.events('refuse')).toHaveLength(1);
  });

  it('gets 4429 where the user has too many connections', async () => {
    const site = await listen({ limits: { maxConnectionsPerUser: 1 } });
    await (await connectV1(site, { userId: 'ada' })).ready();
    const client = await connectV1(site, { userId: 'ada' });
    expect((await client.closed).code).toBe(4429);
    expect(client.messages).toEqual([]);
  });

  it('gets 1013 where too many handshakes come at a time', async () => {
    const site = await listen({ limits: { handshakesPerSecond: 1 } });
    const clients = await Promise.all(['ada', 'grace', 'linus'].map((userId) => connectV1(site, { userId })));
    const refused = await Promise.race(
      clients.map(async (client) => ({ ...(await client.closed), messages: client.messages })),
    );
    expect(refused).toMatchObject({ code: 1013, messages: [] });
    expect(site.usercast.stats().sessions).toBeGreaterThan(0);
  });

  it('gets 1012 while the process drains', async () => {
    const site = await listen();
    const stays = await connectClient(site, { userId: 'ada' });
    stays.ws.pause();
    const drained = site.usercast.drain({ withinMs: 60_000 });
    const client = await connectV1(site, { userId: 'ada' });
    expect((await client.closed).code).toBe(1012);
    expect(client.messages).toEqual([]);
    stays.ws.resume();
    await drained;
  });
});
