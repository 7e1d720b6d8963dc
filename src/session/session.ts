// One client's logical connection, from accept to close. The door opens and starts it, the hub feeds it, its transport
// reports to it; everything that ends it comes through `end`.

import type { Identity } from '../auth/token-verifier.ts';
import type { DisconnectMark, Publication, StreamSlice } from '../broker/broker.ts';
import { disproof } from '../broker/contiguity.ts';
import { encodeCursor, type Position } from '../protocol/cursor.ts';
import { REFUSALS, Refusal, type RefusalCode } from '../protocol/refusals.ts';
import {
  closingPayload,
  expiryPayload,
  PING_PAYLOAD,
  type ResetReason,
  readyPayload,
  resetPayload,
} from '../protocol/session-messages.ts';
import { randomName } from '../random.ts';
import { monotonicMs } from '../timers.ts';
import type { Transport, TransportKind, TransportOwner } from '../transports/transport.ts';
import type { SessionContext, SessionInfo } from './context.ts';
import { Follower } from './follower.ts';
import { type Beating, Heartbeat } from './heartbeat.ts';
import { Inbox, type InboxOwner } from './inbox.ts';
import { SendQueue } from './send-queue.ts';
import type { Member, UserSessions } from './user-sessions.ts';

/** What a session is opened with. */
export interface SessionOpening {
  readonly userId: string;
  readonly transport: TransportKind;
  readonly address: string;
  /** When the handshake began, in `performance.now()`. */
  readonly startedMs: number;
  /** Whom the token stands for; a new token of the session has to be theirs. */
  readonly identity: Identity;
  /** Whether the client understands `session.*` messages and cursors. */
  readonly isTold: boolean;
  /** The position that the client presented; null for none. */
  readonly cursor: Position | 'unreadable' | null;
}

/** Where a session starts, once its user's stream was read. */
interface Start {
  readonly resumed: boolean;
  readonly reset: ResetReason | null;
  readonly position: Position;
  readonly entries: readonly Publication[];
  readonly head: Position;
  readonly counts: Readonly<Record<string, number>>;
}

const SESSION_ID_LENGTH = 20;

export class Session extends Follower implements TransportOwner, Beating, InboxOwner, Member {
  readonly id = randomName(SESSION_ID_LENGTH);
  readonly userId: string;
  readonly address: string;
  readonly transport: TransportKind;
  readonly isTold: boolean;
  readonly #context: SessionContext;
  readonly #tokenUserId: string;
  #expiresAt: number | undefined;
  #start: Start | null = null;
  #pipe: Transport | null = null;
  #queue: SendQueue | null = null;
  #heartbeat: Heartbeat | null = null;
  #inbox: Inbox | null = null;
  #ending: { code: number; reason: string } | null = null;

  /** @internal Called by the hub, once the user's subscription is live. */
  constructor(context: SessionContext, room: UserSessions, opening: SessionOpening) {
    super(room);
    this.#context = context;
    this.userId = opening.userId;
    this.address = opening.address;
    this.transport = opening.transport;
    this.isTold = opening.isTold;
    this.#tokenUserId = opening.identity.userId;
    this.#expiresAt = opening.identity.expiresAt;
  }

  get info(): SessionInfo {
    return { userId: this.userId, sessionId: this.id, transport: this.transport, address: this.address };
  }

  get sentMs(): number {
    return this.#queue!.sentMs;
  }

