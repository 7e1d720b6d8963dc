// The client as the application sees it: handlers, counts, acks and state, over whatever connection there is.

/// <reference lib="esnext.disposable" preserve="true" />

import type { EVENT_NEW } from '../protocol/event-types.ts';
import type { EventOf, HostTypes, NotificationObject, NotificationType } from '../protocol/host-types.ts';
import type { AckObject, ErrorObject } from '../protocol/messages.ts';
import { AckQueue } from './acks.ts';
import { type ClientState, Connector, type StateDetail } from './connector.ts';
import type { UnreadCounts } from './counts.ts';
import { UsercastClientError } from './errors.ts';
import { Inbox, type MessageMeta, type Reset } from './inbox.ts';
import { Listeners, type Report, type Unsubscribe } from './listeners.ts';
import { type ConnectOptions, isText, resolveConnectOptions } from './options.ts';
import type { TransportName } from './transports/transport.ts';

/** The types of messages that a client receives: any string; those with a known object are named. */
export type ReceivedType<H extends HostTypes = HostTypes> = typeof EVENT_NEW | 'ack' | 'error' | NotificationType<H>;

/** The object of a message of this type. */
export type ReceivedObject<H extends HostTypes, T extends string> = T extends typeof EVENT_NEW
  ? EventOf<H>
  : T extends 'ack'
    ? AckObject
    : T extends 'error'
      ? ErrorObject
      : NotificationObject<H, T>;

type Handler = (object: never, meta: MessageMeta) => unknown;

/**
 * One user's messages, for as long as it is not closed. Handlers are registered once and stay over every connection. They
 * are called in the order of the stream, each message once, with the counts already up to date.
 */
export class Client<H extends HostTypes = HostTypes> implements AsyncDisposable {
  readonly #handlers = new Map<string, Listeners<Parameters<Handler>>>();
  readonly #anyHandlers = new Listeners<[type: string, object: object, meta: MessageMeta]>();
  readonly #countListeners = new Listeners<[UnreadCounts]>();
  readonly #resetListeners = new Listeners<[Reset]>();
  readonly #stateListeners = new Listeners<[ClientState, StateDetail]>();
  readonly #errorListeners = new Listeners<[UsercastClientError]>();
  readonly #inbox: Inbox;
  readonly #connector: Connector;
  readonly #acks: AckQueue;

  /** @internal Made by `connect`. */
  constructor(options: ConnectOptions) {
    const resolved = resolveConnectOptions(options);
    const inbox = new Inbox(resolved.cursor, {
      counted: (counts) => this.#countListeners.call(this.#reporter('a listener of counts'), counts),
      reset: (reset) => this.#resetListeners.call(this.#reporter('a listener of resets'), reset),
      deliver: ({ type, object }, meta) => {
        const report = this.#reporter(`a handler of "${type}"`);
        this.#handlers.get(type)?.call(report, object as never, meta);
        this.#anyHandlers.call(report, type, object, meta);
      },
    });
    this.#inbox = inbox;
    this.#connector = new Connector(resolved, {
      get cursor() {
        return inbox.cursor;
      },
      receive: (message) => inbox.receive(message),
      lost: () => inbox.forget(),
      changed: (state, detail) => {
        if (state === 'closed') this.#acks.close();
        this.#stateListeners.call(this.#reporter('a listener of the state'), state, detail);
        if (state === 'live') void this.#acks.flush();
      },
      failed: (error) => this.#fail(error),
    });
    this.#acks = new AckQueue(resolved.userId, this.#connector);
  }

  /** Whether messages arrive now. */
  get state(): ClientState {
    return this.#connector.state;
  }

  /** The transport that is used or tried. */
  get transport(): TransportName {
    return this.#connector.transport;
  }

  /** The unread events by box, a new object after each change; a box without any is left out. */
  get counts(): UnreadCounts {
    return this.#inbox.counts;
  }

  /** Where the client stands in the stream; a later client that is given it misses nothing. Absent before the first session. */
  get cursor(): string | undefined {
    return this.#inbox.cursor;
  }

  /** Calls `handler` with each message of a type. */
  on<T extends ReceivedType<H>>(
    type: T,
    handler: (object: ReceivedObject<H, T>, meta: MessageMeta) => unknown,
  ): Unsubscribe {
    let listeners = this.#handlers.get(type);
    if (!listeners) {
      listeners = new Listeners();
      this.#handlers.set(type, listeners);
    }
    return listeners.add(handler as Handler);
  }

  /** Calls `handler` with every message, after those for its type. */
  onAny(handler: (type: string, object: object, meta: MessageMeta) => unknown): Unsubscribe {
    return this.#anyHandlers.add(handler);
  }

  /** Calls `listener` with the counts after each change. */
  onCounts(listener: (counts: UnreadCounts) => unknown): Unsubscribe {
    return this.#countListeners.add(listener);
  }

  /** Calls `listener` when messages were missed and cannot be had any more: load the application's state anew. */
  onReset(listener: (reset: Reset) => unknown): Unsubscribe {
    return this.#resetListeners.add(listener);
  }

  /** Calls `listener` after each change of the state. */
  onState(listener: (state: ClientState, detail: StateDetail) => unknown): Unsubscribe {
    return this.#stateListeners.add(listener);
  }

  /**
   * Calls `listener` with what nobody else is told: handlers that throw, a token that cannot be had or is refused again, three
   * attempts in a row that came to nothing, a final refusal. Default: the console.
   */
  onError(listener: (error: UsercastClientError) => unknown): Unsubscribe {
    return this.#errorListeners.add(listener);
  }

  /**
   * Sets the unread count of a box to 0. Resolves when that is sent; without a connection it waits for the next one. The
   * count changes when the server's echo arrives, here and on the user's other devices.
   * @throws UsercastClientError `closed`, also when the client is closed before it is sent; `ack_refused`, also when `boxId` is no
   * non-empty string of at most 256 characters, which is not sent.
   */
  async ack(boxId: string): Promise<void> {
    if (this.state === 'closed') throw new UsercastClientError('closed', 'the client is closed');
    if (!isText(boxId) || boxId.length > 256) {
      throw new UsercastClientError('ack_refused', 'boxId must be a non-empty string of at most 256 characters');
    }
    return this.#acks.add(boxId);
  }

  /** Ends the connection for good. No handler is called after it but that of the state. */
  close(): void {
    this.#connector.close();
  }

  /** `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #reporter(who: string): Report {
    return (cause) => this.#fail(new UsercastClientError('handler_failed', `${who} threw`, { cause }));
  }

  #fail(error: UsercastClientError): void {
    if (this.#errorListeners.isEmpty) console.error(error);
    else this.#errorListeners.call((cause) => console.error(cause), error);
  }
}

/**
 * Connects a user to their messages and stays connected until it is closed. It returns at once: what handlers are
 * registered in the same turn misses nothing.
 * @throws TypeError about a wrong option, and where the platform has no `WebSocket` or `fetch` and none was passed.
 */
export function connect<H extends HostTypes = HostTypes>(options: ConnectOptions): Client<H> {
  return new Client<H>(options);
}
