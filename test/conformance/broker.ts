// What every broker promises, as tests over a factory. A broker's own test file is a call of `describeBroker`.

import { describe } from 'vitest';
import type { Broker } from '../../src/broker/broker.ts';
import { BrokerBench } from './broker-bench.ts';
import { describeCounting } from './broker-counting.ts';
import { describePublishing } from './broker-publishing.ts';
import { describeReading } from './broker-reading.ts';
import { describeSubscribing } from './broker-subscribing.ts';

export interface BrokerCapabilities {
  /** Counts move in the step that appends. */
  readonly counters: boolean;
  /** Offsets grow by one. */
  readonly dense: boolean;
}

export function describeBroker(name: string, create: () => Broker, { counters, dense }: BrokerCapabilities): void {
  describe(name, () => {
    const bench = new BrokerBench(create);
    describePublishing(bench, dense);
    describeReading(bench);
    describeSubscribing(bench, counters);
    if (counters) describeCounting(bench);
  });
}
