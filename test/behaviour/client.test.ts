// The client of this package against its server, on every transport.

import { type Client, type ConnectOptions, connect, type MessageMeta, type TransportName } from 'usercast/client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { cleanUp, listen, type Site, textEvent, tokenFor } from '../support/fixture.ts';
import { eventually as within } from '../support/raw-client.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';

/** An event stream asks its clients to stay away for some seconds. */
const eventually = (what: string, check: () => boolean) => within(what, check, 15_000);

const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'polling'];

const clients: Client[] = [];
const proxies: TcpProxy[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const proxy of proxies.splice(0)) await proxy.stop();
  await cleanUp();
  vi.restoreAllMocks();
});

/** Ada's client of a site, over a wire that can be cut, with what it was told. */
async function open(site: Site, options: Partial<ConnectOptions> = {}) {
  // The first attempt after a drop comes at once.
  vi.spyOn(Math, 'random').mockReturnValue(0.01);
  const proxy = await new TcpProxy(site.port).start();
  proxies.push(proxy);
  const client = connect({ url: proxy.url, userId: 'ada', token: () => tokenFor('ada'), WebSocket, ...options });
  clients.push(client);
  const ids: unknown[] = [];
  const metas: MessageMeta[] = [];
  const resets: string[] = [];
  client.on('event.new', ({ id }, meta) => {
    ids.push(id);
    metas.push(meta);
  });
  client.onReset(({ reason }) => resets.push(reason));
  client.onError(() => {});
  const isLive = () => eventually('the client is live', () => client.state === 'live');
  await isLive();
  return { client, proxy, ids, metas, resets, isLive };
}

const publish = async (site: Site, ids: readonly string[], changes = {}) => {
  for (const id of ids) await site.usercast.publishEvent(['ada', 'bob'], textEvent({ id, ...changes }));
};

describe.each(TRANSPORTS)('over %s', (transport) => {
  const transports = [transport];

  it('hands on every event, with the counts of the server', async () => {
    const site = await listen();
    const { client, ids } = await open(site, { transports });
    await publish(site, ['e1', 'e2', 'e3']);
    await publish(site, ['e4'], { box_id: 'box-2' });
    await eventually('four events', () => ids.length === 4);
    expect(ids).toEqual(['e1', 'e2', 'e3', 'e4']);
    expect(client.counts).toEqual({ 'box-1': 3, 'box-2': 1 });
    await client.ack('box-1');
    await eventually('the echo', () => client.counts['box-1'] === undefined);
    expect(client.counts).toEqual(await site.usercast.counts('ada'));
    expect(client.cursor).toBe(await site.usercast.cursor('ada'));
  });

  it('hands on what was sent while the wire was cut, once and in order', async () => {
    const site = await listen();
    const { client, proxy, ids, metas, resets } = await open(site, { transports });
    await publish(site, ['e1']);
    await eventually('an event', () => ids.length === 1);
    proxy.cut();
    await publish(site, ['e2', 'e3']);
    await eventually('the client noticed', () => client.state !== 'live');
    proxy.mend();
    await publish(site, ['e4']);
    await eventually('all events', () => ids.length === 4);
    expect(ids).toEqual(['e1', 'e2', 'e3', 'e4']);
    expect(metas.map(({ unread }) => unread)).toEqual([true, true, true, true]);
    expect(client.counts).toEqual({ 'box-1': 4 });
    expect(resets).toEqual([]);
  });

  it('carries on where an earlier client stood', async () => {
    const site = await listen();
    const first = await open(site, { transports });
    await publish(site, ['e1']);
    await eventually('an event', () => first.ids.length === 1);
    first.client.close();
    await publish(site, ['e2', 'e3']);
    const second = await open(site, { transports, cursor: String(first.client.cursor) });
    await eventually('two events', () => second.ids.length === 2);
    expect(second.ids).toEqual(['e2', 'e3']);
    expect(second.client.counts).toEqual({ 'box-1': 3 });
  });

  it('is told a reset when the server comes back with an empty history', async () => {
    const site = await listen();
    const { client, proxy, ids, resets, isLive } = await open(site, { transports });
    await publish(site, ['e1']);
    await eventually('an event', () => ids.length === 1);
    proxy.cut();
    const other = await listen();
    proxy.mend(other.port);
    await eventually('a reset', () => resets.length === 1);
    await isLive();
    expect(client.counts).toEqual({});
    await publish(other, ['e2']);
    await eventually('the next event', () => ids.length === 2);
    expect(resets).toEqual(['epoch']);
  });

  it('ends when the host disconnects its user', async () => {
    const site = await listen();
    const { client } = await open(site, { transports });
    await site.usercast.disconnect('ada');
    await eventually('the client is closed', () => {
      // Between two polls nobody is there to be disconnected.
      if (transport === 'polling') void site.usercast.disconnect('ada');
      return client.state === 'closed';
    });
    expect(client.state).toBe('closed');
  });

  it('moves to another server while one drains', async () => {
    const site = await listen();
    const { client, proxy, ids, isLive } = await open(site, { transports });
    const states: string[] = [];
    client.onState((state) => states.push(state));
    const next = await listen();
    await site.usercast.drain({ withinMs: 1_000 });
    await eventually('it left', () => states.length > 0);
    proxy.cut();
    proxy.mend(next.port);
    await isLive();
    await publish(next, ['e1']);
    await eventually('an event', () => ids.length === 1);
  });

  it('outlives its tokens', async () => {
    const site = await listen();
    let asked = 0;
    const token = () => tokenFor('ada', { expiresAt: Date.now() + (++asked === 1 ? 400 : 600_000) });
    const { client, ids } = await open(site, { transports, token });
    await eventually('a second token', () => asked === 2);
    await publish(site, ['e1']);
    await eventually('an event', () => ids.length === 1);
    expect(client.state).toBe('live');
  });
});

describe('a token that is about to end', () => {
  it('is refreshed without a new connection', async () => {
    const site = await listen();
    let asked = 0;
    // The warning comes a minute before the end.
    const token = () => tokenFor('ada', { expiresAt: Date.now() + (++asked === 1 ? 60_300 : 600_000) });
    const { proxy, ids } = await open(site, { token });
    await eventually('a second token', () => asked === 2);
    await publish(site, ['e1']);
    await eventually('an event', () => ids.length === 1);
    expect(proxy.accepted).toBe(1);
  });
});

describe('a client that changes its transport', () => {
  it('misses nothing', async () => {
    const site = await listen();
    const ids: unknown[] = [];
    let cursor: string | undefined;
    for (const transport of ['websocket', 'polling', 'sse', 'websocket'] as const) {
      const before = ids.length;
      const { client, ids: own } = await open(site, { transports: [transport], ...(cursor && { cursor }) });
      await publish(site, [`live ${before}`]);
      await eventually('both events', () => own.length === (cursor ? 2 : 1));
      ids.push(...own);
      cursor = client.cursor;
      client.close();
      await publish(site, [`missed ${ids.length}`]);
    }
    expect(ids).toEqual(['live 0', 'missed 1', 'live 1', 'missed 3', 'live 3', 'missed 5', 'live 5']);
  });
});
