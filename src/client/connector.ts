// Keeps one connection to the server: opens it, notices that it is dead, comes back after a pause, on another transport
// where the best one is blocked, and with a new token before the old one ends. The client above it sees one stream.

import { PING, REFRESH } from '../protocol/event-types.ts';
import type { SessionClosing } from '../protocol/session-messages.ts';
import { Backoff } from './backoff.ts';
import { actionAfter, attemptsAfter, pauseAfter } from './close-codes.ts';
import { type ClientFailure, UsercastClientError } from './errors.ts';
import type { ResolvedConnectOptions } from './options.ts';
import { onWake } from './platform.ts';
import { type Ending, endingOf, type Target } from './target.ts';
import { Timers } from './timers.ts';
import { Tokens } from './tokens.ts';
import { TransportChoice } from './transport-choice.ts';
import { openPolling } from './transports/polling.ts';
import { openEventStream } from './transports/sse.ts';
import type { Envelope, OpenTransport, Pipe, TransportName, TransportSink } from './transports/transport.ts';
import { openWebSocket } from './transports/websocket.ts';

/** `connecting`, `live`: messages arrive; `waiting`: for the next attempt; `closed`: for good. */
export type ClientState = 'connecting' | 'live' | 'waiting' | 'closed';

/** What goes with a state. */
export interface StateDetail {
  /** The transport that is used or tried. */
  readonly transport: TransportName;
  /** With `waiting`: milliseconds until the next attempt. */
  readonly retryMs?: number;
  /** With `waiting` and `closed`: why. Absent after `close()`. */
  readonly error?: UsercastClientError;
}

/** What the connector works for. */
export interface ConnectorOwner {
  /** Where to carry on. */
  readonly cursor: string | undefined;
  /** `session.ready`, `session.reset` and every message that is not about the session. */
  receive(message: Envelope): void;
  /** Messages were lost: the next session starts anew. */
  lost(): void;
  changed(state: ClientState, detail: StateDetail): void;
  failed(error: UsercastClientError): void;
}

const OPENERS: Readonly<Record<TransportName, OpenTransport>> = {
  websocket: openWebSocket,
  sse: openEventStream,
  polling: openPolling,
};

/** From the start of an attempt to `session.ready`. */
const READY_MS = 10_000;
/** Beyond the server's own interval of pings. */
const SILENCE_MS = 10_000;
const PING_MS = 25_000;
const PONG_MS = 5_000;
/** A connection that held so long was a good one. */
const STABLE_MS = 10_000;
/** Between two refreshes of the token: one may end in less time than the server's warning comes before. */
const REFRESH_MS = 10_000;
/** Between two trials of the best transport, give or take a fifth. */
const UPGRADE_MS = 300_000;

/** Attempts that come to nothing before that is told: something may be wrong that no attempt puts right. */
const TELL_AFTER = 3;

const DEAD: Ending = { code: 1006, reason: 'no life sign' };
const NOTHING = (): void => {};

/**
 * ```
 * connecting ──▶ live
 *   ▲  ╲          │
 *   │   ▼         ▼
 *   └─ waiting ◀──┘        closed, from every state
 * ```
 * A live connection is also replaced at once, by `connecting`: with a new token, or on a better transport.
 */
export class Connector {
  readonly #target: Target;
  readonly #tokens: Tokens;
  readonly #owner: ConnectorOwner;
  readonly #choice: TransportChoice;
  readonly #backoff = new Backoff();
  readonly #timers = new Timers<'ready' | 'watch' | 'post' | 'probe' | 'refresh' | 'upgrade' | 'trial' | 'wait'>();
  readonly #stopWaking: () => void;
  #state: ClientState = 'connecting';
  /** The current attempt; what an earlier one reports is not heard. */
  #sink: TransportSink | null = null;
  #pipe: Pipe | null = null;
  #trial: Pipe | null = null;
  #posting: AbortController | null = null;
  #renewedAt = -REFRESH_MS;
  /** Attempts in a row that came to nothing. */
  #failures = 0;
  #liveSince = 0;
  #aliveAt = 0;
  #isHeard = false;
  /** What the server asked for with `retry:`, and whether the current pause is its wish. */
  #retryMs = 0;
  #isAsked = false;

