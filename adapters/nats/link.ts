// The one implementation of `NatsLink`: a connection, what prepares and probes it, and the transitions between its states.

import { type BrokerStatus, type Unsubscribe, UsercastError } from '../../src/index.ts';
import { monotonicMs, setTimer, type Timer, withDeadline } from '../../src/timers.ts';
import { LinkSubscription } from './link-subscription.ts';
import { NatsCalls } from './nats-calls.ts';
import {
  connectTo,
  importNats,
  type NatsConnectionLike,
  type NatsHeadersLike,
  type NatsLibrary,
  type NatsMessageLike,
} from './nats-connection.ts';
import type { NatsCaller, NatsLink, NatsLinkOptions } from './nats-link.ts';
import { denial, SetupRefusal } from './setup-refusal.ts';

const RETRY_MS = 300;
const REFUSED_RETRY_MS = 2_000;
/** How soon a host's connection that does not answer is looked at again. */
const SILENT_RETRY_MS = 500;
const MISSES = 2;
const ENCODER = new TextEncoder();
const NOTHING = new Uint8Array(0);

/**
 * ```
 * connecting ──▶ ready ◀──▶ lost
 *      ▼           ▼         ▼
 *    closed ◀──────┴─────────┘
 * ```
 */
type State = 'connecting' | 'ready' | 'lost' | 'closed';

export class Link implements NatsLink {
  readonly #options: NatsLinkOptions;
  readonly #listeners = new Set<(status: BrokerStatus) => void>();
  readonly #subscriptions = new Set<LinkSubscription>();
  /** Those that wait for the first connection. */
  readonly #waiting = new Set<(refusal?: SetupRefusal) => void>();
  #state: State = 'connecting';
  #library: NatsLibrary | null = null;
  #connection: NatsConnectionLike | null = null;
  #calls: NatsCalls | null = null;
  #caller: NatsCaller | null = null;
  /** Grows when a connection comes or goes: what was begun before is over. */
  #life = 0;
  #cause: unknown = null;
  /** Why this connection is of no use. */
  #denial: SetupRefusal | null = null;
  #timer: Timer | null = null;
  #misses = 0;
  #wake: (() => void) | null = null;

  constructor(options: NatsLinkOptions) {
    this.#options = options;
    void this.#run();
  }

  get status(): BrokerStatus {
    return this.#state === 'closed' ? 'lost' : this.#state;
  }

  get outage(): Error | null {
    return this.#state !== 'ready' && this.#cause instanceof Error ? this.#cause : null;
  }

  get caller(): NatsCaller | null {
    return this.#state === 'ready' ? this.#caller : null;
  }

