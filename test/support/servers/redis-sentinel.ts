// A primary with a replica, watched by Sentinels on loopback: they promote the replica when most of them miss the primary.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../raw-client.ts';
import { freePort } from './free-port.ts';
import { type Place, startInPlace } from './real-server.ts';
import { RedisServer, startRedis } from './redis.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** What the Sentinels call the primary. */
export const PRIMARY_NAME = 'usercast';
/** Fewer would not agree on a promotion when one of them is gone. */
const SENTINELS = 3;
const QUORUM = 2;
const DOWN_AFTER_MS = 1_000;
const FAILOVER_TIMEOUT_MS = 3_000;
const SETTLES_WITHIN_MS = 60_000;

/** One of those that watch. */
class RedisSentinelServer extends RedisServer {
  readonly #watched: number;
  readonly #downAfterMs: number;

  constructor(place: Place, watched: number, downAfterMs: number) {
    super(place, {});
    this.#watched = watched;
    this.#downAfterMs = downAfterMs;
  }

  override async start(): Promise<void> {
    const name = PRIMARY_NAME;
    const lines = [
      `port ${this.port}`,
      'bind 127.0.0.1',
      `dir ${this.dir}`,
      `sentinel monitor ${name} 127.0.0.1 ${this.#watched} ${QUORUM}`,
      `sentinel down-after-milliseconds ${name} ${this.#downAfterMs}`,
      `sentinel failover-timeout ${name} ${FAILOVER_TIMEOUT_MS}`,
    ];
    await writeFile(this.#file, `${lines.join('\n')}\n`);
    await super.start();
  }

  protected override command() {
    return { name: 'redis-server' as const, args: [this.#file, '--sentinel'] };
  }

  get #file(): string {
    return join(this.dir, 'sentinel.conf');
  }
}

export class RedisSentinels {
  /** The primary in the beginning; everybody reaches it by a proxy. */
  readonly first: RedisServer;
  /** Its replica. */
  readonly second: RedisServer;
  readonly sentinels: readonly RedisServer[];
  readonly #proxy: TcpProxy;

  constructor(first: RedisServer, second: RedisServer, proxy: TcpProxy, sentinels: readonly RedisServer[]) {
    this.first = first;
    this.second = second;
    this.sentinels = sentinels;
    this.#proxy = proxy;
  }

  /** Where to ask. */
  get addresses(): { host: string; port: number }[] {
    return this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** Who is the primary now, as all Sentinels that run see it; undefined while they do not agree. */
  async primary(): Promise<RedisServer | undefined> {
    const ports = await Promise.all(
      this.sentinels
        .filter(({ isRunning }) => isRunning)
        .map(async (one) => (await one.cli('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', PRIMARY_NAME)).split('\n')[1]),
    );
    const [port, ...others] = new Set(ports.map(Number));
    if (others.length > 0) return undefined;
    return port === this.#proxy.port ? this.first : port === this.second.port ? this.second : undefined;
  }

  /** Resolves when all agree on who is the primary, and it is one. */
  async led(by: RedisServer): Promise<void> {
    const isLed = async (): Promise<boolean> => (await this.primary()) === by && !(await this.isReplica(by));
    await eventually('the Sentinels have one primary', isLed, SETTLES_WITHIN_MS);
  }

  /** Whether it copies another one. While it is made to, it ends the connections that it has. */
  async isReplica(node: RedisServer): Promise<boolean> {
    return (await node.info('replication', 'role').catch(() => undefined)) === 'slave';
  }

  /** What the first primary writes from here on does not reach its replica. */
  async lag(): Promise<void> {
    const replica = /\baddr=127\.0\.0\.1:(\d+)/.exec(await this.first.cli('CLIENT', 'LIST', 'TYPE', 'replica'));
    if (!replica) throw new Error('the first primary has no replica any more');
    const port = Number(replica[1]);
    this.#proxy.drop('down', (one) => one === port);
  }

  /** Resolves when every Sentinel knows the others and the replica: a promotion takes that. */
  async settled(): Promise<void> {
    const others = this.sentinels.length - 1;
    const knows = async (one: RedisServer): Promise<boolean> => {
      const state = await one.cli('SENTINEL', 'MASTER', PRIMARY_NAME);
      const number = (field: string): number => Number(new RegExp(`^${field}\n(\\d+)`, 'm').exec(state)?.[1]);
      return number('num-other-sentinels') === others && number('num-slaves') === 1;
    };
    const all = async (): Promise<boolean> => (await Promise.all(this.sentinels.map(knows))).every(Boolean);
    await eventually('the Sentinels know one another', all, SETTLES_WITHIN_MS);
  }

  async close(): Promise<void> {
    // The watchers first: they would change what is on its way out.
    await closeAll([...this.sentinels]);
    await closeAll([this.first, this.second]);
    await this.#proxy.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function closeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.close()));
}

export interface RedisSentinelsOptions {
  /** Milliseconds without an answer after which a Sentinel counts the primary as failed. Default 1 000. */
  readonly downAfterMs?: number;
}

/** Resolves when a primary that is killed is sure to be replaced. */
export async function startRedisSentinels({
  downAfterMs = DOWN_AFTER_MS,
}: RedisSentinelsOptions = {}): Promise<RedisSentinels> {
  const first = await startRedis();
  const proxy = await new TcpProxy(first.port).start();
  const started: RedisServer[] = [first];
  try {
    const second = await startRedis({ config: ['--replicaof', `127.0.0.1 ${proxy.port}`] });
    started.push(second);
    await second.synced();
    const sentinels: RedisServer[] = [];
    for (let i = 0; i < SENTINELS; i++) {
      const create = (place: Place) => new RedisSentinelServer(place, proxy.port, downAfterMs);
      const one = await startInPlace({ pick: () => freePort() }, create);
      started.push(one);
      sentinels.push(one);
    }
    const all = new RedisSentinels(first, second, proxy, sentinels);
    await all.settled();
    return all;
  } catch (error) {
    await closeAll(started);
    await proxy.stop();
    throw error;
  }
}
