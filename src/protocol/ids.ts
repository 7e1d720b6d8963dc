// The one rule for ids: of users, boxes, events, senders, files.

import { UsercastError } from '../errors.ts';

/** The most characters (UTF-16 code units) that an id or a message type has. */
export const MAX_ID_LENGTH = 256;

/** The rule in words, for messages. */
export const ID_RULE = `must be a non-empty string of at most ${MAX_ID_LENGTH} characters, without lone surrogates`;

// A lone surrogate becomes U+FFFD in UTF-8, so two ids that differ here would be one user in a broker's keys.
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Whether this is an id: a non-empty string of at most 256 characters, well-formed Unicode. */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_ID_LENGTH && !LONE_SURROGATE.test(value);
}

/** @throws UsercastError `invalid_message`, naming what `name` must be. */
export function checkId(id: unknown, name: string): asserts id is string {
  if (!isId(id)) throw new UsercastError('invalid_message', `${name}: ${ID_RULE}`);
}

/** @throws UsercastError `invalid_message`. Cheap: it runs once per recipient. */
export function checkUserId(userId: unknown, name = 'user id'): asserts userId is string {
  checkId(userId, name);
}
