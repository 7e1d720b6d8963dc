// Redis servers on this machine, each in a folder of its own.

import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from '../needs.mjs';
import { eventually } from '../raw-client.ts';
import { freePort } from './free-port.ts';
import { type Place, RealServer, say, startInPlace } from './real-server.ts';
import { TcpProxy } from './tcp-proxy.ts';

const execute = promisify(execFile);
const SYNCED_WITHIN_MS = 20_000;
const DUMP = 'dump.rdb';

/** `rdb`: a snapshot each second in which something was written, and in the end. */
export type RedisPersistence = 'none' | 'aof' | 'aof-always' | 'rdb';

export interface RedisOptions {
  /** Default: a new one, deleted on `close`. */
  readonly dir?: string;
  /** Default `none`. */
  readonly persistence?: RedisPersistence;
  /** More of the command line, such as `['--maxmemory', '20mb']`. */
  readonly config?: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
}

const PERSISTENCE: Record<RedisPersistence, readonly string[]> = {
  none: ['--save', ''],
  aof: ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'],
  'aof-always': ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'],
  rdb: ['--save', '1 1'],
};

export class RedisServer extends RealServer {
  readonly persistence: RedisPersistence;
  readonly #config: readonly string[];

  constructor(place: Place, { persistence = 'none', config = [] }: RedisOptions) {
    super(place);
    this.persistence = persistence;
    this.#config = config;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  protected command() {
    const place = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.dataDir];
    const swift = ['--repl-diskless-sync-delay', '0', '--enable-debug-command', 'yes'];
    const args = [...place, ...swift, ...PERSISTENCE[this.persistence], ...this.#config];
    return { name: 'redis-server', args } as const;
  }

  protected async isReady(): Promise<boolean> {
    return (await say(this.port, 'PING\r\n', /\r\n/))?.startsWith('+PONG') ?? false;
  }

  override async start(): Promise<void> {
    await super.start();
    // A copy that was put back is read once: without persistence, the next start finds nothing.
    if (this.persistence === 'none') await rm(this.#dump, { force: true });
  }

  /** What `redis-cli` prints for a command. @throws Error when the server refuses it. */
  async cli(...words: readonly string[]): Promise<string> {
    const { path, env } = program('redis-cli');
    const { stdout } = await execute(path, ['-h', '127.0.0.1', '-p', String(this.port), '-e', ...words], { env });
    return stdout.trimEnd();
  }

  /** One field of `INFO`. */
  async info(section: string, field: string): Promise<string | undefined> {
    const text = await this.cli('INFO', section);
    return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(text)?.[1];
  }

  override async saveCopy(name: string): Promise<void> {
    const keepsNoLog = this.persistence === 'none' || this.persistence === 'rdb';
    if (keepsNoLog) await eventually('a snapshot', () => this.#save());
    await super.saveCopy(name);
    if (this.persistence === 'none') await rm(this.#dump, { force: true });
  }

  /** Resolves when a replica is connected to its primary and in step with it. */
  async synced(): Promise<void> {
    const isUp = async (): Promise<boolean> => (await this.info('replication', 'master_link_status')) === 'up';
    await eventually('the replica is in step', isUp, SYNCED_WITHIN_MS);
  }

  /** False while another snapshot is under way. */
  async #save(): Promise<boolean> {
    const answer = await this.cli('SAVE').catch((cause: Error & { stdout?: string }) => {
      if (/in progress/i.test(`${cause.message}${cause.stdout}`)) return null;
      throw cause;
    });
    return answer !== null;
  }

  get #dump(): string {
    return join(this.dataDir, DUMP);
  }
}

/** Resolves when it answers. */
export function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return startInPlace({ ...options, pick: () => freePort() }, (place) => new RedisServer(place, options));
}

/** A replica whose wire to its primary a test can hold up. */
export class RedisReplica extends RedisServer {
  readonly #wire: TcpProxy;

  constructor(place: Place, options: RedisOptions, wire: TcpProxy) {
    super(place, options);
    this.#wire = wire;
  }

  /** What its primary writes from here on does not reach it. */
  lag(): void {
    this.#wire.drop('down');
  }

  /** It gets what it has missed. */
  async catchUp(): Promise<void> {
    this.#wire.pass();
    this.#wire.cutAll();
    await this.synced();
  }

  /** Becomes a primary, with what it has got. */
  async promote(): Promise<void> {
    await this.cli('REPLICAOF', 'NO', 'ONE');
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#wire.stop();
  }
}

/** A replica of a running server; resolves when it is in step. */
export async function startRedisReplica(of: RedisServer, options: RedisOptions = {}): Promise<RedisReplica> {
  const wire = await new TcpProxy(of.port).start();
  const config = ['--replicaof', `127.0.0.1 ${wire.port}`, ...(options.config ?? [])];
  const replica = await startInPlace(
    { ...options, pick: () => freePort() },
    (place) => new RedisReplica(place, { ...options, config }, wire),
  );
  await replica.synced();
  return replica;
}
