import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, endOf, listen, Refused, shortTokenFor, tokenFor } from '../support/fixture.ts';

afterEach(cleanUp);

describe('a session', () => {
  it.each([200, 700])('ends with 4401 at the moment its token does, %i ms on, and not before', async (ms) => {
    const site = await listen();
    const token = shortTokenFor('ada', ms);
    const client = await connectClient(site, { userId: 'ada', token });
    const end = await client.closed;
    const lateMs = Date.now() - endOf(token);
    expect(end).toEqual({ code: 4401, reason: 'token expired' });
    expect(lateMs).toBeGreaterThanOrEqual(-2);
    expect(lateMs).toBeLessThan(1_000);
    expect(await site.event('disconnect')).toMatchObject({ userId: 'ada', code: 4401 });
  });

  it('ends with its own token, whatever other tokens its user has', async () => {
    const site = await listen();
    const short = await connectClient(site, { userId: 'ada', token: shortTokenFor('ada', 300) });
    const long = await connectClient(site, {
      userId: 'ada',
      token: tokenFor('ada', { expiresAt: Date.now() + 60_000 }),
    });
    const endless = await connectClient(site, { userId: 'ada' });
    expect((await short.closed).code).toBe(4401);
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await long.next()).object).toEqual({ n: 1 });
    expect((await endless.next()).object).toEqual({ n: 1 });
  });

  it('ends although its client does not read', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada', token: shortTokenFor('ada', 300) });
    client.ws.pause();
    await expect.poll(() => site.usercast.stats().sessions).toBe(0);
    expect(await site.event('disconnect')).toMatchObject({ code: 4401, reason: 'token expired' });
  });
});

describe('a token that has ended', () => {
  it('opens nothing', async () => {
    const site = await listen();
    const token = tokenFor('ada', { expiresAt: Date.now() - 1 });
    const refused = await connectClient(site, { userId: 'ada', token }).catch((cause: unknown) => cause);
    expect(refused).toBeInstanceOf(Refused);
    expect(refused).toMatchObject({ status: 401, problem: { title: 'token expired' } });
    expect(site.events('connect')).toEqual([]);
  });
});
