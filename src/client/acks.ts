// The acks that wait to be sent: over the open connection where it takes messages, else by a request of their own.

import { ACK } from '../protocol/event-types.ts';
import { Backoff } from './backoff.ts';
import { actionAfter } from './close-codes.ts';
import type { Connector } from './connector.ts';
import { UsercastClientError } from './errors.ts';
import type { Timer } from './platform.ts';

interface WaitingAck {
  readonly boxId: string;
  readonly resolve: () => void;
  readonly reject: (error: UsercastClientError) => void;
}

/** Sends acks in the order in which they were given. */
export class AckQueue {
  readonly #userId: string;
  readonly #connector: Connector;
  readonly #backoff = new Backoff();
  #timer: Timer | undefined;
  readonly #waiting: WaitingAck[] = [];
  #isSending = false;

  constructor(userId: string, connector: Connector) {
    this.#userId = userId;
    this.#connector = connector;
  }

  /** Resolves when the ack is sent. */
  add(boxId: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ boxId, resolve, reject });
      void this.flush();
    });
  }

  /** Sends what waits, as far as the connection goes. */
  async flush(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#waiting[0] && this.#connector.state === 'live') {
      const ack = this.#waiting[0];
      const object = JSON.stringify({ sender_id: this.#userId, box_id: ack.boxId });
      const sent = this.#connector.send(`{"type":"${ACK}","object":${object}}`);
      if (sent === false) break;
      const ending = sent ? null : await this.#connector.post(object);
      if (this.#waiting[0] !== ack) break;
      const isFinal = ending && actionAfter(ending.code) === 'stop';
      if (ending && !isFinal) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.flush(), (ending.pauseMs ?? 0) + this.#backoff.next());
        break;
      }
      this.#backoff.reset();
      this.#waiting.shift();
      if (isFinal) ack.reject(new UsercastClientError('ack_refused', ending.reason, { closeCode: ending.code }));
      else ack.resolve();
    }
    this.#isSending = false;
  }

  /** Gives up on all that wait. */
  close(): void {
    clearTimeout(this.#timer);
    for (const { reject } of this.#waiting.splice(0)) reject(new UsercastClientError('closed', 'the client is closed'));
  }
}
