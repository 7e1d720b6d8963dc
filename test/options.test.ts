import { describe, expect, it } from 'vitest';
import { memoryBroker } from '../src/broker/memory-broker.ts';
import { memoryCounters } from '../src/counter/memory-counter-store.ts';
import { resolveOptions, type UsercastOptions } from '../src/options.ts';
import { createUsercast } from '../src/usercast.ts';

const verifier = { verify: async () => ({ userId: 'ann' }) };
const context = { address: '127.0.0.1', origin: undefined, host: undefined };
const sender = { id: 'ann' };
const event = (type: string) => ({
  id: 'e',
  type,
  box_id: 'b',
  server_event_created_at: '2020-09-15T08:30:00Z',
  sender,
});

describe('the options', () => {
  it('have the defaults of the documentation', async () => {
    const options = resolveOptions({});
    expect(options).toMatchObject({
      verifier: null,
      broker: null,
      counters: null,
      path: '/box-users/:id',
      allowedOrigins: null,
      cors: false,
      heartbeat: { intervalMs: 60_000, pingMs: 25_000 },
      limits: {
        maxMessageBytes: 8_192,
        messagesPerSecond: 10,
        maxPublishBytes: 524_288,
        maxBufferedBytes: 1_048_576,
        maxConnections: 100_000,
        maxConnectionsPerUser: 20,
        maxConnectionsPerAddress: 0,
        handshakesPerSecond: 0,
        handshakeTimeoutMs: 10_000,
        deadlineMs: 4_000,
      },
      trustProxy: false,
      events: {},
      notifications: {},
    });
    expect(options.authorize({ userId: 'ann' }, 'ann', context)).toBe(true);
    expect(options.authorize({ userId: 'ann' }, 'bob', context)).toBe(false);
    const counting = [
      'state.access_mode',
      'msg.text',
      'msg.file',
      'member.join',
      'member.leave',
      'member.kick',
      'poll',
    ];
    expect(counting.filter((type) => !options.countable(event(type), 'bob'))).toEqual([]);
    expect(['msg.delete', 'msg.edit'].filter((type) => options.countable(event(type), 'bob'))).toEqual([]);
    expect(options.countable(event('constructor'), 'bob')).toBe(true);
  });

  it('keep what was given, and the defaults of the rest', () => {
    const given = {
      verifier,
      broker: memoryBroker(),
      counters: memoryCounters(),
      path: '/api/v1/users/:id/live',
      authorize: () => true,
      countable: () => false,
      trustProxy: ['10.0.0.0/8'],
    };
    const options = resolveOptions({
      ...given,
      limits: { deadlineMs: 5, maxConnections: 0 },
      heartbeat: { pingMs: 1 },
    });
    expect(options).toMatchObject(given);
    expect(options.limits).toMatchObject({ deadlineMs: 5, maxConnections: 0, maxMessageBytes: 8_192 });
    expect(options.heartbeat).toEqual({ intervalMs: 60_000, pingMs: 1 });
  });

  it('do not change any more', () => {
    const limits = { deadlineMs: 5 };
    const options = resolveOptions({ limits });
    limits.deadlineMs = 6;
    expect(options.limits.deadlineMs).toBe(5);
    expect(Object.isFrozen(options.limits) && Object.isFrozen(options.heartbeat)).toBe(true);
  });

  it.each([
    '*',
    ['https://app.example'],
    ['https://app.example:8443', 'capacitor://localhost', 'http://[::1]:3000'],
    [],
    () => true,
  ])('take %o as allowedOrigins', (allowedOrigins) => {
    expect(resolveOptions({ allowedOrigins } as UsercastOptions).allowedOrigins).toBe(allowedOrigins);
  });

  it.each([true, false])('take %o as cors', (cors) => {
    expect(resolveOptions({ cors }).cors).toBe(cors);
  });

  it.each([false, 0, 2, [], ['127.0.0.1', '::1', '10.0.0.0/8']])('take %o as trustProxy', (trustProxy) => {
    expect(createUsercast({ trustProxy } as UsercastOptions).health().ok).toBe(true);
  });

  it.each(['/:id', '/box-users/:id', '/a/b/:id/c', '/~x/%20/:id'])('take %s as path', (path) => {
    expect(resolveOptions({ path }).path).toBe(path);
  });
});

