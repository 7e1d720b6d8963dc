// The packed tarball, as npm would publish it: what is in it, whether its types and exports hold, and whether it works in
// an empty folder with nothing else of this project. It needs `npm run build` before it.

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { codeBlocks } from '../repository/code-blocks.ts';
import { ROOT, read } from '../repository/source.ts';

const execute = promisify(execFile);
const SECRET = 'a secret of this test, long enough for HS256';
const NPM_QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

const folder = mkdtempSync(join(tmpdir(), 'usercast-package-'));
let tarball = '';
let files: string[] = [];

/** What the program printed; throws with all of it when the program failed. */
async function run(program: string, args: readonly string[], cwd = ROOT): Promise<string> {
  try {
    const { stdout } = await execute(program, args, { cwd, maxBuffer: 16_777_216 });
    return stdout.trim();
  } catch (cause) {
    const { stdout, stderr } = cause as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause });
  }
}

beforeAll(async () => {
  const packed = await run('npm', [
    'pack',
    '--json',
    '--ignore-scripts',
    '--pack-destination',
    folder,
    '--loglevel=error',
  ]);
  const [result] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  tarball = join(folder, result.filename);
  files = result.files.map(({ path }) => path);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the tarball', () => {
  it('holds the built code, the documents, and nothing else', () => {
    const documents = files.filter((path) => !path.startsWith('dist/'));
    expect(documents.sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'PROTOCOL.md', 'README.md', 'package.json']);
    expect(
      files.filter(
        (path) =>
          path.startsWith('dist/') &&
          !/^dist\/(?:(?:src|adapters)\/.*\.(?:js|d\.ts)|usercast-client\.min\.js)$/.test(path),
      ),
    ).toEqual([]);
    expect(files).toContain('dist/src/index.js');
    expect(files).toContain('dist/usercast-client.min.js');
  });

  it('passes publint', { timeout: 120_000 }, async () => {
    expect(await run('npx', ['--no', 'publint', 'run', tarball, '--strict'])).toContain('All good');
  });

  it('has types that resolve under every kind of resolution that knows ES modules', { timeout: 180_000 }, async () => {
    const report = await run('npx', [
      '--no',
      'attw',
      tarball,
      '--profile',
      'esm-only',
      '--no-emoji',
      '--exclude-entrypoints',
      'client/browser.min.js',
    ]);
    expect(report).toContain('"usercast/koa"');
  });
});

describe('the tarball in an empty folder', () => {
  const host = join(folder, 'host');
  let server: ChildProcess | undefined;

  beforeAll(async () => {
    await run('mkdir', [host]);
    writeFileSync(join(host, 'package.json'), '{ "private": true, "type": "module" }');
    await run('npm', ['install', ...NPM_QUIET, '--prefer-offline', tarball, 'express@5', 'koa@3'], host);
  }, 240_000);

  afterAll(async () => {
    if (server?.exitCode !== null || !server.kill()) return;
    await once(server, 'exit');
  });

  it('imports and requires every entry point', { timeout: 180_000 }, async () => {
    const { exports } = JSON.parse(read('package.json')) as { exports: Record<string, unknown> };
    const entries = Object.keys(exports).filter((entry) => entry !== './package.json');
    for (const entry of entries) {
      const name = entry.replace(/^\./, 'usercast');
      const names = `console.log(Object.keys(module).join())`;
      const imported = await run(process.execPath, ['-e', `import('${name}').then((module) => ${names})`], host);
      expect(imported).not.toBe('');
      const required = await run(
        process.execPath,
        ['--input-type=commonjs', '-e', `const module = require('${name}'); ${names}`],
        host,
      );
      expect(required.split(',')).toEqual(expect.arrayContaining(imported.split(',')));
    }
  });

  it('runs the server of the README, and a plain client receives an event', { timeout: 120_000 }, async () => {
    const code = codeBlocks(read('README.md')).find((block) => /createUsercast\(/.test(block.code))?.code ?? '';
    const userId = 'ada';
    const event = {
      id: 'e1',
      type: 'msg.text',
      box_id: 'b1',
      server_event_created_at: '2026-01-01T00:00:00Z',
      sender: { id: 'bob' },
      content: { encrypted: 'c2VjcmV0' },
    };
    // What the reader's own code does after the block: publish. The port of the block is replaced by a free one.
    writeFileSync(
      join(host, 'server.js'),
      `${code}\nprocess.on('message', ([id, event]) => usercast.publishEvent(id, event));\n`,
    );
    writeFileSync(
      join(host, 'any-port.js'),
      `import { Server } from 'node:net';
      const { listen } = Server.prototype;
      Server.prototype.listen = function () {
        this.once('listening', () => process.send(this.address().port));
        return listen.call(this, 0, '127.0.0.1');
      };`,
    );
    const names = [...code.matchAll(/process\.env\.(\w+)/g)].map((match) => [match[1], SECRET]);
    server = fork(join(host, 'server.js'), {
      cwd: host,
      execArgv: ['--import', './any-port.js'],
      env: { PATH: process.env.PATH, ...Object.fromEntries(names) },
    });
    const [port] = (await once(server, 'message')) as [number];

    const option = (name: string) => new RegExp(`\\b${name}: '([^']+)'`).exec(code)?.[1];
    const token = new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject(userId).setExpirationTime('1 minute');
    const [issuer, audience] = [option('issuer'), option('audience')];
    if (issuer) token.setIssuer(issuer);
    if (audience) token.setAudience(audience);
    const signed = await token.sign(new TextEncoder().encode(SECRET));

    const client = new WebSocket(`ws://127.0.0.1:${port}/box-users/${userId}/ws?access_token=${signed}`);
    await once(client, 'open');
    server.send([userId, event]);
    const [message] = (await once(client, 'message')) as [Buffer];
    client.terminate();
    expect(JSON.parse(message.toString())).toEqual({ type: 'event.new', object: event });
  });
});
