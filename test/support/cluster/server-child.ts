// One server process of a scene: an http server with a usercast on the scene's broker, that does what it is told over IPC.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createUsercast,
  type DisconnectOptions,
  type DrainOptions,
  type PublishEventOptions,
  type Usercast,
  type UsercastOptions,
} from '../../../src/index.ts';
import type { BoxEvent } from '../../../src/protocol/events.ts';
import { testVerifier } from '../../../src/testing/index.ts';
import { answerCommands } from '../child-commands.ts';
import { eventually } from '../raw-client.ts';
import { type BrokerSpec, type OpenBroker, openBroker } from './broker-spec.ts';

export interface StartInput {
  readonly broker: BrokerSpec;
  /** Options of usercast, as far as they are data. */
  readonly usercast: Omit<UsercastOptions, 'broker' | 'verifier'>;
}

export interface PublishInput {
  readonly userIds: readonly string[];
  readonly event: BoxEvent;
  readonly options?: PublishEventOptions;
}

/** An `error` event, as text. */
export interface ToldError {
  readonly stage: string;
  readonly message: string;
}

const KEPT_ERRORS = 100;
const ENDS_WITHIN_MS = 10_000;
/** A connection that a client keeps is not taken from it just when it asks again. */
const KEEP_ALIVE_MS = 300_000;

let open: OpenBroker;
let usercast: Usercast;
let server: Server;
const errors: ToldError[] = [];

/** What would keep this process from ending, but for the parent's pipe. */
const holding = (): string[] => process.getActiveResourcesInfo().filter((name) => !/^(?:Pipe|TTY|FSReq)/.test(name));

answerCommands({
  /** Returns the port. */
  async start({ broker, usercast: options }: StartInput): Promise<number> {
    open = await openBroker(broker);
    server = createServer((_request, response) => response.writeHead(404).end());
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { broker: used, counters } = open;
    usercast = createUsercast({ ...options, broker: used, ...(counters && { counters }), verifier: testVerifier() });
    usercast.on('error', ({ stage, cause }) => {
      errors.push({ stage, message: String(cause) });
      errors.splice(0, errors.length - KEPT_ERRORS);
    });
    usercast.attach(server, { http: true });
    return (server.address() as AddressInfo).port;
  },

  publish: ({ userIds, event, options }: PublishInput) => usercast.publishEvent(userIds, event, options),
  counts: (userId: string) => usercast.counts(userId),
  online: async (userIds: readonly string[]) => [...(await usercast.online(userIds))],
  disconnect: ({ userId, options }: { userId: string; options?: DisconnectOptions }) =>
    usercast.disconnect(userId, options),
  /** As they are read, and not as positions are compared: then a replica that lags behind may be asked. */
  tops: (userIds: readonly string[]) =>
    Promise.all(userIds.map(async (userId) => [userId, (await open.actual.read(userId, null, 0)).top] as const)),
  stats: () => usercast.stats(),
  health: () => usercast.health(),
  errors: () => errors,

  async timers(timesMs: readonly number[]): Promise<void> {
    for (const ms of timesMs) await new Promise((resolve) => setTimeout(resolve, ms));
  },

  fault(what: 'cut' | 'mend' | 'calm'): void {
    if (!open.faulty) throw new Error('this process has no faulty broker');
    open.faulty[what]();
  },

  drain: (options: DrainOptions) => usercast.drain(options),

  /** Returns what is left of it then. */
  async close(): Promise<string[]> {
    await usercast.close();
    await (open.faulty ?? open.actual).close();
    await open.counters?.close();
    server.closeAllConnections();
    server.close();
    await eventually('nothing is left', () => holding().length === 0, ENDS_WITHIN_MS).catch(() => {});
    return holding();
  },
});
