import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeCursor } from '../../src/protocol/cursor.ts';
import type { PollAnswer, PollOpening } from '../../src/session/poll.ts';
import { HubFixture } from '../support/hub-fixture.ts';
import { Gate } from '../support/scripted-broker.ts';

let fixture: HubFixture;

beforeEach(() => {
  vi.useFakeTimers();
  fixture = new HubFixture();
});

afterEach(() => {
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const text = (type: string) => JSON.stringify({ type, object: {} });
const stream = () => fixture.broker.stream('ada');
const top = () => encodeCursor(stream().top);
const typesOf = ({ messages }: PollAnswer) => messages.map((message) => JSON.parse(message).type);

function start(parts: Partial<PollOpening> = {}) {
  const leaving = new AbortController();
  const answer = fixture.hub.poll({
    userId: 'ada',
    address: '127.0.0.1',
    startedMs: performance.now(),
    identity: { userId: 'ada' },
    cursor: stream().top,
    waitMs: 25_000,
    limit: 100,
    maxBytes: 1_048_576,
    signal: leaving.signal,
    ...parts,
  });
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  answer.then(over, over);
  return { answer, leave: () => leaving.abort(), isOver: () => isOver };
}

/** A poll that has read once and waits. */
async function waiting(parts: Partial<PollOpening> = {}) {
  const poll = start(parts);
  await pass(10);
  expect(poll.isOver()).toBe(false);
  return poll;
}

describe('a poll', () => {
  it('without a cursor is answered at once with the current one', async () => {
    stream().append(text('old'));
    expect(await start({ cursor: null }).answer).toEqual({ messages: [], cursor: top(), reset: null });
    expect(fixture.stats.sessions).toBe(0);
  });

  it('with a cursor that is none of ours is reset at once', async () => {
    stream().append(text('old'));
    expect(await start({ cursor: 'unreadable' }).answer).toEqual({ messages: [], cursor: top(), reset: 'epoch' });
  });

  it('is answered at once with what came after its cursor, each message with its own', async () => {
    const cursor = stream().top;
    const [one, two] = [stream().append(text('one')), stream().append(text('two'))];
    const { messages, ...rest } = await start({ cursor }).answer;
    expect(messages.map((message) => JSON.parse(message))).toEqual([
      { type: 'one', object: {}, cursor: encodeCursor(one) },
      { type: 'two', object: {}, cursor: encodeCursor(two) },
    ]);
    expect(rest).toEqual({ cursor: encodeCursor(two), reset: null });
  });

  it('gives as many as the limit, and a cursor to go on from', async () => {
    const cursor = stream().top;
    for (const type of ['a', 'b', 'c']) stream().append(text(type));
    const first = await start({ cursor, limit: 2 }).answer;
    expect(typesOf(first)).toEqual(['a', 'b']);
    expect(first.cursor).toBe(encodeCursor(stream().entries[1]!));
    expect(typesOf(await start({ cursor: stream().entries[1]!, limit: 2 }).answer)).toEqual(['c']);
  });

  it('gives as many as fit into its bytes, and at least one', async () => {
    const cursor = stream().top;
    for (const type of ['a', 'b', 'c']) stream().append(JSON.stringify({ type, object: { text: 'é'.repeat(400) } }));
    const both = await start({ cursor, maxBytes: 2_000 }).answer;
    expect(typesOf(both)).toEqual(['a', 'b']);
    expect(both.cursor).toBe(encodeCursor(stream().entries[1]!));
    const one = await start({ cursor, maxBytes: 1 }).answer;
    expect([typesOf(one), one.cursor]).toEqual([['a'], encodeCursor(stream().entries[0]!)]);
  });

  it('that finds nothing waits for the next message', async () => {
    const poll = await waiting();
    stream().publish(text('news'));
    await pass(0);
    const answer = await poll.answer;
    expect([typesOf(answer), answer.cursor]).toEqual([['news'], top()]);
    expect(fixture.stats.sessions).toBe(0);
  });

  it('takes what comes in the same turn of the event loop together', async () => {
    const poll = await waiting();
    stream().publish(text('a'), text('b'), text('c'));
    await pass(0);
    expect(typesOf(await poll.answer)).toEqual(['a', 'b', 'c']);
  });

  it('does not miss what comes while it reads', async () => {
    const gate = new Gate();
    let reads = 0;
    fixture.broker.after = (call) => (call === 'read' && ++reads === 2 ? gate.pass() : undefined);
    const poll = start();
    await gate.reached;
    stream().publish(text('meanwhile'));
    gate.open();
    await pass(10);
    expect(typesOf(await poll.answer)).toEqual(['meanwhile']);
  });

  it('is answered with nothing and its own cursor when the time is up, without another read', async () => {
    const poll = await waiting({ waitMs: 5_000 });
    const reads = fixture.broker.calls.read;
    await pass(4_900);
    expect(poll.isOver()).toBe(false);
    await pass(200);
    expect(await poll.answer).toEqual({ messages: [], cursor: top(), reset: null });
    expect(fixture.broker.calls.read).toBe(reads);
    expect(fixture.stats.sessions).toBe(0);
  });

  it('with a wait of 0 is answered at once', async () => {
    const poll = start({ waitMs: 0 });
    await pass(10);
    expect(await poll.answer).toEqual({ messages: [], cursor: top(), reset: null });
  });

  it('is answered when its token ends', async () => {
    const poll = await waiting({ identity: { userId: 'ada', expiresAt: Date.now() + 3_000 } });
    await pass(2_900);
    expect(poll.isOver()).toBe(false);
    await pass(200);
    expect((await poll.answer).messages).toEqual([]);
  });

  it('is reset when what lies between is gone, at once or while it waits', async () => {
    const cursor = stream().top;
    for (const type of ['a', 'b', 'c']) stream().append(text(type));
    stream().trimmed = 2;
    expect(await start({ cursor }).answer).toEqual({ messages: [], cursor: top(), reset: 'trimmed' });
    expect(await start({ cursor: { ...stream().top, tag: 'foreign-' } }).answer).toMatchObject({ reset: 'rollback' });

    const poll = await waiting();
    stream().renew();
    stream().publish(text('new stream'));
    await pass(10);
    expect(await poll.answer).toEqual({ messages: [], cursor: top(), reset: 'epoch' });
  });

  it('is answered at once when the server drains or closes', async () => {
    const drained = await waiting();
    const done = fixture.hub.drain(10_000);
    await pass(0);
    expect((await drained.answer).messages).toEqual([]);
    await done;
    await expect(start().answer).rejects.toMatchObject({ code: 'restarting' });

    fixture = new HubFixture();
    const closed = await waiting();
    const closing = fixture.hub.close();
    await pass(0);
    expect((await closed.answer).messages).toEqual([]);
    await closing;
    expect(fixture.stats.sessions).toBe(0);
  });

  it('gives what came in the turn in which the drain began', async () => {
    const poll = await waiting();
    stream().publish(text('last'));
    const done = fixture.hub.drain(1_000);
    await pass(10);
    expect(typesOf(await poll.answer)).toEqual(['last']);
    await done;
  });

  it('ends when the client leaves, and leaves nothing behind', async () => {
    const poll = await waiting();
    poll.leave();
    await pass(0);
    expect(poll.isOver()).toBe(true);
    expect(fixture.stats.sessions).toBe(0);
    await pass(4_000);
    expect([fixture.hub.users, fixture.broker.unsubscribed]).toEqual([0, 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('of a client that has left before it began does not wait', async () => {
    const poll = start({ signal: AbortSignal.abort() });
    await pass(10);
    expect((await poll.answer).messages).toEqual([]);
  });

  it('is refused when the user is disconnected, and not when one session is', async () => {
    const poll = await waiting();
    await fixture.broker.mark('ada', { sessionId: 'another' });
    await pass(10);
    expect(poll.isOver()).toBe(false);
    await fixture.broker.mark('ada', { reason: 'banned' });
    await expect(poll.answer).rejects.toMatchObject({ code: 'disconnected' });
    expect(fixture.stats.sessions).toBe(0);
  });

  it.each([null, { epoch: 'ada-0-----------', offset: 0, tag: '--------' }])(
    'is refused when the user is disconnected while it reads from %o',
    async (cursor) => {
      const gate = new Gate();
      let reads = 0;
      fixture.broker.before = (call) => (call === 'read' && ++reads === 2 ? gate.pass() : undefined);
      const poll = start({ cursor });
      await gate.reached;
      await fixture.broker.mark('ada', {});
      // A drain that begins now changes nothing about it.
      const done = fixture.hub.drain(1_000);
      gate.open();
      await expect(poll.answer).rejects.toMatchObject({ code: 'disconnected' });
      await done;
    },
  );

  it('gets volatile messages while it waits, without a cursor, after the stored ones', async () => {
    const cursor = top();
    const poll = await waiting();
    await fixture.broker.whisper(['ada'], text('whisper'));
    await pass(0);
    expect(await poll.answer).toEqual({ messages: [text('whisper')], cursor, reset: null });

    const both = await waiting();
    await fixture.broker.whisper(['ada'], text('whisper'));
    stream().publish(text('stored'));
    await pass(0);
    const answer = await both.answer;
    expect([typesOf(answer), answer.cursor]).toEqual([['stored', 'whisper'], top()]);
  });

  it('has no place for volatile messages before it waits, and beside as many as the limit', async () => {
    const gate = new Gate();
    let reads = 0;
    fixture.broker.after = (call) => (call === 'read' && ++reads === 2 ? gate.pass() : undefined);
    const replaying = start();
    await gate.reached;
    await fixture.broker.whisper(['ada'], text('early'));
    gate.open();
    await pass(10);
    expect(replaying.isOver()).toBe(false);
    replaying.leave();

    fixture.broker.after = () => {};
    const full = await waiting({ limit: 2 });
    stream().publish(text('a'), text('b'), text('c'));
    await fixture.broker.whisper(['ada'], text('whisper'));
    await pass(0);
    const answer = await full.answer;
    expect([typesOf(answer), answer.cursor]).toEqual([['a', 'b'], encodeCursor(stream().entries[1]!)]);
  });

  it('is refused and told of when the broker does not answer', async () => {
    const poll = await waiting();
    fixture.broker.before = (call) => {
      if (call === 'read') throw new Error('lost');
    };
    stream().publish(text('a'));
    await expect(poll.answer).rejects.toMatchObject({ code: 'broker_unavailable' });
    expect(fixture.errors.length).toBeGreaterThan(0);
    expect(fixture.stats.sessions).toBe(0);
  });

  it('counts as a connection while it waits', async () => {
    fixture = new HubFixture({ maxConnectionsPerUser: 1, maxConnections: 2 });
    const poll = await waiting();
    await expect(start().answer).rejects.toMatchObject({ code: 'too_many_connections' });
    expect(fixture.stats.sessions).toBe(1);
    poll.leave();
    await pass(0);
    expect((await start({ cursor: null }).answer).messages).toEqual([]);
  });
});
