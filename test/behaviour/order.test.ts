import { memoryBroker } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, type Site, textEvent } from '../support/fixture.ts';
import { seededRandom } from '../support/seed.ts';

afterEach(cleanUp);

describe('the messages of a user', () => {
  it('come to every session in the same order, none twice, none left out', async () => {
    const site = await listen();
    const tabs = await Promise.all([1, 2, 3].map(() => connectClient(site, { userId: 'ada' })));
    const random = seededRandom(1);
    const calls: Promise<unknown>[] = [];
    for (let n = 1; n <= 300; n++) {
      calls.push(
        random() < 0.5
          ? site.usercast.notify('ada', 'n', { n })
          : site.usercast.publishEvent(['ada', 'grace'], textEvent({ n })),
      );
      if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(calls);
    const expected = Array.from({ length: 300 }, (_, i) => i + 1);
    for (const tab of tabs) {
      await expect.poll(() => tab.messages.length).toBe(300);
      expect(tab.all('n')).toEqual(expected);
    }
  });

  it('come in one order, whichever process of a cluster they were published on', async () => {
    const broker = memoryBroker();
    const sites = [await listen({ broker }), await listen({ broker })] as const;
    const clients = [
      await connectClient(sites[0], { userId: 'ada' }),
      await connectClient(sites[1], { userId: 'ada' }),
    ] as const;
    const publish = async (site: Site, name: string) => {
      for (let n = 1; n <= 60; n++) await site.usercast.notify('ada', 'n', { n: `${name}${n}` });
    };
    await Promise.all([publish(sites[0], 'a'), publish(sites[1], 'b')]);
    for (const client of clients) await expect.poll(() => client.messages.length).toBe(120);
    expect(clients[0].messages).toEqual(clients[1].messages);
    const ofA = clients[0].all('n').filter((n) => String(n).startsWith('a'));
    expect(ofA).toEqual(Array.from({ length: 60 }, (_, i) => `a${i + 1}`));
  });

  it('come once, however often the host says them', async () => {
    const site = await listen();
    const client = await connectClient(site, { userId: 'ada' });
    const event = textEvent();
    const outcomes = [
      await site.usercast.publishEvent(['ada', 'ada'], event),
      await site.usercast.publishEvent(['ada', 'grace'], event),
    ];
    await Promise.all([1, 2, 3].map(() => site.usercast.notify('ada', 'n', {}, { idempotencyKey: event.id })));
    await site.usercast.notify('ada', 'last', {});
    await expect.poll(() => client.messages.at(-1)).toContain('last');
    expect(client.messages).toHaveLength(3);
    expect(outcomes).toEqual([
      { recipients: 1, duplicates: 0 },
      { recipients: 2, duplicates: 1 },
    ]);
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 1 });
  });

  it('are theirs alone', async () => {
    const site = await listen();
    const ada = await connectClient(site, { userId: 'ada' });
    const grace = await connectClient(site, { userId: 'grace' });
    await site.usercast.publishEvent(['ada', 'grace'], (userId) => textEvent({ id: 'one', content: { for: userId } }));
    await site.usercast.notify('ada', 'n', { n: 1 });
    await site.usercast.notify('grace', 'n', { n: 2 });
    await expect.poll(() => [ada.messages.length, grace.messages.length]).toEqual([2, 2]);
    expect(ada.all('content')).toEqual([{ for: 'ada' }, undefined]);
    expect(grace.all('content')).toEqual([{ for: 'grace' }, undefined]);
    expect([ada.all('n')[1], grace.all('n')[1]]).toEqual([1, 2]);
  });
});
