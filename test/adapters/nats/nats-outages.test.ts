// natsBroker while its server is away, and with one that comes back with other data than it had.

import { type Broker, type BrokerStatus, UsercastError } from 'usercast';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { natsBroker } from '../../../adapters/nats/index.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { answering, listen, NatsScene, newTag, resume, say, topOf } from './nats-scene.ts';

vi.setConfig({ testTimeout: 60_000 });

let scene: NatsScene;

beforeEach(async () => {
  scene = await NatsScene.start();
});
afterEach(() => scene.close());

function statusesOf(broker: Broker): BrokerStatus[] {
  const statuses: BrokerStatus[] = [];
  broker.onStatus((status) => statuses.push(status));
  return statuses;
}

/** Resolves at once when it is so, or when the broker says so: a status may last for a moment only. */
async function becomes(broker: Broker, status: BrokerStatus): Promise<void> {
  if (broker.status === status) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the broker is ${broker.status}, not ${status}`)), 20_000);
    const stop = broker.onStatus((now) => {
      if (now !== status) return;
      clearTimeout(timer);
      stop();
      resolve();
    });
  });
}

/** Publishes until it is taken, as a host would. */
async function sayWhenBack(broker: Broker, userId: string, payload: string) {
  return vi.waitFor(() => say(broker, userId, payload), { timeout: 20_000, interval: 50 });
}

function natsUrl({ port }: TcpProxy): string {
  return `nats://127.0.0.1:${port}`;
}

/** A wire to the server that can be cut. */
async function proxied() {
  const proxy = await new TcpProxy(scene.server.port).start();
  const stop = async (): Promise<void> => {
    await scene.clear();
    await proxy.stop();
  };
  return Object.assign(proxy, { [Symbol.asyncDispose]: stop });
}

describe('a broker that was made before its server', () => {
  it('lets calls wait, and does them when it is there', async () => {
    await scene.server.stop();
    const broker = scene.broker();
    const saying = say(broker, 'ann', 'p');
    const reading = broker.read('bob', null, 0);
    expect(broker.status).toBe('connecting');
    await scene.server.start();
    await saying;
    await reading;
    expect(broker.status).toBe('ready');
  });

  it('rejects calls when their time is over, and closes all the same', async () => {
    await scene.server.stop();
    const broker = scene.broker({ deadlineMs: 300 });
    const [late, ended] = [say(broker, 'ann', 'p'), scene.broker().read('ann', null, 0)];
    await expect(late).rejects.toMatchObject({
      code: 'broker_unavailable',
      message: expect.stringContaining('300 ms'),
    });
    const closed = expect(ended).rejects.toMatchObject({ code: 'closed' });
    await scene.clear();
    await closed;
  });
});

describe('a server that is away for a while', () => {
  it('makes calls reject at once, and comes back with everything', async () => {
    const broker = scene.broker();
    const statuses = statusesOf(broker);
    const before = await say(broker, 'ann', 'before');
    const recorder = await listen(broker, 'ann');
    await scene.server.kill();
    await becomes(broker, 'lost');
    const started = performance.now();
    const calls = [
      say(broker, 'ann', 'p'),
      broker.read('ann', null, 0),
      broker.tops(['ann']),
      broker.whisper(['ann'], 'p'),
      broker.online(['bob']),
      broker.mark('ann', {}),
      broker.forget('ann'),
      broker.subscribe('bob', recorder),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'broker_unavailable' } });
    }
    expect(performance.now() - started).toBeLessThan(4_000);
    await scene.server.start();
    await becomes(broker, 'ready');
    const after = await say(broker, 'ann', 'after');
    expect(after.epoch).toBe(before.epoch);
    expect(await resume(broker, 'ann', before)).toEqual(['after']);
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['after']));
    expect(statuses).toEqual(['ready', 'lost', 'ready']);
  });

  it('makes calls that it has not answered reject at once', async () => {
    const broker = scene.broker({ probeMs: 60_000 });
    await say(broker, 'ann', 'p');
    scene.server.freeze();
    const publishing = broker.publish({ tag: newTag(), deliveries: [{ payload: 'p', userIds: ['ann', 'bob'] }] });
    const reading = expect(broker.read('ann', null, 0)).rejects.toMatchObject({ code: 'broker_unavailable' });
    await scene.server.kill();
    const { appended } = await publishing;
    for (const outcome of appended) expect(outcome).toMatchObject({ code: 'broker_unavailable' });
    await reading;
  });

  it('leaves what arrives next without proof, until the stream was looked at again', async () => {
    const [broker, other] = [scene.broker(), scene.broker()];
    for (const userId of ['ann', 'bob']) await say(broker, userId, 'before');
    const [ann, bob] = [await listen(broker, 'ann'), await listen(broker, 'bob')];
    await scene.server.kill();
    await becomes(broker, 'lost');
    await scene.server.start();
    await becomes(broker, 'ready');
    const looked = (await broker.tops(['bob'])).get('bob')!;
    for (const userId of ['ann', 'bob']) {
      await sayWhenBack(other, userId, 'first');
      await say(other, userId, 'second');
    }
    await vi.waitFor(() => expect([ann.payloads, bob.payloads].map(({ length }) => length)).toEqual([2, 2]));
    expect(ann.publications[0]!.previousTag).not.toMatch(/^[\w-]*$/);
    expect(ann.publications[1]!.previousTag).toBe(ann.publications[0]!.tag);
    expect(bob.publications[0]!.previousTag).toBe(looked.tag);
  });

  it('that only stands still makes calls miss their deadline, stores nothing twice, and is used again', async () => {
    const broker = scene.broker({ deadlineMs: 3_000 });
    const origin = await topOf(broker, 'ann');
    scene.server.freeze();
    const publish = async (id: number) => {
      const deliveries = [{ payload: String(id), userIds: ['ann'] }];
      return (await broker.publish({ id: `event:${id}`, tag: newTag(), deliveries })).appended[0]!;
    };
    let missed = 0;
    while (!((await publish(missed)) instanceof UsercastError)) missed++;
    await becomes(broker, 'lost');
    scene.server.thaw();
    await becomes(broker, 'ready');
    expect(await publish(missed)).not.toBeInstanceOf(Error);
    expect(await resume(broker, 'ann', origin)).toEqual(Array.from({ length: missed + 1 }, (_, id) => String(id)));
  });
});

