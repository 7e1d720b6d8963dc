import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { createUsercast, memoryBroker } from 'usercast';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, Refused, testVerifier, textEvent } from '../support/fixture.ts';
import { Gate, ScriptedBroker } from '../support/scripted-broker.ts';

afterEach(cleanUp);

const fromHere = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe('drain', () => {
  it('asks every client to reconnect with 1012, and is done when the last has gone', async () => {
    const site = await listen();
    const clients = await Promise.all(['ada', 'ada', 'grace'].map((userId) => connectClient(site, { userId })));
    await site.usercast.notify(['ada', 'grace'], 'last', {});
    await site.usercast.drain({ withinMs: 2_000 });
    for (const client of clients) {
      expect(await client.closed).toEqual({ code: 1012, reason: 'service restart' });
      expect(client.messages).toHaveLength(1);
    }
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, users: 0, connects: 3, disconnects: 3 });
    expect(site.usercast.health()).toMatchObject({ ok: false, draining: true });
  });

  it('refuses new clients with 503 while it lasts, and still publishes', async () => {
    const site = await listen();
    const silent = await connectClient(site, { userId: 'ada' });
    // A client that answers no close keeps the drain going.
    silent.ws.pause();
    const drained = site.usercast.drain({ withinMs: 2_500 });
    expect(site.usercast.health()).toEqual({ ok: false, broker: 'ready', draining: true });
    const refused = await connectClient(site, { userId: 'grace' }).catch((cause: unknown) => cause);
    expect(refused).toBeInstanceOf(Refused);
    expect(refused).toMatchObject({ status: 503, problem: { title: 'service restart' } });
    expect(await site.usercast.notify('grace', 'n', {})).toEqual({ recipients: 1, duplicates: 0 });
    await drained;
    await expect(site.usercast.notify('grace', 'n', {})).rejects.toMatchObject({ code: 'closed' });
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
  });

  it('waits for publishing that is under way', async () => {
    const broker = new ScriptedBroker();
    const site = await listen({ broker });
    const gate = new Gate();
    broker.before = gate.pass;
    const published = site.usercast.notify('ada', 'n', {});
    await gate.reached;
    let isDrained = false;
    const drained = site.usercast.drain().then(() => {
      isDrained = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDrained).toBe(false);
    gate.open();
    expect(await published).toEqual({ recipients: 1, duplicates: 0 });
    await drained;
  });

  it('is done for all who called it, and at once when close is called', async () => {
    const site = await listen();
    const clients = await Promise.all(
      Array.from({ length: 5 }, (_, i) => connectClient(site, { userId: `user ${i}` })),
    );
    const startMs = performance.now();
    const drains = [site.usercast.drain({ withinMs: 60_000 }), site.usercast.drain(), site.usercast.close()];
    await Promise.all(drains);
    await site.usercast.drain();
    expect(performance.now() - startMs).toBeLessThan(20_000);
    for (const client of clients) expect([1001, 1012]).toContain((await client.closed).code);
  });

  it.each([-1, Number.NaN, '5'])('refuses %s milliseconds', async (withinMs) => {
    const site = await listen();
    await expect(site.usercast.drain({ withinMs: withinMs as number })).rejects.toThrow('withinMs');
    expect(site.usercast.health().draining).toBe(false);
  });

  it('is what disposing does', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    await site.usercast[Symbol.asyncDispose]();
    expect((await client.closed).code).toBe(1012);
    await expect(site.usercast.counts('ada')).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('close', () => {
  it('ends every session with 1001, and every later call is refused', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    await site.usercast.close();
    await site.usercast.close();
    expect(await client.closed).toEqual({ code: 1001, reason: 'going away' });
    const { usercast } = site;
    const calls = [
      usercast.publishEvent('ada', textEvent()),
      usercast.notify('ada', 'n', {}),
      usercast.counts('ada'),
      usercast.ack('ada', 'box'),
      usercast.online('ada'),
      usercast.cursor('ada'),
      usercast.forget('ada'),
      usercast.disconnect('ada'),
    ];
    const codes = (await Promise.allSettled(calls)).map((call) => call.status === 'rejected' && call.reason.code);
    expect(codes).toEqual(new Array(calls.length).fill('closed'));
    expect(() => usercast.attach(site.server)).toThrow('closed');
  });

  it('cuts a client that does not answer', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    client.ws.pause();
    await site.usercast.close();
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
  });

  it('gives the server back as it was, with its other clients', async () => {
    const server = createServer((_req, res) => res.end('the host'));
    const foreign = () => {};
    server.on('upgrade', foreign);
    const before = server.eventNames().map((name) => [name, server.listeners(name)]);
    const ownEmit = Object.hasOwn(server, 'emit');
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const usercast = createUsercast({ verifier: testVerifier });
    usercast.attach(server, { http: true });
    const client = await connectClient(server.address() as { port: number }, { userId: 'ada' });
    await usercast.close();
    await client.closed;
    expect(server.eventNames().map((name) => [name, server.listeners(name)])).toEqual(before);
    expect(Object.hasOwn(server, 'emit')).toBe(ownEmit);
    const { port } = server.address() as { port: number };
    expect(await (await fetch(`http://127.0.0.1:${port}/box-users/ada/counts`)).text()).toBe('the host');
    server.closeAllConnections();
    server.close();
  });

  it('leaves a broker of the host open, for the others who use it', async () => {
    const broker = memoryBroker();
    const [one, two] = [await listen({ broker }), await listen({ broker })];
    const client = await connectClient(two, { userId: 'ada' });
    await connectClient(one, { userId: 'ada' });
    await one.usercast.close();
    await two.usercast.notify('ada', 'n', { n: 1 });
    expect((await client.next()).object).toEqual({ n: 1 });
    expect(broker.status).toBe('ready');
  });

  it('leaves no subscription behind', async () => {
    const broker = new ScriptedBroker();
    const site = await listen({ broker });
    await Promise.all(['ada', 'ada', 'grace'].map((userId) => connectClient(site, { userId })));
    await site.usercast.close();
    expect(broker.calls.subscribe).toBe(2);
    expect(broker.unsubscribed).toBe(2);
    expect(broker.stream('ada').listeners).toEqual([]);
  });
});

