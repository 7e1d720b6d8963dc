import { beforeEach, describe, expect, it } from 'vitest';
import { encodeCursor } from '../../src/protocol/cursor.ts';
import { SendQueue, Turns } from '../../src/session/send-queue.ts';
import { FakeTransport } from '../support/fake-transport.ts';
import { settled } from '../support/scripted-broker.ts';

class CountingTransport extends FakeTransport {
  readonly writes: Uint8Array[] = [];

  override write(frames: Uint8Array): boolean {
    this.writes.push(frames);
    return super.write(frames);
  }
}

let turns: Turns;

beforeEach(() => {
  turns = new Turns();
});

function queueOf(maxBytes = 1_000) {
  const transport = new CountingTransport();
  return { transport, queue: new SendQueue(transport, turns, maxBytes) };
}

const frames = (transport: FakeTransport, ...payloads: string[]) =>
  payloads.map((payload) => transport.control(payload));

describe('a send queue', () => {
  it('writes what is sent in one turn of the event loop once, in order', async () => {
    const { transport, queue } = queueOf();
    for (const frame of frames(transport, 'a', 'b', 'c')) expect(queue.push(frame, null)).toBe(true);
    await settled();
    for (const frame of frames(transport, 'd', 'e')) queue.push(frame, null);
    await settled();
    expect(transport.written).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(transport.writes).toHaveLength(2);
  });

  it('keeps its order when it is flushed within the turn', async () => {
    const { transport, queue } = queueOf();
    const [a, b, c] = frames(transport, 'a', 'b', 'c');
    queue.push(a!, null);
    queue.flush();
    expect(transport.written).toEqual(['a']);
    queue.push(b!, null);
    queue.push(c!, null);
    queue.flush();
    queue.flush();
    await settled();
    expect(transport.written).toEqual(['a', 'b', 'c']);
  });

  it('writes one buffer for all queues that are sent the same frames', async () => {
    const some = Array.from({ length: 3 }, () => queueOf());
    const shared = frames(some[0]!.transport, 'a', 'b');
    for (const frame of shared) for (const { queue } of some) queue.push(frame, null);
    await settled();
    const written = new Set(some.flatMap(({ transport }) => transport.writes));
    expect(written.size).toBe(1);
  });

  it('keeps apart what different queues are sent, whatever they have in common', async () => {
    const [one, two, three] = [queueOf(), queueOf(), queueOf()];
    const [a, b, c, d] = frames(one.transport, 'a', 'b', 'c', 'd');
    for (const [{ queue }, sent] of [
      [one, [a, b, c]],
      [two, [a, c]],
      [three, [b, b, a]],
      [one, [d]],
      [two, [c, d]],
    ] as const) {
      for (const frame of sent) queue.push(frame!, null);
    }
    await settled();
    expect([one, two, three].map(({ transport }) => transport.written.join(''))).toEqual(['abcd', 'accd', 'bba']);
  });

  it('takes nothing over its limit, and says so', async () => {
    const { transport, queue } = queueOf(10);
    const [a, b, c] = frames(transport, '1234', '5678', '90');
    expect([queue.push(a!, null), queue.push(b!, null), queue.push(c!, null)]).toEqual([true, true, false]);
    expect(queue.bufferedBytes).toBe(10);
    await settled();
    expect(transport.written).toEqual(['1234', '5678']);
  });

  it('counts what the transport has not got rid of', async () => {
    const { transport, queue } = queueOf(10);
    transport.isStuck = true;
    const [a, b, c] = frames(transport, '1234', '5678', '90');
    queue.push(a!, null);
    await settled();
    expect(queue.push(b!, null)).toBe(true);
    await settled();
    expect(queue.bufferedBytes).toBe(10);
    expect(queue.push(c!, null)).toBe(false);
    transport.bufferedBytes = 0;
    expect(queue.push(c!, null)).toBe(true);
  });

  it('takes one frame of any size when nothing waits', async () => {
    const { transport, queue } = queueOf(10);
    const [large, small] = frames(transport, 'x'.repeat(100), 'y');
    expect(queue.push(large!, null)).toBe(true);
    expect(queue.push(small!, null)).toBe(false);
    await settled();
    expect(queue.push(small!, null)).toBe(true);
  });

  it('says what goes before a close, whether there is room or not', async () => {
    const { transport, queue } = queueOf(10);
    const [a, b, last] = frames(transport, '12345678', '9', 'the last word');
    queue.push(a!, null);
    expect(queue.push(b!, null)).toBe(false);
    queue.pushLast(last!);
    await settled();
    expect(transport.written).toEqual(['12345678', 'the last word']);
    queue.pushLast(b!);
    await settled();
    expect(transport.written).toEqual(['12345678', 'the last word', '9']);
  });
});

describe('frames with a cursor', () => {
  const v1 = () => {
    const transport = new CountingTransport({ isV1: true });
    return { transport, queue: new SendQueue(transport, turns, 10_000) };
  };
  const position = (epoch: string, offset: number, tag: string) => ({ epoch: epoch.padEnd(16, '-'), offset, tag });

  it('are the same for all, and each queue stamps its own positions', async () => {
    const queues = ['ada', 'grace', 'linus'].map((epoch) => ({ epoch, ...v1() }));
    const shared = [1, 2, 3].map((n) => queues[0]!.transport.message(`{"type":"n","object":{"n":${n}}}`, n === 2));
    const between = queues[0]!.transport.control('{"type":"session.ping","object":{}}');
    for (const [i, frame] of shared.entries()) {
      for (const { epoch, queue } of queues) queue.push(frame, position(epoch, i + 10 ** i, `tag-000${i}`));
      if (i === 0) for (const { queue } of queues) queue.push(between, null);
    }
    const before = shared.map(({ bytes }) => Buffer.from(bytes).toString());
    await settled();
    for (const { epoch, transport } of queues) {
      const cursors = [0, 1, 2].map((i) => encodeCursor(position(epoch, i + 10 ** i, `tag-000${i}`)));
      expect(transport.written).toEqual([
        `{"type":"n","object":{"n":1},"cursor":"${cursors[0]}"}`,
        '{"type":"session.ping","object":{}}',
        `{"type":"n","object":{"n":2},"cursor":"${cursors[1]}","unread":true}`,
        `{"type":"n","object":{"n":3},"cursor":"${cursors[2]}"}`,
      ]);
      expect(transport.writes).toHaveLength(1);
    }
    expect(shared.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(before);
  });

  it('are stamped anew in each turn', async () => {
    const { transport, queue } = v1();
    const frame = transport.message('{"type":"n","object":{}}', false);
    for (const offset of [1, 2, 3]) {
      queue.push(frame, position('ada', offset, 'tag-0001'));
      await settled();
    }
    expect(transport.written.map((text) => JSON.parse(text).cursor)).toEqual(
      [1, 2, 3].map((offset) => encodeCursor(position('ada', offset, 'tag-0001'))),
    );
  });
});
