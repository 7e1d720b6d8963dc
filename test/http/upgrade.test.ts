import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { UsercastError } from '../../src/errors.ts';
import { Refusal } from '../../src/protocol/refusals.ts';
import { type FakeEngine, type FakeOptions, fakeDoor, tokenFor } from '../support/fake-engine.ts';
import {
  clientFrame,
  eventually,
  listen,
  RawClient,
  type RawResponse,
  shut,
  socketsOf,
  upgradeText,
} from '../support/raw-client.ts';

const base64url = (text: string) => Buffer.from(text).toString('base64url');
const ADA = '/box-users/ada/ws';
const adasToken = { Authorization: `Bearer ${tokenFor('ada')}` };

let server: Server;

async function serve(options: FakeOptions = {}): Promise<{ port: number; engine: FakeEngine }> {
  const { engine, door } = fakeDoor(options);
  server = createServer();
  door.attach(server);
  return { port: await listen(server), engine };
}

afterEach(() => shut(server));

async function refusal(port: number, text: string): Promise<RawResponse> {
  const client = new RawClient(port).send(text);
  const response = await client.response();
  client.socket.end();
  await client.closed;
  return response;
}

describe('a WebSocket handshake', () => {
  it.each([
    ['the Authorization header', ADA, adasToken],
    ['the query', `${ADA}?a=1&access_token=${tokenFor('ada')}`, {}],
    ['a subprotocol', ADA, { 'Sec-WebSocket-Protocol': `usercast.bearer.${base64url(tokenFor('ada'))}` }],
    ['an absolute request target', `http://localhost${ADA}`, adasToken],
    ['its own origin', ADA, { ...adasToken, Origin: 'http://localhost' }],
  ])('is accepted with %s', async (_what, target, headers) => {
    const { port, engine } = await serve();
    const client = new RawClient(port).send(upgradeText(target, { headers }));
    const response = await client.response();
    expect(response.status).toBe(101);
    expect(response.headers['sec-websocket-protocol']).toBeUndefined();
    expect(engine.opened).toMatchObject([
      { userId: 'ada', transport: 'websocket', address: '127.0.0.1', isTold: false },
    ]);
    client.socket.destroy();
    await eventually('the session ends', () => engine.live === 0);
  });

  it('selects usercast.plain and never echoes the token', async () => {
    const { port } = await serve();
    const bearer = `usercast.bearer.${base64url(tokenFor('ada'))}`;
    const ws = new WebSocket(`ws://127.0.0.1:${port}${ADA}`, [bearer, 'usercast.plain']);
    await once(ws, 'open');
    expect(ws.protocol).toBe('usercast.plain');
    ws.send('hello');
    expect(String((await once(ws, 'message'))[0])).toBe('echo hello');
    ws.terminate();
  });

  it('decodes the user id of the path', async () => {
    const { port, engine } = await serve();
    const token = encodeURIComponent(tokenFor('a/b é'));
    const client = new RawClient(port).send(upgradeText(`/box-users/a%2Fb%20%C3%A9/ws?access_token=${token}`));
    expect((await client.response()).status).toBe(101);
    expect(engine.opened).toMatchObject([{ userId: 'a/b é', address: '127.0.0.1' }]);
    client.socket.destroy();
  });

  it('hands on what came right behind it', async () => {
    const { port } = await serve();
    const client = new RawClient(port).send(
      Buffer.concat([Buffer.from(upgradeText(ADA, { headers: adasToken })), clientFrame(1, 'hi')]),
    );
    await eventually('the echo', () => client.received.includes('echo hi'));
    client.socket.destroy();
  });

  it.each<[string, string, number, string]>([
    ['no token', upgradeText(ADA), 401, 'token_missing'],
    ['a bad token', upgradeText(`${ADA}?access_token=secret-thing`), 401, 'token_invalid'],
    ["another user's token", upgradeText('/box-users/bob/ws', { headers: adasToken }), 403, 'wrong_user'],
    ['a foreign origin', upgradeText(ADA, { headers: { Origin: 'https://evil.test' } }), 403, 'origin_not_allowed'],
    [
      'a broken token',
      upgradeText(ADA, { headers: { 'Sec-WebSocket-Protocol': 'usercast.bearer.a' } }),
      401,
      'token_invalid',
    ],
    ['no user id', upgradeText('/box-users//ws', { headers: adasToken }), 400, 'malformed_user_id'],
    ['a broken escape', upgradeText('/box-users/%E0%A4%A/ws'), 400, 'malformed_user_id'],
    ['a long user id', upgradeText(`/box-users/${'x'.repeat(257)}/ws`), 400, 'malformed_user_id'],
    ['no key', upgradeText(ADA, { headers: { 'Sec-WebSocket-Key': undefined } }), 400, 'malformed_request'],
    ['a short key', upgradeText(ADA, { headers: { 'Sec-WebSocket-Key': 'abc' } }), 400, 'malformed_request'],
    ['version 8', upgradeText(ADA, { headers: { 'Sec-WebSocket-Version': '8' } }), 426, 'upgrade_required'],
    ['no version', upgradeText(ADA, { headers: { 'Sec-WebSocket-Version': undefined } }), 426, 'upgrade_required'],
    ['another protocol', upgradeText(ADA, { headers: { Upgrade: 'h2c' } }), 426, 'upgrade_required'],
    ['HTTP/1.0', upgradeText(ADA, { version: '1.0', headers: adasToken }), 426, 'upgrade_required'],
    ['POST', upgradeText(ADA, { method: 'POST' }), 405, 'method_not_allowed'],
    ['a bad subprotocol', upgradeText(ADA, { headers: { 'Sec-WebSocket-Protocol': 'a b' } }), 400, 'malformed_request'],
    ['a repeated one', upgradeText(ADA, { headers: { 'Sec-WebSocket-Protocol': 'a, a' } }), 400, 'malformed_request'],
  ])('with %s is refused', async (_what, text, status, code) => {
    const { port, engine } = await serve();
    const response = await refusal(port, text);
    expect(response.status).toBe(status);
    expect(response.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
    });
    const problem = JSON.parse(response.body);
    expect(problem).toEqual({ type: 'about:blank', title: expect.any(String), status, detail: expect.any(String) });
    expect(response.body).not.toContain('secret-thing');
    expect(response.headers.connection).toBe(status === 426 ? 'Upgrade, close' : 'close');
    if (status === 401) expect(response.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    if (status === 405) expect(response.headers.allow).toBe('GET');
    if (status === 426) {
      expect(response.headers).toMatchObject({ upgrade: 'websocket', 'sec-websocket-version': '13' });
    }
    expect(engine.refusals).toMatchObject([{ code, status, address: '127.0.0.1', transport: 'websocket' }]);
    expect(engine.opened).toEqual([]);
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
  });

  it('names the user in the refusal as soon as it is known', async () => {
    const { port, engine } = await serve();
    await refusal(port, upgradeText(ADA));
    expect(engine.refusals[0]?.userId).toBe('ada');
  });

  it('is refused while draining, before user, origin or token are looked at', async () => {
    const { port, engine } = await serve();
    engine.isDraining = true;
    const response = await refusal(port, upgradeText('/box-users//ws'));
    expect(response).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(engine.refusals[0]?.code).toBe('restarting');
  });

  it('is refused above handshakesPerSecond, before a token is looked at', async () => {
    let verified = 0;
    const verifier = {
      verify: async () => {
        verified++;
        return { userId: 'ada' };
      },
    };
    const { port, engine } = await serve({ verifier, limits: { handshakesPerSecond: 1 } });
    // Together: a busy machine would let the second pass between them.
    const clients = [1, 2].map(() => new RawClient(port).send(upgradeText(ADA, { headers: adasToken })));
    const responses = await Promise.all(clients.map((client) => client.response()));
    expect(responses.map(({ status }) => status).sort()).toEqual([101, 503]);
    expect(responses.find(({ status }) => status === 503)?.headers['retry-after']).toBe('5');
    expect(engine.refusals[0]?.code).toBe('overloaded');
    expect(verified).toBe(1);
  });

  it('is refused with what the engine says', async () => {
    const { port, engine } = await serve();
    engine.step = () => {
      throw new Refusal('too_many_connections', 'at most 20 sessions of one user');
    };
    const response = await refusal(port, upgradeText(ADA, { headers: adasToken }));
    expect(response).toMatchObject({ status: 429, headers: { 'retry-after': '5' } });
    expect(JSON.parse(response.body).detail).toBe('at most 20 sessions of one user');
  });

  it('is refused and reported when the engine breaks, without a word of why', async () => {
    const { port, engine } = await serve();
    engine.step = () => {
      throw new Error('the inside');
    };
    const response = await refusal(port, upgradeText(ADA, { headers: adasToken }));
    expect(response.status).toBe(503);
    expect(response.body).not.toContain('inside');
    expect(engine.failures).toEqual([{ stage: 'connection', cause: new Error('the inside') }]);
    expect(engine.refusals[0]?.code).toBe('internal_error');
  });

  it('is refused when the verifier is out of reach', async () => {
    const verifier = {
      verify: async () => {
        throw new UsercastError('verifier_unavailable', 'down');
      },
    };
    const { port, engine } = await serve({ verifier });
    expect((await refusal(port, upgradeText(ADA, { headers: adasToken }))).status).toBe(503);
    expect(engine.refusals[0]?.code).toBe('verifier_unavailable');
  });

  it('is refused after handshakeTimeoutMs, while the verifier hangs, and tells it', async () => {
    let signal: AbortSignal | undefined;
    const verifier = {
      verify: (_token: string, context: { signal: AbortSignal }) => {
        signal = context.signal;
        return new Promise<never>(() => {});
      },
    };
    const { port, engine } = await serve({ verifier, limits: { handshakeTimeoutMs: 50 } });
    const response = await refusal(port, upgradeText(ADA, { headers: adasToken }));
    expect(response.status).toBe(503);
    expect(engine.refusals.map(({ code }) => code)).toEqual(['verifier_unavailable']);
    expect(signal?.aborted).toBe(true);
  });

  it('is refused after handshakeTimeoutMs, while the broker hangs, and the late session is closed', async () => {
    const { port, engine } = await serve({ limits: { handshakeTimeoutMs: 50 } });
    const release = engine.hold();
    const response = await refusal(port, upgradeText(ADA, { headers: adasToken }));
    expect(response.status).toBe(503);
    expect(engine.refusals.map(({ code }) => code)).toEqual(['broker_unavailable']);
    release();
    await eventually('the session was opened and closed', () => engine.opened.length === 1 && engine.live === 0);
  });

  it('tells the verifier when the client leaves, and opens nothing', async () => {
    let signal: AbortSignal | undefined;
    let answer = (_identity: { userId: string }) => {};
    const verifier = {
      verify: (_token: string, context: { signal: AbortSignal }) => {
        signal = context.signal;
        return new Promise<{ userId: string }>((resolve) => {
          answer = resolve;
        });
      },
    };
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      signal = undefined;
      const { port, engine } = await serve({ verifier });
      const client = new RawClient(port).send(upgradeText(ADA, { headers: adasToken }));
      await eventually('verifying', () => signal !== undefined);
      client.socket[leave]();
      await eventually(`the signal after ${leave}`, () => signal!.aborted);
      await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
      answer({ userId: 'ada' });
      await new Promise((resolve) => setImmediate(resolve));
      expect(engine.opened).toEqual([]);
      expect(engine.refusals).toEqual([]);
      await shut(server);
    }
  });

  it('whose client has left is told nothing when its token turns out bad', async () => {
    let refuse = (_cause: Error) => {};
    const verifier = {
      verify: () =>
        new Promise<{ userId: string }>((_resolve, reject) => {
          refuse = reject;
        }),
    };
    const waits = refuse;
    const { port, engine } = await serve({ verifier });
    const client = new RawClient(port).send(upgradeText(ADA, { headers: adasToken }));
    await eventually('verifying', () => refuse !== waits);
    client.socket.destroy();
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
    refuse(new UsercastError('token_invalid', 'no such token'));
    await new Promise((resolve) => setImmediate(resolve));
    expect([engine.refusals, engine.failures]).toEqual([[], []]);
  });

  it('notices a socket that died and has not said so yet', async () => {
    const { port, engine } = await serve();
    server.on('connection', (socket) => {
      engine.step = () => void socket.destroy();
    });
    await new RawClient(port).send(upgradeText(ADA, { headers: adasToken })).closed;
    await eventually('the session was opened and closed', () => engine.opened.length === 1 && engine.live === 0);
    engine.step = () => {};

    server.on('connection', (socket) => {
      engine.step = () => {
        socket.destroy();
        throw new Refusal('overloaded');
      };
    });
    await new RawClient(port).send(upgradeText(ADA, { headers: adasToken })).closed;
    expect(engine.failures).toEqual([]);
  });

  it('ends a refused socket whose peer does not close', async () => {
    const { port } = await serve();
    const client = new RawClient(port, { stays: true }).send(upgradeText(ADA));
    expect((await client.response()).status).toBe(401);
    expect(await socketsOf(server)).toBe(1);
    await eventually('the server ends it', async () => (await socketsOf(server)) === 0);
    client.socket.destroy();
  });

  it('ends the socket and the session when the handshake cannot be completed', async () => {
    const { port, engine } = await serve();
    engine.accept = () => {
      throw new Error('no');
    };
    const client = new RawClient(port).send(upgradeText(ADA, { headers: adasToken }));
    await client.closed;
    expect(engine.failures).toEqual([{ stage: 'connection', cause: new Error('no') }]);
    expect(engine.live).toBe(0);
  });
});

