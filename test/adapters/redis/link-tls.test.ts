// TLS by URL and by the host's client, and what is said where it does not come about.

import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RedisLinkOptions } from '../../../adapters/redis/redis-link.ts';
import { Child } from '../../support/child.ts';
import { type Certificates, makeCertificates } from '../../support/servers/certificates.ts';
import { freePort } from '../../support/servers/free-port.ts';
import { type RedisServer, startRedis } from '../../support/servers/redis.ts';
import { TcpProxy } from '../../support/servers/tcp-proxy.ts';
import { LinkBench } from './link-bench.ts';

type Connection = RedisLinkOptions['connection'];

let certificates: Certificates;
let server: RedisServer;
/** Of the server's TLS; it asks for no certificate of ours. */
let port: number;
/** Of one that does. */
let strict: RedisServer;
let strictPort: number;
let ca: Buffer;
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  certificates = await makeCertificates();
  ca = await readFile(certificates.ca);
  const { cert, key } = certificates;
  const start = async (tlsPort: number, clients: 'yes' | 'no') => {
    const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', certificates.ca];
    return startRedis({ config: ['--tls-port', String(tlsPort), '--tls-auth-clients', clients, ...files] });
  };
  [port, strictPort] = [await freePort(), await freePort()];
  [server, strict] = await Promise.all([start(port, 'no'), start(strictPort, 'yes')]);
}, 40_000);
afterAll(async () => {
  await Promise.all([server.close(), strict.close()]);
  await certificates[Symbol.asyncDispose]();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Waits so long that nothing of this ends by it, unless it has to. */
function open(connection: Connection, deadlineMs = 60_000): LinkBench {
  const bench = new LinkBench(connection, { deadlineMs });
  ends.push(() => bench.link.close());
  return bench;
}

const url = (host: string, at = port) => `rediss://${host}:${at}`;

async function used(bench: LinkBench): Promise<void> {
  await bench.link.subscribe('{a}channel');
  await bench.increment('{a}key');
  await bench.hears('{a}channel');
}

describe('TLS', () => {
  it('by a client of the host goes by its options', async () => {
    const [cert, key] = await Promise.all([readFile(certificates.cert), readFile(certificates.key)]);
    const ways: Connection[] = [
      { client: createClient({ url: url('localhost'), socket: { tls: true, ca } }) },
      { client: new Redis(url('localhost'), { lazyConnect: true, tls: { ca } }) },
      { client: createClient({ url: url('localhost', strictPort), socket: { tls: true, ca, cert, key } }) },
      { client: new Redis(url('localhost', strictPort), { lazyConnect: true, tls: { ca, cert, key } }) },
    ];
    for (const way of ways) await used(open(way));
  });

  it('by url takes a certificate whose authority is named in NODE_EXTRA_CA_CERTS', async () => {
    const { NODE_EXTRA_CA_CERTS } = process.env;
    process.env.NODE_EXTRA_CA_CERTS = certificates.ca;
    const child = await Child.start('tls-child.ts');
    if (NODE_EXTRA_CA_CERTS === undefined) delete process.env.NODE_EXTRA_CA_CERTS;
    else process.env.NODE_EXTRA_CA_CERTS = NODE_EXTRA_CA_CERTS;
    try {
      expect(await child.ask('redis', url('localhost'))).toBe('ready');
      expect(await child.ask('redis', url('127.0.0.1'))).toBe('ready');
    } finally {
      child.end();
      await child.ended;
    }
  });
});

describe('a link without TLS that comes about', () => {
  const refused = async (connection: Connection): Promise<Error> => {
    const { link } = open(connection);
    const calls = [link.ready(), link.command('x', 'GET', 'x'), link.subscribe('x')];
    const errors = await Promise.all(calls.map((call) => call.catch((cause: unknown) => cause as Error)));
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'broker_unavailable', message: (errors[0] as Error).message });
    }
    return errors[0] as Error;
  };
  const unknown = /^the certificate of redis was refused: .*certificate.*; name its CA in NODE_EXTRA_CA_CERTS, or pass/;

  it('says at once that nobody vouches for the certificate', async () => {
    for (const way of [
      { url: url('localhost') },
      { client: createClient({ url: url('localhost') }) },
      { client: new Redis(url('localhost'), { lazyConnect: true }) },
    ]) {
      expect((await refused(way)).message).toMatch(unknown);
    }
  });

  it('says it of the nodes of a cluster', async () => {
    expect((await refused({ url: [url('localhost')] })).message).toMatch(unknown);
  });

  it('says at once that the certificate is for another name', async () => {
    const { message } = await refused({
      client: createClient({ url: url('localhost'), socket: { tls: true, ca, servername: 'elsewhere.example' } }),
    });
    expect(message).toMatch(/^the certificate of redis was refused: Hostname\/IP does not match .*elsewhere\.example/);
    const way = new Redis(url('localhost'), { lazyConnect: true, tls: { ca, servername: 'elsewhere.example' } });
    expect((await refused({ client: way })).message).toBe(message);
  });

  it('says at once that the server wants a certificate of ours', async () => {
    const { message } = await refused({
      client: createClient({ url: url('localhost', strictPort), socket: { tls: true, ca } }),
    });
    expect(message).toMatch(/^TLS with redis failed: .*certificate required; .*pass your own client with TLS options/);
  });

  it('says by the deadline that a server without TLS may be what does not answer', async () => {
    const ways: Connection[] = [
      { url: url('localhost', server.port) },
      { client: new Redis(url('localhost', server.port), { lazyConnect: true }) },
    ];
    const errors = ways.map((way) =>
      open(way, 4_000)
        .link.ready()
        .catch((cause: unknown) => cause),
    );
    for (const error of await Promise.all(errors)) {
      expect(error).toMatchObject({
        code: 'deadline',
        message: expect.stringMatching(/no connection was made within 3000 ms; is TLS on at one end alone\?/),
      });
    }
  });

  it('says nothing of TLS where none is asked for and the server does not answer', async () => {
    const silent = await new TcpProxy(server.port).start();
    ends.push(() => silent.stop());
    silent.drop('down');
    const address = `redis://127.0.0.1:${silent.port}`;
    const ways: Connection[] = [{ url: address }, { client: new Redis(address, { lazyConnect: true }) }];
    for (const way of ways) {
      await expect(open(way, 400).link.ready()).rejects.toThrow(/no connection was made within 300 ms$/);
    }
  });

  it('says by the deadline what a server with TLS does to a client without', async () => {
    const bench = open({ url: `redis://localhost:${port}` }, 2_000);
    await expect(bench.link.ready()).rejects.toMatchObject({
      code: 'deadline',
      message: expect.stringMatching(/ECONNRESET|closed|EPIPE/),
    });
  });
});
