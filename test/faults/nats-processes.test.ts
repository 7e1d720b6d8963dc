// Server processes come and go, and their clients follow to the others.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { startNats } from '../support/servers/nats.ts';
import { natsAt } from './nats-scenes.ts';
import { expectFound, expectNoReset, LIGHT, numbers, SEED, SOON_QUIET_MS } from './redis-scenes.ts';

const rounds = numbers({ short: 3, long: 10 });
const PROCESSES = 3;
const DRAIN_MS = 1_000;
/** Processes that start take the machine's time: NATS is not to blame. */
const DEADLINE_MS = 4_000;
const OPTIONS = { concurrent: true, timeout: 120_000 };

/** One after the other ends, and another takes its place. */
async function replacing(how: 'killed' | 'drained', times: number, sabotage: readonly Sabotage[] = []) {
  await using nats = await startNats();
  const broker = natsAt(nats.url, { deadlineMs: DEADLINE_MS }, sabotage);
  const quietWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : 20_000;
  return await Scene.run({ ...LIGHT, broker, usercast: {}, processes: PROCESSES, quietWithinMs }, async (scene) => {
    for (let round = 0; round < times; round++) {
      await scene.accepts(30);
      const { oldestServer } = scene;
      await Promise.all([how === 'killed' ? oldestServer.kill() : oldestServer.drain(DRAIN_MS), scene.addServer()]);
      if (sabotage.length === 0) await scene.repaired();
    }
  });
}

describe('one of three processes ends', OPTIONS, () => {
  it.each(['killed', 'drained'] as const)('%s, and its clients miss nothing, without a reset', async (how) => {
    const report = await replacing(how, rounds);
    expectNoReset(report);
    const { websocket, sse } = report.reconnects;
    expect(websocket + sse, SEED).toBeGreaterThan(0);
    if (how === 'drained') expect(report.failedPublishes, SEED).toBe(0);
  });

  it('control: they miss what came between when nothing is replayed', async () => {
    await expectFound(/lost silently/, async () => (await replacing('killed', 1, ['no-replay'])).violations);
  });
});
