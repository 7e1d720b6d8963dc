// The public entry of `usercast`. A name added here is public: documented, kept, and covered by the version number.

export type { JwksSource, KeySource, PublicKeySource, SecretSource } from './auth/jwt-keys.ts';
export { type JwtRules, type JwtVerifierOptions, jwtVerifier } from './auth/jwt-verifier.ts';
export type { Identity, TokenVerifier, VerifyContext } from './auth/token-verifier.ts';

export type {
  Broker,
  BrokerMessage,
  BrokerStatus,
  Delivery,
  DisconnectMark,
  DisconnectTarget,
  Publication,
  PublishResult,
  StreamListener,
  StreamSlice,
  StreamTop,
  Unsubscribe,
} from './broker/broker.ts';
export { type MemoryBroker, type MemoryBrokerStats, memoryBroker } from './broker/memory-broker.ts';
export type { HistoryOptions, MemoryBrokerOptions } from './broker/memory-broker-options.ts';
export type { Counted, CounterStore } from './counter/counter-store.ts';
export { type MemoryCounterOptions, memoryCounters } from './counter/memory-counter-store.ts';
export { type ErrorStage, UsercastError, type UsercastErrorCode, type UsercastErrorDetails } from './errors.ts';
export type { AttachOptions, RefusedInfo } from './http/door.ts';
export type { UsercastEvents, UsercastHealth, UsercastStats } from './observation.ts';
export type {
  AllowedOrigins,
  Authorize,
  Countable,
  HeartbeatOptions,
  LimitOptions,
  RequestContext,
  SubscriptionOptions,
  TrustProxy,
  UsercastOptions,
} from './options.ts';
export { ORIGIN_TAG, type Position } from './protocol/cursor.ts';
export type { ClientErrorCode } from './protocol/event-types.ts';
export { type BoxEventType, EVENT_TYPES, type EventTypeRow } from './protocol/event-types.ts';
export type { BoxEvent, BoxEventBase, EventIdentity } from './protocol/events.ts';
export type {
  EventOf,
  EventSchemas,
  HostTypes,
  NotificationObject,
  NotificationSchemas,
  NotificationType,
} from './protocol/host-types.ts';
export type { AckObject, BoxDelete, ErrorObject, FileSaved } from './protocol/messages.ts';
export { type ClientAction, REFUSALS, type RefusalCode } from './protocol/refusals.ts';
export type { ResetReason } from './protocol/session-messages.ts';
export type { StandardSchemaV1 } from './protocol/standard-schema.ts';
export type { NotifyOptions, PublishEventOptions, Published, PublishInfo, UserIds } from './publisher.ts';
export type { SessionEvents, SessionInfo, SessionStats } from './session/context.ts';
export type { TransportKind } from './transports/transport.ts';
export type { DisconnectOptions } from './user-records.ts';

export {
  createUsercast,
  type DrainOptions,
  type Usercast,
} from './usercast.ts';