describe('a server that came back older', () => {
  /** Publishes, keeps a copy, publishes more, and puts the copy back. */
  async function rollBack(broker: Broker): Promise<void> {
    await say(broker, 'ann', 'kept');
    await scene.server.saveCopy('old');
    for (let i = 0; i < 5; i++) await say(broker, 'ann', `lost ${i}`);
    await scene.server.kill();
    await scene.server.restoreCopy('old');
  }

  it('is noticed by the process that wrote what is lost, and no position of before is good any more', async () => {
    const broker = scene.broker();
    const kept = await say(broker, 'ann', 'first');
    const other = await say(broker, 'bob', 'first');
    await rollBack(broker);
    await scene.server.start();
    await becomes(broker, 'ready');
    expect(await resume(broker, 'ann', kept)).toBe('epoch');
    expect(await resume(broker, 'bob', other)).toBe('epoch');
    const now = await topOf(broker, 'ann');
    await say(broker, 'ann', 'new');
    expect(await resume(broker, 'ann', now)).toEqual(['new']);
  });

  it('is noticed by a process that has only heard what is lost', async () => {
    const [writer, hearer] = [natsBroker({ servers: scene.server.url }), scene.broker()];
    const kept = await say(hearer, 'bob', 'first');
    const recorder = await listen(hearer, 'ann');
    await rollBack(writer);
    await writer.close();
    expect(recorder.payloads).toHaveLength(6);
    await scene.server.start();
    await becomes(hearer, 'ready');
    expect(await resume(hearer, 'bob', kept)).toBe('epoch');
  });

  it('is noticed when it has grown past what it lost by then', async () => {
    await using proxy = await proxied();
    const cutOff = scene.broker({ servers: natsUrl(proxy) });
    const kept = await say(cutOff, 'ann', 'first');
    await rollBack(cutOff);
    proxy.cut();
    await scene.server.start();
    const grower = scene.broker();
    for (let i = 0; i < 10; i++) await sayWhenBack(grower, 'ann', `grown ${i}`);
    expect(await resume(grower, 'ann', kept)).toHaveLength(11);
    proxy.mend();
    await becomes(cutOff, 'ready');
    expect(await resume(cutOff, 'ann', kept)).toBe('epoch');
    await vi.waitFor(async () => expect(await resume(grower, 'ann', kept)).toBe('epoch'));
  });

  it('tells the other processes, whose users are looked after again', async () => {
    const [writer, reader] = [scene.broker(), scene.broker({ probeMs: 60_000 })];
    const position = await say(reader, 'bob', 'first');
    await rollBack(writer);
    await scene.server.start();
    await becomes(writer, 'ready');
    await becomes(reader, 'ready');
    await vi.waitFor(async () => expect((await topOf(reader, 'bob')).epoch).not.toBe(position.epoch));
    expect((await topOf(writer, 'bob')).epoch).toBe((await topOf(reader, 'bob')).epoch);
  });

  it('delivers nothing live as the next message', async () => {
    const broker = scene.broker();
    const recorder = await listen(broker, 'ann');
    await rollBack(broker);
    await vi.waitFor(() => expect(recorder.payloads).toHaveLength(6));
    const last = recorder.publications.at(-1)!;
    await scene.server.start();
    for (let i = 0; i < 8; i++) await sayWhenBack(broker, 'ann', `new ${i}`);
    await vi.waitFor(() => expect(recorder.payloads).toContain('new 7'));
    expect(new Set(recorder.payloads.slice(6)).size).toBe(8);
    for (const { epoch, previousTag } of recorder.publications.slice(6)) {
      expect(epoch).not.toBe(last.epoch);
      expect(previousTag).not.toBe(last.tag);
    }
  });

  it('is not what a stream is taken for that moves on while it is looked at', async () => {
    const [one, two] = [scene.broker(), scene.broker()];
    const users = Array.from({ length: 20 }, (_, i) => `user ${i}`);
    for (const userId of users) for (const broker of [one, two]) await listen(broker, userId);
    const before = await say(one, 'user 0', 'before');
    const statuses = [statusesOf(one), statusesOf(two)];
    const untilMs = performance.now() + 2_500;
    const publish = async (broker: Broker): Promise<void> => {
      while (performance.now() < untilMs) {
        await broker.publish({ tag: newTag(), deliveries: [{ payload: 'p', userIds: users }] });
        // A cursor of another epoch makes the broker look at once.
        await broker.read('user 0', { ...before, epoch: 'another-epoch---' }, 1);
      }
    };
    await Promise.all([one, one, two, two].map(publish));
    expect(statuses).toEqual([[], []]);
    expect((await topOf(one, 'user 0')).epoch).toBe(before.epoch);
  });

  it('is not what a stream is taken for whose history has moved on meanwhile', async () => {
    const broker = scene.broker({ history: { messages: 3 } });
    const kept = await say(broker, 'bob', 'kept');
    await say(broker, 'ann', 'mine');
    await using proxy = await proxied();
    const cutOff = scene.broker({ servers: natsUrl(proxy), history: { messages: 3 } });
    await say(cutOff, 'ann', 'of the one that is cut off');
    proxy.cut();
    await becomes(cutOff, 'lost');
    for (let i = 0; i < 6; i++) await say(broker, 'ann', `p${i}`);
    proxy.mend();
    await becomes(cutOff, 'ready');
    expect(await resume(cutOff, 'bob', kept)).toEqual([]);
  });
});

