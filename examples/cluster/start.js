// Starts the cluster: a Redis (or a NATS), three server processes, and a proxy before them on one address. It also keeps
// the database, and ends everything with itself.

import { randomBytes } from 'node:crypto';
import { startBrokerServer } from './broker-server.js';
import { createControl } from './control.js';
import { Database } from './database.js';
import { createProxy } from './proxy.js';
import { ServerProcess } from './server-process.js';

const port = Number(process.env.PORT ?? 3000);
const { REDIS_URL, NATS_URL, BROKER = NATS_URL ? 'nats' : 'redis' } = process.env;
const given = { redis: REDIS_URL && { REDIS_URL }, nats: NATS_URL && { NATS_URL } }[BROKER];

try {
  await start();
} catch (error) {
  console.error(error.code === 'EADDRINUSE' ? `port ${port} is taken: try PORT=0 npm run cluster` : error.message);
  process.exitCode = 1;
}

async function start() {
  const broker = given ? { env: given, stop: async () => {} } : await startBrokerServer(BROKER);
  const database = new Database();
  const env = {
    ...broker.env,
    TITLE: `3 × Express · ${{ redis: 'Redis', nats: 'NATS' }[BROKER]}`,
    TOKEN_SECRET: randomBytes(32).toString('base64url'),
  };
  const answer = (query) => database.answer(query);
  const processes = [1, 2, 3].map((number) => new ServerProcess(number, { env, answer }));
  const proxy = createProxy(processes, createControl(processes));

  let stopping;
  // Ctrl-C comes twice through npm: from the terminal, and passed on.
  const stop = () => {
    stopping ??= end();
    return stopping;
  };

  async function end() {
    proxy.close();
    await Promise.all(processes.map((one) => one.stop()));
    proxy.closeAllConnections();
    await broker.stop();
  }

  try {
    await Promise.all(processes.map((one) => one.start(one.number === 1 ? { SEED: 'yes' } : {})));
    await listen(proxy);
  } catch (error) {
    await stop();
    throw error;
  }
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  tell(processes, proxy.address().port, Object.values(broker.env)[0]);
  for (const one of processes) one.on('change', (news) => news && console.log(news));
}

function listen(proxy) {
  return new Promise((resolve, reject) => {
    proxy.once('error', reject);
    // On loopback alone: whoever reaches it can end processes.
    proxy.listen(port, 'localhost', resolve);
  });
}

function tell(processes, address, brokerUrl) {
  const command = address === 3000 ? 'npm run cluster:kill --' : `PORT=${address} npm run cluster:kill --`;
  console.log(`usercast cluster: http://localhost:${address}\n`);
  console.log(`  broker     ${brokerUrl.replace(/\/\/.*@/, '//')}`);
  for (const { row } of processes) console.log(`  process ${row.number}  127.0.0.1:${row.port}  pid ${row.pid}`);
  console.log(`\n  ${command} 2          kill -9 for process 2; without a number, for one that serves somebody`);
  console.log(`  ${command} 2 drain    ends it in order\n`);
}
