// When the client does something: with fake time, and sockets that do what the test says.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Client, type ConnectOptions, connect, type FetchLike } from '../../src/client/index.ts';
import { FakeWebSocket } from '../support/fake-websocket.ts';

let client: Client;
const random = vi.spyOn(Math, 'random');

/** Hangs until it is aborted. */
const noFetch: FetchLike = (_url, { signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** Event streams work, and say nothing after they are ready. */
const streams: FetchLike = async (_url, { signal }) => {
  let first = true;
  const ready = { resumed: true, cursor: 'c0', head: 'c0', counts: {}, ping_ms: 10_000_000 };
  const bytes = new TextEncoder().encode(`data: ${JSON.stringify({ type: 'session.ready', object: ready })}\n\n`);
  return {
    status: 200,
    headers: { get: (name) => (name === 'content-type' ? 'text/event-stream' : null) },
    body: {
      getReader: () => ({
        read: () => {
          if (!first) return new Promise((_r, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          first = false;
          return Promise.resolve({ done: false, value: bytes });
        },
      }),
    },
    json: async () => ({}),
  };
};

async function open(options: Partial<ConnectOptions> = {}): Promise<void> {
  client = connect({
    url: 'https://api.example',
    userId: 'ann',
    token: 'good',
    WebSocket: FakeWebSocket,
    fetch: noFetch,
    ...options,
  });
  await vi.advanceTimersByTimeAsync(0);
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** An event of the page or the window. */
class FakePage extends EventTarget {
  visibilityState = 'visible';
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeWebSocket.reset();
  random.mockReturnValue(0.5);
});

afterEach(() => {
  client.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('after a drop', () => {
  it('each attempt waits longer, up to 20 s', async () => {
    await open({ transports: ['websocket'] });
    client.onError(() => {});
    const waits: (number | undefined)[] = [];
    client.onState((_state, { retryMs }) => retryMs !== undefined && waits.push(retryMs));
    for (let i = 0; i < 8; i++) {
      FakeWebSocket.last.end();
      await pass(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  });

  it('the wait that is told is in whole milliseconds', async () => {
    random.mockReturnValue(1 / 3);
    await open();
    const waits: (number | undefined)[] = [];
    client.onState((_state, { retryMs }) => retryMs !== undefined && waits.push(retryMs));
    FakeWebSocket.last.ready().end();
    expect(waits).toEqual([167]);
  });

  it('a connection that held 10 s makes the next attempt a first one', async () => {
    await open();
    const waits: (number | undefined)[] = [];
    client.onState((_state, { retryMs }) => retryMs !== undefined && waits.push(retryMs));
    for (const heldMs of [9_999, 9_999, 10_000]) {
      FakeWebSocket.last.ready();
      await pass(heldMs);
      FakeWebSocket.last.end();
      await pass(5_000);
    }
    expect(waits).toEqual([250, 500, 250]);
  });

  it.each([1011, 1013])('with %i the pause is longer', async (code) => {
    await open();
    const waits: (number | undefined)[] = [];
    client.onState((_state, { retryMs }) => retryMs !== undefined && waits.push(retryMs));
    FakeWebSocket.last.ready().end(code);
    expect(waits).toEqual([2_000]);
  });
});

describe('a connection without a life sign', () => {
  it('is dead 10 s after a ping was due', async () => {
    await open();
    const socket = FakeWebSocket.last.ready({ ping_ms: 3_000 });
    await pass(12_999);
    expect(client.state).toBe('live');
    await pass(1);
    expect(client.state).toBe('waiting');
    expect(socket.left).toBe('terminated');
    await pass(250);
    expect(FakeWebSocket.all).toHaveLength(2);
  });

  it('lives as long as anything comes', async () => {
    await open();
    const socket = FakeWebSocket.last.ready({ ping_ms: 3_000 });
    for (let i = 0; i < 10; i++) {
      await pass(12_000);
      socket.receive('session.ping');
    }
    expect(client.state).toBe('live');
  });

  it('is given up when it is not ready within 10 s', async () => {
    await open();
    FakeWebSocket.last.open();
    await pass(9_999);
    expect(client.state).toBe('connecting');
    await pass(1);
    expect(client.state).toBe('waiting');
  });

  it('that opens and lets nothing through, twice, counts as blocked', async () => {
    await open();
    for (let i = 0; i < 2; i++) {
      FakeWebSocket.last.open();
      await pass(10_500);
    }
    expect(client.transport).toBe('sse');
  });
});

describe('a sign that the page or the network is back', () => {
  const stub = () => {
    const page = new FakePage();
    const window = new EventTarget();
    vi.stubGlobal('document', page);
    vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
    vi.stubGlobal('removeEventListener', window.removeEventListener.bind(window));
    return { page, window };
  };

  it.each(['online', 'pageshow', 'visibilitychange'])('%s asks the server for an answer within 5 s', async (type) => {
    const { page, window } = stub();
    await open();
    const socket = FakeWebSocket.last.ready();
    const tell = () => (type === 'visibilitychange' ? page : window).dispatchEvent(new Event(type));
    tell();
    tell();
    expect(socket.sent).toEqual([{ type: 'session.ping', object: {} }]);
    await pass(4_000);
    socket.receive('session.pong');
    await pass(5_000);
    expect(client.state).toBe('live');
    tell();
    await pass(4_999);
    expect(client.state).toBe('live');
    await pass(1);
    expect(client.state).toBe('waiting');
    expect(socket.left).toBe('terminated');
  });

  it('a page that is hidden asks nothing', async () => {
    const { page } = stub();
    await open();
    const socket = FakeWebSocket.last.ready();
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
    expect(socket.sent).toEqual([]);
  });

  it('ends a wait of our own, and not one that the server asked for', async () => {
    const { window } = stub();
    await open();
    FakeWebSocket.last.ready().end(1006);
    window.dispatchEvent(new Event('online'));
    await pass(0);
    expect(FakeWebSocket.all).toHaveLength(2);
    FakeWebSocket.last.ready().receive('session.closing', { code: 1012, reason: '', retry_ms: 3_000 });
    window.dispatchEvent(new Event('online'));
    await pass(2_999);
    expect(FakeWebSocket.all).toHaveLength(2);
    await pass(1_000);
    expect(FakeWebSocket.all).toHaveLength(3);
  });

  it('is not listened to once the client is closed', async () => {
    const { window } = stub();
    await open();
    const socket = FakeWebSocket.last.ready();
    client.close();
    window.dispatchEvent(new Event('online'));
    expect(socket.sent).toEqual([]);
  });
});

describe('a token that is about to end', () => {
  it('is refreshed at once, and then at most every 10 s', async () => {
    let count = 0;
    await open({ token: () => `token ${++count}` });
    const socket = FakeWebSocket.last.ready();
    const refreshes = () => socket.sent.filter(({ type }) => type === 'session.refresh').length;
    await pass(60_000 / 3);
    socket.receive('session.expiring');
    await pass(0);
    expect(refreshes()).toBe(1);
    socket.receive('session.refreshed').receive('session.expiring');
    await pass(9_999);
    expect(refreshes()).toBe(1);
    await pass(1);
    expect(refreshes()).toBe(2);
  });

  it('is asked for again when the function throws', async () => {
    let count = 0;
    await open({
      token: () => {
        if (++count === 2) throw new Error('no network');
        return `token ${count}`;
      },
    });
    const errors: unknown[] = [];
    client.onError((error) => errors.push(error.code));
    const socket = FakeWebSocket.last.ready().receive('session.expiring');
    await pass(10_000);
    expect(errors).toEqual(['token_failed']);
    expect(socket.sent).toEqual([{ type: 'session.refresh', object: { access_token: 'token 3' } }]);
  });

  it('is not sent again when there is no newer one', async () => {
    await open({ token: () => 'the same' });
    const socket = FakeWebSocket.last.ready().receive('session.expiring');
    await pass(1_000);
    expect(socket.sent).toEqual([]);
  });

  it('is of no use to a connection that ended meanwhile', async () => {
    let resolve: (token: string) => void = () => {};
    let count = 0;
    await open({
      token: () =>
        ++count === 2
          ? new Promise<string>((done) => {
              resolve = done;
            })
          : `token ${count}`,
    });
    FakeWebSocket.last.ready().receive('session.expiring');
    await pass(0);
    FakeWebSocket.last.end();
    await pass(250);
    const socket = FakeWebSocket.last.ready();
    resolve('late');
    await pass(0);
    expect(socket.sent).toEqual([]);
  });
});

describe('on a fallback', () => {
  const fallBack = async () => {
    await open({ fetch: streams });
    FakeWebSocket.last.end();
    await pass(250);
    FakeWebSocket.last.end();
    await pass(0);
    expect([client.transport, client.state]).toEqual(['sse', 'live']);
  };

  it('a WebSocket is tried beside it every 5 minutes, and taken when it works', async () => {
    await fallBack();
    await pass(300_000);
    expect(FakeWebSocket.all).toHaveLength(3);
    FakeWebSocket.last.end();
    expect([client.transport, client.state]).toEqual(['sse', 'live']);
    await pass(300_000);
    expect(FakeWebSocket.all).toHaveLength(4);
    // This one hangs.
    await pass(310_000);
    expect(FakeWebSocket.all[3]?.left).toBe('terminated');
    expect([client.transport, client.state]).toEqual(['sse', 'live']);
    expect(FakeWebSocket.all).toHaveLength(5);
    const trial = FakeWebSocket.last.ready();
    await pass(0);
    expect(trial.left).toBe(1000);
    expect(FakeWebSocket.all).toHaveLength(6);
    FakeWebSocket.last.ready();
    expect([client.transport, client.state]).toEqual(['websocket', 'live']);
  });

  it('a page that comes online opens a new event stream', async () => {
    const window = new EventTarget();
    vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
    vi.stubGlobal('removeEventListener', window.removeEventListener.bind(window));
    await open({ fetch: streams, transports: ['sse'] });
    const states: string[] = [];
    client.onState((state) => states.push(state));
    window.dispatchEvent(new Event('pageshow'));
    await pass(0);
    window.dispatchEvent(new Event('online'));
    await pass(0);
    expect(states).toEqual(['connecting', 'live']);
  });
});

describe('a WebSocket that the platform does not allow', () => {
  it('makes the client fall back', async () => {
    class Forbidden {
      constructor() {
        throw new Error('mixed content');
      }
    }
    await open({ WebSocket: Forbidden as unknown as typeof FakeWebSocket });
    await pass(250);
    expect(client.transport).toBe('sse');
  });
});

describe('an ack', () => {
  it('waits for the next connection when the WebSocket is closing', async () => {
    await open();
    const first = FakeWebSocket.last.ready();
    first.readyState = 2;
    let isSent = false;
    const acked = client.ack('b').then(() => {
      isSent = true;
    });
    await pass(0);
    expect(isSent).toBe(false);
    first.end();
    await pass(250);
    const second = FakeWebSocket.last.ready();
    await acked;
    expect(second.sent).toEqual([{ type: 'ack', object: { sender_id: 'ann', box_id: 'b' } }]);
  });

  it('that is posted and not answered is posted again after 10 s', async () => {
    let posts = 0;
    const fetch: FetchLike = async (url, request) => {
      if (!url.endsWith('/ack')) return streams(url, request);
      if (++posts === 1) return noFetch(url, request);
      return { status: 204, headers: { get: () => null }, body: null, json: async () => ({}) };
    };
    await open({ fetch, transports: ['sse'] });
    const acked = client.ack('b');
    await pass(9_999);
    expect(posts).toBe(1);
    await pass(1_000);
    await acked;
    expect(posts).toBe(2);
  });

  it('keeps its place', async () => {
    await open();
    const boxes = ['a', 'b', 'c'];
    const acked = Promise.all(boxes.map((box) => client.ack(box)));
    FakeWebSocket.last.ready();
    await acked;
    expect(FakeWebSocket.last.sent.map(({ object }) => object.box_id)).toEqual(boxes);
  });
});

describe('a client that is closed', () => {
  it('before its token came opens nothing', async () => {
    await open({ token: () => new Promise(() => {}) });
    await client[Symbol.asyncDispose]();
    await pass(0);
    expect(FakeWebSocket.all).toEqual([]);
    expect(client.state).toBe('closed');
  });

  it('while it waits never comes back', async () => {
    await open();
    FakeWebSocket.last.end();
    client.close();
    await pass(60_000);
    expect(FakeWebSocket.all).toHaveLength(1);
  });
});

describe('without a listener of errors', () => {
  it('they are told on the console, without the message', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    await open();
    client.on('event.new', () => {
      throw new Error('mine');
    });
    FakeWebSocket.last.ready().receive('event.new', { content: 'hidden' }, { cursor: 'c1' });
    expect(error).toHaveBeenCalledTimes(1);
    expect(JSON.stringify(error.mock.calls)).not.toContain('hidden');
    client.onError(() => {
      throw new Error('worse');
    });
    FakeWebSocket.last.receive('event.new', {}, { cursor: 'c2' });
    expect(error.mock.calls[1]).toMatchObject([{ message: 'worse' }]);
    error.mockRestore();
  });
});
