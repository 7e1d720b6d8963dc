// The public entry of `usercast/client`. A name added here is public: documented, kept, and covered by the version number.

export type { BoxEvent, BoxEventBase, EventIdentity } from '../protocol/events.ts';
export type { HostTypes } from '../protocol/host-types.ts';
export type { AckObject, BoxDelete, ErrorObject, FileSaved } from '../protocol/messages.ts';
export { type Client, connect, type ReceivedObject, type ReceivedType } from './client.ts';
export type { ClientState, StateDetail } from './connector.ts';
export type { UnreadCounts } from './counts.ts';
export { type ClientFailure, UsercastClientError } from './errors.ts';
export type { MessageMeta, Reset } from './inbox.ts';
export type { Unsubscribe } from './listeners.ts';
export type { ConnectOptions, TokenRequest, TokenSource } from './options.ts';
export type {
  BodyReader,
  FetchLike,
  RequestLike,
  ResponseLike,
  WebSocketConstructor,
  WebSocketLike,
} from './platform.ts';
export type { TransportName } from './transports/transport.ts';
