// What comes out of a scene: waits until it is quiet, lets the checker look at the evidence, and looks for what is left.

import { encodeCursor, type Position } from '../../../src/protocol/cursor.ts';
import { violationsOf } from '../invariants.ts';
import { eventually } from '../raw-client.ts';
import type { SoakClient, SoakTransport } from '../soak-client.ts';
import type { LoadPublisher } from './load-publisher.ts';
import type { ServerProcess } from './server-process.ts';

/** How long it took, in milliseconds from the moment that was asked. */
export interface Repair {
  /** Until a new message was accepted for every user. */
  readonly acceptedMs: number;
  /** Until every client had it. */
  readonly caughtUpMs: number;
}

export interface SceneReport {
  readonly seed: number;
  /** What did not hold, one line each. */
  readonly violations: readonly string[];
  /** What was still there when all had left and everything was closed, and what never became quiet. */
  readonly leftovers: readonly string[];
  /** Messages that were accepted, times their recipients. */
  readonly accepted: number;
  /** Messages that clients got. */
  readonly delivered: number;
  readonly resets: number;
  readonly resetReasons: Readonly<Record<string, number>>;
  /** Open connections of clients that broke or were ended; of polls, answers that did not come after one that did. */
  readonly reconnects: Readonly<Record<SoakTransport, number>>;
  /** Attempts of clients to connect that were refused. */
  readonly refused: number;
  /** Attempts to publish that failed, and were made again. */
  readonly failedPublishes: number;
  /** Recipients that an attempt to publish found to have the message already. */
  readonly duplicates: number;
  /** Milliseconds from the first attempt to publish a message to its acceptance, at most. */
  readonly slowestPublishMs: number;
  readonly repairs: readonly Repair[];
  /** The longest `caughtUpMs` of the repairs. */
  readonly repairMs: number;
  readonly connections: Readonly<Record<SoakTransport, number>>;
  /** The `error` events of the processes that still ran, and how often. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface SceneEvidence {
  readonly seed: number;
  readonly servers: readonly ServerProcess[];
  /** Asked for positions and counts. */
  readonly witness: ServerProcess;
  readonly clients: readonly SoakClient[];
  readonly userIds: readonly string[];
  readonly publisher: LoadPublisher;
  readonly repairs: readonly Repair[];
  readonly dense: boolean;
  readonly exactCounts: boolean;
  readonly keepsAll: boolean;
  readonly mayBeSplit: boolean;
  readonly quietWithinMs: number;
  /** Known so far. */
  readonly leftovers: readonly string[];
  /** All clients go. */
  readonly leave: () => Promise<void>;
}

/** No guarantees: when to stop waiting for what does not come, also on a busy machine. */
const GONE_WITHIN_MS = 20_000;
const COUNTED_WITHIN_MS = 30_000;

export async function reportOn(evidence: SceneEvidence): Promise<SceneReport> {
  const { clients, publisher, repairs, servers } = evidence;
  const leftovers = [...evidence.leftovers];
  const violations = await violationsIn(evidence);
  const errors = tally((await Promise.all(live(servers).map((server) => server.errors()))).flat().map(nameOf));
  await evidence.leave();
  leftovers.push(...(await leftoversIn(evidence)));
  const sum = (count: (client: SoakClient) => number): number => clients.reduce((all, one) => all + count(one), 0);
  const byTransport = (counts: (client: SoakClient) => Record<SoakTransport, number>) => ({
    websocket: sum((client) => counts(client).websocket),
    sse: sum((client) => counts(client).sse),
    poll: sum((client) => counts(client).poll),
  });
  return {
    seed: evidence.seed,
    violations,
    leftovers,
    accepted: publisher.accepted.length,
    delivered: sum(({ witness }) => witness.log.filter(({ kind }) => kind === 'message').length),
    resets: sum(({ witness }) => witness.resets),
    resetReasons: tally(clients.flatMap(({ witness }) => witness.resetReasons)),
    reconnects: byTransport(({ lost }) => lost),
    refused: sum(({ refused }) => refused),
    failedPublishes: publisher.failed,
    duplicates: publisher.duplicates,
    slowestPublishMs: Math.round(publisher.slowestMs),
    repairs,
    repairMs: Math.max(0, ...repairs.map(({ caughtUpMs }) => caughtUpMs)),
    connections: byTransport(({ connections }) => connections),
    errors,
  };
}

