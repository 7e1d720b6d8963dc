// A broker for each test, users that no other test has, and what tests say to brokers.

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach } from 'vitest';
import type { Broker, BrokerMessage, Delivery, Unsubscribe } from '../../src/broker/broker.ts';
import type { Position } from '../../src/protocol/cursor.ts';
import { Recorder } from '../support/recorder.ts';

/** Ids that are no identifiers, patterns or keys anywhere. */
export const AWKWARD_IDS = [
  '__proto__',
  'constructor',
  'a b',
  'a:b',
  'a.b.*.>',
  '{a}',
  '*',
  'ünï 💬',
  '\u0000',
  '%2f../',
  'x'.repeat(256),
];

let tags = 0;
/** A tag that no other message of the run has. */
export function newTag(): string {
  return (++tags).toString(36).padStart(8, 'T');
}

/** One message with one payload. */
export function messageTo(userIds: readonly string[], payload: string, more: Partial<BrokerMessage & Delivery> = {}) {
  const { id, unread, ack } = more;
  const delivery: Delivery = { payload, userIds, ...(unread && { unread }), ...(ack && { ack }) };
  return { tag: newTag(), deliveries: [delivery], ...(id === undefined ? {} : { id }) } satisfies BrokerMessage;
}

export class BrokerBench {
  #broker: Broker | null = null;
  ann = '';
  bob = '';
  carol = '';

  /** To be made within a `describe`. */
  constructor(create: () => Broker) {
    beforeEach(() => {
      this.#broker = create();
      const run = randomUUID();
      [this.ann, this.bob, this.carol] = [`ann ${run}`, `bob ${run}`, `carol ${run}`];
    });
    afterEach(() => this.broker.close());
  }

  get broker(): Broker {
    return this.#broker!;
  }

  /** Publishes one after the other. */
  async say(userId: string, ...payloads: string[]): Promise<void> {
    for (const payload of payloads) await this.broker.publish(messageTo([userId], payload));
  }

  async top(userId: string): Promise<Position> {
    return (await this.broker.read(userId, null, 0)).top;
  }

  async listen(userId: string): Promise<{ readonly recorder: Recorder; readonly stop: Unsubscribe }> {
    const recorder = new Recorder();
    return { recorder, stop: await this.broker.subscribe(userId, recorder) };
  }

  async payloadsAfter(userId: string, after: Position): Promise<string[]> {
    return (await this.broker.read(userId, after, 100)).entries.map(({ payload }) => payload);
  }
}
