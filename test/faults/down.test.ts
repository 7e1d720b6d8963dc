// While the broker is away: what callers and new clients are told, and that who is connected stays and is caught up when it is
// back.

import { afterEach, describe, expect, it } from 'vitest';
import { type BoxEvent, UsercastError } from '../../src/index.ts';
import {
  cleanUp,
  connectClient,
  connectV1,
  listen,
  Refused,
  type Site,
  textEvent,
  tokenFor,
  type V1Client,
} from '../support/fixture.ts';
import { eventually } from '../support/raw-client.ts';
import type { RealServer } from '../support/servers/real-server.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { KINDS, type Kind, type KindTimes } from './kinds.ts';
import { DEADLINE_MS, numbers, PATIENT_MS, PROBE_MS, SEED } from './scenes.ts';

/** Between a timer and what is done because of it. */
const SLACK_MS = 500;
/** A plain run shares the machine with others. */
const BACK_WITHIN_MS = numbers({ short: 30_000, long: 10_000 });
const CATCH_UP_MS = 2_000;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  await cleanUp();
  for (const end of ends.splice(0).reverse()) await end();
});

type Open = (place: { readonly port: number }) => Promise<Site>;

/** A server, and what makes a site on it, or on a proxy in front of it. */
async function start(
  kind: Kind,
  { probeMs, deadlineMs }: Required<KindTimes>,
): Promise<{ server: RealServer; open: Open }> {
  const server = await kind.start();
  ends.push(() => server.close());
  const open: Open = async (place) => {
    const { close, ...brokers } = kind.open(kind.urlOf(place), { probeMs, deadlineMs });
    ends.push(close);
    const subscriptions = { lingerMs: 300, checkMs: 60_000, catchUpMs: CATCH_UP_MS };
    const site = await listen({ ...brokers, subscriptions, limits: { deadlineMs, maxConnectionsPerUser: 0 } });
    await eventually('it is ready', () => site.usercast.health().ok, BACK_WITHIN_MS);
    return site;
  };
  return { server, open };
}

const get = (site: Site, userId: string, endpoint: string) =>
  fetch(`http://127.0.0.1:${site.port}/box-users/${userId}/${endpoint}`, {
    headers: { Authorization: `Bearer ${tokenFor(userId)}` },
  });

/** When a timer of so long has passed: later than it should, where the machine is busy. */
const timerPasses = (ms: number) => new Promise<number>((resolve) => setTimeout(() => resolve(performance.now()), ms));

/** A client whose session is open: on a busy machine, an attempt may take longer than it is given. */
async function opened(site: Site, userId: string): Promise<V1Client> {
  for (;;) {
    const client = await connectV1(site, { userId });
    const isReady = client.ready(BACK_WITHIN_MS).then(() => true);
    if (await Promise.race([isReady, client.closed.then(() => false)])) return client;
    isReady.catch(() => {});
  }
}

/** Until it is accepted: on a busy machine, an attempt may take longer than it is given. */
const publishes = ({ usercast }: Site, userIds: string[], event: BoxEvent) =>
  eventually(
    'it is published',
    () =>
      usercast.publishEvent(userIds, event).then(
        () => true,
        () => false,
      ),
    BACK_WITHIN_MS,
  );

const WAYS = {
  'is dead': { goes: (server: RealServer) => server.kill(), returns: (server: RealServer) => server.start() },
  'stands still': {
    goes: async (server: RealServer) => server.freeze(),
    returns: async (server: RealServer) => server.thaw(),
  },
} as const;

describe.each(KINDS)('while %s', { timeout: 120_000 }, (_, kind) => {
  it.each(Object.entries(WAYS))(
    '%s, publishing fails in time with the users’ names, new clients are sent away, and open sessions stay',
    async (_way, { goes, returns }) => {
      const { server, open } = await start(kind, { probeMs: PROBE_MS, deadlineMs: DEADLINE_MS });
      const [here, there] = [await open(server), await open(server)];
      const client = await opened(here, 'ada');
      await goes(server);

      const event = textEvent();
      const due = timerPasses(DEADLINE_MS);
      const error: unknown = await there.usercast
        .publishEvent(['ada', 'grace'], event)
        .catch((cause: unknown) => cause);
      expect(performance.now() - (await due)).toBeLessThan(SLACK_MS);
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

      await returns(server);
      const areReady = () => [here, there].every(({ usercast }) => usercast.health().ok);
      await eventually('it is back', areReady, BACK_WITHIN_MS);
      await publishes(there, ['ada', 'grace'], event);
      await client.read(1, BACK_WITHIN_MS);
      expect(client.reader.all('id')).toEqual([event.id]);
      expect(client.reader.resets).toEqual([]);
      expect(client.ws.readyState).toBe(client.ws.OPEN);
    },
  );
});

/** More than are looked after in one go. */
const PEOPLE = 1_100;
/** Who all come at once wait for each other. */
const AT_ONCE = 100;

describe.each(KINDS)('when %s is back', { timeout: 120_000 }, (_, kind) => {
  it('open sessions are caught up in time, and not all at once', async () => {
    // Neither is part of it: a connection that is cut says so.
    const { server, open } = await start(kind, { probeMs: PATIENT_MS, deadlineMs: PATIENT_MS });
    const proxy = await new TcpProxy(server.port).start();
    ends.push(() => proxy.stop());
    const [here, there] = [await open(proxy), await open(server)];
    const users = Array.from({ length: PEOPLE }, (_, i) => `user ${i}`);
    const clients: V1Client[] = [];
    for (let from = 0; from < PEOPLE; from += AT_ONCE) {
      const some = users.slice(from, from + AT_ONCE).map((userId) => opened(here, userId));
      clients.push(...(await Promise.all(some)));
    }
    const gotMs: number[] = [];
    for (const { ws } of clients) ws.once('message', () => gotMs.push(performance.now()));
    proxy.cut();
    await publishes(there, users, textEvent());
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
});
