// `SOAK_SECONDS=300 npx vitest run test/behaviour/soak.test.ts` for a longer one; `TEST_SEED` repeats its choices.

import { memoryBroker } from 'usercast';
import { faultyBroker } from 'usercast/testing';
import { afterEach, expect, it, vi } from 'vitest';
import { Hold } from '../../src/broker/hold.ts';
import { UserSessions } from '../../src/session/user-sessions.ts';
import { seed } from '../support/seed.ts';
import { soak } from '../support/soak.ts';

const SECONDS = Number(process.env.SOAK_SECONDS ?? 30);
const FAULTS = {
  drop: 0.02,
  duplicate: 0.02,
  reorder: 0.02,
  delay: 0.05,
  slow: 0.1,
  reject: 0.005,
  loseAnswer: 0.005,
  maxDelayMs: 10,
};

afterEach(() => {
  vi.restoreAllMocks();
});

it(`loses, doubles and reorders nothing in ${SECONDS} s of reconnects on every transport, over a broker that does`, {
  timeout: SECONDS * 1_000 + 240_000,
}, async () => {
  const streams = memoryBroker();
  const brokers = [1, 2, 3].map((node) => faultyBroker(streams, { seed: seed + node, ...FAULTS }));
  const report = await soak({
    brokers,
    seed,
    users: 200,
    sessionsPerUser: 2,
    messagesPerSecond: 300,
    durationMs: SECONDS * 1_000,
    cutEveryMs: 2_000,
  });
  expect(report.violations.slice(0, 20)).toEqual([]);
  expect(report.leftovers).toEqual([]);
  expect(report.resets).toBe(0);
  expect(report.accepted).toBeGreaterThan(250 * SECONDS);
  expect(report.delivered).toBeGreaterThan(report.accepted);
  for (const [transport, connections] of Object.entries(report.connections)) {
    expect([transport, connections > SECONDS]).toEqual([transport, true]);
  }
  for (const fault of [...Object.keys(FAULTS).filter((name) => name !== 'maxDelayMs'), 'cut'] as const) {
    const times = brokers.reduce((sum, { happened }) => sum + happened[fault as keyof typeof happened], 0);
    expect([fault, times > 0]).toEqual([fault, true]);
  }
});

it('fails where sessions do not hold what arrives while they read, and believe that they did', {
  timeout: 400_000,
}, async () => {
  vi.spyOn(Hold.prototype, 'add').mockImplementation(() => {});
  vi.spyOn(UserSessions.prototype, 'isAt').mockReturnValue(true);
  // In real time a loss is a matter of chance: a few short soaks, until one shows it.
  const loss = /came after|lost silently/;
  let found = '';
  for (let attempt = 0; attempt < 10 && !loss.test(found); attempt++) {
    const { violations } = await soak({
      brokers: [faultyBroker(memoryBroker(), { seed: seed + attempt, slow: 0.5 })],
      seed: seed + attempt,
      users: 10,
      sessionsPerUser: 2,
      messagesPerSecond: 300,
      durationMs: 3_000,
      quietWithinMs: 10_000,
    });
    found = violations.join('\n');
  }
  expect(found).toMatch(loss);
});
