// What NATS has kept of a user goes away: an operator purges it, or it gets too old.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene, type SceneReport } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type NatsServer, startNats } from '../support/servers/nats.ts';
import { natsAt, purge } from './nats-scenes.ts';
import { CLIENTS, expectFound, expectWhole, LIGHT, numbers, quietFor, ROOMY, SEED, SOON_QUIET_MS } from './scenes.ts';
import { type Tale, Travellers } from './travellers.ts';

const { rounds, proofMs } = numbers({ short: { rounds: 1, proofMs: 4_000 }, long: { rounds: 10, proofMs: 8_000 } });
/** Published while some are away, and then gone. */
const MISSED = 30;
/** Positions are compared every 1.5 s; a plain run shares the machine with others. */
const NOTICED_WITHIN_MS = numbers({ short: 15_000, long: 5_000 });
/** No guarantee: when to stop waiting. */
const WITHIN_MS = 30_000;
const OPTIONS = { concurrent: true, timeout: 240_000 + rounds * 30_000 };

type Loss = (nats: NatsServer, scene: Scene) => Promise<unknown>;

const LOSSES: Record<string, Loss> = {
  'is purged': (nats, { userIds }) => Promise.all(userIds.map((userId) => purge(nats, userId))),
  'gets too old': (_, scene) => scene.lasting(proofMs),
};

interface Outcome {
  readonly report: SceneReport;
  readonly travellers: Tale;
}

/** Nobody publishes when it happens: no live message tells of it. */
async function losing(loss: Loss, times: number, sabotage: readonly Sabotage[] = []): Promise<Outcome> {
  await using nats = await startNats();
  const broker = natsAt(
    nats.url,
    { proofMs, deduplicationMs: proofMs, history: { ...ROOMY, ageMs: proofMs } },
    sabotage,
  );
  const reachedWithinMs = sabotage.length > 0 ? SOON_QUIET_MS : WITHIN_MS;
  const violations: string[] = [];
  let resets = 0;
  const report = await Scene.run({ ...LIGHT, broker, ...quietFor(sabotage) }, async (scene) => {
    await using away = new Travellers(scene);
    await away.arrive();
    for (let round = 0; round < times; round++) {
      await away.leave();
      scene.publisher.start();
      await scene.accepts(MISSED);
      await scene.publisher.stop(WITHIN_MS);
      const fromMs = performance.now();
      await loss(nats, scene);
      const areReset = () => scene.clients.every(({ witness }) => witness.lastResetMs > fromMs);
      if (sabotage.length === 0) await eventually('every client is reset', areReset, NOTICED_WITHIN_MS);
      scene.publisher.start();
      if (sabotage.length === 0) await scene.repaired();
      await away.arrive();
      violations.push(...(await away.violations(reachedWithinMs)));
    }
    resets = away.resets;
  });
  return { report, travellers: { violations, resets } };
}

describe.each(Object.entries(LOSSES))(
  'what NATS has kept of all users %s while nothing is published',
  OPTIONS,
  (_, loss) => {
    it('and everybody is reset, here and away', async () => {
      const { report, travellers } = await losing(loss, rounds);
      expectWhole(report);
      expect(report.resets, SEED).toBeGreaterThanOrEqual(CLIENTS * rounds);
      expect(travellers.violations, SEED).toEqual([]);
      expect(travellers.resets, SEED).toBeGreaterThanOrEqual(LIGHT.users * rounds);
    });

    it('control: who was away gets nothing any more, and is not told, when no position has to be proven', async () => {
      const attempt = async () => (await losing(loss, 1, ['no-proof'])).travellers.violations;
      await expectFound(/lost silently|the travellers are caught up/, attempt);
    });
  },
);
