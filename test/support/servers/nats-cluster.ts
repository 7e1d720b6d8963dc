// A cluster of NATS servers on loopback. Their connections to each other go through proxies, so that a test can cut a node
// off while clients still reach it.

import { eventually } from '../raw-client.ts';
import { freePort } from './free-port.ts';
import { NatsServer } from './nats.ts';
import { startInPlace } from './real-server.ts';
import { TcpProxy } from './tcp-proxy.ts';

const SETTLES_WITHIN_MS = 30_000;
/** Nobody listens there. */
const NOWHERE = 1;

interface StreamDetail {
  readonly name: string;
  readonly cluster?: { readonly leader?: string; readonly replicas?: readonly { readonly current: boolean }[] };
}

/** What `/jsz` tells, as far as it is read here. */
interface JetStreamState {
  readonly meta_cluster?: { readonly leader?: string; readonly cluster_size?: number };
  readonly account_details?: readonly {
    readonly stream_detail?: readonly StreamDetail[];
  }[];
}

interface Wire {
  readonly ends: readonly [number, number];
  readonly proxy: TcpProxy;
}

export class NatsCluster {
  readonly nodes: readonly NatsServer[];
  readonly #monitors: readonly number[];
  readonly #wires: readonly Wire[];
  readonly #cutOff = new Set<NatsServer>();

  constructor(nodes: readonly NatsServer[], monitors: readonly number[], wires: readonly Wire[]) {
    this.nodes = nodes;
    this.#monitors = monitors;
    this.#wires = wires;
  }

  get urls(): string[] {
    return this.nodes.map(({ url }) => url);
  }

  /** Who leads a stream, as the nodes see it that run and are not cut off; undefined while nobody does. */
  async leaderOf(stream: string): Promise<NatsServer | undefined> {
    for (const i of this.#together()) {
      const leader = this.#named((await this.#detail(i, stream))?.cluster?.leader);
      if (leader && this.#together().includes(this.nodes.indexOf(leader))) return leader;
    }
    return undefined;
  }

  /** Whether every node has all of a stream, as its leader sees it. */
  async isWhole(stream: string): Promise<boolean> {
    const leader = await this.leaderOf(stream);
    const { replicas = [] } = (leader && (await this.#detail(this.nodes.indexOf(leader), stream))?.cluster) || {};
    return replicas.length === this.nodes.length - 1 && replicas.every(({ current }) => current);
  }

  /** The node that most clients are connected to. */
  async busiest(): Promise<NatsServer> {
    const counts = await Promise.all(
      this.nodes.map(async (node, i) => {
        const response = await fetch(`http://127.0.0.1:${this.#monitors[i]}/connz`);
        const { num_connections } = (await response.json()) as { readonly num_connections: number };
        return { node, num_connections };
      }),
    );
    return counts.reduce((most, one) => (one.num_connections > most.num_connections ? one : most)).node;
  }

  /** Resolves with who was killed, at once: the others find out by themselves. */
  async killLeaderOf(stream: string): Promise<NatsServer> {
    const leader = await this.leaderOf(stream);
    if (!leader) throw new Error(`nobody leads ${stream}`);
    await leader.kill();
    return leader;
  }

  /** The others do not reach the node any more, nor it them; clients still do. */
  cutOff(node: NatsServer): void {
    this.#cutOff.add(node);
    for (const { proxy } of this.#wiresOf(node)) proxy.cut();
  }

  /** The node and the others reach each other again. */
  rejoin(node: NatsServer): void {
    this.#cutOff.delete(node);
    for (const { proxy } of this.#wiresOf(node)) proxy.mend();
  }

  /** Resolves when the nodes that run and are not cut off agree on one of them as the leader of all. */
  async settled(withinMs = SETTLES_WITHIN_MS): Promise<void> {
    const isSettled = async (): Promise<boolean> => {
      const together = this.#together();
      const states = await Promise.all(together.map((i) => this.#state(i)));
      const [leader, ...others] = new Set(states.map((state) => this.#named(state?.meta_cluster?.leader)));
      return (
        others.length === 0 &&
        leader !== undefined &&
        together.includes(this.nodes.indexOf(leader)) &&
        states.every((state) => state?.meta_cluster?.cluster_size === this.nodes.length)
      );
    };
    await eventually('one leader', isSettled, withinMs);
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
    await Promise.all(this.#wires.map(({ proxy }) => proxy.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #together(): number[] {
    return [...this.nodes.keys()].filter((i) => this.nodes[i]!.isRunning && !this.#cutOff.has(this.nodes[i]!));
  }

  #wiresOf(node: NatsServer): Wire[] {
    return this.#wires.filter(({ ends }) => ends.includes(this.nodes.indexOf(node)));
  }

  #named(name: string | undefined): NatsServer | undefined {
    return this.nodes.find(({ port }) => name === `n${port}`);
  }

  async #detail(i: number, stream: string): Promise<StreamDetail | undefined> {
    const accounts = (await this.#state(i, 'streams=1'))?.account_details ?? [];
    return accounts.flatMap((account) => account.stream_detail ?? []).find(({ name }) => name === stream);
  }

  async #state(i: number, query = ''): Promise<JetStreamState | null> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#monitors[i]}/jsz?${query}`);
      return (await response.json()) as JetStreamState;
    } catch {
      return null;
    }
  }
}

/** Resolves when the nodes know one leader. */
export async function startNatsCluster(size = 3): Promise<NatsCluster> {
  const nodes: NatsServer[] = [];
  const monitors: number[] = [];
  const wires: Wire[] = [];
  const doors: number[] = [];
  try {
    for (let i = 0; i < size; i++) {
      const door = await freePort();
      const monitor = await freePort();
      // One wire for each pair: the later node dials the earlier one.
      const routes = await Promise.all(
        doors.map(async (target, other) => {
          const proxy = await new TcpProxy(target).start();
          wires.push({ ends: [other, i], proxy });
          return `nats-route://127.0.0.1:${proxy.port}`;
        }),
      );
      // What a node tells the others of itself leads nowhere, or they would dial past the proxies.
      const listen = `listen: "127.0.0.1:${door}", advertise: "127.0.0.1:${NOWHERE}", no_advertise: true`;
      // A node without a route does not start.
      const dialled = routes.length > 0 ? routes : [`nats-route://127.0.0.1:${NOWHERE}`];
      const cluster = `cluster { name: test, ${listen}, routes: [${dialled.map((url) => `"${url}"`).join(', ')}] }`;
      const config = `http: "127.0.0.1:${monitor}"\n${cluster}`;
      nodes.push(await startInPlace({ pick: () => freePort() }, (place) => new NatsServer(place, config)));
      doors.push(door);
      monitors.push(monitor);
    }
    const cluster = new NatsCluster(nodes, monitors, wires);
    await cluster.settled();
    return cluster;
  } catch (error) {
    await Promise.all(nodes.map((node) => node.close()));
    await Promise.all(wires.map(({ proxy }) => proxy.stop()));
    throw error;
  }
}
