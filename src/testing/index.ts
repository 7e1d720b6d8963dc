// The entry `usercast/testing`: what authors of brokers, counter stores and verifiers test theirs with, and what hosts test
// their own code with. Works with any test runner. A name added here is public.

export type { BrokerCapabilities, BrokerSuiteOptions } from './broker-bench.ts';
export { brokerSuite } from './broker-suite.ts';
export {
  type CounterStoreCapabilities,
  type CounterStoreSuiteOptions,
  counterStoreSuite,
} from './counter-store-suite.ts';
export {
  type BrokerFaults,
  type FaultyBroker,
  type FaultyBrokerOptions,
  faultyBroker,
  type Restorable,
} from './faulty-broker.ts';
export { type ModelBroker, modelBroker } from './model-broker.ts';
export { Recorder } from './recorder.ts';
export type { TestRunner } from './runner.ts';
export { seededRandom } from './seeded-random.ts';
export { type TestVerifier, type TokenOptions, testToken, testVerifier } from './test-verifier.ts';
export { type VerifierCapabilities, type VerifierSuiteOptions, verifierSuite } from './verifier-suite.ts';