  constructor(options: ResolvedConnectOptions, owner: ConnectorOwner) {
    this.#target = options.target;
    this.#tokens = new Tokens(options.token, (error) => owner.failed(error));
    this.#owner = owner;
    this.#choice = new TransportChoice(options.transports);
    this.#stopWaking = onWake((type) => this.#wake(type));
    void this.#connect();
  }

  get state(): ClientState {
    return this.#state;
  }

  get transport(): TransportName {
    return this.#choice.name;
  }

  /** Sends on the open pipe. null: it takes none, so `post` it. */
  send(text: string): boolean | null {
    const send = this.#pipe?.send;
    return send ? send(text) : null;
  }

  /** Posts an `ack`; null when the server took it. */
  async post(body: string): Promise<Ending | null> {
    const target = this.#target;
    const abort = new AbortController();
    this.#posting = abort;
    this.#timers.start('post', READY_MS, () => abort.abort());
    try {
      const headers = { 'Content-Type': 'application/json' };
      const token = this.#tokens.current;
      const response = await target.request(target.url('ack'), token, abort.signal, headers, body);
      if (response.status < 300) return null;
      const ending = await endingOf(response, token);
      if (ending.code === 4401 && this.#posting === abort) this.#end(ending);
      return ending;
    } catch {
      return { code: 1006, reason: 'no answer' };
    }
  }

  /** Ends for good. The first call wins. */
  close(error?: UsercastClientError): void {
    if (this.#state === 'closed') return;
    this.#stopWaking();
    this.#drop();
    this.#become('closed', error && { error });
  }

  #become(state: ClientState, detail?: Omit<StateDetail, 'transport'>): void {
    this.#state = state;
    this.#owner.changed(state, { transport: this.#choice.name, ...detail });
  }

  #drop(isDead = false): void {
    this.#sink = null;
    this.#timers.clear();
    this.#pipe?.close(isDead);
    this.#trial?.close(false);
    this.#posting?.abort();
    this.#pipe = this.#trial = this.#posting = null;
  }

