// The gate on a host's server: `server.emit` is wrapped, so that what is ours never reaches the host's listeners, and
// theirs never reaches us, in any order of registration. Taking the gate out leaves the server as it was.

import { Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { UsercastError } from '../errors.ts';
import { Refusal } from '../protocol/refusals.ts';
import { refuseUpgrade } from './refuse.ts';
import { sentUrlOf } from './token.ts';

/** Decides, for one instance, what passes the gate. Its methods never throw. */
export interface Gatekeeper {
  /** True when the upgrade is ours and taken; then nobody else sees it. */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** True when the request is ours and taken. `isContinueDue`: the client waits for a 100 before it sends its body. */
  request(req: IncomingMessage, res: ServerResponse, isContinueDue: boolean): boolean;
}

type Emit = (this: HttpServer, ...args: unknown[]) => boolean;

/** What a gate's `emit` carries, for other gates: of this copy of the package or another. */
interface GateState {
  readonly isOpen: () => boolean;
  /** Takes this gate's `emit` off the server. */
  readonly remove: () => void;
}

// Registered symbols, for several copies of the package may sit on one server.
const GATE = Symbol.for('usercast.gate');
const UPGRADE_LISTENER = Symbol.for('usercast.upgradeListener');

/** Puts a gate on the server. The function that it returns takes it out again. */
export function putGate(server: HttpServer, keeper: Gatekeeper): () => void {
  const before = Object.getOwnPropertyDescriptor(server, 'emit');
  const inner = server.emit as Emit;
  let isOpen = true;

  const emit: Emit = function emit(...args) {
    if (isOpen && take(keeper, args)) return true;
    return Reflect.apply(inner, this, args);
  };
  const state: GateState = {
    isOpen: () => isOpen,
    remove: () => {
      if (before) Object.defineProperty(server, 'emit', before);
      else Reflect.deleteProperty(server, 'emit');
    },
  };
  const listener = upgradeListener(server, keeper);

  const value = Object.assign(emit, { [GATE]: state });
  Object.defineProperty(server, 'emit', { value, writable: true, enumerable: true, configurable: true });
  // Node asks for an upgrade's listener before it emits the event.
  server.on('upgrade', listener);
  return () => {
    if (!isOpen) return;
    isOpen = false;
    server.off('upgrade', listener);
    removeClosedGates(server);
  };
}

function take(keeper: Gatekeeper, [event, req, other, head]: unknown[]): boolean {
  switch (event) {
    case 'upgrade':
      return keeper.upgrade(req as IncomingMessage, other as Duplex, head as Buffer);
    case 'request':
    case 'checkExpectation':
      return keeper.request(req as IncomingMessage, other as ServerResponse, false);
    case 'checkContinue':
      return keeper.request(req as IncomingMessage, other as ServerResponse, true);
    default:
      return false;
  }
}

/** The real listener: gets what no gate took. It answers only where nobody else would. */
function upgradeListener(server: HttpServer, keeper: Gatekeeper) {
  const listener = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Somebody may call the emit of the prototype, past the gate.
    if (keeper.upgrade(req, socket, head)) return;
    const listeners = server.listeners('upgrade');
    if (listeners[0] !== listener || !listeners.every((other) => UPGRADE_LISTENER in other)) return;
    if (req.headers.upgrade?.toLowerCase() !== 'websocket') {
      serveAsRequest(server, req, socket, head);
      return;
    }
    socket.on('error', () => {});
    refuseUpgrade(socket, new Refusal('not_found', 'nothing to upgrade to at this path'), 'GET');
  };
  return Object.assign(listener, { [UPGRADE_LISTENER]: true });
}

/**
 * Some HTTP clients ask with each request whether the server would rather speak `h2c`. Without an upgrade listener Node
 * answers them as if they did not ask; ours must not change that, so the request goes in again without the question.
 * @see RFC 9110 section 7.8
 */
function serveAsRequest(server: HttpServer, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { rawHeaders } = req;
  const lines = [`${req.method} ${sentUrlOf(req)} HTTP/${req.httpVersion}`];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit(server instanceof HttpsServer ? 'secureConnection' : 'connection', socket);
}

/** A gate that something else was wrapped around stays as a pass-through, until that is gone as well. */
function removeClosedGates(server: HttpServer): void {
  for (;;) {
    const state = (server.emit as { [GATE]?: GateState })[GATE];
    if (state === undefined || state.isOpen() || !Object.hasOwn(server, 'emit')) return;
    state.remove();
  }
}

/** What people hand over in place of a server, and what they have at hand. */
const MISTAKEN: readonly {
  readonly is: (value: Readonly<Record<string, unknown>>, isFunction: boolean) => boolean;
  readonly what: string;
  readonly pass: string;
}[] = [
  {
    is: (value, isFunction) => isFunction && 'listen' in value,
    what: 'an Express app',
    pass: 'http.createServer(app), or what app.listen() returned',
  },
  {
    is: (value) => typeof value.callback === 'function',
    what: 'a Koa app',
    pass: 'http.createServer(app.callback()), or what app.listen() returned',
  },
  { is: (value) => isServer(value.server), what: 'an app with a server in it, such as Fastify', pass: 'app.server' },
  { is: (value) => typeof value.getHttpServer === 'function', what: 'a Nest app', pass: 'app.getHttpServer()' },
  { is: (value) => typeof value.then === 'function', what: 'a promise', pass: 'what it resolves to' },
];

function isServer(value: unknown): boolean {
  return value instanceof HttpServer || value instanceof HttpsServer;
}

/** @throws UsercastError `invalid_server` for anything but an `http.Server` or `https.Server`, saying what to pass. */
export function checkServer(server: unknown): asserts server is HttpServer {
  if (isServer(server)) return;
  const isObject = (typeof server === 'object' && server !== null) || typeof server === 'function';
  const value = server as Readonly<Record<string, unknown>>;
  const mistaken = isObject && MISTAKEN.find(({ is }) => is(value, typeof server === 'function'));
  throw new UsercastError(
    'invalid_server',
    mistaken
      ? `attach needs an http.Server or https.Server and got ${mistaken.what}: pass ${mistaken.pass}`
      : 'attach needs an http.Server or https.Server: pass what http.createServer() or app.listen() returned',
  );
}