describe('a replica that has another time at which the stream was made', () => {
  const ANOTHER = '2020-01-01T00:00:00Z';

  /** A broker that hears that time from when `isLed` is true. */
  async function led(by: { isLed: boolean }): Promise<Broker> {
    const rewrite = (text: string): string =>
      by.isLed ? text.replace(/"created":"[^"]+"/, `"created":"${ANOTHER}"`) : text;
    return scene.broker({ connection: answering(await scene.connection(), rewrite), probeMs: 200 });
  }

  /** Until it has certainly been asked. */
  async function isProbed(broker: Broker): Promise<void> {
    await broker.read('ann', { ...(await topOf(broker, 'ann')), epoch: 'another-epoch---' }, 1);
  }

  it('resets nobody, for the stream has what was seen of it', async () => {
    const leader = { isLed: false };
    const broker = await led(leader);
    const before = await say(broker, 'ann', 'before');
    const statuses = statusesOf(broker);
    for (const isLed of [true, false, true]) {
      leader.isLed = isLed;
      await isProbed(broker);
      expect(await resume(broker, 'ann', before)).toEqual([]);
    }
    expect(statuses).toEqual([]);
    expect(await resume(scene.broker(), 'ann', before)).toEqual([]);
  });

  it('may be one with a stream of that name made anew, for who has seen nothing: no position of before is good', async () => {
    const broker = scene.broker();
    const before = await say(broker, 'ann', 'before');
    const fresh = await led({ isLed: true });
    expect(await resume(fresh, 'ann', before)).toBe('epoch');
    await vi.waitFor(async () => expect(await resume(broker, 'ann', before)).toBe('epoch'));
  });
});

