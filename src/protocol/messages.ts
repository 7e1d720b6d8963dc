// The messages around box events: notifications, ack and error, with the checks that the publisher runs on them.

import * as v from 'valibot';
import { UsercastError } from '../errors.ts';
import { type ClientErrorCode, isReservedType, RESERVED_TYPES } from './event-types.ts';
import { checkId } from './ids.ts';
import { checkObject, checkWithHostSchema, type HostSchemas, id, object, opaque, string } from './schema.ts';

export { ACK, ERROR, EVENT_NEW, isReservedType, RESERVED_TYPES, type ReservedType } from './event-types.ts';
export { checkId, checkUserId, isId, MAX_ID_LENGTH } from './ids.ts';

const boxDelete = object({ id, sender_id: id, public_key: string });
const fileSaved = object({ encrypted_file_id: id, is_saved: v.boolean('must be true or false') });

const NOTIFICATIONS = { 'box.delete': boxDelete, 'file.saved': fileSaved };

/** The schema of `AckObject`. */
export const ackSchema = object({ sender_id: id, box_id: id });

/** Says that a box is gone: the object of `box.delete`. */
export type BoxDelete = v.InferOutput<typeof boxDelete>;

/** Says whether a file is saved for this user: the object of `file.saved`. */
export type FileSaved = v.InferOutput<typeof fileSaved>;

/** Sets the unread count of a box to 0: the object of `ack`. */
export type AckObject = v.InferOutput<typeof ackSchema>;

/** About a message that this client sent: the object of `error`. */
export interface ErrorObject {
  readonly code: ClientErrorCode;
  /** For people. */
  readonly message: string;
}

/** The notifications of the catalogue, by type. */
export interface CatalogueNotifications {
  'box.delete': BoxDelete;
  'file.saved': FileSaved;
}

/**
 * Checks a notification: one of the catalogue by its schema, one of the host's own by the host's, any other as far as
 * that it is an object.
 * @throws UsercastError `reserved_type` when the type belongs to the protocol, else `invalid_message`, naming the path
 * and the rule and never what was received.
 */
export function checkNotification(type: unknown, object: unknown, hostSchemas: HostSchemas): void {
  checkId(type, 'notification type');
  if (isReservedType(type)) {
    throw new UsercastError(
      'reserved_type',
      `notification type: reserved for the protocol: ${RESERVED_TYPES.join(', ')}`,
    );
  }
  if (Object.hasOwn(NOTIFICATIONS, type)) {
    checkObject(NOTIFICATIONS[type as keyof CatalogueNotifications], object, 'object');
    return;
  }
  checkObject(opaque, object, 'object');
  if (Object.hasOwn(hostSchemas, type)) checkWithHostSchema(hostSchemas, 'notifications', type, object, 'object');
}
