// The connections that live messages come over are cut again and again, or carry nothing in one direction: what was missed is
// read, and no client notices.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { freePort } from '../support/servers/free-port.ts';
import { startNats } from '../support/servers/nats.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { natsAt, natsUrl, ROOMY, STREAM } from './nats-scenes.ts';
import { expectFound, expectNoReset, LIGHT, numbers, SEED, SOON_QUIET_MS } from './redis-scenes.ts';

const { cuts, messagesPerSecond, probeMs, rounds } = numbers({
  short: { cuts: 6, messagesPerSecond: 200, probeMs: 600, rounds: 1 },
  long: { cuts: 100, messagesPerSecond: 500, probeMs: 2_000, rounds: 5 },
});
const OPTIONS = { timeout: 60_000 + cuts * 5_000 + rounds * 60_000 };
/** Of code that has not run yet, a process makes little. */
const WARM_UP = 400;
/** Nothing more comes for most users: what was missed last stays so. */
const LITTLE = { messagesPerSecond: 50, users: 30, clientsPerUser: 1, quietWithinMs: SOON_QUIET_MS } as const;
/** So many are published while nobody listens; the last of some users are among them. */
const UNHEARD = 10;
/** The processes may be busy: their timers come later than they should. */
const SLACK_MS = 300;
const PROCESSES = 2;
/** Positions are compared so late that only a connection that is made anew helps. */
const HARDLY_CHECKED = { lingerMs: 300, checkMs: 60_000, catchUpMs: 500 };

async function cutting(times: number, sabotage: readonly Sabotage[] = []) {
  await using nats = await startNats();
  const proxy = await new TcpProxy(nats.port).start();
  const broker = natsAt(natsUrl(proxy), ROOMY, sabotage);
  const load = sabotage.length > 0 ? LITTLE : { messagesPerSecond };
  try {
    return await Scene.run({ broker, ...load }, async (scene) => {
      if (times > 1) await scene.accepts(WARM_UP);
      for (let i = 1; i < times; i++) {
        proxy.cutAll();
        await scene.repaired();
      }
      proxy.cutAll();
      await scene.accepts(UNHEARD);
    });
  } finally {
    await proxy.stop();
  }
}

describe('the connections to NATS are cut', OPTIONS, () => {
  it('and are repaired in place', async () => {
    const report = await cutting(cuts);
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, async () => (await cutting(1, ['no-position-checks'])).violations);
  });
});

/** The ports from which the proxy holds the connections of brokers, by what they subscribe to. */
async function portsOfBrokers(monitor: number): Promise<Set<number>> {
  interface Connection {
    readonly port: number;
    readonly subscriptions_list?: readonly string[];
  }
  const response = await fetch(`http://127.0.0.1:${monitor}/connz?subs=1`);
  const { connections } = (await response.json()) as { connections: readonly Connection[] };
  const ofBrokers = connections.filter((one) => one.subscriptions_list?.includes(`${STREAM}.changed`));
  return new Set(ofBrokers.map(({ port }) => port));
}

/** Milliseconds until each process had noticed; infinite where it had not in the double of its time. */
async function halving(directions: readonly Direction[], sabotage: readonly Sabotage[] = []) {
  const monitor = await freePort();
  await using nats = await startNats({ config: `http: "127.0.0.1:${monitor}"` });
  const proxy = await new TcpProxy(nats.port).start();
  const noticed: number[] = [];
  const broker = natsAt(natsUrl(proxy), { probeMs }, sabotage);
  const usercast = { ...LIGHT.usercast, subscriptions: HARDLY_CHECKED };
  try {
    const report = await Scene.run({ ...LIGHT, broker, usercast, processes: PROCESSES }, async (scene) => {
      for (const direction of directions) {
        const ports = await portsOfBrokers(monitor);
        expect(ports.size, SEED).toBe(PROCESSES);
        const { accepted } = proxy;
        const fromMs = performance.now();
        proxy.drop(direction, (port) => ports.has(port));
        const isNoticed = () => proxy.accepted >= accepted + PROCESSES;
        const wasNoticed = await eventually('it is noticed', isNoticed, 4 * probeMs).then(
          () => true,
          () => false,
        );
        noticed.push(wasNoticed ? performance.now() - fromMs : Number.POSITIVE_INFINITY);
        if (!wasNoticed) proxy.cutAll();
        await scene.repaired();
      }
    });
    return { report, noticed };
  } finally {
    await proxy.stop();
  }
}

describe('a connection to NATS is half-dead', { ...OPTIONS, concurrent: true }, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const halves = Array.from({ length: rounds }, (): Direction[] => ['down', 'up']).flat();
    const { report, noticed } = await halving(halves);
    expectNoReset(report);
    expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
    expect(Math.max(...noticed), `${SEED}, ${noticed}`).toBeLessThan(2 * probeMs + SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { noticed } = await halving(['down'], ['no-nats-probes']);
    expect(noticed, SEED).toEqual([Number.POSITIVE_INFINITY]);
  });
});
