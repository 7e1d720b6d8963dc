// The demo's server on Express 5. `koa-server.js` is the same on Koa 3.

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import express from 'express';
import { createUsercast, jwtVerifier } from 'usercast';
import { expressMiddleware } from 'usercast/express';
import { clientFile, pageHeaders } from './api/page.js';
import { Refused } from './api/refused.js';
import { createRoutes } from './api/routes.js';
import { run } from './api/run.js';
import { tokenRules } from './api/tokens.js';

const usercast = createUsercast({ verifier: jwtVerifier(tokenRules) });
usercast.on('error', ({ stage, cause }) => console.error(`usercast, ${stage}:`, cause));

const app = express().disable('x-powered-by');
app.use(expressMiddleware(usercast));
app.use(express.json({ limit: '64kb' }));
app.use((_req, res, next) => {
  res.set(pageHeaders);
  next();
});

for (const { method, path, handle } of await createRoutes({ usercast, framework: 'Express' })) {
  app[method](path, async (req, res) => {
    const { params, body = {} } = req;
    const answer = await handle({ params, body, authorization: req.get('authorization') });
    if (answer === undefined) res.status(204).end();
    else res.json(answer);
  });
}
app.get(clientFile.path, (_req, res) => res.type('js').send(clientFile.body));
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))));
app.use(() => {
  throw new Refused(404, 'There is nothing here.');
});
app.use((error, _req, res, _next) => {
  const problem = Refused.problem(error);
  if (problem.status >= 500) console.error(error);
  res.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
});

const server = createServer(app);
usercast.attach(server);
run(server, usercast);
