// What goes on beside the messages of a `usercast.v1` session: pings, the end of the token and a new one, errors, and the
// last word before a close.

import { type TokenVerifier, UsercastError } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import {
  cleanUp,
  connectClient,
  connectV1,
  endOf,
  listen,
  type Site,
  shortTokenFor,
  tokenFor,
  type V1Client,
} from '../support/fixture.ts';

afterEach(cleanUp);

const isoTime = (epochMs: number) => new Date(epochMs).toISOString();

async function ready(site: Site, options: { token?: string; cursor?: string } = {}): Promise<V1Client> {
  const client = await connectV1(site, { userId: 'ada', ...options });
  await client.ready();
  return client;
}

/** What came last before the close, and the close. */
async function ending(client: V1Client) {
  const close = await client.closed;
  return { close, last: JSON.parse(client.messages.at(-1)!) };
}

describe('session.ping', () => {
  it('comes after ping_ms of silence, again and again', async () => {
    const site = await listen({ heartbeat: { pingMs: 400 } });
    const client = await ready(site);
    await expect.poll(() => client.reader.told('session.ping').length).toBeGreaterThanOrEqual(3);
    expect(client.reader.told('session.ping')[0]).toEqual({ type: 'session.ping', object: {} });
    expect(client.reader.cursor).toBe(client.reader.ready!.cursor);
  });

  it('does not come while there is something else to send, nor ever to a plain client', async () => {
    const pingMs = 800;
    const site = await listen({ heartbeat: { pingMs } });
    const client = await ready(site);
    const plain = await connectClient(site, { userId: 'ada' });
    let [n, silences, lastMs] = [0, 0, performance.now()];
    for (const endMs = lastMs + 2 * pingMs; lastMs < endMs; ) {
      await site.usercast.notify('ada', 'n', { n: ++n });
      await client.read(n);
      const nowMs = performance.now();
      // A busy machine may have this process stand still for a while.
      if (nowMs - lastMs > pingMs / 2) silences++;
      lastMs = nowMs;
    }
    expect(client.reader.told('session.ping').length).toBeLessThanOrEqual(silences);
    await client.told('session.ping');
    expect(plain.messages.every((text) => text.startsWith('{"type":"n"'))).toBe(true);
  });

  it('of the client is answered with session.pong', async () => {
    const site = await listen();
    const client = await ready(site);
    client.send('session.ping', {});
    expect(await client.told('session.pong')).toEqual({});
    expect(client.messages.at(-1)).toBe('{"type":"session.pong","object":{}}');
  });

  it('is an unknown type to a plain client', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    client.send('session.ping', {});
    client.send('session.refresh', { access_token: tokenFor('ada') });
    for (let i = 0; i < 2; i++) expect((await client.next()).object).toMatchObject({ code: 'unknown_type' });
  });
});

describe('the end of the token', () => {
  it('is told at once when it is less than a minute away, and ends the session to the moment', async () => {
    const site = await listen();
    const token = shortTokenFor('ada', 700);
    const client = await ready(site, { token });
    expect(await client.told('session.expiring')).toEqual({ expires_at: isoTime(endOf(token)) });
    const { close, last } = await ending(client);
    const lateMs = Date.now() - endOf(token);
    expect(lateMs).toBeGreaterThanOrEqual(-5);
    expect(lateMs).toBeLessThan(1_000);
    expect(close).toEqual({ code: 4401, reason: 'token expired' });
    expect(last).toEqual({ type: 'session.closing', object: { code: 4401, reason: 'token expired', retry_ms: 0 } });
    expect(client.reader.told('session.expiring')).toHaveLength(1);
  });

  it('is told also when it is so near that nothing can be done', async () => {
    const site = await listen();
    const client = await connectV1(site, { userId: 'ada', token: shortTokenFor('ada', 300) });
    await client.closed;
    const types = client.messages.map((text) => JSON.parse(text).type);
    expect(types).toEqual(['session.ready', 'session.expiring', 'session.closing']);
  });

  it('is not told to a plain client', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada', token: shortTokenFor('ada', 400) });
    expect(await client.closed).toEqual({ code: 4401, reason: 'token expired' });
    expect(client.messages).toEqual([]);
  });
});

