// Stands between a usercast and any broker, and does to it what networks and servers do: by chance that repeats with its
// seed, by switches that a test can turn at any time.

import { type Broker, type BrokerStatus, type StreamListener, type Unsubscribe, UsercastError } from '../index.ts';
import { FaultyLink } from './faulty-link.ts';
import { seededRandom } from './seeded-random.ts';

/** How likely each fault is, from 0 (never, the default of each) to 1 (always). */
export interface BrokerFaults {
  /** A live message does not arrive. */
  readonly drop: number;
  /** A live message arrives twice. */
  readonly duplicate: number;
  /** A live message is overtaken by what comes after it. */
  readonly reorder: number;
  /** A live message waits up to `maxDelayMs`, and what comes after it waits too. */
  readonly delay: number;
  /** A call waits up to `maxDelayMs`, before it takes effect or after. */
  readonly slow: number;
  /** A call rejects and has no effect. */
  readonly reject: number;
  /** A call takes effect and rejects. */
  readonly loseAnswer: number;
}

/** What `faultyBroker` takes: faults that are on from the start, and these. */
export interface FaultyBrokerOptions extends Partial<BrokerFaults> {
  /** The same seed and the same calls give the same faults. Default 1. */
  readonly seed?: number;
  /** Milliseconds that anything is held up at most. Default 20. */
  readonly maxDelayMs?: number;
}

/** A `Broker` whose faults are switched on and off. */
export interface FaultyBroker extends Broker {
  /** How often each fault has happened; `cut` counts the live messages lost to it. */
  readonly happened: Readonly<Record<keyof BrokerFaults | 'cut', number>>;
  /** Changes the faults that are named, and leaves the others. */
  set(faults: Partial<BrokerFaults>): void;
  /** The connection is gone: status `lost`, calls reject, nothing arrives, until `mend`. */
  cut(): void;
  /** Status `ready`; what was published meanwhile does not arrive any more, it has to be read. */
  mend(): void;
  /** No fault any more; what is on its way arrives. */
  calm(): void;
  /** Keeps the state that `rollBack` goes back to. @throws TypeError where the broker has no `snapshot`. */
  save(): void;
  /** The broker knows only what it knew at `save`, as a server that lost its last writes. */
  rollBack(): void;
}

/** A broker that can be put back to an earlier state, such as `modelBroker()`. */
export interface Restorable {
  /** Keeps the present state; the returned function brings it back. */
  snapshot(): () => void;
}

const NO_FAULTS: BrokerFaults = Object.freeze({
  drop: 0,
  duplicate: 0,
  reorder: 0,
  delay: 0,
  slow: 0,
  reject: 0,
  loseAnswer: 0,
});

/**
 * Wraps a broker; closing it closes the broker that it wraps. It is never `reliable`.
 * @throws TypeError for a fault that is not between 0 and 1.
 */
export function faultyBroker(broker: Broker & Partial<Restorable>, options: FaultyBrokerOptions = {}): FaultyBroker {
  const { seed = 1, maxDelayMs = 20, ...faults } = options;
  const random = seededRandom(seed);
  const happened = { drop: 0, duplicate: 0, reorder: 0, delay: 0, slow: 0, reject: 0, loseAnswer: 0, cut: 0 };
  const links = new Set<FaultyLink>();
  const statusListeners = new Set<(status: BrokerStatus) => void>();
  let active = NO_FAULTS;
  let isCut = false;
  let restore: (() => void) | null = null;

  const set = (changes: Partial<BrokerFaults>): void => {
    for (const [name, chance] of Object.entries(changes)) {
      if (!(name in NO_FAULTS)) throw new TypeError(`there is no fault "${name}"`);
      if (!(chance >= 0 && chance <= 1)) throw new TypeError(`${name} must be a number from 0 to 1, got ${chance}`);
    }
    active = { ...active, ...changes };
  };
  const happens = (fault: keyof BrokerFaults): boolean => {
    if (active[fault] === 0 || random() >= active[fault]) return false;
    happened[fault]++;
    return true;
  };
  const tellStatus = (status: BrokerStatus): void => {
    for (const listener of statusListeners) listener(status);
  };
  const stopFollowing = broker.onStatus((status) => {
    if (!isCut) tellStatus(status);
  });
  const away = (what: string): UsercastError => new UsercastError('broker_unavailable', `${what}, as told`);
  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, random() * maxDelayMs));

  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    // A closed broker answers as itself.
    if (broker.status === 'lost') return work();
    const isSlow = happens('slow');
    const comesLate = isSlow && random() < 0.5;
    if (comesLate) await pause();
    if (isCut) throw away('the connection is cut');
    if (happens('reject')) throw away('the call failed');
    const result = await work();
    if (isSlow && !comesLate) await pause();
    if (isCut || happens('loseAnswer')) throw away('the answer got lost');
    return result;
  };

  const link = async (userId: string, listener: StreamListener): Promise<Unsubscribe> => {
    const carrier = new FaultyLink(listener, {
      happens,
      delayMs: () => random() * maxDelayMs,
      isCut: () => {
        if (isCut) happened.cut++;
        return isCut;
      },
    });
    links.add(carrier);
    let leave: Unsubscribe | null = null;
    const end = (): void => {
      carrier.end();
      links.delete(carrier);
      leave?.();
    };
    try {
      await call(async () => {
        leave = await broker.subscribe(userId, carrier);
      });
      return end;
    } catch (cause) {
      end();
      throw cause;
    }
  };

  set(faults);
  const { counters } = broker;
  return {
    ...(counters && { counters: { counts: (userId: string) => call(() => counters.counts(userId)) } }),
    happened,
    set,
    cut() {
      if (isCut) return;
      isCut = true;
      for (const carrier of links) carrier.lose();
      tellStatus('lost');
    },
    mend() {
      if (!isCut) return;
      isCut = false;
      tellStatus(broker.status);
    },
    calm() {
      active = NO_FAULTS;
      this.mend();
    },
    save() {
      if (!broker.snapshot) throw new TypeError('this broker cannot be rolled back: it has no snapshot()');
      restore = broker.snapshot();
    },
    rollBack() {
      if (!restore) throw new TypeError('there is nothing to roll back to: call save() first');
      restore();
    },
    get status() {
      return isCut ? 'lost' : broker.status;
    },
    onStatus(listener) {
      statusListeners.add(listener);
      return () => statusListeners.delete(listener);
    },
    publish: (message) => call(() => broker.publish(message)),
    subscribe: link,
    read: (userId, after, limit) => call(() => broker.read(userId, after, limit)),
    tops: (userIds) => call(() => broker.tops(userIds)),
    whisper: (userIds, payload) => call(() => broker.whisper(userIds, payload)),
    online: (userIds) => call(() => broker.online(userIds)),
    mark: (userId, target) => call(() => broker.mark(userId, target)),
    forget: (userId) => call(() => broker.forget(userId)),
    async close() {
      isCut = false;
      for (const carrier of links) carrier.end();
      links.clear();
      stopFollowing();
      await broker.close();
    },
  };
}
