// The options of `memoryBroker` and their check.

import { checkKeys, wholeNumber } from '../option-checks.ts';

/** What a stream keeps for clients that come back. Both bounds hold; the first that is reached lets an entry go. */
export interface HistoryOptions {
  /** Messages kept per user. Default 100. */
  readonly messages?: number;
  /** Milliseconds that a message is kept. Default 300 000. */
  readonly ageMs?: number;
}

/** What `memoryBroker` takes. */
export interface MemoryBrokerOptions {
  /** What is kept for clients that come back. Default 100 messages, 5 minutes. */
  readonly history?: HistoryOptions;
  /** Milliseconds in which a message id is delivered and counted once per recipient. Default 300 000. */
  readonly deduplicationMs?: number;
  /** Users with a stream or a count. One not used lately goes, with its counts; connected users stay. Default 250 000. */
  readonly maxUsers?: number;
  /** Estimated bytes of all streams, counts and deduplication records: over it, histories go, then all but acks is refused. Default 268 435 456. */
  readonly maxBytes?: number;
}

/** The options with their defaults. */
export interface ResolvedMemoryBrokerOptions {
  readonly history: Required<HistoryOptions>;
  readonly deduplicationMs: number;
  readonly maxUsers: number;
  readonly maxBytes: number;
}

/** @throws TypeError that names the option and the value. */
export function resolveMemoryBrokerOptions(options: MemoryBrokerOptions): ResolvedMemoryBrokerOptions {
  checkKeys('memoryBroker options', options, ['history', 'deduplicationMs', 'maxUsers', 'maxBytes']);
  const { history = {} } = options;
  checkKeys('history', history, ['messages', 'ageMs']);
  return {
    history: {
      messages: wholeNumber('history.messages', history.messages, 100, 1),
      ageMs: wholeNumber('history.ageMs', history.ageMs, 300_000, 1),
    },
    deduplicationMs: wholeNumber('deduplicationMs', options.deduplicationMs, 300_000, 1),
    maxUsers: wholeNumber('maxUsers', options.maxUsers, 250_000, 1),
    maxBytes: wholeNumber('maxBytes', options.maxBytes, 268_435_456, 65_536),
  };
}
