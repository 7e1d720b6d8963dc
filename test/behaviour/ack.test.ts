import { memoryBroker, memoryCounters } from 'usercast';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanUp, connectClient, listen, textEvent } from '../support/fixture.ts';

afterEach(cleanUp);

const ack = (userId: string, boxId = 'box-1') => ({ sender_id: userId, box_id: boxId });

describe.each([
  ['the broker’s own counts', () => ({})],
  ['a counter store', () => ({ counters: memoryCounters() })],
])('an ack, with %s,', (_name, options) => {
  it('sets the count on that box to 0 and comes back to every session of the user, and to nobody else', async () => {
    const site = await listen(options());
    const tabs = [await connectClient(site, { userId: 'ada' }), await connectClient(site, { userId: 'ada' })];
    const other = await connectClient(site, { userId: 'grace' });
    for (const boxId of ['box-1', 'box-1', 'box-2'])
      await site.usercast.publishEvent(['ada', 'grace'], textEvent({ box_id: boxId }));
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 2, 'box-2': 1 });
    tabs[0]!.send('ack', ack('ada'));
    for (const tab of tabs) await expect.poll(() => tab.messages.at(-1)).toContain('"ack"');
    for (const tab of tabs) {
      expect(tab.messages).toHaveLength(4);
      expect(tab.messages[3]).toBe('{"type":"ack","object":{"sender_id":"ada","box_id":"box-1"}}');
    }
    await expect.poll(() => site.usercast.counts('ada')).toEqual({ 'box-2': 1 });
    expect(await site.usercast.counts('grace')).toEqual({ 'box-1': 2, 'box-2': 1 });
    expect(other.messages).toHaveLength(3);
    expect(await site.event('ack')).toEqual({ userId: 'ada', boxId: 'box-1' });
  });

  it('stands in the stream: what comes after it counts again', async () => {
    const site = await listen(options());
    const client = await connectClient(site, { userId: 'ada' });
    await site.usercast.publishEvent('ada', textEvent());
    await site.usercast.ack('ada', 'box-1');
    await site.usercast.publishEvent('ada', textEvent());
    await expect
      .poll(() => client.messages.map((text) => JSON.parse(text).type))
      .toEqual(['event.new', 'ack', 'event.new']);
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 1 });
  });

  it('with a forged sender_id changes nothing, is echoed to nobody, and is answered with an error', async () => {
    const site = await listen(options());
    const ada = await connectClient(site, { userId: 'ada' });
    const mallory = await connectClient(site, { userId: 'mallory' });
    await site.usercast.publishEvent(['ada', 'mallory'], textEvent());
    mallory.send('ack', ack('ada'));
    await expect.poll(() => mallory.messages.length).toBe(2);
    expect(JSON.parse(mallory.messages[1]!)).toMatchObject({ type: 'error', object: { code: 'wrong_sender' } });
    expect(mallory.messages[1]).not.toContain('ada');
    expect(await site.usercast.counts('ada')).toEqual({ 'box-1': 1 });
    expect(await site.usercast.counts('mallory')).toEqual({ 'box-1': 1 });
    expect(ada.messages).toHaveLength(1);
    expect(site.events('ack')).toEqual([]);
    mallory.send('ack', ack('mallory'));
    await expect.poll(() => site.usercast.counts('mallory')).toEqual({});
  });
});

describe('an ack in a cluster', () => {
  it('comes to the user’s sessions on every process', async () => {
    const broker = memoryBroker();
    const [here, there] = [await listen({ broker }), await listen({ broker })];
    const clients = [await connectClient(here, { userId: 'ada' }), await connectClient(there, { userId: 'ada' })];
    await here.usercast.publishEvent('ada', textEvent());
    clients[1]!.send('ack', ack('ada'));
    for (const client of clients) await expect.poll(() => client.messages.at(-1)).toContain('"ack"');
    expect(await here.usercast.counts('ada')).toEqual({});
    expect(await there.usercast.counts('ada')).toEqual({});
  });
});
