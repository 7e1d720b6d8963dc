// One subject listened to, on whatever connection the link has at the time.

import type { NatsConnectionLike, NatsMessageLike, NatsSubscriptionLike } from './nats-connection.ts';

export class LinkSubscription {
  readonly #subject: string;
  readonly #listener: (message: NatsMessageLike) => void;
  readonly #onDenied: (subject: string) => void;
  #connection: NatsConnectionLike | null = null;
  #subscription: NatsSubscriptionLike | null = null;

  /** `onDenied`: the server does not let us listen there. */
  constructor(subject: string, listener: (message: NatsMessageLike) => void, onDenied: (subject: string) => void) {
    this.#subject = subject;
    this.#listener = listener;
    this.#onDenied = onDenied;
  }

  begin(connection: NatsConnectionLike): void {
    this.#connection = connection;
    this.#subscription = connection.subscribe(this.#subject, {
      callback: (error, message) => {
        if (error) this.#onDenied(this.#subject);
        else this.#listener(message);
      },
    });
  }

  end(): void {
    if (!this.#connection?.isClosed()) this.#subscription?.unsubscribe();
  }
}
