// A broker for each test of the broker suite, users that no other test has, and what tests say to brokers and hold against
// their answers.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Broker, BrokerMessage, Delivery, Position, StreamSlice, Unsubscribe } from '../index.ts';
import { Recorder } from './recorder.ts';
import type { TestRunner } from './runner.ts';

/** What a broker can, beyond what all must. */
export interface BrokerCapabilities<B extends Broker = Broker> {
  /** It keeps counts, and moves them in the step that appends. Default false. */
  readonly counters?: boolean;
  /** Its offsets grow by one. Default false. */
  readonly dense?: boolean;
  /** Live messages that two processes publish at one moment may arrive out of turn. Default false. */
  readonly overtaking?: boolean;
  /** It keeps exactly so many messages of each user: what is older can be proven to be gone. */
  readonly historyMessages?: number;
  /** Opens again what a closed broker had stored; for brokers that outlive their process. */
  reopen?(closed: B): Broker | Promise<Broker>;
  /** A second broker on the same streams, as another process would have it. */
  peer?(broker: B): Broker | Promise<Broker>;
  /** Lets time pass for the broker, real or not; `deduplicationMs` is how long it remembers an id. */
  readonly clock?: { readonly deduplicationMs: number; readonly advance: (ms: number) => void | Promise<void> };
}

/** Whose broker is tested, and how to make one. */
export interface BrokerSuiteOptions<B extends Broker = Broker> {
  /** The name of the group of tests. */
  readonly name: string;
  /** Makes a broker for one test; several may stand on one server, for every test has users of its own. */
  create(): B | Promise<B>;
  /** Takes away what is left of a broker that was closed. */
  cleanUp?(closed: B): void | Promise<void>;
  /** Default: none. */
  readonly capabilities?: BrokerCapabilities<B>;
}

/** Ids that are no identifiers, patterns or keys anywhere. */
export const AWKWARD_IDS: readonly string[] = [
  '__proto__',
  'constructor',
  'a b',
  'a:b',
  'a.b.*.>',
  '.',
  '{a}',
  '{}',
  '*',
  '>',
  'ünï 💬',
  '\u0000',
  '\r\n',
  '%2f../',
  'x'.repeat(256),
];

let tags = 0;
/** A tag that no other message of the run has. */
export function newTag(): string {
  return (++tags).toString(36).padStart(8, 'T');
}

/** One message with one payload. */
export function messageTo(
  userIds: readonly string[],
  payload: string,
  { id, unread, ack }: Partial<BrokerMessage & Delivery> = {},
): BrokerMessage {
  const delivery: Delivery = { payload, userIds, ...(unread && { unread }), ...(ack && { ack }) };
  return { tag: newTag(), deliveries: [delivery], ...(id === undefined ? {} : { id }) };
}

/** The position alone, of anything that stands at one. */
export function place({ epoch, offset, tag }: Position): Position {
  return { epoch, offset, tag };
}

/** Asserts that all recipients got the message. */
export function assertAppended(appended: readonly (Position | Error)[]): Position[] {
  return appended.map((outcome) => {
    if (outcome instanceof Error) throw outcome;
    return place(outcome);
  });
}

/** Whether the slice proves that its entries are all that came after the position, up to the limit it was read with. */
export function isProven(position: Position, { top, entries }: StreamSlice): boolean {
  if (position.epoch !== top.epoch) return false;
  if (entries.length === 0) return position.offset === top.offset && position.tag === top.tag;
  let last = position;
  return entries.every((entry) => {
    const follows = entry.epoch === last.epoch && entry.previousTag === last.tag && entry.offset > last.offset;
    last = entry;
    return follows;
  });
}

/** One test's broker and users. */
export class BrokerBench {
  readonly broker: Broker;
  readonly ann: string;
  readonly bob: string;
  readonly carol: string;
  readonly run = randomUUID();

  constructor(broker: Broker) {
    this.broker = broker;
    [this.ann, this.bob, this.carol] = [`ann ${this.run}`, `bob ${this.run}`, `carol ${this.run}`];
  }

  /** Publishes one after the other. */
  async say(userId: string, ...payloads: readonly string[]): Promise<void> {
    for (const payload of payloads) {
      assertAppended((await this.broker.publish(messageTo([userId], payload))).appended);
    }
  }

  async top(userId: string): Promise<Position> {
    return place((await this.broker.read(userId, null, 0)).top);
  }

  async listen(userId: string): Promise<{ readonly recorder: Recorder; readonly stop: Unsubscribe }> {
    const recorder = new Recorder();
    return { recorder, stop: await this.broker.subscribe(userId, recorder) };
  }

  /** What came after the position; fails when that is not proven to be all. */
  async payloadsAfter(userId: string, after: Position): Promise<string[]> {
    const slice = await this.broker.read(userId, after, 100);
    assert.ok(isProven(after, slice), 'the entries do not follow the position');
    return slice.entries.map(({ payload }) => payload);
  }
}

/** Declares a test of a broker, named by the guarantee. */
export type BrokerTest = (guarantee: string, test: (bench: BrokerBench) => Promise<void>) => void;

/** Makes and ends a broker for each test. */
export function brokerTests({ it }: TestRunner, options: BrokerSuiteOptions): BrokerTest {
  return (guarantee, test) => {
    it(guarantee, async () => {
      const broker = await options.create();
      try {
        await test(new BrokerBench(broker));
      } finally {
        await broker.close();
        await options.cleanUp?.(broker);
      }
    });
  };
}
