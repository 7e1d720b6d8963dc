// What a host gets wrong in its first hour, and what it is told.

import { createServer } from 'node:http';
import { createUsercast } from 'usercast';
import { expressMiddleware } from 'usercast/express';
import { koaMiddleware } from 'usercast/koa';
import { afterEach, describe, expect, it } from 'vitest';

const verifier = { verify: async (token: string) => ({ userId: token }) };
const usercast = createUsercast({ verifier });
const loose = usercast as unknown as Record<'attach' | 'drain' | 'on', (...args: unknown[]) => unknown>;
const server = createServer();

afterEach(() => {
  expect(server.listenerCount('upgrade')).toBe(0);
});

describe('a mistake in a call', () => {
  it.each([
    [{ htp: true }, 'attach options has no option "htp"; it takes http'],
    [true, 'attach options must be an object, got true'],
    [{ http: 'yes' }, 'http must be true or false, got "yes"'],
  ])('attach(server, %j) is named, and nothing is attached', (options, message) => {
    expect(() => loose.attach(server, options)).toThrow(new TypeError(message));
  });

  it('drain({ within }) is named, and nothing is drained', async () => {
    await expect(loose.drain({ within: 1 })).rejects.toThrow('drain options has no option "within"; it takes withinMs');
    expect(usercast.health()).toMatchObject({ ok: true, draining: false });
  });

  it('on() names the events that there are, and wants a function', () => {
    expect(() => loose.on('connected', () => {})).toThrow(
      /^the event must be one of connect, .*, error, got "connected"$/,
    );
    expect(() => loose.on('connect', 'listener')).toThrow('the listener of connect must be a function, got "listener"');
  });

  it.each([expressMiddleware, koaMiddleware])('%o takes a usercast alone', (middleware) => {
    expect(() => middleware(undefined as never)).toThrow(`${middleware.name} takes what createUsercast returned`);
    expect(() => middleware({ callback: () => {} } as never)).toThrow(TypeError);
  });
});
