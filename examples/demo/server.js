// The demo's server on Express 5. `koa-server.js` is the same on Koa 3.

import { createServer } from 'node:http';
import { createUsercast, jwtVerifier } from 'usercast';
import { Boxes } from './api/boxes.js';
import { MemoryStore } from './api/memory-store.js';
import { createRoutes } from './api/routes.js';
import { run } from './api/run.js';
import { seed } from './api/seed.js';
import { tokenRules } from './api/tokens.js';
import { expressApp } from './express-app.js';

const usercast = createUsercast({ verifier: jwtVerifier(tokenRules) });
usercast.on('error', ({ stage, cause }) => console.error(`usercast, ${stage}:`, cause));

const boxes = new Boxes(usercast, new MemoryStore());
await seed(boxes);

const server = createServer(expressApp(usercast, createRoutes(boxes, { framework: 'Express' })));
usercast.attach(server);
run(server, usercast);
