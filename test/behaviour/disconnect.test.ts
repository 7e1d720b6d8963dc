import { memoryBroker, type TokenVerifier } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, testVerifier, tokenFor } from '../support/fixture.ts';

afterEach(cleanUp);

describe('disconnect', () => {
  it('ends all sessions of the user with 4403, on every process, and nobody else’s', async () => {
    const broker = memoryBroker();
    const [here, there] = [await listen({ broker }), await listen({ broker })];
    const clients = await Promise.all([here, here, there].map((site) => connectClient(site, { userId: 'ada' })));
    const other = await connectClient(here, { userId: 'grace' });
    await there.usercast.disconnect('ada');
    for (const client of clients) {
      expect(await client.closed).toEqual({ code: 4403, reason: 'disconnected by the host' });
    }
    await here.usercast.notify('grace', 'n', { n: 1 });
    expect((await other.next()).object).toEqual({ n: 1 });
    await expect.poll(() => [here, there].map(({ usercast }) => usercast.stats().sessions)).toEqual([1, 0]);
  });

  it('ends one session by its id, with the reason of the host, in whichever process it is', async () => {
    const broker = memoryBroker();
    const [here, there] = [await listen({ broker }), await listen({ broker })];
    const one = await connectClient(here, { userId: 'ada' });
    const { sessionId } = await here.event('connect');
    const two = await connectClient(here, { userId: 'ada' });
    await there.usercast.disconnect('ada', { sessionId, reason: 'signed out: güle güle' });
    expect(await one.closed).toEqual({ code: 4403, reason: 'signed out: güle güle' });
    await here.usercast.notify('ada', 'n', { n: 1 });
    expect((await two.next()).object).toEqual({ n: 1 });
    expect(await here.event('disconnect')).toMatchObject({ sessionId, code: 4403, reason: 'signed out: güle güle' });
  });

  it('sends what was published before it', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    void site.usercast.notify('ada', 'n', { n: 1 });
    await site.usercast.disconnect('ada');
    await client.closed;
    expect(client.all('n')).toEqual([1]);
  });

  it('lets the user come back with a good token, and has the verifier forget', async () => {
    const forgotten: string[] = [];
    const verifier: TokenVerifier = { ...testVerifier, forget: (userId) => void forgotten.push(userId) };
    const site = await listen({ verifier });
    const token = tokenFor('ada');
    const client = await connectClient(site, { userId: 'ada', token });
    await site.usercast.disconnect('ada');
    await client.closed;
    expect(forgotten).toContain('ada');
    const again = await connectClient(site, { userId: 'ada', token });
    await site.usercast.notify('ada', 'n', { n: 1 });
    expect((await again.next()).object).toEqual({ n: 1 });
  });

  it('of somebody who is not there does nothing', async () => {
    const site = await listen();
    await site.usercast.disconnect('nobody');
    await site.usercast.disconnect('nobody', { sessionId: 'none' });
    expect(site.told).toEqual([]);
  });

  it.each([
    [{ reason: 'é'.repeat(62) }, 'reason'],
    [{ reason: 1 }, 'reason'],
    [{ sessionId: '' }, 'sessionId'],
    [{ session: 'x' }, 'session'],
  ])('refuses %j and names what is wrong', async (options, name) => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    await expect(site.usercast.disconnect('ada', options as object)).rejects.toThrow(name);
    await site.usercast.notify('ada', 'n', {});
    await client.next();
  });
});

describe('online', () => {
  it('is who has a session anywhere in the cluster', async () => {
    const broker = memoryBroker();
    const [here, there] = [await listen({ broker }), await listen({ broker })];
    await connectClient(here, { userId: 'ada' });
    await connectClient(there, { userId: 'grace' });
    for (const { usercast } of [here, there]) {
      expect(await usercast.online(['ada', 'grace', 'linus', 'ada'])).toEqual(new Set(['ada', 'grace']));
      expect(await usercast.online([])).toEqual(new Set());
      expect(await usercast.online('grace')).toEqual(new Set(['grace']));
    }
  });

  it('is over a few seconds after the last session has left', async () => {
    const site = await listen();
    const tabs = [await connectClient(site, { userId: 'ada' }), await connectClient(site, { userId: 'ada' })];
    tabs[0]!.ws.close();
    await tabs[0]!.closed;
    expect(await site.usercast.online('ada')).toEqual(new Set(['ada']));
    tabs[1]!.ws.close();
    await expect.poll(() => site.usercast.online('ada')).toEqual(new Set());
    expect(site.usercast.stats()).toMatchObject({ sessions: 0, users: 0 });
  });
});
