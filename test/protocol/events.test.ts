import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { UsercastError } from '../../src/errors.ts';
import { type BoxEventType, checkEvent, EVENT_TYPES } from '../../src/protocol/events.ts';
import type { HostSchemas } from '../../src/protocol/schema.ts';
import type { StandardSchemaV1 } from '../../src/protocol/standard-schema.ts';

const SECRET = 'eyJhbGciOiJIUzI1NiJ9.secret';
const identity = { id: 'ann', display_name: 'Ann', avatar_url: null, identifier_value: '', identifier_kind: 'email' };

const CONTENTS: Record<BoxEventType, object | null> = {
  'state.access_mode': { value: 'public' },
  'msg.text': { encrypted: 'x' },
  'msg.file': { encrypted_file_id: 'f1', encryption: {} },
  'msg.delete': null,
  'msg.edit': {},
  'member.join': null,
  'member.leave': null,
  'member.kick': { kicker: { id: 'bob' } },
};
const TYPES = Object.keys(EVENT_TYPES) as BoxEventType[];

function eventOf(type: BoxEventType): Record<string, unknown> {
  const event: Record<string, unknown> = {
    id: 'e1',
    type,
    box_id: 'b1',
    server_event_created_at: '2020-09-15T08:30:00Z',
    sender: identity,
  };
  if (CONTENTS[type]) event.content = CONTENTS[type];
  if (EVENT_TYPES[type].referrer) event.referrer_id = 'e0';
  return event;
}

function faultOf(event: unknown, schemas: HostSchemas = {}): string {
  try {
    checkEvent(event, schemas);
  } catch (error) {
    expect(error).toBeInstanceOf(UsercastError);
    expect((error as UsercastError).code).toBe('invalid_message');
    expect((error as UsercastError).message).not.toContain(SECRET);
    return (error as UsercastError).message;
  }
  return 'no fault';
}

describe('an event of the catalogue', () => {
  it.each(TYPES)('%s passes with all that its row asks for', (type) => {
    expect(faultOf(eventOf(type))).toBe('no fault');
  });

  it.each(TYPES)('%s needs every field of the envelope', (type) => {
    for (const name of ['id', 'box_id', 'server_event_created_at', 'sender']) {
      const event = eventOf(type);
      delete event[name];
      expect(faultOf(event)).toBe(`event.${name}: is missing`);
    }
  });

  it.each(TYPES)('%s needs a referrer_id exactly when the table says so', (type) => {
    const { referrer_id: _, ...event } = eventOf(type);
    expect(faultOf(event)).toBe(EVENT_TYPES[type].referrer ? 'event.referrer_id: is missing' : 'no fault');
  });

  it.each(TYPES)('%s needs content exactly when the table says so', (type) => {
    const { content: _, ...event } = eventOf(type);
    expect(faultOf(event)).toBe(EVENT_TYPES[type].content === null ? 'no fault' : 'event.content: is missing');
  });

  it.each(TYPES)('%s passes unknown extra fields, and is left as it was', (type) => {
    const event = { zebra: 1, ...eventOf(type), extra: { deep: [1] }, sender: { ...identity, role: 'admin' } };
    const before = JSON.stringify(event);
    expect(faultOf(Object.freeze(event))).toBe('no fault');
    expect(JSON.stringify(event)).toBe(before);
  });

  it.each([
    ['state.access_mode', { content: { value: SECRET } }, 'event.content.value: must be "public" or "limited"'],
    ['state.access_mode', { content: {} }, 'event.content.value: is missing'],
    ['msg.text', { content: [SECRET] }, 'event.content: must be a plain object (no array, no toJSON method)'],
    ['msg.text', { content: null }, 'event.content: must be a plain object (no array, no toJSON method)'],
    ['msg.text', { content: SECRET }, 'event.content: must be a plain object (no array, no toJSON method)'],
    ['msg.text', { content: new Map([[SECRET, 1]]) }, 'event.content: must be a plain object'],
    ['msg.edit', { content: new Date(0) }, 'event.content: must be a plain object'],
    ['msg.file', { content: { encrypted_file_id: '' } }, 'event.content.encrypted_file_id: must be a non-empty string'],
    ['member.kick', { content: { kicker: { display_name: SECRET } } }, 'event.content.kicker.id: is missing'],
    ['member.kick', { content: { kicker: null } }, 'event.content.kicker: must be a plain object'],
    ['msg.text', { sender: SECRET }, 'event.sender: must be a plain object'],
    ['msg.text', { sender: { id: 'a', display_name: 7 } }, 'event.sender.display_name: must be a string'],
    ['msg.text', { sender: { id: 'a', avatar_url: false } }, 'event.sender.avatar_url: must be a string'],
    ['msg.text', { sender: { id: 'a', identifier_kind: null } }, 'event.sender.identifier_kind: must be a string'],
    ['msg.delete', { referrer_id: 12 }, 'event.referrer_id: must be a non-empty string of at most 256 characters'],
    ['msg.text', { server_event_created_at: new Date(0) }, 'event.server_event_created_at: must be an RFC 3339 time'],
    ['msg.text', { server_event_created_at: 'yesterday' }, 'event.server_event_created_at: must be an RFC 3339 time'],
    ['msg.text', { type: SECRET }, 'event.type: must be one of state.access_mode, msg.text,'],
    ['msg.text', { type: 7 }, 'event.type: must be a non-empty string'],
    ['msg.text', { type: '__proto__' }, 'event.type: must be one of'],
    ['msg.text', { type: 'constructor' }, 'event.type: must be one of'],
  ] as const)('%s is refused with path and rule when %j breaks it', (type, change, fault) => {
    expect(faultOf({ ...eventOf(type), ...change })).toContain(fault);
  });

  it.each([
    ['', false],
    ['a', true],
    ['é'.repeat(256), true],
    ['a'.repeat(257), false],
    ['😀'.repeat(128), true],
    ['a\ud800', false],
    ['\udc00a', false],
    ['\0', true],
  ])('takes an id by the one rule (%#)', (id, good) => {
    for (const name of ['id', 'box_id'] as const) {
      expect(faultOf({ ...eventOf('member.join'), [name]: id }) === 'no fault').toBe(good);
    }
    expect(faultOf({ ...eventOf('member.join'), sender: { id } }) === 'no fault').toBe(good);
  });

  it.each([[undefined], [null], [1], ['x'], [[]], [() => {}], [new Date(0)], [new Map()]])(
    'is an object, not %o',
    (event) => {
      expect(faultOf(event)).toBe('event: must be a plain object (no array, no toJSON method)');
    },
  );

  it('is refused where JSON would write something else than what was checked', () => {
    expect(faultOf({ ...eventOf('member.join'), toJSON: () => ({}) })).toContain('event: must be a plain object');
    expect(faultOf(Object.create(eventOf('member.join')))).toBe('event: must own its fields');
    expect(faultOf({ ...eventOf('member.join'), sender: Object.create(identity) })).toBe(
      'event.sender: must own its fields',
    );
  });

  it('may be an instance of a class, or have no prototype', () => {
    class Join {}
    expect(faultOf(Object.assign(new Join(), eventOf('member.join')))).toBe('no fault');
    expect(faultOf(Object.assign(Object.create(null), eventOf('member.join')))).toBe('no fault');
  });
});

