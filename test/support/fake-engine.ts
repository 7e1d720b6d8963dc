// An engine for the door's own tests: it notes what it is told, and every session echoes.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { createAuthenticator } from '../../src/auth/authenticate.ts';
import type { Identity, TokenVerifier } from '../../src/auth/token-verifier.ts';
import { type ErrorStage, UsercastError } from '../../src/errors.ts';
import { Door, type DoorEngine, type RefusedInfo } from '../../src/http/door.ts';
import type { ResolvedOptions } from '../../src/options.ts';
import type { PollAnswer, PollOpening } from '../../src/session/poll.ts';
import type { SessionOpening } from '../../src/session/session.ts';
import type { Transport, TransportOwner } from '../../src/transports/transport.ts';
import { WebSocketAcceptor } from '../../src/transports/websocket.ts';

/** The token that the fake's verifier takes for a user. */
export function tokenFor(userId: string): string {
  return `token-of-${userId}`;
}

/** Takes the tokens of `tokenFor`. */
export const tokenVerifier: TokenVerifier = {
  async verify(token): Promise<Identity> {
    if (!token.startsWith('token-of-')) throw new UsercastError('token_invalid', 'no such token');
    return { userId: token.slice('token-of-'.length) };
  },
};

/** The options of a usercast, as resolved, with the changes of a test. */
export interface FakeOptions extends Partial<Omit<ResolvedOptions, 'limits'>> {
  /** Sockets are those of usercast, and no session echoes. */
  readonly usesRealSockets?: boolean;
  readonly limits?: Partial<ResolvedOptions['limits']>;
}

export class FakeEngine implements DoorEngine {
  readonly options: ResolvedOptions;
  readonly authenticate: DoorEngine['authenticate'];
  readonly opened: SessionOpening[] = [];
  readonly polled: PollOpening[] = [];
  /** What sessions were started on. */
  readonly pipes: Transport[] = [];
  readonly acked: { readonly userId: string; readonly boxId: string }[] = [];
  readonly refusals: RefusedInfo[] = [];
  readonly failures: { readonly stage: ErrorStage; readonly cause: unknown }[] = [];
  isDraining = false;
  /** Sessions that were opened and not closed. */
  live = 0;
  /** What polls are answered with. */
  pollAnswer: PollAnswer = { messages: [], cursor: 'cursor', reset: null };
  /** Runs within `open`, `poll`, `counts` and `ack`. */
  step: () => Promise<void> | void = () => {};
  /** Whether something waits because of `hold`. */
  isHeld = false;
  readonly #sockets = new WebSocketServer({ noServer: true, clientTracking: false });
  readonly #acceptor: WebSocketAcceptor | null;

  constructor({ usesRealSockets = false, ...options }: FakeOptions = {}) {
    this.options = {
      verifier: tokenVerifier,
      broker: null,
      counters: null,
      path: '/box-users/:id',
      authorize: (identity, userId) => identity.userId === userId,
      allowedOrigins: null,
      cors: false,
      heartbeat: { intervalMs: 60_000, pingMs: 25_000 },
      subscriptions: { lingerMs: 3_000, checkMs: 25_000, catchUpMs: 5_000 },
      countable: () => true,
      events: {},
      notifications: {},
      trustProxy: false,
      ...options,
      limits: {
        maxMessageBytes: 8_192,
        messagesPerSecond: 10,
        maxPublishBytes: 524_288,
        maxBufferedBytes: 1_048_576,
        maxConnections: 100_000,
        maxConnectionsPerUser: 20,
        maxConnectionsPerAddress: 0,
        handshakesPerSecond: 0,
        handshakeTimeoutMs: 10_000,
        deadlineMs: 4_000,
        ...options.limits,
      },
    };
    const { verifier: chosen, authorize, limits } = this.options;
    this.#acceptor = usesRealSockets ? new WebSocketAcceptor(limits) : null;
    this.authenticate =
      chosen &&
      createAuthenticator({
        verifier: chosen,
        authorize,
        deadlineMs: limits.deadlineMs,
        onError: (stage, cause) => this.failed(stage, cause),
      });
  }

  /** Lets `open`, `poll`, `counts` and `ack` wait until the returned function is called. */
  hold(): () => void {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.step = () => {
      this.isHeld = true;
      return released;
    };
    return release;
  }

  async open(opening: SessionOpening): Promise<TransportOwner> {
    await this.step();
    this.opened.push(opening);
    this.live++;
    let isOpen = true;
    return {
      start: (pipe) => this.pipes.push(pipe),
      receive: () => {},
      receiveBinary: () => {},
      alive: () => {},
      drained: () => {},
      closed: () => {
        if (isOpen) this.live--;
        isOpen = false;
      },
    };
  }

  async poll(opening: PollOpening): Promise<PollAnswer> {
    this.polled.push(opening);
    await this.step();
    return this.pollAnswer;
  }

  accept(req: IncomingMessage, socket: Duplex, head: Buffer, owner: TransportOwner, protocol?: string): void {
    if (this.#acceptor) {
      this.#acceptor.accept(req, socket, head, owner, protocol);
      return;
    }
    this.#sockets.options.handleProtocols = () => protocol ?? false;
    this.#sockets.handleUpgrade(req, socket, head, (ws) => {
      ws.on('message', (data) => ws.send(`echo ${data}`));
      ws.on('close', (code, reason) => owner.closed(code, String(reason)));
      ws.on('error', () => {});
    });
  }

  async counts(userId: string) {
    await this.step();
    return { counts: { [`box-of-${userId}`]: 2 }, cursor: 'cursor' };
  }

  async ack(userId: string, boxId: string): Promise<void> {
    await this.step();
    this.acked.push({ userId, boxId });
  }

  draining(): boolean {
    return this.isDraining;
  }

  refused(info: RefusedInfo): void {
    this.refusals.push(info);
  }

  failed(stage: ErrorStage, cause: unknown): void {
    this.failures.push({ stage, cause });
  }
}

/** A door with a fake engine behind it. */
export function fakeDoor(options: FakeOptions = {}): { readonly engine: FakeEngine; readonly door: Door } {
  const engine = new FakeEngine(options);
  return { engine, door: new Door(engine) };
}
