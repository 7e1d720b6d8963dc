// Assembles the parts behind one object, the one that the host holds, and turns what happens inside into its events.

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type Authenticate, createAuthenticator, renewalOf } from './auth/authenticate.ts';
import type { Broker } from './broker/broker.ts';
import { memoryBroker } from './broker/memory-broker.ts';
import { watchOutages } from './broker/outage-watch.ts';
import { type ErrorStage, UsercastError } from './errors.ts';
import { type AttachOptions, Door, type RefusedInfo } from './http/door.ts';
import { Listeners } from './listeners.ts';
import { EVENT_NAMES, type UsercastEvents, type UsercastHealth, type UsercastStats } from './observation.ts';
import { type ResolvedOptions, resolveOptions, type UsercastOptions } from './options.ts';
import type { EventOf, HostTypes, NotificationObject, NotificationType } from './protocol/host-types.ts';
import {
  type NotifyOptions,
  type PublishEventOptions,
  type Published,
  Publisher,
  type PublishInfo,
  type UserIds,
  uniqueUserIds,
} from './publisher.ts';
import { noSessions, type SessionEvents } from './session/context.ts';
import { type DrainOptions, drainMs, Hub } from './session/hub.ts';
import { Turns } from './session/send-queue.ts';
import { Wheel } from './timers.ts';
import { WebSocketAcceptor } from './transports/websocket.ts';
import { type DisconnectOptions, orRefuse, UserRecords } from './user-records.ts';

export type { DrainOptions } from './session/hub.ts';

type Listener<K extends keyof UsercastEvents> = (event: UsercastEvents[K]) => void;

/**
 * Makes a usercast: attach it to your `http.Server`, then publish.
 * @throws TypeError when an option is wrong; it names the option and the value.
 */
export function createUsercast<H extends HostTypes = HostTypes>(options: UsercastOptions<H> = {}): Usercast<H> {
  return new Usercast<H>(resolveOptions(options as UsercastOptions));
}

/** What `createUsercast` returns. `H` adds the host's own event and notification types. */
export class Usercast<H extends HostTypes = HostTypes> {
  readonly #options: ResolvedOptions;
  readonly #broker: Broker;
  readonly #listeners = new Listeners<UsercastEvents>(EVENT_NAMES, (name, cause) => this.#listenerFailed(name, cause));
  readonly #publisher: Publisher;
  readonly #records: UserRecords;
  readonly #hub: Hub;
  readonly #door: Door;
  /** What `close` takes back: attachments, and the watch over the broker. */
  readonly #enders = new Set<() => void>();
  readonly #sessionStats = noSessions();
  readonly #stats = { published: 0, recipients: 0, duplicates: 0, acks: 0, refused: 0, errors: 0 };
  #draining: Promise<void> | null = null;
  #ending: Promise<void> | null = null;
  #closed = false;

