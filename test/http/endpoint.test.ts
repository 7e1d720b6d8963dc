import { describe, expect, it } from 'vitest';
import { decodeUserId, Endpoints } from '../../src/http/endpoint.ts';

const endpoints = new Endpoints('/box-users/:id');

describe('Endpoints', () => {
  it.each([
    ['/box-users/ada/ws', 'ws', 'ada'],
    ['/box-users/ada/counts?x=/y/ws', 'counts', 'ada'],
    ['/box-users/ada/ack?', 'ack', 'ada'],
    ['/box-users/ada/sse?cursor=1', 'sse', 'ada'],
    ['/box-users/ada/messages?wait=0', 'messages', 'ada'],
    ['/box-users//ws', 'ws', ''],
    ['/box-users/a%2Fb/ws', 'ws', 'a%2Fb'],
    ['http://api.example/box-users/ada/ws?x', 'ws', 'ada'],
    ['HTTPS://api.example:8443/box-users/ada/ws', 'ws', 'ada'],
    ['/box-users/ws/ws', 'ws', 'ws'],
  ])('takes %s', (target, endpoint, rawUserId) => {
    expect(endpoints.match(target)).toEqual({ endpoint, rawUserId });
  });

  it.each([
    '',
    '*',
    '/',
    '/box-users',
    '/box-users/ws',
    '/box-users/ada',
    '/box-users/ada/ws/',
    '/box-users/ada/wss',
    '/box-users/ada/WS',
    '/box-users/ada/poll',
    '/box-users/ada/messages/7',
    '/box-users/ada/b/ws',
    '/api/box-users/ada/ws',
    '/box-users/ada?/ws',
    '/other?/box-users/ada/ws',
    'http://api.example',
    'http://api.example?/box-users/ada/ws',
    'ada/box-users/ada/ws',
    'box-users/ada/ws',
  ])('leaves %j to the host', (target) => {
    expect(endpoints.match(target)).toBeNull();
  });

  it('takes a path with something after the user id', () => {
    const deep = new Endpoints('/api/v1/users/u-:id/realtime');
    expect(deep.match('/api/v1/users/u-7/realtime/ws')).toEqual({ endpoint: 'ws', rawUserId: '7' });
    expect(deep.match('/api/v1/users/u-7/ws')).toBeNull();
    expect(deep.match('/api/v1/users/7/realtime/ws')).toBeNull();
  });
});

describe('decodeUserId', () => {
  it('decodes percent-escapes once', () => {
    expect(decodeUserId('a%2Fb%252F%C3%A9')).toBe('a/b%2Fé');
    expect(decodeUserId('x'.repeat(256))).toHaveLength(256);
  });

  it.each(['', '%E0%A4%A', '%', '%zz', 'x'.repeat(257)])('refuses %j', (raw) => {
    expect(() => decodeUserId(raw)).toThrow(expect.objectContaining({ code: 'malformed_user_id' }));
  });
});
