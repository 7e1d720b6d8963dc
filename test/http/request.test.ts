import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/protocol/refusals.ts';
import { type FakeEngine, type FakeOptions, fakeDoor, tokenFor } from '../support/fake-engine.ts';
import { eventually, listen, RawClient, shut, socketsOf } from '../support/raw-client.ts';

const COUNTS = '/box-users/ada/counts';
const ACK = '/box-users/ada/ack';
const authorization = `Bearer ${tokenFor('ada')}`;
const ack = { sender_id: 'ada', box_id: 'b1' };

let server: Server;

async function serve(options: FakeOptions = {}, before: (req: IncomingMessage) => Promise<void> | void = () => {}) {
  const { engine, door } = fakeDoor(options);
  server = createServer(async (req: IncomingMessage, res: ServerResponse) => {
    await before(req);
    if (!door.handleRequest(req, res)) res.end(`the host's ${req.url}`);
  });
  const port = await listen(server);
  return { port, engine, origin: `http://127.0.0.1:${port}` };
}

afterEach(() => shut(server));

function post(origin: string, body: RequestInit['body'], headers: Record<string, string> = {}): Promise<Response> {
  const all = { authorization, 'content-type': 'application/json', ...headers };
  return fetch(`${origin}${ACK}`, { method: 'POST', body: body ?? null, headers: all });
}

async function expectRefusal(response: Response, engine: FakeEngine, status: number, code: string): Promise<string> {
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(engine.refusals).toMatchObject([{ code, status, transport: 'http' }]);
  expect(engine.acked).toEqual([]);
  return ((await response.json()) as { detail: string }).detail;
}

describe('GET counts', () => {
  it('answers with the counts and the cursor', async () => {
    const { origin } = await serve();
    const response = await fetch(`${origin}${COUNTS}`, { headers: { authorization } });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('referrer-policy')).toBe('no-referrer');
    expect(await response.json()).toEqual({ counts: { 'box-of-ada': 2 }, cursor: 'cursor' });
  });

  it('takes the token of the query, and leaves no trace of it in the request', async () => {
    const requests: IncomingMessage[] = [];
    const { origin } = await serve({}, (req) => void requests.push(req));
    const response = await fetch(`${origin}${COUNTS}?access_token=${tokenFor('ada')}&x=1`);
    expect(response.status).toBe(200);
    expect(requests[0]?.url).toBe(`${COUNTS}?x=1`);
  });

  it.each([
    ['without a token', COUNTS, {}, 401, 'token_missing'],
    ["of another's id", '/box-users/bob/counts', { authorization }, 403, 'wrong_user'],
    ['of no id', '/box-users//counts', { authorization }, 400, 'malformed_user_id'],
    ['from a foreign origin', COUNTS, { authorization, origin: 'https://evil.test' }, 403, 'origin_not_allowed'],
  ])('%s is refused', async (_what, path, headers, status, code) => {
    const { origin, engine } = await serve();
    await expectRefusal(await fetch(`${origin}${path}`, { headers }), engine, status, code);
  });

  it.each(['HEAD', 'POST', 'PUT', 'OPTIONS'])('does not take %s', async (method) => {
    const { origin, engine } = await serve();
    const response = await fetch(`${origin}${COUNTS}`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET');
    expect(engine.refusals).toMatchObject([{ code: 'method_not_allowed' }]);
  });

  it('is refused with what the engine says, and without a word of what breaks inside', async () => {
    const { origin, engine } = await serve();
    engine.step = () => {
      throw new Refusal('broker_unavailable');
    };
    const lost = await fetch(`${origin}${COUNTS}`, { headers: { authorization } });
    expect([lost.status, lost.headers.get('retry-after')]).toEqual([503, '5']);
    engine.step = () => {
      throw new Error('the inside');
    };
    const broken = await fetch(`${origin}${COUNTS}`, { headers: { authorization } });
    expect(broken.status).toBe(503);
    expect(await broken.text()).not.toContain('inside');
    expect(engine.failures).toEqual([{ stage: 'connection', cause: new Error('the inside') }]);
  });

  it('is refused while draining', async () => {
    const { origin, engine } = await serve();
    engine.isDraining = true;
    await expectRefusal(await fetch(`${origin}${COUNTS}`), engine, 503, 'restarting');
  });

  it('is refused after handshakeTimeoutMs, and the late answer goes nowhere', async () => {
    const { origin, engine } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const release = engine.hold();
    const response = await fetch(`${origin}${COUNTS}`, { headers: { authorization } });
    await expectRefusal(response, engine, 503, 'broker_unavailable');
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(engine.failures).toEqual([]);
  });

  it('lets a client leave before its answer', async () => {
    const { port, engine } = await serve();
    const release = engine.hold();
    const client = new RawClient(port);
    client.send(`GET ${COUNTS} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`);
    await eventually('the request is in the engine', () => engine.isHeld);
    client.socket.resetAndDestroy();
    await eventually('the socket is gone', async () => (await socketsOf(server)) === 0);
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([engine.failures, engine.refusals]).toEqual([[], []]);
  });
});

describe('GET ws without an upgrade', () => {
  it('asks for one', async () => {
    const { origin, engine } = await serve();
    const response = await fetch(`${origin}/box-users/ada/ws`, { headers: { authorization } });
    expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket']);
    expect(engine.refusals).toMatchObject([{ code: 'upgrade_required' }]);
    expect((await fetch(`${origin}/box-users/ada/ws`, { method: 'POST' })).headers.get('allow')).toBe('GET');
  });
});

