// The API and the page as an Express app.

import { fileURLToPath } from 'node:url';
import express from 'express';
import { expressMiddleware } from 'usercast/express';
import { clientFile, pageHeaders } from './api/page.js';
import { Refused } from './api/refused.js';

export function expressApp(usercast, routes) {
  const app = express().disable('x-powered-by');
  app.use(expressMiddleware(usercast));
  app.use(express.json({ limit: '64kb' }));
  app.use((_req, res, next) => {
    res.set(pageHeaders);
    next();
  });

  for (const { method, path, handle } of routes) {
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
  return app;
}
