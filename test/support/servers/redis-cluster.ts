// A Redis Cluster on loopback, joined by hand: who has which slots and who copies whom is the same each time.

import { eventually } from '../raw-client.ts';
import { freePort } from './free-port.ts';
import { startInPlace } from './real-server.ts';
import { type RedisOptions, RedisServer } from './redis.ts';

const SLOTS = 16_384;
const BUS_DISTANCE = 10_000;
const SETTLES_WITHIN_MS = 40_000;
const MIGRATION_TIMEOUT_MS = 5_000;

export interface RedisClusterOptions extends Pick<RedisOptions, 'persistence' | 'config'> {
  /** At least 3, which is the default. */
  readonly primaries?: number;
  /** Of each primary. Default 0. */
  readonly replicas?: 0 | 1;
  /** Milliseconds without an answer after which a node counts as failed. Default 1 000. */
  readonly nodeTimeoutMs?: number;
}

interface ClusterNode {
  readonly id: string;
  readonly port: number;
  readonly flags: readonly string[];
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** Reads `CLUSTER NODES`; slots on the move are left out. */
function parseNodes(text: string): ClusterNode[] {
  return text.split('\n').map((line) => {
    const [id = '', address = '', flags = '', , , , , , ...ranges] = line.trim().split(' ');
    const slots = ranges
      .filter((range) => !range.startsWith('['))
      .map((range) => {
        const [first, last = first] = range.split('-').map(Number);
        return [first!, last!] as const;
      });
    return { id, port: Number(/:(\d+)@/.exec(address)?.[1]), flags: flags.split(','), slots };
  });
}

const has = ({ slots }: ClusterNode, slot: number): boolean =>
  slots.some(([first, last]) => first <= slot && slot <= last);

export class RedisCluster {
  /** Primaries as they were in the beginning, then their replicas in the same order. */
  readonly nodes: readonly RedisServer[];

  constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** The slot of a key, its hash tag taken into account. */
  async slotOf(key: string): Promise<number> {
    return Number(await this.#anyone().cli('CLUSTER', 'KEYSLOT', key));
  }

  /** Who serves a slot, as the others see it; undefined while nobody does. */
  async primaryOf(slot: number): Promise<RedisServer | undefined> {
    const owner = (await this.#table(this.#anyone())).find(
      (node) => node.flags.includes('master') && !node.flags.includes('fail') && has(node, slot),
    );
    return this.nodes.find(({ port, isRunning }) => port === owner?.port && isRunning);
  }

  /** Resolves with who was killed, at once: the others find out by themselves. */
  async killPrimaryOf(slot: number): Promise<RedisServer> {
    const primary = await this.primaryOf(slot);
    if (!primary) throw new Error(`nobody serves slot ${slot}`);
    await primary.kill();
    return primary;
  }

  /** Resolves when the nodes that run agree that all slots are served, by nodes that run. */
  async settled(withinMs = SETTLES_WITHIN_MS): Promise<void> {
    const isSettled = async (): Promise<boolean> => {
      const running = this.#running();
      const isServedIn = async (node: RedisServer): Promise<boolean> => {
        const owners = (await this.#table(node)).filter(({ slots }) => slots.length > 0);
        return (
          /cluster_state:ok[\s\S]*cluster_slots_ok:16384/.test(await node.cli('CLUSTER', 'INFO')) &&
          owners.every((owner) => running.some(({ port }) => port === owner.port))
        );
      };
      return (await Promise.all(running.map(isServedIn))).every(Boolean);
    };
    await eventually('all slots are served', isSettled, withinMs);
  }

  /** Moves a slot with its keys to another primary, by default the next one; resolves with who has it now. */
  async moveSlot(slot: number, to?: RedisServer): Promise<RedisServer> {
    const from = await this.primaryOf(slot);
    if (!from) throw new Error(`nobody serves slot ${slot}`);
    const primaries = await this.#primaries();
    const target = to ?? primaries[(primaries.indexOf(from) + 1) % primaries.length]!;
    if (target === from) return from;
    const [fromId, targetId] = await Promise.all([from, target].map((node) => node.cli('CLUSTER', 'MYID')));
    await target.cli('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId!);
    await from.cli('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', targetId!);
    for (;;) {
      const keys = (await from.cli('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')).split('\n').filter(Boolean);
      if (keys.length === 0) break;
      const where = ['127.0.0.1', String(target.port), '', '0', String(MIGRATION_TIMEOUT_MS)];
      await from.cli('MIGRATE', ...where, 'KEYS', ...keys);
    }
    // The new owner first, then the old one: in between nobody is sent in circles.
    for (const node of [target, ...primaries.filter((one) => one !== target)]) {
      await node.cli('CLUSTER', 'SETSLOT', String(slot), 'NODE', targetId!);
    }
    return target;
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #running(): RedisServer[] {
    return this.nodes.filter(({ isRunning }) => isRunning);
  }

  #anyone(): RedisServer {
    const [node] = this.#running();
    if (!node) throw new Error('no node of the cluster runs');
    return node;
  }

  async #table(node: RedisServer): Promise<ClusterNode[]> {
    return parseNodes(await node.cli('CLUSTER', 'NODES'));
  }

  async #primaries(): Promise<RedisServer[]> {
    const table = await this.#table(this.#anyone());
    const ports = table.filter(({ flags }) => flags.includes('master') && !flags.includes('fail')).map((n) => n.port);
    return this.#running().filter(({ port }) => ports.includes(port));
  }
}

async function join(nodes: readonly RedisServer[], primaries: number): Promise<RedisCluster> {
  const cluster = new RedisCluster(nodes);
  const ids = await Promise.all(nodes.map((node) => node.cli('CLUSTER', 'MYID')));
  const share = (index: number): number => Math.floor((SLOTS * index) / primaries);
  await Promise.all(
    nodes.map(async (node, i) => {
      await node.cli('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
      if (i < primaries) await node.cli('CLUSTER', 'ADDSLOTSRANGE', String(share(i)), String(share(i + 1) - 1));
      if (i > 0) await node.cli('CLUSTER', 'MEET', '127.0.0.1', String(nodes[0]!.port));
    }),
  );
  const tables = () => Promise.all(nodes.map(async (node) => parseNodes(await node.cli('CLUSTER', 'NODES'))));
  const know = async (fits: (flags: readonly string[], i: number) => boolean): Promise<boolean> =>
    (await tables()).every((table) => ids.every((id, i) => table.some((one) => one.id === id && fits(one.flags, i))));
  await eventually('all nodes have met', () => know((flags) => !flags.includes('handshake')), SETTLES_WITHIN_MS);
  await Promise.all(
    nodes.slice(primaries).map(async (node, i) => {
      await node.cli('CLUSTER', 'REPLICATE', ids[i]!);
      await node.synced();
    }),
  );
  const isRole = (flags: readonly string[], i: number): boolean => flags.includes(i < primaries ? 'master' : 'slave');
  await eventually('all know who copies whom', () => know(isRole), SETTLES_WITHIN_MS);
  await cluster.settled();
  return cluster;
}

/** Resolves when every slot is served and every replica is in step. */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { primaries = 3, replicas = 0, nodeTimeoutMs = 1_000, persistence = 'none', config = [] } = options;
  const startNode = (): Promise<RedisServer> =>
    startInPlace({ pick: () => freePort(BUS_DISTANCE) }, (place) => {
      // Not among the data: an older copy of those is put back without an older view of the cluster.
      const file = ['--cluster-config-file', `${place.dir}/nodes.conf`];
      const own = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(nodeTimeoutMs), ...file];
      return new RedisServer(place, { persistence, config: [...own, ...config] });
    });
  const starting = await Promise.allSettled(Array.from({ length: primaries * (1 + replicas) }, startNode));
  const nodes = starting.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  try {
    for (const one of starting) if (one.status === 'rejected') throw one.reason;
    return await join(nodes, primaries);
  } catch (error) {
    await Promise.all(nodes.map((node) => node.close()));
    throw error;
  }
}
