// Sessions on `usercast.v1` without sockets: resets, the end of the token, and what a disconnect meets half-way.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ackPayload, encodeMessage } from '../../src/protocol/codec.ts';
import { encodeCursor } from '../../src/protocol/cursor.ts';
import { Refusal } from '../../src/protocol/refusals.ts';
import type { Session, SessionOpening } from '../../src/session/session.ts';
import { FakeTransport } from '../support/fake-transport.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { Gate, type ScriptedStream } from '../support/scripted-broker.ts';
import { V1Reader } from '../support/v1-reader.ts';

let fixture: HubFixture;
let stream: ScriptedStream;

function begin(limits = {}): void {
  fixture = new HubFixture(limits);
  stream = fixture.broker.stream('ada');
}

beforeEach(() => {
  vi.useFakeTimers();
  begin();
});

afterEach(() => {
  vi.useRealTimers();
});

const settled = () => vi.advanceTimersByTimeAsync(0);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
/** Time passes, and the clients answer pings. */
async function passAlive(sessions: readonly Session[], ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 10_000) {
    for (const session of sessions) session.alive();
    await pass(Math.min(left, 10_000));
  }
}

const message = (n: number | string) => encodeMessage('n', { n });
const refresh = (session: Session) =>
  session.receive(encodeMessage('session.refresh', { access_token: 'the next one' }));

function readAll({ written }: FakeTransport): V1Reader {
  const reader = new V1Reader();
  for (const text of written) reader.take(text);
  return reader;
}

const start = (opening: Partial<SessionOpening> = {}) => fixture.start('ada', { isTold: true, ...opening });

