// Changes to users' counts on their way into the bucket. One read, change and replace is under way per user; what comes
// meanwhile goes together with the next. What others replaced first, and what was not answered, is done again, which
// changes nothing twice, for the entry itself says what was counted.

import { UsercastError } from '../../src/index.ts';
import { setTimer, type Timer } from '../../src/timers.ts';
import type { CounterBucket, CounterEntry } from './counter-bucket.ts';
import { counterFailureOf, toUsercastError } from './counter-failures.ts';
import type { RecentEntries } from './recent-entries.ts';
import type { UserCounts } from './user-counts.ts';
import { decodeUserCounts, encodeUserCounts } from './user-counts-codec.ts';

/** Users whose entries are read and replaced at the same time. */
const MAX_ACTIVE_USERS = 256;

/** Changes that wait or are under way, of all users. */
const MAX_CHANGES = 100_000;

const FIRST_PAUSE_MS = { conflict: 2, missing: 50, passing: 20 } as const;
const LONGEST_PAUSE_MS = { conflict: 50, missing: 500, passing: 500 } as const;

/** One user's part of a call. */
export interface UserChange {
  readonly userId: string;
  /** Changes the counts, and says whether it did. Called again on newer counts where others were faster. */
  apply(counts: UserCounts, nowMs: number): boolean;
}

export interface CounterChangesParts {
  /** The bucket, once it is there. */
  bucket(): Promise<CounterBucket>;
  /** Told that the bucket is not there any more. */
  missing(): void;
  readonly recent: RecentEntries;
  readonly rememberMs: number;
  readonly deadlineMs: number;
}

interface Waiting {
  readonly change: UserChange;
  readonly call: Call;
}

/** A user's changes that wait for the one that is under way. */
interface Lane {
  readonly userId: string;
  waiting: Waiting[];
}

export class CounterChanges {
  readonly #parts: CounterChangesParts;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that nobody works on yet, in the order in which they came. */
  readonly #idle = new Set<Lane>();
  readonly #calls = new Set<Call>();
  #active = 0;
  #changes = 0;
  #isClosed = false;

  constructor(parts: CounterChangesParts) {
    this.#parts = parts;
  }

