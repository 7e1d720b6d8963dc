// While NATS is away: what callers and new clients are told, and that who is connected stays and is caught up when it is back.

import { afterEach, describe, expect, it } from 'vitest';
import { natsBroker, natsCounters } from '../../adapters/nats/index.ts';
import { UsercastError } from '../../src/index.ts';
import {
  cleanUp,
  connectClient,
  connectV1,
  listen,
  Refused,
  type Site,
  textEvent,
  tokenFor,
} from '../support/fixture.ts';
import { eventually } from '../support/raw-client.ts';
import { type NatsServer, startNats } from '../support/servers/nats.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { natsUrl } from './nats-scenes.ts';
import { DEADLINE_MS, PROBE_MS, SEED } from './redis-scenes.ts';

const SLACK_MS = 500;
const BACK_WITHIN_MS = 10_000;
const CATCH_UP_MS = 2_000;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  await cleanUp();
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(): Promise<{ nats: NatsServer; site: (servers?: string) => Promise<Site> }> {
  const nats = await startNats();
  ends.push(() => nats.close());
  const site = async (servers = nats.url): Promise<Site> => {
    const broker = natsBroker({ servers, probeMs: PROBE_MS, deadlineMs: DEADLINE_MS });
    const counters = natsCounters({ servers, deadlineMs: DEADLINE_MS });
    ends.push(
      () => broker.close(),
      () => counters.close(),
    );
    const subscriptions = { lingerMs: 300, checkMs: 60_000, catchUpMs: CATCH_UP_MS };
    return listen({ broker, counters, subscriptions, limits: { deadlineMs: DEADLINE_MS, maxConnectionsPerUser: 0 } });
  };
  return { nats, site };
}

const get = (site: Site, userId: string, endpoint: string) =>
  fetch(`http://127.0.0.1:${site.port}/box-users/${userId}/${endpoint}`, {
    headers: { Authorization: `Bearer ${tokenFor(userId)}` },
  });

const WAYS = {
  'is dead': (nats: NatsServer) => nats.kill(),
  'stands still': async (nats: NatsServer) => nats.freeze(),
} as const;

describe.each(Object.entries(WAYS))('while NATS %s', { timeout: 40_000 }, (name, away) => {
  it('publishing fails in time with the users’ names, new clients are sent away, and open sessions stay', async () => {
    const { nats, site: newSite } = await start();
    const [here, there] = [await newSite(), await newSite()];
    const client = await connectV1(here, { userId: 'ada' });
    await client.ready();
    await away(nats);

    const fromMs = performance.now();
    const event = textEvent();
    const error: unknown = await there.usercast.publishEvent(['ada', 'grace'], event).catch((cause: unknown) => cause);
    expect(performance.now() - fromMs).toBeLessThan(DEADLINE_MS + SLACK_MS);
    expect(error).toBeInstanceOf(UsercastError);
    expect(error).toMatchObject({ code: 'publish_failed', failedUserIds: ['ada', 'grace'] });

    const late = await connectV1(here, { userId: 'grace' });
    expect(await late.closed).toMatchObject({ code: 1013 });
    expect(late.messages).toEqual([]);
    const plain = await connectClient(here, { userId: 'grace' }).catch((cause: unknown) => cause);
    expect(plain).toBeInstanceOf(Refused);
    expect((plain as Refused).status).toBe(503);
    for (const endpoint of ['messages', 'counts', 'sse', `messages?cursor=${client.reader.cursor}`]) {
      const response = await get(here, 'ada', endpoint);
      expect([endpoint, response.status]).toEqual([endpoint, 503]);
      expect(Number(response.headers.get('Retry-After')), endpoint).toBeGreaterThan(0);
      await response.body?.cancel();
    }
    await eventually('it is told', () => here.usercast.health().broker === 'lost', BACK_WITHIN_MS);
    expect(client.ws.readyState).toBe(client.ws.OPEN);

    if (name === 'is dead') await nats.start();
    else nats.thaw();
    const ready = () => [here, there].every(({ usercast }) => usercast.health().ok);
    await eventually('it is back', ready, BACK_WITHIN_MS);
    await there.usercast.publishEvent(['ada', 'grace'], event);
    await client.read(1);
    expect(client.reader.all('id')).toEqual([event.id]);
    expect(client.reader.resets).toEqual([]);
    expect(client.ws.readyState).toBe(client.ws.OPEN);
  });
});

/** More than are looked after in one go. */
const PEOPLE = 1_100;

it('when it is back, open sessions are caught up in time, and not all at once', { timeout: 60_000 }, async () => {
  const { nats, site: newSite } = await start();
  const proxy = await new TcpProxy(nats.port).start();
  ends.push(() => proxy.stop());
  const [here, there] = [await newSite(natsUrl(proxy)), await newSite()];
  const users = Array.from({ length: PEOPLE }, (_, i) => `user ${i}`);
  const clients = await Promise.all(users.map((userId) => connectV1(here, { userId })));
  await Promise.all(clients.map((client) => client.ready(BACK_WITHIN_MS)));
  proxy.cut();
  await there.usercast.publishEvent(users, textEvent());
  const gotMs: number[] = [];
  for (const { ws } of clients) ws.once('message', () => gotMs.push(performance.now()));
  expect(gotMs).toEqual([]);
  const fromMs = performance.now();
  proxy.mend();
  await eventually('all are caught up', () => gotMs.length === PEOPLE, BACK_WITHIN_MS);
  const [firstMs = 0] = gotMs;
  expect(gotMs.at(-1)! - fromMs, SEED).toBeLessThan(BACK_WITHIN_MS);
  expect(gotMs.at(-1)! - firstMs, SEED).toBeGreaterThan(CATCH_UP_MS / 4);
  expect(clients.flatMap(({ reader }) => reader.resets)).toEqual([]);
  expect(new Set(clients.map(({ ws }) => ws.readyState))).toEqual(new Set([1]));
});
