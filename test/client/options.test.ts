import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ConnectOptions, resolveConnectOptions } from '../../src/client/options.ts';
import { FakeWebSocket } from '../support/fake-websocket.ts';

const options: ConnectOptions = { url: 'https://api.example', userId: 'ann', token: 't', WebSocket: FakeWebSocket };
const base = (given: Partial<ConnectOptions>) => resolveConnectOptions({ ...options, ...given }).target.url('ws');

afterEach(() => vi.unstubAllGlobals());

describe('the URL of an endpoint', () => {
  it('is under the path of the server', () => {
    expect(base({})).toBe('https://api.example/box-users/ann/ws');
    expect(base({ path: '/live/:id/stream' })).toBe('https://api.example/live/ann/stream/ws');
  });

  it('takes any of the four protocols, a port and a prefix', () => {
    expect(base({ url: 'wss://api.example:8443/realtime/' })).toBe(
      'https://api.example:8443/realtime/box-users/ann/ws',
    );
    expect(base({ url: new URL('ws://localhost') })).toBe('http://localhost/box-users/ann/ws');
  });

  it('may be given relative to the page', () => {
    vi.stubGlobal('location', { href: 'https://app.example/chat/?room=1' });
    expect(base({ url: '/' })).toBe('https://app.example/box-users/ann/ws');
  });

  it('encodes the user id', () => {
    expect(base({ userId: "a/b?c#d é$&'" })).toBe("https://api.example/box-users/a%2Fb%3Fc%23d%20%C3%A9%24%26'/ws");
  });
});

describe('a wrong option', () => {
  const wrong: [string, Record<string, unknown>][] = [
    ['url', { url: 'api.example' }],
    ['url', { url: 'ftp://api.example' }],
    ['url', { url: 'https://api.example?access_token=secret' }],
    ['userId', { userId: '' }],
    ['userId', { userId: 7 }],
    ['token', { token: '' }],
    ['token', { token: undefined }],
    ['path', { path: 'box-users/:id' }],
    ['path', { path: '/box-users/:identity' }],
    ['cursor', { cursor: '' }],
    ['transports', { transports: [] }],
    ['transports', { transports: ['carrier pigeon'] }],
  ];
  it.each(wrong)('%s: a TypeError names it and repeats no value', (name, given) => {
    const resolve = () => resolveConnectOptions({ ...options, ...given });
    expect(resolve).toThrow(TypeError);
    expect(resolve).toThrow(new RegExp(`^${name} must`));
    expect(resolve).not.toThrow(/secret/);
  });
});

describe('an option that there is not', () => {
  it('is a TypeError that names it and lists those that there are', () => {
    const misspelt = { ...options, usrId: 'secret' };
    expect(() => resolveConnectOptions(misspelt)).toThrow(TypeError);
    expect(() => resolveConnectOptions(misspelt)).toThrow(
      'usrId is no option, but url,userId,token,path,cursor,transports,WebSocket,fetch',
    );
  });
});

describe('a platform without', () => {
  it('WebSocket has to be given one, or other transports', () => {
    vi.stubGlobal('WebSocket', undefined);
    const { WebSocket: _, ...others } = options;
    expect(() => resolveConnectOptions(others)).toThrow(/^WebSocket must be passed.*package 'ws'.*transports/);
    expect(resolveConnectOptions({ ...others, transports: ['sse', 'polling'] }).transports).toHaveLength(2);
  });

  it('fetch has to be given one, or WebSockets alone', () => {
    vi.stubGlobal('fetch', undefined);
    expect(() => resolveConnectOptions(options)).toThrow(/^fetch must be passed.*transports/);
    expect(resolveConnectOptions({ ...options, transports: ['websocket'] }).transports).toHaveLength(1);
  });
});
