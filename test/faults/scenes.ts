// What all fault tests share: their numbers, what a good report is, and how a control has to show the harm.

import { expect } from 'vitest';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import type { Sabotage } from '../support/cluster/sabotage.ts';
import type { Scene, SceneReport } from '../support/cluster/scene.ts';
import { ServerProcess } from '../support/cluster/server-process.ts';
import { eventually } from '../support/raw-client.ts';
import { seed } from '../support/seed.ts';
import type { RealServer } from '../support/servers/real-server.ts';
import type { TcpProxy } from '../support/servers/tcp-proxy.ts';

/** `FAULTS=long` runs each fault in full; a plain run has a short form of it. */
const IS_LONG = process.env.FAULTS === 'long';

/** The numbers of a fault. */
export function numbers<T>({ short, long }: { readonly short: T; readonly long: T }): T {
  return IS_LONG ? long : short;
}

/** Every test of a run has the seed in its message. */
export const SEED = `TEST_SEED=${seed}`;
export const PROBE_MS = 400;
export const DEADLINE_MS = 1_000;
/** For a fault that no deadline is part of: the machine may be busy. */
export const PATIENT_MS = 10_000;
/** A load that several scenes at one time bear; usercast gives up when its broker does. */
export const LIGHT = { users: 6, messagesPerSecond: 40, usercast: { limits: { deadlineMs: DEADLINE_MS } } } as const;
export const CLIENTS = 3 * LIGHT.users;
/** The same, where no deadline is part of the fault. */
export const PATIENT = { ...LIGHT, usercast: { limits: { deadlineMs: PATIENT_MS } } } as const;
/** As much as the machine can, up to this rate. */
export const FULL_LOAD = { messagesPerSecond: 500, mostWaiting: 100, usercast: PATIENT.usercast } as const;
/** What a user's history has room for: all that waits for a broker to come back comes at once. */
export const ROOMY = { messages: 1_000 } as const;
/** After the return of the broker. A plain run shares the machine with others, which takes its time. */
const REPAIRS = numbers({
  short: { acceptedMs: 60_000, caughtUpMs: 90_000 },
  long: { acceptedMs: 5_000, caughtUpMs: 10_000 },
});
/** For a control: what is not there then does not come. */
export const SOON_QUIET_MS = 2_000;
export const MISCOUNT = /: counts \d+ of \d+ accepted events$/;
/** Where chance is involved, a control may need several attempts. */
const ATTEMPTS = 6;
/** Between a timer of a process and what the process does because of it. */
const SLACK_MS = 500;

/** How long a scene may take to become quiet: one that is sabotaged does not, unless all comes, only twice. */
export function quietFor(sabotage: readonly Sabotage[]): { readonly quietWithinMs?: number } {
  return sabotage.length > 0 && !sabotage.includes('no-dedupe') ? { quietWithinMs: SOON_QUIET_MS } : {};
}

/** Nothing was lost silently, nothing is left, and every repair was in time. */
export function expectWhole(report: SceneReport): void {
  const { violations, leftovers, repairs } = report;
  if (process.env.FAULTS_LOG) console.log(JSON.stringify(report));
  expect({ violations, leftovers }, SEED).toEqual({ violations: [], leftovers: [] });
  for (const { acceptedMs, caughtUpMs } of repairs) {
    expect(acceptedMs, SEED).toBeLessThan(REPAIRS.acceptedMs);
    expect(caughtUpMs, SEED).toBeLessThan(REPAIRS.caughtUpMs);
  }
}

/** The same, apart from counts that the broker has lost. */
export function withoutMiscounts(report: SceneReport): SceneReport {
  return { ...report, violations: report.violations.filter((line) => !MISCOUNT.test(line)) };
}

/** And nobody had to reload. */
export function expectNoReset(report: SceneReport): void {
  expectWhole(report);
  expect(report.resetReasons, SEED).toEqual({});
}

