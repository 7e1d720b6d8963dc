// A user to whom messages are published all the time, while clients come and acks go out.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'vitest';
import { connectV1, type Site, textEvent, type V1Client } from './fixture.ts';

const STEPS = 400;
/** At most so many calls are under way at once. */
const MANY = 40;

/** All of the user's clients have the counts that the site has, when it is quiet. */
export async function expectRightCounts(site: Site, random: () => number): Promise<void> {
  const clients: V1Client[] = [];
  const opening: Promise<unknown>[] = [];
  const calls: Promise<unknown>[] = [];
  const open = async (): Promise<void> => {
    const earlier = random() < 0.5 ? clients[Math.floor(random() * clients.length)] : undefined;
    const cursor = earlier?.reader.cursor;
    clients.push(await connectV1(site, { userId: 'ada', ...(cursor ? { cursor } : {}) }));
  };
  for (let step = 0; step < STEPS; step++) {
    const boxId = random() < 0.5 ? 'kept' : 'acked';
    if (random() < 0.1) calls.push(site.usercast.ack('ada', 'acked'));
    else calls.push(site.usercast.publishEvent('ada', textEvent({ box_id: boxId })));
    if (step % 20 === 0) opening.push(open());
    if (calls.length > MANY) await calls.shift();
    for (let left = Math.floor(random() * 6); left > 0; left--) await nextTurn();
  }
  await Promise.all([...calls, ...opening]);
  const [counts, top] = [await site.usercast.counts('ada'), await site.usercast.cursor('ada')];
  expect(counts.kept).toBeGreaterThan(STEPS / 4);
  for (const { reader } of clients) {
    await expect.poll(() => reader.cursor).toBe(top);
    expect(reader.counts).toEqual(counts);
  }
}
