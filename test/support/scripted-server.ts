// A server that speaks `usercast.v1` as a test tells it to, over every transport: for what a client does when a server
// closes, refuses, stalls or comes back.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { encodeEvent, encodeRetry } from '../../src/protocol/event-stream.ts';
import { eventually } from './raw-client.ts';

/** A message as clients get and send it. */
export interface ScriptedMessage {
  readonly type: string;
  readonly object: Record<string, unknown>;
  readonly cursor?: string;
  readonly unread?: boolean;
}

/** A request as the server saw it. */
export interface SeenRequest {
  readonly endpoint: string;
  readonly method: string;
  readonly cursor: string | null;
  readonly token: string | undefined;
  readonly url: string;
  readonly body: string;
}

/** What `session.ready` says; the rest has defaults. */
export interface ReadyPart {
  readonly resumed?: boolean;
  readonly reset?: string;
  readonly cursor?: string;
  readonly head?: string;
  readonly counts?: Record<string, number>;
  readonly ping_ms?: number;
}

/** One connection of a client, over WebSocket or SSE. */
export class ScriptedSession {
  readonly request: SeenRequest;
  readonly received: ScriptedMessage[] = [];
  /** How the client closed it. */
  closed: number | null = null;
  readonly #pipe: WebSocket | ServerResponse;

  constructor(request: SeenRequest, pipe: WebSocket | ServerResponse) {
    this.request = request;
    this.#pipe = pipe;
    if ('readyState' in pipe) {
      pipe.on('message', (data) => this.received.push(JSON.parse(String(data))));
      pipe.on('close', (code) => {
        this.closed = code;
      });
    } else {
      pipe.on('close', () => {
        this.closed = 1006;
      });
    }
  }

  get isWebSocket(): boolean {
    return 'readyState' in this.#pipe;
  }

  /** Sends `session.ready`; by default resumed where a cursor was presented, and with nothing to replay. */
  ready(part: ReadyPart = {}): this {
    const cursor = part.cursor ?? this.request.cursor ?? 'c0';
    const defaults = { session_id: 's', resumed: this.request.cursor !== null, cursor, head: cursor, counts: {} };
    return this.send({
      type: 'session.ready',
      object: { ...defaults, ping_ms: 25_000, expires_at: null, ...part },
    });
  }

  /** Sends a message of the stream. */
  message(cursor: string, object: Record<string, unknown> = {}, unread = false, type = 'event.new'): this {
    return this.send({ type, object, cursor, ...(unread && { unread }) });
  }

  send(message: ScriptedMessage): this {
    const { cursor, ...rest } = message;
    if ('readyState' in this.#pipe) this.text(JSON.stringify(message));
    else this.text(encodeEvent(JSON.stringify(rest), cursor));
    return this;
  }

  /** Sends what no server would. */
  text(text: string): void {
    if ('readyState' in this.#pipe) this.#pipe.send(text);
    else this.#pipe.write(text);
  }

  /** Asks to be left alone for so long after a drop. */
  retry(delayMs: number): void {
    this.text(encodeRetry(delayMs));
  }

  /** Closes; an event stream has no code. */
  close(code = 1012, reason = ''): void {
    if ('readyState' in this.#pipe) this.#pipe.close(code, reason);
    else this.#pipe.end();
  }

  /** Cuts the wire. */
  cut(): void {
    if ('readyState' in this.#pipe) this.#pipe.terminate();
    else this.#pipe.destroy();
  }

  /** The next message of this type that the client sent. */
  async next(type: string): Promise<ScriptedMessage> {
    await eventually(`the client sends ${type}`, () => this.received.some((message) => message.type === type));
    const index = this.received.findIndex((message) => message.type === type);
    return this.received.splice(index, 1)[0]!;
  }
}

/** Answers an HTTP request with JSON, or with a problem where the status is one. */
export function answer(res: ServerResponse, status: number, body: unknown = {}, headers = {}): void {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  res.writeHead(status, { 'Content-Type': type, ...headers }).end(status === 204 ? undefined : JSON.stringify(body));
}

type HttpHandler = (res: ServerResponse, request: SeenRequest) => void;

export class ScriptedServer {
  readonly requests: SeenRequest[] = [];
  /** What an upgrade gets instead of a session: a closed socket, a status, or a close code after the 101. */
  websocket: 'accept' | 'destroy' | 'ignore' | number = 'accept';
  /** What HTTP endpoints answer; without one, `sse` is a session and the rest is 404. */
  readonly http: Record<string, HttpHandler> = {};
  readonly #sessions: ScriptedSession[] = [];
  readonly #all: ScriptedSession[] = [];
  readonly #sockets = new Set<Duplex>();
  readonly #server = createServer((req, res) => void this.#request(req, res));
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has('usercast.v1') ? 'usercast.v1' : false),
  });

  constructor() {
    this.#server.on('upgrade', (req, socket, head) => this.#upgrade(req, socket, head));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The requests for an endpoint. */
  seen(endpoint: string): SeenRequest[] {
    return this.requests.filter((request) => request.endpoint === endpoint);
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  /** The next connection. */
  async session(): Promise<ScriptedSession> {
    await eventually('a client connects', () => this.#sessions.length > 0);
    return this.#sessions.shift()!;
  }

  /** Every connection that was accepted, in order. */
  get sessions(): readonly ScriptedSession[] {
    return this.#all;
  }

  /** Answers as the endpoints for polling do; `pages` are the answers to come, after them polls hang. */
  poll(counts: Record<string, number>, cursor: string, pages: Record<string, unknown>[]): void {
    this.http.counts = (res) => answer(res, 200, { counts, cursor });
    this.http.messages = (res) => {
      const page = pages.shift();
      if (page) answer(res, 200, page);
    };
  }

  /** Cuts the wire of every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #see(req: IncomingMessage, body: string): SeenRequest {
    const url = new URL(req.url ?? '/', 'http://server');
    const offered = /usercast\.bearer\.([\w-]+)/.exec(req.headers['sec-websocket-protocol'] ?? '')?.[1];
    const seen = {
      endpoint: url.pathname.slice(url.pathname.lastIndexOf('/') + 1),
      method: req.method ?? '',
      cursor: url.searchParams.get('cursor'),
      token: offered
        ? Buffer.from(offered, 'base64url').toString()
        : req.headers.authorization?.slice('Bearer '.length),
      url: req.url ?? '',
      body,
    };
    this.requests.push(seen);
    return seen;
  }

  #accept(session: ScriptedSession): void {
    this.#sessions.push(session);
    this.#all.push(session);
  }

  #upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const seen = this.#see(req, '');
    const how = this.websocket;
    if (how === 'destroy') socket.destroy();
    else if (how === 'accept' || (typeof how === 'number' && how >= 1000)) {
      this.#webSockets.handleUpgrade(req, socket, head, (ws) => {
        if (how === 'accept') this.#accept(new ScriptedSession(seen, ws));
        else ws.close(how);
      });
    } else if (typeof how === 'number') socket.end(`HTTP/1.1 ${how} No\r\nConnection: close\r\n\r\n`);
  }

  async #request(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of req) body += chunk;
    const seen = this.#see(req, body);
    const handler = this.http[seen.endpoint];
    if (handler) handler(res, seen);
    else if (seen.endpoint === 'sse') {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.flushHeaders();
      this.#accept(new ScriptedSession(seen, res));
    } else answer(res, 404);
  }
}
