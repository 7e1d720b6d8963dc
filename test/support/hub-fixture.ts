// A hub over a scripted broker, with all that it tells: for the tests of sessions without sockets.

import type { Identity } from '../../src/auth/token-verifier.ts';
import type { Broker, StreamSlice } from '../../src/broker/broker.ts';
import type { ErrorStage } from '../../src/errors.ts';
import { type LimitOptions, resolveOptions } from '../../src/options.ts';
import type { SessionEvents, SessionStats } from '../../src/session/context.ts';
import { Hub } from '../../src/session/hub.ts';
import { Turns } from '../../src/session/send-queue.ts';
import type { Session, SessionOpening } from '../../src/session/session.ts';
import { Wheel } from '../../src/timers.ts';
import { FakeTransport } from './fake-transport.ts';
import { ScriptedBroker } from './scripted-broker.ts';

export interface Told {
  readonly name: keyof SessionEvents;
  readonly event: SessionEvents[keyof SessionEvents];
}

export class HubFixture<B extends Broker = ScriptedBroker> {
  readonly broker: B;
  readonly told: Told[] = [];
  readonly errors: { readonly stage: ErrorStage; readonly cause: unknown }[] = [];
  readonly acks: { readonly userId: string; readonly boxId: string }[] = [];
  readonly forgotten: string[] = [];
  readonly stats: SessionStats = {
    sessions: 0,
    connects: 0,
    disconnects: 0,
    delivered: 0,
    received: 0,
    slow: 0,
    resets: 0,
  };
  readonly hub: Hub;
  /** Runs when an event is told, as a listener of the host would. */
  listener: (told: Told) => void = () => {};
  /** Runs when a client acks. */
  ack: () => Promise<void> = async () => {};
  /** Whom a session's new token stands for. */
  authenticate: (accessToken: string) => Promise<Identity> = async () => ({ userId: 'ada' });

  /** The counts that go with a read. */
  countsOf: (slice: StreamSlice) => Promise<Readonly<Record<string, number>>> = async (slice) => slice.counts ?? {};

  /** The broker is a `ScriptedBroker` where none is given. */
  constructor(limits: LimitOptions = {}, broker?: B) {
    this.broker = broker ?? (new ScriptedBroker() as Broker as B);
    const { heartbeat, subscriptions, limits: resolvedLimits } = resolveOptions({ limits });
    this.hub = new Hub(this.broker, {
      heartbeat,
      subscriptions,
      limits: resolvedLimits,
      wheel: new Wheel(),
      turns: new Turns(),
      stats: this.stats,
      emit: (name, event) => {
        const told = { name, event };
        this.told.push(told);
        this.listener(told);
      },
      onError: (stage, cause) => this.errors.push({ stage, cause }),
      ack: (userId, boxId) => {
        this.acks.push({ userId, boxId });
        return this.ack();
      },
      authenticate: (_session, accessToken) => this.authenticate(accessToken),
      countsOf: (_userId, slice) => this.countsOf(slice),
      forgetTokens: (userId) => this.forgotten.push(userId),
    });
  }

  names(): string[] {
    return this.told.map(({ name }) => name);
  }

  open(userId: string, opening: Partial<SessionOpening> = {}): Promise<Session> {
    return this.hub.open({
      userId,
      transport: 'websocket',
      address: '127.0.0.1',
      startedMs: performance.now(),
      identity: { userId },
      isTold: false,
      cursor: null,
      ...opening,
    });
  }

  /** A session that is live on a pipe of its own. */
  async start(userId: string, opening: Partial<SessionOpening> = {}) {
    const session = await this.open(userId, opening);
    const pipe = new FakeTransport({ isV1: opening.isTold ?? false, kind: session.transport });
    session.start(pipe);
    return { session, pipe };
  }
}
