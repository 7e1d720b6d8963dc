// Server processes on one broker, clients that follow from one to the other, and a publisher, while a script does harm. In
// the end it is quiet, and what every client saw is compared with what was accepted.

import { setMaxListeners } from 'node:events';
import { Agent } from 'node:http';
import { seededRandom, testToken } from '../../../src/testing/index.ts';
import { eventually } from '../raw-client.ts';
import { seed as seedOfTheRun } from '../seed.ts';
import { SOAK_TRANSPORTS, SoakClient, type SoakTransport } from '../soak-client.ts';
import type { BrokerSpec } from './broker-spec.ts';
import { LoadPublisher, within } from './load-publisher.ts';
import { type Repair, reportOn, type SceneReport } from './scene-report.ts';
import { ServerProcess, type ServerProcessOptions } from './server-process.ts';

export type { Repair, SceneReport } from './scene-report.ts';

export interface SceneOptions {
  readonly broker: BrokerSpec;
  /** Server processes. Default 2. */
  readonly processes?: number;
  /** Default 10. */
  readonly users?: number;
  /** Default 3: one on each transport. */
  readonly clientsPerUser?: number;
  /** Default: all. A client begins on one of them in turn, and comes back on any. */
  readonly transports?: readonly SoakTransport[];
  /** Default 100. */
  readonly messagesPerSecond?: number;
  /** While so many messages wait for their acceptance, or a client has not got so many, fewer are begun. Default: any number. */
  readonly mostWaiting?: number;
  /** Options of usercast, as far as they are data. Default: subscriptions that are checked every 1.5 s. */
  readonly usercast?: ServerProcessOptions['usercast'];
  /** Default: the run's. */
  readonly seed?: number;
  /** Offsets of a stream grow by one. Default: in memory. */
  readonly dense?: boolean;
  /** The broker loses nothing that it accepted, so counts are exact. Default true. */
  readonly keepsAll?: boolean;
  /** Two servers of the broker may take messages at one time, until one of them loses what it took. Default false. */
  readonly mayBeSplit?: boolean;
  /** Milliseconds that it may take in the end until all clients are at the top. Default 30 000. */
  readonly quietWithinMs?: number;
}

const SUBSCRIPTIONS = { lingerMs: 300, checkMs: 1_500, catchUpMs: 500 } as const;
const QUIET_WITHIN_MS = 30_000;
/** No guarantees: when to stop waiting for what does not come, also on a busy machine. */
const CONNECTED_WITHIN_MS = 30_000;
const ACCEPTED_WITHIN_MS = 30_000;
const REPAIRED_WITHIN_MS = 60_000;
const LOOK_AGAIN_MS = 25;
/** Chance that a client acks, for each message. */
const ACKS = 0.1;

/** Every one a name that a broker may stumble over. */
const NAMES = ['user', 'us.er', '*', 'user.>', '{user}', 'üser', 'us/er', 'a:b'];

export class Scene {
  readonly userIds: readonly string[];
  readonly clients: readonly SoakClient[];
  readonly publisher: LoadPublisher;
  /** For the script's own choices. */
  readonly random: () => number;
  readonly repairs: Repair[] = [];
  /** All that ever were, those that have ended too. */
  readonly servers: ServerProcess[] = [];
  readonly #options: SceneOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #leaving = new AbortController();
  #following: Promise<unknown> = Promise.resolve();

