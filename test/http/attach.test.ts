import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { fakeDoor, tokenFor } from '../support/fake-engine.ts';
import {
  eventually,
  listen,
  RawClient,
  shut,
  socketsOf,
  TLS_SERVER_OPTIONS,
  upgradeText,
} from '../support/raw-client.ts';

const ADA = `/box-users/ada/ws?access_token=${tokenFor('ada')}`;
const servers: Server[] = [];

function made(server: Server): Server {
  servers.push(server);
  return server;
}

afterEach(async () => {
  for (const server of servers.splice(0)) await shut(server);
});

async function statusOf(port: number, text: string, tls = false): Promise<number> {
  const client = new RawClient(port, { tls }).send(text);
  const { status } = await client.response();
  client.socket.destroy();
  return status;
}

/** A foreign listener that answers upgrades on its own path alone. */
function chat(req: IncomingMessage, socket: Duplex): void {
  if (req.url === '/chat') socket.end('HTTP/1.1 418 Chat\r\n\r\n');
}

describe('attach', () => {
  it.each([
    ['an http.Server', () => createServer(), false],
    ['an https.Server', () => createTlsServer(TLS_SERVER_OPTIONS), true],
  ])('takes %s, before or after it listens', async (_what, make, tls) => {
    for (const late of [false, true]) {
      const server = made(make());
      const { engine, door } = fakeDoor();
      if (!late) door.attach(server);
      const port = await listen(server);
      if (late) door.attach(server);
      expect(await statusOf(port, upgradeText(ADA), tls)).toBe(101);
      expect(await statusOf(port, upgradeText('/elsewhere'), tls)).toBe(404);
      await eventually('the session ends', () => engine.live === 0);
    }
  });

  it('serves several servers, and takes each once', async () => {
    const { door } = fakeDoor();
    const [one, two] = [made(createServer()), made(createServer())];
    door.attach(one);
    const detach = door.attach(two);
    expect(() => door.attach(two)).toThrow(expect.objectContaining({ code: 'invalid_server' }));
    for (const server of [one, two]) expect(await statusOf(await listen(server), upgradeText(ADA))).toBe(101);
    detach();
    const again = door.attach(two);
    detach();
    expect(() => door.attach(two)).toThrow(expect.objectContaining({ code: 'invalid_server' }));
    again();
  });

  it.each([
    ['an Express app', Object.assign(() => {}, { listen: () => {}, handle: () => {} }), 'http.createServer(app)'],
    ['a Koa app', { callback: () => {}, listen: () => {} }, 'http.createServer(app.callback())'],
    ['a Fastify app', { server: createServer(), listen: () => {} }, 'app.server'],
    ['a Nest app', { getHttpServer: () => {} }, 'app.getHttpServer()'],
    ['a promise', Promise.resolve(), 'what it resolves to'],
    ['a function', () => {}, 'http.createServer()'],
    ['nothing', undefined, 'http.createServer()'],
    ['null', null, 'http.createServer()'],
    ['a port', 3000, 'http.createServer()'],
  ])('given %s throws and says what to pass', (_what, value, hint) => {
    const attach = () => fakeDoor().door.attach(value as unknown as Server);
    expect(attach).toThrow(expect.objectContaining({ code: 'invalid_server', message: expect.stringContaining(hint) }));
  });

  it('without a verifier throws and says what to do, and so does a request of ours', async () => {
    const { door } = fakeDoor({ verifier: null });
    const server = made(createServer());
    const missing = expect.objectContaining({
      code: 'verifier_missing',
      message: expect.stringContaining('jwtVerifier'),
    });
    expect(() => door.attach(server)).toThrow(missing);
    expect(Object.hasOwn(server, 'emit')).toBe(false);
    const requests: unknown[] = [];
    server.on('request', (req, res) => {
      try {
        requests.push(door.handleRequest(req, res));
      } catch (error) {
        requests.push(error);
      }
      res.end();
    });
    const port = await listen(server);
    await fetch(`http://127.0.0.1:${port}/box-users/ada/counts`);
    await fetch(`http://127.0.0.1:${port}/`);
    expect(requests).toEqual([missing, false]);
  });
});

