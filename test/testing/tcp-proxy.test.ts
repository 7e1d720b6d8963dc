// What the fault tests do to connections.

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually, RawClient } from '../support/raw-client.ts';
import { TcpProxy } from '../support/servers/tcp-proxy.ts';

let server: Server;
let proxy: TcpProxy;
const heard: string[] = [];
const sockets = new Set<Socket>();

/** Says in capitals what it hears. */
beforeEach(async () => {
  heard.length = 0;
  server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard.push(text);
      socket.write(text.toUpperCase());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await new TcpProxy((server.address() as { port: number }).port).start();
});

afterEach(async () => {
  await proxy.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
});

const answers = (client: RawClient, text: string): Promise<void> =>
  eventually(`the answer ${text}`, () => client.received.toString().includes(text));

/** Resolves when the server has heard it. */
const hears = (text: string): Promise<void> => eventually(`${text} heard`, () => heard.join('').includes(text));

it('swallows one direction while the connection stays open', async () => {
  const client = new RawClient(proxy.port);
  client.send('one ');
  await answers(client, 'ONE');
  proxy.drop('down');
  client.send('two ');
  await hears('two');
  proxy.pass();
  client.send('three ');
  await answers(client, 'THREE');
  expect(client.received.toString()).not.toContain('TWO');
  proxy.drop('up');
  client.send('four ');
  const other = new RawClient(proxy.port);
  other.send('five ');
  await eventually('taken', () => proxy.accepted === 2 && proxy.open === 2);
  proxy.pass();
  for (const one of [client, other]) one.send('six ');
  await Promise.all([client, other].map((one) => answers(one, 'SIX')));
  expect(heard.join('')).not.toMatch(/four|five/);
});

it('swallows on the connections of now alone, where a new one would work', async () => {
  const client = new RawClient(proxy.port);
  client.send('one ');
  await answers(client, 'ONE');
  proxy.drop('down', 'open');
  client.send('two ');
  const other = new RawClient(proxy.port);
  other.send('three ');
  await answers(other, 'THREE');
  await hears('two');
  expect(client.received.toString()).toBe('ONE ');
});

it('holds up what is sent until it passes', async () => {
  const client = new RawClient(proxy.port);
  client.send('one ');
  await answers(client, 'ONE');
  proxy.pause('up');
  client.send('two ');
  const other = new RawClient(proxy.port);
  other.send('three ');
  await eventually('taken', () => proxy.open === 2);
  expect(heard.join('')).toBe('one ');
  proxy.pass();
  await answers(client, 'TWO');
  await answers(other, 'THREE');
});

it('cuts what is open and takes new connections, or refuses them', async () => {
  const client = new RawClient(proxy.port);
  client.send('one ');
  await answers(client, 'ONE');
  proxy.cutAll();
  await client.closed;
  const other = new RawClient(proxy.port);
  other.send('two ');
  await answers(other, 'TWO');
  proxy.refuse();
  await new RawClient(proxy.port).closed;
  other.send('three ');
  await answers(other, 'THREE');
  proxy.mend();
  const last = new RawClient(proxy.port);
  last.send('four ');
  await answers(last, 'FOUR');
});
