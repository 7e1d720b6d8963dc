import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsercastError } from '../../src/errors.ts';
import { ackPayload, CLIENT_ERRORS, decodeClientMessage, encodeMessage } from '../../src/protocol/codec.ts';
import { checkEvent } from '../../src/protocol/events.ts';
import { isId } from '../../src/protocol/messages.ts';

const jsonObject = fc.dictionary(fc.string(), fc.jsonValue());
const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter(isId);

describe('any message', () => {
  it('comes back from its text, with its keys in their order', () => {
    fc.assert(
      fc.property(fc.string(), jsonObject, (type, object) => {
        const text = encodeMessage(type, object);
        expect(text).toBe(JSON.stringify({ type, object }));
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify({ type, object })));
      }),
    );
  });
});

describe('any ack', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(id, id, (senderId, boxId) => {
        expect(decodeClientMessage(ackPayload(senderId, boxId))).toEqual({ ok: true, boxId, senderId });
      }),
    );
  });
});

describe('any text from a client', () => {
  const part = fc.oneof(fc.constantFrom('ack', 'event.new', '__proto__', null), fc.jsonValue());
  const almost = fc
    .record({ type: part, object: fc.oneof(part, fc.record({ sender_id: part, box_id: part })) }, { requiredKeys: [] })
    .map((message) => JSON.stringify(message));
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), almost);

  it('is an ack with two ids, or has a known code and a message; nothing throws', () => {
    fc.assert(
      fc.property(text, (given) => {
        const decoded = decodeClientMessage(given);
        if (decoded.ok) expect(isId(decoded.boxId) && isId(decoded.senderId)).toBe(true);
        else expect(Object.keys(CLIENT_ERRORS)).toContain(decoded.code);
      }),
      { numRuns: 500 },
    );
  });

  it('is never repeated in the answer', () => {
    const mark = 'q7Zx9Kw2';
    const marked = fc.oneof(
      fc.string().map((rest) => mark + rest),
      fc
        .constantFrom({ type: mark, object: {} }, { type: 'ack', object: { sender_id: [mark] } })
        .map((m) => JSON.stringify(m)),
      fc
        .string()
        .map((rest) => JSON.stringify({ type: 'ack', object: { sender_id: 'a', box_id: { [mark + rest]: 1 } } })),
    );
    fc.assert(
      fc.property(marked, (given) => {
        expect(JSON.stringify(decodeClientMessage(given))).not.toContain(mark);
      }),
    );
  });
});

describe('anything as an event', () => {
  it('passes, or is refused with invalid_message and without what was received', () => {
    const mark = 'q7Zx9Kw2';
    const value = fc.oneof(
      fc.anything(),
      fc.constant(mark),
      fc.constant([mark]),
      fc.constant({ id: mark, value: mark }),
    );
    const event = fc.record(
      {
        id: fc.oneof(id, value),
        type: fc.oneof(fc.constantFrom('msg.text', 'msg.delete', 'state.access_mode', 'member.kick'), value),
        box_id: fc.oneof(id, value),
        server_event_created_at: fc.oneof(fc.constant('2020-09-15T08:30:00Z'), value),
        sender: fc.oneof(fc.record({ id, display_name: value }, { requiredKeys: ['id'] }), value),
        referrer_id: fc.oneof(id, value),
        content: value,
      },
      { requiredKeys: ['type'] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.anything(), event), (given) => {
        try {
          checkEvent(given, {});
        } catch (error) {
          expect(error).toBeInstanceOf(UsercastError);
          expect((error as UsercastError).code).toBe('invalid_message');
          expect((error as UsercastError).message).not.toContain(mark);
        }
      }),
      { numRuns: 500 },
    );
  });
});
