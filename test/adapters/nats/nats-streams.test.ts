// What natsBroker stores for each user and what it takes as proof, on a real server that stays up.

import type { Position } from 'usercast';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { userToken } from '../../../adapters/nats/nats-names.ts';
import { listen, NatsScene, newName, newTag, payloadsOf, resume, say, topOf } from './nats-scene.ts';

let scene: NatsScene;
/** A stream and prefix of each test's own. */
let stream: string;

beforeAll(async () => {
  scene = await NatsScene.start();
});
beforeEach(() => {
  stream = newName('stream');
});
afterEach(() => scene.clear());
afterAll(() => scene.close());

const open = (options: object = {}) => scene.broker({ stream, prefix: stream, ...options });

/** How many entries the user has in the stream, hidden ones included. */
async function stored(userId: string): Promise<number> {
  const { streams } = await scene.operator();
  const subject = `${stream}.s.${userToken(userId)}`;
  const { state } = await streams.info(stream, { subjects_filter: subject });
  return state.subjects?.[subject] ?? 0;
}

describe('the place before the first message', () => {
  it('is a hidden entry, stored once however often the stream is opened', async () => {
    const [one, two] = [open(), open()];
    const tops = await Promise.all([one, two, one, two].map((broker) => topOf(broker, 'ann')));
    expect(new Set(tops.map(({ offset, tag }) => `${offset} ${tag}`)).size).toBe(1);
    expect(await stored('ann')).toBe(1);
  });

  it('shows neither in history nor live, and breaks no chain', async () => {
    const broker = open();
    const recorder = await listen(broker, 'ann');
    const origin = await topOf(broker, 'ann');
    const first = await say(broker, 'ann', 'a');
    await say(broker, 'ann', 'b');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['a', 'b']));
    expect(recorder.publications.map(({ previousTag }) => previousTag)).toEqual([origin.tag, first.tag]);
    expect(await resume(broker, 'ann', origin)).toEqual(['a', 'b']);
  });

  it('leaves room for all the messages of the history', async () => {
    const broker = open({ history: { messages: 3 } });
    const origin = await topOf(broker, 'ann');
    await say(broker, 'ann', 'a', 'b', 'c');
    expect(await resume(broker, 'ann', origin)).toEqual(['a', 'b', 'c']);
    await say(broker, 'ann', 'd');
    expect(await resume(broker, 'ann', origin)).toBe('trimmed');
  });

  it('of a stream that was purged or forgotten is another one', async () => {
    const broker = open();
    const origin = await topOf(broker, 'ann');
    await say(broker, 'ann', 'a');
    await broker.forget('ann');
    const after = await topOf(broker, 'ann');
    expect(after.tag).not.toBe(origin.tag);
    expect(await resume(broker, 'ann', origin)).toBe('trimmed');
    expect(await resume(broker, 'ann', after)).toEqual([]);
  });
});

