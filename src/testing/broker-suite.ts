// What every broker promises, as tests.

import type { Broker } from '../index.ts';
import { type BrokerSuiteOptions, brokerTests } from './broker-bench.ts';
import { testCounting } from './broker-counting.ts';
import { testIsolation } from './broker-isolation.ts';
import { testPeers } from './broker-peers.ts';
import { testPublishing } from './broker-publishing.ts';
import { testReading } from './broker-reading.ts';
import { testSubscribing } from './broker-subscribing.ts';
import type { TestRunner } from './runner.ts';

/**
 * Declares the tests that a `Broker` has to pass, with the runner's own `describe` and `it`.
 *
 * ```ts
 * import { describe, it } from 'node:test';
 * import { brokerSuite } from 'usercast/testing';
 *
 * brokerSuite({ describe, it }, { name: 'ownBroker', create: () => ownBroker(), capabilities: { counters: true } });
 * ```
 */
export function brokerSuite<B extends Broker>(runner: TestRunner, options: BrokerSuiteOptions<B>): void {
  const { name, capabilities = {} } = options;
  runner.describe(name, () => {
    const test = brokerTests(runner, options);
    testPublishing(runner, test, capabilities);
    testReading(runner, test, capabilities);
    testSubscribing(runner, test, capabilities);
    testIsolation(runner, test);
    if (capabilities.counters) testCounting(runner, test);
    testPeers(runner, test, capabilities);
  });
}
