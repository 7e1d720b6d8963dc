import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeTransport } from '../support/fake-transport.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { Gate, type ScriptedStream } from '../support/scripted-broker.ts';

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
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

describe('an opening session', () => {
  it('holds what arrives, and is live once it has sent that', async () => {
    const session = await fixture.open('ada');
    stream.publish('1', '2');
    const pipe = new FakeTransport();
    session.start(pipe);
    stream.publish('3');
    await settled();
    expect(pipe.written).toEqual(['1', '2', '3']);
    expect(session.state).toBe('live');
  });

  it('catches up when more arrived than it may hold', async () => {
    const session = await fixture.open('ada');
    stream.publish(...range(1, 1_500));
    const pipe = new FakeTransport();
    session.start(pipe);
    await settled();
    stream.publish('1501');
    await settled();
    expect(pipe.written).toEqual(range(1, 1_501));
  });

  it('lags, and does not fail, when what it held is more than its client has room for', async () => {
    begin({ maxBufferedBytes: 5 });
    const session = await fixture.open('ada');
    fixture.listener = ({ name }) => {
      if (name === 'connect') stream.publish('one', 'two', 'three');
    };
    const pipe = new FakeTransport();
    session.start(pipe);
    expect(session.state).toBe('lagging');
    for (let i = 0; i < 3; i++) {
      await settled();
      pipe.drain(session);
    }
    await settled();
    expect(pipe.written).toEqual(['one', 'two', 'three']);
    expect(session.state).toBe('live');
  });

  it('that was ended before it started is closed with that as soon as it starts', async () => {
    const session = await fixture.open('ada');
    await fixture.broker.mark('ada', { reason: 'out' });
    const pipe = new FakeTransport();
    session.start(pipe);
    session.closed(4403, 'out');
    expect(pipe.closes).toEqual([{ code: 4403, reason: 'out' }]);
    expect(fixture.names()).toEqual([]);
    expect(fixture.stats.sessions).toBe(0);
  });

  it('whose client left before it started leaves without an event', async () => {
    const session = await fixture.open('ada');
    expect(fixture.stats.sessions).toBe(1);
    session.closed(1006, '');
    session.closed(1006, '');
    expect(fixture.stats.sessions).toBe(0);
    expect(fixture.names()).toEqual([]);
    await pass(4_000);
    expect(fixture.broker.unsubscribed).toBe(1);
  });
});