describe('a position', () => {
  it("of another user's entry proves nothing", async () => {
    const broker = open();
    await topOf(broker, 'bob');
    const { appended } = await broker.publish({
      tag: newTag(),
      deliveries: [{ payload: 'p', userIds: ['ann', 'bob'] }],
    });
    const [ofAnn, ofBob] = appended as Position[];
    await say(broker, 'bob', 'more');
    const { epoch } = ofBob!;
    for (const forged of [ofAnn!, { ...ofAnn!, epoch }, { ...ofBob!, offset: ofAnn!.offset }]) {
      expect(await resume(broker, 'bob', forged)).toMatch(/epoch|trimmed/);
    }
    expect(await resume(broker, 'bob', ofBob!)).toEqual(['more']);
  });

  it('is good in the middle of a long history that several users share', async () => {
    const broker = open();
    const positions: Position[] = [];
    for (let i = 0; i < 60; i++) {
      positions.push(await say(broker, 'ann', `a${i}`));
      await say(broker, `other ${i % 7}`, 'p');
    }
    for (const at of [0, 1, 20, 55, 58, 59]) {
      const expected = Array.from({ length: 59 - at }, (_, i) => `a${at + 1 + i}`);
      expect(await resume(broker, 'ann', positions[at]!)).toEqual(expected);
      expect(payloadsOf(await broker.read('ann', positions[at]!, 10))).toEqual(expected.slice(0, 10));
    }
  });

  it('is read page by page where the history is longer than a page', async () => {
    const broker = open({ history: { messages: 2_000 } });
    let position = await topOf(broker, 'ann');
    for (let i = 0; i < 90; i++) await say(broker, 'ann', `p${i}`);
    const seen: string[] = [];
    for (;;) {
      const { entries } = await broker.read('ann', position, 7);
      if (entries.length === 0) break;
      seen.push(...entries.map(({ payload }) => payload));
      position = entries.at(-1)!;
    }
    expect(seen).toEqual(Array.from({ length: 90 }, (_, i) => `p${i}`));
  });

  it('is given up when a message after it is older than the history', async () => {
    const broker = open({ history: { ageMs: 1_500 }, deduplicationMs: 1_500 });
    const origin = await topOf(broker, 'ann');
    const at = await say(broker, 'ann', 'old');
    expect(await resume(broker, 'ann', origin)).toEqual(['old']);
    await vi.waitFor(async () => expect(await resume(broker, 'ann', origin)).toBe('trimmed'));
    expect(await resume(broker, 'ann', at)).toEqual([]);
  });

  it('is given up when its entry was purged, and only for that user', async () => {
    const broker = open();
    const [ann, bob] = [await say(broker, 'ann', 'a'), await say(broker, 'bob', 'b')];
    await say(broker, 'ann', 'more');
    await say(broker, 'bob', 'more');
    const { streams } = await scene.operator();
    await streams.purge(stream, { filter: `${stream}.s.${userToken('ann')}` });
    expect(await resume(broker, 'ann', ann)).toBe('trimmed');
    expect(await resume(broker, 'bob', bob)).toEqual(['more']);
  });

  it('of a quiet user is given up when its proof has aged out, and not before', { timeout: 60_000 }, async () => {
    const broker = open({ proofMs: 1_500, history: { ageMs: 1_500 }, deduplicationMs: 1_500 });
    const origin = await topOf(broker, 'ann');
    expect(await resume(broker, 'ann', origin)).toEqual([]);
    await vi.waitFor(async () => expect(await stored('ann')).toBe(0), 30_000);
    expect(await resume(broker, 'ann', origin)).toBe('trimmed');
    expect((await broker.tops(['ann'])).get('ann')).not.toMatchObject(origin);
  });

  it('goes on after what arrives live, also from the first message after a purge', async () => {
    const broker = open();
    const recorder = await listen(broker, 'ann');
    await say(broker, 'ann', 'a');
    const { streams } = await scene.operator();
    await streams.purge(stream, { filter: `${stream}.s.${userToken('ann')}` });
    await say(broker, 'ann', 'b', 'c');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['a', 'b', 'c']));
    const [a, b, c] = recorder.publications;
    expect(b!.previousTag).not.toBe(a!.tag);
    expect(b!.previousTag).not.toMatch(/^[\w-]*$/);
    expect(c!.previousTag).toBe(b!.tag);
    expect(await resume(broker, 'ann', b!)).toEqual(['c']);
  });
});

describe('a message id', () => {
  it('that comes again is answered with the tag of the first time', async () => {
    const [one, two] = [open(), open()];
    const publish = async (broker: typeof one) => {
      const deliveries = [{ payload: 'p', userIds: ['ann'] }];
      return broker.publish({ id: 'event:1', tag: newTag(), deliveries });
    };
    const first = await publish(one);
    await say(one, 'ann', 'between');
    const again = await publish(two);
    expect(again).toEqual({ ...first, duplicates: 1 });
  });

  it('is known even when its entry has left the history', async () => {
    const broker = open({ history: { messages: 2 } });
    const message = () => ({ id: 'event:1', tag: newTag(), deliveries: [{ payload: 'p', userIds: ['ann'] }] });
    const first = (await broker.publish(message())).appended[0] as Position;
    await say(broker, 'ann', 'a', 'b', 'c', 'd');
    const again = await broker.publish(message());
    expect(again).toMatchObject({ duplicates: 1, appended: [{ offset: first.offset, epoch: first.epoch }] });
  });
});

