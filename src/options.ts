// The options of `createUsercast`, their defaults, and the one place that checks them. The library itself sees only
// `ResolvedOptions`.

import type { Identity, TokenVerifier } from './auth/token-verifier.ts';
import type { Broker } from './broker/broker.ts';
import type { CounterStore } from './counter/counter-store.ts';
import { checkKeys, optionalFunction, optionalObjectWith, wholeNumber, wrongOption } from './option-checks.ts';
import { type BoxEventType, EVENT_TYPES } from './protocol/event-types.ts';
import type { BoxEventBase } from './protocol/events.ts';
import type { EventSchemas, HostTypes, NotificationSchemas } from './protocol/host-types.ts';
import { checkSchemas } from './protocol/schema.ts';

/** What a rule may want to know of a handshake or request; it holds no token. */
export interface RequestContext {
  /** The client's address, as `trustProxy` sees it. */
  readonly address: string;
  /** The `Origin` header, where there is one. */
  readonly origin: string | undefined;
  /** The `Host` header, or `X-Forwarded-Host` behind a trusted proxy. */
  readonly host: string | undefined;
}

/** May this identity open the stream of this user? */
export type Authorize = (identity: Identity, userId: string, context: RequestContext) => boolean | Promise<boolean>;

/** The origins that browsers may connect from: a list such as `['https://app.example']`, `'*'` for all, or a rule. */
export type AllowedOrigins = '*' | readonly string[] | ((origin: string, context: RequestContext) => boolean);

/**
 * Which proxies in front of this process to believe when they say who the client is (`X-Forwarded-For`,
 * `X-Forwarded-Host`): `false` for none, the number of proxies, or their addresses and CIDR ranges.
 */
export type TrustProxy = false | number | readonly string[];

/** Does this event add 1 to the unread count of this recipient? Not asked for the sender and for muted users. */
export type Countable = (event: BoxEventBase, userId: string) => boolean;

/** When the server asks clients for a sign of life. */
export interface HeartbeatOptions {
  /** Milliseconds between WebSocket pings; a peer without a life sign by the next one is ended. Default 60 000. */
  readonly intervalMs?: number;
  /** Milliseconds of silence after which a `usercast.v1` client gets a `session.ping`. Default 25 000. */
  readonly pingMs?: number;
}

/** What clients may do, what may wait for them, and how long anything may take. */
export interface LimitOptions {
  /** Bytes of one message from a client; more closes with 1009, or 413. Default 8 192. */
  readonly maxMessageBytes?: number;
  /** Messages per second from one client, with bursts of four times as many; more closes with 4429. Default 10. */
  readonly messagesPerSecond?: number;
  /** Bytes of one encoded message to a client; `publishEvent` and `notify` reject more. Default 524 288. */
  readonly maxPublishBytes?: number;
  /** Bytes waiting for one slow client before it stops taking live messages. Default 1 048 576. */
  readonly maxBufferedBytes?: number;
  /** Sessions of this process; more are refused with 503. Default 100 000; 0 = no limit. */
  readonly maxConnections?: number;
  /** Sessions of one user on this process; more are refused with 429. Default 20; 0 = no limit. */
  readonly maxConnectionsPerUser?: number;
  /** Sessions of one client address on this process; more are refused with 429. Default 0 = no limit. */
  readonly maxConnectionsPerAddress?: number;
  /** Handshakes per second of this process, checked before a token is; more are refused with 503. Default 0 = no limit. */
  readonly handshakesPerSecond?: number;
  /** Milliseconds from an upgrade request to its 101 or refusal. Default 10 000. */
  readonly handshakeTimeoutMs?: number;
  /** Milliseconds that one call to the broker, the counter store or the verifier may take. Default 4 000. */
  readonly deadlineMs?: number;
}

/** When this process looks after its subscriptions at the broker. */
export interface SubscriptionOptions {
  /** Milliseconds that a user's subscription stays after the last session has left, for those that come back. Default 3 000. */
  readonly lingerMs?: number;
  /** Milliseconds in which every subscription is once compared with the broker. Default 25 000. */
  readonly checkMs?: number;
  /** Milliseconds within which all subscriptions are compared after the broker's connection came back. Default 5 000. */
  readonly catchUpMs?: number;
}

