import { describe, expect, it } from 'vitest';
import { Inbox } from '../../src/client/inbox.ts';

const ready = (object: Record<string, unknown>) => ({
  type: 'session.ready',
  object: { resumed: true, cursor: 'c0', head: 'c0', counts: {}, ...object },
});

function makeInbox() {
  const cursors: (string | undefined)[] = [];
  const counts: object[] = [];
  const inbox = new Inbox(undefined, {
    counted: (value) => counts.push(value),
    reset: () => {},
    deliver: (_message, { cursor }) => cursors.push(cursor),
  });
  const message = (cursor: string, boxId = 'a') =>
    inbox.receive({ type: 'event.new', object: { box_id: boxId }, cursor, unread: true });
  return { inbox, cursors, counts, message };
}

describe('an inbox', () => {
  it('remembers a bounded number of messages', () => {
    const { inbox, cursors, message } = makeInbox();
    inbox.receive(ready({}));
    for (let i = 1; i <= 300; i++) message(`c${i}`);
    message('c300');
    message('c45');
    expect(cursors).toHaveLength(300);
    message('c44');
    expect(cursors).toHaveLength(301);
  });

  it('counts nothing while it replays, also when that is cut off and goes on in another session', () => {
    const { inbox, message } = makeInbox();
    inbox.receive(ready({ head: 'c3', counts: { a: 3 } }));
    message('c1');
    expect(inbox.counts).toEqual({ a: 3 });
    inbox.receive(ready({ cursor: 'c1', head: 'c4', counts: { a: 4 } }));
    for (const cursor of ['c2', 'c3', 'c4']) message(cursor);
    expect(inbox.counts).toEqual({ a: 4 });
    message('c5');
    expect(inbox.counts).toEqual({ a: 5 });
  });

  it('takes volatile messages for nothing of the stream', () => {
    const { inbox, cursors, counts } = makeInbox();
    inbox.receive(ready({}));
    inbox.receive({ type: 'typing', object: { box_id: 'a' } });
    expect(cursors).toEqual([undefined]);
    expect(inbox.cursor).toBe('c0');
    expect(counts).toHaveLength(1);
  });
});
