// What natsBroker makes, what it refuses, and how it says so.

import type { StreamConfig } from '@nats-io/jetstream';
import { UsercastError } from 'usercast';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type NatsBrokerOptions, type NatsConnectionLike, natsBroker } from '../../../adapters/nats/index.ts';
import { startNats } from '../../support/servers/nats.ts';
import { NatsScene, newName, say, topOf } from './nats-scene.ts';

const DAY = 86_400_000_000_000;
const MINUTE = 60_000_000_000;

let scene: NatsScene;

beforeAll(async () => {
  scene = await NatsScene.start();
});
afterEach(() => scene.clear());
afterAll(() => scene.close());

describe('the options of natsBroker', () => {
  it.each<[string, object, RegExp]>([
    ['nothing', {}, /^servers must be a string or several/],
    ['an empty list', { servers: [] }, /^servers must be/],
    ['a number among the servers', { servers: ['nats://a', 1] }, /^servers must be/],
    ['both', { servers: 'a', connection: fakeConnection() }, /servers or connection, not both/],
    ['something that is no connection', { connection: { publish() {} } }, /^connection must be a connection of/],
    ['an unknown option', { servers: 'a', url: 'b' }, /has no option "url"/],
    ['a stream with a dot', { servers: 'a', stream: 'a.b' }, /^stream must be .* got "a\.b"/],
    ['a prefix with a wildcard', { servers: 'a', prefix: 'a.*' }, /^prefix must be .* got "a\.\*"/],
    ['a prefix that ends with a dot', { servers: 'a', prefix: 'a.' }, /^prefix must be/],
    ['a history of nothing', { servers: 'a', history: { messages: 0 } }, /^history\.messages must be .* got 0/],
    [
      'a window below what NATS takes',
      { servers: 'a', deduplicationMs: 99 },
      /^deduplicationMs must be .* 100, got 99/,
    ],
    ['six replicas', { servers: 'a', replicas: 6 }, /^replicas must be at most 5, got 6/],
    [
      'a proof shorter than the window',
      { servers: 'a', proofMs: 1_000 },
      /^proofMs must be .* at least 300000, got 1000/,
    ],
    ['a negative deadline', { servers: 'a', deadlineMs: -1 }, /^deadlineMs must be .* got -1/],
    ['a probe that is no number', { servers: 'a', probeMs: '5' }, /^probeMs must be .* got "5"/],
  ])('refuse %s at once, by name and value', (_, options, message) => {
    expect(() => natsBroker(options as NatsBrokerOptions)).toThrow(TypeError);
    expect(() => natsBroker(options as NatsBrokerOptions)).toThrow(message);
  });

  it('are never shown where they may hold a password', () => {
    const options = { servers: 'nats://user:secret@a', connection: {} } as unknown as NatsBrokerOptions;
    expect(() => natsBroker(options)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('secret') }),
    );
  });
});

