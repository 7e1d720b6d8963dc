import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeCursor } from '../../src/protocol/cursor.ts';
import { Refusal } from '../../src/protocol/refusals.ts';
import { type FakeEngine, type FakeOptions, fakeDoor, tokenFor } from '../support/fake-engine.ts';
import { eventually, listen, RawClient, shut, socketsOf } from '../support/raw-client.ts';

const SSE = '/box-users/ada/sse';
const MESSAGES = '/box-users/ada/messages';
const authorization = `Bearer ${tokenFor('ada')}`;
const position = { epoch: 'abcdefghijklmnop', offset: 7, tag: 'tag-tag-' };
const cursor = encodeCursor(position);

let server: Server;

async function serve(options: FakeOptions = {}, before: (res: ServerResponse) => void = () => {}) {
  const { engine, door } = fakeDoor(options);
  server = createServer((req: IncomingMessage, res: ServerResponse) => {
    before(res);
    if (!door.handleRequest(req, res)) res.end('the host');
  });
  const port = await listen(server);
  const open = new AbortController();
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization, ...headers }, signal: open.signal });
  return { port, engine, ask, leave: () => open.abort() };
}

afterEach(() => shut(server));

const rawGet = (path: string, version = '1.1') =>
  `GET ${path} HTTP/${version}\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`;

async function expectRefusal(response: Response, engine: FakeEngine, status: number, code: string, transport: string) {
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(engine.refusals).toMatchObject([{ code, status, transport }]);
  expect([engine.opened, engine.live]).toEqual([[], 0]);
  return ((await response.json()) as { detail: string }).detail;
}

