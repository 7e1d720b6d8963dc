// What the host says: validates it, decides for whom it counts, encodes it once, and gives it to the broker. Nothing is
// delivered, counted or stored before everything has been checked.

import type { Broker, BrokerMessage, Delivery, PublishResult } from './broker/broker.ts';
import type { Counted, CounterStore } from './counter/counter-store.ts';
import { type ErrorStage, UsercastError } from './errors.ts';
import { checkKeys, shown, wrongOption } from './option-checks.ts';
import type { ResolvedOptions } from './options.ts';
import { ackPayload, encodeMessage } from './protocol/codec.ts';
import { type Position, TAG_LENGTH } from './protocol/cursor.ts';
import { EVENT_NEW } from './protocol/event-types.ts';
import { type BoxEventBase, checkEvent } from './protocol/events.ts';
import { checkId, checkNotification, checkUserId } from './protocol/messages.ts';
import { randomName } from './random.ts';
import { withDeadline } from './timers.ts';
import { UnderWay } from './under-way.ts';

/** Recipients of a message: one user id or several; the same id twice counts once. */
export type UserIds = string | Iterable<string>;

/** What `publishEvent` takes beside the event. */
export interface PublishEventOptions {
  /** Users that get the event without it counting as unread for them. */
  readonly muted?: UserIds;
}

/** What `notify` takes beside the message. */
export interface NotifyOptions {
  /** Makes calling again safe: within the deduplication window a key is delivered once per recipient. */
  readonly idempotencyKey?: string;
  /** To whoever is connected now; never stored, and no cursor moves. */
  readonly volatile?: boolean;
}

/** What became of a published message. */
export interface Published {
  /** The unique recipients. */
  readonly recipients: number;
  /** Those among them who had it already. */
  readonly duplicates: number;
}

/** A published message, as the `publish` event tells of it. */
export interface PublishInfo extends Published {
  /** The type of the event or notification. */
  readonly type: string;
  /** The event's id, or the notification's idempotency key. */
  readonly id: string | undefined;
}

export interface PublisherParts {
  readonly options: Pick<ResolvedOptions, 'limits' | 'countable' | 'events' | 'notifications'>;
  readonly broker: Broker;
  /** null: the broker's own counts. */
  readonly counters: CounterStore | null;
  readonly onError: (stage: ErrorStage, cause: unknown) => void;
  readonly onPublish: (info: PublishInfo) => void;
  readonly onAck: (userId: string, boxId: string) => void;
}

/** One form of an event, and the recipients of it: those for whom it counts, and the others. */
interface View {
  readonly payload: string;
  readonly boxId: string;
  readonly counted: string[];
  readonly others: string[];
}

const NOBODY: ReadonlySet<string> = new Set();

export class Publisher {
  readonly #parts: PublisherParts;
  readonly #underWay = new UnderWay();

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  async publishEvent(userIds: UserIds, event: unknown, options: PublishEventOptions = {}): Promise<Published> {
    checkKeys('publishEvent options', options, ['muted']);
    const recipients = uniqueUserIds(userIds);
    const muted = options.muted === undefined ? NOBODY : new Set(uniqueUserIds(options.muted, 'options.muted'));
    if (recipients.length === 0) return { recipients: 0, duplicates: 0 };
    const { id, type, views } =
      typeof event === 'function'
        ? this.#eachView(recipients, event as (userId: string) => unknown, muted)
        : this.#oneView(recipients, event, muted);
    const deliveries: Delivery[] = [];
    for (const { payload, boxId, counted, others } of views) {
      if (counted.length > 0) deliveries.push({ payload, unread: { boxId }, userIds: counted });
      if (others.length > 0) deliveries.push({ payload, userIds: others });
    }
    const message = { id: `event:${id}`, tag: randomName(TAG_LENGTH), deliveries };
    return this.#underWay.track(recipients, this.#publish(type, id, message, recipients));
  }

