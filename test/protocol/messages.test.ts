import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { UsercastError } from '../../src/errors.ts';
import { checkId, checkNotification, checkUserId, isReservedType } from '../../src/protocol/messages.ts';
import { checkSchemas, type HostSchemas } from '../../src/protocol/schema.ts';

const SECRET = 'eyJhbGciOiJIUzI1NiJ9.secret';
const PLAIN = 'object: must be a plain object (no array, no toJSON method)';

function faultOf(check: () => void): { code: string; message: string } | null {
  try {
    check();
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(UsercastError);
    expect((error as UsercastError).message).not.toContain(SECRET);
    return { code: (error as UsercastError).code, message: (error as UsercastError).message };
  }
}

const notificationFault = (type: unknown, object: unknown, schemas: HostSchemas = {}) =>
  faultOf(() => checkNotification(type, object, schemas));

describe('a notification', () => {
  it.each([
    ['box.delete', { id: 'b1', sender_id: 'ann', public_key: '' }],
    ['box.delete', { id: 'b1', sender_id: 'ann', public_key: 'k', extra: 1 }],
    ['file.saved', { encrypted_file_id: 'f1', is_saved: false }],
    ['anything.else', {}],
    ['constructor', { any: [SECRET] }],
    ['sessions', {}],
    ['acknowledge', {}],
  ])('%s passes with %j', (type, object) => {
    expect(notificationFault(type, object)).toBeNull();
  });

  it.each([
    ['box.delete', { sender_id: 'ann', public_key: 'k' }, 'object.id: is missing'],
    ['box.delete', { id: 'b1', sender_id: '', public_key: 'k' }, 'object.sender_id: must be a non-empty string'],
    ['box.delete', { id: 'b1', sender_id: 'ann', public_key: null }, 'object.public_key: must be a string'],
    ['file.saved', { encrypted_file_id: 'f1', is_saved: SECRET }, 'object.is_saved: must be true or false'],
    ['file.saved', { is_saved: true }, 'object.encrypted_file_id: is missing'],
    ['anything.else', [], PLAIN],
    ['anything.else', SECRET, PLAIN],
    ['anything.else', undefined, PLAIN],
    ['file.saved', null, PLAIN],
    ['', {}, 'notification type: must be a non-empty string of at most 256 characters'],
    ['x'.repeat(257), {}, 'notification type: must be a non-empty string'],
    [7, {}, 'notification type: must be a non-empty string'],
  ])('%s with %j is refused with path and rule', (type, object, message) => {
    expect(notificationFault(type, object)).toMatchObject({
      code: 'invalid_message',
      message: expect.stringContaining(message),
    });
  });

  it.each(['event.new', 'ack', 'error', 'session.ready', 'session.'])('cannot be %s, which is reserved', (type) => {
    expect(isReservedType(type)).toBe(true);
    expect(notificationFault(type, {})).toEqual({
      code: 'reserved_type',
      message: 'notification type: reserved for the protocol: event.new, ack, error, session.*',
    });
  });

  it("is checked by the host's schema where there is one", () => {
    const schemas: HostSchemas = { 'quota.low': v.object({ bytes: v.number() }) };
    expect(notificationFault('quota.low', { bytes: 1, more: 2 }, schemas)).toBeNull();
    expect(notificationFault('quota.low', { bytes: SECRET }, schemas)).toEqual({
      code: 'invalid_message',
      message: 'object.bytes: must satisfy the schema in options.notifications["quota.low"]',
    });
    expect(notificationFault('quota.low', [], schemas)).toMatchObject({ message: PLAIN });
  });
});

describe('an id', () => {
  it('is named when it is refused', () => {
    expect(() => checkUserId('ann')).not.toThrow();
    expect(faultOf(() => checkUserId(''))?.message).toContain('user id: must be a non-empty string');
    expect(faultOf(() => checkUserId(7, 'userIds[3]'))?.message).toContain('userIds[3]: must be');
    expect(faultOf(() => checkId('a\ud83d', 'box id'))).toMatchObject({
      code: 'invalid_message',
      message: expect.stringMatching(/^box id: .* without lone surrogates$/),
    });
  });
});

describe('the schemas of the host', () => {
  const schema = v.object({});

  it('are taken from any library that speaks Standard Schema, functions too', () => {
    const callable = Object.assign(() => {}, schema);
    expect(() => checkSchemas('events', { 'poll.open': schema, 'poll.close': callable })).not.toThrow();
    expect(() => checkSchemas('notifications', { 'msg.text': schema })).not.toThrow();
    expect(() => checkSchemas('events', {})).not.toThrow();
  });

  it.each([
    ['events', undefined, 'options.events must be an object of schemas by type, not undefined'],
    ['events', [schema], 'options.events must be an object of schemas by type, not an array'],
    ['notifications', 'x', 'options.notifications must be an object of schemas by type, not a value of type string'],
    [
      'events',
      { 'poll.open': {} },
      'options.events["poll.open"] must be a Standard Schema (version 1), not a value of type object',
    ],
    ['events', { 'poll.open': null }, 'options.events["poll.open"] must be a Standard Schema (version 1), not null'],
    ['events', { a: { '~standard': { version: 2, validate() {} } } }, 'options.events["a"] must be a Standard Schema'],
    ['events', { a: { '~standard': { version: 1 } } }, 'options.events["a"] must be a Standard Schema'],
    ['events', { '': schema }, 'options.events[""]: the type must be a non-empty string'],
    ['events', { 'msg.text': schema }, 'options.events["msg.text"]: usercast has a schema for this type already'],
    ['notifications', { 'box.delete': schema }, 'options.notifications["box.delete"]: usercast has a schema'],
    [
      'notifications',
      { ack: schema },
      'options.notifications["ack"]: reserved for the protocol, as are event.new, ack, error, session.*',
    ],
    ['notifications', { 'session.x': schema }, 'options.notifications["session.x"]: reserved'],
  ] as const)('as options.%s are refused at once: %j', (name, schemas, message) => {
    const check: (name: 'events' | 'notifications', schemas: unknown) => void = checkSchemas;
    expect(() => check(name, schemas)).toThrow(TypeError);
    expect(() => check(name, schemas)).toThrow(message);
  });
});
