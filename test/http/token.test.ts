import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type MountedRequest, takeQueryToken, targetOf, tokenOf } from '../../src/http/token.ts';

function request(url: string, headers: IncomingMessage['headers'] = {}, originalUrl?: string): MountedRequest {
  return { url, headers, ...(originalUrl === undefined ? {} : { originalUrl }) } as MountedRequest;
}

function taken(url: string): { url: string | undefined; token: string | undefined } {
  const req = request(url);
  takeQueryToken(req);
  return { url: req.url, token: tokenOf(req, []) };
}

const base64url = (text: string) => Buffer.from(text).toString('base64url');

describe('takeQueryToken', () => {
  it.each([
    ['/p?access_token=t', '/p', 't'],
    ['/p?access_token=t&a=1', '/p?a=1', 't'],
    ['/p?a=1&access_token=t&b=%20+&&c', '/p?a=1&b=%20+&&c', 't'],
    ['/p?access_token=t&access_token=u&x', '/p?x', 't'],
    ['/p?access%5Ftoken=t', '/p', 't'],
    ['/p?%61ccess_token=t&b', '/p?b', 't'],
    ['/p?access_token=a%2Bb+c==', '/p', 'a+b+c=='],
    ['/p?access_token', '/p', ''],
    ['/p?a=access_token=t', '/p?a=access_token=t', undefined],
    ['/p?xaccess_token=t&access_tokens=u', '/p?xaccess_token=t&access_tokens=u', undefined],
    ['/p?%zz=1', '/p?%zz=1', undefined],
    ['/p', '/p', undefined],
    ['/p?', '/p?', undefined],
    ['http://h/p?access_token=t&q', 'http://h/p?q', 't'],
  ])('makes of %s the target %s', (url, left, token) => {
    expect(taken(url)).toEqual({ url: left, token });
  });

  it('leaves every other byte of any query as it was', () => {
    const parameter = fc.string({ unit: fc.constantFrom('a', '=', '%', '2', '5', '+', '?', '/', '_'), maxLength: 8 });
    fc.assert(
      fc.property(fc.array(parameter, { minLength: 1 }), fc.nat(), (others, at) => {
        const all = others.toSpliced(at % (others.length + 1), 0, 'access_token=secret');
        expect(taken(`/p?${all.join('&')}`)).toEqual({ url: `/p?${others.join('&')}`, token: 'secret' });
      }),
    );
  });

  it('takes it out of the URL under a mount and out of the original one', () => {
    const req = request('/ada/counts?access_token=t&a', {}, '/box-users/ada/counts?access_token=t&a');
    takeQueryToken(req);
    expect(req).toMatchObject({ url: '/ada/counts?a', originalUrl: '/box-users/ada/counts?a' });
    expect(targetOf(req)).toBe('/box-users/ada/counts?a');
    expect(tokenOf(req, [])).toBe('t');
  });

  it('still knows the token when it is called again', () => {
    const req = request('/p?access_token=t');
    takeQueryToken(req);
    takeQueryToken(req);
    expect(tokenOf(req, [])).toBe('t');
  });
});

describe('tokenOf', () => {
  it('prefers the header, then the subprotocol, then the query', () => {
    const protocols = ['usercast.plain', `usercast.bearer.${base64url('from-protocol')}`];
    const all = request('/p?access_token=from-query', { authorization: 'bearer  from-header' });
    takeQueryToken(all);
    expect(tokenOf(all, protocols)).toBe('from-header');
    const two = request('/p?access_token=from-query', { authorization: 'Basic eDp5' });
    takeQueryToken(two);
    expect(tokenOf(two, protocols)).toBe('from-protocol');
    expect(tokenOf(two, ['usercast.plain'])).toBe('from-query');
    expect(tokenOf(request('/p'), [])).toBeUndefined();
    expect(tokenOf(request('/p', { authorization: 'Bearer' }), [])).toBeUndefined();
  });

  it.each(['', 'a', 'ab$', 'YQ==', base64url('x').slice(0, 1), Buffer.from([0xff, 0xfe]).toString('base64url')])(
    'refuses the subprotocol token %j',
    (encoded) => {
      expect(() => tokenOf(request('/p'), [`usercast.bearer.${encoded}`])).toThrow(
        expect.objectContaining({ code: 'token_invalid' }),
      );
    },
  );

  it('refuses a badly encoded query token without repeating it', () => {
    const req = request('/p?access_token=secret%zz');
    takeQueryToken(req);
    expect(() => tokenOf(req, [])).toThrow(
      expect.objectContaining({ code: 'token_invalid', message: expect.not.stringContaining('secret') }),
    );
  });
});