describe('GET sse', () => {
  it('opens a session that understands session messages, and answers with an event stream', async () => {
    const { ask, engine, leave } = await serve();
    const response = await ask(SSE);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(engine.opened).toMatchObject([
      { userId: 'ada', identity: { userId: 'ada' }, transport: 'sse', isTold: true, cursor: null },
    ]);
    expect(engine.pipes.map(({ kind }) => kind)).toEqual(['sse']);
    leave();
    await eventually('the session is over', () => engine.live === 0);
  });

  it('asks each client to come back after a pause of its own', async () => {
    const pauses: number[] = [];
    const { port } = await serve();
    for (let i = 0; i < 8; i++) {
      const client = new RawClient(port).send(rawGet(SSE));
      await eventually('the pause', () => /retry: \d+\n\n/.test(client.received.toString()));
      pauses.push(Number(/retry: (\d+)/.exec(client.received.toString())![1]));
      client.socket.destroy();
    }
    expect(pauses.filter((pause) => pause < 1_000 || pause > 3_000)).toEqual([]);
    expect(new Set(pauses).size).toBeGreaterThan(4);
  });

  it.each([
    ['the query', `${SSE}?cursor=${cursor}`, {}, position],
    ['Last-Event-ID', SSE, { 'last-event-id': cursor }, position],
    ['Last-Event-ID, which wins', `${SSE}?cursor=old`, { 'last-event-id': cursor }, position],
    ['an empty Last-Event-ID and the query', `${SSE}?cursor=${cursor}`, { 'last-event-id': '' }, position],
    ['an empty parameter', `${SSE}?cursor=`, {}, null],
    ['something that is none of ours', SSE, { 'last-event-id': '42' }, 'unreadable'],
  ])('takes the cursor from %s', async (_what, path, headers, expected) => {
    const { ask, engine, leave } = await serve();
    await ask(path, headers as Record<string, string>);
    expect(engine.opened[0]!.cursor).toEqual(expected);
    leave();
  });

  it.each<[string, string, Record<string, string>, number, string]>([
    ['without a token', SSE, { authorization: '' }, 401, 'token_missing'],
    ["of another's id", '/box-users/bob/sse', {}, 403, 'wrong_user'],
    ['of no id', '/box-users//sse', {}, 400, 'malformed_user_id'],
    ['from a foreign origin', SSE, { origin: 'https://evil.test' }, 403, 'origin_not_allowed'],
    ['with a malformed cursor', `${SSE}?cursor=a.b`, {}, 400, 'malformed_cursor'],
    ['with a long cursor', `${SSE}?cursor=${'a'.repeat(65)}`, {}, 400, 'malformed_cursor'],
    [
      'with a malformed Last-Event-ID, whatever the query says',
      `${SSE}?cursor=${cursor}`,
      { 'last-event-id': 'a b' },
      400,
      'malformed_cursor',
    ],
  ])('%s is refused before the stream starts', async (_what, path, headers, status, code) => {
    const { ask, engine } = await serve();
    await expectRefusal(await ask(path, headers), engine, status, code, 'sse');
  });

  it('is refused with what the engine says', async () => {
    const { ask, engine } = await serve();
    engine.step = () => {
      throw new Refusal('too_many_connections');
    };
    const response = await ask(SSE);
    expect(response.headers.get('retry-after')).toBe('5');
    await expectRefusal(response, engine, 429, 'too_many_connections', 'sse');
  });

  it('counts as a handshake, and is refused while draining', async () => {
    const { ask, engine, leave } = await serve({ limits: { handshakesPerSecond: 1 } });
    // Together: a busy machine would let the second pass between them.
    const both = await Promise.all([ask(SSE), ask(SSE)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 503]);
    expect((await ask(MESSAGES)).status).toBe(200);
    engine.isDraining = true;
    expect((await ask(SSE)).status).toBe(503);
    expect(engine.refusals.map(({ code }) => code)).toEqual(['overloaded', 'restarting']);
    leave();
  });

  it.each(['HEAD', 'POST'])('does not take %s', async (method) => {
    const { port, engine } = await serve();
    const response = await fetch(`http://127.0.0.1:${port}${SSE}`, { method, headers: { authorization } });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET']);
    expect(engine.opened).toEqual([]);
  });

  it('is refused after handshakeTimeoutMs, and the late session is closed', async () => {
    const { ask, engine } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const release = engine.hold();
    await expectRefusal(await ask(SSE), engine, 503, 'broker_unavailable', 'sse');
    release();
    await eventually('the session was opened and closed', () => engine.opened.length === 1 && engine.live === 0);
    expect(engine.pipes).toEqual([]);
  });

  it('lasts longer than handshakeTimeoutMs', async () => {
    const { ask, engine, leave } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const response = await ask(SSE);
    const text = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    await text.read();
    const until = performance.now() + 80;
    await eventually('the time has passed', () => performance.now() > until);
    engine.pipes[0]!.write(Buffer.from('data: late\n\n'));
    expect((await text.read()).value).toBe('data: late\n\n');
    leave();
  });

  it('lets a client leave while its session opens, or its token is looked at', async () => {
    let answer = (_identity: { userId: string }) => {};
    const verifier = {
      verify: () =>
        new Promise<{ userId: string }>((resolve) => {
          answer = resolve;
        }),
    };
    const { port, engine } = await serve({ verifier });
    for (const path of [SSE, MESSAGES]) {
      answer = () => {};
      const waits = answer;
      const client = new RawClient(port).send(rawGet(path));
      await eventually('verifying', () => answer !== waits);
      client.socket.resetAndDestroy();
      await eventually('the socket is gone', async () => (await socketsOf(server)) === 0);
      answer({ userId: 'ada' });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([engine.opened, engine.polled]).toEqual([[], []]);

    const release = engine.hold();
    const client = new RawClient(port).send(rawGet(SSE));
    await eventually('verifying', () => {
      answer({ userId: 'ada' });
      return engine.isHeld;
    });
    client.socket.resetAndDestroy();
    await eventually('the socket is gone', async () => (await socketsOf(server)) === 0);
    release();
    await eventually('the session was opened and closed', () => engine.opened.length === 1 && engine.live === 0);
    expect([engine.pipes, engine.refusals, engine.failures]).toEqual([[], [], []]);
  });

  it('that waits behind another answer on its connection ends with the connection', async () => {
    const { port, engine } = await serve();
    const client = new RawClient(port).send(rawGet(SSE) + rawGet(SSE));
    await eventually('both are open', () => engine.live === 2);
    client.socket.destroy();
    await eventually('both are over', () => engine.live === 0);
  });

  it('that the host has answered already is left alone', async () => {
    const { ask, engine } = await serve({ cors: true }, (res) => res.end('too busy'));
    expect(await (await ask(SSE)).text()).toBe('too busy');
    expect([engine.opened, engine.refusals, engine.failures]).toEqual([[], [], []]);
  });
});

describe('GET messages', () => {
  it('answers with messages, the cursor and no reset', async () => {
    const { ask, engine } = await serve();
    engine.pollAnswer = { messages: ['{"type":"a","object":{}}', '{"type":"b","object":{}}'], cursor, reset: null };
    const response = await ask(MESSAGES);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.text()).toBe(
      `{"messages":[{"type":"a","object":{}},{"type":"b","object":{}}],"cursor":"${cursor}"}`,
    );
  });

  it('says why a cursor cannot be gone on from', async () => {
    const { ask, engine } = await serve();
    engine.pollAnswer = { messages: [], cursor, reset: 'trimmed' };
    expect(await (await ask(MESSAGES)).json()).toEqual({ messages: [], cursor, reset: 'trimmed' });
  });

  it.each([
    ['', { cursor: null, waitMs: 25_000, limit: 100 }],
    ['?cursor=&wait=&limit=', { cursor: null, waitMs: 25_000, limit: 100 }],
    [`?limit=1&wait=0&cursor=${cursor}`, { cursor: position, waitMs: 0, limit: 1 }],
    ['?wait=55&limit=100&cursor=x', { cursor: 'unreadable', waitMs: 55_000, limit: 100 }],
    ['?wait=0.25', { cursor: null, waitMs: 250, limit: 100 }],
    ['?waiting=9&wait=1&wait=2', { cursor: null, waitMs: 1_000, limit: 100 }],
  ])('takes %j', async (query, expected) => {
    const { ask, engine } = await serve({ limits: { maxBufferedBytes: 777 } });
    expect((await ask(`${MESSAGES}${query}`)).status).toBe(200);
    expect(engine.polled).toMatchObject([{ userId: 'ada', address: '127.0.0.1', maxBytes: 777, ...expected }]);
  });

  it.each([
    ['wait=56', /wait must be a number of seconds from 0 to 55/],
    ['wait=-1', /wait/],
    ['wait=1e1', /wait/],
    ['wait=NaN', /wait/],
    ['wait=25s', /wait/],
    ['wait=%200', /wait/],
    ['limit=0', /limit must be a whole number from 1 to 100/],
    ['limit=101', /limit/],
    ['limit=1.5', /limit/],
    ['limit=all', /limit/],
  ])('refuses ?%s and says what to change', async (query, detail) => {
    const { ask, engine } = await serve();
    const response = await ask(`${MESSAGES}?${query}`);
    expect(await expectRefusal(response, engine, 400, 'malformed_request', 'poll')).toMatch(detail);
    expect(engine.polled).toEqual([]);
  });

  it.each<[string, string, Record<string, string>, number, string]>([
    ['without a token', MESSAGES, { authorization: '' }, 401, 'token_missing'],
    ["of another's id", '/box-users/bob/messages', {}, 403, 'wrong_user'],
    ['with a malformed cursor', `${MESSAGES}?cursor=%00`, {}, 400, 'malformed_cursor'],
  ])('%s is refused', async (_what, path, headers, status, code) => {
    const { ask, engine } = await serve();
    await expectRefusal(await ask(path, headers), engine, status, code, 'poll');
  });

  it('is refused with what the engine says', async () => {
    const { ask, engine } = await serve();
    engine.step = () => {
      throw new Refusal('disconnected');
    };
    await expectRefusal(await ask(MESSAGES), engine, 403, 'disconnected', 'poll');
  });

  it('is not cut by handshakeTimeoutMs', async () => {
    const { ask, engine } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const release = engine.hold();
    const answer = ask(`${MESSAGES}?cursor=${cursor}`);
    await eventually('it waits', () => engine.isHeld);
    const until = performance.now() + 80;
    await eventually('the time has passed', () => performance.now() > until);
    release();
    expect((await answer).status).toBe(200);
  });

  it('ends with its client, also behind another answer on its connection', async () => {
    const { port, engine } = await serve();
    const release = engine.hold();
    const client = new RawClient(port).send(rawGet(MESSAGES) + rawGet(MESSAGES));
    await eventually('both wait', () => engine.polled.length === 2);
    expect(engine.polled.map(({ signal }) => signal.aborted)).toEqual([false, false]);
    client.socket.destroy();
    await eventually('both know', () => engine.polled.every(({ signal }) => signal.aborted));
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([engine.refusals, engine.failures]).toEqual([[], []]);
  });

  it('works one after the other on one connection, for a client of HTTP/1.0 too', async () => {
    const { port } = await serve();
    const client = new RawClient(port).send(rawGet(MESSAGES) + rawGet(MESSAGES));
    await eventually('both answers', () => client.received.toString().match(/"messages"/g)?.length === 2);
    client.socket.destroy();
    const old = new RawClient(port).send(rawGet(MESSAGES, '1.0'));
    expect((await old.response()).body).toBe('{"messages":[],"cursor":"cursor"}');
    await old.closed;
  });
});
