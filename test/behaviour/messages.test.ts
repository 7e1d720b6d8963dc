import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, textEvent, tokenFor } from '../support/fixture.ts';
import { RawClient, upgradeText } from '../support/raw-client.ts';

afterEach(cleanUp);

const base64url = (text: string) => Buffer.from(text).toString('base64url');

describe('a plain client', () => {
  it('sees exactly the bytes of the messages, in the order of the host’s keys, and nothing more', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    const event = {
      unknown: { z: 1, a: [null, 'ü', '𝄞'] },
      ...textEvent({ id: 'event-one', content: { text: 'hello', nested: { b: 1, a: 2 } } }),
    };
    await site.usercast.publishEvent('ada', event);
    await site.usercast.notify('ada', 'box.delete', { public_key: 'k', id: 'b', sender_id: 's' });
    await site.usercast.notify('ada', 'file.saved', { encrypted_file_id: 'f', is_saved: true });
    await site.usercast.notify('ada', 'my.own', {});
    await site.usercast.ack('ada', 'box-1');
    await site.usercast.notify('ada', 'my.volatile', { b: 1, a: 2 }, { volatile: true });
    for (let i = 0; i < 6; i++) await client.nextText();
    expect(client.messages).toEqual([
      `{"type":"event.new","object":${JSON.stringify(event)}}`,
      '{"type":"box.delete","object":{"public_key":"k","id":"b","sender_id":"s"}}',
      '{"type":"file.saved","object":{"encrypted_file_id":"f","is_saved":true}}',
      '{"type":"my.own","object":{}}',
      '{"type":"ack","object":{"sender_id":"ada","box_id":"box-1"}}',
      '{"type":"my.volatile","object":{"b":1,"a":2}}',
    ]);
  });

  it.each([1, 125, 126, 127, 65_535, 65_536, 400_000])(
    'gets a message with %i bytes of content whole',
    async (bytes) => {
      const site = await listen();
      const client = await connectClient(site, { userId: 'ada' });
      const object = { text: 'x'.repeat(bytes) };
      await site.usercast.notify('ada', 't', object);
      expect((await client.next()).object).toEqual(object);
    },
  );

  it('gets whole frames and nothing else after the 101, however many messages leave together', async () => {
    const site = await listen();
    const raw = new RawClient(site.port).send(
      upgradeText('/box-users/ada/ws', { headers: { Authorization: `Bearer ${tokenFor('ada')}` } }),
    );
    await raw.response();
    await Promise.all([1, 2, 3].map((n) => site.usercast.notify('ada', 'n', { n })));
    const frames = [1, 2, 3].map((n) => {
      const payload = Buffer.from(`{"type":"n","object":{"n":${n}}}`);
      return Buffer.concat([Buffer.from([0x81, payload.length]), payload]);
    });
    await expect
      .poll(() => raw.received.subarray(raw.received.indexOf('\r\n\r\n') + 4).toString('latin1'))
      .toBe(Buffer.concat(frames).toString('latin1'));
    raw.socket.destroy();
  });

  it.each([
    [[], ''],
    [['usercast.plain'], 'usercast.plain'],
    [['something.else'], null],
  ])('that offers %j sees the same bytes', async (protocols, selected) => {
    const site = await listen();
    // The library gives up where a server selects nothing of what it offered, as browsers do.
    const connecting = connectClient(site, { userId: 'ada', protocols });
    if (selected === null) return expect(connecting).rejects.toThrow();
    const client = await connecting;
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect(client.ws.protocol).toBe(selected);
    expect(await client.nextText()).toBe('{"type":"n","object":{"n":1}}');
  });

  it('may bring its token in a subprotocol, which is never selected', async () => {
    const site = await listen();
    const token = tokenFor('ada');
    const client = await connectClient(site, {
      userId: 'ada',
      token,
      protocols: [`usercast.bearer.${base64url(token)}`, 'usercast.plain'],
      headers: { Authorization: '' },
    });
    expect(client.ws.protocol).toBe('usercast.plain');
  });
});

describe('the 101', () => {
  it('comes when the session is live: what is published right after open arrives', async () => {
    const site = await listen();
    for (let i = 0; i < 20; i++) {
      const client = await connectClient(site, { userId: `user ${i}` });
      await site.usercast.notify(`user ${i}`, 'n', { n: i });
      expect((await client.next()).object).toEqual({ n: i });
    }
  });

  it('is followed by all that is published from the connect event on', async () => {
    const site = await listen();
    const published: Promise<unknown>[] = [];
    site.usercast.on('connect', ({ userId }) => {
      for (let n = 1; n <= 3; n++) published.push(site.usercast.notify(userId, 'n', { n }));
    });
    const client = await connectClient(site, { userId: 'ada' });
    await Promise.all(published);
    for (let n = 1; n <= 3; n++) expect((await client.next()).object).toEqual({ n });
  });

  it('misses and doubles nothing of what is published while handshakes are under way', async () => {
    const site = await listen();
    let n = 0;
    let isOver = false;
    const publishing = (async () => {
      while (!isOver) {
        await site.usercast.notify('ada', 'n', { n: ++n });
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const clients = [];
    for (let i = 0; i < 15; i++) {
      const before = n;
      const client = await connectClient(site, { userId: 'ada' });
      clients.push({ client, before, open: n });
    }
    isOver = true;
    await publishing;
    await site.usercast.notify('ada', 'n', { n: ++n });
    for (const { client, before, open } of clients) {
      await expect.poll(() => client.all('n').at(-1)).toBe(n);
      const [first] = client.all('n') as number[];
      expect(client.all('n')).toEqual(Array.from({ length: n - first! + 1 }, (_, i) => first! + i));
      expect(first).toBeGreaterThan(before);
      expect(first).toBeLessThanOrEqual(open + 1);
    }
  });
});

describe('what is refused', () => {
  it('reaches nobody and counts for nobody', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    const refused = [
      site.usercast.publishEvent('ada', { ...textEvent(), content: 'text' } as never),
      site.usercast.notify('ada', 'event.new' as string, textEvent()),
      site.usercast.notify('ada', 'session.ready' as string, {}),
      site.usercast.notify('ada', 'big', { text: 'x'.repeat(600_000) }),
      site.usercast.publishEvent(['ada', ''], textEvent()),
    ];
    const codes = (await Promise.allSettled(refused)).map((outcome) =>
      outcome.status === 'rejected' ? outcome.reason.code : 'taken',
    );
    expect(codes).toEqual(['invalid_message', 'reserved_type', 'reserved_type', 'too_large', 'invalid_message']);
    await site.usercast.notify('ada', 'last', {});
    expect(await client.nextText()).toBe('{"type":"last","object":{}}');
    expect(await site.usercast.counts('ada')).toEqual({});
  });
});