  get #isOver(): boolean {
    return this.state === 'closing' || this.state === 'closed';
  }

  /** Reads what `start` needs: what came after the cursor, the head and the counts. Rejects as the broker does. */
  async prepare(cursor: Position | 'unreadable' | null): Promise<void> {
    const from = cursor === 'unreadable' ? null : cursor;
    const slice = await this.room.read(from);
    const reset = from ? disproof(from, slice) : cursor && 'epoch';
    const resumed = from !== null && reset === null;
    const counts = this.isTold ? await this.#context.countsOf(this.userId, slice) : {};
    const entries = resumed ? slice.entries : [];
    this.#start = { resumed, reset, position: resumed ? from : slice.top, entries, head: slice.top, counts };
  }

  start(pipe: Transport): void {
    this.#pipe = pipe;
    if (this.#ending) {
      pipe.close(this.#ending.code, this.#ending.reason);
      return;
    }
    const { turns, limits, wheel, heartbeatTimes, stats } = this.#context;
    const start = this.#start;
    this.#start = null;
    this.#queue = new SendQueue(pipe, turns, limits.maxBufferedBytes);
    if (start && this.isTold) this.#greet(start);
    this.#heartbeat = new Heartbeat(this, wheel, heartbeatTimes(pipe.kind, this.isTold), this.#expiresAt);
    stats.connects++;
    this.#context.emit('connect', this.info);
    if (start?.reset) this.#loses(start.reset);
    // A listener of the host may have ended it.
    if (this.#isOver) return;
    if (start?.reset && !this.isTold) this.end('messages_lost');
    else this.follow(start?.position ?? null, start?.entries ?? [], (this.isTold && start?.head) || null);
  }

  whisper(payload: string): void {
    if (this.state === 'live') this.tell(payload);
  }

  mark(mark: DisconnectMark): void {
    if (mark.sessionId === undefined || mark.sessionId === this.id) this.end('disconnected', mark.reason);
  }

  receive(text: string): void {
    this.#receive(text);
  }

  receiveBinary(): void {
    this.#receive(null);
  }

  alive(): void {
    if (this.#heartbeat) this.#heartbeat.alive = true;
  }

  drained(): void {
    this.catchUp();
  }

  ping(): void {
    this.#pipe?.ping();
  }

  quiet(): void {
    if (this.#pipe?.kind === 'websocket') this.tell(PING_PAYLOAD);
    else this.#pipe?.ping();
    this.#queue!.sentMs = monotonicMs();
  }

  silent(): void {
    this.end('no_life_sign');
  }

  expiring(): boolean {
    return this.tell(expiryPayload('session.expiring', this.#expiresAt));
  }

  expired(): void {
    this.end('token_expired');
  }

  hung(): void {
    this.#pipe?.terminate();
  }

  async refresh(accessToken: string): Promise<void> {
    const { userId, expiresAt } = await this.#context.authenticate(this.info, accessToken);
    if (userId !== this.#tokenUserId) throw new Refusal('wrong_user');
    this.#expiresAt = expiresAt;
    this.tell(expiryPayload('session.refreshed', expiresAt));
    this.#heartbeat?.renew(expiresAt);
  }

  /** Sends a message that is not stored. False where there is no room, or nobody to send it to. */
  tell(payload: string, cursor: string | null = null): boolean {
    if (this.#isOver || !this.#queue?.push(this.#pipe!.control(payload, cursor), null)) return false;
    this.#context.stats.delivered++;
    return true;
  }

  /** Ends the session: the first call wins. `closed` follows when the transport is gone. */
  end(why: RefusalCode, reason: string = REFUSALS[why].reason): void {
    if (this.#isOver) return;
    const { close: code } = REFUSALS[why];
    this.#ending = { code, reason };
    if (this.isTold) this.#queue?.pushLast(this.#pipe!.control(closingPayload(code, reason, retryMs(why)), null));
    this.#queue?.flush();
    this.become('closing');
    this.#heartbeat?.closing();
    this.#pipe?.close(code, reason);
  }

  closed(code: number, reason: string): void {
    if (this.state === 'closed') return;
    this.become('closed');
    this.#heartbeat?.stop();
    this.room.leave(this);
    if (!this.#queue) return;
    this.#context.stats.disconnects++;
    this.#context.emit('disconnect', { ...this.info, ...(this.#ending ?? { code, reason }) });
  }

  protected override send(publication: Publication): boolean {
    const frame = this.#pipe!.message(publication.payload, publication.unread);
    if (!this.#queue!.push(frame, publication)) return false;
    this.#context.stats.delivered++;
    return true;
  }

  protected override lags(isNews: boolean): void {
    if (isNews) {
      this.#context.stats.slow++;
      this.#context.emit('slow', { ...this.info, bufferedBytes: this.#queue!.bufferedBytes });
    }
    this.#queue!.flush();
    this.#pipe!.awaitDrain();
  }

  protected override readFailed(cause: unknown): void {
    this.#context.onError('read', cause);
  }

  /** A plain client cannot be told that it lost something, but by a close. */
  protected override async reset(reason: ResetReason, slice: StreamSlice): Promise<boolean> {
    if (!this.isTold) {
      this.#loses(reason);
      this.end('messages_lost');
      return false;
    }
    const counts = await this.#context.countsOf(this.userId, slice);
    if (!this.tell(resetPayload(reason, slice.top, counts), encodeCursor(slice.top))) return false;
    this.#loses(reason);
    return true;
  }

  #loses(reason: ResetReason): void {
    this.#context.stats.resets++;
    this.#context.emit('reset', { ...this.info, reason });
  }

  #greet(start: Start): void {
    const { pingMs } = this.#context.heartbeat;
    const ready = readyPayload({ ...start, sessionId: this.id, pingMs, expiresAt: this.#expiresAt });
    this.tell(ready, encodeCursor(start.position));
  }

  #receive(text: string | null): void {
    if (this.#isOver) return;
    this.alive();
    this.#inbox ??= new Inbox(this, this.#context);
    this.#inbox.receive(text);
  }
}

/** What a client is asked to wait before it comes back, spread out. */
function retryMs(why: RefusalCode): number {
  const { retryAfter = 0 } = new Refusal(why).row;
  return Math.round(retryAfter * 1_000 * (0.5 + Math.random()));
}
