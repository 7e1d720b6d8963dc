// What a host adds to the protocol with the generic of `createUsercast`, and the types that follow from it.

import type { ReservedType } from './event-types.ts';
import type { BoxEvent, BoxEventBase, BoxEventType } from './events.ts';
import type { CatalogueNotifications } from './messages.ts';
import type { StandardSchemaV1 } from './standard-schema.ts';

/** The generic of `createUsercast`: the host's own events and notifications. */
export interface HostTypes {
  /** By event type: the fields that it has beyond those of every box event, such as `{ content: { question: string } }`. */
  events?: Record<string, object>;
  /** By notification type: its object. */
  notifications?: Record<string, object>;
}

type NoTypes = Record<never, never>;
type EventFields<H extends HostTypes> = H extends { events: infer E } ? E : NoTypes;
type HostNotifications<H extends HostTypes> = H extends { notifications: infer N } ? N : NoTypes;

// With the plain default nothing is known of the host's types, so any schema may be given.
type SchemaMap<H extends HostTypes, Fields> = HostTypes extends H
  ? Readonly<Record<string, StandardSchemaV1>>
  : keyof Fields extends never
    ? Readonly<Record<string, never>>
    : { readonly [T in keyof Fields]: StandardSchemaV1<unknown, Fields[T]> };

/** A schema for each event type of the host's own. It is given the whole event, and what it returns is not used. */
export type EventSchemas<H extends HostTypes = HostTypes> = SchemaMap<H, EventFields<H>>;

/** A schema for each notification type of the host's own. It is given the object, and what it returns is not used. */
export type NotificationSchemas<H extends HostTypes = HostTypes> = SchemaMap<H, HostNotifications<H>>;

type HostEvent<Fields> = {
  [T in Exclude<keyof Fields, BoxEventType>]: BoxEventBase & { type: T } & Fields[T];
}[Exclude<keyof Fields, BoxEventType>];

/** The events that `publishEvent` takes: those of the catalogue and the host's own. */
export type EventOf<H extends HostTypes = HostTypes> = BoxEvent | HostEvent<EventFields<H>>;

/** The types that `notify` takes: any string; those with a known object are named. */
export type NotificationType<H extends HostTypes = HostTypes> =
  | keyof CatalogueNotifications
  | (keyof HostNotifications<H> & string)
  | (string & NoTypes);

/** The object of a notification type; `never` for a type that belongs to the protocol. */
export type NotificationObject<H extends HostTypes, T extends string> = T extends keyof CatalogueNotifications
  ? CatalogueNotifications[T]
  : T extends ReservedType
    ? never
    : T extends keyof HostNotifications<H>
      ? HostNotifications<H>[T]
      : object;
