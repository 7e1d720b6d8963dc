// Between objects and the text on the wire: one JSON text `{"type":…,"object":…}` per message, in both directions.

import { UsercastError } from '../errors.ts';
import { ACK, type ClientErrorCode, ERROR, PING, REFRESH } from './event-types.ts';
import { type AckObject, ackSchema, type ErrorObject } from './messages.ts';
import { findFault } from './schema.ts';

const UNREAD = ',"unread":true';

export { CLIENT_ERRORS, type ClientErrorCode } from './event-types.ts';

/**
 * The text of a message; the object's keys stay in their order.
 * @throws UsercastError `invalid_message` when JSON cannot carry the object: a cycle, a BigInt.
 */
export function encodeMessage(type: string, object: object): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(object);
  } catch (cause) {
    throw new UsercastError('invalid_message', 'object: cannot be written as JSON (a cycle, a BigInt?)', { cause });
  }
  // A toJSON can make anything of an object.
  if (!text?.startsWith('{'))
    throw new UsercastError('invalid_message', 'object: must be written by JSON as an object');
  return `{"type":${JSON.stringify(type)},"object":${text}}`;
}

/** The text of an `ack`, as it is echoed to the user's sessions. */
export function ackPayload(userId: string, boxId: string): string {
  return encodeMessage(ACK, { sender_id: userId, box_id: boxId } satisfies AckObject);
}

/** The text of an `error`; `message` is for people and repeats nothing that was received. */
export function errorPayload(code: ClientErrorCode, message: string): string {
  return encodeMessage(ERROR, { code, message } satisfies ErrorObject);
}

/** The text of a message with what `usercast.v1` adds to a stored one. */
export function withCursor(payload: string, cursor: string, unread: boolean): string {
  return `${payload.slice(0, -1)},"cursor":"${cursor}"${unread ? UNREAD : ''}}`;
}

/** The text of a stored message whose cursor goes beside it. */
export function withUnread(payload: string, unread: boolean): string {
  return unread ? `${payload.slice(0, -1)}${UNREAD}}` : payload;
}

/** Why a client's message was not taken: what to answer with `errorPayload`. */
interface Refused {
  readonly ok: false;
  readonly code: ClientErrorCode;
  readonly message: string;
}

/** A client's `ack`, or why it is none. */
export type DecodedAck = { readonly ok: true; readonly boxId: string; readonly senderId: string } | Refused;

/** A client's message on `usercast.v1`, or why it is none. */
export type DecodedSessionMessage =
  | DecodedAck
  | { readonly ok: true; readonly type: typeof PING }
  | { readonly ok: true; readonly type: typeof REFRESH; readonly accessToken: string };

/** Reads a text message of a plain client, whose only message is `ack`. Never throws. */
export function decodeClientMessage(text: string): DecodedAck {
  const message = decodeEnvelope(text);
  if ('ok' in message) return message;
  if (message.type !== ACK) return refuse('unknown_type', `type: must be "${ACK}"`);
  return decodeAck(message.object);
}

/** Reads a text message of a client on `usercast.v1`. Never throws. */
export function decodeSessionMessage(text: string): DecodedSessionMessage {
  const message = decodeEnvelope(text);
  if ('ok' in message) return message;
  const { type, object } = message;
  if (type === ACK) return decodeAck(object);
  if (type === PING) return { ok: true, type };
  if (type !== REFRESH) return refuse('unknown_type', `type: must be "${ACK}", "${REFRESH}" or "${PING}"`);
  const { access_token: accessToken } = object;
  if (typeof accessToken !== 'string' || accessToken === '') {
    return refuse('invalid_object', 'object.access_token: must be a non-empty string');
  }
  return { ok: true, type, accessToken };
}

function decodeEnvelope(text: string): { type: string; object: Record<string, unknown> } | Refused {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return refuse('bad_json', 'the message is not JSON');
  }
  const { type, object } = isObject(message) ? message : {};
  if (typeof type !== 'string' || !isObject(object)) {
    return refuse('invalid_message', 'the message must be {"type": <string>, "object": <object>}');
  }
  return { type, object };
}

/** Reads the object of an `ack`, such as the parsed body of a request. Never throws. */
export function decodeAck(object: unknown, name = 'object'): DecodedAck {
  const fault = findFault(ackSchema, object, name);
  if (fault) return refuse('invalid_object', fault);
  const { box_id: boxId, sender_id: senderId } = object as AckObject;
  return { ok: true, boxId, senderId };
}

function refuse(code: ClientErrorCode, message: string): Refused {
  return { ok: false, code, message };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
