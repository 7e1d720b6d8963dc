// natsBroker where several act at one moment: processes, operators, and the server itself.

import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { natsBroker } from '../../../adapters/nats/index.ts';
import { startNatsCluster } from '../../support/servers/nats-cluster.ts';
import { listen, NatsScene, newTag } from './nats-scene.ts';

vi.setConfig({ testTimeout: 120_000 });

let scene: NatsScene | undefined;

afterEach(async () => {
  await scene?.close();
  scene = undefined;
});

const USERS = Array.from({ length: 6 }, (_, i) => `user ${i}`);
const HISTORY = 10;
const DELETIONS = 8;
const PUBLISHING_MS = 1_000;

describe('a stream that is deleted while messages are published', () => {
  it('has what is published after it was made anew', async () => {
    scene = await NatsScene.start();
    const options = { history: { messages: HISTORY }, probeMs: 10_000 };
    const brokers = [scene.broker(options), scene.broker(options)];
    const { streams } = await scene.operator();
    const recorder = await listen(brokers[0]!, USERS[0]!);
    for (let i = 0; i < DELETIONS; i++) {
      const untilMs = performance.now() + PUBLISHING_MS;
      let isDeleted = false;
      let publishedSince = 0;
      const publishing = brokers.map(async (broker) => {
        // Every user's history has to be full in the end, also where a busy machine publishes little in that time.
        while (performance.now() < untilMs || publishedSince < 3 * HISTORY) {
          const { appended } = await broker.publish({
            tag: newTag(),
            deliveries: [{ payload: 'p', userIds: USERS }],
          });
          if (isDeleted && appended.every((position) => !(position instanceof Error))) publishedSince++;
          await broker.tops(USERS);
        }
      });
      await vi.waitFor(() => expect(recorder.payloads.length).toBeGreaterThan(0));
      await streams.delete('usercast');
      isDeleted = true;
      await Promise.all(publishing);
      const { messages, last_seq } = (await streams.info('usercast')).state;
      expect([messages, last_seq > messages]).toEqual([USERS.length * (HISTORY + 1), true]);
    }
    await scene.clear();
  });
});

describe('a disconnect', () => {
  it('by two processes at one moment leaves both marks, in a cluster too', async () => {
    await using cluster = await startNatsCluster(3);
    const brokers = cluster.nodes.map(({ url }) => natsBroker({ servers: url, replicas: 3, deadlineMs: 20_000 }));
    try {
      const marking = brokers.map(async (broker, of) => {
        for (let i = 0; i < 20; i++) await broker.mark('ann', { sessionId: `${of} ${i}` });
      });
      await Promise.all(marking);
      expect((await brokers[0]!.read('ann', null, 0)).marks).toHaveLength(60);
    } finally {
      await Promise.all(brokers.map((broker) => broker.close()));
    }
  });
});

describe('where a user stands', () => {
  it('is asked of the leader, for a replica may lag behind or stay apart', async () => {
    await using cluster = await startNatsCluster(3);
    const connection = await connect({ servers: cluster.nodes.map(({ url }) => url) });
    const asked: string[] = [];
    const publish = connection.publish.bind(connection);
    connection.publish = (subject, ...rest) => {
      asked.push(subject);
      publish(subject, ...rest);
    };
    const broker = natsBroker({ connection, replicas: 3, deadlineMs: 20_000 });
    try {
      await broker.publish({ tag: newTag(), deliveries: [{ payload: 'p', userIds: USERS }] });
      await broker.mark(USERS[0]!, {});
      asked.length = 0;
      await broker.tops(USERS);
      await broker.read(USERS[0]!, null, 0);
      const reads = asked.filter((subject) => subject.includes('.GET.'));
      expect(reads.length).toBeGreaterThanOrEqual(USERS.length);
      expect(reads.filter((subject) => subject.startsWith('$JS.API.DIRECT.'))).toEqual([]);
    } finally {
      await broker.close();
      await connection.close();
    }
  });
});
