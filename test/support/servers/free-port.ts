// Ports for servers that are started again on the port that they had.

import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that outgoing connections take theirs from: nobody is on it by chance when the server comes back. */
const PORTS = { first: 11_000, count: 10_000 } as const;
/** Test files run beside each other take theirs from different parts: one's server may be down while another's starts. */
const PARTS = 4;
const PART = Number(process.env.VITEST_POOL_ID ?? 0) % PARTS;
const ATTEMPTS = 50;

/** Nor are they given twice here. */
const given = new Set<number>();

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
    const port = PORTS.first + PART + PARTS * Math.floor((Math.random() * PORTS.count) / PARTS);
    if (given.has(port)) continue;
    given.add(port);
    if ((await isFree(port)) && (companion === 0 || (await isFree(port + companion)))) return port;
  }
  throw new Error(`no free port among ${ATTEMPTS}`);
}
