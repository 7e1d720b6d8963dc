import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { SharedReads } from '../../src/broker/shared-reads.ts';
import { Gate, ScriptedBroker } from '../support/scripted-broker.ts';

const DEADLINE_MS = 400;
const CURSOR = { epoch: 'ada-0-----------', offset: 1, tag: 't0000001' };

let broker: ScriptedBroker;
let reads: SharedReads;

beforeEach(() => {
  vi.useFakeTimers();
  broker = new ScriptedBroker();
  broker.stream('ada').publish('1', '2');
  reads = new SharedReads({ broker, deadlineMs: DEADLINE_MS });
});

afterEach(() => {
  vi.useRealTimers();
});

it('asks once for those who ask for the same before it is sent', async () => {
  const slices = await Promise.all(Array.from({ length: 20 }, () => reads.read('ada', CURSOR, 100)));
  expect(broker.calls.read).toBe(1);
  expect(new Set(slices).size).toBe(1);
  expect(slices[0]!.entries).toHaveLength(1);
});

it('never shares a read that is under way: who asks then gets what is there then', async () => {
  const gate = new Gate();
  broker.after = gate.pass;
  const first = reads.read('ada', CURSOR, 100);
  await gate.reached;
  broker.stream('ada').publish('3');
  const later = Array.from({ length: 20 }, () => reads.read('ada', CURSOR, 100));
  await vi.advanceTimersByTimeAsync(0);
  expect(broker.calls.read).toBe(1);
  gate.open();
  expect((await first).entries).toHaveLength(1);
  for (const { entries } of await Promise.all(later)) expect(entries).toHaveLength(2);
  expect(broker.calls.read).toBe(2);
});

it('shares nothing between what is not the same: user, position, limit', async () => {
  await Promise.all([
    reads.read('ada', CURSOR, 100),
    reads.read('ada', CURSOR, 10),
    reads.read('ada', null, 100),
    reads.read('ada', { ...CURSOR, offset: 0 }, 100),
    reads.read('grace', CURSOR, 100),
  ]);
  expect(broker.calls.read).toBe(5);
});

it('lets no read wait for one of another position that hangs', async () => {
  broker.before = (call) => (call === 'read' && broker.calls.read === 1 ? new Promise(() => {}) : undefined);
  const hung = reads.read('ada', CURSOR, 100);
  const outcome = expect(hung).rejects.toMatchObject({ code: 'deadline' });
  expect((await reads.read('ada', null, 0)).top.offset).toBe(2);
  await vi.advanceTimersByTimeAsync(DEADLINE_MS);
  await outcome;
});

it('goes on after a read that failed, hung or threw, and keeps nothing', async () => {
  const faults = [
    () => Promise.reject(new Error('away')),
    () => new Promise(() => {}),
    () => {
      throw new Error('broken');
    },
  ];
  const read = broker.read.bind(broker);
  broker.read = ((...args: Parameters<typeof read>) => {
    const fault = faults.shift();
    return fault ? fault() : read(...args);
  }) as typeof read;
  const codes: string[] = [];
  for (let i = 0; i < 3; i++) {
    const failing = reads.read('ada', CURSOR, 100).catch((cause: Error) => codes.push(cause.message));
    await vi.advanceTimersByTimeAsync(DEADLINE_MS);
    await failing;
  }
  expect(codes).toEqual(['away', expect.stringContaining('400 ms'), 'broken']);
  expect((await reads.read('ada', CURSOR, 100)).entries).toHaveLength(1);
  expect(vi.getTimerCount()).toBe(0);
});