const methodsOf = (thing: object, ...left: string[]) =>
  Object.fromEntries(
    ['publish', 'subscribe', 'read', 'tops', 'whisper', 'online', 'mark', 'forget', 'onStatus', 'close', 'counters']
      .filter((name) => !left.includes(name))
      .map((name) => [name, (thing as Record<string, unknown>)[name]]),
  );
const path = 'a path with one ":id" segment and no query, such as "/box-users/:id"';
const origins = `'*', a function, or a list of origins such as ["https://app.example"]`;
const proxies = 'false, the number of proxies, or a list of their addresses and CIDR ranges';
const store = 'a CounterStore, such as memoryCounters()';

/** Wrong options, and the whole message of each. */
const WRONG: [unknown, string][] = [
  [null, 'createUsercast options must be an object, got null'],
  ['x', 'createUsercast options must be an object, got "x"'],
  [[], 'createUsercast options must be an object, got an array'],
  [{ verifier: null }, 'verifier must be a TokenVerifier, such as jwtVerifier(…), got null'],
  [{ verifier: {} }, 'verifier must be a TokenVerifier, such as jwtVerifier(…), got an object'],
  [{ verifier: () => {} }, 'verifier must be a TokenVerifier, such as jwtVerifier(…), got a function'],
  [{ broker: null }, 'broker must be a Broker, such as memoryBroker(), got null'],
  [{ broker: memoryBroker }, 'broker must be a Broker, such as memoryBroker(), got a function'],
  [{ broker: methodsOf(memoryBroker(), 'tops') }, 'broker must be a Broker, such as memoryBroker(), got an object'],
  [
    { broker: { ...methodsOf(memoryBroker()), counters: {} } },
    'broker.counters must be an object with a method counts, got an object',
  ],
  [
    { broker: methodsOf(memoryBroker(), 'counters') },
    'counters must be given, since this broker keeps no counts: pass a CounterStore, such as natsCounters() beside natsBroker(), or memoryCounters() where there is one process',
  ],
  [{ counters: {} }, `counters must be ${store}, got an object`],
  [{ counters: true }, `counters must be ${store}, got true`],
  [{ path: 7 }, `path must be ${path}, got 7`],
  [{ path: null }, `path must be ${path}, got null`],
  ...['', '/', 'box-users/:id', '/box-users', '/:id/:id', '/a?b/:id', '/a/:id/', '/a//:id', '/a/:idx', '/ü/:id'].map(
    (wrong): [unknown, string] => [{ path: wrong }, `path must be ${path}, got ${JSON.stringify(wrong)}`],
  ),
  [{ authorize: true }, 'authorize must be a function, got true'],
  [{ authorize: null }, 'authorize must be a function, got null'],
  [{ countable: ['msg.text'] }, 'countable must be a function, got an array'],
  [{ allowedOrigins: 'https://app.example' }, `allowedOrigins must be ${origins}, got "https://app.example"`],
  [{ allowedOrigins: ['app.example'] }, `allowedOrigins must be ${origins}, got "app.example"`],
  [{ allowedOrigins: ['https://app.example/'] }, `allowedOrigins must be ${origins}, got "https://app.example/"`],
  [{ allowedOrigins: ['https://a.example', '*'] }, `allowedOrigins must be ${origins}, got "*"`],
  [{ allowedOrigins: [/x/] }, `allowedOrigins must be ${origins}, got an object`],
  [{ allowedOrigins: null }, `allowedOrigins must be ${origins}, got null`],
  [{ cors: '*' }, 'cors must be true or false, got "*"'],
  [{ cors: null }, 'cors must be true or false, got null'],
  [{ cors: { origin: '*' } }, 'cors must be true or false, got an object'],
  [{ trustProxy: true }, `trustProxy must be ${proxies}, got true`],
  [{ trustProxy: -1 }, `trustProxy must be ${proxies}, got -1`],
  [{ trustProxy: Number.NaN }, `trustProxy must be ${proxies}, got NaN`],
  [{ trustProxy: 'loopback' }, `trustProxy must be ${proxies}, got "loopback"`],
  [{ trustProxy: [1] }, `trustProxy must be ${proxies}, got an array`],
  [{ heartbeat: 60_000 }, 'heartbeat must be an object, got 60000'],
  [{ heartbeat: null }, 'heartbeat must be an object, got null'],
  [{ heartbeat: { pongMs: 1 } }, 'heartbeat has no option "pongMs"; it takes intervalMs, pingMs'],
  [{ heartbeat: { intervalMs: 0 } }, 'heartbeat.intervalMs must be a whole number of at least 1, got 0'],
  [{ limits: null }, 'limits must be an object, got null'],
  [{ limits: { deadlineMs: '4s' } }, 'limits.deadlineMs must be a whole number of at least 1, got "4s"'],
  [{ limits: { deadlineMs: null } }, 'limits.deadlineMs must be a whole number of at least 1, got null'],
  [{ limits: { maxConnections: -1 } }, 'limits.maxConnections must be a whole number of at least 0, got -1'],
  [{ limits: { messagesPerSecond: 0.5 } }, 'limits.messagesPerSecond must be a whole number of at least 0, got 0.5'],
  [{ limits: { maxMessageBytes: 10n } }, 'limits.maxMessageBytes must be a whole number of at least 1, got 10'],
  [
    { limits: { maxPublishBytes: Number.POSITIVE_INFINITY } },
    'limits.maxPublishBytes must be a whole number of at least 1, got Infinity',
  ],
  [
    { limits: { maxBufferedBytes: Symbol('x') } },
    'limits.maxBufferedBytes must be a whole number of at least 1, got Symbol(x)',
  ],
];

