// The catalogue of box events: the schema of each type, the TypeScript types inferred from them, and the check that the
// publisher runs on every event. Events are checked, never rebuilt.

import * as v from 'valibot';
import { UsercastError } from '../errors.ts';
import { type BoxEventType, EVENT_TYPES } from './event-types.ts';
import {
  checkObject,
  checkWithHostSchema,
  type HostSchemas,
  id,
  isPlainObject,
  object,
  opaque,
  string,
} from './schema.ts';
import { isTime } from './time.ts';

export { type BoxEventType, EVENT_TYPES, type EventTypeRow } from './event-types.ts';

const identity = object({
  id,
  display_name: v.optional(string),
  avatar_url: v.optional(v.nullable(string)),
  identifier_value: v.optional(string),
  identifier_kind: v.optional(string),
});

const envelope = {
  id,
  box_id: id,
  server_event_created_at: v.custom<string>(isTime, 'must be an RFC 3339 time, such as "2020-09-15T08:30:00Z"'),
  sender: identity,
};

const referrer = { referrer_id: id };

const accessMode = object({ value: v.picklist(['public', 'limited'], 'must be "public" or "limited"') });

const CATALOGUE = {
  'state.access_mode': object({ type: v.literal('state.access_mode'), ...envelope, content: accessMode }),
  'msg.text': object({ type: v.literal('msg.text'), ...envelope, content: opaque }),
  'msg.file': object({ type: v.literal('msg.file'), ...envelope, content: object({ encrypted_file_id: id }) }),
  'msg.delete': object({ type: v.literal('msg.delete'), ...envelope, ...referrer }),
  'msg.edit': object({ type: v.literal('msg.edit'), ...envelope, ...referrer, content: opaque }),
  'member.join': object({ type: v.literal('member.join'), ...envelope }),
  'member.leave': object({ type: v.literal('member.leave'), ...envelope, ...referrer }),
  'member.kick': object({
    type: v.literal('member.kick'),
    ...envelope,
    ...referrer,
    content: object({ kicker: identity }),
  }),
} satisfies { [T in BoxEventType]: v.GenericSchema<unknown, { type: T }> };

const base = object({ type: id, ...envelope });

/** Who did something. Only `id` is always there: the rest can be withheld, empty or absent. */
export type EventIdentity = v.InferOutput<typeof identity>;

/** What every box event has, the host's own too. */
export type BoxEventBase = v.InferOutput<typeof base>;

/** A box event of the catalogue; `type` tells them apart. */
export type BoxEvent = v.InferOutput<(typeof CATALOGUE)[BoxEventType]>;

/**
 * Checks an event: one of the catalogue by its schema, one of the host's own by the envelope and the host's schema.
 * @throws UsercastError `invalid_message`, naming the path and the rule and never what was received.
 */
export function checkEvent(event: unknown, hostSchemas: HostSchemas): asserts event is BoxEventBase {
  const type = isPlainObject(event) ? (event as { type?: unknown }).type : undefined;
  if (typeof type === 'string' && Object.hasOwn(CATALOGUE, type)) {
    checkObject(CATALOGUE[type as BoxEventType], event, 'event');
    return;
  }
  checkObject(base, event, 'event');
  const hostType = type as string;
  if (!Object.hasOwn(hostSchemas, hostType)) {
    const types = [...Object.keys(EVENT_TYPES), ...Object.keys(hostSchemas)].join(', ');
    throw new UsercastError(
      'invalid_message',
      `event.type: must be one of ${types}; add a type of your own in options.events`,
    );
  }
  checkWithHostSchema(hostSchemas, 'events', hostType, event, 'event');
}
