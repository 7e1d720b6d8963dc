// One HTTP request of ours, from its first line to its answer. An event stream is handed over to its session when it
// begins; every other answer is given here.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identity } from '../auth/token-verifier.ts';
import { decodeAck } from '../protocol/codec.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { setTimer, type Timer } from '../timers.ts';
import { SseTransport } from '../transports/sse.ts';
import type { TransportKind } from '../transports/transport.ts';
import { readJson } from './body.ts';
import { answerPreflight, isPreflight, letRead, varyByOrigin } from './cors.ts';
import type { DoorRules } from './door-engine.ts';
import { decodeUserId, type Endpoint, methodOf, type Target } from './endpoint.ts';
import { eventStreamCursorOf, Handshake } from './handshake.ts';
import { pollQueryOf } from './poll-query.ts';
import { isAnswerable, PRIVATE_HEADERS, refuseRequest } from './refuse.ts';
import { tokenOf } from './token.ts';

/** What refuses a request that takes too long, by what it waits for. */
const TOO_SLOW = {
  verifying: 'verifier_unavailable',
  reading: 'malformed_body',
  serving: 'broker_unavailable',
} as const satisfies Record<string, RefusalCode>;

const TRANSPORTS: Readonly<Record<Endpoint, TransportKind>> = {
  ws: 'http',
  sse: 'sse',
  messages: 'poll',
  counts: 'http',
  ack: 'http',
};

/** The mean; each client of an event stream gets its own, for all come back at once when a process dies. */
const RETRY_MS = 2_000;

/** A request of ours. `answer` once. */
export class EndpointRequest {
  readonly #rules: DoorRules;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #target: Target;
  readonly #address: string;
  #stage: keyof typeof TOO_SLOW = 'verifying';
  #handshake: Handshake | null = null;
  #timer: Timer | undefined;

  constructor(rules: DoorRules, req: IncomingMessage, res: ServerResponse, target: Target) {
    this.#rules = rules;
    this.#req = req;
    this.#res = res;
    this.#target = target;
    this.#address = rules.addresses.of(req);
  }

