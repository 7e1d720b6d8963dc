import { createServer, type Server } from 'node:http';
import Koa3 from 'koa';
import compress from 'koa-compress';
import Koa2 from 'koa2';
import { createUsercast, type Usercast } from 'usercast';
import { koaMiddleware } from 'usercast/koa';
import { afterEach, describe, expect, it } from 'vitest';
import { tokenFor, tokenVerifier } from '../support/fake-engine.ts';
import { openStream, poll } from '../support/http-clients.ts';
import { listen, RawClient, shut, upgradeText } from '../support/raw-client.ts';

declare module 'koa' {
  interface DefaultContext {
    usercast: Usercast;
  }
}

const authorization = `Bearer ${tokenFor('ada')}`;
const ack = JSON.stringify({ sender_id: 'ada', box_id: 'b1' });
const event = {
  id: 'e1',
  type: 'msg.text',
  box_id: 'b1',
  server_event_created_at: '2026-11-20T10:00:00Z',
  sender: { id: 'bob' },
  content: { text: 'hello' },
} as const;

/** What body parsers of Koa do: read the stream, leave the result on Koa's request. */
async function bodyParser(ctx: Koa3.Context, next: Koa3.Next): Promise<void> {
  let text = '';
  for await (const chunk of ctx.req) text += chunk;
  Object.assign(ctx.request, { body: text === '' ? {} : JSON.parse(text) });
  await next();
}

/** What mounts of Koa do: the path is cut for those inside. */
function mounted(prefix: string, middleware: Koa3.Middleware): Koa3.Middleware {
  return async (ctx, next) => {
    if (!ctx.path.startsWith(prefix)) return next();
    const { path } = ctx;
    ctx.path = path.slice(prefix.length) || '/';
    await middleware(ctx, async () => {
      ctx.path = path;
      await next();
      ctx.path = path.slice(prefix.length) || '/';
    });
    ctx.path = path;
  };
}

