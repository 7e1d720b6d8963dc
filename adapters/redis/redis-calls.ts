// The calls over the command connections: sent, bounded, retried while it makes sense, and answered in time.

import { UsercastError } from '../../src/index.ts';
import { setTimer } from '../../src/timers.ts';
import { Deadlines, Pending } from './deadlines.ts';
import type { RedisConnection } from './redis-connection.ts';
import { bare, isPassing, redirection, refused, replyCode, unreachable } from './redis-errors.ts';
import type { RedisArgs, RedisScript } from './redis-link.ts';
import type { RedisAddress, RedisWire } from './redis-wire.ts';

/** How many calls may be in flight, those that wait for a connection among them. */
const MAX_IN_FLIGHT = 10_000;

/** Where the calls go. */
export interface CallRoutes {
  readonly isCluster: boolean;
  /** The command connection of the primary that has the key; null while it is not known. */
  connection(key: string): RedisConnection | null;
  /** The command connection of a node that a reply named, which may be new. */
  at(address: RedisAddress, from: RedisConnection | null): RedisConnection;
  /** A reply said who has the slot now. */
  moved(slot: number, address: RedisAddress, from: RedisConnection | null): void;
  /** A reply said that our picture of the servers is old. */
  outdated(): void;
  /** The server answers as a replica. */
  demoted(connection: RedisConnection, cause: Error): void;
  /** Why no server is known, where waiting will not mend it. */
  refusal(): Error | null;
}

class Call extends Pending {
  readonly key: string;
  readonly script: RedisScript | null;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly #calls: RedisCalls;
  readonly #args: RedisArgs;
  /** What comes before the arguments. */
  words: readonly string[];
  /** What it was sent on last; null while it waits. */
  wire: RedisWire | null = null;
  attempts = 0;

  constructor(
    calls: RedisCalls,
    key: string,
    words: readonly string[],
    args: RedisArgs,
    script: RedisScript | null,
    resolve: (reply: unknown) => void,
    reject: (error: Error) => void,
  ) {
    super();
    this.#calls = calls;
    this.key = key;
    this.words = words;
    this.#args = args;
    this.script = script;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** The whole command, as it is to be sent now. */
  command(): readonly string[] {
    const args = typeof this.#args === 'function' ? this.#args() : this.#args;
    return args.length === 0 ? this.words : [...this.words, ...args];
  }

  expire(): void {
    this.#calls.expired(this);
  }
}

/** The calls of a link. */
export class RedisCalls {
  readonly #deadlines: Deadlines<Call>;
  readonly #routes: CallRoutes;
  /** Waiting for a connection to come up, or to be known. */
  readonly #parked = new Set<Call>();
  /** Why every call fails, when they do. */
  #failure: Error | null = null;

  constructor(deadlineMs: number, routes: CallRoutes) {
    this.#deadlines = new Deadlines(deadlineMs);
    this.#routes = routes;
  }

  run(script: RedisScript, keys: readonly string[], args: RedisArgs): Promise<unknown> {
    return this.#start(keys[0] ?? '', ['EVALSHA', script.digest, String(keys.length), ...keys], args, script);
  }

  command(key: string, words: readonly string[]): Promise<unknown> {
    return this.#start(key, words, [], null);
  }

  /** Fails all calls of now and from now on. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const call of this.#deadlines) this.#reject(call, error);
  }

  /** A connection came up, or slots have found their primary, or there is no hope for either. */
  wake(): void {
    const waiting = [...this.#parked];
    this.#parked.clear();
    for (const call of waiting) this.#send(call);
  }

  /** The wire is gone; what was in flight on it may have been done or not, and can be done again. */
  dropped(wire: RedisWire, isReplaced: boolean, connection: RedisConnection): void {
    for (const call of this.#deadlines) {
      if (call.wire !== wire) continue;
      call.wire = null;
      if (isReplaced || this.#routes.isCluster) this.#again(call);
      else this.#reject(call, unreachable(connection.lastError));
    }
  }

  expired(call: Call): void {
    this.#parked.delete(call);
    const connection = this.#routes.connection(call.key);
    const { deadlineMs } = this.#deadlines;
    if (connection?.wasUp && !connection.wire) call.reject(unreachable(connection.lastError));
    else {
      const why = connection?.wire || !connection?.lastError ? '' : `: ${connection.lastError.message}`;
      call.reject(new UsercastError('deadline', `redis did not answer within ${deadlineMs} ms${why}`));
    }
  }

  #start(key: string, words: readonly string[], args: RedisArgs, script: RedisScript | null): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#deadlines.size >= MAX_IN_FLIGHT) {
      return Promise.reject(new UsercastError('overloaded', `${MAX_IN_FLIGHT} calls to redis are in flight`));
    }
    return new Promise((resolve, reject) => {
      const call = new Call(this, key, words, args, script, resolve, reject);
      this.#deadlines.add(call);
      this.#send(call);
    });
  }

