// Many clients that come and go while messages are published, on several servers that share one broker; in the end it is
// quiet, and everything is compared with what was published.

import { once } from 'node:events';
import { Agent, createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Broker, createUsercast, type Usercast } from 'usercast';
import { type FaultyBroker, seededRandom, testToken, testVerifier } from 'usercast/testing';
import { textEvent } from './box-events.ts';
import { type Accepted, violationsOf } from './invariants.ts';
import { eventually } from './raw-client.ts';
import { SOAK_TRANSPORTS, SoakClient, type SoakTransport } from './soak-client.ts';

export interface SoakOptions {
  /** One for each server, all on the same streams. */
  readonly brokers: readonly FaultyBroker[];
  readonly seed: number;
  readonly users: number;
  readonly sessionsPerUser: number;
  readonly messagesPerSecond: number;
  readonly durationMs: number;
  /** Milliseconds between cuts of the broker's connection. Default: none. */
  readonly cutEveryMs?: number;
  /** Milliseconds that it may take until all clients are at the top. Default: more than a busy machine needs. */
  readonly quietWithinMs?: number;
  /** Default: all. */
  readonly transports?: readonly SoakTransport[];
}

export interface SoakReport {
  readonly violations: readonly string[];
  /** What was still there when all had left and everything was closed. */
  readonly leftovers: readonly string[];
  readonly accepted: number;
  readonly delivered: number;
  readonly resets: number;
  readonly connections: Readonly<Record<SoakTransport, number>>;
}

const TICK_MS = 20;
/** A connection lives so long. */
const LIFE_MS = [200, 3_000] as const;
const CUT_MS = 300;
const QUIET_WITHIN_MS = 90_000;

interface Node {
  readonly server: Server;
  readonly usercast: Usercast;
  readonly port: number;
  readonly detach: () => void;
}

async function cutFor(broker: FaultyBroker, ms: number): Promise<void> {
  broker.cut();
  await new Promise((resolve) => setTimeout(resolve, ms));
  broker.mend();
}

async function startNode(broker: Broker): Promise<Node> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const usercast = createUsercast({ broker, verifier: testVerifier() });
  const detach = usercast.attach(server, { http: true });
  return { server, usercast, detach, port: (server.address() as AddressInfo).port };
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { brokers, seed, durationMs } = options;
  const random = seededRandom(seed);
  const before = timers();
  const nodes = await Promise.all(brokers.map(startNode));
  const agent = new Agent({ keepAlive: true });
  const userIds = Array.from({ length: options.users }, (_, i) => `user ${i}`);
  const clients = userIds.flatMap((userId) =>
    Array.from({ length: options.sessionsPerUser }, () => {
      return new SoakClient({ userId, token: testToken({ userId }), random, agent });
    }),
  );
  const transports = options.transports ?? SOAK_TRANSPORTS;
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  const connect = (client: SoakClient, signal: AbortSignal) =>
    client.connect(pick(nodes).port, pick(transports), signal);

  const endMs = performance.now() + durationMs;
  const roam = async (client: SoakClient): Promise<void> => {
    while (performance.now() < endMs) {
      const lifeMs = LIFE_MS[0] + random() * (LIFE_MS[1] - LIFE_MS[0]);
      await connect(client, AbortSignal.timeout(Math.ceil(lifeMs)));
    }
  };
  const publishing = publishUntil(endMs, options, nodes, userIds, clients, random);
  const cuts = setInterval(() => void cutFor(pick(brokers), CUT_MS), options.cutEveryMs ?? durationMs * 2);
  await Promise.all(clients.map(roam));
  clearInterval(cuts);
  const accepted = await publishing;

  for (const broker of brokers) broker.calm();
  const staying = clients.map(() => new AbortController());
  const stays = clients.map(async (client, i) => {
    const { signal } = staying[i]!;
    while (!signal.aborted) await connect(client, signal);
  });
  // As after a reconnect: what was dropped last in a stream is looked for.
  await Promise.all(brokers.map((broker) => cutFor(broker, 0)));
  const [broker] = brokers as [FaultyBroker];
  const tops = await broker.tops(userIds);
  const isQuiet = (): boolean =>
    clients.every(({ witness }) => witness.cursor?.endsWith(tops.get(witness.userId)!.tag) === true);
  await eventually('all clients at the top', isQuiet, options.quietWithinMs ?? QUIET_WITHIN_MS).catch(() => {});
  const counts = new Map<string, Record<string, number>>();
  for (const userId of userIds) counts.set(userId, await broker.counters!.counts(userId));
  const witnesses = clients.map(({ witness }) => witness);
  const violations = [...violationsOf({ accepted, witnesses, tops, counts }), ...miscounts(accepted, counts)];
  const stats = nodes.map(({ usercast }) => usercast.stats());

  for (const controller of staying) controller.abort();
  await Promise.all(stays);
  agent.destroy();
  const leftovers = await leave(nodes, brokers, userIds, before);
  const sum = (transport: SoakTransport) => clients.reduce((all, { connections }) => all + connections[transport], 0);
  return {
    violations,
    leftovers,
    accepted: accepted.length,
    delivered: stats.reduce((all, { delivered }) => all + delivered, 0),
    resets: witnesses.reduce((all, { resets }) => all + resets, 0),
    connections: { websocket: sum('websocket'), sse: sum('sse'), poll: sum('poll') },
  };
}

