// Requests over one connection: bounded in number and time, answered through one subscription, without a timer or a closure
// of the client library for each. The link owns one for each connection.

import { UsercastError } from '../../src/index.ts';
import { randomName } from '../../src/random.ts';
import { monotonicMs, setTimer, type Timer } from '../../src/timers.ts';
import type { NatsConnectionLike, NatsHeadersLike, NatsMessageLike, NatsSubscriptionLike } from './nats-connection.ts';
import { denial } from './setup-refusal.ts';

/** An answer. `code` is the status of one without content: 503 when nobody is there to answer, 404 when nothing was found. */
export interface NatsReply {
  readonly code: number;
  readonly data: Uint8Array;
  readonly headers: NatsHeadersLike | undefined;
}

/** Code of a reply that says that nobody listens to the subject. */
export const NO_RESPONDERS = 503;

/** How a request is sent. */
export interface CallOptions {
  readonly withinMs: number;
  readonly headers?: NatsHeadersLike | undefined;
  readonly isUrgent: boolean;
}

interface Call {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: NatsHeadersLike | undefined;
  readonly dueMs: number;
  readonly withinMs: number;
  readonly resolve: (reply: NatsReply) => void;
  readonly reject: (error: Error) => void;
}

/** Sent and not answered; more wait here, so that no server has to hold them. */
const MAX_SENT = 1_000;
const MAX_CALLS = 10_000;
const SWEEP_MS = 50;
const TO_OURSELVES = '';
const NOTHING = new Uint8Array(0);

export class NatsCalls {
  readonly #connection: NatsConnectionLike;
  readonly #inbox: string;
  readonly #subscription: NatsSubscriptionLike;
  readonly #sent = new Map<number, Call>();
  #waiting: Call[] = [];
  #nextWaiting = 0;
  #number = 0;
  #sweep: Timer | null = null;

  /** `onDenied`: the server does not let us hear answers. */
  constructor(connection: NatsConnectionLike, onDenied: (subject: string) => void) {
    this.#connection = connection;
    const prefix = connection.options?.inboxPrefix ?? '_INBOX';
    this.#inbox = `${prefix}.${randomName(16)}.`;
    this.#subscription = connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error) onDenied(`${prefix}.>`);
        else this.#answer(message);
      },
    });
  }

  /**
   * Sends a request and resolves with the first answer, whatever it says. What is urgent does not wait for others.
   * @throws UsercastError `deadline` after `withinMs`, `overloaded` where 10 000 calls are under way, `broker_unavailable`
   */
  request(subject: string, data: Uint8Array, { withinMs, headers, isUrgent }: CallOptions): Promise<NatsReply> {
    return new Promise((resolve, reject) => {
      if (!isUrgent && this.#sent.size + this.#waiting.length - this.#nextWaiting >= MAX_CALLS) {
        reject(new UsercastError('overloaded', `over ${MAX_CALLS} calls to NATS are under way`));
        return;
      }
      const dueMs = monotonicMs() + withinMs;
      const call: Call = { subject, data, headers, dueMs, withinMs, resolve, reject };
      this.#sweep ??= setTimer(this.#expire, SWEEP_MS);
      if (isUrgent || this.#sent.size < MAX_SENT) this.#send(call);
      else this.#waiting.push(call);
    });
  }

  /** A message to ourselves, over the server and back. */
  echo(withinMs: number): Promise<NatsReply> {
    return this.request(TO_OURSELVES, NOTHING, { withinMs, isUrgent: true });
  }

  /** Rejects all that is under way. */
  failAll(why: () => Error): void {
    const failed = [...this.#sent.values(), ...this.#waiting.slice(this.#nextWaiting)];
    this.#sent.clear();
    this.#waiting = [];
    this.#nextWaiting = 0;
    for (const { reject } of failed) reject(why());
  }

  /** What the server says of a publication that it did not take; it does not answer to that. */
  failed(error: Error): void {
    const { operation, subject } = error as { readonly operation?: unknown; readonly subject?: unknown };
    if (operation !== 'publish' || typeof subject !== 'string') return;
    for (const [number, call] of this.#sent) {
      if (call.subject !== subject) continue;
      this.#sent.delete(number);
      call.reject(denial('publish', subject));
    }
    this.#sendWaiting();
  }

  close(): void {
    if (this.#sweep) clearTimeout(this.#sweep);
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  #send(call: Call): void {
    const number = ++this.#number;
    const reply = `${this.#inbox}${number}`;
    try {
      this.#connection.publish(call.subject || reply, call.data, {
        reply,
        ...(call.headers && { headers: call.headers }),
      });
      this.#sent.set(number, call);
    } catch (cause) {
      call.reject(new UsercastError('broker_unavailable', 'the NATS client refused the call', { cause }));
    }
  }

  #answer(message: NatsMessageLike): void {
    const number = Number(message.subject.slice(this.#inbox.length));
    const call = this.#sent.get(number);
    if (!call) return;
    this.#sent.delete(number);
    this.#sendWaiting();
    const { headers, data } = message;
    call.resolve({ code: headers?.code ?? 0, data, headers });
  }

  #sendWaiting(): void {
    while (this.#sent.size < MAX_SENT && this.#nextWaiting < this.#waiting.length) {
      this.#send(this.#waiting[this.#nextWaiting++]!);
    }
    if (this.#nextWaiting < 1_000 && this.#nextWaiting < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#nextWaiting);
    this.#nextWaiting = 0;
  }

  readonly #expire = (): void => {
    const nowMs = monotonicMs();
    for (const [number, call] of this.#sent) {
      if (call.dueMs > nowMs) continue;
      this.#sent.delete(number);
      call.reject(late(call));
    }
    for (const call of this.#waiting.slice(this.#nextWaiting)) if (call.dueMs <= nowMs) call.reject(late(call));
    this.#waiting = this.#waiting.slice(this.#nextWaiting).filter(({ dueMs }) => dueMs > nowMs);
    this.#nextWaiting = 0;
    this.#sendWaiting();
    this.#sweep = this.#sent.size + this.#waiting.length > 0 ? setTimer(this.#expire, SWEEP_MS) : null;
  };
}

function late({ withinMs }: Call): UsercastError {
  return new UsercastError('deadline', `NATS did not answer within ${withinMs} ms`);
}
