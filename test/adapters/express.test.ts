import { createServer, type Server } from 'node:http';
import compression from 'compression';
import express5, { type Express as App } from 'express';
import express4 from 'express4';
import { createUsercast, type Usercast } from 'usercast';
import { expressMiddleware } from 'usercast/express';
import { afterEach, describe, expect, it } from 'vitest';
import { tokenFor, tokenVerifier } from '../support/fake-engine.ts';
import { openStream, poll } from '../support/http-clients.ts';
import { listen, RawClient, shut, upgradeText } from '../support/raw-client.ts';

declare global {
  namespace Express {
    interface Request {
      usercast: Usercast;
    }
  }
}

const authorization = `Bearer ${tokenFor('ada')}`;
const event = {
  id: 'e1',
  type: 'msg.text',
  box_id: 'b1',
  server_event_created_at: '2026-11-20T10:00:00Z',
  sender: { id: 'bob' },
  content: { text: 'hello' },
} as const;

describe.each([
  ['Express 5', express5],
  ['Express 4', express4],
])('expressMiddleware on %s', (_name, express) => {
  const closers: (() => Promise<void>)[] = [];

  /** A running app: `build` mounts the middleware where the test wants it. */
  async function run(build: (app: App, usercast: Usercast) => void, attachFirst = false) {
    const usercast = createUsercast({ verifier: tokenVerifier });
    const app = express();
    const server: Server = createServer(app);
    if (attachFirst) usercast.attach(server);
    build(app, usercast);
    closers.push(
      () => shut(server),
      () => usercast.close(),
    );
    return { usercast, server, origin: `http://127.0.0.1:${await listen(server)}` };
  }

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  it('serves counts and ack, and hands the usercast to routes', async () => {
    const { usercast, origin } = await run((app, made) => {
      app.use(expressMiddleware(made));
      app.post('/messages', async (req, res) => {
        await req.usercast.publishEvent(['ada'], event);
        res.sendStatus(201);
      });
    });
    expect((await fetch(`${origin}/messages`, { method: 'POST' })).status).toBe(201);
    const url = `${origin}/box-users/ada`;
    const counts = (await (await fetch(`${url}/counts`, { headers: { authorization } })).json()) as object;
    expect(counts).toMatchObject({ counts: { b1: 1 } });
    const body = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });
    const headers = { authorization, 'content-type': 'application/json' };
    expect((await fetch(`${url}/ack`, { method: 'POST', headers, body })).status).toBe(204);
    expect(await usercast.counts('ada')).toEqual({});
  });

  it.each([false, true])('works beside attach, attached first: %s', async (attachFirst) => {
    const { usercast, server, origin } = await run((app, made) => app.use(expressMiddleware(made)), attachFirst);
    if (!attachFirst) usercast.attach(server);
    const client = new RawClient(Number(new URL(origin).port));
    client.send(upgradeText('/box-users/ada/ws', { headers: { Authorization: authorization } }));
    expect((await client.response()).status).toBe(101);
    client.socket.destroy();
    const withQuery = await fetch(`${origin}/box-users/ada/counts?access_token=${tokenFor('ada')}`);
    expect(withQuery.status).toBe(200);
  });

  it.each(['/', '/box-users', '/box-users/:id'])('keeps its absolute path when it is mounted on %s', async (mount) => {
    const { origin } = await run((app, usercast) => {
      const router = express.Router();
      router.use(expressMiddleware(usercast));
      app.use(mount, router);
    });
    const response = await fetch(`${origin}/box-users/ada/counts`, { headers: { authorization } });
    expect(response.status).toBe(200);
    expect((await fetch(`${origin}/api/box-users/ada/counts`)).status).toBe(404);
  });

  it.each([
    ['before', true],
    ['after', false],
  ])('takes an ack with express.json() %s it', async (_when, parserFirst) => {
    const { usercast, origin } = await run((app, made) => {
      if (parserFirst) app.use(express.json(), express.urlencoded({ extended: false }));
      app.use(expressMiddleware(made));
      if (!parserFirst) app.use(express.json());
    });
    await usercast.publishEvent('ada', event);
    const body = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });
    const headers = { authorization, 'content-type': 'application/json; charset=utf-8' };
    const response = await fetch(`${origin}/box-users/ada/ack`, { method: 'POST', headers, body });
    expect(response.status).toBe(204);
    expect(await usercast.counts('ada')).toEqual({});
  });

  it('reads a body that another kind of parser left alone', async () => {
    const { origin } = await run((app, made) =>
      app.use(express.urlencoded({ extended: false }), expressMiddleware(made)),
    );
    const body = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });
    const headers = { authorization, 'content-type': 'application/json' };
    expect((await fetch(`${origin}/box-users/ada/ack`, { method: 'POST', headers, body })).status).toBe(204);
  });

  it.each([
    ['before', true],
    ['after', false],
  ])('lets event streams and long polls flow at once with compression %s it', async (_when, compressionFirst) => {
    const closed: string[] = [];
    const { usercast, origin } = await run((app, made) => {
      app.use((req, res, next) => {
        res.on('close', () => closed.push(req.path));
        next();
      });
      if (compressionFirst) app.use(compression({ threshold: 0 }));
      app.use(expressMiddleware(made));
      if (!compressionFirst) app.use(compression({ threshold: 0 }));
    });
    const site = { port: Number(new URL(origin).port) };
    const ada = { userId: 'ada', token: tokenFor('ada'), headers: { 'accept-encoding': 'gzip' } };
    const stream = await openStream(site, ada);
    const { id } = await stream.next();
    expect(stream.response.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    expect(stream.response.headers['content-encoding']).toBeUndefined();
    const polled = poll(site, { ...ada, query: { cursor: id! } });
    await expect.poll(() => usercast.stats().sessions).toBe(2);
    await usercast.notify('ada', 'n', { n: 1 });
    expect(await stream.next()).toMatchObject({ type: 'n', object: { n: 1 } });
    expect((await polled).body.messages).toMatchObject([{ type: 'n', object: { n: 1 } }]);

    stream.response.pause();
    const object = { text: 'x'.repeat(300_000) };
    for (let i = 0; usercast.stats().slow === 0 && i < 200; i++) {
      await usercast.notify('ada', 'big', object);
      await new Promise((resolve) => setImmediate(resolve));
    }
    stream.response.resume();
    await expect.poll(() => stream.messages.length).toBe(usercast.stats().published + 1);
    stream.leave();
    await expect.poll(() => closed.sort()).toEqual(['/box-users/ada/messages', '/box-users/ada/sse']);
    expect(usercast.stats().sessions).toBe(0);
  });

  it('leaves no token for a logger that looks at the end', async () => {
    const logged: string[] = [];
    const { origin } = await run((app, usercast) => {
      app.use((req, res, next) => {
        res.on('close', () => logged.push(req.originalUrl, req.url));
        next();
      });
      app.use('/box-users', expressMiddleware(usercast));
    });
    await fetch(`${origin}/box-users/ada/counts?access_token=${tokenFor('ada')}&x`);
    await expect.poll(() => logged.length).toBe(2);
    expect(logged.join()).not.toContain('token');
    expect(logged[0]).toBe('/box-users/ada/counts?x');
  });

  it('leaves every other request to the app', async () => {
    const { origin } = await run((app, usercast) => {
      app.use(expressMiddleware(usercast));
      app.get('/box-users/:id/profile', (req, res) => void res.send(`profile of ${req.params.id} ${req.url}`));
    });
    expect(await (await fetch(`${origin}/box-users/ada/profile?access_token=x`)).text()).toBe(
      'profile of ada /box-users/ada/profile?access_token=x',
    );
    expect((await fetch(`${origin}/nothing`)).status).toBe(404);
  });

  it('gives a missing verifier to the error handler of the app', async () => {
    const { origin } = await run((app) => {
      app.use(expressMiddleware(createUsercast()));
      app.use(
        (error: { code: string }, _req: express5.Request, res: express5.Response, _next: express5.NextFunction) =>
          void res.status(500).send(error.code),
      );
    });
    const response = await fetch(`${origin}/box-users/ada/counts`);
    expect([response.status, await response.text()]).toEqual([500, 'verifier_missing']);
  });
});
