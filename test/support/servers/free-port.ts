// Ports for servers that are started again on the port that they had.

import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that outgoing connections take theirs from: nobody is on it by chance when the server comes back. */
const PORTS = { first: 11_000, count: 11_000 } as const;
const ATTEMPTS = 50;

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return true;
  } catch {
    return false;
  }
}

/** A port of 127.0.0.1 that nobody listens on; `companion`: nor on the one that lies so far above it. */
export async function freePort(companion = 0): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if ((await isFree(port)) && (companion === 0 || (await isFree(port + companion)))) return port;
  }
  throw new Error(`no free port among ${ATTEMPTS}`);
}
