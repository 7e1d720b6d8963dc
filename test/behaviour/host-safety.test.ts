// Whatever comes in at the door, the host's process lives on and nothing is left behind.

import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createUsercast, type Usercast, type UsercastOptions } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { tokenFor, tokenVerifier } from '../support/fake-engine.ts';
import {
  clientFrame,
  eventually,
  listen,
  RawClient,
  shut,
  socketsOf,
  TLS_SERVER_OPTIONS,
  upgradeText,
} from '../support/raw-client.ts';
import { seededRandom } from '../support/seed.ts';

const ADA = '/box-users/ada/ws';
const headers = { Authorization: `Bearer ${tokenFor('ada')}` };

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Running {
  readonly usercast: Usercast;
  readonly server: Server;
  readonly port: number;
  readonly errors: unknown[];
}

async function run(options: UsercastOptions = {}, tls = false): Promise<Running> {
  const usercast = createUsercast({ verifier: tokenVerifier, ...options });
  const errors: unknown[] = [];
  usercast.on('error', (error) => errors.push(error));
  const answer = { maxHeaderSize: 256 * 1024 };
  const server: Server = tls ? createTlsServer({ ...TLS_SERVER_OPTIONS, ...answer }) : createServer(answer);
  server.on('request', (req, res) => void (usercast.handleRequest(req, res) || res.end('the host')));
  usercast.attach(server);
  closers.push(
    () => usercast.close(),
    () => shut(server),
  );
  return { usercast, server, port: await listen(server), errors };
}

/** Nothing is left: no socket, no session, no listener but ours. */
async function expectNothingLeft({ usercast, server, errors }: Running): Promise<void> {
  await eventually('all sockets are gone', async () => (await socketsOf(server)) === 0);
  await eventually('all sessions are gone', () => usercast.stats().sessions === 0);
  expect(server.listenerCount('upgrade')).toBe(1);
  expect(errors).toEqual([]);
  const closed = new Promise((resolve) => server.close(resolve));
  await closed;
}

describe.each([
  ['http', false],
  ['https', true],
])('a socket over %s', (_scheme, tls) => {
  const LEAVING = ['end', 'destroy', 'resetAndDestroy', 'destroySoon'] as const;
  const ROUNDS = 5;
  const AT_ONCE = tls ? 15 : 40;

  it('may die at any moment of a slow verification', async () => {
    const random = seededRandom(tls ? 2 : 1);
    const wait = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));
    const running = await run(
      {
        verifier: {
          verify: async (token, context) => {
            await wait(random() * 20);
            return tokenVerifier.verify(token, context);
          },
        },
        limits: { maxConnectionsPerUser: 0 },
      },
      tls,
    );
    for (let round = 0; round < ROUNDS; round++) {
      const clients = Array.from({ length: AT_ONCE }, async () => {
        const client = new RawClient(running.port, { tls });
        const text = upgradeText(ADA, { headers });
        const cut = random() < 0.2 ? Math.floor(random() * text.length) : text.length;
        client.send(text.slice(0, cut));
        if (random() < 0.2) client.send(clientFrame(1, 'early'));
        await wait(random() * 30);
        const how = LEAVING[Math.floor(random() * LEAVING.length)]!;
        // TLS sockets cannot be reset.
        if (tls && how === 'resetAndDestroy') client.socket.destroy();
        else client.socket[how]();
        if (how === 'end') await Promise.race([client.closed, wait(50)]);
        client.socket.destroy();
      });
      await Promise.all(clients);
    }
    const last = new RawClient(running.port, { tls }).send(upgradeText(ADA, { headers }));
    expect((await last.response()).status).toBe(101);
    last.socket.destroy();
    await expectNothingLeft(running);
  });
});