describe('user ids', () => {
  it('of the greatest length and of any script have a stream', async () => {
    const broker = open();
    for (const userId of [
      '語'.repeat(256),
      '💬'.repeat(128),
      '\u0000'.repeat(256),
      '*'.repeat(256),
      '$1',
      '{{wildcard(1)}}',
    ]) {
      const recorder = await listen(broker, userId);
      const origin = await topOf(broker, userId);
      await say(broker, userId, 'p');
      await broker.mark(userId, { reason: 'why' });
      await vi.waitFor(() => expect([recorder.payloads, recorder.marks.length]).toEqual([['p'], 1]));
      expect(await resume(broker, userId, origin)).toEqual(['p']);
      expect(await open().online([userId])).toEqual(new Set([userId]));
    }
  });
});

describe('what is not stored', () => {
  it('reaches the listeners of all processes, whatever it looks like', async () => {
    const [one, two] = [open(), open()];
    const recorders = [await listen(one, 'ann'), await listen(two, 'ann')];
    const whispers = ['m{"number":9}', 'o', '', 'ünï 💬', 'NATS/1.0\r\nNats-Sequence: 9\r\n\r\n'];
    for (const whisper of whispers) await one.whisper(['ann', 'bob'], whisper);
    for (const { whispers: heard, publications, marks } of recorders) {
      await vi.waitFor(() => expect(heard).toEqual(whispers));
      expect([publications, marks]).toEqual([[], []]);
    }
  });

  it('may be nonsense of another program without harm', async () => {
    const broker = open();
    const recorder = await listen(broker, 'ann');
    const intruder = await scene.connection();
    const live = `${stream}.live.${userToken('ann')}`;
    for (const nonsense of ['', 'm', 'm{', 'mnull', 'm{}', 'x', '\u0000']) intruder.publish(live, nonsense);
    intruder.publish(`${stream}.changed`, 'nonsense');
    await intruder.flush();
    await say(broker, 'ann', 'p');
    await vi.waitFor(() => expect(recorder.payloads).toEqual(['p']));
    expect(recorder.marks).toEqual([]);
  });

  it('makes nobody online who only watches the subjects', async () => {
    const broker = open({ deadlineMs: 2_000 });
    (await scene.connection()).subscribe('>');
    expect(await broker.online(['ann', 'bob'])).toEqual(new Set());
    await listen(open(), 'ann');
    expect(await broker.online(['ann', 'bob'])).toEqual(new Set(['ann']));
  });
});

describe('disconnect marks', () => {
  it('are kept in the order of processes that write at the same moment', async () => {
    const brokers = [open(), open(), open()];
    await Promise.all(brokers.flatMap((broker, i) => [0, 1, 2].map((j) => broker.mark('ann', { reason: `${i}${j}` }))));
    const { marks, markNumber } = await brokers[0]!.read('ann', null, 0);
    const numbers = marks.map(({ number }) => number);
    expect(new Set(numbers).size).toBe(9);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(markNumber).toBe(numbers.at(-1));
  });

  it('are kept as long as they are told to, and grow on from there', async () => {
    const broker = open({ marksMs: 400 });
    await broker.mark('ann', {});
    const { markNumber } = await broker.read('ann', null, 0);
    await vi.waitFor(async () => expect((await broker.read('ann', null, 0)).marks).toEqual([]));
    await broker.mark('ann', { reason: 'again' });
    expect((await broker.read('ann', null, 0)).markNumber).toBeGreaterThan(markNumber);
  });
});

describe('a call', () => {
  it('that is too large for the server is refused before anything of it is sent', async () => {
    const broker = open();
    const payload = 'x'.repeat(1_048_576);
    const publishing = broker.publish({ tag: newTag(), deliveries: [{ payload, userIds: ['ann'] }] });
    await expect(publishing).rejects.toMatchObject({ code: 'too_large', message: expect.stringContaining('1048576') });
    await say(broker, 'ann', 'p');
  });

  it('to very many recipients is done in the bounds of the link', { timeout: 90_000 }, async () => {
    const broker = open({ deadlineMs: 30_000 });
    const userIds = Array.from({ length: 12_000 }, (_, i) => `user ${i}`);
    const { appended } = await broker.publish({ tag: newTag(), deliveries: [{ payload: 'p', userIds }] });
    expect(appended.filter((position) => position instanceof Error)).toEqual([]);
    expect(new Set(appended.map((position) => (position as Position).offset)).size).toBe(12_000);
  });
});
