// What the client promises, over real sockets: the server does what each test says.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  type Client,
  type ClientState,
  type ConnectOptions,
  connect,
  type MessageMeta,
  type Reset,
  type StateDetail,
  type TransportName,
  type UsercastClientError,
} from '../../src/client/index.ts';
import { eventually } from '../support/raw-client.ts';
import { answer, ScriptedServer } from '../support/scripted-server.ts';

let server: ScriptedServer;
const clients: Client[] = [];

/** A client that keeps what it was told. */
function open(options: Partial<ConnectOptions> = {}) {
  const client = connect({ url: server.url, userId: 'ann', token: 'good', WebSocket, ...options });
  clients.push(client);
  const messages: { type: string; object: object; meta: MessageMeta }[] = [];
  const states: ({ state: ClientState } & StateDetail)[] = [];
  const resets: Reset[] = [];
  const counts: object[] = [];
  const errors: UsercastClientError[] = [];
  client.onAny((type, object, meta) => messages.push({ type, object, meta }));
  client.onState((state, detail) => states.push({ state, ...detail }));
  client.onReset((reset) => resets.push(reset));
  client.onCounts((value) => counts.push(value));
  client.onError((error) => errors.push(error));
  const cursors = () => messages.map(({ meta }) => meta.cursor);
  const reaches = (state: ClientState) => eventually(`the client is ${state}`, () => client.state === state);
  const has = (count: number) => eventually(`${count} messages`, () => messages.length >= count);
  return { client, messages, states, resets, counts, errors, cursors, reaches, has };
}

beforeEach(async () => {
  // No jitter: the first attempt after a drop comes at once.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  server = await new ScriptedServer().start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server.stop();
  vi.restoreAllMocks();
});

const STREAMING = ['websocket', 'sse'] as const satisfies TransportName[];

