// What a client says on its session: admitted at a rate, read, and acted on. Made by the first message; most clients
// never send one.

import { Allowance } from '../allowance.ts';
import { decodeClientMessage, decodeSessionMessage, errorPayload } from '../protocol/codec.ts';
import { type ClientErrorCode, PING, REFRESH } from '../protocol/event-types.ts';
import { Refusal, type RefusalCode } from '../protocol/refusals.ts';
import { PONG_PAYLOAD } from '../protocol/session-messages.ts';
import type { SessionContext, SessionInfo } from './context.ts';

/** The session, as its inbox sees it. */
export interface InboxOwner {
  readonly info: SessionInfo;
  /** Whether the client speaks `usercast.v1`. */
  readonly isTold: boolean;
  tell(payload: string): void;
  end(why: RefusalCode): void;
  /** Takes a new token for the session. @throws Refusal */
  refresh(accessToken: string): Promise<void>;
}

/** Bad messages forgiven at once, and how many more each second. */
const BAD_MESSAGES = { burst: 10, perSecond: 0.1 };
const RATE_BURST = 4;

export class Inbox {
  readonly #session: InboxOwner;
  readonly #context: SessionContext;
  readonly #messages: Allowance;
  readonly #mistakes = new Allowance(BAD_MESSAGES.perSecond, BAD_MESSAGES.burst);

  constructor(session: InboxOwner, context: SessionContext) {
    const { messagesPerSecond } = context.limits;
    this.#session = session;
    this.#context = context;
    this.#messages = new Allowance(messagesPerSecond, messagesPerSecond * RATE_BURST);
  }

  /** `null`: a message that is no text. */
  receive(text: string | null): void {
    this.#context.stats.received++;
    if (!this.#messages.take()) this.#session.end('too_many_messages');
    else if (text === null) this.#complain('not_text', 'messages are JSON in text frames');
    else this.#take(text);
  }

  #take(text: string): void {
    const message = this.#session.isTold ? decodeSessionMessage(text) : decodeClientMessage(text);
    if (!message.ok) this.#complain(message.code, message.message);
    else if (!('type' in message)) this.#ack(message.senderId, message.boxId);
    else if (message.type === PING) this.#session.tell(PONG_PAYLOAD);
    else if (message.type === REFRESH) void this.#refresh(message.accessToken);
  }

  #ack(senderId: string, boxId: string): void {
    const { userId } = this.#session.info;
    if (senderId !== userId) {
      this.#complain('wrong_sender', 'object.sender_id: must be the id of the user that this session belongs to');
      return;
    }
    const refuse = (): void => this.#tell('unavailable', 'the ack was not stored; send it again');
    this.#context.ack(userId, boxId).catch(refuse);
  }

  async #refresh(accessToken: string): Promise<void> {
    try {
      await this.#session.refresh(accessToken);
    } catch (cause) {
      if (!(cause instanceof Refusal)) this.#context.onError('verify', cause);
      const code = cause instanceof Refusal ? cause.code : 'internal_error';
      if (code === 'wrong_user') this.#session.end(code);
      else if (code.startsWith('token_')) this.#tell('token_refused', (cause as Refusal).message);
      else this.#tell('unavailable', 'the new token could not be checked; send it again');
    }
  }

  #complain(code: ClientErrorCode, message: string): void {
    if (this.#mistakes.take()) this.#tell(code, message);
    else this.#session.end('bad_messages');
  }

  #tell(code: ClientErrorCode, message: string): void {
    this.#session.tell(errorPayload(code, message));
  }
}