describe('set-up', () => {
  it('makes the stream and the buckets, with what the guarantees need', async () => {
    const stream = newName('stream');
    const broker = scene.broker({ stream, prefix: stream, history: { messages: 7 }, deduplicationMs: 60_000 });
    await say(broker, newName(), 'p');
    const { streams } = await scene.operator();
    const { config } = await streams.info(stream);
    expect(config).toMatchObject({
      subjects: [`${stream}.s.*`],
      storage: 'file',
      discard: 'old',
      max_msgs_per_subject: 8,
      max_age: DAY,
      duplicate_window: MINUTE,
      allow_direct: true,
      republish: { src: `${stream}.s.>`, dest: `${stream}.live.>` },
    });
    expect((await streams.info(`KV_${stream}_marks`)).config).toMatchObject({ max_msgs_per_subject: 1, max_age: DAY });
    expect((await streams.info(`KV_${stream}_control`)).config.max_age).toBe(0);
  });

  it.each([1, 2, 3, 4, 5])('may be done by many processes at once (%i)', async () => {
    const stream = newName('stream');
    const brokers = Array.from({ length: 12 }, () => scene.broker({ stream, prefix: stream }));
    const user = newName();
    await Promise.all(brokers.map((broker) => say(broker, user, 'p')));
    const epochs = await Promise.all(brokers.map(async (broker) => (await topOf(broker, user)).epoch));
    expect(new Set(epochs).size).toBe(1);
    expect((await (await scene.operator()).streams.info(stream)).state.messages).toBe(12);
  });

  it('takes a stream that keeps more than it asks for', async () => {
    const stream = newName('stream');
    await say(scene.broker({ stream, prefix: stream, history: { messages: 500 } }), newName(), 'p');
    await say(scene.broker({ stream, prefix: stream, history: { messages: 10 } }), newName(), 'p');
  });

  const refused = [
    ['subjects', { subjects: ['PREFIX.s.*', 'PREFIX.more'] }],
    ['retention', { retention: 'interest' }],
    ['storage', { storage: 'memory' }],
    ['discard', { discard: 'new' }],
    ['discard_new_per_subject', { discard: 'new', discard_new_per_subject: true }],
    ['max_msgs', { max_msgs: 1_000_000 }],
    ['max_bytes', { max_bytes: 100_000_000 }],
    ['max_msgs_per_subject', { max_msgs_per_subject: 100 }],
    ['max_age', { max_age: 600_000_000_000 }],
    ['duplicate_window', { duplicate_window: MINUTE }],
    ['allow_direct', { allow_direct: false }],
    ['deny_purge', { deny_purge: true }],
    ['no_ack', { no_ack: true }],
    ['republish', { republish: { src: 'PREFIX.s.>', dest: 'PREFIX.other.>' } }],
    ['republish', { republish: { src: 'PREFIX.s.>', dest: 'PREFIX.live.>', headers_only: true } }],
  ] as const;
  it.each(refused)('refuses a stream whose %s would break the guarantees, and says so', async (setting, wrong) => {
    const stream = newName('stream');
    const { streams } = await scene.operator();
    const config = { ...goodConfig(stream), ...wrong };
    await streams.add(JSON.parse(JSON.stringify(config).replaceAll('PREFIX', stream)));
    const broker = scene.broker({ stream, prefix: stream });
    const error = await say(broker, newName(), 'p').catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(UsercastError);
    expect(error).toMatchObject({ code: 'broker_unavailable' });
    expect((error as Error).message).toMatch(new RegExp(`stream ${stream} .*\\b${setting} is .* and must be`));
  });

  it('names every setting that is wrong at once, and goes on when they are mended', { timeout: 60_000 }, async () => {
    const stream = newName('stream');
    const { streams } = await scene.operator();
    const good = goodConfig(stream);
    await streams.add({ ...good, max_msgs_per_subject: 10, duplicate_window: MINUTE });
    const broker = scene.broker({ stream, prefix: stream });
    const refusal = expect.stringMatching(/max_msgs_per_subject is 10 .*; duplicate_window is 60000000000 /);
    await expect(broker.read('ann', null, 0)).rejects.toMatchObject({ message: refusal });
    await expect(broker.subscribe('ann', ignoring)).rejects.toMatchObject({ message: refusal });
    expect(broker.status).toBe('connecting');
    await streams.update(stream, good);
    await vi.waitFor(() => expect(broker.status).toBe('ready'));
    await say(broker, 'ann', 'p');
  });

  it('refuses a bucket whose settings would lose marks', async () => {
    const stream = newName('stream');
    const { streams } = await scene.operator();
    const subjects = [`$KV.${stream}_marks.>`];
    await streams.add({
      name: `KV_${stream}_marks`,
      subjects,
      max_msgs_per_subject: 1,
      max_age: MINUTE,
      allow_direct: true,
    });
    const broker = scene.broker({ stream, prefix: stream });
    await expect(broker.mark('ann', {})).rejects.toThrow(
      /bucket KV_.*_marks .*max_age is 60000000000 and must be at least/,
    );
  });

  it('says that another stream has the subjects', async () => {
    const stream = newName('stream');
    await (await scene.operator()).streams.add({ name: `${stream}-other`, subjects: [`${stream}.>`] });
    await expect(scene.broker({ stream, prefix: stream }).read('ann', null, 0)).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringContaining('subjects overlap'),
    });
  });

  it('refuses replicas where there is no cluster', async () => {
    const stream = newName('stream');
    const broker = scene.broker({ stream, prefix: stream, replicas: 3 });
    await expect(broker.read('ann', null, 0)).rejects.toThrow(/JetStream refused .*replicas/);
  });

  it('says that JetStream is not enabled, and takes credentials from the URL', async () => {
    const users = (name: string) => `users: [{ user: ${name}, password: "p@ss" }]`;
    const accounts = `accounts { WITH { jetstream: enabled, ${users('with')} }, WITHOUT { ${users('without')} } }`;
    // How the test's own set-up looks whether the server is up.
    const config = `${accounts}\nno_auth_user: with`;
    const server = await startNats({ config });
    try {
      const place = (user: string) => server.url.replace('//', `//${user}:p%40ss@`);
      const without = scene.broker({ servers: place('without') });
      await expect(without.read('ann', null, 0)).rejects.toThrow('JetStream is not enabled');
      await say(scene.broker({ servers: place('with') }), 'ann', 'p');
      const stranger = scene.broker({ servers: place('stranger'), deadlineMs: 400 });
      const error = await stranger.read('ann', null, 0).catch((cause: Error) => cause);
      expect(error).toMatchObject({ code: 'broker_unavailable' });
      expect(JSON.stringify([String(error), String((error as Error).cause)])).not.toContain('p@ss');
    } finally {
      await scene.clear();
      await server.close();
    }
  });

  it('refuses a server before 2.9', async () => {
    const connection = await scene.connection();
    const old = new Proxy(connection, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name === 'info') return { ...target.info, version: '2.8.4' };
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    await expect(scene.broker({ connection: old }).read('ann', null, 0)).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringMatching(/version 2\.8\.4.* 2\.9 or later/),
    });
  });

  it('says what to install when the client library is not there', async () => {
    vi.resetModules();
    vi.doMock('@nats-io/transport-node', () => {
      throw new Error("Cannot find package '@nats-io/transport-node'");
    });
    try {
      const { natsBroker: fresh } = await import('../../../adapters/nats/nats-broker.ts');
      const broker = fresh({ servers: scene.server.url });
      await expect(broker.read('ann', null, 0)).rejects.toMatchObject({
        code: 'broker_unavailable',
        message: expect.stringContaining('npm install @nats-io/transport-node'),
      });
      await broker.close();
    } finally {
      vi.doUnmock('@nats-io/transport-node');
      vi.resetModules();
    }
  });
});

const ignoring = { publication() {}, whisper() {}, mark() {} };

function fakeConnection(): NatsConnectionLike {
  const fake = { publish() {}, subscribe() {}, status() {}, isClosed() {} };
  return fake as unknown as NatsConnectionLike;
}

function goodConfig(stream: string): StreamConfig & { name: string } {
  return {
    name: stream,
    subjects: [`${stream}.s.*`],
    max_msgs_per_subject: 101,
    max_age: DAY,
    duplicate_window: 5 * MINUTE,
    allow_direct: true,
    republish: { src: `${stream}.s.>`, dest: `${stream}.live.>` },
  } as unknown as StreamConfig & { name: string };
}
