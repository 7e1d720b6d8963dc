import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { ClientAddress } from '../../src/http/client-address.ts';
import type { TrustProxy } from '../../src/options.ts';

function request(remoteAddress: string | undefined, forwardedFor?: string, forwardedHost?: string): IncomingMessage {
  const headers = { host: 'app.internal', 'x-forwarded-for': forwardedFor, 'x-forwarded-host': forwardedHost };
  return { headers, socket: { remoteAddress } } as unknown as IncomingMessage;
}

describe('ClientAddress', () => {
  it.each<[TrustProxy, string | undefined, string | undefined, string]>([
    [false, '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    [false, '::ffff:192.0.2.1', undefined, '192.0.2.1'],
    [false, undefined, undefined, ''],
    [0, '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    [1, '10.0.0.1', '203.0.113.9, 198.51.100.7', '198.51.100.7'],
    [2, '10.0.0.1', '203.0.113.9, 198.51.100.7', '203.0.113.9'],
    [5, '10.0.0.1', '198.51.100.7', '198.51.100.7'],
    [1, '10.0.0.1', undefined, '10.0.0.1'],
    [2, '10.0.0.1', 'forged, 198.51.100.7', '198.51.100.7'],
    [1, '10.0.0.1', '198.51.100.7:4711', '198.51.100.7'],
    [1, '10.0.0.1', '[2001:db8::1]:4711', '2001:db8::1'],
    [1, '10.0.0.1', '', '10.0.0.1'],
    [['10.0.0.0/8'], '10.0.0.1', '203.0.113.9, 198.51.100.7, 10.9.9.9', '198.51.100.7'],
    [['10.0.0.0/8'], '::ffff:10.0.0.1', '198.51.100.7', '198.51.100.7'],
    [['10.0.0.0/8'], '192.0.2.1', '198.51.100.7', '192.0.2.1'],
    [['10.0.0.1', '2001:db8::/32'], '2001:db8::5', '198.51.100.7, 10.0.0.1', '198.51.100.7'],
    [['10.0.0.0/8'], undefined, '198.51.100.7', ''],
  ])('with trustProxy %j and the peer %s takes from %j the address %s', (trustProxy, peer, forwarded, address) => {
    expect(new ClientAddress(trustProxy).of(request(peer, forwarded))).toBe(address);
  });

  it('believes X-Forwarded-Host of a trusted proxy alone', () => {
    const host = (trustProxy: TrustProxy) =>
      new ClientAddress(trustProxy).hostOf(request('10.0.0.1', undefined, 'app.example, other.example'));
    expect(host(false)).toBe('app.internal');
    expect(host(['192.0.2.0/24'])).toBe('app.internal');
    expect(host(['10.0.0.0/8'])).toBe('app.example');
    expect(host(1)).toBe('app.example');
    expect(new ClientAddress(1).hostOf(request('10.0.0.1'))).toBe('app.internal');
  });

  it.each(['proxy.local', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x', '::/129', ''])(
    'refuses %j in the list',
    (entry) => {
      expect(() => new ClientAddress([entry])).toThrow(TypeError);
    },
  );
});
