// Server processes come and go, and their clients follow to the others.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { KINDS, type Kind } from './kinds.ts';
import { expectFound, expectNoReset, numbers, PATIENT, PATIENT_MS, quietFor, SEED } from './scenes.ts';

const rounds = numbers({ short: 3, long: 10 });
const PROCESSES = 3;
/** So many that something comes for clients that are away for some milliseconds. */
const MANY = { messagesPerSecond: 200 };
const DRAIN_MS = 1_000;
const OPTIONS = { concurrent: true, timeout: 240_000 };

/** One after the other ends, and another takes its place. */
async function replacing(
  { start, spec, urlOf }: Kind,
  how: 'killed' | 'drained',
  times: number,
  sabotage: readonly Sabotage[] = [],
) {
  await using server = await start();
  const broker = spec(urlOf(server), { probeMs: PATIENT_MS, deadlineMs: PATIENT_MS }, sabotage);
  const load = sabotage.length > 0 ? MANY : {};
  const options = { ...PATIENT, ...load, ...quietFor(sabotage), broker, processes: PROCESSES };
  return await Scene.run(options, async (scene) => {
    for (let round = 0; round < times; round++) {
      await scene.accepts(30);
      const { oldestServer } = scene;
      await Promise.all([how === 'killed' ? oldestServer.kill() : oldestServer.drain(DRAIN_MS), scene.addServer()]);
      if (sabotage.length === 0) await scene.repaired();
    }
  });
}

describe.each(KINDS)('on %s', (_, kind) => {
  describe('one of three processes ends', OPTIONS, () => {
    it.each(['killed', 'drained'] as const)('%s, and its clients miss nothing, without a reset', async (how) => {
      const report = await replacing(kind, how, rounds);
      expectNoReset(report);
      // All that were there in the beginning have ended, so every client that held a connection has lost it.
      const { websocket, sse } = report.reconnects;
      expect(websocket + sse, SEED).toBeGreaterThan(0);
      if (how === 'drained') expect(report.failedPublishes, SEED).toBe(0);
    });

    it('control: they miss what came between when nothing is replayed', async () => {
      await expectFound(/lost silently/, async () => (await replacing(kind, 'killed', 1, ['no-replay'])).violations);
    });
  });
});
