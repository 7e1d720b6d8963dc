// What the fault tests on Redis share: their numbers, brokers that notice things soon, what a good report is, and clients
// that are away while the harm is done.

import { Agent } from 'node:http';
import { expect } from 'vitest';
import { testToken } from '../../src/testing/index.ts';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import type { Scene, SceneReport } from '../support/cluster/scene.ts';
import { violationsOf } from '../support/invariants.ts';
import { eventually } from '../support/raw-client.ts';
import { seed } from '../support/seed.ts';
import { SoakClient } from '../support/soak-client.ts';

/** `FAULTS=long` runs each fault in full; a plain run has a short form of it. */
export const IS_LONG = process.env.FAULTS === 'long';

/** The numbers of a fault. */
export function numbers<T>({ short, long }: { readonly short: T; readonly long: T }): T {
  return IS_LONG ? long : short;
}

type RedisSpec = Extract<BrokerSpec, { kind: 'redis' }>;

/** Every test of a run has the seed in its message. */
export const SEED = `TEST_SEED=${seed}`;
export const PROBE_MS = 400;
export const DEADLINE_MS = 1_000;
/** A load that several scenes at one time bear; usercast gives up when its broker does. */
export const LIGHT = { users: 6, messagesPerSecond: 40, usercast: { limits: { deadlineMs: DEADLINE_MS } } } as const;
export const CLIENTS = 3 * LIGHT.users;
/** After the return of the broker. */
const PUBLISHES_WITHIN_MS = 5_000;
const CATCHES_UP_WITHIN_MS = 10_000;
/** For a control: what is not there then does not come. */
export const SOON_QUIET_MS = 2_000;
export const MISCOUNT = /: counts \d+ of \d+ accepted events$/;
/** Where chance is involved, a control may need several attempts. */
const ATTEMPTS = 4;

/** A broker that probes often. */
export function redisAt(
  url: string | readonly string[],
  options: Partial<RedisSpec['options']> = {},
  sabotage: readonly Sabotage[] = [],
): RedisSpec {
  return { kind: 'redis', options: { probeMs: PROBE_MS, deadlineMs: DEADLINE_MS, ...options, url }, sabotage };
}

/** Nothing was lost silently, nothing is left, and every repair was in time. */
export function expectWhole(report: SceneReport): void {
  const { violations, leftovers, repairs } = report;
  expect({ violations, leftovers }, SEED).toEqual({ violations: [], leftovers: [] });
  for (const { acceptedMs, caughtUpMs } of repairs) {
    expect(acceptedMs, SEED).toBeLessThan(PUBLISHES_WITHIN_MS);
    expect(caughtUpMs, SEED).toBeLessThan(CATCHES_UP_WITHIN_MS);
  }
  if (process.env.FAULTS_LOG) {
    console.log(JSON.stringify(report));
  }
}

/** The same, apart from counts that Redis has lost. */
export function withoutMiscounts(report: SceneReport): SceneReport {
  return { ...report, violations: report.violations.filter((line) => !MISCOUNT.test(line)) };
}

/** And nobody had to reload. */
export function expectNoReset(report: SceneReport): void {
  expectWhole(report);
  expect(report.resetReasons, SEED).toEqual({});
}

/** The control of a fault: with the defence off, an attempt has to show what goes wrong. */
export async function expectFound(what: RegExp, attempt: () => Promise<readonly string[]>): Promise<void> {
  let seen = '';
  for (let i = 0; i < ATTEMPTS && !what.test(seen); i++) {
    seen = (await attempt().catch((error: Error) => [`threw ${error.message}`])).join('\n');
    if (process.env.FAULTS_LOG) console.log('attempt', i, seen.slice(0, 500));
  }
  expect(seen, SEED).toMatch(what);
}

/** A publish while the broker does not answer says so within its deadline, and for whom. */
export async function expectRefusal(scene: Scene, deadlineMs = DEADLINE_MS): Promise<void> {
  const { anyServer, userIds } = scene;
  const fromMs = performance.now();
  const event = { ...EVENT, id: `refused ${fromMs}` };
  await expect(anyServer.publish(userIds.slice(0, 2), event), SEED).rejects.toThrow(
    'not known to be stored for 2 of 2',
  );
  // The process may be busy: its timers come later than they should.
  expect(performance.now() - fromMs, SEED).toBeLessThan(deadlineMs + 500);
}

const EVENT = {
  type: 'msg.text',
  box_id: 'refused',
  server_event_created_at: '2020-09-15T08:30:00Z',
  sender: { id: 'zoe' },
  content: { text: 'refused' },
} as const;

/** A client of each user that leaves, and comes back when the harm is done. */
export class Travellers {
  readonly clients: readonly SoakClient[];
  readonly #scene: Scene;
  readonly #agent = new Agent();
  #leaving = new AbortController();
  #staying: Promise<unknown> = Promise.resolve();

  constructor(scene: Scene) {
    this.#scene = scene;
    const { random } = scene;
    this.clients = scene.userIds.map(
      (userId) => new SoakClient({ userId, token: testToken({ userId }), random, agent: this.#agent }),
    );
  }

  /** Resolves when all have a cursor, or have been told that theirs is of no use. */
  async arrive(): Promise<void> {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const before = this.clients.map(({ connections }) => connections.websocket);
    this.#staying = Promise.all(
      this.clients.map(async (client) => {
        while (!signal.aborted && this.#scene.serving.length > 0) {
          await client.connect(this.#scene.anyServer.port, 'websocket', signal);
        }
      }),
    );
    const areThere = () => this.clients.every(({ connections }, i) => connections.websocket > before[i]!);
    await eventually('the travellers are connected', areThere, CATCHES_UP_WITHIN_MS);
  }

  async leave(): Promise<void> {
    this.#leaving.abort();
    await this.#staying;
    this.#agent.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }

  get resets(): number {
    return this.clients.reduce((sum, { witness }) => sum + witness.resets, 0);
  }

  /** What is wrong with what they have seen, once they have all that was published until now. */
  async violations(withinMs = CATCHES_UP_WITHIN_MS): Promise<string[]> {
    const { publisher } = this.#scene;
    const nowMs = performance.now();
    const ids = await Promise.all(this.clients.map(({ witness }) => publisher.publish([witness.userId], 'kept')));
    const witnesses = this.clients.map(({ witness }) => witness);
    const areUp = () => witnesses.every((one, i) => one.has(ids[i]!) || one.lastResetMs > nowMs);
    await eventually('the travellers are caught up', areUp, withinMs);
    const accepted = publisher.accepted.filter(({ doneMs = nowMs }) => doneMs < nowMs);
    return violationsOf({ accepted, witnesses, tops: new Map(), counts: new Map(), exactCounts: false });
  }
}