describe('session.refresh', () => {
  it('moves the end of the session', async () => {
    const site = await listen();
    const client = await ready(site, { token: shortTokenFor('ada', 1_500) });
    await client.told('session.expiring');
    const second = shortTokenFor('ada', 2_500);
    client.send('session.refresh', { access_token: second });
    expect(await client.told('session.refreshed')).toEqual({ expires_at: isoTime(endOf(second)) });
    const { close } = await ending(client);
    expect(close.code).toBe(4401);
    expect(Date.now()).toBeGreaterThanOrEqual(endOf(second) - 5);
    const types = client.reader.others.map(({ type }) => type);
    expect(types).toEqual(['session.expiring', 'session.refreshed', 'session.expiring', 'session.closing']);
  });

  it('takes a token that never ends', async () => {
    const site = await listen();
    const first = shortTokenFor('ada', 1_500);
    const client = await ready(site, { token: first });
    client.send('session.refresh', { access_token: tokenFor('ada') });
    expect(await client.told('session.refreshed')).toEqual({ expires_at: null });
    await expect.poll(() => Date.now()).toBeGreaterThan(endOf(first) + 50);
    await site.usercast.notify('ada', 'n', {});
    await client.read(1);
  });

  it("with another user's token ends the session with 4403", async () => {
    const site = await listen();
    const client = await ready(site);
    client.send('session.refresh', { access_token: tokenFor('grace') });
    const { close, last } = await ending(client);
    expect(close).toEqual({ code: 4403, reason: "another user's id" });
    expect(last).toMatchObject({ type: 'session.closing', object: { code: 4403, retry_ms: 0 } });
  });

  it('with the token of somebody else who may also open the stream ends it as well', async () => {
    const site = await listen({ authorize: () => true });
    const client = await ready(site);
    client.send('session.refresh', { access_token: tokenFor('grace') });
    expect((await client.closed).code).toBe(4403);
  });

  it.each([
    ['that is not valid', () => 'no token of ours'],
    ['that has ended', () => tokenFor('ada', { expiresAt: Date.now() - 1 })],
  ])('with a token %s is an error, and the session lives until its end', async (_, token) => {
    const site = await listen();
    const own = shortTokenFor('ada', 1_500);
    const client = await ready(site, { token: own });
    client.send('session.refresh', { access_token: token() });
    expect(await client.told('error')).toEqual({ code: 'token_refused', message: expect.any(String) });
    await site.usercast.notify('ada', 'n', {});
    await client.read(1);
    expect((await client.closed).code).toBe(4401);
    expect(Date.now()).toBeGreaterThanOrEqual(endOf(own) - 5);
    expect(client.reader.told('session.refreshed')).toEqual([]);
  });

  it.each([
    ['away', new UsercastError('verifier_unavailable', 'away')],
    ['too slow', null],
  ])('while the verifier is %s is an error, and the session goes on', async (_, cause) => {
    let isAway = false;
    const verifier: TokenVerifier = {
      verify: async () => {
        if (!isAway) return { userId: 'ada' };
        if (cause) throw cause;
        return new Promise(() => {});
      },
    };
    const site = await listen({ verifier, limits: { deadlineMs: 100 } });
    const client = await ready(site, { token: 'secret-of-ada' });
    isAway = true;
    client.send('session.refresh', { access_token: 'secret-of-ada-2' });
    expect(await client.told('error')).toEqual({ code: 'unavailable', message: expect.any(String) });
    expect(site.events('error')).toMatchObject([{ stage: 'verify' }]);
    expect(JSON.stringify([client.messages, site.told])).not.toContain('secret');
    isAway = false;
    client.send('session.refresh', { access_token: 'secret-of-ada-2' });
    expect(await client.told('session.refreshed')).toEqual({ expires_at: null });
  });

  it.each([{}, { access_token: '' }, { access_token: 5 }, { access_token: null }])(
    'without a token, such as %j, is an error',
    async (object) => {
      const site = await listen();
      const client = await ready(site);
      client.send('session.refresh', object);
      expect(await client.told('error')).toMatchObject({ code: 'invalid_object' });
    },
  );

  it('that is answered when the client has left changes nothing', async () => {
    let answer: () => void = () => {};
    const verifier: TokenVerifier = {
      verify: async (token) => {
        if (token === 'new') await new Promise<void>((resolve) => (answer = resolve));
        return { userId: 'ada', expiresAt: Date.now() + 300_000 };
      },
    };
    const site = await listen({ verifier });
    const client = await ready(site, { token: 'old' });
    client.send('session.refresh', { access_token: 'new' });
    client.send('session.ping', {});
    await client.told('session.pong');
    client.ws.terminate();
    await site.event('disconnect');
    answer();
    await new Promise((resolve) => setImmediate(resolve));
    expect(site.events('error')).toEqual([]);
    expect(site.usercast.stats().sessions).toBe(0);
  });
});