/** And nobody's connection broke. */
export function expectUnnoticed(report: SceneReport): void {
  expectNoReset(report);
  expect(report.reconnects, SEED).toMatchObject({ websocket: 0, sse: 0 });
}

/** The control of a fault: with the defence off, an attempt has to show what goes wrong. */
export async function expectFound(what: RegExp, attempt: () => Promise<readonly string[]>): Promise<void> {
  let seen = '';
  for (let i = 0; i < ATTEMPTS && !what.test(seen); i++) {
    seen = (await attempt().catch((error: Error) => [`threw ${error.message}`])).join('\n');
    if (process.env.FAULTS_LOG) console.log('attempt', i, expect.getState().currentTestName, seen.slice(0, 500));
  }
  expect(seen, SEED).toMatch(what);
}

/** When the slowest of the processes has seen timers of these times pass, one after the other. */
export async function timersPass(servers: readonly ServerProcess[], timesMs: readonly number[]): Promise<number> {
  await Promise.all(servers.map((server) => server.timers(timesMs)));
  return performance.now();
}

/** A publish while the broker does not answer says so within its deadline, and for whom. */
export async function expectRefusal(scene: Scene, deadlineMs = DEADLINE_MS): Promise<void> {
  const { anyServer, userIds } = scene;
  const event = { ...EVENT, id: `refused ${performance.now()}` };
  // The process may be busy: all of its timers come later than they should.
  const due = timersPass([anyServer], [deadlineMs]);
  await expect(anyServer.publish(userIds.slice(0, 2), event), SEED).rejects.toThrow(
    'not known to be stored for 2 of 2',
  );
  expect(performance.now() - (await due), SEED).toBeLessThan(SLACK_MS);
}

const EVENT = {
  type: 'msg.text',
  box_id: 'unpublished',
  server_event_created_at: '2020-09-15T08:30:00Z',
  sender: { id: 'zoe' },
  content: { text: 'an event' },
} as const;

/** The server loses what `lose` publishes, and comes back with what it had before. */
export async function comeBackOlder(server: RealServer, lose: () => Promise<unknown>): Promise<void> {
  await server.saveCopy('older');
  await lose();
  await server.kill();
  await server.restoreCopy('older');
  await server.start();
}

/** Stored while no answer comes back: of so much, nobody knows. */
const UNKNOWN = 3;
/** Then processes have noticed, and send nothing any more. */
const NOTICED_MS = 2 * PROBE_MS;
const TRIES = 20;
const LOOK_AGAIN_MS = 20;

/** Loses all that the broker says, until it has stored something that nobody knows of. `stored` asks it, past the proxy. */
export async function loseAnswers(scene: Scene, proxy: TcpProxy, stored: () => Promise<number>): Promise<void> {
  for (let tries = 1; ; tries++) {
    proxy.drop('down');
    const before = await stored();
    const isUnknown = async (): Promise<boolean> => {
      await scene.lasting(LOOK_AGAIN_MS);
      return (await stored()) >= before + UNKNOWN;
    };
    try {
      await eventually('something is stored', isUnknown, NOTICED_MS);
      return;
    } catch (error) {
      if (tries === TRIES) throw error;
    }
    proxy.pass();
    proxy.cutAll();
    await scene.accepts(UNKNOWN);
  }
}

/**
 * The last message of every user, published elsewhere on `broker` while all processes stand still, once the connections that
 * it would have come over are gone by `harm`: it reaches nobody live.
 */
export async function publishUnheard(
  { serving, userIds, publisher }: Scene,
  broker: BrokerSpec,
  harm: () => unknown,
): Promise<void> {
  await publisher.stop(PATIENT_MS);
  const elsewhere = await ServerProcess.start({ broker, usercast: { limits: { deadlineMs: PATIENT_MS } } });
  try {
    for (const server of serving) server.freeze();
    await harm();
    await elsewhere.publish(userIds, { ...EVENT, id: 'unheard' });
  } finally {
    for (const server of serving) server.thaw();
    await elsewhere.kill();
  }
}
