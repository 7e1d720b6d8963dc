// One of the server processes: the demo's API on Express, with a broker that all of them share. It tells the starter where
// it listens and whose sessions it has.

import { createServer } from 'node:http';
import { createUsercast, jwtVerifier } from 'usercast';
import { Boxes } from '../demo/api/boxes.js';
import { createRoutes } from '../demo/api/routes.js';
import { run } from '../demo/api/run.js';
import { seed } from '../demo/api/seed.js';
import { tokenRules } from '../demo/api/tokens.js';
import { expressApp } from '../demo/express-app.js';
import { sharedBroker } from './broker.js';
import { DatabaseStore } from './database.js';

const shared = await sharedBroker();
const usercast = createUsercast({ verifier: jwtVerifier(tokenRules), ...shared });
usercast.on('error', ({ stage, cause }) => console.error(`usercast, ${stage}:`, cause));
usercast.on('connect', (session) => process.send({ connected: session }));
usercast.on('disconnect', ({ sessionId }) => process.send({ disconnected: sessionId }));

const boxes = new Boxes(usercast, new DatabaseStore());
if (process.env.SEED) await seed(boxes);

const about = { framework: process.env.TITLE, view: '/cluster/processes.js' };
const server = createServer(expressApp(usercast, createRoutes(boxes, about)));
usercast.attach(server);
server.on('listening', () => process.send({ port: server.address().port }));
server.on('close', async () => {
  await Promise.all([shared.broker.close(), shared.counters?.close()]);
  process.disconnect();
});
// Without the starter there is neither a proxy nor a database.
process.on('disconnect', () => process.exit());
run(server, usercast);
