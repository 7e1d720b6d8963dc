// The negative controls of the fault tests: each switches off one defence in a server process, and the test that relies on
// it has to fail.

import type { Broker, BrokerStatus, StreamListener } from '../../../src/index.ts';
import type { SourceEdit } from '../child.ts';

const CONTIGUITY = 'src/broker/contiguity.ts';
const SESSION = 'src/session/session.ts';

/** Defences that are part of the source. */
const EDITS = {
  /** Whatever arrives is taken for the next entry. */
  'ignore-tags': [{ file: CONTIGUITY, from: 'publication.previousTag === position.tag &&', to: '' }],
  /** A stream that begins anew is taken for the old one. */
  'ignore-epochs': [
    { file: CONTIGUITY, from: ' &&\n    publication.epoch === position.epoch', to: '' },
    { file: CONTIGUITY, from: "if (position.epoch !== top.epoch) return 'epoch';", to: '' },
  ],
  /** History is taken to be complete. */
  'trust-history': [
    { file: CONTIGUITY, from: 'let at = position;', to: 'if (entries.length > 0) return null;\n  let at = position;' },
  ],
  /** No position has to be proven. */
  'no-proof': [
    {
      file: CONTIGUITY,
      from: 'const { top, entries } = slice;',
      to: 'return null;\n  const { top, entries } = slice;',
    },
  ],
  /** A session that resumes starts at the top. */
  'no-replay': [
    { file: SESSION, from: 'position: resumed ? from : slice.top', to: 'position: slice.top' },
    { file: SESSION, from: 'const entries = resumed ? slice.entries : [];', to: 'const entries: Publication[] = [];' },
  ],
  /** Redis is not asked whether it has lost writes. */
  'no-generations': [
    {
      file: 'adapters/redis/scripts.ts',
      from: 'if isHere and written >= known then',
      to: 'if isHere then',
    },
  ],
  /** Probes of Redis are sent, and nothing follows from them. */
  'no-redis-probes': [
    { file: 'adapters/redis/probe-turns.ts', from: 'const MISSES = 2;', to: 'const MISSES = Infinity;' },
  ],
  /** Whatever NATS came back with is taken for all that it had. */
  'no-nats-generations': [
    {
      file: 'adapters/nats/nats-store.ts',
      from: 'if (there && !isOlder && (await this.#isIntact(caller, info, there, isAnother ? 0 : highest))) return there;',
      to: 'if (there) return there;',
    },
    {
      file: 'adapters/nats/appender.ts',
      from: 'if (ack.seq <= highest) await this.#store.cameBackOlder(incarnation);',
      to: '',
    },
  ],
  /** The connection to NATS is probed, and nothing follows from it. */
  'no-nats-probes': [
    { file: 'adapters/nats/link.ts', from: 'const MISSES = 2;', to: 'const MISSES = Infinity;' },
    { file: 'adapters/nats/nats-connection.ts', from: 'pingInterval: probeMs,', to: '' },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;

/** Defences that a broker has, or that stand on it. */
const WRAPPERS = {
  /** No loss of the connection is told of. */
  'no-status': () => ({ status: 'ready' as BrokerStatus, onStatus: () => () => {} }),
  /** Positions are never compared with the broker's. */
  'no-position-checks': () => ({ reliable: true as const }),
  /** Nothing is recognized as published before. */
  'no-dedupe': (broker: Broker) => ({ publish: ({ id: _, ...message }) => broker.publish(message) }),
  /** Disconnects are heard when they are sent, and never read. */
  'no-stored-marks': (broker: Broker) => ({
    read: async (...args) => {
      const { markAgeMs: _, ...slice } = await broker.read(...args);
      return { ...slice, markNumber: 0, marks: [] };
    },
    tops: async (userIds) =>
      new Map([...(await broker.tops(userIds))].map(([userId, top]) => [userId, { ...top, markNumber: 0 }])),
  }),
  /** Disconnects are read, and never heard when they are sent. */
  'no-live-marks': (broker: Broker) => ({
    subscribe: (userId, listener) =>
      broker.subscribe(userId, {
        publication: (publication) => listener.publication(publication),
        whisper: (payload) => listener.whisper(payload),
        mark() {},
      }),
  }),
  /** Nothing arrives live. */
  deaf: (broker: Broker) => ({
    subscribe: (userId) =>
      broker.subscribe(userId, { publication() {}, whisper() {}, mark() {} } satisfies StreamListener),
  }),
} as const satisfies Readonly<Record<string, (broker: Broker) => Partial<Broker>>>;

export type Sabotage = keyof typeof EDITS | keyof typeof WRAPPERS;

/** What has to be changed in the source of a process. */
export function editsOf(sabotage: readonly Sabotage[]): SourceEdit[] {
  return sabotage.flatMap((name) => (name in EDITS ? [...EDITS[name as keyof typeof EDITS]] : []));
}

/** The broker without its defences. */
export function sabotaged(broker: Broker, sabotage: readonly Sabotage[]): Broker {
  return sabotage.reduce((target, name) => {
    const changes: Partial<Broker> = name in WRAPPERS ? WRAPPERS[name as keyof typeof WRAPPERS](target) : {};
    return new Proxy(target, {
      get(_, key) {
        if (key in changes) return Reflect.get(changes, key);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }, broker);
}
