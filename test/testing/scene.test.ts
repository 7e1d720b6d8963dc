// The control of the harness that the fault tests stand on: real server processes, clients that follow, and a checker that
// sees what goes wrong when a defence is off.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BrokerSpec } from '../support/cluster/broker-spec.ts';
import { Scene } from '../support/cluster/scene.ts';
import { type NatsServer, startNats } from '../support/servers/nats.ts';
import { type RedisServer, startRedis } from '../support/servers/redis.ts';

/** No history ends before a busy machine has read it. */
const HISTORY = { messages: 1_000 };
const FAULTS = { drop: 0.05, duplicate: 0.02, delay: 0.05, slow: 0.1, reject: 0.01, loseAnswer: 0.01, maxDelayMs: 10 };

it('a process whose broker drops, doubles and fails loses nothing', { timeout: 180_000 }, async () => {
  const report = await Scene.run(
    { broker: { kind: 'memory', options: { history: HISTORY }, faults: FAULTS }, processes: 1, messagesPerSecond: 200 },
    async (scene) => {
      await scene.accepts(300);
      await scene.anyServer.fault('cut');
      await scene.lasting(500);
      await scene.anyServer.fault('mend');
      await scene.repaired();
      await scene.accepts(100);
    },
  );
  expect(report.violations).toEqual([]);
  expect(report.leftovers).toEqual([]);
  expect(report).toMatchObject({ resets: 0, resetReasons: {} });
  expect(report.failedPublishes).toBeGreaterThan(0);
  expect(report.delivered).toBeGreaterThan(report.accepted);
  expect(report.slowestPublishMs).toBeGreaterThan(100);
  expect(report.repairMs).toBeGreaterThan(0);
  expect(report.repairMs).toBeLessThan(30_000);
});

it('a process that takes whatever arrives for the next message is found out', { timeout: 180_000 }, async () => {
  const broker = { kind: 'memory', faults: { drop: 0.05 }, sabotage: ['ignore-tags'] } as const;
  const report = await Scene.run({ broker, processes: 1, quietWithinMs: 4_000 }, (scene) => scene.accepts(300));
  expect(report.violations.join('\n')).toMatch(/came after/);
});

it('a broker that forgets what was published is found out', { timeout: 180_000 }, async () => {
  const broker = { kind: 'memory', faults: { loseAnswer: 0.1 }, sabotage: ['no-dedupe'] } as const;
  const report = await Scene.run({ broker, processes: 1, quietWithinMs: 4_000 }, (scene) => scene.accepts(400));
  expect(report.violations.join('\n')).toMatch(/came twice/);
});

it('a process that ends by itself is told of, and one that is killed is not', { timeout: 180_000 }, async () => {
  // Two memory brokers share nothing: one process is left before the other begins.
  const report = await Scene.run({ broker: { kind: 'memory' }, processes: 1, messagesPerSecond: 1 }, async (scene) => {
    const [first] = scene.serving;
    await scene.addServer();
    process.kill(first!.pid, 'SIGKILL');
    await scene.repaired();
  });
  expect(report.leftovers.join('\n')).toMatch(/ended by itself \(SIGKILL\)/);
  expect(report.reconnects.websocket).toBeGreaterThan(0);
  expect(Object.keys(report.resetReasons)).toEqual(['epoch']);
});

describe.each(['redis', 'nats'] as const)('two processes on %s', (kind) => {
  let server: RedisServer | NatsServer;
  let broker: BrokerSpec;
  beforeAll(async () => {
    server = kind === 'redis' ? await startRedis() : await startNats();
    broker =
      kind === 'redis'
        ? { kind, options: { url: server.url, history: HISTORY } }
        : { kind, options: { servers: server.url, history: HISTORY } };
  });
  afterAll(() => server.close());

  it('lose nothing while one is killed and one is drained', { timeout: 180_000 }, async () => {
    const report = await Scene.run({ broker }, async (scene) => {
      await scene.accepts(200);
      const [first, second] = scene.serving;
      await Promise.all([first!.kill(), scene.addServer()]);
      await scene.repaired();
      await Promise.all([second!.drain(1_000), scene.addServer()]);
      await scene.repaired();
    });
    expect(report.violations).toEqual([]);
    expect(report.leftovers).toEqual([]);
    expect(report).toMatchObject({ resets: 0, errors: {} });
    expect(report.reconnects.websocket).toBeGreaterThan(0);
  });

  it('are found out when they take whatever arrives for the next message', { timeout: 180_000 }, async () => {
    const spec = { ...broker, faults: { drop: 0.05 }, sabotage: ['ignore-tags'] } as const;
    const report = await Scene.run({ broker: spec, quietWithinMs: 4_000 }, (scene) => scene.accepts(300));
    expect(report.violations.join('\n')).toMatch(/went past|lost silently/);
  });
});