describe('an attached server', () => {
  it.each([
    ['before', true],
    ['after', false],
  ])('leaves foreign upgrades to a listener added %s us', async (_when, first) => {
    const server = made(createServer());
    if (first) server.on('upgrade', chat);
    fakeDoor().door.attach(server);
    if (!first) server.on('upgrade', chat);
    const port = await listen(server);
    expect(await statusOf(port, upgradeText('/chat'))).toBe(418);
    expect(await statusOf(port, upgradeText(ADA))).toBe(101);
    const unanswered = new RawClient(port).send(upgradeText('/other'));
    await once(server, 'upgrade');
    unanswered.socket.destroy();
    expect(unanswered.received).toHaveLength(0);
  });

  it('leaves upgrades on its HTTP endpoints, and on what is not its own under path, to the host', async () => {
    const server = made(createServer());
    fakeDoor().door.attach(server);
    const port = await listen(server);
    for (const path of ['counts', 'ack', 'sse', 'messages', 'ws/deeper']) {
      expect(await statusOf(port, upgradeText(`/box-users/ada/${path}`)), path).toBe(404);
    }
    const urls: unknown[] = [];
    server.on('upgrade', (req, socket) => {
      urls.push(req.url);
      socket.end('HTTP/1.1 418 Host\r\n\r\n');
    });
    expect(await statusOf(port, upgradeText('/box-users/ada/counts?access_token=secret&a'))).toBe(418);
    expect(urls).toEqual(['/box-users/ada/counts?a']);
  });

  it('answers a foreign upgrade once, and ends its socket, where several usercasts are the only listeners', async () => {
    const server = made(createServer());
    for (const path of ['/one/:id', '/two/:id']) fakeDoor({ path }).door.attach(server);
    const port = await listen(server);
    const client = new RawClient(port).send(upgradeText('/three/ada/ws'));
    await client.closed;
    expect(client.received.toString().match(/HTTP\/1\.1 404/g)).toHaveLength(1);
    for (const path of ['one', 'two']) {
      expect(await statusOf(port, upgradeText(`/${path}/ada/ws?access_token=${tokenFor('ada')}`))).toBe(101);
    }
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
  });

  it.each([
    ['http', () => createServer(), false],
    ['https', () => createTlsServer(TLS_SERVER_OPTIONS), true],
  ])('answers requests over %s that offer another protocol as it did without us', async (_scheme, make, tls) => {
    const server = made(make());
    const { door } = fakeDoor();
    server.on('request', async (req, res) => {
      if (door.handleRequest(req, res)) return;
      let length = 0;
      for await (const chunk of req) length += chunk.length;
      res.end(`${req.method} ${req.url} ${length}`);
    });
    door.attach(server);
    const client = new RawClient(await listen(server), { tls });
    const offer = 'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n';
    client.send(`GET /a HTTP/1.1\r\n${offer}\r\n`);
    await eventually('the first answer', () => client.received.includes('GET /a 0'));
    client
      .send(`POST /b?access_token=x HTTP/1.1\r\n${offer}Content-Length: 300000\r\n\r\n`)
      .send(Buffer.alloc(300_000));
    await eventually('the second answer', () => client.received.includes('POST /b?access_token=x 300000'));
    client.send(`GET /box-users/ada/counts?access_token=${tokenFor('ada')} HTTP/1.1\r\n${offer}\r\n`);
    await eventually('the counts', () => client.received.includes('box-of-ada'));
    client.socket.end();
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
  });

  it('takes the token out of the URL before anything of the host sees it', async () => {
    const seen: (string | undefined)[] = [];
    const server = made(createServer());
    const note = (req: IncomingMessage) => void seen.push(req.url);
    server.on('request', note);
    const { door } = fakeDoor();
    door.attach(server);
    server.prependListener('request', note);
    server.on('request', (req, res) => void (door.handleRequest(req, res) || res.end('host')));
    const origin = `http://127.0.0.1:${await listen(server)}`;
    const url = `${origin}/box-users/ada/counts?a=%20&access_token=${tokenFor('ada')}&access%5Ftoken=y`;
    expect((await fetch(url)).status).toBe(200);
    expect(seen).toEqual(['/box-users/ada/counts?a=%20', '/box-users/ada/counts?a=%20']);
    expect(await (await fetch(`${origin}/else?access_token=mine`)).text()).toBe('host');
    expect(seen[2]).toBe('/else?access_token=mine');
  });

  it.each(['checkContinue', 'checkExpectation'])('takes it out for %s listeners too', async (event) => {
    const server = made(createServer());
    const { door } = fakeDoor();
    door.attach(server);
    let seen: string | undefined;
    server.on(event, (req, res) => {
      seen = req.url;
      res.end();
    });
    const expects = event === 'checkContinue' ? '100-continue' : 'tea';
    const port = await listen(server);
    await statusOf(port, `POST /box-users/ada/ack?access_token=x HTTP/1.1\r\nHost: x\r\nExpect: ${expects}\r\n\r\n`);
    expect(seen).toBe('/box-users/ada/ack');
  });

  it('serves HTTP itself with { http: true }, unseen by the host', async () => {
    const server = made(createServer((_req, res) => void res.end('host')));
    fakeDoor().door.attach(server, { http: true });
    const origin = `http://127.0.0.1:${await listen(server)}`;
    const counts = await fetch(`${origin}/box-users/ada/counts?access_token=${tokenFor('ada')}`);
    expect(await counts.json()).toEqual({ counts: { 'box-of-ada': 2 }, cursor: 'cursor' });
    expect((await fetch(`${origin}/box-users/ada/ws`)).status).toBe(426);
    expect(await (await fetch(`${origin}/box-users/ada/events`)).text()).toBe('host');
  });

  it('asks with { http: true } for a body that waits for it, where the host listens for such requests', async () => {
    const server = made(createServer());
    server.on('checkContinue', (_req, res) => void res.end('host'));
    const { engine, door } = fakeDoor();
    door.attach(server, { http: true });
    const headers = {
      authorization: `Bearer ${tokenFor('ada')}`,
      'content-type': 'application/json',
      expect: '100-continue',
    };
    const post = request({ port: await listen(server), path: '/box-users/ada/ack', method: 'POST', headers });
    post.flushHeaders();
    await once(post, 'continue');
    post.end(JSON.stringify({ sender_id: 'ada', box_id: 'b' }));
    const [response] = await once(post, 'response');
    expect(response.statusCode).toBe(204);
    response.resume();
    expect(engine.acked).toEqual([{ userId: 'ada', boxId: 'b' }]);
  });

  it('serves its upgrades also when somebody emits them past the gate', async () => {
    const server = made(createServer());
    fakeDoor().door.attach(server);
    const prototypeEmit = Object.getPrototypeOf(server).emit;
    server.emit = ((...args: unknown[]) => prototypeEmit.apply(server, args)) as Server['emit'];
    expect(await statusOf(await listen(server), upgradeText(ADA))).toBe(101);
  });
});