  async notify(userIds: UserIds, type: unknown, object: unknown, options: NotifyOptions = {}): Promise<Published> {
    checkKeys('notify options', options, ['idempotencyKey', 'volatile']);
    const recipients = uniqueUserIds(userIds);
    checkNotification(type, object, this.#parts.options.notifications);
    const { idempotencyKey, volatile = false } = options;
    if (idempotencyKey !== undefined) checkId(idempotencyKey, 'options.idempotencyKey');
    if (typeof volatile !== 'boolean') wrongOption('options.volatile', 'true or false', volatile);
    if (volatile && idempotencyKey !== undefined) {
      throw new UsercastError(
        'invalid_message',
        'options.idempotencyKey: nothing is remembered of a volatile message; leave out one of the two',
      );
    }
    if (recipients.length === 0) return { recipients: 0, duplicates: 0 };
    const payload = this.#encode(type as string, object as object);
    if (volatile) return this.#underWay.track([], this.#whisper(type as string, recipients, payload));
    const message = {
      ...(idempotencyKey === undefined ? {} : { id: `notify:${idempotencyKey}` }),
      tag: randomName(TAG_LENGTH),
      deliveries: [{ payload, userIds: recipients }],
    };
    return this.#underWay.track([], this.#publish(type as string, idempotencyKey, message, recipients));
  }

  async ack(userId: string, boxId: string): Promise<void> {
    checkUserId(userId);
    checkId(boxId, 'box id');
    return this.#underWay.track([userId], this.#ack(userId, boxId));
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    return this.#underWay.idle();
  }

  /** Resolves when what is being published or acked for the user now is counted, or has failed. */
  settled(userId: string): Promise<void> {
    return this.#underWay.settled(userId);
  }

  #oneView(recipients: readonly string[], event: unknown, muted: ReadonlySet<string>) {
    checkEvent(event, this.#parts.options.events);
    const view = this.#view(event);
    for (const userId of recipients) this.#sort(view, event, userId, muted);
    return { id: event.id, type: event.type, views: [view] };
  }

  #eachView(recipients: readonly string[], eventOf: (userId: string) => unknown, muted: ReadonlySet<string>) {
    const byEvent = new Map<unknown, View>();
    let first: BoxEventBase | null = null;
    for (const userId of recipients) {
      const event = eventOf(userId);
      ignoreRejection(event);
      checkEvent(event, this.#parts.options.events);
      first ??= event;
      if (event.id !== first.id || event.type !== first.type) {
        throw new UsercastError('invalid_message', 'event: all views of one event must have the same id and type');
      }
      const view = byEvent.get(event) ?? this.#view(event);
      byEvent.set(event, view);
      this.#sort(view, event, userId, muted);
    }
    return { id: first!.id, type: first!.type, views: [...byEvent.values()] };
  }

  #view(event: BoxEventBase): View {
    return { payload: this.#encode(EVENT_NEW, event), boxId: event.box_id, counted: [], others: [] };
  }

  #sort(view: View, event: BoxEventBase, userId: string, muted: ReadonlySet<string>): void {
    const counts: unknown =
      userId !== event.sender.id && !muted.has(userId) && this.#parts.options.countable(event, userId);
    if (typeof counts !== 'boolean') {
      ignoreRejection(counts);
      throw new TypeError(`countable must answer true or false, at once, got ${shown(counts)}`);
    }
    (counts ? view.counted : view.others).push(userId);
  }

