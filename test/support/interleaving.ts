// A small world in which everything that can happen to a stream and its clients happens in any order: two hubs over faulty
// brokers on the same streams, clients that come, go, stall and change their transport. Runs on fake timers.

import { type Broker, UsercastError } from 'usercast';
import { type BrokerFaults, type FaultyBroker, faultyBroker, type ModelBroker } from 'usercast/testing';
import { vi } from 'vitest';
import { decodeCursor, encodeCursor, type Position } from '../../src/protocol/cursor.ts';
import type { Session } from '../../src/session/session.ts';
import { messageTo } from '../../src/testing/broker-bench.ts';
import type { TransportKind } from '../../src/transports/transport.ts';
import { FakeTransport } from './fake-transport.ts';
import { HubFixture } from './hub-fixture.ts';
import { type Accepted, violationsOf, Witness } from './invariants.ts';

const TRANSPORTS = ['websocket', 'sse', 'poll'] as const;

/** What can happen next. Clients and nodes are named by number. */
export type Step =
  | { readonly do: 'publish'; readonly times: number; readonly unread: boolean }
  | { readonly do: 'ack' }
  | { readonly do: 'connect'; readonly client: number; readonly transport: number; readonly node: number }
  /** The client takes what has come so far, all or none of it, and is gone. */
  | { readonly do: 'drop'; readonly client: number; readonly reads: boolean }
  | { readonly do: 'stall' | 'drain'; readonly client: number }
  | { readonly do: 'faults'; readonly node: number; readonly faults: Partial<BrokerFaults> }
  | { readonly do: 'cut' | 'mend' | 'calm'; readonly node: number }
  | { readonly do: 'forget' | 'save' | 'rollBack' }
  | { readonly do: 'wait'; readonly ms: number };

const USER = 'ada';
const CLIENTS = 3;
const NODES = 2;
/** Longer than all the steps can last that a property takes, for every broker may be cut all the while. */
const ATTEMPTS = 3_000;
const ATTEMPT_MS = 50;

/** Takes bytes as long as its client reads, as a socket does. */
class Pipe extends FakeTransport {
  readonly session: Session;

  constructor(session: Session, kind: TransportKind) {
    super({ isV1: true, kind });
    this.session = session;
  }

  override awaitDrain(): void {
    super.awaitDrain();
    setTimeout(() => {
      if (!this.isStuck) this.drain(this.session);
    }, 1);
  }
}

class Client {
  readonly witness = new Witness(USER);
  /** Grows with each connection and drop: what belongs to an earlier one is not heard any more. */
  turn = 0;
  pipe: Pipe | AbortController | null = null;
  #read = 0;

