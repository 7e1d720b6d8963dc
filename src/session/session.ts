// One client's logical connection, from accept to close. The door opens and starts it, the hub feeds it, its transport
// reports to it; everything that ends it comes through `end`.

import type { DisconnectMark, Publication, StreamSlice } from '../broker/broker.ts';
import { Hold } from '../broker/hold.ts';
import { disproof, follows, type ResetReason } from '../broker/subscriptions.ts';
import type { ClientErrorCode } from '../protocol/codec.ts';
import { decodeClientMessage, errorPayload } from '../protocol/codec.ts';
import type { Position } from '../protocol/cursor.ts';
import { REFUSALS, type RefusalCode } from '../protocol/refusals.ts';
import { randomName } from '../random.ts';
import { setTimer } from '../timers.ts';
import type { Transport, TransportKind, TransportOwner } from '../transports/transport.ts';
import { Allowance } from './allowance.ts';
import type { SessionContext, SessionInfo } from './context.ts';
import { Heartbeat } from './heartbeat.ts';
import { SendQueue } from './send-queue.ts';
import type { UserSessions } from './user-sessions.ts';

/** What a session is opened with. */
export interface SessionOpening {
  readonly userId: string;
  readonly transport: TransportKind;
  readonly address: string;
  /** When the token ends, in epoch milliseconds. */
  readonly expiresAt: number | undefined;
}

type State = 'opening' | 'live' | 'lagging' | 'catching-up' | 'closing' | 'closed';

/**
 * ```
 * opening ──┬─────────┬───────▶ live
 *           ▼         ▼         │ ▲
 *      catching-up ◀▶ lagging ◀─┘ │
 *           └─────────────────────┘
 * closing ──▶ closed            from every state
 * ```
 */
const EDGES: Readonly<Record<State, readonly State[]>> = {
  opening: ['live', 'lagging', 'catching-up', 'closing', 'closed'],
  live: ['lagging', 'closing', 'closed'],
  lagging: ['catching-up', 'closing', 'closed'],
  'catching-up': ['live', 'lagging', 'closing', 'closed'],
  closing: ['closed'],
  closed: [],
};

const SESSION_ID_LENGTH = 20;
const RETRY_MS = 1_000;
/** Bad messages forgiven at once, and how many more each second. */
const BAD_MESSAGES = { burst: 10, perSecond: 0.1 };
const RATE_BURST = 4;

export class Session implements TransportOwner {
  readonly id: string = randomName(SESSION_ID_LENGTH);
  readonly userId: string;
  readonly address: string;
  readonly transport: TransportKind;
  readonly #context: SessionContext;
  readonly #room: UserSessions;
  readonly #expiresAt: number | undefined;
  /** Made by the first message that needs them: most clients never send one. */
  #messages: Allowance | null = null;
  #mistakes: Allowance | null = null;
  #state: State = 'opening';
  #pipe: Transport | null = null;
  #queue: SendQueue | null = null;
  #heartbeat: Heartbeat | null = null;
  /** Where the session stands while it is not live; live, it stands where its subscription does. */
  #position: Position | null;
  /** Takes what arrives while the session opens or catches up; not there at any other time, for most sessions are live. */
  #hold: Hold | null = new Hold();
  #ending: { code: number; reason: string } | null = null;

  /** @internal Called by the hub, once the user's subscription is live. */
  constructor(context: SessionContext, room: UserSessions, opening: SessionOpening) {
    this.#context = context;
    this.#room = room;
    this.userId = opening.userId;
    this.address = opening.address;
    this.transport = opening.transport;
    this.#expiresAt = opening.expiresAt;
    this.#position = room.position();
  }

  get state(): State {
    return this.#state;
  }

  get info(): SessionInfo {
    return { userId: this.userId, sessionId: this.id, transport: this.transport, address: this.address };
  }