describe('a reset in the middle of a session', () => {
  it('comes where the broker lost what the session has had, and the session goes on from its cursor', async () => {
    const { session, pipe } = await start();
    stream.publish(message(1), message(2), message(3));
    await settled();
    stream.rollBack(1);
    stream.publish(message('2 again'));
    await settled();
    const reader = readAll(pipe);
    expect(reader.resets).toEqual([{ reason: 'rollback', cursor: encodeCursor(stream.top), counts: {} }]);
    stream.publish(message(4));
    await settled();
    expect(readAll(pipe).all('n')).toEqual([1, 2, 3, 4]);
    expect(session.state).toBe('live');
    expect(fixture.stats.resets).toBe(1);
  });

  it('is told once there is room for it, and nothing that comes after it before', async () => {
    begin({ maxBufferedBytes: 260 });
    const { session, pipe } = await start();
    await settled();
    pipe.isStuck = true;
    stream.publish(message(1), message(2));
    await settled();
    expect(pipe.bufferedBytes).toBeGreaterThan(0);
    expect(session.state).toBe('live');
    stream.renew();
    stream.publish(message('new'));
    await settled();
    expect(session.state).toBe('lagging');
    expect(readAll(pipe).resets).toEqual([]);
    expect(fixture.names()).toEqual(['connect']);
    stream.publish(message('newer'));
    pipe.isStuck = false;
    pipe.drain(session);
    await settled();
    const reader = readAll(pipe);
    expect(reader.resets).toEqual([{ reason: 'epoch', cursor: encodeCursor(stream.top), counts: {} }]);
    stream.publish(message('newest'));
    await settled();
    expect(readAll(pipe).all('n')).toEqual([1, 2, 'newest']);
    expect(fixture.names()).toEqual(['connect', 'reset']);
  });

  it('comes where a slow replay never gets to the head that was told: its counts are of messages that are lost', async () => {
    begin({ maxBufferedBytes: 250 });
    const cursor = stream.top;
    stream.publish(message(1), message(2));
    const { session, pipe } = await start({ cursor });
    await settled();
    expect([session.state, pipe.written.length]).toEqual(['lagging', 1]);
    stream.rollBack(0);
    stream.publish(message('1 again'), message('2 again'), message('3 again'));
    pipe.drain(session);
    await settled();
    const reader = readAll(pipe);
    expect(reader.all('n')).toEqual([]);
    expect(reader.resets).toMatchObject([{ reason: 'rollback', cursor: encodeCursor(stream.top) }]);
    expect(session.state).toBe('live');
  });

  it('waits for the counts where they cannot be had', async () => {
    const { session, pipe } = await start();
    stream.publish(message(1));
    await settled();
    let failures = 2;
    fixture.countsOf = async () => {
      if (failures-- > 0) throw new Error('the counter store is away');
      return { 'box-1': 7 };
    };
    stream.renew();
    stream.publish(message('new'));
    await settled();
    expect([session.state, readAll(pipe).resets]).toEqual(['catching-up', []]);
    await pass(4_000);
    expect(readAll(pipe).resets).toMatchObject([{ reason: 'epoch', counts: { 'box-1': 7 } }]);
    expect(session.state).toBe('live');
    expect(fixture.errors.map(({ stage }) => stage)).toEqual(['read', 'read']);
  });

  it('says nothing to a session that ended while its counts were read', async () => {
    const { session, pipe } = await start();
    stream.publish(message(1));
    await settled();
    const gate = new Gate();
    fixture.countsOf = async () => {
      await gate.pass();
      return {};
    };
    stream.renew();
    stream.publish(message('new'));
    await gate.reached;
    session.end('disconnected');
    gate.open();
    await settled();
    expect(readAll(pipe).resets).toEqual([]);
    expect(pipe.closes).toHaveLength(1);
  });

  it('comes where the stream changed while the session was opening', async () => {
    const session = await fixture.open('ada', { isTold: true });
    stream.publish(message(1));
    stream.renew();
    stream.publish(message('new'));
    const pipe = new FakeTransport({ isV1: true });
    session.start(pipe);
    await settled();
    stream.publish(message('newer'));
    await settled();
    const reader = readAll(pipe);
    expect(reader.resets).toMatchObject([{ reason: 'epoch' }]);
    expect(reader.all('n').at(-1)).toBe('newer');
    expect(session.state).toBe('live');
  });

  it('comes where the stream changed while the session caught up', async () => {
    begin({ maxBufferedBytes: 260 });
    const { session, pipe } = await start();
    pipe.isStuck = true;
    stream.publish(...Array.from({ length: 9 }, (_, i) => message(i)));
    await settled();
    expect(session.state).toBe('lagging');
    const gate = new Gate();
    let reads = 0;
    fixture.broker.after = (call) => (call === 'read' && ++reads === 1 ? gate.pass() : undefined);
    pipe.isStuck = false;
    pipe.drain(session);
    await gate.reached;
    stream.renew();
    stream.publish(message('new'));
    await settled();
    gate.open();
    for (let i = 0; i < 20 && session.state !== 'live'; i++) {
      await settled();
      pipe.drain(session);
    }
    stream.publish(message('newer'));
    await settled();
    const reader = readAll(pipe);
    expect(reader.resets).toMatchObject([{ reason: 'epoch' }]);
    expect(reader.all('n').at(-1)).toBe('newer');
  });
});

describe('volatile messages', () => {
  it('are dropped while a session replays, and come when it is live', async () => {
    stream.publish(...Array.from({ length: 150 }, (_, i) => message(i)));
    const cursor = { epoch: stream.epoch, offset: 0, tag: '--------' };
    const gate = new Gate();
    let reads = 0;
    fixture.broker.after = (call) => (call === 'read' && ++reads === 3 ? gate.pass() : undefined);
    const { session, pipe } = await start({ cursor });
    await gate.reached;
    expect(session.state).toBe('catching-up');
    await fixture.broker.whisper(['ada'], encodeMessage('psst', {}));
    gate.open();
    await settled();
    await fixture.broker.whisper(['ada'], encodeMessage('hush', {}));
    await settled();
    const reader = readAll(pipe);
    expect(reader.all('n')).toHaveLength(150);
    expect(reader.others.map(({ type }) => type)).toEqual(['hush']);
  });
});

