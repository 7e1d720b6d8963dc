import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Broker, BrokerStatus } from '../../src/broker/broker.ts';
import { watchOutages } from '../../src/broker/outage-watch.ts';

let told: string[];
let listeners: Set<(status: BrokerStatus) => void>;
let broker: { status: BrokerStatus; outage?: Error | null };
let end: () => void;

function is(status: BrokerStatus): void {
  broker.status = status;
  for (const listener of listeners) listener(status);
}

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  listeners = new Set();
  const onStatus = (listener: (status: BrokerStatus) => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  broker = { status: 'connecting', onStatus } as unknown as Broker & { status: BrokerStatus };
  end = watchOutages(broker as Broker, 4_000, ({ code, message }) => told.push(`${code}: ${message}`));
});
afterEach(() => {
  end();
  expect([vi.getTimerCount(), listeners.size]).toEqual([0, 0]);
  vi.useRealTimers();
});

it('tells of a broker that is never reached, once', () => {
  vi.advanceTimersByTime(3_999);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual(['broker_unavailable: the broker was never connected to for 4000 ms']);
});

it('tells of each long outage, and of no short one', () => {
  is('ready');
  is('lost');
  vi.advanceTimersByTime(3_000);
  is('ready');
  vi.advanceTimersByTime(3_000);
  expect(told).toEqual([]);
  for (let outage = 1; outage <= 2; outage++) {
    is('lost');
    vi.advanceTimersByTime(10_000);
    is('ready');
    expect(told).toHaveLength(outage);
  }
  expect(told[0]).toBe('broker_unavailable: the broker has been lost for 4000 ms');
});

it('says why, where the broker knows', () => {
  broker.outage = new Error('READONLY');
  vi.advanceTimersByTime(4_000);
  expect(told).toEqual(['broker_unavailable: the broker was never connected to for 4000 ms: READONLY']);
});
