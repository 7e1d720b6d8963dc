// Gaps right after gaps: what arrives in the moments between a repair's last step and its end.

import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Subscriptions } from '../../src/broker/subscriptions.ts';
import { resolveOptions } from '../../src/options.ts';
import { Wheel } from '../../src/timers.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it.each([0, 1, 2, 3, 4, 5])('a gap %d steps after one was repaired is repaired too', async (steps) => {
  const broker = new ScriptedBroker();
  const stream = broker.stream('ann');
  const heard: string[] = [];
  const subscriptions = new Subscriptions(
    { broker, wheel: new Wheel(), deadlineMs: 400, times: resolveOptions({}).subscriptions, onError: () => {} },
    () => ({
      deliver: ({ payload }) => void heard.push(payload),
      whisper: () => {},
      mark: () => {},
      reset: () => {},
    }),
  );
  await subscriptions.acquire('ann').opened();
  stream.append('missed');
  stream.publish('first');
  while (heard.length < 2) await null;
  for (let i = 0; i < steps; i++) await null;
  stream.append('missed again');
  stream.publish('second');
  await vi.advanceTimersByTimeAsync(0);
  expect(heard).toEqual(['missed', 'first', 'missed again', 'second']);
  subscriptions.close();
});

it('a gap that is there when the subscription opens is repaired before anything after it is delivered', async () => {
  const broker = new ScriptedBroker();
  const stream = broker.stream('ann');
  const heard: string[] = [];
  const subscriptions = new Subscriptions(
    { broker, wheel: new Wheel(), deadlineMs: 400, times: resolveOptions({}).subscriptions, onError: () => {} },
    () => ({
      deliver: ({ payload }) => void heard.push(payload),
      whisper: () => {},
      mark: () => {},
      reset: () => {},
    }),
  );
  broker.after = (call) => {
    if (call !== 'read' || broker.calls.read > 1) return;
    stream.append('lost on its way');
    stream.publish('after it');
  };
  await subscriptions.acquire('ann').opened();
  await vi.advanceTimersByTimeAsync(0);
  stream.publish('live');
  expect(heard).toEqual(['lost on its way', 'after it', 'live']);
  subscriptions.close();
});
