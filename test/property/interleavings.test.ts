// Whatever happens in whatever order, every session gets each accepted message once and in order, or a reset after it.
// `PROPERTY_RUNS=1000 npx vitest run test/property/interleavings.test.ts` for more.

import fc from 'fast-check';
import { memoryBroker } from 'usercast';
import { modelBroker, seededRandom } from 'usercast/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Hold } from '../../src/broker/hold.ts';
import { PositionCheck } from '../../src/broker/position-check.ts';
import { UserSessions } from '../../src/session/user-sessions.ts';
import { happen, type Outcome, type Step, survivesIn } from '../support/interleaving.ts';

const RUNS = Number(process.env.PROPERTY_RUNS ?? 500);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const client = fc.integer({ min: 0, max: 2 });
const node = fc.integer({ min: 0, max: 1 });
const chance = fc.constantFrom(0, 0.1, 0.5);
const only = <const K extends string>(...names: K[]) => fc.constantFrom(...names);

const common = [
  {
    weight: 10,
    arbitrary: fc.record({ do: only('publish'), times: fc.integer({ min: 1, max: 4 }), unread: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: only('ack') }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: only('connect'), client, transport: fc.integer({ min: 0, max: 2 }), node }),
  },
  { weight: 5, arbitrary: fc.record({ do: only('drop'), client, reads: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: only('stall', 'drain'), client }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: only('faults'),
      node,
      faults: fc.record({
        drop: chance,
        duplicate: chance,
        reorder: chance,
        delay: chance,
        slow: chance,
        reject: fc.constantFrom(0, 0.1),
        loseAnswer: fc.constantFrom(0, 0.1),
      }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: only('cut', 'mend', 'mend', 'calm'), node }) },
  { weight: 8, arbitrary: fc.record({ do: only('wait'), ms: fc.constantFrom(5, 20, 100, 1_500) }) },
] satisfies { weight: number; arbitrary: fc.Arbitrary<Step> }[];

const steps = (...more: { weight: number; arbitrary: fc.Arbitrary<Step> }[]): fc.Arbitrary<Step[]> =>
  fc.array(fc.oneof(...common, ...more), { minLength: 10, maxLength: 60, size: 'max' });
const seeds = fc.nat(2 ** 31);
const buffered = fc.constantFrom(200, 1_000, 1_048_576);

/** Every choice that is made along the way repeats with the seed. */
function settle(seed: number): void {
  vi.spyOn(Math, 'random').mockImplementation(seededRandom(seed));
}

describe('any interleaving of publishes, drops, resumes and transport changes', {
  timeout: 240_000 + 400 * RUNS,
}, () => {
  it('over a broker that loses, doubles, delays and reorders loses nothing, and resets nobody', async () => {
    let delivered = 0;
    await fc.assert(
      fc.asyncProperty(steps(), seeds, buffered, async (taken, seed, maxBufferedBytes) => {
        settle(seed);
        const streams = memoryBroker({ history: { messages: 1_000 } });
        const outcome = await happen(taken, { brokers: [streams, streams], seed, maxBufferedBytes });
        expect(outcome.violations).toEqual([]);
        expect(outcome.resets).toBe(0);
        delivered += outcome.delivered;
      }),
      { numRuns: RUNS },
    );
    expect(delivered).toBeGreaterThan(20 * RUNS);
  });

  it('over a broker that keeps little, and forgets, loses nothing silently', async () => {
    let resets = 0;
    const forgetting = { weight: 1, arbitrary: fc.record({ do: only('forget') }) };
    await fc.assert(
      fc.asyncProperty(
        steps(forgetting),
        seeds,
        fc.constantFrom(1, 5),
        buffered,
        async (taken, seed, messages, bytes) => {
          settle(seed);
          const streams = memoryBroker({ history: { messages } });
          const outcome = await happen(taken, { brokers: [streams, streams], seed, maxBufferedBytes: bytes });
          expect(outcome.violations).toEqual([]);
          resets += outcome.resets;
        },
      ),
      { numRuns: RUNS },
    );
    expect(resets).toBeGreaterThan(RUNS / 4);
  });

  it('over a broker that comes back with older data mixes nothing of before with what came after', async () => {
    let resets = 0;
    const rollingBack = { weight: 2, arbitrary: fc.record({ do: only('save', 'rollBack') }) };
    await fc.assert(
      fc.asyncProperty(steps(rollingBack), seeds, buffered, async (taken, seed, maxBufferedBytes) => {
        settle(seed);
        const model = modelBroker();
        const world = { brokers: [model, model], survives: survivesIn(model), seed, maxBufferedBytes };
        const outcome: Outcome = await happen([{ do: 'save' }, ...taken], world);
        expect(outcome.violations).toEqual([]);
        resets += outcome.resets;
      }),
      { numRuns: RUNS },
    );
    expect(resets).toBeGreaterThan(RUNS / 4);
  });

  it.each([
    [
      'sessions do not hold what arrives while they read, and believe that they did',
      () => {
        vi.spyOn(Hold.prototype, 'add').mockImplementation(() => {});
        vi.spyOn(UserSessions.prototype, 'isAt').mockReturnValue(true);
      },
    ],
    [
      'positions are not compared with the broker',
      () => {
        vi.spyOn(PositionCheck.prototype, 'watch').mockImplementation(() => {});
      },
    ],
  ])('loses messages silently where %s', async (_what, disarm) => {
    disarm();
    const { failed } = await fc.check(
      fc.asyncProperty(steps(), seeds, buffered, async (taken, seed, maxBufferedBytes) => {
        const streams = memoryBroker();
        const outcome = await happen(taken, { brokers: [streams, streams], seed, maxBufferedBytes });
        return outcome.violations.length === 0;
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect(failed).toBe(true);
  });
});