  /**
   * Resolves when every change is stored, or found to be none.
   * @throws UsercastError `deadline`, after which the outcome is not known, `overloaded`, `broker_unavailable`, `closed`
   */
  run(changes: readonly UserChange[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed());
    if (changes.length === 0) return Promise.resolve();
    if (this.#changes > 0 && this.#changes + changes.length > MAX_CHANGES) {
      const message = `${this.#changes} changes of counts wait already, and at most ${MAX_CHANGES} may`;
      return Promise.reject(new UsercastError('overloaded', message));
    }
    const call = new Call(changes.length, this.#parts.deadlineMs);
    this.#calls.add(call);
    this.#changes += changes.length;
    for (const change of changes) this.#laneOf(change.userId).waiting.push({ change, call });
    this.#startIdle();
    return call.result.finally(() => this.#calls.delete(call));
  }

  /** Ends every call. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#calls) call.end(closed());
  }

  #laneOf(userId: string): Lane {
    let lane = this.#lanes.get(userId);
    if (!lane) {
      lane = { userId, waiting: [] };
      this.#lanes.set(userId, lane);
      this.#idle.add(lane);
    }
    return lane;
  }

  #startIdle(): void {
    for (const lane of this.#idle) {
      if (this.#active >= MAX_ACTIVE_USERS) return;
      this.#idle.delete(lane);
      this.#active++;
      void this.#work(lane);
    }
  }

  async #work(lane: Lane): Promise<void> {
    await this.#workOff(lane);
    this.#active--;
    // Behind the others: a user who is never quiet must not keep them waiting.
    if (lane.waiting.length > 0) this.#idle.add(lane);
    else this.#lanes.delete(lane.userId);
    this.#startIdle();
  }

  /** Does what waits, until it is done or nobody waits for it any more. */
  async #workOff(lane: Lane): Promise<void> {
    let batch: Waiting[] = [];
    for (let attempt = 0; ; attempt++) {
      batch = this.#stillWanted([...batch, ...lane.waiting]);
      lane.waiting = [];
      if (batch.length === 0) return;
      try {
        await this.#attempt(lane.userId, batch);
        this.#finish(batch);
        return;
      } catch (cause) {
        this.#parts.recent.delete(lane.userId);
        const failure = counterFailureOf(cause);
        if (failure === 'final') {
          this.#finish(batch, toUsercastError(cause));
          return;
        }
        if (failure === 'missing') this.#parts.missing();
        for (const { call } of batch) call.setback = cause;
        await pause(Math.min(FIRST_PAUSE_MS[failure] * 2 ** attempt, LONGEST_PAUSE_MS[failure]));
      }
    }
  }

  async #attempt(userId: string, batch: readonly Waiting[]): Promise<void> {
    const { recent } = this.#parts;
    const bucket = await this.#parts.bucket();
    const guess = recent.get(userId);
    if (guess && (await this.#change(bucket, userId, batch, guess))) return;
    // That nothing is to be changed is not believed of a guess.
    await this.#change(bucket, userId, batch, await bucket.read(userId));
  }

  /** Whether anything was to be changed in this entry, and was. */
  async #change(
    bucket: CounterBucket,
    userId: string,
    batch: readonly Waiting[],
    entry: CounterEntry,
  ): Promise<boolean> {
    const { recent, rememberMs } = this.#parts;
    const counts = decodeUserCounts(entry.bytes);
    const nowMs = bucket.nowMs();
    let isChanged = false;
    for (const { change } of batch) isChanged = change.apply(counts, nowMs) || isChanged;
    if (!isChanged) return false;
    counts.expire(nowMs, rememberMs);
    if (counts.isEmpty) {
      recent.delete(userId);
      if (entry.revision > 0) await bucket.erase(userId, entry.revision);
      return true;
    }
    const bytes = encodeUserCounts(counts);
    if (bytes.length > bucket.maxBytes) {
      const message = `a user's counts take ${bytes.length} bytes, and the server takes at most ${bucket.maxBytes}`;
      throw new UsercastError('overloaded', message);
    }
    recent.set(userId, { bytes, revision: await bucket.replace(userId, bytes, entry) });
    return true;
  }

  #stillWanted(batch: readonly Waiting[]): Waiting[] {
    const wanted = batch.filter(({ call }) => !call.isOver);
    this.#changes -= batch.length - wanted.length;
    return wanted;
  }

  #finish(batch: readonly Waiting[], failure?: UsercastError): void {
    this.#changes -= batch.length;
    for (const { call } of batch) call.finishOne(failure);
  }
}

/** What one caller waits for: a number of changes, and one deadline for all of them. */
class Call {
  readonly result: Promise<void>;
  /** What went wrong last, and was tried again. */
  setback: unknown;
  #left: number;
  #failure: UsercastError | undefined;
  #isOver = false;
  #settle!: (failure: UsercastError | undefined) => void;
  readonly #timer: Timer;

  constructor(changes: number, deadlineMs: number) {
    this.#left = changes;
    this.result = new Promise((resolve, reject) => {
      this.#settle = (failure) => (failure ? reject(failure) : resolve());
    });
    this.#timer = setTimer(() => {
      const message = `the counters' bucket did not answer within ${deadlineMs} ms`;
      this.end(new UsercastError('deadline', message, this.setback ? { cause: this.setback } : {}));
    }, deadlineMs);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** One change is done, or failed for good. One user's failure does not keep the others from being counted. */
  finishOne(failure: UsercastError | undefined): void {
    this.#failure ??= failure;
    if (--this.#left === 0) this.end(this.#failure);
  }

  end(failure: UsercastError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#settle(failure);
  }
}

function closed(): UsercastError {
  return new UsercastError('closed', 'the counters are closed');
}

/** Up to so long: those that met once must not meet again. */
function pause(longestMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimer(resolve, Math.random() * longestMs);
  });
}