describe("an event of the host's own", () => {
  const schemas: HostSchemas = {
    'poll.open': v.looseObject({ content: v.object({ question: v.string(), choices: v.array(v.string()) }) }),
  };
  const poll = { ...eventOf('member.join'), type: 'poll.open', content: { question: 'Lunch?', choices: ['yes'] } };

  it('passes when envelope and schema are kept', () => {
    expect(faultOf(poll, schemas)).toBe('no fault');
  });

  it('has its envelope checked, whatever the schema says', () => {
    expect(faultOf({ ...poll, box_id: '' }, schemas)).toContain('event.box_id: must be a non-empty string');
    expect(faultOf({ ...poll, sender: {} }, schemas)).toBe('event.sender.id: is missing');
  });

  it('is refused with the path and the option that holds the rule, and not with what was received', () => {
    expect(faultOf({ ...poll, content: { question: 'Lunch?', choices: ['yes', 7] } }, schemas)).toBe(
      'event.content.choices[1]: must satisfy the schema in options.events["poll.open"]',
    );
    const map = { 'poll.open': v.looseObject({ content: v.record(v.string(), v.number()) }) };
    expect(faultOf({ ...poll, content: { [SECRET]: 'x' } }, map)).toBe(
      'event.content[…]: must satisfy the schema in options.events["poll.open"]',
    );
  });

  it('is refused at the root when the schema names no path', () => {
    const never = schemaOf(() => ({ issues: [{ message: SECRET }] }));
    expect(faultOf(poll, { 'poll.open': never })).toBe('event: must satisfy the schema in options.events["poll.open"]');
  });

  it('is refused when the schema is asynchronous, even one that rejects later', async () => {
    const later = schemaOf(() => Promise.reject(new Error(SECRET)));
    expect(faultOf(poll, { 'poll.open': later })).toBe(
      'event: the schema in options.events["poll.open"] must answer at once, not with a promise',
    );
    await new Promise(setImmediate);
  });

  it('is refused when the schema throws or answers nonsense', () => {
    const broken = schemaOf(() => {
      throw new Error(SECRET);
    });
    expect(faultOf(poll, { 'poll.open': broken })).toBe('event: the schema in options.events["poll.open"] threw');
    const mute = schemaOf(() => undefined as never);
    expect(faultOf(poll, { 'poll.open': mute })).toContain('must answer at once');
  });

  it('is refused without a schema, with the types that there are and where to add one', () => {
    expect(faultOf({ ...poll, type: 'poll.close' }, schemas)).toBe(
      `event.type: must be one of ${TYPES.join(', ')}, poll.open; add a type of your own in options.events`,
    );
  });

  it('is not found on the prototype of the schemas', () => {
    expect(faultOf({ ...poll, type: 'toString' }, schemas)).toContain('event.type: must be one of');
  });
});

function schemaOf(validate: StandardSchemaV1['~standard']['validate']): StandardSchemaV1 {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}
