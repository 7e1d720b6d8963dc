// The public entry of `usercast/nats`. A name added here is public: documented, kept, and covered by the version number.

export { natsBroker } from './nats-broker.ts';
export type { NatsBrokerOptions } from './nats-broker-options.ts';
export type {
  NatsConnectionLike,
  NatsHeadersLike,
  NatsMessageLike,
  NatsServerInfo,
  NatsSubscriptionLike,
} from './nats-connection.ts';
export { type NatsCounterOptions, natsCounters } from './nats-counters.ts';
