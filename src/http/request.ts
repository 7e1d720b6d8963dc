// One HTTP request of ours, from its first line to its answer: `counts` and `ack`, and `ws` without an upgrade.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { decodeAck } from '../protocol/codec.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { setTimer } from '../timers.ts';
import { readJson } from './body.ts';
import type { DoorRules } from './door-engine.ts';
import { decodeUserId, methodOf, type Target } from './endpoint.ts';
import { Handshake } from './handshake.ts';
import { isAnswerable, PRIVATE_HEADERS, refuseRequest } from './refuse.ts';
import { tokenOf } from './token.ts';

/** What refuses a request that takes too long, by what it waits for. */
const TOO_SLOW = {
  verifying: 'verifier_unavailable',
  reading: 'malformed_body',
  serving: 'broker_unavailable',
} as const satisfies Record<string, RefusalCode>;

/** A request of ours. `answer` once. */
export class EndpointRequest {
  readonly #rules: DoorRules;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #target: Target;
  #stage: keyof typeof TOO_SLOW = 'verifying';
  #handshake: Handshake | null = null;

  constructor(rules: DoorRules, req: IncomingMessage, res: ServerResponse, target: Target) {
    this.#rules = rules;
    this.#req = req;
    this.#res = res;
    this.#target = target;
  }

  /** Never throws. */
  async answer(): Promise<void> {
    const { handshakeTimeoutMs } = this.#rules.engine.options.limits;
    const timer = setTimer(() => {
      this.#refuse(new Refusal(TOO_SLOW[this.#stage], `the request took longer than ${handshakeTimeoutMs} ms`));
      this.#handshake?.end();
    }, handshakeTimeoutMs);
    this.#res.once('close', () => {
      clearTimeout(timer);
      this.#handshake?.end();
    });
    try {
      await this.#serve();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  async #serve(): Promise<void> {
    const { engine } = this.#rules;
    if (engine.draining()) throw new Refusal('restarting');
    const method = methodOf(this.#target.endpoint);
    if (this.#req.method !== method) throw new Refusal('method_not_allowed', `this endpoint takes ${method} alone`);
    if (this.#target.endpoint === 'ws') {
      throw new Refusal('upgrade_required', 'this endpoint is a WebSocket; does a proxy drop the Upgrade header?');
    }
    const userId = await this.#authenticated();
    if (this.#target.endpoint === 'counts') await this.#counts(userId);
    else await this.#ack(userId);
  }

  async #authenticated(): Promise<string> {
    const { engine, origins, addresses } = this.#rules;
    const userId = decodeUserId(this.#target.rawUserId);
    const address = addresses.of(this.#req);
    const host = addresses.hostOf(this.#req);
    this.#handshake = new Handshake(this.#req, { userId, transport: 'http', address, host });
    origins.check(this.#handshake);
    await engine.authenticate!(tokenOf(this.#req, []), this.#handshake);
    return userId;
  }

  async #counts(userId: string): Promise<void> {
    this.#stage = 'serving';
    const { counts, cursor } = await this.#rules.engine.counts(userId);
    this.#send(200, JSON.stringify({ counts, cursor }));
  }

  async #ack(userId: string): Promise<void> {
    if (!isAnswerable(this.#res)) return;
    const { engine } = this.#rules;
    this.#stage = 'reading';
    const ack = decodeAck(await readJson(this.#req, engine.options.limits.maxMessageBytes));
    if (!ack.ok) throw new Refusal('malformed_body', ack.message);
    if (ack.senderId !== userId) throw new Refusal('wrong_user', 'object.sender_id: must be the user id in the path');
    this.#stage = 'serving';
    await engine.ack(userId, ack.boxId);
    this.#send(204);
  }

  #send(status: number, json?: string): void {
    if (!isAnswerable(this.#res)) return;
    const content =
      json === undefined
        ? {}
        : { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': Buffer.byteLength(json) };
    this.#res.writeHead(status, { ...content, ...PRIVATE_HEADERS });
    this.#res.end(json);
  }

  #fail(cause: unknown): void {
    if (cause instanceof Refusal) {
      this.#refuse(cause);
      return;
    }
    this.#rules.engine.failed('connection', cause);
    this.#refuse(new Refusal('internal_error'));
  }

  #refuse(refusal: Refusal): void {
    if (!isAnswerable(this.#res)) return;
    const { engine, addresses } = this.#rules;
    if (this.#stage === 'reading' && !this.#req.complete) this.#res.setHeader('Connection', 'close');
    refuseRequest(this.#res, refusal, methodOf(this.#target.endpoint));
    const known = this.#handshake === null ? {} : { userId: this.#handshake.userId };
    const address = this.#handshake?.address ?? addresses.of(this.#req);
    engine.refused({ code: refusal.code, status: refusal.row.status, ...known, address, transport: 'http' });
  }
}
