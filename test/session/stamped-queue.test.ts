// The send queue of sessions whose frames carry a cursor: the same frames for all, a cursor of its own for each.

import { beforeEach, describe, expect, it } from 'vitest';
import { encodeCursor, type Position } from '../../src/protocol/cursor.ts';
import { SendQueue, Turns } from '../../src/session/send-queue.ts';
import type { Frame } from '../../src/transports/transport.ts';
import { FakeTransport } from '../support/fake-transport.ts';
import { settled } from '../support/scripted-broker.ts';

class KeepingTransport extends FakeTransport {
  readonly writes: Uint8Array[] = [];

  override write(frames: Uint8Array): boolean {
    this.writes.push(frames);
    return super.write(frames);
  }
}

const MAX_BYTES = 1_048_576;
const SLAB_BYTES = 32_768;

let turns: Turns;

beforeEach(() => {
  turns = new Turns();
});

function queueOf() {
  const transport = new KeepingTransport({ isV1: true });
  return { transport, queue: new SendQueue(transport, turns, MAX_BYTES) };
}

const position = (epoch: string, offset: number): Position => ({ epoch: epoch.repeat(16), offset, tag: 'tag-tag-' });
const frameOf = (payload: string): Frame => new FakeTransport({ isV1: true }).message(payload, false);
const stamped = (payload: string, at: Position): string => `${payload.slice(0, -1)},"cursor":"${encodeCursor(at)}"}`;

describe('a send queue of stamped frames', () => {
  it('gives every session its own cursors in what all are sent', async () => {
    const some = ['A', 'B', 'C'].map((epoch) => ({ epoch, ...queueOf() }));
    const payloads = ['{"n":1}', '{"n":22}', '{"n":333}'];
    for (const [i, frame] of payloads.map(frameOf).entries()) {
      for (const { epoch, queue } of some) queue.push(frame, position(epoch, i + 1));
    }
    await settled();
    for (const { epoch, transport } of some) {
      expect(transport.writes).toHaveLength(1);
      expect(transport.written).toEqual(payloads.map((payload, i) => stamped(payload, position(epoch, i + 1))));
    }
  });

  it('never touches a buffer again that was written', async () => {
    const { transport, queue } = queueOf();
    const frame = frameOf('{"n":1}');
    queue.push(frame, position('A', 1));
    await settled();
    const [first] = transport.writes;
    const before = Buffer.from(first!);
    queue.push(frame, position('A', 2));
    await settled();
    expect(before.equals(first!)).toBe(true);
    expect(transport.written).toEqual([1, 2].map((offset) => stamped('{"n":1}', position('A', offset))));
  });

  it('keeps no more memory than it counts for a client that does not read', async () => {
    const { transport, queue } = queueOf();
    const other = queueOf();
    transport.isStuck = true;
    const frame = frameOf(`{"pad":"${'x'.repeat(2_000)}"}`);
    for (let offset = 1; offset <= 100; offset++) {
      for (const to of [queue, other.queue]) to.push(frame, position('A', offset));
      await settled();
    }
    const kept = new Set(transport.writes.map(({ buffer }) => buffer));
    const keptBytes = [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0);
    // The first write was taken for granted, and is a piece of a slab that all share.
    expect(keptBytes).toBeLessThanOrEqual(queue.bufferedBytes + SLAB_BYTES);
  });
});
