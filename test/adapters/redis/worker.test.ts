// A script that publishes and does nothing else, as a cron job does.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { bundle } from '../../support/child.ts';

const execute = promisify(execFile);

it('hears that Redis cannot be reached, before its process ends', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const file = await bundle('worker.ts');
  const { stdout } = await execute(process.execPath, [file, `redis://127.0.0.1:${port}`]);
  await rm(file);
  expect(stdout.trim()).toBe('publish_failed');
});
