// One server, several WebSocket libraries: each keeps its own, whoever came first.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { createClient } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { Server as SocketIo } from 'socket.io';
import { createUsercast, type TokenVerifier, type Usercast } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { tokenFor, tokenVerifier } from '../support/fake-engine.ts';
import {
  eventually,
  listen,
  RawClient,
  shut,
  socketsOf,
  TLS_CLIENT_OPTIONS,
  TLS_SERVER_OPTIONS,
  upgradeText,
} from '../support/raw-client.ts';

// The copy of graphql that graphql-ws loads; it takes no schema of another.
const { buildSchema } = createRequire(import.meta.url)('graphql') as typeof import('graphql');

/** Somebody else on the server. */
interface Peer {
  readonly register: (server: Server) => (() => unknown) | undefined;
  /** Throws when it does not work. */
  readonly check: (port: number, tls: boolean) => Promise<void>;
}

const base = (port: number, tls: boolean) => `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}`;

function open(port: number, tls: boolean, path: string, protocols: string[] = []): WebSocket {
  return new WebSocket(base(port, tls) + path, protocols, tls ? TLS_CLIENT_OPTIONS : {});
}

function answerGraphql(sockets: WebSocketServer): void {
  const schema = buildSchema('type Query { hello: String }');
  useServer({ schema, roots: { query: { hello: () => 'hello' } } }, sockets);
}

async function checkGraphql(port: number, tls: boolean): Promise<void> {
  class Client extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url, protocol, tls ? TLS_CLIENT_OPTIONS : {});
    }
  }
  const client = createClient({ url: `${base(port, tls)}/graphql`, webSocketImpl: Client, retryAttempts: 0 });
  const results = client.iterate({ query: '{ hello }' });
  expect((await results.next()).value).toEqual({ data: { hello: 'hello' } });
  await client.dispose();
}

const peers = {
  ws: {
    register: (server) => {
      const sockets = new WebSocketServer({ server, path: '/chat' });
      sockets.on('connection', (ws) => ws.on('message', (data) => ws.send(`chat ${data}`)));
      return undefined;
    },
    check: async (port, tls) => {
      const ws = open(port, tls, '/chat');
      await once(ws, 'open');
      ws.send('hi');
      expect(String((await once(ws, 'message'))[0])).toBe('chat hi');
      ws.terminate();
    },
  },
  'socket.io': {
    register: (server) => {
      const io = new SocketIo(server, { destroyUpgradeTimeout: 30 });
      return () => io.disconnectSockets(true);
    },
    check: async (port, tls) => {
      const ws = open(port, tls, '/socket.io/?EIO=4&transport=websocket');
      expect(String((await once(ws, 'message'))[0])).toMatch(/^0\{/);
      ws.send('40');
      expect(String((await once(ws, 'message'))[0])).toMatch(/^40\{/);
      ws.terminate();
    },
  },
  'graphql-ws': {
    register: (server) => {
      answerGraphql(new WebSocketServer({ server, path: '/graphql' }));
      return undefined;
    },
    check: checkGraphql,
  },
  /** A `ws` server with a path refuses every other path, so among several libraries it has to be routed to. */
  'graphql-ws, routed': {
    register: (server) => {
      const sockets = new WebSocketServer({ noServer: true });
      answerGraphql(sockets);
      server.on('upgrade', (req, socket, head) => {
        if (req.url !== '/graphql') return;
        sockets.handleUpgrade(req, socket, head, (ws) => sockets.emit('connection', ws, req));
      });
      return undefined;
    },
    check: checkGraphql,
  },
  'a listener that does nothing': {
    register: (server) => {
      server.on('upgrade', () => {});
      return undefined;
    },
    check: async () => {},
  },
} satisfies Record<string, Peer>;

type PeerName = keyof typeof peers;

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}

const US = 'usercast';
const orders = [
  ...(['ws', 'socket.io', 'graphql-ws'] as const).flatMap((peer) =>
    permutations<PeerName | typeof US>([US, peer, 'a listener that does nothing']),
  ),
  ...permutations<PeerName | typeof US>([US, 'socket.io', 'graphql-ws, routed', 'a listener that does nothing']),
];

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function make(verifier: TokenVerifier = tokenVerifier): Usercast {
  const usercast = createUsercast({ verifier });
  closers.push(() => usercast.close());
  return usercast;
}

async function checkUsercast(usercast: Usercast, port: number, tls: boolean, userId = 'ada'): Promise<void> {
  const ws = open(port, tls, `/box-users/${userId}/ws?access_token=${tokenFor(userId)}`, ['usercast.plain']);
  await once(ws, 'open');
  const message = once(ws, 'message');
  await usercast.notify(userId, 'greeting', { text: 'hi' });
  expect(JSON.parse(String((await message)[0]))).toEqual({ type: 'greeting', object: { text: 'hi' } });
  ws.terminate();
}

function host(usercast: Usercast): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    if (!usercast.handleRequest(req, res)) res.end('the host');
  };
}

