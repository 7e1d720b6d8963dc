// Starts a Redis or a NATS for this example alone, on a free port of loopback, with what it stores in a folder of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const kinds = {
  redis: {
    program: 'redis-server',
    args: (port, folder) => [
      '--bind',
      '127.0.0.1',
      '--port',
      port,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'yes',
    ],
    ready: 'Ready to accept connections',
    url: (port) => ({ REDIS_URL: `redis://127.0.0.1:${port}` }),
    advice: 'apt-get install redis-server, brew install redis, or REDIS_URL=redis://… npm run cluster',
  },
  nats: {
    program: 'nats-server',
    args: (port, folder) => ['-a', '127.0.0.1', '-p', port, '-js', '-sd', folder],
    ready: 'Server is ready',
    url: (port) => ({ NATS_URL: `nats://127.0.0.1:${port}` }),
    advice: 'apt-get install nats-server, brew install nats-server, or NATS_URL=nats://… npm run cluster',
  },
};

/** Ends the server when its own standard input ends: it never outlives the starter, and Ctrl-C reaches the starter alone. */
const shell = ['-c', '"$@" & cat > /dev/null; kill $!; wait', 'sh'];
const startsWithinMs = 15_000;

/**
 * `kind` is `redis` or `nats`. Resolves, when it takes connections, to the variable that names it to a process.
 * @throws Error that says how to get one, where there is none on this machine
 */
export async function startBrokerServer(kind) {
  if (!kinds[kind]) throw new Error(`BROKER is redis or nats, not ${kind}`);
  const { program, args, ready, url, advice } = kinds[kind];
  const path = find(program);
  if (!path) throw new Error(`there is no ${program} on this machine. Get one: ${advice}`);
  const port = String(await freePort());
  const folder = mkdtempSync(join(tmpdir(), `usercast-cluster-${kind}-`));
  const child = spawn('sh', [...shell, path, ...args(port, folder)], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const stop = async () => {
    const ended = once(child, 'exit');
    child.stdin.end();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  let output = '';
  const isReady = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        if (output.length < 10_000) output += chunk;
        if (output.includes(ready)) resolve(true);
      });
    }
    setTimeout(resolve, startsWithinMs, false);
  });
  if (await isReady) return { env: url(port), stop };
  await stop();
  throw new Error(`${program} did not start:\n${output}`);
}

function find(program) {
  // Debian puts servers where only root looks.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'];
  return folders.map((folder) => join(folder, program)).find(isRunnable);
}

function isRunnable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}
