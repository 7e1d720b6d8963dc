// NATS comes back with less than it had accepted: whoever followed a stream that is no more is reset, also clients that were
// away and whose place is in what has come back.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene, type SceneReport } from '../support/cluster/scene.ts';
import { eventually } from '../support/raw-client.ts';
import { type NatsServer, startNats } from '../support/servers/nats.ts';
import { deleteStream, natsAt } from './nats-scenes.ts';
import {
  CLIENTS,
  comeBackOlder,
  expectFound,
  expectWhole,
  LIGHT,
  numbers,
  PATIENT,
  PATIENT_MS,
  quietFor,
  SEED,
  withoutMiscounts,
} from './scenes.ts';
import { type Tale, Travellers } from './travellers.ts';

const { rounds, tail, grown } = numbers({
  short: { rounds: 1, tail: 40, grown: 60 },
  long: { rounds: 10, tail: 100, grown: 150 },
});

/** A process that has not been told yet takes the stream for one that went back. */
const REASONS = ['epoch', 'rollback'];

/** No guarantee: when to stop waiting. */
const AGREED_WITHIN_MS = 30_000;

/** Has NATS lose what `lose` publishes, and perhaps more. */
type Loss = (nats: NatsServer, lose: () => Promise<unknown>) => Promise<unknown>;

const LOSSES: Record<string, Loss> = {
  'is started from an older copy': comeBackOlder,

  'has its stream deleted': async (nats, lose) => {
    await lose();
    await deleteStream(nats);
  },

  'loses its store': async (nats, lose) => {
    await lose();
    await nats.kill();
    await nats.eraseData();
    await nats.start();
  },
};

interface Outcome {
  readonly report: SceneReport;
  readonly travellers: Tale;
}

/** All processes have the same epochs. */
async function agree({ serving, userIds }: Scene): Promise<boolean> {
  const tops = await Promise.all(serving.map((server) => server.tops(userIds)));
  return userIds.every((userId) => new Set(tops.map((one) => one.get(userId)?.epoch)).size === 1);
}

async function losing(loss: Loss, sabotage: readonly Sabotage[] = []): Promise<Outcome> {
  await using nats = await startNats();
  let travellers: Tale | undefined;
  const options = { ...PATIENT, broker: natsAt(nats.url, { deadlineMs: PATIENT_MS }, sabotage), ...quietFor(sabotage) };
  const report = await Scene.run(options, async (scene) => {
    await using away = new Travellers(scene);
    await away.arrive();
    await away.leave();
    await scene.accepts(10);
    await loss(nats, () => scene.accepts(tail));
    if (sabotage.length === 0) await scene.repaired();
    await scene.accepts(tail + grown);
    // Who comes to a process that has not been told yet is reset once more when it is.
    if (sabotage.length === 0) await eventually('all know the same stream', () => agree(scene), AGREED_WITHIN_MS);
    await away.arrive();
    travellers = await away.tale();
  });
  return { report, travellers: travellers! };
}

const OPTIONS = { concurrent: true, timeout: 180_000 + rounds * 30_000 };

describe.each(Object.entries(LOSSES))('NATS %s', OPTIONS, (_, loss) => {
  it('and everybody is reset, here and away', async () => {
    for (let round = 0; round < rounds; round++) {
      const { report, travellers } = await losing(loss);
      expectWhole(withoutMiscounts(report));
      expect(report.resets, SEED).toBeGreaterThanOrEqual(CLIENTS);
      expect(REASONS, SEED).toEqual(expect.arrayContaining(Object.keys(report.resetReasons)));
      expect(travellers, SEED).toEqual({ violations: [], resets: LIGHT.users });
    }
  });
});

describe('control', OPTIONS, () => {
  it('who was away loses messages silently when nobody knows what NATS had', async () => {
    const attempt = async () => (await losing(comeBackOlder, ['no-nats-generations'])).travellers.violations;
    await expectFound(/lost silently/, attempt);
  });
});