const live = (servers: readonly ServerProcess[]): ServerProcess[] => servers.filter(({ isLeaving }) => !isLeaving);
const nameOf = ({ stage, message }: { stage: string; message: string }): string => `${stage}: ${message}`;

function tally(names: readonly string[]): Record<string, number> {
  const times: Record<string, number> = {};
  for (const name of names) times[name] = (times[name] ?? 0) + 1;
  return times;
}

async function violationsIn(evidence: SceneEvidence): Promise<string[]> {
  const {
    witness: server,
    clients,
    userIds,
    publisher,
    dense,
    exactCounts,
    keepsAll,
    mayBeSplit,
    quietWithinMs,
  } = evidence;
  const { accepted } = publisher;
  let tops: ReadonlyMap<string, Position> = new Map();
  let counts = new Map<string, Record<string, number>>();
  const areAtTheTop = (): boolean =>
    clients.every(({ witness }) => {
      const top = tops.get(witness.userId);
      return top !== undefined && witness.cursor === encodeCursor(top);
    });
  // A client's ack may still be on its way: counts are of the same moment when the tops stand before and after.
  const look = async (): Promise<boolean> => {
    const before = JSON.stringify([...tops]);
    tops = await server.tops(userIds);
    if (!areAtTheTop() || JSON.stringify([...tops]) !== before) return false;
    counts = new Map(await Promise.all(userIds.map(async (id) => [id, await server.counts(id)] as const)));
    return JSON.stringify([...(await server.tops(userIds))]) === before && areAtTheTop();
  };
  // Who is not there in time is a violation that the checker names.
  await eventually('all clients at the top', () => look().catch(() => false), quietWithinMs).catch(() => {});
  const witnesses = clients.map(({ witness }) => witness);
  const areCounted = async (): Promise<boolean> => {
    for (const userId of userIds) if (!counts.has(userId)) counts.set(userId, await server.counts(userId));
    return true;
  };
  await eventually('all counts are told', () => areCounted().catch(() => false), COUNTED_WITHIN_MS);
  const miscounts = [...counts].flatMap(([userId, { kept = 0 }]) => {
    const wanted = accepted.filter((one) => one.userId === userId && one.boxId === 'kept').length;
    return kept === wanted ? [] : [`${userId}: counts ${kept} of ${wanted} accepted events`];
  });
  return [
    ...violationsOf({ accepted, witnesses, tops, counts, dense, exactCounts, mayBeSplit }),
    ...(keepsAll ? miscounts : []),
  ];
}

async function leftoversIn({ servers, userIds }: SceneEvidence): Promise<string[]> {
  const left: string[] = [];
  const expectSoon = async (what: string, check: () => Promise<boolean>): Promise<void> => {
    // A server that is late to answer is asked again.
    const holds = () => check().catch(() => false);
    await eventually(what, holds, GONE_WITHIN_MS).catch(({ message }: Error) => left.push(message));
  };
  const staying = live(servers);
  for (const server of staying) {
    await expectSoon(`no session and no subscription on port ${server.port}`, async () => {
      const { sessions, users } = await server.stats();
      return sessions === 0 && users === 0;
    });
  }
  await expectSoon('nobody online', async () => (await staying[0]?.online(userIds))?.length === 0);
  for (const server of staying) left.push(...(await server.close()));
  for (const { accident } of servers) if (accident) left.push(accident);
  return left;
}
