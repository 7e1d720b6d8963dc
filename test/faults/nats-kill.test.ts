// NATS is killed in the middle of publishing, or stands still, and comes back with all that it had.

import { describe, expect, it } from 'vitest';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import { Scene } from '../support/cluster/scene.ts';
import { startNats } from '../support/servers/nats.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';
import { natsAt, natsUrl, storedIn } from './nats-scenes.ts';
import { expectFound, expectRefusal, expectUnnoticed, LIGHT, loseAnswers, numbers, quietFor, SEED } from './scenes.ts';

interface Rounds {
  readonly rounds: number;
  /** In turn. */
  readonly downMs: readonly number[];
}

const SHORT: Rounds = { rounds: 2, downMs: [500, 300] };
const LONG: Rounds = { rounds: 20, downMs: [500, 3_000, 10_000] };
const kills = numbers({ short: SHORT, long: LONG });
const stillMs = numbers({ short: [1_500], long: [1_000, 5_000, 15_000] });
const OPTIONS = { concurrent: true, timeout: 180_000 + kills.rounds * 15_000 };
/** Under the shortest time that it stands still. */
const DEADLINE_MS = 700;
/** What is published meanwhile comes at once in the end, and has to fit in a user's history. */
const MESSAGES_PER_SECOND = 25;

async function killing({ rounds, downMs }: Rounds, sabotage: readonly Sabotage[] = []) {
  await using nats = await startNats();
  const proxy = await new TcpProxy(nats.port).start();
  const broker = natsAt(natsUrl(proxy), {}, sabotage);
  try {
    return await Scene.run({ ...LIGHT, broker, ...quietFor(sabotage) }, async (scene) => {
      for (let round = 0; round < rounds; round++) {
        await scene.accepts(40);
        await loseAnswers(scene, proxy, () => storedIn(nats));
        await nats.kill();
        proxy.pass();
        const passed = scene.lasting(downMs[round % downMs.length]!);
        await expectRefusal(scene);
        await passed;
        await nats.start();
        if (sabotage.length === 0) await scene.repaired();
      }
    });
  } finally {
    await proxy.stop();
  }
}

async function freezing(times: readonly number[]) {
  await using nats = await startNats();
  const broker = natsAt(nats.url, { deadlineMs: DEADLINE_MS });
  return await Scene.run({ ...LIGHT, broker, messagesPerSecond: MESSAGES_PER_SECOND }, async (scene) => {
    for (const ms of times) {
      await scene.accepts(20);
      nats.freeze();
      const passed = scene.lasting(ms);
      await expectRefusal(scene, DEADLINE_MS);
      await passed;
      nats.thaw();
      await scene.repaired();
    }
  });
}

describe('NATS with a file store', OPTIONS, () => {
  it('is killed while messages are published: nothing is lost, nothing comes twice, and nobody is reset', async () => {
    const report = await killing(kills);
    expectUnnoticed(report);
    expect(report.duplicates, SEED).toBeGreaterThan(0);
  });

  it('control: messages come twice when nobody remembers what was published', async () => {
    await expectFound(/came twice/, async () => (await killing(SHORT, ['no-dedupe'])).violations);
  });

  it('stands still: publishing says so in time, and nothing comes twice when it goes on', async () => {
    const report = await freezing(stillMs);
    expectUnnoticed(report);
  });
});
