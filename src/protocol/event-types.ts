// The tables of names that both ends share, free of any schema library: message types and the catalogue of box events.

/** What the catalogue says of an event type. */
export interface EventTypeRow {
  /** What `content` holds; null: the type has none. */
  readonly content: string | null;
  /** Whether the event names another one in `referrer_id`. */
  readonly referrer: boolean;
  /** Whether it counts as unread by default. */
  readonly unread: boolean;
}

/** The catalogue of box events. `events.ts` has the schema of each. */
export const EVENT_TYPES = {
  'state.access_mode': { content: '`{value: "public" | "limited"}`', referrer: false, unread: true },
  'msg.text': { content: 'encrypted content, an opaque object', referrer: false, unread: true },
  'msg.file': {
    content: '`{encrypted_file_id, …}`: a file and its encryption information',
    referrer: false,
    unread: true,
  },
  'msg.delete': { content: null, referrer: true, unread: false },
  'msg.edit': { content: 'new encrypted content, an opaque object', referrer: true, unread: false },
  'member.join': { content: null, referrer: false, unread: true },
  'member.leave': { content: null, referrer: true, unread: true },
  'member.kick': { content: '`{kicker: identity}`', referrer: true, unread: true },
} as const satisfies Record<string, EventTypeRow>;

/** The type of a box event of the catalogue. */
export type BoxEventType = keyof typeof EVENT_TYPES;

/** The message that carries a box event. */
export const EVENT_NEW = 'event.new';
/** The message that sets a box's count to 0; the only one that a plain client sends. */
export const ACK = 'ack';
/** The answer to a message of the client that could not be taken. */
export const ERROR = 'error';

/** A sign of life, from either end of `usercast.v1`. */
export const PING = 'session.ping';
/** A client's new token for an open session. */
export const REFRESH = 'session.refresh';

/** The message types that belong to the protocol; one that ends in `*` stands for all that begin so. */
export const RESERVED_TYPES = [EVENT_NEW, ACK, ERROR, 'session.*'] as const;

/** A message type that `notify` does not take. */
export type ReservedType = typeof EVENT_NEW | typeof ACK | typeof ERROR | `session.${string}`;

/** Whether a message type belongs to the protocol. */
export function isReservedType(type: string): type is ReservedType {
  return type === EVENT_NEW || type === ACK || type === ERROR || type.startsWith('session.');
}

/** Why the server did not take a message of the client: `code` of an `error` message. */
export const CLIENT_ERRORS = {
  not_text: 'a binary message; messages are text',
  bad_json: 'the text is not JSON',
  invalid_message: 'the JSON is not `{"type": <string>, "object": <object>}`',
  unknown_type: 'a type that clients do not send',
  invalid_object: 'the object breaks a rule of its type',
  token_refused: 'the new token was not accepted; the session goes on until the old one ends',
  wrong_sender: '`sender_id` is not the authenticated user',
  unavailable: 'the server could not do it now; sending it again is safe',
} as const;

/** The `code` of an `error` message. */
export type ClientErrorCode = keyof typeof CLIENT_ERRORS;
