// Connections that look open while what is sent in one direction is gone: when it is noticed, whatever the broker.

import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { LIGHT, numbers, timersPass } from './scenes.ts';

const { probeMs, rounds } = numbers({ short: { probeMs: 1_000, rounds: 1 }, long: { probeMs: 2_000, rounds: 5 } });
/** What is asked over a half that is dead is asked again after it, and a busy machine needs some. */
const DEADLINE_MS = 4_000;
const REPAIRED_WITHIN_MS = 90_000;
/** When to stop waiting, in probe intervals. */
const NEVER = 4;
const SURELY = 40;
/** Positions are compared so late that only a connection that is made anew helps. */
const USERCAST = {
  limits: { deadlineMs: DEADLINE_MS },
  subscriptions: { lingerMs: 300, checkMs: 60_000, catchUpMs: 500 },
} as const;

/** How often every half is killed. */
export const ROUNDS = rounds;
export const PROCESSES = 2;
/** Of a broker that is to notice. */
export const PROBED = { probeMs, deadlineMs: DEADLINE_MS } as const;

/** What dies: one direction of the connections that the proxy holds from these ports. */
export interface Half {
  readonly direction: Direction;
  readonly ports: () => Promise<ReadonlySet<number>>;
}

export interface Halving {
  readonly server: { readonly port: number };
  /** For a process of its own that finds the broker at the proxy. */
  readonly specAt: (proxy: TcpProxy) => BrokerSpec;
  readonly halves: readonly Half[];
}

/**
 * How many milliseconds after two probe intervals the last process had noticed; infinite where it had not at all. The
 * intervals are as long as timers of the processes make them: later than they should be, where the machine is busy.
 */
export async function halving({ server, specAt, halves }: Halving) {
  const proxy = await new TcpProxy(server.port).start();
  const lateMs: number[] = [];
  const broker = specAt(proxy);
  const withinMs = ((broker.sabotage ?? []).length > 0 ? NEVER : SURELY) * probeMs;
  const options = { ...LIGHT, broker, usercast: USERCAST, processes: PROCESSES };
  try {
    const report = await Scene.run(options, async (scene) => {
      for (const { direction, ports: portsOf } of halves) {
        const ports = await portsOf();
        const { accepted } = proxy;
        proxy.drop(direction, (port) => ports.has(port));
        const due = timersPass(scene.serving, [probeMs, probeMs / 2, probeMs / 2]);
        const isNoticed = () => proxy.accepted >= accepted + PROCESSES;
        const noticedMs = await eventually('it is noticed', isNoticed, withinMs).then(
          () => performance.now(),
          () => Number.POSITIVE_INFINITY,
        );
        lateMs.push(noticedMs - (await due));
        if (noticedMs === Number.POSITIVE_INFINITY) proxy.cutAll();
        await scene.repaired(REPAIRED_WITHIN_MS);
      }
    });
    return { report, lateMs };
  } finally {
    await proxy.stop();
  }
}
