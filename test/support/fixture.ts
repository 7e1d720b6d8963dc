// A usercast on a real http server, and clients of it: what the behaviour tests are made of.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { UsercastEvents, UsercastOptions } from 'usercast';
import { createUsercast, type Identity, type TokenVerifier, type Usercast, UsercastError } from 'usercast';
import { type ClientOptions, WebSocket } from 'ws';
import type { SessionReady } from '../../src/protocol/session-messages.ts';
import { eventually } from './raw-client.ts';
import { type V1Message, V1Reader } from './v1-reader.ts';

const WITHIN_MS = 10_000;

const identities = new Map<string, Identity>();
let tokens = 0;

/** A new token that `testVerifier` takes for this user. */
export function tokenFor(userId: string, identity: Partial<Identity> = {}): string {
  const token = `token.of.${encodeURIComponent(userId)}.${++tokens}.${Math.random().toString(36).slice(2)}`;
  identities.set(token, { userId, ...identity });
  return token;
}

const lives = new Map<string, number>();

/** A new token that ends so long after a server first looks at it: however busy the machine is, it is good at first. */
export function shortTokenFor(userId: string, lifeMs: number): string {
  const token = tokenFor(userId);
  lives.set(token, lifeMs);
  return token;
}

/** When the token ends; for one of `shortTokenFor`, known once a server has looked at it. */
export function endOf(token: string): number {
  return identities.get(token)?.expiresAt ?? Number.NaN;
}

/** Takes the tokens of `tokenFor` and `shortTokenFor`. */
export const testVerifier: TokenVerifier = {
  async verify(token) {
    const lifeMs = lives.get(token);
    if (lives.delete(token)) identities.set(token, { ...identities.get(token)!, expiresAt: Date.now() + lifeMs! });
    const identity = identities.get(token);
    if (!identity) throw new UsercastError('token_invalid', 'no such token');
    return identity;
  },
};

type EventName = keyof UsercastEvents;

/** Everything that a usercast told. */
export type Told = { readonly [K in EventName]: { readonly name: K; readonly event: UsercastEvents[K] } }[EventName];

const EVENT_NAMES = [
  'connect',
  'disconnect',
  'ack',
  'publish',
  'slow',
  'reset',
  'refuse',
  'error',
] as const satisfies readonly EventName[];

/** A usercast, served. */
export class Site {
  readonly usercast: Usercast;
  readonly server: Server;
  readonly port: number;
  readonly told: Told[] = [];

  constructor(usercast: Usercast, server: Server) {
    this.usercast = usercast;
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    for (const name of EVENT_NAMES) usercast.on(name, (event) => this.told.push({ name, event } as Told));
  }

  /** The events of one name so far. */
  events<K extends EventName>(name: K): UsercastEvents[K][] {
    return this.told.filter((one) => one.name === name).map((one) => one.event as UsercastEvents[K]);
  }

  /** The first event of this name, now or soon. */
  async event<K extends EventName>(name: K, withinMs = WITHIN_MS): Promise<UsercastEvents[K]> {
    await eventually(`a ${name} event`, () => this.events(name).length > 0, withinMs);
    return this.events(name)[0]!;
  }
}

const sites: Site[] = [];
const clients: TestClient[] = [];

/** Serves a usercast on a free port. The verifier is `testVerifier` unless `options` has one. */
export async function listen(options: UsercastOptions = {}): Promise<Site> {
  const server = createServer((_req, res) => res.writeHead(404).end());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const usercast = createUsercast({ verifier: testVerifier, ...options });
  usercast.attach(server, { http: true });
  const site = new Site(usercast, server);
  sites.push(site);
  return site;
}

/** For `afterEach`: ends all clients and sites of the test. */
export async function cleanUp(): Promise<void> {
  for (const client of clients.splice(0)) client.ws.terminate();
  for (const { usercast, server } of sites.splice(0)) {
    await usercast.close();
    server.closeAllConnections();
    server.close();
  }
}

export interface ConnectOptions {
  readonly userId: string;
  /** Default: a new one of the user's. */
  readonly token?: string;
  readonly protocols?: readonly string[];
  /** The cursor to go on from. */
  readonly cursor?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly ws?: ClientOptions;
}

