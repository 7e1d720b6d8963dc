// The connection to NATS: the host's own, by a structural type, or one of ours, made with the client library that the host
// has installed. Used by the link alone.

import { isCertificateError } from '../../src/tls-errors.ts';
import { SetupRefusal } from './setup-refusal.ts';

/** Headers of a message, as the client library has them. */
export interface NatsHeadersLike {
  /** The status code of a reply without content, else 0. */
  readonly code: number;
  readonly description: string;
  get(name: string): string;
  set(name: string, value: string): void;
}

/** A message, as the client library hands it on. */
export interface NatsMessageLike {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: NatsHeadersLike;
}

/** A subscription of the client library. */
export interface NatsSubscriptionLike {
  unsubscribe(): void;
}

/** What the server says of itself. */
export interface NatsServerInfo {
  readonly version: string;
  readonly max_payload: number;
  readonly jetstream?: boolean;
}

/** What is used of a `NatsConnection` of `@nats-io/transport-node` 3, or of another transport of `@nats-io/nats-core` 3. */
export interface NatsConnectionLike {
  readonly info?: NatsServerInfo | undefined;
  /** What it was made with; servers may allow answers under one prefix alone. */
  readonly options?: { readonly inboxPrefix?: string | undefined };
  publish(
    subject: string,
    payload?: Uint8Array | string,
    options?: { readonly reply?: string; readonly headers?: NatsHeadersLike },
  ): void;
  subscribe(
    subject: string,
    options?: { readonly callback?: (error: Error | null, message: NatsMessageLike) => void },
  ): NatsSubscriptionLike;
  status(): AsyncIterable<{ readonly type: string; readonly error?: Error }>;
  isClosed(): boolean;
  /** Drops the TCP connection and makes another. Only ever called on a connection of our own. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** What is used of `@nats-io/transport-node`. */
export interface NatsLibrary {
  connect(options: NatsConnectOptions): Promise<NatsConnectionLike>;
  headers(): NatsHeadersLike;
}

interface NatsConnectOptions {
  readonly servers: string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  readonly tls?: object;
  readonly name: string;
  readonly timeout: number;
  readonly pingInterval: number;
  readonly maxPingOut: number;
  readonly maxReconnectAttempts: number;
  readonly reconnectTimeWait: number;
  readonly reconnectJitter: number;
}

const RECONNECT_MS = 200;
const JITTER_MS = 300;
/** A dial that hangs keeps the other servers of the list from being tried. */
const DIAL_MS = 2_000;

/** @throws SetupRefusal that says what to install. */
export async function importNats(): Promise<NatsLibrary> {
  try {
    return await import('@nats-io/transport-node');
  } catch (cause) {
    throw new SetupRefusal('usercast/nats needs the NATS client: npm install @nats-io/transport-node', cause);
  }
}

/**
 * One try. Once it is connected, the library reconnects for ever.
 * @throws SetupRefusal where the next try would end alike; it says what to change
 */
export async function connectTo(
  library: NatsLibrary,
  servers: readonly string[],
  probeMs: number,
): Promise<NatsConnectionLike> {
  try {
    return await library.connect({
      ...takeCredentials(servers),
      // Else the library takes a server without TLS for good, and tells it the password.
      ...(servers.some((server) => server.startsWith('tls://')) && { tls: {} }),
      name: 'usercast',
      timeout: DIAL_MS,
      pingInterval: probeMs,
      maxPingOut: 2,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: JITTER_MS,
    });
  } catch (cause) {
    throw unconnected(cause);
  }
}

function unconnected(cause: unknown): unknown {
  const { name, code, message } = (cause ?? {}) as { readonly [key in 'name' | 'code' | 'message']?: unknown };
  // In its own words, for what the library hangs on its errors may be the credentials.
  const plain = new Error(String(message));
  if (name === 'AuthorizationError' || name === 'UserAuthenticationExpiredError') {
    const advice = 'change the user, password or token in servers, or pass your own connection';
    return new SetupRefusal(`NATS refused us: ${plain.message}; ${advice}`, plain);
  }
  if (isCertificateError(code)) {
    const advice = 'name its CA in NODE_EXTRA_CA_CERTS, or pass your own connection with tls';
    return new SetupRefusal(`the certificate of NATS was refused: ${plain.message}; ${advice}`, plain);
  }
  if (/ERR_SSL_/.test(String(code)) || /'tls'/.test(plain.message)) {
    const advice = 'give nats:// for a server without TLS, or pass your own connection with tls';
    return new SetupRefusal(`TLS with NATS failed: ${plain.message}; ${advice}`, plain);
  }
  return cause;
}

/** The library does not look for credentials in URLs. */
function takeCredentials(servers: readonly string[]): {
  servers: string[];
  user?: string;
  pass?: string;
  token?: string;
} {
  let credentials: { user?: string; pass?: string; token?: string } = {};
  const bare = servers.map((server) => {
    const parts = /^((?:[a-z]+:\/\/)?)(?:([^@/]*)@)?(.*)$/.exec(server);
    const userinfo = parts?.[2];
    if (userinfo === undefined) return server;
    const [user = '', ...rest] = userinfo.split(':');
    credentials =
      rest.length === 0
        ? { token: decodeURIComponent(user) }
        : { user: decodeURIComponent(user), pass: decodeURIComponent(rest.join(':')) };
    return `${parts![1]}${parts![3]}`;
  });
  return { servers: bare, ...credentials };
}
