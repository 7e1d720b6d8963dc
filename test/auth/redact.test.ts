import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withoutToken } from '../../src/auth/redact.ts';

const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjF9.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg';
const SIGNATURE = 'c2lnbmF0dXJlLW9mLXRoZS10b2tlbg';

function withProperties(error: Error, properties: object): Error {
  return Object.assign(error, properties);
}

function cyclic(): Error {
  const error: Error & { self?: unknown } = new Error('again and again');
  error.self = error;
  error.cause = error;
  return error;
}

/** Everything that a logger could print. */
function printed(value: unknown): string {
  return inspect(value, { depth: 50, showHidden: true, maxStringLength: null, maxArrayLength: null, getters: true });
}

describe('an error', () => {
  it.each<[string, unknown]>([
    ['plain', new Error('no answer', { cause: new TypeError('fetch failed') })],
    ['with properties', withProperties(new Error('no'), { code: 'EX', response: { status: 500, headers: ['a'] } })],
    ['that is its own cause', cyclic()],
    ['that is text', 'no answer'],
    ['that is nothing', undefined],
    [
      'with a getter that throws',
      Object.defineProperty(new Error('no'), 'request', {
        enumerable: true,
        get() {
          throw new Error('detached');
        },
      }),
    ],
  ])('%s is left as it is when it does not hold the token', (_what, cause) => {
    expect(withoutToken(cause, TOKEN)).toBe(cause);
  });

  it.each<[string, unknown]>([
    ['its message', new Error(`unknown token ${TOKEN}`)],
    ['its message, in part', new Error(`bad signature ${SIGNATURE}`)],
    ['its stack', withProperties(new Error('no'), { stack: `Error: no\n    at ${TOKEN}` })],
    ['its cause', new Error('no', { cause: new Error('no', { cause: `see ${TOKEN}` }) })],
    ['a property', withProperties(new Error('no'), { url: `https://idp.example/?token=${TOKEN}` })],
    ['the name of a property', withProperties(new Error('no'), { seen: { [TOKEN]: true } })],
    [
      'a header deep inside',
      withProperties(new Error('no'), { config: { headers: { authorization: `Bearer ${TOKEN}` } } }),
    ],
    ['a symbol of a foreign class', withProperties(new Error('no'), { [Symbol('state')]: { line: TOKEN } })],
    ['a map', withProperties(new Error('no'), { headers: new Map([['authorization', TOKEN]]) })],
    ['a set', withProperties(new Error('no'), { tokens: new Set([TOKEN]) })],
    ['bytes', withProperties(new Error('no'), { body: Buffer.from(`token=${TOKEN}`) })],
    ['one of several errors', new AggregateError([new Error(TOKEN)], 'all failed')],
    ['text that is no error', `no ${TOKEN}`],
    ['an object that is no error', { code: 'EX', detail: TOKEN }],
  ])('is replaced when the token is in %s', (_where, cause) => {
    const copy = withoutToken(cause, TOKEN);
    expect(copy).toBeInstanceOf(Error);
    expect(printed(copy)).not.toContain(TOKEN);
    expect(printed(copy)).not.toContain(SIGNATURE);
  });

  it('keeps its name, code, text, stack and causes when it is replaced', () => {
    const cause = withProperties(new TypeError(`fetch of /?t=${TOKEN} failed`, { cause: new Error(`at ${TOKEN}.`) }), {
      code: 'EX',
    });
    const copy = withoutToken(cause, TOKEN) as Error;
    expect(copy).toMatchObject({
      name: 'TypeError',
      code: 'EX',
      message: 'fetch of /?t=[token] failed',
      cause: { name: 'Error', message: 'at [token].' },
    });
    expect(copy.stack).toContain('TypeError: fetch of /?t=[token] failed');
    expect(copy.stack).toContain('redact.test.ts');
  });

  it('is replaced when there is too much in it to look through', () => {
    const cause = withProperties(new Error('no'), { list: Array.from({ length: 3_000 }, (_, id) => ({ id })) });
    expect(withoutToken(cause, TOKEN)).not.toBe(cause);
    expect(withoutToken(cause, TOKEN)).toMatchObject({ message: 'no' });
  });

  it('is cut off when it is its own cause', () => {
    const copy = withoutToken(withProperties(cyclic(), { token: TOKEN }), TOKEN);
    expect(printed(copy)).not.toContain(TOKEN);
  });

  it('does not hold a token that was percent-encoded on its way', () => {
    const token = 'opaque/token+with=signs';
    const copy = withoutToken(new Error(`GET /?token=${encodeURIComponent(token)}`), token);
    expect(copy).toMatchObject({ message: 'GET /?token=[token]' });
  });

  it('holds no token, whatever the token is', () => {
    const token = fc.string({ minLength: 9, unit: 'binary' }).filter((text) => !'[token]'.includes(text));
    fc.assert(
      fc.property(token, fc.string(), (secret, text) => {
        const copy = withoutToken(new Error(`${text}${secret}${text}`), secret) as Error;
        expect(copy.message).not.toContain(secret);
      }),
    );
  });

  it('may concern a token that cannot be encoded', () => {
    expect(withoutToken(new Error('no \ud800!'), '\ud800')).toMatchObject({ message: 'no [token]!' });
  });
});
