// The example as its reader runs it: Node's own test runner, the package by its name. It needs `npm run build` before it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { ROOT } from '../repository/source.ts';

it('the broker of the example passes the suite under node:test', { timeout: 180_000 }, async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--test', '--test-reporter=tap', 'examples/own-broker/file-broker.test.js'],
    { cwd: ROOT, env: { PATH: process.env.PATH } },
  );
  expect(stdout).toMatch(/^# fail 0$/m);
  expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(40);
});