describe('a wrong option', () => {
  it.each(WRONG)('is a TypeError at once that names it and its value: %o', (options, message) => {
    expect(() => createUsercast(options as never)).toThrow(new TypeError(message));
  });

  it('is one that usercast does not have, too', () => {
    expect(() => createUsercast({ verifyer: verifier } as never)).toThrow(
      /^createUsercast options has no option "verifyer"; it takes verifier, broker, counters, path, /,
    );
    expect(() => createUsercast({ limits: { maxconnections: 1 } } as never)).toThrow(
      /^limits has no option "maxconnections"; it takes maxMessageBytes, /,
    );
  });

  it.each(['maxMessageBytes', 'maxPublishBytes', 'maxBufferedBytes', 'handshakeTimeoutMs', 'deadlineMs'])(
    'is a limits.%s of 0',
    (name) => {
      expect(() => createUsercast({ limits: { [name]: 0 } })).toThrow(
        new TypeError(`limits.${name} must be a whole number of at least 1, got 0`),
      );
    },
  );

  it.each(['300.0.0.1', '10.0.0.0/33', 'localhost', ''])('is a proxy address of %j', (address) => {
    const create = () => createUsercast({ trustProxy: [address] });
    expect(create).toThrow(TypeError);
    expect(create).toThrow(/trustProxy/);
    expect(create).toThrow(JSON.stringify(address));
  });

  it.each([
    [{ events: null }, /^options\.events .*null$/],
    [{ events: { poll: {} } }, /^options\.events\["poll"\] must be a Standard Schema/],
    [{ notifications: [] }, /^options\.notifications .*an array$/],
    [{ notifications: { ack: {} } }, /^options\.notifications\["ack"\]: reserved/],
  ])('is a schema that is none: %o', (options, message) => {
    expect(() => createUsercast(options as never)).toThrow(TypeError);
    expect(() => createUsercast(options as never)).toThrow(message);
  });

  it('is shown short', () => {
    expect(() => createUsercast({ path: 'x'.repeat(1_000) })).toThrow(
      new TypeError(`path must be ${path}, got "${'x'.repeat(60)}…"`),
    );
  });
});