describe('a WebSocket handshake that offers usercast.v1', () => {
  /** Opens as a browser would; resolves with the close code, and what was selected. */
  async function closeOf(port: number, path: string, protocols: readonly string[]) {
    const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, [...protocols]);
    const messages: unknown[] = [];
    ws.on('message', (data) => messages.push(data));
    await once(ws, 'open');
    const [code, reason] = await once(ws, 'close');
    return { code, reason: String(reason), protocol: ws.protocol, messages };
  }

  const bearer = `usercast.bearer.${base64url(tokenFor('ada'))}`;
  const cursor = `1abcdefghijklmnopAAAAAAAAHtag-tag-`;

  it.each([
    ['no cursor', ADA, null],
    ['a cursor', `${ADA}?cursor=${cursor}`, { epoch: 'abcdefghijklmnop', offset: 7, tag: 'tag-tag-' }],
    ['something that is none of ours', `${ADA}?cursor=42`, 'unreadable'],
    ['an empty parameter', `${ADA}?cursor=`, null],
  ])('with %s opens a session that understands session messages', async (_what, path, expected) => {
    const { port, engine } = await serve();
    const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, ['usercast.plain', bearer, 'usercast.v1']);
    await once(ws, 'open');
    expect(ws.protocol).toBe('usercast.v1');
    expect(engine.opened).toMatchObject([{ userId: 'ada', isTold: true, cursor: expected }]);
    ws.terminate();
  });

  it.each([
    ['a bad token', `${ADA}?access_token=bad`, 4401, 'token invalid'],
    ["another user's id", `/box-users/bob/ws?access_token=${tokenFor('ada')}`, 4403, "another user's id"],
    ['a malformed cursor', `${ADA}?cursor=.&access_token=${tokenFor('ada')}`, 4400, 'malformed cursor'],
    ['no user id', '/box-users//ws', 4400, 'malformed user id'],
  ])('is told of %s by a close code, and by no message', async (_what, path, code, reason) => {
    const { port, engine } = await serve({ usesRealSockets: true });
    const closed = await closeOf(port, path, ['usercast.v1']);
    expect(closed).toEqual({ code, reason, protocol: 'usercast.v1', messages: [] });
    expect(engine.refusals).toHaveLength(1);
    expect(engine.opened).toEqual([]);
  });

  it('is told of a slow broker by a close code, and the late session is closed', async () => {
    const { port, engine } = await serve({ usesRealSockets: true, limits: { handshakeTimeoutMs: 50 } });
    const release = engine.hold();
    expect(await closeOf(port, ADA, ['usercast.v1', bearer])).toMatchObject({ code: 1013 });
    release();
    await eventually('the session was opened and closed', () => engine.opened.length === 1 && engine.live === 0);
  });

  it('may say something before it knows, and leave', async () => {
    const { port, engine } = await serve({ usesRealSockets: true });
    const client = new RawClient(port).send(
      Buffer.concat([
        Buffer.from(upgradeText(ADA, { headers: { 'Sec-WebSocket-Protocol': 'usercast.v1' } })),
        clientFrame(1, 'hi'),
        clientFrame(2, 'hi'),
        clientFrame(9, ''),
      ]),
    );
    await eventually('the close', () => client.received.includes(Buffer.from([0x11, 0x31])));
    client.socket.resetAndDestroy();
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
    expect([engine.failures, engine.opened]).toEqual([[], []]);
  });
});