  /** Never throws. */
  async answer(): Promise<void> {
    this.#timer = setTimer(this.#tooSlow, this.#rules.engine.options.limits.handshakeTimeoutMs);
    this.#res.once('close', this.#gone);
    if (!this.#res.socket) this.#req.socket.once('close', this.#goneUnheard);
    try {
      await this.#serve();
    } catch (cause) {
      this.#fail(cause);
    }
  }

  async #serve(): Promise<void> {
    if (!isAnswerable(this.#res)) return;
    const { engine, addresses, admission } = this.#rules;
    const { endpoint, rawUserId } = this.#target;
    const method = methodOf(endpoint);
    const host = addresses.hostOf(this.#req);
    this.#checkOrigin(host);
    if (engine.options.cors && isPreflight(this.#req)) {
      answerPreflight(this.#req, this.#res, method);
      return;
    }
    if (engine.draining()) throw new Refusal('restarting');
    if (this.#req.method !== method) throw new Refusal('method_not_allowed', `this endpoint takes ${method} alone`);
    if (endpoint === 'ws') {
      throw new Refusal('upgrade_required', 'this endpoint is a WebSocket; does a proxy drop the Upgrade header?');
    }
    if (endpoint === 'sse' && !admission.take()) {
      throw new Refusal('overloaded', 'too many handshakes at a time: try again later');
    }
    const userId = decodeUserId(rawUserId);
    const transport = TRANSPORTS[endpoint];
    const handshake = new Handshake(this.#req, { userId, transport, address: this.#address, host });
    this.#handshake = handshake;
    if (endpoint === 'sse') await this.#stream(handshake);
    else if (endpoint === 'messages') await this.#poll(handshake);
    else if (endpoint === 'counts') await this.#counts(handshake);
    else await this.#ack(handshake);
  }

  /** First of all, so that a page may read every answer but the one that it has no business here. */
  #checkOrigin(host: string | undefined): void {
    const { engine, origins } = this.#rules;
    const { origin } = this.#req.headers;
    const { cors } = engine.options;
    if (cors) varyByOrigin(this.#res);
    origins.check({ address: this.#address, origin, host });
    if (cors && origin !== undefined) letRead(this.#res, origin);
  }

  async #authenticated(handshake: Handshake): Promise<Identity> {
    const identity = await this.#rules.engine.authenticate!(tokenOf(this.#req, []), handshake);
    this.#stage = 'serving';
    return identity;
  }

  async #stream(handshake: Handshake): Promise<void> {
    const { engine } = this.#rules;
    const { userId, address, startedMs } = handshake;
    const cursor = eventStreamCursorOf(this.#req);
    const identity = await this.#authenticated(handshake);
    if (!isAnswerable(this.#res)) return;
    const owner = await engine.open({ userId, identity, transport: 'sse', address, startedMs, isTold: true, cursor });
    clearTimeout(this.#timer);
    if (!isAnswerable(this.#res)) {
      owner.closed(1006, '');
      return;
    }
    const retryMs = Math.round(RETRY_MS * (0.5 + Math.random()));
    new SseTransport(this.#res, owner, { retryMs, stuckMs: engine.options.heartbeat.intervalMs }).open();
  }

  async #poll(handshake: Handshake): Promise<void> {
    const { engine } = this.#rules;
    const { userId, address, signal, startedMs } = handshake;
    const query = pollQueryOf(this.#req);
    const identity = await this.#authenticated(handshake);
    if (!isAnswerable(this.#res)) return;
    // What the engine asks of the broker has deadlines of its own, and the rest is the wait that the client wants.
    clearTimeout(this.#timer);
    const { maxBufferedBytes: maxBytes } = engine.options.limits;
    const { messages, cursor, reset } = await engine.poll({
      userId,
      identity,
      address,
      startedMs,
      ...query,
      maxBytes,
      signal,
    });
    const end = reset === null ? '' : `,"reset":"${reset}"`;
    this.#send(200, `{"messages":[${messages.join(',')}],"cursor":"${cursor}"${end}}`);
  }

  async #counts(handshake: Handshake): Promise<void> {
    await this.#authenticated(handshake);
    const { counts, cursor } = await this.#rules.engine.counts(handshake.userId);
    this.#send(200, JSON.stringify({ counts, cursor }));
  }

  async #ack(handshake: Handshake): Promise<void> {
    const { userId } = handshake;
    await this.#authenticated(handshake);
    if (!isAnswerable(this.#res)) return;
    const { engine } = this.#rules;
    this.#stage = 'reading';
    const ack = decodeAck(await readJson(this.#req, engine.options.limits.maxMessageBytes), 'body');
    if (!ack.ok) throw new Refusal('malformed_body', ack.message);
    if (ack.senderId !== userId) throw new Refusal('wrong_user', 'body.sender_id: must be the user id in the path');
    this.#stage = 'serving';
    await engine.ack(userId, ack.boxId);
    this.#send(204);
  }

  readonly #gone = (): void => {
    clearTimeout(this.#timer);
    this.#handshake?.end();
  };

  /** Node tells a response that waits behind another on its connection nothing of the connection's end. */
  readonly #goneUnheard = (): void => {
    if (!this.#res.closed) this.#res.destroy().emit('close');
  };

  readonly #tooSlow = (): void => {
    const { handshakeTimeoutMs } = this.#rules.engine.options.limits;
    this.#refuse(new Refusal(TOO_SLOW[this.#stage], `the request took longer than ${handshakeTimeoutMs} ms`));
    this.#handshake?.end();
  };

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
    const { endpoint } = this.#target;
    if (this.#stage === 'reading' && !this.#req.complete) this.#res.setHeader('Connection', 'close');
    refuseRequest(this.#res, refusal, methodOf(endpoint));
    const known = this.#handshake === null ? {} : { userId: this.#handshake.userId };
    const { code, row } = refusal;
    const transport = TRANSPORTS[endpoint];
    this.#rules.engine.refused({
      code,
      status: row.status,
      detail: refusal.message,
      ...known,
      address: this.#address,
      transport,
    });
  }
}
