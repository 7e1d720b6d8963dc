// A server process as the test holds it.

import type {
  DisconnectOptions,
  Position,
  PublishEventOptions,
  Published,
  UsercastHealth,
  UsercastOptions,
  UsercastStats,
} from '../../../src/index.ts';
import type { BoxEvent } from '../../../src/protocol/events.ts';
import { Child } from '../child.ts';
import type { BrokerSpec } from './broker-spec.ts';
import { editsOf } from './sabotage.ts';
import type { PublishInput, StartInput, ToldError } from './server-child.ts';

export interface ServerProcessOptions {
  readonly broker: BrokerSpec;
  /** Options of usercast, as far as they are data. */
  readonly usercast?: Omit<UsercastOptions, 'broker' | 'verifier'>;
}

export class ServerProcess {
  readonly port: number;
  /** Told to end, or ended: clients and publishers go elsewhere. */
  isLeaving = false;
  /** How it ended without being told to; null otherwise. */
  accident: string | null = null;
  readonly #child: Child;
  readonly #publishing = new Set<Promise<unknown>>();

  private constructor(child: Child, port: number) {
    this.#child = child;
    this.port = port;
    void child.ended.then((how) => {
      if (!this.isLeaving) this.accident = `the server on port ${port} ended by itself (${how})`;
      this.isLeaving = true;
    });
  }

  /** Resolves when it listens; its broker may still be connecting. */
  static async start({ broker, usercast = {} }: ServerProcessOptions): Promise<ServerProcess> {
    const child = await Child.start('cluster/server-child.ts', editsOf(broker.sabotage ?? []));
    try {
      return new ServerProcess(child, await child.ask<number>('start', { broker, usercast } satisfies StartInput));
    } catch (error) {
      child.end();
      throw error;
    }
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Like all that follow, rejects when the call does, or when the process ends. */
  publish(userIds: readonly string[], event: BoxEvent, options?: PublishEventOptions): Promise<Published> {
    const input = { userIds, event, ...(options && { options }) } satisfies PublishInput;
    const published = this.#child.ask<Published>('publish', input);
    const settled = published.catch(() => {}).finally(() => this.#publishing.delete(settled));
    this.#publishing.add(settled);
    return published;
  }

  /** Resolves when timers of these times have passed there, one after the other: later where the machine is busy. */
  timers(timesMs: readonly number[]): Promise<void> {
    return this.#child.ask('timers', timesMs);
  }

  counts(userId: string): Promise<Record<string, number>> {
    return this.#child.ask('counts', userId);
  }

  online(userIds: readonly string[]): Promise<string[]> {
    return this.#child.ask('online', userIds);
  }

  disconnect(userId: string, options: DisconnectOptions = {}): Promise<void> {
    return this.#child.ask('disconnect', { userId, options });
  }

  /** From the broker itself. */
  async tops(userIds: readonly string[]): Promise<Map<string, Position>> {
    return new Map(await this.#child.ask<[string, Position][]>('tops', userIds));
  }

  stats(): Promise<UsercastStats> {
    return this.#child.ask('stats');
  }

  health(): Promise<UsercastHealth> {
    return this.#child.ask('health');
  }

  /** The last 100 `error` events. */
  errors(): Promise<ToldError[]> {
    return this.#child.ask('errors');
  }

  /** Of the faulty broker that its spec asked for. */
  fault(what: 'cut' | 'mend' | 'calm'): Promise<void> {
    return this.#child.ask('fault', what);
  }

  /** Drains it, then ends it, when what it was asked to publish is done. */
  async drain(withinMs?: number): Promise<void> {
    this.isLeaving = true;
    await this.#child.ask('drain', withinMs === undefined ? {} : { withinMs });
    await Promise.all(this.#publishing);
    await this.kill();
  }

  /** kill -9; resolves when it has ended. */
  async kill(): Promise<void> {
    this.isLeaving = true;
    this.#child.end();
    await this.#child.ended;
  }

  /** The process stands still, its connections stay. */
  freeze(): void {
    this.#child.signal('SIGSTOP');
  }

  thaw(): void {
    this.#child.signal('SIGCONT');
  }

  /** Ends it; resolves with what would have kept the process from ending. */
  async close(): Promise<string[]> {
    this.isLeaving = true;
    const left = await this.#child.ask<string[]>('close').catch((error: Error) => [error.message]);
    await this.kill();
    return left.map((what) => `${what} on the server on port ${this.port}`);
  }
}