  /** `given`: a token that was asked for already. */
  async #connect(given?: string): Promise<void> {
    this.#drop();
    const sink: TransportSink = {
      alive: () => {
        this.#isHeard = true;
        this.#aliveAt = performance.now();
      },
      message: (message) => this.#sink === sink && this.#receive(message),
      retry: (delayMs) => {
        this.#retryMs = delayMs;
      },
      closed: (ending) => this.#sink === sink && this.#end(ending),
    };
    this.#sink = sink;
    this.#become('connecting');
    const token = given ?? (await this.#tokens.ask());
    if (this.#sink !== sink) return;
    if (token === null) return this.#wait(0, new UsercastClientError('token_failed', 'no token'));
    this.#tokens.current = token;
    // Something on the way may take the connection and let nothing through.
    this.#timers.start('ready', READY_MS, () => this.#end({ code: 1006, reason: 'no answer', isBlocked: true }, true));
    this.#pipe = OPENERS[this.#choice.name](this.#target, token, this.#owner.cursor, sink);
  }

  #receive(message: Envelope): void {
    const { type, object } = message;
    if (type === 'session.closing') {
      const { code, reason, retry_ms: pauseMs } = object as unknown as SessionClosing;
      this.#end({ code, reason, pauseMs });
    } else if (type === 'session.ready') this.#begin(message);
    else if (this.#state !== 'live') return;
    else if (type === 'session.expiring') this.#refreshSoon();
    else if (type === 'session.reset' || !type.startsWith('session.')) this.#owner.receive(message);
  }

  #begin(ready: Envelope): void {
    const sink = this.#sink;
    this.#tokens.accept();
    this.#failures = 0;
    this.#liveSince = this.#aliveAt = performance.now();
    this.#timers.clear();
    this.#watch((Number(ready.object.ping_ms) || PING_MS) + SILENCE_MS);
    this.#owner.receive(ready);
    if (this.#sink !== sink) return;
    if (this.#choice.isFallback) this.#upgradeLater();
    this.#become('live');
  }

  #watch(silenceMs: number): void {
    const leftMs = this.#aliveAt + silenceMs - performance.now();
    if (leftMs > 0) this.#timers.start('watch', leftMs, () => this.#watch(silenceMs));
    else this.#end(DEAD, true);
  }

  #end({ code, reason, pauseMs = 0, isBlocked }: Ending, isDead = false): void {
    const wasLive = this.#state === 'live';
    this.#drop(isDead);
    const why = reason || `closed with ${code}`;
    const action = actionAfter(code);
    const isRefused = action === 'renew';
    const makeError = (failure: ClientFailure, before = '') =>
      new UsercastClientError(failure, before + why, { closeCode: code });
    let told = action === 'stop' ? makeError('refused') : null;
    if (isRefused && this.#tokens.refuse()) told = makeError('token_refused');
    if (told && (!isRefused || this.#tokens.isFixed)) {
      this.close(told);
      this.#owner.failed(told);
      return;
    }
    if (action === 'reload') this.#owner.lost();
    if (wasLive && performance.now() - this.#liveSince >= STABLE_MS) this.#backoff.reset();
    this.#backoff.atLeast(attemptsAfter(code));
    if (!wasLive && !isRefused) this.#failures++;
    if (!wasLive && code === 1006 && (isBlocked || this.#choice.name !== 'websocket')) {
      if (this.#choice.fail()) return void this.#connect();
    } else if (!isRefused || wasLive) this.#choice.startOver();
    if (!told && this.#failures >= TELL_AFTER) {
      // Once, until a session begins.
      this.#failures = -Infinity;
      told = makeError('disconnected', 'never connected: ');
    }
    this.#wait(Math.max(pauseMs || 0, this.#retryMs, pauseAfter(code)), makeError('disconnected'));
    if (told) this.#owner.failed(told);
  }

  /** `pauseMs`: what the server asks for; the jitter comes on top, so that it spreads. */
  #wait(pauseMs: number, error: UsercastClientError): void {
    const retryMs = Math.round(pauseMs + this.#backoff.next());
    this.#isAsked = pauseMs > 0;
    this.#retryMs = 0;
    this.#timers.start('wait', retryMs, () => void this.#connect());
    this.#become('waiting', { retryMs, error });
  }

  #wake(type: string): void {
    if (this.#state === 'waiting' && !this.#isAsked) return void this.#connect();
    if (this.#state !== 'live' || this.#timers.has('probe')) return;
    this.#isHeard = false;
    if (this.send(`{"type":"${PING}","object":{}}`) !== null) {
      this.#timers.start('probe', PONG_MS, () => {
        if (!this.#isHeard) this.#end(DEAD, true);
      });
    } else if (type === 'online') void this.#connect();
  }

  #refreshSoon(): void {
    const sinceMs = performance.now() - this.#renewedAt;
    this.#timers.start('refresh', Math.max(0, REFRESH_MS - sinceMs), () => void this.#refresh());
  }

  /** In place where the pipe takes messages, else with a new connection. */
  async #refresh(): Promise<void> {
    if (this.#tokens.isFixed) return;
    const sink = this.#sink;
    this.#renewedAt = performance.now();
    const token = await this.#tokens.ask(true);
    if (this.#sink !== sink) return;
    if (token === null) return this.#refreshSoon();
    if (token === this.#tokens.current) return;
    this.#tokens.current = token;
    const isSent = this.send(JSON.stringify({ type: REFRESH, object: { access_token: token } }));
    if (isSent === null) void this.#connect(token);
  }

  #upgradeLater(): void {
    this.#timers.start('upgrade', UPGRADE_MS * (0.8 + Math.random() * 0.4), () => this.#tryBest());
  }

  /** Tries the best transport beside the connection, which stays until the other is known to work. */
  #tryBest(): void {
    const finish = (works: boolean): void => {
      if (!this.#trial || this.#trial !== trial) return;
      this.#trial = null;
      trial.close(!works);
      if (works) {
        this.#choice.startOver();
        void this.#connect();
      } else this.#upgradeLater();
    };
    const trial = OPENERS[this.#choice.best](this.#target, this.#tokens.current, undefined, {
      alive: NOTHING,
      retry: NOTHING,
      message: ({ type }) => finish(type === 'session.ready'),
      closed: () => finish(false),
    });
    this.#trial = trial;
    this.#timers.start('trial', READY_MS, () => finish(false));
  }
}