  /** Takes what was written since the last time. */
  read(): void {
    if (!(this.pipe instanceof Pipe)) return;
    const { written } = this.pipe;
    for (const text of written.slice(this.#read)) this.witness.take(JSON.parse(text));
    this.#read = written.length;
  }

  connect(fixture: HubFixture<FaultyBroker>, kind: (typeof TRANSPORTS)[number]): void {
    if (this.pipe) return;
    const turn = ++this.turn;
    if (kind === 'poll') void this.#poll(fixture, turn);
    else void this.#open(fixture, turn, kind);
  }

  drop(reads: boolean): void {
    if (reads) this.read();
    this.turn++;
    const { pipe } = this;
    this.pipe = null;
    if (pipe instanceof Pipe) pipe.session.closed(1006, '');
    else pipe?.abort();
  }

  get #position(): Position | null {
    return this.witness.cursor === null ? null : (decodeCursor(this.witness.cursor) as Position);
  }

  async #open(fixture: HubFixture<FaultyBroker>, turn: number, transport: 'websocket' | 'sse'): Promise<void> {
    try {
      const session = await fixture.open(USER, { isTold: true, transport, cursor: this.#position });
      if (this.turn !== turn) {
        session.closed(1006, '');
        return;
      }
      const pipe = new Pipe(session, transport);
      pipe.close = () => this.drop(true);
      this.#read = 0;
      this.pipe = pipe;
      session.start(pipe);
    } catch {
      // Refused while the broker is away: a later step comes back.
    }
  }

  async #poll(fixture: HubFixture<FaultyBroker>, turn: number): Promise<void> {
    const abort = new AbortController();
    this.pipe = abort;
    try {
      // A poll carries no counts: as `…/counts` has them, with the cursor that they are as of.
      const { top, counts } = await fixture.broker.read(USER, null, 0);
      if (this.turn !== turn) return;
      this.witness.told(counts ?? {}, encodeCursor(top));
      while (this.turn === turn) {
        const answer = await fixture.hub.poll({
          userId: USER,
          address: '127.0.0.1',
          startedMs: performance.now(),
          identity: { userId: USER },
          cursor: this.#position,
          waitMs: 5_000,
          limit: 2,
          maxBytes: 1_000_000,
          signal: abort.signal,
        });
        if (this.turn !== turn) return;
        if (answer.reset) this.witness.reset(answer.cursor, null);
        this.witness.start(answer.cursor);
        for (const text of answer.messages) this.witness.take(JSON.parse(text));
        this.witness.cursor = answer.cursor;
      }
    } catch {
      if (this.turn === turn) this.pipe = null;
    }
  }
}

export interface World {
  /** A broker on the streams for each node. */
  readonly brokers: readonly Broker[];
  /** Where streams can be rolled back, or forgotten: what is not in the stream in the end is not asked for. */
  readonly survives?: (id: string) => boolean;
  readonly seed: number;
  /** Bytes that wait for a stalled client. */
  readonly maxBufferedBytes: number;
}

export interface Outcome {
  readonly violations: readonly string[];
  readonly resets: number;
  readonly delivered: number;
}

/** Takes the steps, ends every fault, lets all clients come back, and says what does not hold when it is quiet. */
export async function happen(steps: readonly Step[], world: World): Promise<Outcome> {
  const brokers = world.brokers.map((broker, node) =>
    faultyBroker(broker, { seed: world.seed + node, maxDelayMs: 30 }),
  );
  const nodes = brokers.map((broker) => new HubFixture({ maxBufferedBytes: world.maxBufferedBytes }, broker));
  const clients = Array.from({ length: CLIENTS }, () => new Client());
  const accepted: Accepted[] = [];
  let serial = 0;

  const append = async (payload: string, changes: Parameters<typeof messageTo>[2]): Promise<void> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        await brokers[attempt % NODES]!.publish(messageTo([USER], payload, changes));
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, ATTEMPT_MS));
      }
    }
    throw new UsercastError('publish_failed', 'the world never became calm enough');
  };
  const publish = async (unread: boolean): Promise<void> => {
    const id = `event ${++serial}`;
    const fromMs = performance.now();
    const payload = JSON.stringify({ type: 'event.new', object: { id, box_id: 'box' } });
    await append(payload, { id, ...(unread && { unread: { boxId: 'box' } }) });
    accepted.push({ userId: USER, id, boxId: 'box', fromMs });
  };
  const ack = (): Promise<void> => {
    const payload = JSON.stringify({ type: 'ack', object: { sender_id: USER, box_id: 'box' } });
    return append(payload, { id: `ack ${++serial}`, ack: { boxId: 'box' } });
  };
  const underWay: Promise<unknown>[] = [];

  const take = async (step: Step): Promise<void> => {
    if (step.do === 'publish') for (let i = 0; i < step.times; i++) underWay.push(publish(step.unread));
    else if (step.do === 'ack') underWay.push(ack());
    else if (step.do === 'connect') clients[step.client]!.connect(nodes[step.node]!, TRANSPORTS[step.transport]!);
    else if (step.do === 'drop') clients[step.client]!.drop(step.reads);
    else if (step.do === 'stall' || step.do === 'drain') {
      const { pipe } = clients[step.client]!;
      if (pipe instanceof Pipe) {
        pipe.isStuck = step.do === 'stall';
        if (step.do === 'drain') pipe.drain(pipe.session);
      }
    } else if (step.do === 'faults') brokers[step.node]!.set(step.faults);
    else if (step.do === 'forget') underWay.push(brokers[0]!.forget(USER).catch(() => {}));
    else if (step.do === 'save') brokers[0]!.save();
    else if (step.do === 'rollBack') {
      // A poll carries no counts, so it cannot be told that a roll-back within the epoch changed them: it starts anew.
      for (const client of clients) if (client.pipe instanceof AbortController) client.drop(false);
      brokers[0]!.rollBack();
    } else if (step.do === 'cut' || step.do === 'mend' || step.do === 'calm') brokers[step.node]![step.do]();
    await vi.advanceTimersByTimeAsync(step.do === 'wait' ? step.ms : 1);
    for (const client of clients) if (step.do !== 'wait' || step.ms > 50) client.read();
  };

  for (const step of steps) await take(step);
  for (const broker of brokers) broker.calm();
  const published = Promise.all(underWay);
  await vi.advanceTimersByTimeAsync(500);
  await published;
  for (const broker of brokers) {
    broker.cut();
    broker.mend();
  }
  for (let second = 0; second < 20; second++) {
    for (const client of clients) {
      await take({ do: 'drain', client: clients.indexOf(client) });
      client.connect(nodes[second % NODES]!, TRANSPORTS[second % TRANSPORTS.length]!);
    }
    await vi.advanceTimersByTimeAsync(500);
    for (const client of clients) client.read();
    const { tag } = (await brokers[0]!.tops([USER])).get(USER)!;
    if (second > 12 && clients.every(({ witness }) => witness.cursor?.endsWith(tag))) break;
  }
  const witnesses = clients.map(({ witness }) => witness);
  const violations = violationsOf({
    accepted: accepted.filter(({ id }) => world.survives?.(id) ?? true),
    witnesses,
    tops: await brokers[0]!.tops([USER]),
    counts: new Map([[USER, await brokers[0]!.counters!.counts(USER)]]),
  });
  for (const client of clients) client.drop(false);
  await vi.advanceTimersByTimeAsync(5_000);
  for (const [i, { hub, stats }] of nodes.entries()) {
    if (hub.users > 0 || stats.sessions > 0)
      violations.push(`node ${i} keeps ${hub.users} users, ${stats.sessions} sessions`);
    await hub.close();
  }
  const streams = world.brokers[0]!;
  if ((await streams.online([USER])).size > 0) violations.push('a subscription is left');
  for (const broker of brokers) await broker.close();
  return {
    violations,
    resets: witnesses.reduce((sum, { resets }) => sum + resets, 0),
    delivered: witnesses.reduce((sum, { log }) => sum + log.length, 0),
  };
}

/** Whether the id is still in the model's stream. */
export function survivesIn(model: ModelBroker): (id: string) => boolean {
  return (id) => model.stream(USER).some(({ payload }) => payload.includes(`"${id}"`));
}
