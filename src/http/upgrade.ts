// One WebSocket handshake, from the `upgrade` event to the 101 or the refusal. The socket may die at any moment of it.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { setTimer, type Timer } from '../timers.ts';
import type { Transport, TransportOwner } from '../transports/transport.ts';
import type { DoorRules } from './door-engine.ts';
import { decodeUserId, methodOf, type Target } from './endpoint.ts';
import { cursorOf, Handshake, offeredProtocols, selectedProtocol, V1 } from './handshake.ts';
import { refuseUpgrade } from './refuse.ts';
import { tokenOf } from './token.ts';

/** ```
 * verifying --> opening --> over
 *      '--------------------^
 * ``` */
type Stage = 'verifying' | 'opening' | 'over';

/** What refuses a handshake that takes too long, by what it waits for. */
const TOO_SLOW = { verifying: 'verifier_unavailable', opening: 'broker_unavailable' } as const satisfies Record<
  Exclude<Stage, 'over'>,
  RefusalCode
>;

const UNWATCHED_MS = 50;

/** A handshake of ours. `begin` once. */
export class Upgrade {
  readonly #rules: DoorRules;
  readonly #req: IncomingMessage;
  readonly #socket: Duplex;
  readonly #head: Buffer;
  readonly #target: Target;
  #stage: Stage = 'verifying';
  #handshake: Handshake | null = null;
  /** Known once the request has been found to be a WebSocket handshake. */
  #protocol: string | undefined;
  #timer: Timer | undefined;

  constructor(rules: DoorRules, req: IncomingMessage, socket: Duplex, head: Buffer, target: Target) {
    socket.on('error', this.#gone);
    this.#rules = rules;
    this.#req = req;
    this.#socket = socket;
    this.#head = head;
    this.#target = target;
  }

  /** Never throws. */
  async begin(): Promise<void> {
    try {
      await this.#open();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  async #open(): Promise<void> {
    const { engine, admission, origins, addresses } = this.#rules;
    const protocols = offeredProtocols(this.#req);
    this.#protocol = selectedProtocol(protocols);
    if (engine.draining()) throw new Refusal('restarting');
    if (!admission.take()) throw new Refusal('overloaded', 'too many handshakes at a time: try again later');
    const userId = decodeUserId(this.#target.rawUserId);
    const address = addresses.of(this.#req);
    const host = addresses.hostOf(this.#req);
    const handshake = new Handshake(this.#req, { userId, transport: 'websocket', address, host });
    this.#handshake = handshake;
    origins.check(handshake);
    const token = tokenOf(this.#req, protocols);
    const cursor = cursorOf(this.#req);

    this.#timer = setTimer(this.#watch, Math.min(UNWATCHED_MS, engine.options.limits.handshakeTimeoutMs));
    const identity = await engine.authenticate!(token, handshake);
    if (this.#isOver()) return;
    this.#stage = 'opening';
    const isTold = this.#protocol === V1;
    const { startedMs } = handshake;
    const owner = await engine.open({ userId, identity, transport: 'websocket', address, startedMs, isTold, cursor });
    if (this.#isOver()) owner.closed(1006, '');
    else this.#accept(owner);
  }

  #accept(owner: TransportOwner): void {
    this.#settle();
    try {
      this.#rules.engine.accept(this.#req, this.#socket, this.#head, owner, this.#protocol);
      this.#socket.off('error', this.#gone);
    } catch (cause) {
      this.#rules.engine.failed('connection', cause);
      this.#socket.destroy();
      owner.closed(1006, '');
    }
  }

  /** The state can change during each await; a socket that died unheard counts as well. */
  #isOver(): boolean {
    if (this.#stage !== 'over' && this.#isDead) this.#gone();
    return this.#stage === 'over';
  }

  get #isDead(): boolean {
    const { destroyed, writable, readableEnded } = this.#socket;
    return destroyed || !writable || readableEnded;
  }

  /** Only a slow handshake listens for its client's end: most are over sooner, and listeners cost an idle socket memory. */
  readonly #watch = (): void => {
    if (this.#isOver()) return;
    this.#socket.on('end', this.#gone);
    this.#socket.on('close', this.#gone);
    const { handshakeTimeoutMs } = this.#rules.engine.options.limits;
    this.#timer = setTimer(this.#tooSlow, Math.max(0, handshakeTimeoutMs - UNWATCHED_MS));
  };

  readonly #gone = (): void => {
    if (this.#stage === 'over') return;
    this.#settle();
    this.#handshake?.end();
    this.#socket.destroy();
  };

  readonly #tooSlow = (): void => {
    if (this.#stage === 'over') return;
    const { handshakeTimeoutMs } = this.#rules.engine.options.limits;
    const refusal = new Refusal(TOO_SLOW[this.#stage], `the handshake took longer than ${handshakeTimeoutMs} ms`);
    this.#refuse(refusal);
    this.#handshake?.end();
  };

  #fail(cause: unknown): void {
    if (this.#stage === 'over') return;
    if (cause instanceof Refusal) {
      this.#refuse(cause);
      return;
    }
    this.#rules.engine.failed('connection', cause);
    this.#refuse(new Refusal('internal_error'));
  }

  #refuse(refusal: Refusal): void {
    this.#settle();
    const { engine, addresses } = this.#rules;
    // A browser cannot read the status of a failed upgrade.
    if (this.#protocol === V1) this.#accept(new RefusedOwner(refusal));
    else refuseUpgrade(this.#socket, refusal, methodOf(this.#target.endpoint));
    const known = this.#handshake === null ? {} : { userId: this.#handshake.userId };
    const address = this.#handshake?.address ?? addresses.of(this.#req);
    const { code, message: detail } = refusal;
    engine.refused({ code, status: refusal.row.status, detail, ...known, address, transport: 'websocket' });
  }

  /** Ends the handshake; the `error` listener stays for as long as nobody else listens. */
  #settle(): void {
    this.#stage = 'over';
    clearTimeout(this.#timer);
    this.#socket.off('end', this.#gone);
    this.#socket.off('close', this.#gone);
  }
}

/** A client that is let in only to be told by a close code why it may not come in. */
class RefusedOwner implements TransportOwner {
  readonly #refusal: Refusal;

  constructor(refusal: Refusal) {
    this.#refusal = refusal;
  }

  start(transport: Transport): void {
    const { close, reason } = this.#refusal.row;
    transport.close(close, reason);
  }

  receive(): void {}
  receiveBinary(): void {}
  alive(): void {}
  drained(): void {}
  closed(): void {}
}