describe('a process', () => {
  const folder = fromHere('../../.cache/process');

  beforeAll(() => {
    const tsc = fromHere('../../node_modules/typescript/bin/tsc');
    spawnSync(process.execPath, [tsc, '-p', fromHere('../../tsconfig.build.json'), '--outDir', folder]);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['close', 'drain'])('exits by itself after %s, with nothing left that holds it', async (verb) => {
    const program = `
      import { createServer } from 'node:http';
      import { createUsercast } from ${JSON.stringify(`file://${folder}/src/index.js`)};
      import { WebSocket } from 'ws';
      const usercast = createUsercast({ verifier: { verify: async (userId) => ({ userId, expiresAt: Date.now() + 60_000 }) } });
      const server = createServer().listen(0, '127.0.0.1');
      usercast.attach(server);
      server.on('listening', () => {
        const url = 'ws://127.0.0.1:' + server.address().port + '/box-users/ada/ws?access_token=ada';
        const client = new WebSocket(url);
        client.on('message', async (text) => {
          console.log(String(text));
          server.close();
          await usercast.${verb}();
          console.log(usercast.stats().sessions);
          const startMs = performance.now();
          process.on('exit', () => console.log(performance.now() - startMs < 2_500));
        });
        client.on('open', () => usercast.notify('ada', 'n', {}));
      });
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { cwd: fromHere('../..') });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    // Broker, wheel and subscription would have timers for 3 s and longer.
    const tooLong = setTimeout(() => child.kill('SIGKILL'), 25_000);
    const [code] = await once(child, 'exit');
    clearTimeout(tooLong);
    expect(output).toBe('{"type":"n","object":{}}\n0\ntrue\n');
    expect(code).toBe(0);
  });
});
