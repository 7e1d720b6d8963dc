// What a long poll asks for, out of the query of its URL.

import type { IncomingMessage } from 'node:http';
import { Refusal } from '../protocol/refusals.ts';
import type { PollOpening } from '../session/poll.ts';
import { cursorOf } from './handshake.ts';
import { queryParameter } from './token.ts';

/** Seconds. Proxies give up on a request without an answer after 60, by default. */
const WAIT = {
  name: 'wait',
  pattern: /^\d{1,2}(?:\.\d+)?$/,
  min: 0,
  max: 55,
  fallback: 25,
  what: 'a number of seconds',
};
const LIMIT = { name: 'limit', pattern: /^\d{1,3}$/, min: 1, max: 100, fallback: 100, what: 'a whole number' };

/**
 * The cursor, the wait and the limit of a long poll; an empty parameter is none.
 * @throws Refusal `malformed_cursor`; `malformed_request` for a wait or a limit that is no number or out of range.
 */
export function pollQueryOf(req: IncomingMessage): Pick<PollOpening, 'cursor' | 'waitMs' | 'limit'> {
  return { cursor: cursorOf(req), waitMs: numberOf(req, WAIT) * 1_000, limit: numberOf(req, LIMIT) };
}

function numberOf(req: IncomingMessage, { name, pattern, min, max, fallback, what }: typeof WAIT): number {
  const text = queryParameter(req, name);
  if (text === null || text === '') return fallback;
  const value = pattern.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new Refusal('malformed_request', `the parameter ${name} must be ${what} from ${min} to ${max}`);
}
