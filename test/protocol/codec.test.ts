import { describe, expect, it } from 'vitest';
import { ackPayload, decodeAck, decodeClientMessage, encodeMessage, errorPayload } from '../../src/protocol/codec.ts';

describe('encoding', () => {
  it('writes type, then object, with the keys of the object in their order', () => {
    expect(encodeMessage('file.saved', { z: 1, a: { y: 2, b: [3] } })).toBe(
      '{"type":"file.saved","object":{"z":1,"a":{"y":2,"b":[3]}}}',
    );
    expect(encodeMessage('a"\n', {})).toBe('{"type":"a\\"\\n","object":{}}');
  });

  it('writes ack and error in their one form', () => {
    expect(ackPayload('ann', 'b"1')).toBe('{"type":"ack","object":{"sender_id":"ann","box_id":"b\\"1"}}');
    expect(errorPayload('bad_json', 'the message is not JSON')).toBe(
      '{"type":"error","object":{"code":"bad_json","message":"the message is not JSON"}}',
    );
  });

  it('refuses what JSON cannot carry as an object', () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const object of [cycle, { n: 1n }, { toJSON: () => 'text' }, { toJSON: () => undefined }, [1]]) {
      expect(() => encodeMessage('x', object)).toThrow(expect.objectContaining({ code: 'invalid_message' }));
    }
  });
});

describe('a message of a client', () => {
  it('is an ack', () => {
    expect(decodeClientMessage('{"type":"ack","object":{"sender_id":"ann","box_id":"b1"}}')).toEqual({
      ok: true,
      boxId: 'b1',
      senderId: 'ann',
    });
  });

  it('may have keys in any order, space between them, and keys that nobody knows', () => {
    const text = ' { "object" : { "more": 1, "box_id": "b1", "sender_id": "ann" }, "id": 7, "type": "ack" } ';
    expect(decodeClientMessage(text)).toMatchObject({ ok: true, boxId: 'b1' });
  });

  it.each([
    ['', 'bad_json'],
    ['ack', 'bad_json'],
    ['{"type":"ack"', 'bad_json'],
    ['\ufeff{}', 'bad_json'],
    ['[]', 'invalid_message'],
    ['null', 'invalid_message'],
    ['7', 'invalid_message'],
    ['"ack"', 'invalid_message'],
    ['{}', 'invalid_message'],
    ['{"type":"ack"}', 'invalid_message'],
    ['{"type":7,"object":{}}', 'invalid_message'],
    ['{"type":"ack","object":[]}', 'invalid_message'],
    ['{"type":"ack","object":null}', 'invalid_message'],
    ['{"__proto__":{"type":"ack","object":{"sender_id":"a","box_id":"b"}}}', 'invalid_message'],
    ['{"type":"event.new","object":{}}', 'unknown_type'],
    ['{"type":"session.ping","object":{}}', 'unknown_type'],
    ['{"type":"__proto__","object":{}}', 'unknown_type'],
    ['{"type":"ack","object":{}}', 'invalid_object'],
    ['{"type":"ack","object":{"__proto__":{"sender_id":"a","box_id":"b"}}}', 'invalid_object'],
    ['{"type":"ack","object":{"sender_id":"a","box_id":""}}', 'invalid_object'],
    ['{"type":"ack","object":{"sender_id":"a","box_id":1e999}}', 'invalid_object'],
    ['{"type":"ack","object":{"sender_id":"a","box_id":["b"]}}', 'invalid_object'],
    ['{"type":"ack","object":{"sender_id":"a","box_id":"\\ud800"}}', 'invalid_object'],
    [`{"type":"ack","object":{"sender_id":"a","box_id":"${'b'.repeat(257)}"}}`, 'invalid_object'],
    ['['.repeat(100_000), 'bad_json'],
    [`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, 'invalid_message'],
  ])('is refused with a code: %.60s', (text, code) => {
    expect(decodeClientMessage(text)).toEqual({ ok: false, code, message: expect.any(String) });
  });

  it('is refused with the path and the rule', () => {
    expect(decodeAck({ sender_id: 'ann' })).toMatchObject({ message: 'object.box_id: is missing' });
    expect(decodeAck('secret')).toMatchObject({
      code: 'invalid_object',
      message: expect.not.stringContaining('secret'),
    });
  });

  it('leaves no trace on the prototype of objects', () => {
    decodeClientMessage('{"type":"ack","object":{"__proto__":{"polluted":true},"sender_id":"a","box_id":"b"}}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
