// The connections that live messages come over are cut again and again, or carry nothing in one direction: what was missed is
// read, and no client notices.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { freePort } from '../support/servers/free-port.ts';
import { startNats } from '../support/servers/nats.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { natsAt, natsUrl, STREAM } from './nats-scenes.ts';
import {
  expectFound,
  expectUnnoticed,
  FULL_LOAD,
  numbers,
  PATIENT,
  PATIENT_MS,
  publishUnheard,
  SEED,
  SOON_QUIET_MS,
  timersPass,
} from './scenes.ts';

const { cuts, probeMs, rounds } = numbers({
  short: { cuts: 6, probeMs: 1_000, rounds: 1 },
  long: { cuts: 100, probeMs: 2_000, rounds: 5 },
});
const OPTIONS = { timeout: 180_000 + cuts * 5_000 + rounds * 60_000 };
/** Of code that has not run yet, a process makes little. */
const WARM_UP = 400;
/** Published before it is quiet, after the last cut. */
const MORE = 10;
/** What is asked over a connection that is half-dead is asked again after it, and a busy machine needs some. */
const DEADLINE_MS = 4_000;
const REPAIRED_WITHIN_MS = 90_000;
/** To make a connection anew. */
const SLACK_MS = 1_000;
/** When to stop waiting, in probe intervals. */
const NEVER = 4;
const SURELY = 40;
const PROCESSES = 2;
/** Positions are compared so late that only a connection that is made anew helps. */
const HARDLY_CHECKED = { lingerMs: 300, checkMs: 60_000, catchUpMs: 500 };

async function cutting(times: number) {
  await using nats = await startNats();
  const proxy = await new TcpProxy(nats.port).start();
  try {
    const options = { broker: natsAt(natsUrl(proxy), { deadlineMs: PATIENT_MS }), ...FULL_LOAD };
    return await Scene.run(options, async (scene) => {
      await scene.accepts(WARM_UP);
      for (let i = 1; i < times; i++) {
        proxy.cutAll();
        await scene.repaired();
      }
      proxy.cutAll();
      await scene.accepts(MORE);
    });
  } finally {
    await proxy.stop();
  }
}

async function missing(): Promise<readonly string[]> {
  await using nats = await startNats();
  const proxy = await new TcpProxy(nats.port).start();
  const broker = natsAt(natsUrl(proxy), { deadlineMs: PATIENT_MS }, ['no-position-checks']);
  try {
    const { violations } = await Scene.run({ ...PATIENT, broker, quietWithinMs: SOON_QUIET_MS }, async (scene) => {
      await scene.accepts(MORE);
      await publishUnheard(scene, natsAt(nats.url, { deadlineMs: PATIENT_MS }), () => proxy.cutAll());
    });
    return violations;
  } finally {
    await proxy.stop();
  }
}

describe('the connections to NATS are cut', { ...OPTIONS, concurrent: true }, () => {
  it('and are repaired in place', async () => {
    expectUnnoticed(await cutting(cuts));
  });

  it('control: the last messages are missed when nobody compares positions', async () => {
    await expectFound(/ended at offset/, missing);
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

/**
 * How many milliseconds after two probe intervals the last process had noticed; infinite where it had not at all. The
 * intervals are as long as timers of the processes make them: later than they should be, where the machine is busy.
 */
async function halving(directions: readonly Direction[], sabotage: readonly Sabotage[] = []) {
  const monitor = await freePort();
  await using nats = await startNats({ config: `http: "127.0.0.1:${monitor}"` });
  const proxy = await new TcpProxy(nats.port).start();
  const lateMs: number[] = [];
  const broker = natsAt(natsUrl(proxy), { probeMs, deadlineMs: DEADLINE_MS }, sabotage);
  const withinMs = (sabotage.length > 0 ? NEVER : SURELY) * probeMs;
  const usercast = { limits: { deadlineMs: DEADLINE_MS }, subscriptions: HARDLY_CHECKED };
  try {
    const report = await Scene.run({ ...PATIENT, broker, usercast, processes: PROCESSES }, async (scene) => {
      for (const direction of directions) {
        const ports = await portsOfBrokers(monitor);
        expect(ports.size, SEED).toBe(PROCESSES);
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

describe('a connection to NATS is half-dead', { ...OPTIONS, concurrent: true }, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const halves = Array.from({ length: rounds }, (): Direction[] => ['down', 'up']).flat();
    const { report, lateMs } = await halving(halves);
    expectUnnoticed(report);
    expect(Math.max(...lateMs), `${SEED}, ${lateMs}`).toBeLessThan(SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { lateMs } = await halving(['down'], ['no-nats-probes']);
    expect(lateMs, SEED).toEqual([Number.POSITIVE_INFINITY]);
  });
});
