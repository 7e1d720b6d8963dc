// A NATS server for a test file, brokers on it that are closed in the end, and a connection that plays the operator.

import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import type { Broker, Position, StreamSlice } from 'usercast';
import { type NatsBrokerOptions, natsBroker } from '../../../adapters/nats/index.ts';
import { disproof } from '../../../src/broker/contiguity.ts';
import { Recorder } from '../../../src/testing/recorder.ts';
import { type NatsOptions, type NatsServer, startNats } from '../../support/servers/nats.ts';

let names = 0;
/** A name that nothing else in this process has. */
export function newName(what = 'user'): string {
  return `${what}-${++names}`;
}

let tags = 0;
/** A tag that nothing else in this process has. */
export function newTag(): string {
  return (++tags).toString(36).padStart(8, 't');
}

export class NatsScene {
  readonly server: NatsServer;
  readonly #brokers: Broker[] = [];
  readonly #connections: NatsConnection[] = [];

  private constructor(server: NatsServer) {
    this.server = server;
  }

  static async start(options?: NatsOptions): Promise<NatsScene> {
    return new NatsScene(await startNats(options));
  }

  /** Probes often, so that tests need not wait, and gives calls the time that they take on a busy machine. */
  broker(options: NatsBrokerOptions = {}): Broker {
    const place = options.connection ? {} : { servers: this.server.url };
    const broker = natsBroker({ ...place, probeMs: 1_000, deadlineMs: 10_000, ...options });
    this.#brokers.push(broker);
    return broker;
  }

  async connection(servers = this.server.url): Promise<NatsConnection> {
    const connection = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    this.#connections.push(connection);
    return connection;
  }

  async operator(): Promise<JetStreamManager> {
    return jetstreamManager(await this.connection());
  }

  /** Ends brokers and connections; the server stays. */
  async clear(): Promise<void> {
    await Promise.all(this.#brokers.splice(0).map((broker) => broker.close()));
    await Promise.all(this.#connections.splice(0).map((connection) => connection.close()));
  }

  async close(): Promise<void> {
    await this.clear();
    await this.server.close();
  }
}

/** Publishes one after the other, each to one user, and gives the last one's position. */
export async function say(broker: Broker, userId: string, ...payloads: readonly string[]): Promise<Position> {
  let last: Position | Error | undefined;
  for (const payload of payloads) {
    const { appended } = await broker.publish({ tag: newTag(), deliveries: [{ payload, userIds: [userId] }] });
    last = appended[0]!;
    if (last instanceof Error) throw last;
  }
  return last as Position;
}

export async function topOf(broker: Broker, userId: string): Promise<Position> {
  const { epoch, offset, tag } = (await broker.read(userId, null, 0)).top;
  return { epoch, offset, tag };
}

export async function listen(broker: Broker, userId: string): Promise<Recorder> {
  const recorder = new Recorder();
  await broker.subscribe(userId, recorder);
  return recorder;
}

export function payloadsOf({ entries }: StreamSlice): string[] {
  return entries.map(({ payload }) => payload);
}

/** Why a client that comes back with this position is reset; its missed messages where it is not. */
export async function resume(broker: Broker, userId: string, position: Position): Promise<string[] | string> {
  const slice = await broker.read(userId, position, 100);
  return disproof(position, slice) ?? payloadsOf(slice);
}

/** The connection, when NATS says something else than it does: `rewrite` changes the text of every answer. */
export function answering(connection: NatsConnection, rewrite: (text: string) => string): NatsConnection {
  return new Proxy(connection, {
    get(target, key) {
      if (key === 'subscribe') {
        return (subject: string, options: { callback?: (error: Error | null, message: Msg) => void } = {}) => {
          const { callback } = options;
          if (!callback || !subject.startsWith('_INBOX.')) return target.subscribe(subject, options);
          const told = (message: Msg): Msg => {
            const data = Buffer.from(rewrite(Buffer.from(message.data).toString()));
            return Object.create(message, { data: { value: data } });
          };
          return target.subscribe(subject, {
            callback: (error, message) => callback(error, error ? message : told(message)),
          });
        };
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
