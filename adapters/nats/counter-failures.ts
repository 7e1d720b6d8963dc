// What goes wrong between the counters and their bucket, and whether it is worth another try.

import { UsercastError } from '../../src/index.ts';
import { SetupRefusal } from './setup-refusal.ts';

/**
 * - `conflict`: somebody else has replaced the entry;
 * - `missing`: the bucket is gone, or JetStream is not up yet;
 * - `passing`: no answer, or no connection, so that the outcome is not known;
 * - `final`: doing it again would fail again.
 */
export type CounterFailure = 'conflict' | 'missing' | 'passing' | 'final';

/** @see https://github.com/nats-io/nats-server/blob/main/server/errors.json */
export const NO_SUCH_STREAM = 10059;
/** The same name with other settings. */
export const STREAM_NAME_IN_USE = 10058;
/** No message fits the request. */
export const NO_SUCH_MESSAGE = 10037;
/** What was to be replaced is not the last any more. */
export const WRONG_LAST_SEQUENCE = 10071;

const FAILURE_OF_CODE: Readonly<Record<number, CounterFailure>> = {
  10008: 'passing', // JetStream is temporarily unavailable
  10009: 'passing', // no leader is elected
  [WRONG_LAST_SEQUENCE]: 'conflict',
  10164: 'conflict', // the same, where the server does not tell which one is
  [NO_SUCH_STREAM]: 'missing',
};

/** JetStream answered, and not what it was asked for. */
export class BucketError extends Error {
  override readonly name = 'BucketError';
  /** The server's error code; 0 where nobody answered for JetStream. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export function counterFailureOf(cause: unknown): CounterFailure {
  if (cause instanceof BucketError) return cause.code === 0 ? 'missing' : (FAILURE_OF_CODE[cause.code] ?? 'final');
  if (cause instanceof SetupRefusal || !(cause instanceof UsercastError)) return 'final';
  return cause.code === 'deadline' || cause.code === 'broker_unavailable' ? 'passing' : 'final';
}

/** What the host is given for a failure that is final. */
export function toUsercastError(cause: unknown): UsercastError {
  if (cause instanceof UsercastError) return cause;
  const why = cause instanceof Error ? cause.message : 'of an unknown failure';
  return new UsercastError('broker_unavailable', `the bucket of the counts cannot be used: ${why}`, { cause });
}
