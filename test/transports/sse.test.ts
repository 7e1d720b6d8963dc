import { createServer, type Server, type ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CURSOR_LENGTH } from '../../src/protocol/cursor.ts';
import { SseTransport } from '../../src/transports/sse.ts';
import type { Transport, TransportOwner } from '../../src/transports/transport.ts';
import { eventually, listen, RawClient, shut, socketsOf } from '../support/raw-client.ts';

let server: Server;
const clients: RawClient[] = [];

afterEach(async () => {
  vi.useRealTimers();
  for (const client of clients.splice(0)) client.socket.destroy();
  await shut(server);
});

class Owner implements TransportOwner {
  readonly calls: string[] = [];
  pipe: Transport | null = null;

  start(pipe: Transport): void {
    this.calls.push('start');
    this.pipe = pipe;
  }

  receive(): void {}
  receiveBinary(): void {}
  alive(): void {}

  drained(): void {
    this.calls.push('drained');
  }

  closed(code: number): void {
    this.calls.push(`closed ${code}`);
  }
}

/** A client whose request has become an event stream. */
async function open({ request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', stuckMs = 60_000 } = {}) {
  const owner = new Owner();
  let response: ServerResponse | null = null;
  server = createServer((_req, res) => {
    response = res;
    new SseTransport(res, owner, { retryMs: 2_345, stuckMs }).open();
  });
  const client = new RawClient(await listen(server)).send(request);
  clients.push(client);
  await eventually('the stream is open', () => client.received.includes('retry: '));
  return { owner, pipe: owner.pipe!, client, response: response! as ServerResponse };
}

const received = (client: RawClient) => client.received.toString();

describe('an event stream', () => {
  it('answers at once with headers that keep proxies and compression from holding it, and says when to come back', async () => {
    const { client, owner } = await open();
    const text = received(client);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toContain('Content-Type: text/event-stream; charset=utf-8\r\n');
    expect(text).toContain('Cache-Control: no-cache, no-transform\r\n');
    expect(text).toContain('X-Accel-Buffering: no\r\n');
    expect(text).toContain('retry: 2345\n\n');
    expect(owner.calls).toEqual(['start']);
  });

  it('gives a stored message the place of its cursor as its id, and marks what counted', async () => {
    const { pipe } = await open();
    const payload = '{"type":"a","object":{"é":1}}';
    const place = '-'.repeat(CURSOR_LENGTH);
    const read = pipe.message(payload, false);
    expect(Buffer.from(read.bytes).toString()).toBe(`id: ${place}\ndata: ${payload}\n\n`);
    expect(read.stampAt).toBe(4);
    const unread = pipe.message(payload, true);
    expect(Buffer.from(unread.bytes).toString()).toBe(
      `id: ${place}\ndata: {"type":"a","object":{"é":1},"unread":true}\n\n`,
    );
  });

  it('makes the event of a message once for all streams', async () => {
    const { pipe } = await open();
    const frame = pipe.message('{"type":"b","object":{}}', true);
    expect(pipe.message('{"type":"b","object":{}}', true)).toBe(frame);
    expect(pipe.message('{"type":"b","object":{}}', false)).not.toBe(frame);
  });

  it('gives other messages an id only where they say where the client stands', async () => {
    const { pipe } = await open();
    const text = (cursor: string | null) => Buffer.from(pipe.control('{}', cursor).bytes).toString();
    expect([text(null), text('c1')]).toEqual(['data: {}\n\n', 'id: c1\ndata: {}\n\n']);
    expect(pipe.control('{}', 'c1').stampAt).toBe(-1);
  });

  it('writes through, and pings with a comment', async () => {
    const { pipe, client } = await open();
    expect(pipe.write(pipe.control('{"n":1}', null).bytes)).toBe(true);
    await eventually('the event', () => received(client).includes('data: {"n":1}\n\n'));
    expect(pipe.bufferedBytes).toBe(0);
    pipe.ping();
    await eventually('the comment', () => received(client).includes('\r\n:\n\n'));
  });

  it('goes to a client of HTTP/1.0 without chunks, up to the end of the connection', async () => {
    const { pipe, client } = await open({ request: 'GET / HTTP/1.0\r\n\r\n' });
    pipe.write(pipe.control('{"n":1}', null).bytes);
    pipe.close(1012, '');
    await client.closed;
    expect(received(client)).not.toContain('chunked');
    expect(received(client).split('\r\n\r\n')[1]).toBe('retry: 2345\n\ndata: {"n":1}\n\n');
  });

  it('ends in order: what was written, then the end, then no more', async () => {
    const { pipe, client, owner } = await open();
    pipe.write(pipe.control('{"n":1}', null).bytes);
    pipe.close(1012, '');
    pipe.close(1011, '');
    expect(pipe.write(pipe.control('{"n":2}', null).bytes)).toBe(true);
    pipe.ping();
    await eventually('the last chunk', () => received(client).endsWith('\r\n0\r\n\r\n'));
    expect(received(client)).not.toContain('"n":2');
    await eventually('the owner knows', () => owner.calls.includes('closed 1006'));
    expect(owner.calls).toEqual(['start', 'closed 1006']);
  });

  it('tells its owner when the client leaves, once, and takes what comes later', async () => {
    const { pipe, client, owner } = await open();
    client.socket.resetAndDestroy();
    await eventually('the owner knows', () => owner.calls.includes('closed 1006'));
    pipe.write(pipe.control('{}', null).bytes);
    pipe.ping();
    pipe.close(1012, '');
    pipe.terminate();
    await eventually('no socket is left', async () => (await socketsOf(server)) === 0);
    expect(owner.calls).toEqual(['start', 'closed 1006']);
  });

  it('is cut by terminate', async () => {
    const { pipe, client, owner } = await open();
    pipe.terminate();
    await client.closed;
    expect(received(client)).not.toContain('\r\n0\r\n\r\n');
    await eventually('the owner knows', () => owner.calls.includes('closed 1006'));
  });

  it('says when it has no more room, and once when all was taken', async () => {
    const { pipe, client, owner } = await open();
    client.socket.pause();
    const frame = Buffer.from(`data: ${'x'.repeat(100_000)}\n\n`);
    let bytes = 0;
    while (pipe.write(frame) || pipe.bufferedBytes < 1_000_000) {
      bytes += frame.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    pipe.awaitDrain();
    await new Promise((resolve) => setImmediate(resolve));
    expect(owner.calls).toEqual(['start']);
    client.socket.resume();
    await eventually('drained', () => owner.calls.includes('drained'));
    expect(pipe.bufferedBytes).toBe(0);
    expect(owner.calls).toEqual(['start', 'drained']);
    await eventually('all of it', () => client.received.length > bytes);
  });

  it('that has room says so soon', async () => {
    const { pipe, owner } = await open();
    pipe.awaitDrain();
    expect(owner.calls).toEqual(['start']);
    await eventually('drained', () => owner.calls.includes('drained'));
  });

  it('ends a client that takes nothing: not before stuckMs, not while there is something new, and it is not pinged', async () => {
    const { pipe, client, owner, response } = await open({ stuckMs: 60_000 });
    vi.useFakeTimers({ toFake: ['performance'] });
    client.socket.pause();
    const frame = Buffer.from(`data: ${'x'.repeat(100_000)}\n\n`);
    while (pipe.write(frame) || pipe.bufferedBytes < 1_000_000) await new Promise((resolve) => setImmediate(resolve));
    const { bufferedBytes } = pipe;
    pipe.ping();
    vi.advanceTimersByTime(59_000);
    pipe.ping();
    expect(response.destroyed).toBe(false);
    expect(pipe.bufferedBytes).toBe(bufferedBytes);
    pipe.write(frame);
    vi.advanceTimersByTime(59_000);
    pipe.ping();
    vi.advanceTimersByTime(59_000);
    pipe.ping();
    expect(response.destroyed).toBe(false);
    vi.advanceTimersByTime(1_000);
    pipe.ping();
    expect(response.destroyed).toBe(true);
    vi.useRealTimers();
    await eventually('the owner knows', () => owner.calls.includes('closed 1006'));
  });
});