  #send(call: Call): void {
    if (!call.isPending) return;
    const connection = this.#routes.connection(call.key);
    if (connection?.wire) this.#sendOn(connection.wire, call, connection);
    else this.#park(call, connection);
  }

  #sendOn(wire: RedisWire, call: Call, connection: RedisConnection): void {
    call.wire = wire;
    wire.send(call.command()).then(
      (reply) => {
        if (this.#deadlines.remove(call)) call.resolve(reply);
      },
      (error: unknown) => {
        if (call.isPending && call.wire === wire) this.#failed(call, error, wire, connection);
      },
    );
  }

  /** Waits for a connection that may come within the deadline, and for no other. */
  #park(call: Call, connection: RedisConnection | null): void {
    call.wire = null;
    const refusal = connection ? connection.refusal : this.#routes.refusal();
    if (refusal) {
      this.#reject(call, refusal);
      return;
    }
    const mayCome =
      !connection?.wasUp ||
      call.attempts > 0 ||
      (this.#routes.isCluster && connection.downForMs < this.#deadlines.deadlineMs);
    if (mayCome) this.#parked.add(call);
    else this.#reject(call, unreachable(connection.lastError));
  }

  #failed(call: Call, error: unknown, wire: RedisWire, connection: RedisConnection): void {
    const code = replyCode(error);
    if (code === 'NOSCRIPT' && call.script && call.words[0] === 'EVALSHA') {
      call.words = ['EVAL', call.script.source, ...call.words.slice(2)];
      this.#sendOn(wire, call, connection);
    } else if (code === null) {
      // Of a connection that is about to be lost: `dropped` would say the same.
      if (this.#routes.isCluster) this.#againSoon(call);
      else this.#reject(call, unreachable(bare(error)));
    } else if (!isPassing(code)) {
      this.#reject(call, refused(error));
    } else if (code === 'MOVED' || code === 'ASK') {
      this.#redirected(call, code, error, connection);
    } else {
      if (code === 'READONLY' && !this.#routes.isCluster) this.#routes.demoted(connection, bare(error));
      else if (code === 'CLUSTERDOWN' || code === 'READONLY') this.#routes.outdated();
      this.#againSoon(call);
    }
  }

  #redirected(call: Call, code: 'MOVED' | 'ASK', error: unknown, from: RedisConnection): void {
    const to = redirection(error);
    if (!this.#routes.isCluster || !to) {
      const message = 'redis is a cluster: give its nodes as an array of urls, or a cluster client';
      this.#reject(call, new UsercastError('broker_unavailable', message));
      return;
    }
    call.attempts++;
    if (code === 'MOVED') {
      this.#routes.moved(to.slot, to, from);
      if (call.attempts < 5) this.#send(call);
      else this.#againSoon(call);
      return;
    }
    const connection = this.#routes.at(to, from);
    if (!connection.wire || call.attempts >= 20) {
      this.#againSoon(call);
      return;
    }
    connection.wire.send(['ASKING']).catch(() => {});
    this.#sendOn(connection.wire, call, connection);
  }

  #again(call: Call): void {
    call.attempts++;
    this.#send(call);
  }

  #againSoon(call: Call): void {
    call.wire = null;
    const pauseMs = Math.min(200, 10 * 2 ** Math.min(call.attempts, 5));
    setTimer(() => this.#again(call), pauseMs * (0.5 + Math.random()));
  }

  #reject(call: Call, error: Error): void {
    this.#parked.delete(call);
    if (this.#deadlines.remove(call)) call.reject(error);
  }
}