describe.each([
  ['Koa 3', Koa3],
  ['Koa 2', Koa2],
])('koaMiddleware on %s', (_name, Koa) => {
  const closers: (() => Promise<void>)[] = [];

  async function run(build: (app: Koa3, usercast: Usercast) => void, attachFirst = false) {
    const usercast = createUsercast({ verifier: tokenVerifier });
    const app = new Koa();
    const server: Server = createServer();
    if (attachFirst) usercast.attach(server);
    build(app, usercast);
    server.on('request', app.callback());
    closers.push(
      () => shut(server),
      () => usercast.close(),
    );
    return { usercast, server, app, origin: `http://127.0.0.1:${await listen(server)}` };
  }

  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  it('serves counts and ack, and hands the usercast to what is after it', async () => {
    const { usercast, origin } = await run((app, made) => {
      app.use(koaMiddleware(made));
      app.use(async (ctx) => {
        await ctx.usercast.publishEvent(['ada'], event);
        ctx.status = 201;
      });
    });
    expect((await fetch(`${origin}/messages`, { method: 'POST' })).status).toBe(201);
    const url = `${origin}/box-users/ada`;
    const counts = (await (await fetch(`${url}/counts`, { headers: { authorization } })).json()) as object;
    expect(counts).toMatchObject({ counts: { b1: 1 } });
    const headers = { authorization, 'content-type': 'application/json' };
    expect((await fetch(`${url}/ack`, { method: 'POST', headers, body: ack })).status).toBe(204);
    expect(await usercast.counts('ada')).toEqual({});
  });

  it.each([false, true])('works beside attach, attached first: %s', async (attachFirst) => {
    const { usercast, server, origin } = await run((app, made) => app.use(koaMiddleware(made)), attachFirst);
    if (!attachFirst) usercast.attach(server);
    const client = new RawClient(Number(new URL(origin).port));
    client.send(upgradeText('/box-users/ada/ws', { headers: { Authorization: authorization } }));
    expect((await client.response()).status).toBe(101);
    client.socket.destroy();
    const withQuery = await fetch(`${origin}/box-users/ada/counts?access_token=${tokenFor('ada')}`);
    expect(withQuery.status).toBe(200);
  });

  it.each(['', '/box-users', '/box-users/ada'])('keeps its absolute path when it is mounted on "%s"', async (mount) => {
    const { origin } = await run((app, usercast) => app.use(mounted(mount, koaMiddleware(usercast))));
    const url = `${origin}/box-users/ada/counts?access_token=${tokenFor('ada')}`;
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(`${origin}/api/box-users/ada/counts`)).status).toBe(404);
  });

  it('takes an ack that a body parser has read', async () => {
    const { usercast, origin } = await run((app, made) => app.use(bodyParser).use(koaMiddleware(made)));
    await usercast.publishEvent('ada', event);
    const headers = { authorization, 'content-type': 'application/json' };
    expect((await fetch(`${origin}/box-users/ada/ack`, { method: 'POST', headers, body: ack })).status).toBe(204);
    expect(await usercast.counts('ada')).toEqual({});
  });

  it('lets what is before it see the answer and the URL without the token', async () => {
    const logged: unknown[] = [];
    const { origin, app } = await run((made, usercast) => {
      made.use(async (ctx, next) => {
        await next();
        logged.push(ctx.status, ctx.url, ctx.originalUrl, ctx.request.originalUrl);
      });
      made.use(mounted('/box-users', koaMiddleware(usercast)));
    });
    app.on('error', (error) => logged.push(error));
    const refused = await fetch(`${origin}/box-users/ada/counts?access_token=secret&x`);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('content-type')).toBe('application/problem+json');
    await expect.poll(() => logged.length).toBe(4);
    const url = '/box-users/ada/counts?x';
    expect(logged).toEqual([401, url, url, url]);
  });

  it('lets event streams and long polls flow at once, and what is before it resumes when they end', async () => {
    const ended: string[] = [];
    const { usercast, origin, app } = await run((made, mine) => {
      made.use(async (ctx, next) => {
        await next();
        ended.push(`${ctx.path} ${ctx.status}`);
      });
      made.use(compress({ threshold: 0 })).use(koaMiddleware(mine));
    });
    app.on('error', (error) => ended.push(String(error)));
    const site = { port: Number(new URL(origin).port) };
    const ada = { userId: 'ada', token: tokenFor('ada'), headers: { 'accept-encoding': 'gzip' } };
    const stream = await openStream(site, ada);
    const { id } = await stream.next();
    const polled = poll(site, { ...ada, query: { cursor: id! } });
    await expect.poll(() => usercast.stats().sessions).toBe(2);
    expect(ended).toEqual([]);
    await usercast.notify('ada', 'n', { n: 1 });
    expect(await stream.next()).toMatchObject({ type: 'n', object: { n: 1 } });
    expect((await polled).body.messages).toMatchObject([{ type: 'n', object: { n: 1 } }]);
    await expect.poll(() => ended).toEqual(['/box-users/ada/messages 200']);
    const left = await openStream(site, ada);
    left.leave();
    await expect.poll(() => ended.length).toBe(2);
    await usercast.drain();
    expect(await stream.over).toBe('end');
    await expect.poll(() => ended.slice(1)).toEqual(['/box-users/ada/sse 200', '/box-users/ada/sse 200']);
  });

  it('leaves every other request to the app', async () => {
    const { origin } = await run((app, usercast) => {
      app.use(koaMiddleware(usercast));
      app.use((ctx) => {
        if (ctx.path.endsWith('/profile')) ctx.body = `the profile at ${ctx.url}`;
      });
    });
    const profile = '/box-users/ada/profile?access_token=x';
    expect(await (await fetch(origin + profile)).text()).toBe(`the profile at ${profile}`);
    expect((await fetch(`${origin}/nothing`)).status).toBe(404);
  });
});