/** What `createUsercast` takes. */
export interface UsercastOptions<H extends HostTypes = HostTypes> {
  /** Checks access tokens. Needed to attach or to serve, not to publish. */
  readonly verifier?: TokenVerifier;
  /** Keeps the streams and carries messages between processes. Default: a `memoryBroker()` of its own. */
  readonly broker?: Broker;
  /** Unread counts. Default: the broker's own, counted in the step that stores the message. */
  readonly counters?: CounterStore;
  /** The base of every endpoint; `:id` is the user id. Default `/box-users/:id`. */
  readonly path?: string;
  /** Default: the token's user is the user in the path. */
  readonly authorize?: Authorize;
  /** Default: the request's own host. Requests without an `Origin` header do not come from a page and pass. */
  readonly allowedOrigins?: AllowedOrigins;
  /** When the server asks clients for a sign of life. */
  readonly heartbeat?: HeartbeatOptions;
  /**
   * Lets pages of other origins use the HTTP endpoints (CORS), preflights included: those that `allowedOrigins` allows.
   * Default `false`: a browser keeps the answers from them.
   */
  readonly cors?: boolean;
  /** For brokers that other processes publish to: how soon a lost message is looked for. */
  readonly subscriptions?: SubscriptionOptions;
  /** Bounds on clients, messages and waiting. */
  readonly limits?: LimitOptions;
  /** Default: every type but `msg.delete` and `msg.edit` counts. */
  readonly countable?: Countable;
  /** A schema for each event type of the host's own; it checks the whole event. */
  readonly events?: EventSchemas<H>;
  /** A schema for each notification type of the host's own; it checks the object. */
  readonly notifications?: NotificationSchemas<H>;
  /** Default `false`: the address is the socket's. */
  readonly trustProxy?: TrustProxy;
}

/** The options as the library sees them: complete and checked. */
export interface ResolvedOptions {
  readonly verifier: TokenVerifier | null;
  readonly broker: Broker | null;
  readonly counters: CounterStore | null;
  readonly path: string;
  readonly authorize: Authorize;
  /** null: the request's own host. */
  readonly allowedOrigins: AllowedOrigins | null;
  readonly cors: boolean;
  readonly heartbeat: Required<HeartbeatOptions>;
  readonly subscriptions: Required<SubscriptionOptions>;
  readonly limits: Required<LimitOptions>;
  readonly countable: Countable;
  readonly events: EventSchemas<HostTypes>;
  readonly notifications: NotificationSchemas<HostTypes>;
  readonly trustProxy: TrustProxy;
}

const OPTION_NAMES = [
  'verifier',
  'broker',
  'counters',
  'path',
  'authorize',
  'allowedOrigins',
  'cors',
  'heartbeat',
  'subscriptions',
  'limits',
  'countable',
  'events',
  'notifications',
  'trustProxy',
] as const satisfies readonly (keyof UsercastOptions)[];

const DEFAULTS = Object.freeze({
  path: '/box-users/:id',
  cors: false,
  heartbeat: Object.freeze({ intervalMs: 60_000, pingMs: 25_000 }),
  subscriptions: Object.freeze({ lingerMs: 3_000, checkMs: 25_000, catchUpMs: 5_000 }),
  limits: Object.freeze({
    maxMessageBytes: 8_192,
    messagesPerSecond: 10,
    maxPublishBytes: 524_288,
    maxBufferedBytes: 1_048_576,
    maxConnections: 100_000,
    maxConnectionsPerUser: 20,
    maxConnectionsPerAddress: 0,
    handshakesPerSecond: 0,
    handshakeTimeoutMs: 10_000,
    deadlineMs: 4_000,
  }),
});

/** Limits for which 0 means that there is none. */
const UNLIMITED_AT_0: readonly (keyof LimitOptions)[] = [
  'messagesPerSecond',
  'maxConnections',
  'maxConnectionsPerUser',
  'maxConnectionsPerAddress',
  'handshakesPerSecond',
];

const BROKER_METHODS = [
  'publish',
  'subscribe',
  'read',
  'tops',
  'whisper',
  'online',
  'mark',
  'forget',
  'onStatus',
  'close',
];
const COUNTER_METHODS = ['increment', 'reset', 'counts', 'forget', 'close'];