describe.each([
  ['http', false],
  ['https', true],
])('over %s', (scheme, tls) => {
  // The order of registration is the same matter on both; TLS takes every fourth.
  const chosen = tls ? orders.filter((_order, index) => index % 4 === 0) : orders;

  it.each(chosen.map((order) => [order.join(', '), order] as const))(
    '%s work beside each other',
    async (_name, order) => {
      const usercast = make();
      const server: Server = tls ? createTlsServer(TLS_SERVER_OPTIONS, host(usercast)) : createServer(host(usercast));
      closers.push(() => shut(server));
      let detach = () => {};
      for (const who of order) {
        if (who === US) detach = usercast.attach(server);
        else closers.push(peers[who].register(server) ?? (() => {}));
      }
      const others = order.filter((who) => who !== US);
      const port = await listen(server);
      await checkUsercast(usercast, port, tls);
      for (const other of others) await peers[other].check(port, tls);
      if (!tls) {
        const counts = await fetch(
          `${scheme}://127.0.0.1:${port}/box-users/ada/counts?access_token=${tokenFor('ada')}`,
        );
        expect(counts.status).toBe(200);
        expect(await (await fetch(`${scheme}://127.0.0.1:${port}/`)).text()).toBe('the host');
      }
      detach();
      for (const other of others) await peers[other].check(port, tls);
      expect(Object.hasOwn(server, 'emit')).toBe(false);
    },
  );
});

describe('a slow verifier', () => {
  it.each([true, false])('keeps its sockets from libraries that end idle ones, attached first: %s', async (first) => {
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    let answer = (_identity: { userId: string }) => {};
    const usercast = make({
      verify: () =>
        new Promise((resolve) => {
          answer = resolve;
          begin();
        }),
    });
    const server = createServer();
    closers.push(() => shut(server));
    if (first) usercast.attach(server);
    closers.push(peers['socket.io'].register(server));
    if (!first) usercast.attach(server);
    const port = await listen(server);
    const ours = new RawClient(port).send(upgradeText('/box-users/ada/ws?access_token=x'));
    await begun;
    // Socket.IO ends what it does not know after its time: this one came later, so ours had longer.
    const unknown = new RawClient(port).send(upgradeText('/unknown'));
    await unknown.closed;
    answer({ userId: 'ada' });
    expect((await ours.response()).status).toBe(101);
    ours.socket.destroy();
  });
});

describe('two usercasts on one server', () => {
  it('each serve their own path, and leave it when they are detached', async () => {
    const [mine, yours] = [make(), createUsercast({ verifier: tokenVerifier, path: '/staff/:id' })];
    closers.push(() => yours.close());
    const server = createServer();
    closers.push(() => shut(server));
    const detach = mine.attach(server);
    yours.attach(server);
    const port = await listen(server);
    await checkUsercast(mine, port, false);
    const staff = new RawClient(port).send(upgradeText(`/staff/ada/ws?access_token=${tokenFor('ada')}`));
    expect((await staff.response()).status).toBe(101);
    staff.socket.destroy();
    detach();
    const late = new RawClient(port).send(upgradeText('/box-users/ada/ws'));
    expect((await late.response()).status).toBe(404);
    late.socket.destroy();
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
  });
});

describe('a foreign upgrade', () => {
  it('is a matter of the other listeners alone, where there are any', async () => {
    const usercast = make();
    const server = createServer();
    closers.push(() => shut(server));
    usercast.attach(server);
    const seen: [string | undefined, Socket][] = [];
    server.on('upgrade', (req, socket) => seen.push([req.url, socket as Socket]));
    const port = await listen(server);
    await checkUsercast(usercast, port, false);
    const target = '/box-users/ada/wss?access_token=mine';
    const client = new RawClient(port).send(upgradeText(target));
    await eventually('the host sees it', () => seen.length === 1);
    expect(seen[0]?.[0]).toBe(target);
    expect(seen[0]?.[1].bytesWritten).toBe(0);
    client.socket.destroy();
    seen[0]?.[1].destroy();
  });
});