describe('a slow session', () => {
  beforeEach(() => begin({ maxBufferedBytes: 10 }));

  async function lagging() {
    const { session, pipe } = await fixture.start('ada');
    pipe.isStuck = true;
    stream.publish('1111', '2222', '3333');
    expect(session.state).toBe('lagging');
    return { session, pipe };
  }

  it('stops taking messages at the high-water mark, and tells of it once', async () => {
    const { pipe } = await lagging();
    stream.publish('4444', '5555');
    await settled();
    expect(pipe.written).toEqual(['1111', '2222']);
    expect(pipe.bufferedBytes).toBe(10);
    expect(fixture.told.filter(({ name }) => name === 'slow')).toMatchObject([{ event: { bufferedBytes: 10 } }]);
  });

  it('takes one message that is larger than the mark when nothing waits', async () => {
    const { session, pipe } = await fixture.start('ada');
    stream.publish('a message of more than ten bytes');
    await settled();
    expect(pipe.written).toHaveLength(1);
    expect(session.state).toBe('live');
  });

  it('does not delay the other sessions of its user', async () => {
    const slow = await fixture.start('ada');
    const other = await fixture.start('ada');
    slow.pipe.isStuck = true;
    for (const payload of ['1111', '2222', '3333', '4444']) {
      stream.publish(payload);
      await settled();
      expect(other.pipe.written.at(-1)).toBe(payload);
    }
    expect([slow.session.state, other.session.state]).toEqual(['lagging', 'live']);
  });

  it('catches up from history when its client reads again, and is live then', async () => {
    const { session, pipe } = await lagging();
    stream.publish('4444', '5555');
    pipe.isStuck = false;
    for (let i = 0; i < 4 && session.state !== 'live'; i++) {
      pipe.drain(session);
      await settled();
    }
    stream.publish('6666');
    await settled();
    expect(pipe.written).toEqual(['1111', '2222', '3333', '4444', '5555', '6666']);
    expect(session.state).toBe('live');
    expect(fixture.stats.slow).toBe(1);
    expect(fixture.stats.delivered).toBe(6);
  });

  it('gets what arrives while it reads history after that history', async () => {
    const { session, pipe } = await lagging();
    pipe.isStuck = false;
    const reply = new Gate();
    fixture.broker.after = reply.pass;
    pipe.drain(session);
    await reply.reached;
    stream.publish('4444');
    reply.open();
    for (let i = 0; i < 4 && session.state !== 'live'; i++) {
      await settled();
      pipe.drain(session);
    }
    expect(pipe.written).toEqual(['1111', '2222', '3333', '4444']);
  });

  it('is reset and closed with 4410 when history does not reach back to it', async () => {
    const { session, pipe } = await lagging();
    stream.publish('4444');
    stream.trimmed = 3;
    pipe.drain(session);
    await settled();
    expect(fixture.told.filter(({ name }) => name === 'reset')).toMatchObject([{ event: { reason: 'lagging' } }]);
    expect(pipe.closes).toEqual([{ code: 4410, reason: 'messages lost' }]);
    expect(session.state).toBe('closing');
  });

  it('reads history again when that failed', async () => {
    const { session, pipe } = await lagging();
    pipe.isStuck = false;
    let failures = 0;
    fixture.broker.before = () => {
      if (failures++ < 2) throw new Error('the broker is away');
    };
    pipe.drain(session);
    await pass(4_000);
    expect(pipe.written).toEqual(['1111', '2222', '3333']);
    expect(fixture.errors.map(({ stage }) => stage)).toEqual(['read', 'read']);
  });

  it('drops volatile messages', async () => {
    const { session, pipe } = await lagging();
    await fixture.broker.whisper(['ada'], 'psst');
    pipe.isStuck = false;
    pipe.drain(session);
    await settled();
    await fixture.broker.whisper(['ada'], 'hush');
    await settled();
    expect(pipe.written).toEqual(['1111', '2222', '3333', 'hush']);
  });

  it('that disagrees with its subscription, since the broker came back older, is reset and reads in no circle', async () => {
    const { session, pipe } = await lagging();
    const other = await fixture.start('ada');
    stream.rollBack(2);
    pipe.drain(session);
    await pass(10_000);
    expect(fixture.broker.calls.read).toBeLessThan(20);
    expect(other.pipe.closes).toEqual([{ code: 4410, reason: 'messages lost' }]);
    stream.publish('3 again');
    await settled();
    expect(pipe.written).toEqual(['1111', '2222', '3 again']);
  });
});

describe('a session that is ahead of its subscription', () => {
  it('waits for its subscription, and reads in no circle', async () => {
    begin({ maxBufferedBytes: 10 });
    const { session, pipe } = await fixture.start('ada');
    let isAway = true;
    let reads = 0;
    pipe.isStuck = true;
    stream.publish('1111', '2222', '3333');
    stream.append('4444');
    // The subscription's reads fail, and the session's, which come from a lower offset, do not.
    const read = fixture.broker.read.bind(fixture.broker);
    fixture.broker.read = async (userId, after, limit) => {
      reads++;
      if (isAway && after?.offset === 3) throw new Error('the broker is away');
      return read(userId, after, limit);
    };
    stream.publish('5555');
    await settled();
    pipe.isStuck = false;
    for (let i = 0; i < 3; i++) {
      pipe.drain(session);
      await settled();
    }
    expect(reads).toBeLessThan(10);
    isAway = false;
    await pass(5_000);
    stream.publish('6666');
    await settled();
    expect(pipe.written).toEqual(['1111', '2222', '3333', '4444', '5555', '6666']);
    expect(session.state).toBe('live');
    expect(reads).toBeLessThan(20);
  });
});

