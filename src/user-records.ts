// What is known of users beside their messages: counts, cursor, presence; and what erases or disconnects them. Each call
// to the broker or the counter store has a deadline, and its failure is told twice: to the caller and as an event.

import type { Broker, DisconnectTarget, StreamSlice } from './broker/broker.ts';
import type { CounterStore } from './counter/counter-store.ts';
import { type ErrorStage, UsercastError } from './errors.ts';
import { encodeCursor } from './protocol/cursor.ts';
import { checkId, checkUserId } from './protocol/messages.ts';
import { Refusal } from './protocol/refusals.ts';
import { withDeadline } from './timers.ts';

/** What `disconnect` takes. */
export interface DisconnectOptions {
  /** Ends this session alone. Default: all of the user's sessions. */
  readonly sessionId?: string;
  /** The close reason that clients see: at most 123 bytes. Default `disconnected by the host`. */
  readonly reason?: string;
}

export interface UserRecordsParts {
  readonly broker: Broker;
  /** null: the broker's own counts. */
  readonly counters: CounterStore | null;
  /** Resolves when what this process publishes for the user now is counted. */
  readonly settled: (userId: string) => Promise<void>;
  readonly deadlineMs: number;
  readonly onError: (stage: ErrorStage, cause: unknown) => void;
}

/** A close frame holds a reason of at most so many bytes. @see RFC 6455 section 5.5 */
const MAX_REASON_BYTES = 123;

export class UserRecords {
  readonly #parts: UserRecordsParts;

  constructor(parts: UserRecordsParts) {
    this.#parts = parts;
  }

  async counts(userId: string): Promise<Record<string, number>> {
    checkUserId(userId);
    const { counters, broker } = this.#parts;
    return this.#ask('count', () => (counters ?? broker.counters!).counts(userId));
  }

  /** The counts, and the cursor that they are as of. */
  async countsAndCursor(userId: string): Promise<{ counts: Record<string, number>; cursor: string }> {
    const slice = await this.#ask('read', () => this.#parts.broker.read(userId, null, 0));
    return { counts: await this.countsOf(userId, slice), cursor: encodeCursor(slice.top) };
  }

  /** The counts as of the slice's top. */
  async countsOf(userId: string, slice: StreamSlice): Promise<Record<string, number>> {
    const { counters, deadlineMs, settled } = this.#parts;
    if (!counters) return slice.counts ? { ...slice.counts } : this.counts(userId);
    // What stands in the stream up to the top may be on its way to the store. A call that hangs keeps nobody out for good.
    await withDeadline(settled(userId), deadlineMs, 'the counter store').catch(() => {});
    return this.#ask('count', () => counters.counts(userId, slice.top));
  }

  async cursor(userId: string): Promise<string> {
    checkUserId(userId);
    const { top } = await this.#ask('read', () => this.#parts.broker.read(userId, null, 0));
    return encodeCursor(top);
  }

  async online(userIds: readonly string[]): Promise<Set<string>> {
    return this.#ask('read', () => this.#parts.broker.online(userIds));
  }

  async forget(userId: string): Promise<void> {
    checkUserId(userId);
    const { broker, counters } = this.#parts;
    await this.#ask('publish', () => broker.forget(userId));
    if (counters) await this.#ask('count', () => counters.forget(userId));
  }

  async disconnect(userId: string, options: DisconnectOptions): Promise<void> {
    checkUserId(userId);
    const target = checkDisconnect(options);
    await this.#ask('publish', () => this.#parts.broker.mark(userId, target));
  }

  async #ask<T>(stage: ErrorStage, ask: () => Promise<T>): Promise<T> {
    const { deadlineMs, onError } = this.#parts;
    try {
      return await withDeadline(ask(), deadlineMs, stage === 'count' ? 'the counter store' : 'the broker');
    } catch (cause) {
      onError(stage, cause);
      if (cause instanceof UsercastError) throw cause;
      throw new UsercastError('broker_unavailable', 'the broker or the counter store failed', { cause });
    }
  }
}

/** What `work` does for a client's request. @throws Refusal `broker_unavailable` where it fails. */
export async function orRefuse<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch {
    throw new Refusal('broker_unavailable', 'the broker or the counter store did not answer; try again later');
  }
}

function checkDisconnect({ sessionId, reason, ...others }: DisconnectOptions): DisconnectTarget {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(`disconnect has no option ${JSON.stringify(unknown)}; it takes sessionId, reason`);
  }
  if (sessionId !== undefined) checkId(sessionId, 'sessionId');
  if (reason !== undefined && (typeof reason !== 'string' || Buffer.byteLength(reason) > MAX_REASON_BYTES)) {
    throw new UsercastError('invalid_message', `reason: must be a string of at most ${MAX_REASON_BYTES} bytes`);
  }
  return { ...(sessionId === undefined ? {} : { sessionId }), ...(reason === undefined ? {} : { reason }) };
}
