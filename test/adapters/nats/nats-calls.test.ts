// Requests over a connection that answers when the test says so.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NatsCalls } from '../../../adapters/nats/nats-calls.ts';
import type { NatsConnectionLike, NatsMessageLike } from '../../../adapters/nats/nats-connection.ts';

const NOTHING = new Uint8Array(0);

/** What was published, and a way to answer it. */
function fakeConnection() {
  const sent: { readonly subject: string; readonly reply: string }[] = [];
  let callback: (error: Error | null, message: NatsMessageLike) => void = () => {};
  const connection = {
    publish: (subject: string, _data: Uint8Array, { reply }: { readonly reply: string }) => {
      if (subject === 'bad subject') throw new Error('illegal subject');
      sent.push({ subject, reply });
    },
    subscribe: (_subject: string, options: { readonly callback: typeof callback }) => {
      callback = options.callback;
      return { unsubscribe() {} };
    },
    isClosed: () => false,
  };
  return {
    connection: connection as unknown as NatsConnectionLike,
    sent,
    answer: (index: number) => callback(null, { subject: sent[index]!.reply, data: NOTHING }),
    receive: (subject: string) => callback(null, { subject, data: NOTHING }),
  };
}

describe('calls', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const usual = { withinMs: 1_000, isUrgent: false };

  it('are answered each by its own reply, in any order, once', async () => {
    const { connection, answer, receive } = fakeConnection();
    const calls = new NatsCalls(connection, () => {});
    const settled: string[] = [];
    const one = calls.request('a', NOTHING, usual).then(() => settled.push('one'));
    const two = calls.request('b', NOTHING, usual).then(() => settled.push('two'));
    answer(1);
    await two;
    answer(1);
    receive('nonsense');
    answer(0);
    await one;
    expect(settled).toEqual(['two', 'one']);
  });

  it('end with their time, those that were sent and those that wait', async () => {
    const { connection, sent } = fakeConnection();
    const calls = new NatsCalls(connection, () => {});
    const all = Array.from({ length: 1_200 }, () => calls.request('a', NOTHING, usual));
    const outcomes = Promise.allSettled(all);
    expect(sent).toHaveLength(1_000);
    await vi.advanceTimersByTimeAsync(1_100);
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'deadline' } });
    }
    expect(sent).toHaveLength(1_000);
  });

  it('wait until there is room, and are refused where too many do', async () => {
    const { connection, sent, answer } = fakeConnection();
    const calls = new NatsCalls(connection, () => {});
    const all = Array.from({ length: 10_000 }, () => calls.request('a', NOTHING, usual));
    await expect(calls.request('a', NOTHING, usual)).rejects.toMatchObject({ code: 'overloaded' });
    for (let i = 0; i < 10_000; i++) answer(i);
    await Promise.all(all);
    expect(sent).toHaveLength(10_000);
  });

  it('overtake those that wait when they are urgent', async () => {
    const { connection, sent, answer } = fakeConnection();
    const calls = new NatsCalls(connection, () => {});
    for (let i = 0; i < 2_000; i++) calls.request('a', NOTHING, usual).catch(() => {});
    const urgent = calls.request('urgent', NOTHING, { ...usual, isUrgent: true });
    const echo = calls.echo(1_000);
    expect(sent.slice(1_000).map(({ subject }) => subject)).toEqual(['urgent', sent[1_001]!.reply]);
    answer(1_000);
    answer(1_001);
    await Promise.all([urgent, echo]);
  });

  it('all fail at once when they are told to, and later ones do not', async () => {
    const { connection, answer, sent } = fakeConnection();
    const calls = new NatsCalls(connection, () => {});
    const all = Promise.allSettled(Array.from({ length: 1_500 }, () => calls.request('a', NOTHING, usual)));
    calls.failAll(() => new Error('gone'));
    for (const outcome of await all) expect(outcome).toMatchObject({ reason: { message: 'gone' } });
    const later = calls.request('a', NOTHING, usual);
    answer(sent.length - 1);
    await later;
  });

  it('that the client refuses reject, and take no room', async () => {
    const { connection } = fakeConnection();
    const refused = new NatsCalls(connection, () => {}).request('bad subject', NOTHING, usual);
    await expect(refused).rejects.toMatchObject({ code: 'broker_unavailable' });
  });
});
