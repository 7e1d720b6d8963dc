// A client in a Node process of its own: once it is closed, nothing of it keeps the process alive.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import type { TransportName } from 'usercast/client';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../repository/source.ts';
import { eventually } from '../support/raw-client.ts';
import { answer, ScriptedServer } from '../support/scripted-server.ts';

let server: ScriptedServer;
let code: string;

beforeAll(async () => {
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  } as const);
  code = outputFiles[0]!.text;
});

beforeEach(async () => {
  server = await new ScriptedServer().start();
});

afterEach(() => server.stop());

/** Runs a client until `script` has closed it; resolves with the milliseconds from then to the end of the process. */
async function run(transport: TransportName, script: string): Promise<number> {
  const options = `{ url: '${server.url}', userId: 'ann', token: 't', transports: ['${transport}'], WebSocket }`;
  const program = `import { WebSocket } from 'ws';\n${code}\nconst client = connect(${options});\n${script}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: ROOT });
  const [output, errors] = [child.stdout, child.stderr].map(text);
  const timer = setTimeout(() => child.kill(), 25_000);
  const [exitCode] = await once(child, 'exit');
  clearTimeout(timer);
  expect([exitCode, await errors]).toEqual([0, '']);
  const heldMs = Number(await output);
  expect(heldMs).toBeGreaterThan(0);
  return heldMs;
}

/** By the clock of the process itself, which may be given little time. */
const CLOSE = `{
  client.close();
  const closedMs = performance.now();
  process.on('exit', () => console.log(performance.now() - closedMs));
}`;
const CLOSE_WHEN = (state: string) => `client.onState((state) => { if (state === '${state}') ${CLOSE} });`;

describe.each(['websocket', 'sse', 'polling'] as const)('a process with a client over %s', (transport) => {
  it('ends when the client is closed while it is live', async () => {
    server.poll({}, 'c0', [{ messages: [], cursor: 'c0' }]);
    const done = run(transport, CLOSE_WHEN('live'));
    if (transport !== 'polling') (await server.session()).ready();
    expect(await done).toBeLessThan(2_000);
  });

  it('ends when the client is closed while it waits', async () => {
    server.websocket = 'destroy';
    server.http.sse = server.http.counts = (res) => answer(res, 503, {}, { 'Retry-After': '60' });
    expect(await run(transport, CLOSE_WHEN('waiting'))).toBeLessThan(2_000);
  });

  it('ends when the client is closed before it is connected', async () => {
    server.websocket = 'ignore';
    server.http.sse = server.http.counts = () => {};
    const done = run(transport, `setTimeout(() => ${CLOSE}, 1_500);`);
    await eventually('a request', () => server.requests.length > 0);
    expect(await done).toBeLessThan(2_000);
  });
});