/**
 * Completes and checks what `createUsercast` was given.
 * @throws TypeError that names the option and the value.
 */
export function resolveOptions(given: UsercastOptions): ResolvedOptions {
  checkKeys('createUsercast options', given, OPTION_NAMES);
  optionalObjectWith('verifier', given.verifier, ['verify'], 'a TokenVerifier, such as jwtVerifier(…)');
  optionalObjectWith('broker', given.broker, BROKER_METHODS, 'a Broker, such as memoryBroker()');
  optionalObjectWith('broker.counters', given.broker?.counters, ['counts'], 'an object with a method counts');
  optionalObjectWith('counters', given.counters, COUNTER_METHODS, 'a CounterStore, such as memoryCounters()');
  if (given.broker && !given.broker.counters && !given.counters) {
    throw new TypeError(
      'counters must be given, since this broker keeps no counts: pass a CounterStore, such as natsCounters() beside ' +
        'natsBroker(), or memoryCounters() where there is one process',
    );
  }
  for (const name of ['authorize', 'countable'] as const) optionalFunction(name, given[name]);
  checkAllowedOrigins(given.allowedOrigins);
  checkTrustProxy(given.trustProxy);
  const { path = DEFAULTS.path, cors = DEFAULTS.cors, events = {}, notifications = {} } = given;
  if (typeof cors !== 'boolean') wrongOption('cors', 'true or false', cors);
  checkSchemas('events', events);
  checkSchemas('notifications', notifications);
  return {
    verifier: given.verifier ?? null,
    broker: given.broker ?? null,
    counters: given.counters ?? null,
    path: checkPath(path),
    authorize: given.authorize ?? ((identity, userId) => identity.userId === userId),
    allowedOrigins: given.allowedOrigins ?? null,
    cors,
    heartbeat: numbers('heartbeat', given.heartbeat, DEFAULTS.heartbeat, []),
    subscriptions: numbers('subscriptions', given.subscriptions, DEFAULTS.subscriptions, []),
    limits: numbers('limits', given.limits, DEFAULTS.limits, UNLIMITED_AT_0),
    countable: given.countable ?? countsByType,
    events,
    notifications,
    trustProxy: given.trustProxy ?? false,
  };
}

function countsByType({ type }: BoxEventBase): boolean {
  return !Object.hasOwn(EVENT_TYPES, type) || EVENT_TYPES[type as BoxEventType].unread;
}

function numbers<T extends Record<string, number>>(
  name: string,
  given: { readonly [K in keyof T]?: number } | undefined,
  defaults: Readonly<T>,
  unlimitedAt0: readonly (keyof T)[],
): T {
  const values: Record<string, unknown> = checkKeys(name, given === undefined ? {} : given, Object.keys(defaults));
  const resolved = Object.entries(defaults).map(([key, fallback]) => [
    key,
    wholeNumber(`${name}.${key}`, values[key], fallback, unlimitedAt0.includes(key) ? 0 : 1),
  ]);
  return Object.freeze(Object.fromEntries(resolved));
}

function checkPath(path: unknown): string {
  const rule = 'a path with one ":id" segment and no query, such as "/box-users/:id"';
  if (typeof path !== 'string' || !/^(?:\/[\w.~%-]+)*\/:id(?:\/[\w.~%-]+)*$/.test(path))
    wrongOption('path', rule, path);
  return path;
}

function checkAllowedOrigins(origins: unknown): void {
  if (origins === undefined || origins === '*' || typeof origins === 'function') return;
  const rule = `'*', a function, or a list of origins such as ["https://app.example"]`;
  if (!Array.isArray(origins)) wrongOption('allowedOrigins', rule, origins);
  for (const origin of origins) {
    if (typeof origin !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/i.test(origin))
      wrongOption('allowedOrigins', rule, origin);
  }
}

function checkTrustProxy(trust: unknown): void {
  if (trust === undefined || trust === false) return;
  if (typeof trust === 'number' && Number.isSafeInteger(trust) && trust >= 0) return;
  if (Array.isArray(trust) && trust.every((entry) => typeof entry === 'string')) return;
  wrongOption('trustProxy', 'false, the number of proxies, or a list of their addresses and CIDR ranges', trust);
}