describe('session.closing', () => {
  const closes: [string, number, [number, number], (site: Site, client: V1Client) => unknown][] = [
    ['a drain', 1012, [500, 1_500], (site) => void site.usercast.drain({ withinMs: 1_000 })],
    ['the end of the server', 1001, [500, 1_500], (site) => void site.usercast.close()],
    ['a disconnect of the user', 4403, [0, 0], (site) => site.usercast.disconnect('ada')],
    [
      'a disconnect of the session',
      4403,
      [0, 0],
      (site, client) => site.usercast.disconnect('ada', { sessionId: client.reader.ready!.session_id }),
    ],
    [
      'too many messages',
      4429,
      [2_500, 7_500],
      (_, client) => Array.from({ length: 50 }, () => client.send('session.ping', {})),
    ],
    ['bad messages', 1008, [0, 0], (_, client) => Array.from({ length: 12 }, () => client.ws.send('nonsense'))],
  ];

  it.each(closes)('says why before %s: %i', async (_, code, [leastMs, mostMs], cause) => {
    const site = await listen();
    const client = await ready(site);
    await cause(site, client);
    const { close, last } = await ending(client);
    expect(close.code).toBe(code);
    expect(last).toEqual({
      type: 'session.closing',
      object: { code, reason: close.reason, retry_ms: expect.any(Number) },
    });
    expect(last.object.retry_ms).toBeGreaterThanOrEqual(leastMs);
    expect(last.object.retry_ms).toBeLessThanOrEqual(mostMs);
    expect(client.reader.told('session.closing')).toHaveLength(1);
  });

  it('comes after everything that was accepted before', async () => {
    const site = await listen();
    const client = await ready(site);
    for (let n = 1; n <= 20; n++) await site.usercast.notify('ada', 'n', { n });
    await site.usercast.disconnect('ada');
    await client.closed;
    expect(client.reader.stored).toHaveLength(20);
    expect(JSON.parse(client.messages.at(-1)!).type).toBe('session.closing');
  });

  it('does not come where the client closes, nor to a plain client', async () => {
    const site = await listen();
    const client = await ready(site);
    client.ws.close(1000);
    await client.closed;
    const plain = await connectClient(site, { userId: 'ada' });
    await site.usercast.disconnect('ada');
    expect((await plain.closed).code).toBe(4403);
    expect([...client.reader.told('session.closing'), ...plain.messages]).toEqual([]);
  });
});

describe('an ack', () => {
  it('is echoed with its cursor to every session of the user, and a wrong one is an error', async () => {
    const site = await listen();
    const [client, other] = [await ready(site), await ready(site)];
    client.send('ack', { sender_id: 'ada', box_id: 'box-1' });
    for (const one of [client, other]) {
      await one.read(1);
      expect(one.reader.stored[0]).toEqual({
        type: 'ack',
        object: { sender_id: 'ada', box_id: 'box-1' },
        cursor: await site.usercast.cursor('ada'),
      });
    }
    client.send('ack', { sender_id: 'grace', box_id: 'box-1' });
    expect(await client.told('error')).toMatchObject({ code: 'wrong_sender' });
  });
});

describe('a volatile message', () => {
  it('has no cursor, moves none, and is not there for who comes back', async () => {
    const site = await listen();
    const client = await ready(site);
    await site.usercast.notify('ada', 'psst', { n: 1 }, { volatile: true });
    expect(await client.told('psst')).toEqual({ n: 1 });
    expect(client.messages.at(-1)).toBe('{"type":"psst","object":{"n":1}}');
    const back = await ready(site, { cursor: client.reader.cursor! });
    await site.usercast.notify('ada', 'n', {});
    await back.read(1);
    expect(back.reader.told('psst')).toEqual([]);
  });
});
