import { describe, expect, it } from 'vitest';
import { decodeSessionMessage, withCursor, withUnread } from '../../src/protocol/codec.ts';
import { encodeCursor } from '../../src/protocol/cursor.ts';
import {
  closingPayload,
  expiryPayload,
  PING_PAYLOAD,
  PONG_PAYLOAD,
  readyPayload,
  resetPayload,
} from '../../src/protocol/session-messages.ts';

const POSITION = { epoch: 'epoch-----------', offset: 7, tag: 'tag-0007' };
const HEAD = { ...POSITION, offset: 9, tag: 'tag-0009' };
const READY = {
  sessionId: 'the-session',
  resumed: true,
  reset: null,
  position: POSITION,
  head: HEAD,
  counts: { 'box-1': 2 },
  pingMs: 25_000,
  expiresAt: undefined,
};

describe('the messages of a session', () => {
  it('have the fields of the protocol, in its order', () => {
    const [cursor, head] = [encodeCursor(POSITION), encodeCursor(HEAD)];
    expect(readyPayload(READY)).toBe(
      `{"type":"session.ready","object":{"session_id":"the-session","resumed":true,"cursor":"${cursor}","head":"${head}","counts":{"box-1":2},"ping_ms":25000,"expires_at":null}}`,
    );
    expect(readyPayload({ ...READY, resumed: false, reset: 'trimmed', expiresAt: 0 })).toBe(
      `{"type":"session.ready","object":{"session_id":"the-session","resumed":false,"reset":"trimmed","cursor":"${cursor}","head":"${head}","counts":{"box-1":2},"ping_ms":25000,"expires_at":"1970-01-01T00:00:00.000Z"}}`,
    );
    expect(resetPayload('lagging', POSITION, {})).toBe(
      `{"type":"session.reset","object":{"reason":"lagging","cursor":"${cursor}","counts":{}}}`,
    );
    expect(closingPayload(1012, 'service restart', 800)).toBe(
      '{"type":"session.closing","object":{"code":1012,"reason":"service restart","retry_ms":800}}',
    );
    expect(expiryPayload('session.refreshed', undefined)).toBe(
      '{"type":"session.refreshed","object":{"expires_at":null}}',
    );
    expect([PING_PAYLOAD, PONG_PAYLOAD]).toEqual([
      '{"type":"session.ping","object":{}}',
      '{"type":"session.pong","object":{}}',
    ]);
  });

  it('carry counts of boxes with any name', () => {
    const counts = Object.fromEntries([
      ['__proto__', 1],
      ['"', 2],
    ]);
    expect(JSON.parse(resetPayload('epoch', POSITION, counts)).object.counts).toEqual(counts);
  });
});

describe('a stored message', () => {
  it('gets its cursor, and its mark where it counted, at its end', () => {
    const payload = '{"type":"n","object":{"a":{}}}';
    expect(withCursor(payload, 'C', false)).toBe('{"type":"n","object":{"a":{}},"cursor":"C"}');
    expect(withCursor(payload, 'C', true)).toBe('{"type":"n","object":{"a":{}},"cursor":"C","unread":true}');
    expect([withUnread(payload, false), withUnread(payload, true)]).toEqual([
      payload,
      '{"type":"n","object":{"a":{}},"unread":true}',
    ]);
  });
});

describe('what a client of usercast.v1 says', () => {
  it('is an ack, a ping or a new token; keys that nobody knows are left aside', () => {
    expect(decodeSessionMessage('{"type":"session.ping","object":{"x":1},"y":2}')).toEqual({
      ok: true,
      type: 'session.ping',
    });
    expect(decodeSessionMessage('{"type":"session.refresh","object":{"access_token":"t"}}')).toEqual({
      ok: true,
      type: 'session.refresh',
      accessToken: 't',
    });
    expect(decodeSessionMessage('{"type":"ack","object":{"sender_id":"a","box_id":"b"}}')).toEqual({
      ok: true,
      senderId: 'a',
      boxId: 'b',
    });
  });

  it.each([
    ['bad_json', '{'],
    ['invalid_message', '{"type":"session.ping"}'],
    ['unknown_type', '{"type":"session.ready","object":{}}'],
    ['invalid_object', '{"type":"session.refresh","object":{}}'],
    ['invalid_object', '{"type":"session.refresh","object":{"access_token":""}}'],
    ['invalid_object', '{"type":"session.refresh","object":{"access_token":["t"]}}'],
    ['invalid_object', '{"type":"ack","object":{}}'],
  ])('is refused with %s: %s', (code, text) => {
    expect(decodeSessionMessage(text)).toMatchObject({ ok: false, code });
  });
});
