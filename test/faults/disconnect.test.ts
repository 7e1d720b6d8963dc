// A disconnect ends the user's sessions on every process: also on one that was cut off from the broker, and also a session
// that is just being opened.

import { afterEach, describe, expect, it } from 'vitest';
import type { TokenVerifier } from '../../src/index.ts';
import { testToken } from '../../src/testing/index.ts';
import { type Sabotage, sabotaged } from '../support/cluster/sabotage.ts';
import { ServerProcess } from '../support/cluster/server-process.ts';
import { cleanUp, connectV1, listen, type Site, testVerifier, textEvent, tokenFor } from '../support/fixture.ts';
import { eventually } from '../support/raw-client.ts';
import { seededRandom } from '../support/seed.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { KINDS, type Kind } from './kinds.ts';
import { expectFound, numbers, SEED, SOON_QUIET_MS } from './scenes.ts';

const { cutMs, moments } = numbers({
  short: { cutMs: 1_500, moments: 150 },
  long: { cutMs: 600_000, moments: 3_000 },
});
const DISCONNECTED = { code: 4403, reason: 'disconnected by the host' };
/** No guarantee: when to stop waiting. */
const ENDS_WITHIN_MS = 30_000;
const USERCAST = { subscriptions: { lingerMs: 300, checkMs: 1_500, catchUpMs: 500 } };
/** What a session that opens does not see is not found later, when marks are compared. */
const HARDLY_CHECKED = { subscriptions: { lingerMs: 300, checkMs: 600_000, catchUpMs: 500 } };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  await cleanUp();
  for (const end of ends.splice(0).reverse()) await end();
});

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Two processes, and a third that is cut off while a user is disconnected; resolves to whether its session ended then. */
async function cuttingOff(kind: Kind, ms: number, endsWithinMs: number, sabotage: readonly Sabotage[] = []) {
  const broker = await kind.start();
  const proxy = await new TcpProxy(broker.port).start();
  ends.push(
    () => broker.close(),
    () => proxy.stop(),
  );
  const servers = await Promise.all(
    [broker, broker, proxy].map((place) =>
      ServerProcess.start({ broker: kind.spec(kind.urlOf(place), {}, sabotage), usercast: USERCAST }),
    ),
  );
  for (const server of servers) ends.push(() => server.kill());
  const areReady = async () => (await Promise.all(servers.map((server) => server.health()))).every(({ ok }) => ok);
  await eventually('the processes are ready', areReady, ENDS_WITHIN_MS);
  const [here, there, far] = servers as [ServerProcess, ServerProcess, ServerProcess];
  const open = (server: ServerProcess, userId: string) => connectV1(server, { userId, token: testToken({ userId }) });
  const near = await Promise.all([here, there].map((server) => open(server, 'ada')));
  const away = await open(far, 'ada');
  const other = await open(far, 'grace');
  await Promise.all([...near, away, other].map((client) => client.ready(ENDS_WITHIN_MS)));

  proxy.cut();
  await here.disconnect('ada');
  for (const client of near) expect(await client.closed).toEqual(DISCONNECTED);
  await passed(ms);
  expect(away.ws.readyState).toBe(away.ws.OPEN);
  proxy.mend();
  // It is back when it brings others what is new.
  await here.publish(['grace'], textEvent());
  await other.read(1, ENDS_WITHIN_MS);
  const end = await Promise.race([away.closed, passed(endsWithinMs)]);
  if (end) expect(end).toEqual(DISCONNECTED);
  expect(other.ws.readyState).toBe(other.ws.OPEN);
  return end !== undefined;
}

describe.each(KINDS)('a process that was cut off from %s', { timeout: cutMs + 120_000 }, (_, kind) => {
  it('acts on a disconnect when it is back, and on nobody else’s', async () => {
    expect(await cuttingOff(kind, cutMs, ENDS_WITHIN_MS)).toBe(true);
  });

  it('control: does not when disconnects are not stored', async () => {
    expect(await cuttingOff(kind, 1_000, SOON_QUIET_MS, ['no-stored-marks'])).toBe(false);
  });
});

/** A client that comes just when its user is disconnected. */
interface Arrival {
  /** When its token was found to be good; 0: it never was. */
  verifiedMs: number;
  /** How its connection ended; null: it has not. */
  end: { readonly code: number } | null;
}

/** Enough for some to come between the storing and the reading. */
const CONTROLLED = 50;
const USERS = 5;
const ARRIVALS = 4;
/** Arrivals and the disconnect are spread over so long. */
const SPREAD_MS = 12;

/** Clients arrive at two processes while their users are disconnected; how many of those stay who were let in before. */
async function arriving(kind: Kind, times: number, endsWithinMs: number, sabotage: readonly Sabotage[] = []) {
  const server = await kind.start();
  ends.push(() => server.close());
  const random = seededRandom(7);
  const arrivals = new Map<string, Arrival>();
  const verifier: TokenVerifier = {
    async verify(token, context) {
      const identity = await testVerifier.verify(token, context);
      await passed(random() * SPREAD_MS);
      arrivals.get(token)!.verifiedMs = performance.now();
      return identity;
    },
  };
  const sites: Site[] = [];
  for (let i = 0; i < 2; i++) {
    const { broker, counters, close } = kind.open(kind.urlOf(server));
    ends.push(close);
    const used = { broker: sabotaged(broker, sabotage), ...(counters && { counters }) };
    sites.push(await listen({ ...used, verifier, ...HARDLY_CHECKED }));
  }
  await eventually('both are ready', () => sites.every(({ usercast }) => usercast.health().ok), ENDS_WITHIN_MS);
  const anySite = (): Site => sites[Math.floor(random() * sites.length)]!;
  let stayed = 0;

  async function arrive(userId: string): Promise<Arrival> {
    const token = tokenFor(userId);
    const arrival: Arrival = { verifiedMs: 0, end: null };
    arrivals.set(token, arrival);
    await passed(random() * SPREAD_MS);
    const client = await connectV1(anySite(), { userId, token });
    void client.closed.then((end) => {
      arrival.end = end;
    });
    return arrival;
  }

  async function moment(userId: string): Promise<void> {
    const coming = Array.from({ length: ARRIVALS }, () => arrive(userId));
    await passed(SPREAD_MS / 2 + random() * SPREAD_MS);
    const calledMs = performance.now();
    await anySite().usercast.disconnect(userId);
    const early = (await Promise.all(coming)).filter(({ verifiedMs }) => verifiedMs > 0 && verifiedMs < calledMs);
    const areGone = () => early.every(({ end }) => end !== null);
    await eventually('they are gone', areGone, endsWithinMs).catch(() => {});
    for (const { end } of early) {
      if (end) expect(end).toMatchObject(DISCONNECTED);
      else stayed++;
    }
  }

  for (let done = 0; done < times && (stayed === 0 || sabotage.length === 0); done += USERS) {
    await Promise.all(Array.from({ length: USERS }, (_, i) => moment(`user ${done + i}`)));
  }
  return stayed;
}

describe.each(KINDS)('a session that is being opened on %s', { timeout: 120_000 + moments * 100 }, (_, kind) => {
  it('when its user is disconnected ends too', async () => {
    expect(await arriving(kind, moments, ENDS_WITHIN_MS), SEED).toBe(0);
  });

  const { defence, without } = kind.whileOpening;
  it(`control: stays when ${without}`, async () => {
    const attempt = async () => [`${await arriving(kind, CONTROLLED, SOON_QUIET_MS, [defence])} stayed`];
    await expectFound(/[1-9]\d* stayed/, attempt);
  });
});