describe('a server that lost what it had', () => {
  it('is set up again, and no position of before is good any more', async () => {
    const broker = scene.broker();
    const before = await say(broker, 'ann', 'before');
    const recorder = await listen(broker, 'ann');
    await scene.server.kill();
    await scene.server.eraseData();
    await scene.server.start();
    await becomes(broker, 'ready');
    expect(await resume(broker, 'ann', before)).toBe('epoch');
    await say(broker, 'ann', 'after');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['after']));
    expect(recorder.publications[0]!.epoch).not.toBe(before.epoch);
  });

  it('by the hand of an operator who deleted the stream, is set up again by who publishes next', async () => {
    const [one, two] = [scene.broker({ probeMs: 60_000 }), scene.broker()];
    const before = await say(one, 'ann', 'before');
    const recorder = await listen(two, 'ann');
    const statuses = statusesOf(two);
    await (await scene.operator()).streams.delete('usercast');
    await say(one, 'ann', 'after');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['after']));
    for (const broker of [one, two]) {
      await vi.waitFor(async () => expect(await resume(broker, 'ann', before)).toBe('epoch'));
    }
    await vi.waitFor(() => expect(statuses).toEqual(['lost', 'ready']));
    expect(await resume(two, 'ann', await topOf(one, 'ann'))).toEqual([]);
  });

  it('by the hand of an operator who deleted it all, is set up again by who reads next', async () => {
    const broker = scene.broker({ probeMs: 60_000 });
    const before = await say(broker, 'ann', 'before');
    await broker.mark('ann', {});
    const { streams } = await scene.operator();
    for (const name of ['usercast', 'KV_usercast_marks', 'KV_usercast_control']) await streams.delete(name);
    expect(await resume(broker, 'ann', before)).toBe('epoch');
    await broker.mark('ann', {});
    expect((await broker.read('ann', null, 0)).marks).toHaveLength(1);
  });
});

describe('a connection that carries nothing any more', () => {
  it('is noticed within two probe intervals, replaced, and users are looked after again', async () => {
    await using proxy = await proxied();
    const probeMs = 1_000;
    const broker = scene.broker({ servers: natsUrl(proxy), probeMs });
    const recorder = await listen(broker, 'ann');
    await say(broker, 'ann', 'before');
    const statuses = statusesOf(broker);
    proxy.drop('down', 'open');
    const started = performance.now();
    await becomes(broker, 'lost');
    expect(performance.now() - started).toBeLessThan(2 * probeMs + 2_000);
    await becomes(broker, 'ready');
    await say(scene.broker(), 'ann', 'after');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['before', 'after']));
    expect(statuses).toEqual(['lost', 'ready']);
  });

  it('is not noticed in that time without the probe', async () => {
    await using proxy = await proxied();
    const broker = scene.broker({ servers: natsUrl(proxy), probeMs: 60_000 });
    await say(broker, 'ann', 'before');
    proxy.drop('down', 'open');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(broker.status).toBe('ready');
  });

  it("is noticed where it is the host's too, and used again when it carries", async () => {
    await using proxy = await proxied();
    const connection = await scene.connection(natsUrl(proxy));
    const broker = scene.broker({ connection });
    await say(broker, 'ann', 'before');
    proxy.pause('down');
    await becomes(broker, 'lost');
    await expect(say(broker, 'ann', 'p')).rejects.toMatchObject({ code: 'broker_unavailable' });
    proxy.pass();
    await becomes(broker, 'ready');
    expect(connection.stats().inMsgs).toBeGreaterThan(0);
    await say(broker, 'ann', 'after');
  });
});

describe("the host's connection", () => {
  it('stays open, and keeps nothing of a broker that was closed', async () => {
    const connection = await scene.connection();
    let left = 0;
    const counting = new Proxy(connection, {
      get(target, name) {
        if (name === 'subscribe') {
          return (subject: string, options: object) => {
            const subscription = target.subscribe(subject, options);
            left++;
            void subscription.closed.then(() => left--);
            return subscription;
          };
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const broker = natsBroker({ connection: counting });
    await listen(broker, 'ann');
    await say(broker, 'ann', 'p');
    expect(left).toBeGreaterThan(0);
    await broker.close();
    await vi.waitFor(() => expect(left).toBe(0));
    expect(connection.isClosed()).toBe(false);
    await connection.flush();
  });

  it('that the host closes makes calls reject, and the broker closes all the same', async () => {
    const connection = await scene.connection();
    const broker = scene.broker({ connection });
    await say(broker, 'ann', 'p');
    await connection.close();
    await becomes(broker, 'lost');
    await expect(say(broker, 'ann', 'p')).rejects.toMatchObject({ code: 'broker_unavailable' });
    await broker.close();
  });

  it('survives a restart of the server', async () => {
    const broker = scene.broker({ connection: await scene.connection() });
    const before = await say(broker, 'ann', 'before');
    const recorder = await listen(broker, 'ann');
    await scene.server.kill();
    await becomes(broker, 'lost');
    await scene.server.start();
    await becomes(broker, 'ready');
    await say(broker, 'ann', 'after');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['after']));
    expect(await resume(broker, 'ann', before)).toEqual(['after']);
  });
});