/** Events to `kept` are never acked, those to `acked` now and then. What fails is published again under its id. */
async function publishUntil(
  endMs: number,
  { messagesPerSecond }: SoakOptions,
  nodes: readonly Node[],
  userIds: readonly string[],
  clients: readonly SoakClient[],
  random: () => number,
): Promise<Accepted[]> {
  const accepted: Accepted[] = [];
  let serial = 0;
  const underWay = new Set<Promise<void>>();
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)]!;
  const publish = async (): Promise<void> => {
    const fromMs = performance.now();
    const userId = pick(userIds);
    const event = textEvent(`event ${++serial}`, { boxId: random() < 0.5 ? 'kept' : 'acked' });
    for (;;) {
      try {
        await pick(nodes).usercast.publishEvent(userId, event);
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    accepted.push({ userId, id: event.id, boxId: event.box_id, fromMs });
  };
  const startMs = performance.now();
  for (let sent = 0; performance.now() < endMs; ) {
    for (const due = ((performance.now() - startMs) / 1_000) * messagesPerSecond; sent < due; sent++) {
      const one = publish().finally(() => underWay.delete(one));
      underWay.add(one);
      if (random() < 0.1) pick(clients).ack('acked');
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.all(underWay);
  return accepted;
}

/** The counts of the box that nobody acks, against how many events were accepted for it. */
function miscounts(accepted: readonly Accepted[], counts: ReadonlyMap<string, Record<string, number>>): string[] {
  return [...counts].flatMap(([userId, { kept = 0 }]) => {
    const wanted = accepted.filter((one) => one.userId === userId && one.boxId === 'kept').length;
    return kept === wanted ? [] : [`${userId}: counts ${kept} of ${wanted} accepted events`];
  });
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

async function leave(
  nodes: readonly Node[],
  brokers: readonly Broker[],
  userIds: readonly string[],
  timersBefore: number,
): Promise<string[]> {
  const left: string[] = [];
  const expectSoon = async (what: string, check: () => boolean | Promise<boolean>): Promise<void> => {
    await eventually(what, check, 30_000).catch(({ message }: Error) => left.push(message));
  };
  for (const [i, { usercast }] of nodes.entries()) {
    await expectSoon(`no session on node ${i}`, () => usercast.stats().sessions === 0);
    await expectSoon(`no subscription on node ${i}`, () => usercast.stats().users === 0);
  }
  await expectSoon('nobody online', async () => (await brokers[0]!.online(userIds)).size === 0);
  for (const { usercast, server, detach } of nodes) {
    detach();
    await usercast.close();
    for (const name of ['upgrade', 'request'] as const) {
      if (server.listenerCount(name) > 0) left.push(`a listener of ${name}`);
    }
    await expectSoon(
      'no socket',
      () => new Promise((resolve) => server.getConnections((_, count) => resolve(count === 0))),
    );
    server.close();
  }
  for (const broker of brokers) await broker.close();
  await expectSoon('no timer', () => timers() <= timersBefore);
  return left;
}
