// The demo's server on Koa 3: the twin of `server.js`.

import { createServer } from 'node:http';
import Koa from 'koa';
import { createUsercast, jwtVerifier } from 'usercast';
import { koaMiddleware } from 'usercast/koa';
import { Boxes } from './api/boxes.js';
import { MemoryStore } from './api/memory-store.js';
import { pageHeaders, readPage } from './api/page.js';
import { Refused } from './api/refused.js';
import { createRoutes } from './api/routes.js';
import { run } from './api/run.js';
import { seed } from './api/seed.js';
import { tokenRules } from './api/tokens.js';

const usercast = createUsercast({ verifier: jwtVerifier(tokenRules) });
usercast.on('error', ({ stage, cause }) => console.error(`usercast, ${stage}:`, cause));

const boxes = new Boxes(usercast, new MemoryStore());
await seed(boxes);

const page = await readPage(new URL('public/', import.meta.url));
const routes = createRoutes(boxes, { framework: 'Koa' }).map((route) => ({
  ...route,
  pattern: new RegExp(`^${route.path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`),
}));

const app = new Koa();
app.use(koaMiddleware(usercast));
app.use(async (ctx, next) => {
  try {
    ctx.set(pageHeaders);
    await next();
  } catch (error) {
    const problem = Refused.problem(error);
    if (problem.status >= 500) console.error(error);
    ctx.status = problem.status;
    ctx.type = 'application/problem+json';
    ctx.body = JSON.stringify(problem);
  }
});
app.use(async (ctx, next) => {
  const route = routes.find(({ method, pattern }) => method.toUpperCase() === ctx.method && pattern.test(ctx.path));
  if (!route) return next();
  const params = route.pattern.exec(ctx.path).groups ?? {};
  const answer = await route.handle({ params, body: await jsonBody(ctx.req), authorization: ctx.get('authorization') });
  if (answer === undefined) ctx.status = 204;
  else ctx.body = answer;
});
app.use((ctx) => {
  const file = page.get(ctx.path);
  if (!file) throw new Refused(404, 'There is nothing here.');
  ctx.type = file.name.slice(file.name.lastIndexOf('.'));
  ctx.body = file.body;
});

async function jsonBody(req) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of req) {
    bytes += chunk.length;
    if (bytes > 65_536) throw new Refused(413, 'This is too much at once.');
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) ?? {};
  } catch {
    throw new Refused(400, 'The body is not JSON.');
  }
}

const server = createServer(app.callback());
usercast.attach(server);
run(server, usercast);