describe('the end of the token', () => {
  const opening = (expiresInMs: number) => ({ identity: { userId: 'ada', expiresAt: Date.now() + expiresInMs } });

  it('is told 60 s before, and not sooner', async () => {
    const { session, pipe } = await start(opening(200_000));
    await passAlive([session], 139_500);
    expect(readAll(pipe).told('session.expiring')).toEqual([]);
    await pass(600);
    expect(readAll(pipe).told('session.expiring')).toHaveLength(1);
    await passAlive([session], 59_800);
    expect(pipe.closes).toEqual([]);
    await pass(200);
    expect(pipe.closes).toEqual([{ code: 4401, reason: 'token expired' }]);
    session.closed(4401, '');
  });

  it('is told as soon as there is room to say so', async () => {
    begin({ maxBufferedBytes: 260 });
    const { session, pipe } = await start(opening(100_000));
    pipe.isStuck = true;
    stream.publish(...Array.from({ length: 9 }, (_, i) => message(i)));
    await pass(45_000);
    expect(readAll(pipe).told('session.expiring')).toEqual([]);
    pipe.isStuck = false;
    for (let i = 0; i < 20 && session.state !== 'live'; i++) {
      pipe.drain(session);
      await pass(200);
    }
    await pass(200);
    expect(readAll(pipe).told('session.expiring')).toHaveLength(1);
  });

  it('is moved by a new token, and the warning with it', async () => {
    const { pipe } = await start(opening(90_000));
    fixture.authenticate = async () => ({ userId: 'ada', expiresAt: Date.now() + 290_000 });
    const { session, pipe: renewed } = await start(opening(90_000));
    await passAlive([session], 10_000);
    refresh(session);
    await passAlive([session], 229_000);
    expect(pipe.closes).toHaveLength(1);
    expect(readAll(renewed).told('session.refreshed')).toHaveLength(1);
    expect(readAll(renewed).told('session.expiring')).toEqual([]);
    await passAlive([session], 2_000);
    expect(readAll(renewed).told('session.expiring')).toHaveLength(1);
    expect(session.state).toBe('live');
  });

  it('of a session that closes is not waited for, and a new token does not keep a close that hangs', async () => {
    const gate = new Gate();
    fixture.authenticate = async () => {
      await gate.pass();
      return { userId: 'grace', expiresAt: Date.now() + 300_000 };
    };
    const { session, pipe } = await start(opening(90_000));
    refresh(session);
    await gate.reached;
    session.end('restarting');
    gate.open();
    await pass(2_300);
    expect(pipe.isTerminated).toBe(true);
    expect(pipe.closes).toEqual([{ code: 1012, reason: 'service restart' }]);
    expect(readAll(pipe).told('session.refreshed')).toEqual([]);
    session.closed(1012, '');
    await pass(4_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that a new token moved after the client left leaves no timer', async () => {
    const gate = new Gate();
    fixture.authenticate = async () => {
      await gate.pass();
      return { userId: 'ada', expiresAt: Date.now() + 300_000 };
    };
    const { session } = await start(opening(90_000));
    refresh(session);
    await gate.reached;
    session.closed(1006, '');
    gate.open();
    await pass(4_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that cannot be checked for a fault of the host is unavailable, and told to the host', async () => {
    const { session, pipe } = await start();
    fixture.authenticate = () => Promise.reject(new TypeError('a fault'));
    refresh(session);
    await settled();
    expect(readAll(pipe).told('error')).toMatchObject([{ object: { code: 'unavailable' } }]);
    expect(fixture.errors).toMatchObject([{ stage: 'verify', cause: { message: 'a fault' } }]);
    fixture.authenticate = () => Promise.reject(new Refusal('verifier_unavailable'));
    refresh(session);
    await settled();
    expect(readAll(pipe).told('error')).toHaveLength(2);
    expect(fixture.errors).toHaveLength(1);
  });
});

describe('the last word', () => {
  it('is said before a close though there is no room for anything else', async () => {
    begin({ maxBufferedBytes: 260 });
    const { session, pipe } = await start();
    await settled();
    pipe.isStuck = true;
    stream.publish(...Array.from({ length: 9 }, (_, i) => message(i)));
    await settled();
    session.receive('nonsense'.repeat(4));
    await settled();
    expect(readAll(pipe).told('error')).toEqual([]);
    session.end('restarting');
    expect(readAll(pipe).told('session.closing')).toMatchObject([
      { object: { code: 1012, reason: 'service restart' } },
    ]);
  });
});

describe('silence', () => {
  it('is broken by session.ping on a WebSocket, and by the ping of a pipe that has one of its own', async () => {
    const websocket = await start();
    const sse = await start({ transport: 'sse' });
    const plain = await fixture.start('ada');
    const answering = [websocket.session, plain.session];
    await passAlive(answering, 24_000);
    stream.publish(message(1));
    await passAlive(answering, 24_500);
    expect(readAll(websocket.pipe).told('session.ping')).toEqual([]);
    expect(sse.pipe.pings).toBe(0);
    await passAlive(answering, 1_000);
    expect(readAll(websocket.pipe).told('session.ping')).toHaveLength(1);
    expect(readAll(sse.pipe).others).toEqual([]);
    expect(sse.pipe.pings).toBe(1);
    expect(plain.pipe.written).toEqual([message(1)]);
    await passAlive(answering, 25_100);
    expect(readAll(websocket.pipe).told('session.ping')).toHaveLength(2);
    expect(sse.pipe.pings).toBe(2);
  });
});

describe('a disconnect of a user who is opening a session', () => {
  it.each(['subscribe', 'read'] as const)('ends it too, while the broker is asked to %s', async (call) => {
    const gate = new Gate();
    fixture.broker.after = (asked) => (asked === call ? gate.pass() : undefined);
    const opening = expect(fixture.open('ada', { isTold: true })).rejects.toMatchObject({ code: 'disconnected' });
    await gate.reached;
    await fixture.broker.mark('ada', { reason: 'out' });
    gate.open();
    await opening;
    expect(fixture.stats.sessions).toBe(0);
    fixture.broker.after = () => {};
    expect((await start()).session.state).toBe('live');
  });

  it('ends it too, while what it missed is read', async () => {
    await start();
    const gate = new Gate();
    fixture.broker.after = (asked) => (asked === 'read' ? gate.pass() : undefined);
    const opening = fixture.open('ada', { isTold: true });
    await gate.reached;
    await fixture.broker.mark('ada', { reason: 'out' });
    gate.open();
    const pipe = new FakeTransport({ isV1: true });
    (await opening).start(pipe);
    expect(pipe.closes).toEqual([{ code: 4403, reason: 'out' }]);
    expect(pipe.written).toEqual([]);
  });

  it('of before does not', async () => {
    await fixture.broker.mark('ada', {});
    expect((await start()).session.state).toBe('live');
    await fixture.broker.mark('ada', { sessionId: 'another' });
    const gate = new Gate();
    fixture.broker.after = (asked) => (asked === 'read' ? gate.pass() : undefined);
    const opening = start();
    await gate.reached;
    await fixture.broker.mark('ada', { sessionId: 'another' });
    gate.open();
    expect((await opening).session.state).toBe('live');
  });
});

describe('a session that cannot be opened', () => {
  it('is refused where what it missed cannot be read, and leaves nothing', async () => {
    const { session } = await start();
    fixture.broker.before = (call) => {
      if (call === 'read') throw new Error('away');
    };
    await expect(fixture.open('ada', { isTold: true })).rejects.toMatchObject({ code: 'broker_unavailable' });
    expect(fixture.stats.sessions).toBe(1);
    expect(session.state).toBe('live');
  });

  it('waits for no more than the deadline, whatever others of the user read', async () => {
    await start();
    fixture.broker.before = (call) => (call === 'read' ? new Promise(() => {}) : undefined);
    const cursors = Array.from({ length: 10 }, (_, offset) => ({ ...stream.top, offset }));
    const opening = Promise.allSettled(cursors.map((cursor) => fixture.open('ada', { isTold: true, cursor })));
    await pass(4_000);
    const outcomes = await Promise.race([opening, Promise.resolve('still waiting')]);
    expect(outcomes).toHaveLength(10);
    expect(fixture.stats.sessions).toBe(1);
  });
});

describe('the counts of a session that starts', () => {
  it('are not those of what comes before its head', async () => {
    stream.publish(message(1));
    fixture.countsOf = async () => ({ 'box-1': 3 });
    const { pipe } = await start({ cursor: { epoch: stream.epoch, offset: 0, tag: '--------' } });
    stream.publish(ackPayload('ada', 'box-1'));
    await settled();
    const reader = readAll(pipe);
    expect(reader.ready).toMatchObject({ resumed: true, counts: { 'box-1': 3 } });
    expect(reader.ready!.head).not.toBe(reader.ready!.cursor);
    expect(reader.counts).toEqual({});
  });
});