describe('POST ack', () => {
  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON ;x=y'])(
    'takes %s',
    async (type) => {
      const { origin, engine } = await serve();
      const response = await post(origin, JSON.stringify(ack), { 'content-type': type });
      expect(response.status).toBe(204);
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(engine.acked).toEqual([{ userId: 'ada', boxId: 'b1' }]);
    },
  );

  it('takes a body that comes in pieces', async () => {
    const { port, engine } = await serve();
    const client = new RawClient(port);
    const body = JSON.stringify({ ...ack, box_id: 'é' });
    client.send(`POST ${ACK} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nTransfer-Encoding: chunked\r\n`);
    client.send('Content-Type: application/json\r\n\r\n');
    for (const byte of Buffer.from(body))
      client.send(Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte, 13, 10])]));
    client.send('0\r\n\r\n');
    expect((await client.response()).status).toBe(204);
    expect(engine.acked).toEqual([{ userId: 'ada', boxId: 'é' }]);
    client.socket.destroy();
  });

  it.each([
    ['no JSON', 'nonsense', /JSON/],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), /JSON/],
    ['nothing', '', /JSON/],
    ['null', 'null', /object/],
    ['an array', '[]', /object/],
    ['no box', JSON.stringify({ sender_id: 'ada' }), /box_id/],
    ['a wrong box', JSON.stringify({ ...ack, box_id: 7 }), /box_id/],
    ['an empty box', JSON.stringify({ ...ack, box_id: '' }), /box_id/],
  ])('refuses %s and says what is wrong', async (_what, body, detail) => {
    const { origin, engine } = await serve();
    expect(await expectRefusal(await post(origin, body), engine, 400, 'malformed_body')).toMatch(detail);
  });

  it("refuses another sender's ack", async () => {
    const { origin, engine } = await serve();
    const response = await post(origin, JSON.stringify({ ...ack, sender_id: 'bob' }));
    expect(await expectRefusal(response, engine, 403, 'wrong_user')).toContain('sender_id');
  });

  it.each([
    [{ 'content-type': 'text/plain' }],
    [{ 'content-type': 'application/jsonp' }],
    [{ 'content-type': '' }],
    [{ 'content-encoding': 'gzip' }],
  ])('refuses a body with %j', async (headers) => {
    const { origin, engine } = await serve();
    await expectRefusal(await post(origin, JSON.stringify(ack), headers), engine, 415, 'unsupported_media_type');
  });

  it('refuses a body over the limit, told or not, and reads no further', async () => {
    const { port, engine } = await serve({ limits: { maxMessageBytes: 64 } });
    const start = `POST ${ACK} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\n`;
    const told = new RawClient(port).send(`${start}Content-Length: 65\r\n\r\n`);
    const untold = new RawClient(port).send(`${start}Transfer-Encoding: chunked\r\n\r\n41\r\n${' '.repeat(65)}\r\n`);
    for (const client of [told, untold]) {
      expect(await client.response()).toMatchObject({ status: 413, headers: { connection: 'close' } });
      await client.closed;
    }
    expect(engine.refusals.map(({ code }) => code)).toEqual(['body_too_large', 'body_too_large']);
  });

  it('does not read a body before the token is good', async () => {
    const { port } = await serve();
    const client = new RawClient(port).send(`POST ${ACK} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n`);
    expect((await client.response()).status).toBe(401);
    client.socket.destroy();
  });

  it('refuses a body that does not come within handshakeTimeoutMs, and closes', async () => {
    const { port, engine } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const client = new RawClient(port).send(
      `POST ${ACK} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`,
    );
    expect(await client.response()).toMatchObject({ status: 400, headers: { connection: 'close' } });
    await client.closed;
    expect(engine.refusals.map(({ code }) => code)).toEqual(['malformed_body']);
  });

  it('lets a client leave in the middle of its body', async () => {
    const { port, engine } = await serve();
    const client = new RawClient(port).send(
      `POST ${ACK} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`,
    );
    await once(server, 'request');
    client.socket.resetAndDestroy();
    await eventually('the socket is gone', async () => (await socketsOf(server)) === 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect([engine.failures, engine.refusals, engine.acked]).toEqual([[], [], []]);
  });
});

describe('POST ack behind a body parser', () => {
  const read = async (req: IncomingMessage): Promise<string> => {
    let text = '';
    for await (const chunk of req) text += chunk;
    return text;
  };

  const leaving = (body: (text: string) => unknown) => async (req: IncomingMessage & { body?: unknown }) => {
    req.body = body(await read(req));
  };
  const notReading = (body: unknown) => (req: IncomingMessage & { body?: unknown }) => {
    req.body = body;
  };

  it.each([
    ['an object', leaving(JSON.parse)],
    ['text', leaving(String)],
    ['bytes', leaving(Buffer.from)],
    ['an empty object without reading it', notReading({})],
    ['nothing without reading it', notReading(undefined)],
  ])('that left %s works', async (_what, parser) => {
    const { origin, engine } = await serve({}, parser);
    expect((await post(origin, JSON.stringify(ack))).status).toBe(204);
    expect(engine.acked).toEqual([{ userId: 'ada', boxId: 'b1' }]);
  });

  it('that kept the body for itself is told what to do', async () => {
    const { origin, engine } = await serve({}, async (req) => void (await read(req)));
    const response = await post(origin, JSON.stringify(ack));
    expect(await expectRefusal(response, engine, 400, 'malformed_body')).toContain('req.body');
  });
});

describe('every other request', () => {
  it('is left to the host as it came', async () => {
    const { origin } = await serve();
    for (const path of ['/box-users/ada/events?access_token=x', '/box-users/ada/messages/1', '/box-users/ada', '/']) {
      expect(await (await fetch(origin + path)).text()).toBe(`the host's ${path}`);
    }
  });
});