describe.each(STREAMING)('over %s', (transport) => {
  const transports = [transport];

  it('hands on messages in order, to the handlers of their type first', async () => {
    const { client, reaches, messages, cursors, has } = open({ transports });
    const calls: string[] = [];
    client.onAny((type) => calls.push(`any ${type}`));
    client.on('quota.low', (object, meta) => calls.push(`quota ${JSON.stringify(object)} ${meta.cursor}`));
    const session = (await server.session()).ready();
    await reaches('live');
    session.message('c1', { id: 'e1' }).message('c2', { bytes: 1 }, false, 'quota.low');
    session.send({ type: 'volatile', object: {} });
    await has(3);
    expect(cursors()).toEqual(['c1', 'c2', undefined]);
    expect(messages[0]).toEqual({
      type: 'event.new',
      object: { id: 'e1' },
      meta: { cursor: 'c1', unread: false, replayed: false },
    });
    expect(calls).toEqual(['any event.new', 'quota {"bytes":1} c2', 'any quota.low', 'any volatile']);
    expect(client.cursor).toBe('c2');
    expect(client.transport).toBe(transport);
  });

  it('carries on from its cursor after a drop, and hands on what came meanwhile once', async () => {
    const { client, cursors, has, messages, states } = open({ transports });
    const first = (await server.session()).ready({ cursor: 'c0' }).message('c1').message('c2');
    await has(2);
    first.cut();
    const second = await server.session();
    expect(second.request.cursor).toBe('c2');
    second.ready({ head: 'c4', counts: { b: 2 } });
    second.message('c3', { box_id: 'b' }, true).message('c4', { box_id: 'b' }, true);
    second.message('c5', { box_id: 'b' }, true);
    await has(5);
    expect(cursors()).toEqual(['c1', 'c2', 'c3', 'c4', 'c5']);
    expect(messages.map(({ meta }) => meta.replayed)).toEqual([false, false, true, true, false]);
    expect(client.counts).toEqual({ b: 3 });
    expect(states.map(({ state }) => state)).toEqual(['live', 'waiting', 'connecting', 'live']);
  });

  it('starts from the cursor that it is given', async () => {
    open({ transports, cursor: 'remembered' });
    expect((await server.session()).request.cursor).toBe('remembered');
  });

  it('hands on a message once, even if the server does not', async () => {
    const { cursors, has } = open({ transports });
    (await server.session()).ready().message('c1').message('c2').message('c1').message('c2').message('c3');
    await has(3);
    expect(cursors()).toEqual(['c1', 'c2', 'c3']);
  });

  it('counts as the server does', async () => {
    const { client, counts, has } = open({ transports });
    const session = (await server.session()).ready({ counts: { a: 2, constructor: 1 } });
    session.message('c1', { box_id: 'a' }, true);
    session.message('c2', { box_id: 'a' });
    session.message('c3', { box_id: 'toString' }, true);
    session.message('c4', { sender_id: 'ann', box_id: 'a' }, false, 'ack');
    session.message('c5', { sender_id: 'ann', box_id: 'nothing' }, false, 'ack');
    session.message('c6', { box_id: '__proto__' }, true);
    await has(6);
    expect(Object.entries(client.counts)).toEqual([
      ['constructor', 1],
      ['toString', 1],
      ['__proto__', 1],
    ]);
    expect(counts).toHaveLength(5);
    expect(counts.at(-1)).toBe(client.counts);
  });

  it('tells a reset in the middle of a session and goes on from its cursor', async () => {
    const { client, resets, has, messages } = open({ transports });
    const session = (await server.session()).ready({ counts: { a: 1 } }).message('c1', { box_id: 'a' }, true);
    session.send({ type: 'session.reset', object: { reason: 'lagging', cursor: 'c9', counts: { b: 4 } } });
    session.message('d1', { box_id: 'b' }, true);
    await has(2);
    expect(resets).toEqual([{ reason: 'lagging', counts: { b: 4 } }]);
    expect(client.counts).toEqual({ b: 5 });
    expect(messages[1]?.meta.replayed).toBe(false);
    session.cut();
    expect((await server.session()).request.cursor).toBe('d1');
  });

  it('tells a reset when its cursor is not honoured, in the first session too', async () => {
    const { client, resets, reaches } = open({ transports, cursor: 'ancient' });
    (await server.session()).ready({ resumed: false, reset: 'trimmed', cursor: 'c7', counts: { a: 1 } });
    await reaches('live');
    expect(resets).toEqual([{ reason: 'trimmed', counts: { a: 1 } }]);
    expect(client.cursor).toBe('c7');
  });

  it('tells no reset to a client without a cursor', async () => {
    const { resets, reaches, client } = open({ transports });
    (await server.session()).ready({ cursor: 'c7' });
    await reaches('live');
    expect(resets).toEqual([]);
    expect(client.cursor).toBe('c7');
  });

  it('hears nothing more from a connection that it left', async () => {
    const { cursors, has } = open({ transports });
    const first = (await server.session()).ready().message('c1');
    await has(1);
    first.send({ type: 'session.closing', object: { code: 1012, reason: 'restart', retry_ms: 0 } });
    first.message('late');
    (await server.session()).ready().message('c2');
    await has(2);
    expect(cursors()).toEqual(['c1', 'c2']);
  });

  it('renews a refused token', async () => {
    const asked: boolean[] = [];
    const token = async ({ renew }: { renew: boolean }) => {
      asked.push(renew);
      return renew ? 'new' : 'old';
    };
    const { reaches, states } = open({ transports, token });
    const first = await server.session();
    first.send({ type: 'session.closing', object: { code: 4401, reason: 'token expired', retry_ms: 0 } });
    const second = await server.session();
    second.ready();
    await reaches('live');
    expect([first.request.token, second.request.token]).toEqual(['old', 'new']);
    expect(asked).toEqual([false, true]);
    expect(states[0]?.error?.closeCode).toBe(4401);
  });

  it('ends when a token that it cannot renew is refused twice', async () => {
    const { reaches, errors, states } = open({ transports });
    for (let i = 0; i < 2; i++) {
      const session = await server.session();
      session.send({ type: 'session.closing', object: { code: 4401, reason: 'token expired', retry_ms: 0 } });
    }
    await reaches('closed');
    expect(errors).toMatchObject([{ code: 'token_refused', closeCode: 4401, message: 'token expired' }]);
    expect(states.at(-1)?.error).toBe(errors[0]);
  });

  it('asks again for a token when the function throws', async () => {
    let calls = 0;
    const token = () => {
      if (++calls === 1) throw new Error('signed out');
      return 'good';
    };
    const { reaches, errors } = open({ transports, token });
    (await server.session()).ready();
    await reaches('live');
    expect(errors).toMatchObject([{ code: 'token_failed', cause: { message: 'signed out' } }]);
  });

  it('never puts the token into a URL', async () => {
    const { client, reaches } = open({ transports, token: 'sécret+/=' });
    server.http.ack = (res) => answer(res, 204);
    const session = (await server.session()).ready();
    await reaches('live');
    await client.ack('b');
    expect(session.request.token).toBe(transport === 'websocket' ? 'sécret+/=' : 's\u00e9cret+/=');
    expect(server.requests.map(({ url }) => url).filter((url) => /s%C3|secret|c8OpY3/i.test(url))).toEqual([]);
  });

  it('closes its connection and calls no handler after it', async () => {
    const { client, messages, has, states } = open({ transports });
    client.on('event.new', () => client.close());
    const session = (await server.session()).ready().message('c1').message('c2');
    await eventually('the connection is closed', () => session.closed !== null);
    await has(0);
    expect(messages.map(({ meta }) => meta.cursor)).toEqual(['c1']);
    expect(states.at(-1)).toEqual({ state: 'closed', transport });
    client.close();
    expect(states.filter(({ state }) => state === 'closed')).toHaveLength(1);
  });

  it('goes on when handlers throw, and tells it', async () => {
    const { client, messages, has, errors } = open({ transports });
    client.on('event.new', () => {
      throw new Error('mine');
    });
    client.on('event.new', async () => {
      throw new Error('mine, later');
    });
    client.onCounts(() => {
      throw new Error('counts');
    });
    (await server.session())
      .ready({ counts: { a: 1 } })
      .message('c1')
      .message('c2');
    await has(2);
    await eventually('five errors', () => errors.length === 5);
    expect(messages).toHaveLength(2);
    expect(new Set(errors.map(({ message }) => message))).toEqual(
      new Set(['a listener of counts threw', 'a handler of "event.new" threw']),
    );
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['handler_failed']));
  });

  it('takes what cannot be read for a broken connection', async () => {
    const { cursors, has } = open({ transports });
    const first = (await server.session()).ready().message('c1');
    await has(1);
    first.text(transport === 'sse' ? 'data: {"type"\n\n' : '{"type"');
    const second = await server.session();
    expect(second.request.cursor).toBe('c1');
    second.ready().message('c2');
    await has(2);
    expect(cursors()).toEqual(['c1', 'c2']);
  });

  it('sends an ack that waited for the connection', async () => {
    const { client } = open({ transports });
    const posted: string[] = [];
    server.http.ack = (res, { body }) => {
      posted.push(body);
      answer(res, 204);
    };
    const acked = client.ack('b1');
    const session = (await server.session()).ready();
    await acked;
    const object = { sender_id: 'ann', box_id: 'b1' };
    if (transport === 'websocket') expect(await session.next('ack')).toEqual({ type: 'ack', object });
    else expect(posted.map((body) => JSON.parse(body))).toEqual([object]);
  });

  it('rejects acks once it is closed', async () => {
    const { client } = open({ transports });
    const waiting = client.ack('b1');
    client.close();
    await expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await expect(client.ack('b2')).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('a close code', () => {
  const table: [number, 'stops' | 'reconnects'][] = [
    [1000, 'stops'],
    [1001, 'reconnects'],
    [1007, 'stops'],
    [1008, 'stops'],
    [1009, 'stops'],
    [1011, 'reconnects'],
    [1012, 'reconnects'],
    [1013, 'reconnects'],
    [4400, 'stops'],
    [4401, 'reconnects'],
    [4403, 'stops'],
    [4408, 'reconnects'],
    [3999, 'reconnects'],
    [4999, 'stops'],
  ];
  it.each(table)('%i: the client %s', async (code, action) => {
    const { has, reaches, errors, states } = open();
    (await server.session()).ready().message('c1').close(code, 'because');
    if (action === 'reconnects') {
      expect((await server.session()).request.cursor).toBe('c1');
      expect(errors).toEqual([]);
    } else {
      await reaches('closed');
      expect(errors).toMatchObject([{ code: 'refused', closeCode: code, message: 'because' }]);
      expect(states.at(-1)?.error).toBe(errors[0]);
    }
    await has(1);
  });

  it('4410: the client starts anew and tells a reset', async () => {
    const { resets, reaches } = open({ cursor: 'c1' });
    (await server.session()).ready().close(4410);
    const second = await server.session();
    expect(second.request.cursor).toBe(null);
    second.ready({ counts: { a: 1 } });
    await reaches('live');
    expect(resets).toEqual([{ reason: 'lagging', counts: { a: 1 } }]);
  });

  it('4429: the client pauses', async () => {
    const { reaches, states } = open();
    (await server.session()).ready().close(4429);
    await reaches('waiting');
    expect(states.at(-1)).toMatchObject({ state: 'waiting', retryMs: 5_000 });
  });

  it('that was announced with a pause makes the client wait so long', async () => {
    const { reaches, states } = open();
    const session = (await server.session()).ready();
    session.send({ type: 'session.closing', object: { code: 1012, reason: 'restart', retry_ms: 7_000 } });
    await reaches('waiting');
    expect(states.at(-1)).toMatchObject({ retryMs: 7_000, error: { closeCode: 1012, message: 'restart' } });
  });

  it('before `session.ready` counts the same', async () => {
    server.websocket = 4403;
    const { reaches, errors } = open();
    await reaches('closed');
    expect(errors).toMatchObject([{ closeCode: 4403 }]);
  });
});

describe('a refreshed token', () => {
  const tokens = () => {
    let count = 0;
    return () => `token ${++count}`;
  };

  it('goes over the open WebSocket', async () => {
    const { reaches } = open({ token: tokens() });
    const session = (await server.session()).ready();
    await reaches('live');
    session.send({ type: 'session.expiring', object: { expires_at: '2026-01-01T00:00:00Z' } });
    expect(await session.next('session.refresh')).toEqual({
      type: 'session.refresh',
      object: { access_token: 'token 2' },
    });
    expect(server.sessions).toHaveLength(1);
  });

  it('makes a new event stream, from the same cursor', async () => {
    const { has, cursors } = open({ token: tokens(), transports: ['sse'] });
    const first = (await server.session()).ready().message('c1');
    await has(1);
    first.send({ type: 'session.expiring', object: { expires_at: '2026-01-01T00:00:00Z' } });
    const second = await server.session();
    expect(second.request).toMatchObject({ token: 'token 2', cursor: 'c1' });
    second.ready().message('c2');
    await has(2);
    expect(cursors()).toEqual(['c1', 'c2']);
  });

  it('is not asked for where the token is a string', async () => {
    const { reaches, has } = open();
    const session = (await server.session()).ready();
    await reaches('live');
    session.send({ type: 'session.expiring', object: { expires_at: '2026-01-01T00:00:00Z' } }).message('c1');
    await has(1);
    expect(session.received).toEqual([]);
  });
});

describe('a box id that can be none', () => {
  it.each(['websocket', 'sse', 'polling'] as const)('is refused over %s, and nothing is sent', async (transport) => {
    server.poll({}, 'c0', [{ messages: [], cursor: 'c0' }]);
    const { client, reaches } = open({ transports: [transport] });
    if (transport !== 'polling') (await server.session()).ready();
    await reaches('live');
    for (const boxId of ['', 'b'.repeat(257), undefined, 7, null]) {
      await expect(client.ack(boxId as string)).rejects.toMatchObject({
        code: 'ack_refused',
        message: 'boxId must be a non-empty string of at most 256 characters',
      });
    }
    expect(server.seen('ack')).toEqual([]);
    expect(server.sessions.flatMap(({ received }) => received)).toEqual([]);
    expect(client.state).toBe('live');
  });
});

describe('what no attempt puts right is told', () => {
  it.each([undefined, null, '', 7])('a token function that gives %j', async (given) => {
    let calls = 0;
    const token = () => (++calls === 1 ? (given as string) : 'good');
    const { reaches, errors } = open({ token });
    (await server.session()).ready();
    await reaches('live');
    expect(errors).toMatchObject([{ code: 'token_failed', message: 'the token function gave no string' }]);
    expect(server.requests.map(({ token }) => token)).toEqual(['good']);
  });

  it('two tokens refused in a row, once until one is taken', async () => {
    let count = 0;
    server.http.sse = (res) => answer(res, 401, { title: 'token invalid' });
    const { reaches, errors, client } = open({ transports: ['sse'], token: () => `token ${++count}` });
    await eventually('four refusals', () => server.seen('sse').length >= 4);
    expect(errors).toMatchObject([{ code: 'token_refused', closeCode: 4401, message: 'token invalid' }]);
    expect(client.state).not.toBe('closed');
    delete server.http.sse;
    const session = (await server.session()).ready();
    await reaches('live');
    server.http.sse = (res) => answer(res, 401);
    session.cut();
    await eventually('it is told again', () => errors.length === 2);
    expect(errors[1]).toMatchObject({ code: 'token_refused', message: 'HTTP 401' });
  });

  it('three attempts that came to nothing, once until a session begins', async () => {
    const refuse = () => {
      server.http.sse = (res) => answer(res, 404, {}, { 'Content-Type': 'text/html' });
    };
    refuse();
    const { client, reaches, errors } = open({ transports: ['sse'] });
    const attempts: number[] = [];
    client.onError(() => attempts.push(server.seen('sse').length));
    await eventually('seven attempts', () => server.seen('sse').length >= 7);
    expect(attempts).toEqual([3]);
    expect(errors).toMatchObject([{ code: 'disconnected', closeCode: 1006, message: 'never connected: HTTP 404' }]);
    delete server.http.sse;
    const session = (await server.session()).ready();
    await reaches('live');
    refuse();
    session.cut();
    await eventually('it is told again', () => errors.length === 2);
  });

  it('to a listener that may end the client', async () => {
    server.http.sse = (res) => answer(res, 401);
    const { client, states } = open({ transports: ['sse'], token: () => 'wrong' });
    client.onError(() => client.close());
    await eventually('the client is closed', () => client.state === 'closed');
    expect(states.at(-1)).toEqual({ state: 'closed', transport: 'sse' });
    expect(server.seen('sse')).toHaveLength(2);
  });
});

describe('where WebSockets are blocked', () => {
  it.each(['destroy', 400] as const)('an event stream is opened after two failures: %s', async (how) => {
    server.websocket = how;
    const { reaches, client, states } = open();
    (await server.session()).ready();
    await reaches('live');
    expect(client.transport).toBe('sse');
    expect(server.requests.map(({ endpoint }) => endpoint)).toEqual(['ws', 'ws', 'sse']);
    expect(states.map(({ state, transport }) => `${state} ${transport}`)).toEqual([
      'waiting websocket',
      'connecting websocket',
      'connecting sse',
      'live sse',
    ]);
  });

  it('the next drop tries them again, once, with the same cursor', async () => {
    server.websocket = 'destroy';
    const { has, client, reaches } = open();
    (await server.session()).ready().message('c1').close();
    const second = await server.session();
    expect(second.request).toMatchObject({ endpoint: 'sse', cursor: 'c1' });
    expect(server.seen('ws').map(({ cursor }) => cursor)).toEqual([null, null, 'c1']);
    server.websocket = 'accept';
    second.ready();
    await reaches('live');
    second.cut();
    const third = await server.session();
    expect(third.request).toMatchObject({ endpoint: 'ws', cursor: 'c1' });
    third.ready().message('c2');
    await has(2);
    expect(client.transport).toBe('websocket');
  });

  it('one that was open is not blocked, however often it drops', async () => {
    const { client } = open();
    for (let i = 0; i < 4; i++) (await server.session()).cut();
    expect(await server.session()).toMatchObject({ request: { endpoint: 'ws' } });
    expect(client.transport).toBe('websocket');
  });

  it('polls are sent where event streams do not come through either', async () => {
    server.websocket = 'destroy';
    server.http.sse = (res) => res.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>Blocked</p>');
    server.poll({ a: 1 }, 'c1', [{ messages: [], cursor: 'c1' }]);
    const { reaches, client } = open();
    await reaches('live');
    expect(client.transport).toBe('polling');
    expect(client.counts).toEqual({ a: 1 });
    expect(server.requests.slice(0, 4).map(({ endpoint }) => endpoint)).toEqual(['ws', 'ws', 'sse', 'counts']);
  });

  it('nothing is blamed when the server is not there at all', async () => {
    server.websocket = 'destroy';
    server.http.sse = server.http.counts = (res) => res.destroy();
    const { states } = open();
    await eventually('a second round', () => server.seen('counts').length > 0);
    server.websocket = 'accept';
    expect((await server.session()).request.endpoint).toBe('ws');
    expect(states.filter(({ state }) => state === 'live')).toEqual([]);
  });
});

describe('an event stream that is refused', () => {
  const refuse = async (status: number, headers = {}) => {
    server.http.sse = (res) => {
      answer(res, status, {}, headers);
      delete server.http.sse;
    };
    return open({ transports: ['sse'] });
  };

  it.each([400, 403])('with %i ends the client', async (status) => {
    const { reaches, errors } = await refuse(status);
    await reaches('closed');
    expect(errors).toMatchObject([{ code: 'refused', closeCode: 4000 + status, message: `HTTP ${status}` }]);
  });

  it.each([
    [404, 4400],
    [405, 4400],
    [413, 1009],
    [415, 4400],
    [426, 4400],
  ])('with %i ends the client as %i does', async (status, closeCode) => {
    const { reaches, errors } = await refuse(status);
    await reaches('closed');
    expect(errors).toMatchObject([{ code: 'refused', closeCode }]);
  });

  it.each([
    ['the detail', { title: 'malformed cursor', detail: 'leave it out' }, 'leave it out'],
    ['the title', { title: 'malformed cursor' }, 'malformed cursor'],
    ['nothing that holds the token', { title: 'no', detail: 'good is no token' }, 'HTTP 400'],
    ['nothing where the answer is no object', null, 'HTTP 400'],
  ])('repeats of the problem %s', async (_what, problem, message) => {
    server.http.sse = (res) => answer(res, 400, problem);
    const { reaches, errors } = open({ transports: ['sse'] });
    await reaches('closed');
    expect(errors).toMatchObject([{ code: 'refused', message }]);
  });

  it('with 401 renews the token', async () => {
    const { reaches } = await refuse(401);
    (await server.session()).ready();
    await reaches('live');
  });

  it.each([429, 503])('with %i makes it wait for as long as the server says', async (status) => {
    const { reaches, states } = await refuse(status, { 'Retry-After': '17' });
    await reaches('waiting');
    expect(states.at(-1)?.retryMs).toBe(17_000);
  });

  it('by something on the way is only a drop', async () => {
    const { reaches, states } = await refuse(403, { 'Content-Type': 'text/html' });
    (await server.session()).ready();
    await reaches('live');
    expect(states[0]?.error?.closeCode).toBe(1006);
  });

  it('and `retry:` are respected', async () => {
    const { reaches, states } = open({ transports: ['sse'] });
    const session = (await server.session()).ready();
    await reaches('live');
    session.retry(9_000);
    session.close();
    await reaches('waiting');
    expect(states.at(-1)?.retryMs).toBe(9_000);
  });
});

describe('over polling', () => {
  const transports: TransportName[] = ['polling'];

  it('hands on messages with the counts as of the top, then counts itself', async () => {
    server.poll({ a: 2 }, 'c2', [
      {
        messages: [
          { type: 'event.new', object: { box_id: 'a' }, cursor: 'c1', unread: true },
          { type: 'event.new', object: { box_id: 'a' }, cursor: 'c2', unread: true },
        ],
        cursor: 'c2',
      },
      { messages: [{ type: 'event.new', object: { box_id: 'a' }, cursor: 'c3', unread: true }], cursor: 'c3' },
    ]);
    const { has, client, messages, cursors } = open({ transports, cursor: 'c0' });
    await has(3);
    expect(cursors()).toEqual(['c1', 'c2', 'c3']);
    expect(messages.map(({ meta }) => meta.replayed)).toEqual([true, true, false]);
    expect(client.counts).toEqual({ a: 3 });
    await eventually('the third poll', () => server.seen('messages').length === 3);
    expect(server.seen('messages').map(({ cursor }) => cursor)).toEqual(['c0', 'c2', 'c3']);
  });

  it.each(['at first', 'later'])('tells a reset %s and goes on from the top', async (when) => {
    server.poll({ a: 5 }, 'c9', [
      ...(when === 'later' ? [{ messages: [], cursor: 'ancient' }] : []),
      { messages: [], cursor: 'c9', reset: 'trimmed' },
      { messages: [{ type: 'event.new', object: { box_id: 'a' }, cursor: 'd1', unread: true }], cursor: 'd1' },
    ]);
    const { has, resets, client } = open({ transports, cursor: 'ancient' });
    await has(1);
    expect(resets).toEqual([{ reason: 'trimmed', counts: { a: 5 } }]);
    expect(client.counts).toEqual({ a: 6 });
    expect(client.cursor).toBe('d1');
  });

  it('comes back from its cursor when a poll fails', async () => {
    server.poll({}, 'c0', [{ messages: [{ type: 'event.new', object: {}, cursor: 'c1' }], cursor: 'c1' }]);
    const { has, cursors } = open({ transports });
    await has(1);
    const { messages } = server.http;
    await eventually('a poll hangs', () => server.seen('messages').length === 2);
    server.http.messages = (res, request) => {
      server.http.messages = messages!;
      expect(request.cursor).toBe('c1');
      answer(res, 200, { messages: [{ type: 'event.new', object: {}, cursor: 'c2' }], cursor: 'c2' });
    };
    server.cut();
    await has(2);
    expect(cursors()).toEqual(['c1', 'c2']);
  });

  it('renews its token when a poll is refused', async () => {
    server.poll({}, 'c0', []);
    server.http.messages = (res, { token }) => {
      if (token === 'old') answer(res, 401);
      else answer(res, 200, { messages: [], cursor: 'c0' });
    };
    const { reaches } = open({ transports, token: ({ renew }) => (renew ? 'new' : 'old') });
    await eventually('a poll with the new token', () => server.seen('messages').some(({ token }) => token === 'new'));
    await reaches('live');
  });
});

describe('an ack that is posted', () => {
  const transports: TransportName[] = ['sse'];

  it('is posted again when the server could not take it', async () => {
    const { client } = open({ transports });
    let calls = 0;
    server.http.ack = (res) => answer(res, ++calls === 1 ? 503 : 204);
    (await server.session()).ready();
    await client.ack('b');
    expect(calls).toBe(2);
  });

  it('is posted again with a new token when the old one is refused', async () => {
    const { client } = open({ transports, token: ({ renew }) => (renew ? 'new' : 'old') });
    server.http.ack = (res, { token }) => answer(res, token === 'old' ? 401 : 204);
    const acked = client.ack('b');
    (await server.session()).ready();
    (await server.session()).ready();
    await acked;
    expect(server.seen('ack').map(({ token }) => token)).toEqual(['old', 'new']);
  });

  it.each([404, 405, 413, 415])('that is refused with %i leaves the client and later acks alone', async (status) => {
    const { client, reaches } = open({ transports });
    server.http.ack = (res, { body }) => {
      if (body.includes('bad')) answer(res, status, { title: 'no', detail: 'not that one' });
      else answer(res, 204);
    };
    (await server.session()).ready();
    await reaches('live');
    const refused = expect(client.ack('bad')).rejects.toMatchObject({ code: 'ack_refused', message: 'not that one' });
    await client.ack('b');
    await refused;
    expect(client.state).toBe('live');
    expect(server.seen('ack')).toHaveLength(2);
  });

  it('is rejected when the server refuses it', async () => {
    const { client, reaches } = open({ transports });
    server.http.ack = (res) => answer(res, 400);
    (await server.session()).ready();
    await reaches('live');
    await expect(client.ack('b')).rejects.toMatchObject({ code: 'ack_refused', closeCode: 4400 });
    expect(client.state).toBe('live');
  });
});
