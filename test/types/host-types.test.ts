// What the compiler promises to hosts: `npm run typecheck` is what fails here; at run time little happens.

import * as v from 'valibot';
import { describe, expectTypeOf, it } from 'vitest';
import type { BoxEvent, BoxEventBase, EventIdentity } from '../../src/protocol/events.ts';
import type {
  EventOf,
  EventSchemas,
  HostTypes,
  NotificationObject,
  NotificationSchemas,
  NotificationType,
} from '../../src/protocol/host-types.ts';
import type { BoxDelete, FileSaved } from '../../src/protocol/messages.ts';
import type { StandardSchemaV1 } from '../../src/protocol/standard-schema.ts';

interface Poll {
  content: { question: string };
}
interface Host {
  events: { 'poll.open': Poll; 'poll.close': { referrer_id: string } };
  notifications: { 'quota.low': { bytes: number } };
}

// The shape that `publishEvent` and `notify` have: a type parameter, so that literals may have extra fields.
function publish<H extends HostTypes>() {
  return <E extends EventOf<H>>(event: E | ((userId: string) => E)): unknown => event;
}
function notify<T extends NotificationType<Host>>(_type: T, _object: NotificationObject<Host, T>): void {}

const envelope = { id: 'e1', box_id: 'b1', server_event_created_at: '2020-09-15T08:30:00Z', sender: { id: 'ann' } };

describe('the events that a host may publish', () => {
  it('are the catalogue by default', () => {
    expectTypeOf<EventOf>().toEqualTypeOf<BoxEvent>();
    expectTypeOf<EventOf<HostTypes>>().toEqualTypeOf<BoxEvent>();
    expectTypeOf<EventOf<{ notifications: Host['notifications'] }>>().toEqualTypeOf<BoxEvent>();
    // @ts-expect-error not in the catalogue
    publish<HostTypes>()({ ...envelope, type: 'poll.open', content: { question: 'Lunch?' } });
  });

  it('are told apart by their type', () => {
    const read = (event: EventOf<Host>): string => {
      if (event.type === 'msg.file') return event.content.encrypted_file_id;
      if (event.type === 'member.kick') return event.content.kicker.id + event.referrer_id;
      if (event.type === 'state.access_mode') return event.content.value satisfies 'public' | 'limited';
      if (event.type === 'poll.open') return event.content.question;
      // @ts-expect-error what is left may have no content
      return event.content;
    };
    read({ ...envelope, type: 'poll.open', content: { question: 'Lunch?' } });
  });

  it('may have extra fields at any depth, also in literals', () => {
    publish<Host>()({ ...envelope, type: 'msg.file', content: { encrypted_file_id: 'f1', iv: 'x' }, trace: 1 });
    publish<Host>()({ ...envelope, sender: { id: 'ann', role: 'admin' }, type: 'member.join' });
    publish<Host>()((userId) => ({ ...envelope, type: 'msg.text', content: { for: userId }, trace: 1 }));
  });

  it('are refused when a field is missing or wrong', () => {
    const publishHost = publish<Host>();
    // @ts-expect-error no referrer_id
    publishHost({ ...envelope, type: 'msg.delete' });
    // @ts-expect-error no such access mode
    publishHost({ ...envelope, type: 'state.access_mode', content: { value: 'secret' } });
    // @ts-expect-error a time is a string
    publishHost({ ...envelope, server_event_created_at: new Date(0), type: 'member.join' });
    // @ts-expect-error the host's own: no question
    publishHost({ ...envelope, type: 'poll.open', content: {} });
    // @ts-expect-error no such type
    publishHost({ ...envelope, type: 'poll.moved' });
    // @ts-expect-error in a function too
    publishHost(() => ({ ...envelope, type: 'msg.delete' }));
  });

  it('all have the envelope', () => {
    expectTypeOf<EventOf<Host>>().toExtend<BoxEventBase>();
    expectTypeOf<EventIdentity['id']>().toEqualTypeOf<string>();
    expectTypeOf<EventIdentity['avatar_url']>().toEqualTypeOf<string | null | undefined>();
  });
});

describe('the schemas that a host gives', () => {
  it('are one for each of its types, of any library', () => {
    const schemas: EventSchemas<Host> = {
      'poll.open': v.looseObject({ content: v.object({ question: v.string() }) }),
      'poll.close': v.object({ referrer_id: v.string() }),
    };
    const notifications: NotificationSchemas<Host> = { 'quota.low': v.object({ bytes: v.number() }) };
    expectTypeOf(schemas).toExtend<EventSchemas>();
    expectTypeOf(notifications).toExtend<NotificationSchemas>();
  });

  it('are refused when one is missing, or makes something else', () => {
    const close = v.object({ referrer_id: v.string() });
    // @ts-expect-error poll.open is missing
    const missing: EventSchemas<Host> = { 'poll.close': close };
    // @ts-expect-error poll.open has another content
    const other: EventSchemas<Host> = { 'poll.close': close, 'poll.open': v.object({ content: v.string() }) };
    // @ts-expect-error there are no events in this generic
    const none: EventSchemas<{ notifications: Host['notifications'] }> = { 'poll.close': close };
    void [missing, other, none];
  });

  it('are free without the generic', () => {
    expectTypeOf<EventSchemas>().toEqualTypeOf<Readonly<Record<string, StandardSchemaV1>>>();
    expectTypeOf<NotificationSchemas>().toEqualTypeOf<Readonly<Record<string, StandardSchemaV1>>>();
  });
});

describe('the notifications that a host may send', () => {
  it('have the object of their type', () => {
    expectTypeOf<NotificationObject<Host, 'box.delete'>>().toEqualTypeOf<BoxDelete>();
    expectTypeOf<NotificationObject<Host, 'file.saved'>>().toEqualTypeOf<FileSaved>();
    expectTypeOf<NotificationObject<Host, 'quota.low'>>().toEqualTypeOf<{ bytes: number }>();
    expectTypeOf<NotificationObject<HostTypes, 'quota.low'>>().toEqualTypeOf<object>();
    expectTypeOf<NotificationObject<Host, string>>().toEqualTypeOf<object>();
    notify('quota.low', { bytes: 1 });
    notify('anything.else', { at: 'all' });
    // @ts-expect-error bytes are a number
    notify('quota.low', { bytes: '1' });
    // @ts-expect-error no public_key
    notify('box.delete', { id: 'b1', sender_id: 'ann' });
    // @ts-expect-error not an object
    notify('anything.else', 'text');
  });

  it('cannot have a type of the protocol', () => {
    // @ts-expect-error reserved
    notify('ack', { sender_id: 'ann', box_id: 'b1' });
    // @ts-expect-error reserved
    notify('session.ready', {});
  });
});