  private constructor(options: SceneOptions) {
    const { users = 10, clientsPerUser = 3, messagesPerSecond = 100, seed = seedOfTheRun } = options;
    this.#options = options;
    setMaxListeners(0, this.#leaving.signal);
    this.random = seededRandom(seed);
    this.userIds = Array.from({ length: users }, (_, i) => `${NAMES[i % NAMES.length]} ${i}`);
    this.clients = this.userIds.flatMap((userId) =>
      Array.from({ length: clientsPerUser }, () => {
        return new SoakClient({ userId, token: testToken({ userId }), random: this.random, agent: this.#agent });
      }),
    );
    const { random, userIds } = this;
    this.publisher = new LoadPublisher({
      servers: () => this.serving,
      userIds,
      messagesPerSecond,
      isFull: () => this.#isFull,
      random,
    });
  }

  get #isFull(): boolean {
    const { mostWaiting } = this.#options;
    if (mostWaiting === undefined) return false;
    const isBehind = ({ witness }: SoakClient): boolean => {
      const id = this.publisher.idsOf.get(witness.userId)!.at(-mostWaiting);
      return id !== undefined && !witness.has(id) && witness.resets === 0;
    };
    return this.publisher.waiting >= mostWaiting || this.clients.some(isBehind);
  }

  /**
   * Starts everything, runs the script while messages are published, and reports when it is quiet again. The script
   * leaves the broker whole. @throws what the script throws.
   */
  static async run(options: SceneOptions, script: (scene: Scene) => Promise<unknown>): Promise<SceneReport> {
    const scene = new Scene(options);
    try {
      await scene.#open();
      await script(scene);
      return await scene.#close();
    } finally {
      await scene.#end();
    }
  }

  /** Those that take clients and messages. */
  get serving(): ServerProcess[] {
    return this.servers.filter(({ isLeaving }) => !isLeaving);
  }

  /** One of those that serve. */
  get anyServer(): ServerProcess {
    return this.#pick(this.serving);
  }

  /** The one that has served longest, and so has clients. */
  get oldestServer(): ServerProcess {
    return this.serving[0]!;
  }

  /** Offsets of a stream grow by one. */
  get dense(): boolean {
    return this.#options.dense ?? this.#options.broker.kind === 'memory';
  }

  async addServer(): Promise<ServerProcess> {
    const { broker, usercast = {} } = this.#options;
    const server = await ServerProcess.start({ broker, usercast: { subscriptions: SUBSCRIPTIONS, ...usercast } });
    this.servers.push(server);
    return server;
  }

  /** Resolves when so many more messages were accepted. */
  async accepts(messages: number, withinMs = ACCEPTED_WITHIN_MS): Promise<void> {
    const wanted = this.publisher.accepted.length + messages;
    await eventually(`${messages} more accepted`, () => this.publisher.accepted.length >= wanted, withinMs);
  }

  /** So long does a fault last. */
  lasting(ms: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }

  /**
   * Publishes to every user, and resolves when that was accepted and every client has it, or was reset meanwhile.
   * @throws Error when it takes longer.
   */
  async repaired(withinMs = REPAIRED_WITHIN_MS): Promise<Repair> {
    const fromMs = performance.now();
    const sent = Promise.all(this.userIds.map((userId) => this.publisher.publish([userId], 'kept')));
    const ids = await within(withinMs, 'a message accepted for every user', sent);
    const acceptedMs = performance.now() - fromMs;
    const idOf = new Map(this.userIds.map((userId, i) => [userId, ids[i]!]));
    const isThere = ({ witness }: SoakClient): boolean =>
      witness.has(idOf.get(witness.userId)!) || witness.lastResetMs > fromMs;
    const everywhere = () => this.clients.every(isThere);
    await eventually('every client has it', everywhere, Math.max(withinMs - acceptedMs, 0)).catch((error: Error) => {
      const late = this.clients.filter((client) => !isThere(client)).length;
      throw new Error(`${error.message}: ${late} of ${this.clients.length} have not`);
    });
    const repair = { acceptedMs, caughtUpMs: performance.now() - fromMs };
    this.repairs.push(repair);
    return repair;
  }

  async #open(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.processes ?? 2 }, () => this.addServer()));
    this.#following = Promise.all(this.clients.map((client, i) => this.#follow(client, i)));
    const haveBegun = () => this.clients.every(({ witness }) => witness.cursor !== null);
    await eventually('all clients are connected', haveBegun, CONNECTED_WITHIN_MS);
    this.publisher.start();
    void this.#ackNowAndThen();
  }

  /** On one server after the other. */
  async #follow(client: SoakClient, number: number): Promise<void> {
    const { transports = SOAK_TRANSPORTS } = this.#options;
    const { signal } = this.#leaving;
    for (let transport = transports[number % transports.length]!; !signal.aborted; transport = this.#pick(transports)) {
      const [server] = this.serving.length > 0 ? [this.anyServer] : [];
      if (server) await client.connect(server.port, transport, signal);
      else await this.lasting(LOOK_AGAIN_MS);
    }
  }

  async #ackNowAndThen(): Promise<void> {
    const { messagesPerSecond = 100 } = this.#options;
    while (this.publisher.isRunning) {
      await this.lasting(1_000 / messagesPerSecond / ACKS);
      this.#pick(this.clients).ack('acked');
    }
  }

  async #close(): Promise<SceneReport> {
    const { quietWithinMs = QUIET_WITHIN_MS, broker, keepsAll = true, mayBeSplit = false } = this.#options;
    const leftovers: string[] = [];
    const note = ({ message }: Error): void => void leftovers.push(message);
    await this.publisher.stop(quietWithinMs).catch(note);
    if (broker.faults) await Promise.all(this.serving.map((server) => server.fault('calm')));
    return reportOn({
      seed: this.#options.seed ?? seedOfTheRun,
      servers: this.servers,
      witness: this.anyServer,
      clients: this.clients,
      userIds: this.userIds,
      publisher: this.publisher,
      repairs: this.repairs,
      dense: this.dense,
      // A session misses what another process is counting in its store while the session opens.
      exactCounts: broker.kind !== 'nats',
      keepsAll,
      mayBeSplit,
      quietWithinMs,
      leftovers,
      leave: () => this.#leave(),
    });
  }

  async #leave(): Promise<void> {
    this.#leaving.abort();
    await this.#following;
    this.#agent.destroy();
  }

  async #end(): Promise<void> {
    this.publisher.giveUp();
    await this.#leave();
    await Promise.all(this.servers.map((server) => server.kill()));
  }

  #pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.random() * all.length)]!;
  }
}
