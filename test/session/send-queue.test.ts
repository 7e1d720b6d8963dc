import { beforeEach, describe, expect, it } from 'vitest';
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

const frames = (transport: FakeTransport, ...payloads: string[]) => payloads.map((payload) => transport.frame(payload));

describe('a send queue', () => {
  it('writes what is sent in one turn of the event loop once, in order', async () => {
    const { transport, queue } = queueOf();
    for (const frame of frames(transport, 'a', 'b', 'c')) expect(queue.push(frame)).toBe(true);
    await settled();
    for (const frame of frames(transport, 'd', 'e')) queue.push(frame);
    await settled();
    expect(transport.written).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(transport.writes).toHaveLength(2);
  });

  it('keeps its order when it is flushed within the turn', async () => {
    const { transport, queue } = queueOf();
    const [a, b, c] = frames(transport, 'a', 'b', 'c');
    queue.push(a!);
    queue.flush();
    expect(transport.written).toEqual(['a']);
    queue.push(b!);
    queue.push(c!);
    queue.flush();
    queue.flush();
    await settled();
    expect(transport.written).toEqual(['a', 'b', 'c']);
  });

  it('writes one buffer for all queues that are sent the same frames', async () => {
    const some = Array.from({ length: 3 }, () => queueOf());
    const shared = frames(some[0]!.transport, 'a', 'b');
    for (const frame of shared) for (const { queue } of some) queue.push(frame);
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
      for (const frame of sent) queue.push(frame!);
    }
    await settled();
    expect([one, two, three].map(({ transport }) => transport.written.join(''))).toEqual(['abcd', 'accd', 'bba']);
  });

  it('takes nothing over its limit, and says so', async () => {
    const { transport, queue } = queueOf(10);
    const [a, b, c] = frames(transport, '1234', '5678', '90');
    expect([queue.push(a!), queue.push(b!), queue.push(c!)]).toEqual([true, true, false]);
    expect(queue.bufferedBytes).toBe(10);
    await settled();
    expect(transport.written).toEqual(['1234', '5678']);
  });

  it('counts what the transport has not got rid of', async () => {
    const { transport, queue } = queueOf(10);
    transport.isStuck = true;
    const [a, b, c] = frames(transport, '1234', '5678', '90');
    queue.push(a!);
    await settled();
    expect(queue.push(b!)).toBe(true);
    await settled();
    expect(queue.bufferedBytes).toBe(10);
    expect(queue.push(c!)).toBe(false);
    transport.bufferedBytes = 0;
    expect(queue.push(c!)).toBe(true);
  });

  it('takes one frame of any size when nothing waits', async () => {
    const { transport, queue } = queueOf(10);
    const [large, small] = frames(transport, 'x'.repeat(100), 'y');
    expect(queue.push(large!)).toBe(true);
    expect(queue.push(small!)).toBe(false);
    await settled();
    expect(queue.push(small!)).toBe(true);
  });
});