  start(pipe: Transport): void {
    this.#pipe = pipe;
    if (this.#ending) {
      pipe.close(this.#ending.code, this.#ending.reason);
      return;
    }
    const { turns, limits } = this.#context;
    this.#queue = new SendQueue(pipe, turns, limits.maxBufferedBytes);
    this.#heartbeat = new Heartbeat(this, this.#context.wheel, this.#context.heartbeat.intervalMs, this.#expiresAt);
    this.#context.stats.connects++;
    this.#context.emit('connect', this.info);
    if (this.#state === 'opening') this.#joinOrRead();
  }

  /** The next message of the user's stream. */
  deliver(publication: Publication): void {
    if (this.#state === 'live') {
      if (!this.#send(publication.payload)) this.#lag(this.#room.position());
    } else this.#hold?.add(publication);
  }

  /** A volatile message: only while live, and only where there is room. */
  whisper(payload: string): void {
    if (this.#state === 'live') this.#send(payload);
  }

  /** The subscription moved without proof that nothing lies in between. */
  reset(reason: ResetReason): void {
    if (this.#state === 'live') this.#lose(reason);
    else if (this.#hold) this.#hold.overflowed = true;
  }

  mark(mark: DisconnectMark): void {
    if (mark.sessionId === undefined || mark.sessionId === this.id) this.end('disconnected', mark.reason);
  }

  receive(text: string): void {
    if (!this.#admits()) return;
    const message = decodeClientMessage(text);
    if (!message.ok) this.#complain(message.code, message.message);
    else if (message.senderId === this.userId) this.#ack(message.boxId);
    else this.#complain('wrong_sender', 'object.sender_id: must be the id of the user that this session belongs to');
  }

  receiveBinary(): void {
    if (this.#admits()) this.#complain('not_text', 'messages are JSON in text frames');
  }

  alive(): void {
    if (this.#heartbeat) this.#heartbeat.alive = true;
  }

  drained(): void {
    if (this.#state === 'lagging') void this.#catchUp();
  }

  ping(): void {
    this.#pipe?.ping();
  }

  silent(): void {
    this.end('no_life_sign');
  }

  expired(): void {
    this.end('token_expired');
  }

  hung(): void {
    this.#pipe?.terminate();
  }

  /** Ends the session: the first call wins. `closed` follows when the transport is gone. */
  end(why: RefusalCode, reason: string = REFUSALS[why].reason): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#ending = { code: REFUSALS[why].close, reason };
    this.#queue?.flush();
    this.#become('closing');
    this.#hold = null;
    this.#heartbeat?.closing();
    this.#pipe?.close(this.#ending.code, reason);
  }

  closed(code: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#become('closed');
    this.#heartbeat?.stop();
    this.#hold = null;
    this.#room.leave(this);
    if (!this.#queue) return;
    this.#context.stats.disconnects++;
    this.#context.emit('disconnect', { ...this.info, ...(this.#ending ?? { code, reason }) });
  }

  #become(next: State): void {
    if (!EDGES[this.#state].includes(next)) throw new Error(`a session cannot go from ${this.#state} to ${next}`);
    this.#state = next;
  }

  /** False where the client's side has no room for it. */
  #send(payload: string): boolean {
    if (!this.#queue!.push(this.#pipe!.frame(payload))) return false;
    this.#context.stats.delivered++;
    return true;
  }

  #lag(position: Position): void {
    const isNews = this.#state !== 'catching-up';
    this.#become('lagging');
    this.#position = position;
    this.#hold = null;
    if (isNews) {
      this.#context.stats.slow++;
      this.#context.emit('slow', { ...this.info, bufferedBytes: this.#queue!.bufferedBytes });
    }
    this.#queue!.flush();
    this.#pipe!.awaitDrain();
  }

  /** Sends what was held. Live when that reaches the subscription's position, else history is read from here. */
  #joinOrRead(): void {
    const { held, overflowed } = this.#hold!;
    for (const publication of overflowed ? [] : held) {
      if (!follows(this.#position!, publication)) continue;
      if (!this.#send(publication.payload)) {
        this.#lag(this.#position!);
        return;
      }
      this.#position = publication;
    }
    if (!overflowed && this.#room.isAt(this.#position!)) {
      this.#become('live');
      this.#position = this.#hold = null;
      return;
    }
    void this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    if (this.#state !== 'catching-up') this.#become('catching-up');
    this.#hold = new Hold();
    try {
      const from = this.#position!;
      const slice = await this.#room.read(from);
      if (this.#state !== 'catching-up') return;
      const reason = disproof(from, slice);
      if (reason) return this.#lose(reason);
      for (const entry of slice.entries) {
        if (!this.#send(entry.payload)) return this.#lag(this.#position!);
        this.#position = entry;
      }
      if (this.#isApart(slice)) {
        await this.#room.advance();
        if (this.#state !== 'catching-up') return;
        if (this.#isApart(slice)) return this.#catchUpLater();
      }
      this.#joinOrRead();
    } catch (cause) {
      if (this.#state !== 'catching-up') return;
      this.#context.onError('read', cause);
      this.#catchUpLater();
    }
  }

  /**
   * At the stream's top, and yet not where the subscription is: the broker's answers may overtake its live messages, and
   * a broker may have come back with an older stream. The subscription has to look for itself.
   */
  #isApart({ top }: StreamSlice): boolean {
    const position = this.#position!;
    return this.#hold!.isEmpty && position.offset >= top.offset && !this.#room.isAt(position);
  }

  #catchUpLater(): void {
    setTimer(
      () => {
        if (this.#state === 'catching-up') void this.#catchUp();
      },
      RETRY_MS * (0.5 + Math.random()),
    );
  }

  #lose(reason: ResetReason): void {
    this.#context.stats.resets++;
    this.#context.emit('reset', { ...this.info, reason });
    this.end('messages_lost');
  }

  /** Counts a message from the client against its rate; ends the session above it. */
  #admits(): boolean {
    if (this.#state === 'closing' || this.#state === 'closed') return false;
    this.alive();
    this.#context.stats.received++;
    const { messagesPerSecond } = this.#context.limits;
    this.#messages ??= new Allowance(messagesPerSecond, messagesPerSecond * RATE_BURST);
    if (this.#messages.take()) return true;
    this.end('too_many_messages');
    return false;
  }

  #ack(boxId: string): void {
    const refuse = () => this.#tell('unavailable', 'the ack was not stored; send it again');
    this.#context.ack(this.userId, boxId).catch(refuse);
  }

  #complain(code: ClientErrorCode, message: string): void {
    this.#mistakes ??= new Allowance(BAD_MESSAGES.perSecond, BAD_MESSAGES.burst);
    if (this.#mistakes.take()) this.#tell(code, message);
    else this.end('bad_messages');
  }

  #tell(code: ClientErrorCode, message: string): void {
    if (this.#state !== 'closing' && this.#state !== 'closed' && this.#queue) this.#send(errorPayload(code, message));
  }
}