/** A handshake that was answered with something else than 101. */
export class Refused extends Error {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly problem: { readonly title?: string; readonly detail?: string };

  constructor(response: IncomingMessage, body: string) {
    super(`refused with ${response.statusCode}`);
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.problem = body === '' ? {} : JSON.parse(body);
  }
}

/** A WebSocket client that keeps what comes. */
export class TestClient {
  readonly ws: WebSocket;
  /** Every message as it came, oldest first. */
  readonly messages: string[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  #read = 0;

  constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on('message', (data, isBinary) => this.messages.push(isBinary ? `binary: ${data}` : String(data)));
    ws.on('error', () => {});
    this.closed = new Promise((resolve) => {
      ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** The next message that was not asked for yet, parsed. */
  async next(withinMs = WITHIN_MS): Promise<{ type: string; object: Record<string, unknown> }> {
    return JSON.parse(await this.nextText(withinMs));
  }

  async nextText(withinMs = WITHIN_MS): Promise<string> {
    await eventually('a message', () => this.messages.length > this.#read, withinMs);
    return this.messages[this.#read++]!;
  }

  send(type: string, object: unknown): void {
    this.ws.send(JSON.stringify({ type, object }));
  }

  /** What stands under `key` in the object of each message so far. */
  all(key: string): unknown[] {
    return this.messages.map((text) => JSON.parse(text).object[key]);
  }
}

/** Resolves when the connection is open. @throws Refused */
export async function connectClient(site: { readonly port: number }, options: ConnectOptions): Promise<TestClient> {
  return connect(site, options, (ws) => new TestClient(ws));
}

async function connect<C extends TestClient>(
  site: { readonly port: number },
  options: ConnectOptions,
  clientOf: (ws: WebSocket) => C,
): Promise<C> {
  const { userId, token = tokenFor(userId), protocols = [], headers = {}, cursor } = options;
  const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
  const url = `ws://127.0.0.1:${site.port}/box-users/${encodeURIComponent(userId)}/ws${query}`;
  const ws = new WebSocket(url, [...protocols], {
    headers: { Authorization: `Bearer ${token}`, ...headers },
    ...options.ws,
  });
  const client = clientOf(ws);
  clients.push(client);
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve);
    ws.once('error', reject);
    ws.once('unexpected-response', async (_request, response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      reject(new Refused(response, body));
    });
  });
  return client;
}

/** A client on `usercast.v1`; what it has read so far is in `reader`. */
export class V1Client extends TestClient {
  readonly reader = new V1Reader();

  constructor(ws: WebSocket) {
    super(ws);
    ws.on('message', (data) => this.reader.take(String(data)));
  }

  /** The first message. */
  async ready(withinMs = WITHIN_MS): Promise<SessionReady> {
    await eventually('session.ready', () => this.reader.ready !== null, withinMs);
    return this.reader.ready!;
  }

  /** The first message of this type that is not stored, now or soon. */
  async told(type: string, withinMs = WITHIN_MS): Promise<V1Message['object']> {
    await eventually(type, () => this.reader.told(type).length > 0, withinMs);
    return this.reader.told(type)[0]!.object;
  }

  /** Resolves when so many stored messages have come. */
  async read(count: number, withinMs = WITHIN_MS): Promise<void> {
    await eventually(`${count} messages`, () => this.reader.stored.length >= count, withinMs);
  }
}

/** Resolves when the connection is open. @throws Refused */
export async function connectV1(site: { readonly port: number }, options: ConnectOptions): Promise<V1Client> {
  return connect(site, { protocols: ['usercast.v1'], ...options }, (ws) => new V1Client(ws));
}

let events = 0;

/** A box event that is right. */
export function textEvent(changes: { readonly [key: string]: unknown } = {}) {
  return {
    id: `event-${++events}`,
    type: 'msg.text' as const,
    box_id: 'box-1',
    server_event_created_at: '2026-11-20T10:11:12.345Z',
    sender: {
      id: 'sender-1',
      display_name: 'Sender',
      avatar_url: null,
      identifier_value: '',
      identifier_kind: 'email',
    },
    content: { encrypted: 'b64:AAAA', public_key: 'key' },
    ...changes,
  };
}