describe('a handshake', () => {
  const longQuery = `${ADA}?${'x=%20&'.repeat(11_000)}`;

  it.each<[string, string, number]>([
    ['a 64 KB query', upgradeText(`${longQuery}&access_token=${tokenFor('ada')}`), 101],
    ['a 64 KB query without a token', upgradeText(longQuery), 401],
    ['64 KB of separators', upgradeText(`${ADA}?${'&'.repeat(65_536)}`), 401],
    ['a 64 KB token', upgradeText(`${ADA}?access_token=${'x'.repeat(65_536)}`), 401],
    [
      'a 64 KB subprotocol token',
      upgradeText(ADA, { headers: { 'Sec-WebSocket-Protocol': `usercast.bearer.${'YQ'.repeat(32_768)}` } }),
      401,
    ],
    ['a 64 KB origin', upgradeText(ADA, { headers: { Origin: `https://${'x'.repeat(65_536)}` } }), 403],
    ['a broken escape in the path', upgradeText('/box-users/%E0%A4%A/ws', { headers }), 400],
    ['a broken escape in the query', upgradeText(`${ADA}?%E0%A4%A&access_token=%E0%A4%A`), 401],
    ['a malformed URL', upgradeText('http://[:::/box-users/ada/ws', { headers }), 101],
    ['a foreign malformed URL', upgradeText('http://[', { headers }), 404],
    ['an asterisk', upgradeText('*', { headers }), 404],
    ['two slashes', upgradeText(`/${ADA}`, { headers }), 404],
    ['a foreign path', upgradeText('/elsewhere', { headers }), 404],
    ['no key', upgradeText(ADA, { headers: { ...headers, 'Sec-WebSocket-Key': undefined } }), 400],
    ['HTTP/1.0', upgradeText(ADA, { version: '1.0', headers }), 426],
    ['HTTP/1.0 on a foreign path', upgradeText('/elsewhere', { version: '1.0' }), 404],
    ['a body', `${upgradeText(ADA, { headers: { ...headers, 'Content-Length': '5' } })}hello`, 101],
    [
      'extensions that it does not know',
      upgradeText(ADA, { headers: { ...headers, 'Sec-WebSocket-Extensions': ';;=' } }),
      101,
    ],
    ['prototype names', upgradeText('/box-users/__proto__/ws', { headers }), 403],
  ])('with %s is answered, and ends', async (_what, text, status) => {
    const running = await run();
    const client = new RawClient(running.port).send(text);
    expect((await client.response()).status).toBe(status);
    if (status === 101) client.socket.destroy();
    await client.closed;
    await expectNothingLeft(running);
  });

  it.each<[string, string, number]>([
    ['accepted', upgradeText(ADA, { headers }), 101],
    ['refused', upgradeText(ADA), 401],
    ['foreign', upgradeText('/elsewhere'), 404],
  ])('that is %s copes with what is pipelined behind it', async (_what, text, status) => {
    const running = await run();
    for (const behind of [
      clientFrame(1, 'x'.repeat(100)),
      upgradeText(ADA, { headers }),
      Buffer.alloc(200_000, 0xff),
    ]) {
      const client = new RawClient(running.port).send(text).send(behind);
      expect((await client.response()).status).toBe(status);
      client.socket.end();
      await client.closed;
    }
    await expectNothingLeft(running);
  });

  it.each([
    ['refused', upgradeText(ADA)],
    ['foreign', upgradeText('/elsewhere')],
  ])('that is %s is cut off when the peer goes on sending and never closes', async (_what, text) => {
    const running = await run();
    const client = new RawClient(running.port, { stays: true }).send(text);
    const flood = setInterval(() => client.socket.writable && client.send(Buffer.alloc(64 * 1024)), 2);
    await client.response();
    await eventually('the server cuts it off', async () => (await socketsOf(running.server)) === 0);
    clearInterval(flood);
    client.socket.destroy();
    await expectNothingLeft(running);
  });

  it('leaves no listener of the door on an open socket', async () => {
    const running = await run();
    const listeners: number[] = [];
    running.server.on('connection', (socket) => {
      void eventually('open', () => running.usercast.stats().sessions === 1).then(() => {
        listeners.push(...['error', 'end', 'close'].map((name) => socket.listenerCount(name)));
      });
    });
    const client = new RawClient(running.port).send(upgradeText(ADA, { headers }));
    await eventually('counted', () => listeners.length === 3);
    // One of ws for each, and for `end` and `close` what Node itself keeps there.
    expect(listeners[0]).toBe(1);
    expect(listeners[1]).toBeLessThanOrEqual(2);
    expect(listeners[2]).toBeLessThanOrEqual(2);
    client.socket.destroy();
    await expectNothingLeft(running);
  });
});

describe('a request', () => {
  const token = `Authorization: Bearer ${tokenFor('ada')}\r\n`;

  it.each<[string, string, number]>([
    ['over HTTP/1.0', `GET /box-users/ada/counts HTTP/1.0\r\n${token}\r\n`, 200],
    ['in absolute form', `GET http://x/box-users/ada/counts HTTP/1.1\r\nHost: x\r\n${token}\r\n`, 200],
    ['with a broken escape', `GET /box-users/%/counts HTTP/1.1\r\nHost: x\r\n${token}\r\n`, 400],
    ['with a 64 KB query', `GET /box-users/ada/counts?${'&'.repeat(65_536)} HTTP/1.1\r\nHost: x\r\n${token}\r\n`, 200],
    ['that asks for ws without an upgrade', `GET ${ADA} HTTP/1.1\r\nHost: x\r\n${token}\r\n`, 426],
    ['for the host', 'GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n', 200],
  ])('%s is answered', async (_what, text, status) => {
    const running = await run();
    const client = new RawClient(running.port).send(text);
    expect((await client.response()).status).toBe(status);
    client.socket.end();
    await client.closed;
    await expectNothingLeft(running);
  });

  it('may die at any moment', async () => {
    const random = seededRandom(3);
    const running = await run();
    const body = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });
    const text = `POST /box-users/ada/ack HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${token}\r\n${body}`;
    for (let round = 0; round < 100; round++) {
      const client = new RawClient(running.port).send(text.slice(0, Math.floor(random() * text.length * 1.3)));
      await new Promise((resolve) => void setTimeout(resolve, random() * 4));
      if (random() < 0.5) client.socket.destroy();
      else client.socket.resetAndDestroy();
    }
    await expectNothingLeft(running);
  });
});
