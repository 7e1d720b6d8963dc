// One subject listened to, on whatever connection the link has at the time.

import type { NatsConnectionLike, NatsMessageLike, NatsSubscriptionLike } from './nats-connection.ts';

export class LinkSubscription {
  readonly #subject: string;
  readonly #listener: (message: NatsMessageLike) => void;
  #connection: NatsConnectionLike | null = null;
  #subscription: NatsSubscriptionLike | null = null;

  constructor(subject: string, listener: (message: NatsMessageLike) => void) {
    this.#subject = subject;
    this.#listener = listener;
  }

  begin(connection: NatsConnectionLike): void {
    this.#connection = connection;
    this.#subscription = connection.subscribe(this.#subject, {
      callback: (error, message) => {
        if (!error) this.#listener(message);
      },
    });
  }

  end(): void {
    if (!this.#connection?.isClosed()) this.#subscription?.unsubscribe();
  }
}