describe('the end of a session', () => {
  it('is the first that came, and is told once when the pipe is gone', async () => {
    const { session, pipe } = await fixture.start('ada');
    stream.publish('last');
    session.end('disconnected', 'out');
    session.end('going_away');
    session.expired();
    session.silent();
    expect(pipe.closes).toEqual([{ code: 4403, reason: 'out' }]);
    expect(pipe.written).toEqual(['last']);
    session.closed(1005, '');
    session.closed(1006, '');
    const events = fixture.told.filter(({ name }) => name === 'disconnect');
    expect(events).toEqual([{ name: 'disconnect', event: { ...session.info, code: 4403, reason: 'out' } }]);
    expect(fixture.stats).toMatchObject({ sessions: 0, connects: 1, disconnects: 1 });
  });

  it('is cut after 2 s when the close hangs', async () => {
    const { session, pipe } = await fixture.start('ada');
    session.end('disconnected');
    await pass(1_800);
    expect(pipe.isTerminated).toBe(false);
    await pass(400);
    expect(pipe.isTerminated).toBe(true);
    session.closed(1006, '');
  });

  it('lets nothing through any more, in both directions', async () => {
    const { session, pipe } = await fixture.start('ada');
    session.end('disconnected');
    stream.publish('1');
    await fixture.broker.whisper(['ada'], 'psst');
    session.receive('{"type":"ack","object":{"sender_id":"ada","box_id":"box"}}');
    session.receive('nonsense');
    session.receiveBinary();
    await settled();
    expect(pipe.written).toEqual([]);
    expect(fixture.acks).toEqual([]);
    session.closed(1000, '');
    session.receive('nonsense');
    session.drained();
    session.alive();
    session.ping();
    await settled();
    expect(fixture.stats.received).toBe(0);
  });

  it('leaves no timer and no subscription', async () => {
    const { session } = await fixture.start('ada');
    session.closed(1000, '');
    await pass(4_000);
    expect(fixture.hub.users).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('what a client says', () => {
  it.each([
    ['bad_json', 'nonsense'],
    ['invalid_message', '[]'],
    ['invalid_message', '{"type":"ack"}'],
    ['unknown_type', '{"type":"session.ping","object":{}}'],
    ['invalid_object', '{"type":"ack","object":{"sender_id":"ada"}}'],
    ['wrong_sender', '{"type":"ack","object":{"sender_id":"grace","box_id":"box"}}'],
  ])('is answered with %s for %s, and the session stays', async (code, text) => {
    const { session, pipe } = await fixture.start('ada');
    session.receive(text);
    await settled();
    const [answer] = pipe.written.map((message) => JSON.parse(message));
    expect(answer).toMatchObject({ type: 'error', object: { code, message: expect.any(String) } });
    expect(fixture.acks).toEqual([]);
    expect(session.state).toBe('live');
  });

  it('ends the session with 1008 when it is wrong again and again', async () => {
    begin({ messagesPerSecond: 0 });
    const { session, pipe } = await fixture.start('ada');
    for (let i = 0; i < 10; i++) session.receive('nonsense');
    expect(session.state).toBe('live');
    session.receiveBinary();
    expect(pipe.closes).toEqual([{ code: 1008, reason: 'repeated bad messages' }]);
  });

  it('ends the session with 4429 when it is too much: 10 a second, 40 at once', async () => {
    const { session, pipe } = await fixture.start('ada');
    const ack = '{"type":"ack","object":{"sender_id":"ada","box_id":"box"}}';
    for (let i = 0; i < 40; i++) session.receive(ack);
    await pass(1_000);
    for (let i = 0; i < 10; i++) session.receive(ack);
    expect(session.state).toBe('live');
    expect(fixture.acks).toHaveLength(50);
    session.receive(ack);
    expect(pipe.closes).toEqual([{ code: 4429, reason: 'too many messages' }]);
    expect(fixture.acks).toHaveLength(50);
  });

  it('is answered with unavailable when an ack could not be stored', async () => {
    const { session, pipe } = await fixture.start('ada');
    fixture.ack = () => Promise.reject(new Error('the broker is away'));
    session.receive('{"type":"ack","object":{"sender_id":"ada","box_id":"box"}}');
    await settled();
    expect(JSON.parse(pipe.written[0]!)).toMatchObject({ type: 'error', object: { code: 'unavailable' } });
    expect(session.state).toBe('live');
  });
});