describe('detach', () => {
  function stateOf(server: Server): unknown[] {
    const own = Object.getOwnPropertyDescriptor(server, 'emit');
    return [own, server.emit, server.eventNames(), server.listeners('upgrade'), server.listeners('request')];
  }

  it('leaves the server exactly as it was', () => {
    for (const own of [false, true]) {
      const server = createServer();
      server.on('upgrade', chat);
      if (own) Object.defineProperty(server, 'emit', { value: server.emit.bind(server), configurable: true });
      const before = stateOf(server);
      const detach = fakeDoor().door.attach(server);
      detach();
      detach();
      expect(stateOf(server)).toEqual(before);
    }
  });

  it.each([
    ['in order', [0, 1, 2]],
    ['in reverse', [2, 1, 0]],
    ['from the middle', [1, 0, 2]],
  ])('of several usercasts %s leaves it as it was', (_how, order) => {
    const server = createServer();
    const before = stateOf(server);
    const detach = ['/a/:id', '/b/:id', '/c/:id'].map((path) => fakeDoor({ path }).door.attach(server));
    for (const which of order) detach[which]!();
    expect(stateOf(server)).toEqual(before);
  });

  it('goes out of the way of an emit that was wrapped around it', async () => {
    const server = made(createServer((_req, res) => void res.end('host')));
    const { door } = fakeDoor();
    const detach = door.attach(server, { http: true });
    const ours = server.emit;
    const events: unknown[] = [];
    const theirs = function (this: Server, ...args: unknown[]) {
      events.push(args[0]);
      return Reflect.apply(ours, this, args);
    } as Server['emit'];
    server.emit = theirs;
    detach();
    expect(server.emit).toBe(theirs);
    expect(server.listenerCount('upgrade')).toBe(0);
    const origin = `http://127.0.0.1:${await listen(server)}`;
    expect(await (await fetch(`${origin}/box-users/ada/counts`)).text()).toBe('host');
    expect(events).toContain('request');
  });

  it('leaves open sessions alone', async () => {
    const server = made(createServer());
    const { engine, door } = fakeDoor();
    const detach = door.attach(server);
    const client = new RawClient(await listen(server)).send(upgradeText(ADA));
    await client.response();
    detach();
    expect(engine.live).toBe(1);
    client.socket.destroy();
    await eventually('the session ends', () => engine.live === 0);
  });
});