  /** @internal */
  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#broker = options.broker ?? memoryBroker();
    const onError = (stage: ErrorStage, cause: unknown): void => this.#fail(stage, cause);
    this.#publisher = new Publisher({
      options,
      broker: this.#broker,
      counters: options.counters,
      onError,
      onPublish: (info) => this.#published(info),
      onAck: (userId, boxId) => this.#acked(userId, boxId),
    });
    const { counters, limits, verifier, authorize } = options;
    const { deadlineMs } = limits;
    const authenticate = verifier && createAuthenticator({ verifier, authorize, deadlineMs, onError });
    this.#enders.add(watchOutages(this.#broker, deadlineMs, (cause) => onError('connection', cause)));
    const settled = (userId: string): Promise<void> => this.#publisher.settled(userId);
    this.#records = new UserRecords({ broker: this.#broker, counters, settled, deadlineMs, onError });
    this.#hub = new Hub(this.#broker, {
      heartbeat: options.heartbeat,
      subscriptions: options.subscriptions,
      limits,
      wheel: new Wheel(),
      turns: new Turns(),
      stats: this.#sessionStats,
      emit: <K extends keyof SessionEvents>(name: K, event: SessionEvents[K]) =>
        this.#listeners.emit(name, event as UsercastEvents[K]),
      onError,
      ack: (userId, boxId) => this.#publisher.ack(userId, boxId),
      forgetTokens: (userId) => this.#forgetTokens(userId),
      countsOf: (userId, slice) => this.#records.countsOf(userId, slice),
      authenticate: (session, accessToken) => authenticate!(accessToken, renewalOf(session)),
    });
    this.#door = this.#createDoor(authenticate, onError);
  }

  /**
   * Serves the WebSocket endpoint on this server, and with `{ http: true }` the HTTP endpoints too. Returns what takes
   * it off again; open sessions stay.
   * @throws UsercastError `invalid_server` for anything but an `http.Server`, `https.Server` or a server that is attached
   * already; `verifier_missing`; `closed`.
   */
  attach(server: Server, options?: AttachOptions): () => void {
    this.#assertOpen();
    const detach = this.#door.attach(server, options);
    this.#enders.add(detach);
    return () => {
      this.#enders.delete(detach);
      detach();
    };
  }

  /**
   * Answers a request to one of the HTTP endpoints. False when it is not ours: then nothing was touched.
   * @throws UsercastError `verifier_missing` when the request is ours.
   */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    return this.#door.handleRequest(request, response);
  }

  /**
   * Sends a box event to each recipient and adds 1 to their unread count on its box, but for the sender and for muted
   * users. Resolves when it is stored and counted for all. Safe to call again with the same event id. A function
   * instead of an event gives each recipient its own view, under the same id.
   * @throws UsercastError `invalid_message`, `too_large`, `publish_failed` (with `failedUserIds`), `closed`
   */
  async publishEvent<E extends EventOf<H>>(
    userIds: UserIds,
    event: E | ((userId: string) => E),
    options?: PublishEventOptions,
  ): Promise<Published> {
    this.#assertOpen();
    return this.#publisher.publishEvent(userIds, event, options);
  }

  /**
   * Sends `{type, object}` to each recipient.
   * @throws UsercastError `reserved_type`, `invalid_message`, `too_large`, `publish_failed` (with `failedUserIds`), `closed`
   */
  async notify<T extends NotificationType<H>>(
    userIds: UserIds,
    type: T,
    object: NotificationObject<H, T>,
    options?: NotifyOptions,
  ): Promise<Published> {
    this.#assertOpen();
    return this.#publisher.notify(userIds, type, object, options);
  }

  /**
   * The user's boxes with unread events: counted events since the last ack of the box.
   * @throws UsercastError `invalid_message`, `deadline`, `broker_unavailable`, `closed`
   */
  async counts(userId: string): Promise<Record<string, number>> {
    this.#assertOpen();
    return this.#records.counts(userId);
  }

  /**
   * Sets the user's count on a box to 0 and tells all of the user's sessions.
   * @throws UsercastError `invalid_message`, `publish_failed`, `deadline`, `closed`
   */
  async ack(userId: string, boxId: string): Promise<void> {
    this.#assertOpen();
    await this.#publisher.ack(userId, boxId);
  }

  /**
   * Those of the users who have a session anywhere in the cluster; may lag by seconds.
   * @throws UsercastError `invalid_message`, `deadline`, `broker_unavailable`, `closed`
   */
  async online(userIds: UserIds): Promise<Set<string>> {
    this.#assertOpen();
    return this.#records.online(uniqueUserIds(userIds));
  }

  /**
   * The newest position of the user's stream. For state that the host renders: take the cursor first, then the state.
   * @throws UsercastError `invalid_message`, `deadline`, `broker_unavailable`, `closed`
   */
  async cursor(userId: string): Promise<string> {
    this.#assertOpen();
    return this.#records.cursor(userId);
  }

  /**
   * Erases the user's stream and counts.
   * @throws UsercastError `invalid_message`, `deadline`, `broker_unavailable`, `closed`
   */
  async forget(userId: string): Promise<void> {
    this.#assertOpen();
    await this.#records.forget(userId);
  }

  /**
   * Ends the user's sessions in the whole cluster with 4403, and drops what is remembered of the user's tokens.
   * @throws UsercastError `invalid_message`, `deadline`, `broker_unavailable`, `closed`
   */
  async disconnect(userId: string, options: DisconnectOptions = {}): Promise<void> {
    this.#assertOpen();
    this.#forgetTokens(userId);
    await this.#records.disconnect(userId, options);
  }

  /** Adds a listener. What it throws, or rejects with, becomes an `error` event. */
  on<K extends keyof UsercastEvents>(name: K, listener: Listener<K>): this {
    this.#listeners.add(name, listener);
    return this;
  }

  /** Removes a listener. */
  off<K extends keyof UsercastEvents>(name: K, listener: Listener<K>): this {
    this.#listeners.remove(name, listener);
    return this;
  }

  /** Plain counters and gauges of this process. */
  stats(): UsercastStats {
    return { ...this.#sessionStats, users: this.#hub.users, ...this.#stats };
  }

  /** For a health endpoint. */
  health(): UsercastHealth {
    const broker = this.#broker.status;
    const draining = this.#hub.closing !== null;
    return { ok: broker === 'ready' && !draining, broker, draining };
  }

  /**
   * Ordered end: refuses new clients, asks open ones to reconnect elsewhere (1012, spread out), waits for publishing
   * that is under way, then closes. The first call sets the time; others wait with it, and `close` cuts it short.
   */
  async drain(options: DrainOptions = {}): Promise<void> {
    const withinMs = drainMs(options);
    this.#draining ??= this.#hub
      .drain(withinMs)
      .then(() => this.#publisher.idle())
      .then(() => this.close());
    await this.#draining;
  }

  /**
   * Ends at once: all sessions (1001), all attachments, the broker where it is usercast's own. A broker, store or server
   * that the host made stays the host's.
   */
  close(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  /** `drain()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  async #end(): Promise<void> {
    this.#closed = true;
    await this.#hub.close();
    for (const end of this.#enders) end();
    this.#enders.clear();
    if (!this.#options.broker) await this.#broker.close();
  }

  #createDoor(authenticate: Authenticate | null, onError: (stage: ErrorStage, cause: unknown) => void): Door {
    const acceptor = new WebSocketAcceptor(this.#options.limits);
    return new Door({
      options: this.#options,
      authenticate,
      open: (opening) => this.#hub.open(opening),
      poll: (opening) => this.#hub.poll(opening),
      accept: (request, socket, head, owner, protocol) => acceptor.accept(request, socket, head, owner, protocol),
      counts: (userId) => orRefuse(this.#records.countsAndCursor(userId)),
      ack: (userId, boxId) => orRefuse(this.#publisher.ack(userId, boxId)),
      draining: () => this.#hub.closing !== null,
      refused: (info) => this.#refused(info),
      failed: onError,
    });
  }

  #assertOpen(): void {
    if (this.#closed) throw new UsercastError('closed', 'usercast was closed');
  }

  #forgetTokens(userId: string): void {
    try {
      this.#options.verifier?.forget?.(userId);
    } catch (cause) {
      this.#fail('verify', cause);
    }
  }

  #published(info: PublishInfo): void {
    this.#stats.published++;
    this.#stats.recipients += info.recipients;
    this.#stats.duplicates += info.duplicates;
    this.#listeners.emit('publish', info);
  }

  #acked(userId: string, boxId: string): void {
    this.#stats.acks++;
    this.#listeners.emit('ack', { userId, boxId });
  }

  #refused(info: RefusedInfo): void {
    this.#stats.refused++;
    this.#listeners.emit('refuse', info);
  }

  #fail(stage: ErrorStage, cause: unknown): void {
    this.#stats.errors++;
    this.#listeners.emit('error', { stage, cause });
  }

  /** A failing listener of `error` is only counted: telling it again would never end. */
  #listenerFailed(name: keyof UsercastEvents, cause: unknown): void {
    if (name === 'error') this.#stats.errors++;
    else this.#fail('listener', cause);
  }
}
