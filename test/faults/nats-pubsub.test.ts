// The connections that live messages come over are cut again and again, or carry nothing in one direction: what was missed is
// read, and no client notices.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { freePort } from '../support/servers/free-port.ts';
import { startNats } from '../support/servers/nats.ts';
import { type Direction, TcpProxy } from '../support/servers/tcp-proxy.ts';
import { halving, PROBED, PROCESSES, ROUNDS } from './half-dead.ts';
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
} from './scenes.ts';

const cuts = numbers({ short: 6, long: 100 });
const OPTIONS = { concurrent: true, timeout: 180_000 + cuts * 5_000 + ROUNDS * 60_000 };
/** Of code that has not run yet, a process makes little. */
const WARM_UP = 400;
/** Published before it is quiet, after the last cut. */
const MORE = 10;
/** To make a connection anew. */
const SLACK_MS = 1_000;

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

describe('the connections to NATS are cut', OPTIONS, () => {
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

async function halvingNats(directions: readonly Direction[], sabotage: readonly Sabotage[] = []) {
  const monitor = await freePort();
  await using nats = await startNats({ config: `http: "127.0.0.1:${monitor}"` });
  const ports = async (): Promise<Set<number>> => {
    const found = await portsOfBrokers(monitor);
    expect(found.size, SEED).toBe(PROCESSES);
    return found;
  };
  return await halving({
    server: nats,
    specAt: (proxy) => natsAt(natsUrl(proxy), PROBED, sabotage),
    halves: directions.map((direction) => ({ direction, ports })),
  });
}

describe('a connection to NATS is half-dead', OPTIONS, () => {
  it('is noticed within two probe intervals, and no client notices', async () => {
    const halves = Array.from({ length: ROUNDS }, (): Direction[] => ['down', 'up']).flat();
    const { report, lateMs } = await halvingNats(halves);
    expectUnnoticed(report);
    expect(Math.max(...lateMs), `${SEED}, ${lateMs}`).toBeLessThan(SLACK_MS);
  });

  it('control: is not noticed without probes', async () => {
    const { lateMs } = await halvingNats(['down'], ['no-nats-probes']);
    expect(lateMs, SEED).toEqual([Number.POSITIVE_INFINITY]);
  });
});