  onStatus(listener: (status: BrokerStatus) => void): Unsubscribe {
    const own = (status: BrokerStatus): void => listener(status);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async ready(): Promise<NatsCaller> {
    if (this.#state === 'connecting') await this.#wait();
    if (this.#state === 'closed') throw closedError();
    if (this.#state !== 'ready') throw this.#lostError();
    return this.#caller!;
  }

  headers(): NatsHeadersLike {
    return this.#library!.headers();
  }

  async subscribe(subject: string, listener: (message: NatsMessageLike) => void): Promise<Unsubscribe> {
    const { connection } = await this.ready();
    const subscription = new LinkSubscription(subject, listener, this.#deny);
    this.#subscriptions.add(subscription);
    subscription.begin(connection);
    return () => {
      if (this.#subscriptions.delete(subscription)) subscription.end();
    };
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#life++;
    this.#become('closed');
    this.#stopTimer();
    this.#wake?.();
    this.#release();
    this.#calls?.failAll(closedError);
    this.#calls?.close();
    for (const subscription of this.#subscriptions) subscription.end();
    this.#subscriptions.clear();
    const connection = this.#connection;
    if (connection && !this.#options.connection) await connection.close();
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        this.#library ??= await importNats();
        const { connection: given, servers = [], probeMs } = this.#options;
        const connection = given ?? (await connectTo(this.#library, servers, probeMs));
        if (this.#isClosed) {
          if (!given) await connection.close();
          return;
        }
        if (connection.isClosed()) throw new Error('the NATS connection is closed');
        this.#connection = connection;
        this.#calls = new NatsCalls(connection, this.#deny);
        for (const subscription of this.#subscriptions) subscription.begin(connection);
        this.#connected(connection);
        await this.#follow(connection);
      } catch (cause) {
        this.#fails(cause);
      }
      await this.#pause(this.#cause instanceof SetupRefusal ? REFUSED_RETRY_MS : RETRY_MS);
    }
  }

  /** Until the library gives the connection up. */
  async #follow(connection: NatsConnectionLike): Promise<void> {
    for await (const { type, error } of connection.status()) {
      if (this.#isClosed) return;
      if (type === 'disconnect' || type === 'close') this.#disconnected();
      else if (type === 'reconnect') this.#connected(connection);
      else if (type === 'error' && error) this.#calls?.failed(error);
    }
    this.#disconnected();
    this.#calls?.close();
  }

  /** What we may not listen to would be missed without a word: nothing is served until that is mended. */
  readonly #deny = (subject: string): void => {
    const connection = this.#connection;
    if (this.#isClosed || this.#denial || !connection) return;
    const refusal = denial('subscribe', subject);
    this.#fails(refusal);
    this.#disconnected();
    this.#denial = refusal;
    const life = this.#life;
    void this.#prepare(this.#newCaller(connection, life, false), life);
  };

  #connected(connection: NatsConnectionLike): void {
    const life = ++this.#life;
    this.#misses = 0;
    this.#denial = null;
    void this.#prepare(this.#newCaller(connection, life, false), life);
  }

  #newCaller(connection: NatsConnectionLike, life: number, isUrgent: boolean): NatsCaller {
    const calls = this.#calls!;
    return {
      connection,
      deadlineMs: this.#options.deadlineMs,
      request: (subject, data = NOTHING, { headers, withinMs = this.#options.deadlineMs } = {}) => {
        if (life !== this.#life) return Promise.reject(this.#isClosed ? closedError() : this.#lostError());
        const bytes = typeof data === 'string' ? ENCODER.encode(data) : data;
        return calls.request(subject, bytes, { withinMs, headers, isUrgent });
      },
    };
  }

  #disconnected(): void {
    this.#life++;
    this.#stopTimer();
    if (this.#state === 'ready') this.#become('lost');
    this.#calls?.failAll(() => this.#lostError());
  }

  async #prepare(caller: NatsCaller, life: number): Promise<void> {
    const { probeMs, connection: given } = this.#options;
    const untilMs = monotonicMs() + MISSES * probeMs;
    while (life === this.#life) {
      try {
        if (this.#denial) throw this.#denial;
        await this.#options.prepare?.(caller);
        if (life !== this.#life) return;
        this.#cause = null;
        this.#caller = caller;
        this.#become('ready');
        this.#release();
        this.#probeIn(probeMs, caller, life);
        return;
      } catch (cause) {
        if (life !== this.#life) return;
        this.#fails(cause);
        // Its server may be cut off from the others.
        if (!given && monotonicMs() > untilMs && !(cause instanceof SetupRefusal)) this.#replace(caller.connection);
        await this.#pause(cause instanceof SetupRefusal ? REFUSED_RETRY_MS : RETRY_MS);
        // It asks for its subscriptions again by connecting again.
        if (life === this.#life && this.#denial && !given) this.#replace(caller.connection);
      }
    }
  }

  #probeIn(delayMs: number, caller: NatsCaller, life: number): void {
    this.#stopTimer();
    this.#timer = setTimer(() => void this.#probe(caller, life), delayMs);
  }

  /** Two tries of half the time each: one alone may be late because this process was. */
  async #probe(caller: NatsCaller, life: number): Promise<void> {
    const { probeMs, probe, connection: given } = this.#options;
    try {
      const echoed = this.#calls!.echo(probeMs / 2);
      const probed = probe?.(this.#newCaller(caller.connection, life, true));
      await Promise.all([echoed, probed && withDeadline(probed, probeMs / 2, 'NATS, probed,')]);
      if (life !== this.#life) return;
      this.#misses = 0;
      if (this.#state === 'lost') void this.#prepare(caller, life);
      else this.#probeIn(probeMs, caller, life);
    } catch (cause) {
      if (life !== this.#life) return;
      if (++this.#misses < MISSES) {
        void this.#probe(caller, life);
        return;
      }
      this.#cause = cause;
      if (this.#state === 'ready') this.#become('lost');
      this.#calls?.failAll(() => this.#lostError());
      if (given) this.#probeIn(Math.min(SILENT_RETRY_MS, probeMs), caller, life);
      else this.#replace(caller.connection);
    }
  }

  #fails(cause: unknown): void {
    this.#cause = cause;
    if (cause instanceof SetupRefusal) this.#release(cause);
  }

  async #wait(): Promise<void> {
    if (this.#cause instanceof SetupRefusal) throw this.#cause;
    await new Promise<void>((resolve, reject) => {
      const settle = (refusal?: SetupRefusal): void => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (refusal) reject(refusal);
        else resolve();
      };
      const timer = setTimer(() => {
        this.#waiting.delete(settle);
        reject(this.#unconnected());
      }, this.#options.deadlineMs);
      this.#waiting.add(settle);
    });
  }

  #release(refusal?: SetupRefusal): void {
    for (const settle of [...this.#waiting]) settle(refusal);
  }

  /** Drops the connection; the library makes another, to the next server where there are several. */
  #replace(connection: NatsConnectionLike): void {
    this.#disconnected();
    connection.reconnect().catch(() => {});
  }

  #become(state: State): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(this.status);
  }

  #stopTimer(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimer(resolve, delayMs * (0.75 + Math.random() * 0.5));
    });
  }

  #unconnected(): UsercastError {
    const { deadlineMs } = this.#options;
    const why = this.#cause instanceof Error ? `: ${this.#cause.message}` : '';
    return new UsercastError('broker_unavailable', `NATS could not be used within ${deadlineMs} ms${why}`, {
      cause: this.#cause,
    });
  }

  #lostError(): UsercastError {
    if (this.#cause instanceof SetupRefusal) return this.#cause;
    return new UsercastError('broker_unavailable', 'the connection to NATS is lost', { cause: this.#cause });
  }
}

function closedError(): UsercastError {
  return new UsercastError('closed', 'the connection to NATS was closed');
}