  #encode(type: string, object: object): string {
    const payload = encodeMessage(type, object);
    const { maxPublishBytes } = this.#parts.options.limits;
    const bytes = payload.length * 3 <= maxPublishBytes ? 0 : Buffer.byteLength(payload);
    if (bytes > maxPublishBytes) {
      throw new UsercastError(
        'too_large',
        `the encoded message has ${bytes} bytes; limits.maxPublishBytes is ${maxPublishBytes}`,
      );
    }
    return payload;
  }

  async #publish(
    type: string,
    id: string | undefined,
    message: BrokerMessage,
    recipients: readonly string[],
  ): Promise<Published> {
    const { appended, duplicates } = await this.#send(message, recipients);
    const refused = appended.find((position) => position instanceof Error);
    if (refused) this.#parts.onError('publish', refused);
    const uncounted = await this.#countUnread(message, appended);
    if (refused || uncounted) {
      const failed = failedOf(message, appended, uncounted !== null);
      const inOrder = recipients.filter((userId) => failed.has(userId));
      throw publishFailed(inOrder, recipients.length, refused ?? uncounted?.cause);
    }
    const published = { recipients: recipients.length, duplicates };
    this.#parts.onPublish({ type, id, ...published });
    return published;
  }

  async #whisper(type: string, recipients: readonly string[], payload: string): Promise<Published> {
    await this.#ask((broker) => broker.whisper(recipients, payload), recipients);
    const published = { recipients: recipients.length, duplicates: 0 };
    this.#parts.onPublish({ type, id: undefined, ...published });
    return published;
  }

  async #ack(userId: string, boxId: string): Promise<void> {
    const deliveries = [{ payload: ackPayload(userId, boxId), ack: { boxId }, userIds: [userId] }];
    const { appended } = await this.#send({ tag: randomName(TAG_LENGTH), deliveries }, [userId]);
    const position = appended[0]!;
    if (position instanceof Error) {
      this.#parts.onError('publish', position);
      throw publishFailed([userId], 1, position);
    }
    const uncounted = await this.#count((counters) => counters.reset(userId, boxId, position));
    if (uncounted) throw publishFailed([userId], 1, uncounted.cause);
    this.#parts.onAck(userId, boxId);
  }

  #send(message: BrokerMessage, recipients: readonly string[]): Promise<PublishResult> {
    return this.#ask((broker) => broker.publish(message), recipients);
  }

  async #ask<T>(call: (broker: Broker) => Promise<T>, recipients: readonly string[]): Promise<T> {
    const { broker, options, onError } = this.#parts;
    try {
      return await withDeadline(call(broker), options.limits.deadlineMs, 'the broker, asked to publish,');
    } catch (cause) {
      onError('publish', cause);
      throw publishFailed(recipients, recipients.length, cause);
    }
  }

  /** With a store of another kind, counts after the append, at its position: doing it again finishes what was left. */
  async #countUnread(message: BrokerMessage, appended: readonly (Position | Error)[]): Promise<Failure | null> {
    const { id, deliveries } = message;
    if (!this.#parts.counters || id === undefined) return null;
    const counted: Counted[] = [];
    let at = 0;
    for (const { unread, userIds } of deliveries) {
      for (const userId of userIds) {
        const position = appended[at++]!;
        if (unread && !(position instanceof Error)) counted.push({ userId, boxId: unread.boxId, id, position });
      }
    }
    return counted.length === 0 ? null : this.#count((counters) => counters.increment(counted));
  }

  async #count(call: (counters: CounterStore) => Promise<void>): Promise<Failure | null> {
    const { counters, options, onError } = this.#parts;
    try {
      if (counters) await withDeadline(call(counters), options.limits.deadlineMs, 'the counter store');
      return null;
    } catch (cause) {
      onError('count', cause);
      return { cause };
    }
  }
}

interface Failure {
  readonly cause: unknown;
}

/** Those whom the message did not reach, and where counting failed, those for whom it should have counted. */
function failedOf(message: BrokerMessage, appended: PublishResult['appended'], isUncounted: boolean): Set<string> {
  const failed = new Set<string>();
  let at = 0;
  for (const { unread, userIds } of message.deliveries) {
    for (const userId of userIds) {
      if (appended[at++] instanceof Error || (isUncounted && unread)) failed.add(userId);
    }
  }
  return failed;
}

function publishFailed(failedUserIds: readonly string[], recipients: number, cause: unknown): UsercastError {
  return new UsercastError(
    'publish_failed',
    `not known to be stored for ${failedUserIds.length} of ${recipients} recipients; calling again with the same id is safe`,
    { cause, failedUserIds },
  );
}

/** What should have answered at once was made a promise: it is refused, and must not end the process too. */
function ignoreRejection(value: unknown): void {
  if (value instanceof Promise) value.catch(() => {});
}

/** The users, each once. @throws UsercastError `invalid_message` */
export function uniqueUserIds(userIds: UserIds, name = 'user ids'): string[] {
  const given = typeof userIds === 'string' ? [userIds] : userIds;
  if (typeof (given as Partial<Iterable<string>>)?.[Symbol.iterator] !== 'function') {
    throw new UsercastError('invalid_message', `${name}: must be a string or an iterable of strings`);
  }
  const unique = new Set(given);
  for (const userId of unique) checkUserId(userId, name);
  return [...unique];
}
