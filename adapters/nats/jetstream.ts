// What is asked of JetStream, over its published request interface: streams made and described, entries read and stored.

import { UsercastError } from '../../src/index.ts';
import { setTimer } from '../../src/timers.ts';
import { type NatsReply, NO_RESPONDERS } from './nats-calls.ts';
import type { NatsHeadersLike } from './nats-connection.ts';
import type { NatsCaller, NatsRequestOptions } from './nats-link.ts';
import { replacementId } from './nats-names.ts';

/** JetStream answered with an error. */
export class JetStreamError extends Error {
  override readonly name = 'JetStreamError';
  /** The server's number of the error, 0 where nobody answered. @see https://github.com/nats-io/nats-server/blob/main/server/errors.json */
  readonly code: number;
  /** As in HTTP. */
  readonly status: number;

  constructor(message: string, code: number, status: number) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** It may work in a moment: a leader is being elected, or nobody is there yet. */
  get isPassing(): boolean {
    return this.status === NO_RESPONDERS || PASSING.has(this.code);
  }
}

export const STREAM_NOT_FOUND = 10_059;
export const WRONG_LAST_SEQUENCE = 10_071;
const NO_LEADER = 10_009;
const SAME_ID_UNDER_WAY = 10_158;
const NO_MESSAGE_FOUND = 10_037;
/** No peers yet, JetStream not up, no leader, the same id being stored at this moment, too many requests. */
const PASSING: ReadonlySet<number> = new Set([10_005, 10_008, NO_LEADER, SAME_ID_UNDER_WAY, 10_167]);

/** What is wanted of a stream, and what the server says that it has. Sizes in bytes, times in nanoseconds, -1: no limit. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects?: readonly string[];
  readonly retention?: string;
  readonly storage?: string;
  readonly discard?: string;
  readonly max_msgs?: number;
  readonly max_bytes?: number;
  readonly max_msgs_per_subject?: number;
  readonly max_age?: number;
  readonly duplicate_window?: number;
  readonly num_replicas?: number;
  readonly allow_direct?: boolean;
  readonly allow_rollup_hdrs?: boolean;
  readonly deny_delete?: boolean;
  readonly deny_purge?: boolean;
  readonly discard_new_per_subject?: boolean;
  readonly sealed?: boolean;
  readonly no_ack?: boolean;
  readonly republish?: { readonly src?: string; readonly dest?: string; readonly headers_only?: boolean };
  readonly mirror?: object;
  readonly sources?: readonly object[];
  readonly subject_transform?: object;
}

/** A stream, as the server describes it. */
export interface StreamInfo {
  readonly config: StreamConfig;
  /** When it was made. */
  readonly created: string;
  readonly state: { readonly last_seq: number };
  /** In a cluster; `leader` is absent while there is none. */
  readonly cluster?: { readonly leader?: string };
}

/** A stored message. */
export interface StoredMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly storedMs: number;
  readonly data: Uint8Array;
}

/** What the server says when it has stored a message. */
export interface PublishAck {
  readonly seq: number;
  /** It had one with this id, at `seq`. */
  readonly duplicate?: boolean;
}

/** Which message is read. */
export type MessageQuery =
  | { readonly seq: number }
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string };

interface ErrorAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
}

/** @throws JetStreamError for an answer that is one. */
function parse<T>(reply: NatsReply): T {
  if (reply.code === NO_RESPONDERS) throw new JetStreamError('no stream takes this', 0, NO_RESPONDERS);
  const text = Buffer.from(reply.data.buffer, reply.data.byteOffset, reply.data.byteLength).toString();
  const answer = JSON.parse(text) as T & ErrorAnswer;
  const { error } = answer;
  if (error) throw new JetStreamError(error.description ?? 'no description', error.err_code ?? 0, error.code);
  return answer;
}

const CREATE_TRIES = 4;
const CREATE_PAUSE_MS = 30;

/** Asks within a deadline: what a leader that is gone does not answer, the next one does. */
const ASKS_PER_DEADLINE = 4;

/** How long one ask of several may take. */
export function askMs({ deadlineMs }: NatsCaller): number {
  return Math.ceil(deadlineMs / ASKS_PER_DEADLINE);
}

/** Whether nobody has answered in time. */
export function isUnanswered(cause: unknown): boolean {
  return cause instanceof UsercastError && cause.code === 'deadline';
}

/** A request to JetStream itself, which may be sent again. @throws JetStreamError, UsercastError */
export async function askJetStream<T>(caller: NatsCaller, what: string, body: object = {}): Promise<T> {
  const withinMs = askMs(caller);
  for (let asks = 1; ; asks++) {
    try {
      return parse(await caller.request(`$JS.API.${what}`, JSON.stringify(body), { withinMs }));
    } catch (cause) {
      if (!isUnanswered(cause) || asks === ASKS_PER_DEADLINE) throw cause;
    }
  }
}

/** What a server says while it is making the stream for somebody else: everything is there but the time. */
const NOT_YET = '0001-01-01T00:00:00Z';

/** null where there is no such stream. @throws JetStreamError, UsercastError */
export async function streamInfo(caller: NatsCaller, stream: string): Promise<StreamInfo | null> {
  try {
    for (let tries = 1; ; tries++) {
      const info = await askJetStream<StreamInfo>(caller, `STREAM.INFO.${stream}`);
      // Without a leader, a replica that lags behind may be the one that answers.
      if (info.cluster && !info.cluster.leader) throw new JetStreamError(`${stream} has no leader`, NO_LEADER, 500);
      if (info.created !== NOT_YET) return info;
      if (tries > CREATE_TRIES) throw new JetStreamError(`${stream} is still being made`, NO_LEADER, 500);
      await new Promise<void>((resolve) => setTimer(resolve, CREATE_PAUSE_MS * tries));
    }
  } catch (cause) {
    if (cause instanceof JetStreamError && cause.code === STREAM_NOT_FOUND) return null;
    throw cause;
  }
}

/** For so long at most somebody else is let go first. */
const LET_GO_FIRST_MS = 500;

/** A server that is deleting a stream also deletes the files of one that is made anew meanwhile under the same name. */
const DELETING_MS = 500;

/**
 * Makes the stream where it is missing; another process may be doing the same. `wasThere`: it may be being deleted at this
 * moment. @throws JetStreamError, UsercastError
 */
export async function ensureStream(
  caller: NatsCaller,
  config: StreamConfig,
  { wasThere = false } = {},
): Promise<StreamInfo> {
  for (let tries = 1; ; tries++) {
    const there = await streamInfo(caller, config.name);
    if (there) return there;
    if (tries === 1 && (wasThere || (config.num_replicas ?? 1) > 1)) {
      // Two who make it at one moment leave a cluster of old servers with two times at which it was made.
      const pauseMs = (wasThere ? DELETING_MS : 0) + Math.random() * LET_GO_FIRST_MS;
      await new Promise<void>((resolve) => setTimer(resolve, pauseMs));
      continue;
    }
    if (tries > CREATE_TRIES) throw new UsercastError('broker_unavailable', `the stream ${config.name} is gone again`);
    try {
      // Asked once: also one who asks twice may make it twice.
      parse(await caller.request(`$JS.API.STREAM.CREATE.${config.name}`, JSON.stringify(config)));
    } catch (cause) {
      // Who comes second is told one of several things: that the name is taken, that the subjects are, or to try again.
      if (tries === CREATE_TRIES || !(cause instanceof JetStreamError)) throw cause;
      await new Promise<void>((resolve) => setTimer(resolve, CREATE_PAUSE_MS * tries));
    }
  }
}

/** Stores a message. @throws JetStreamError, UsercastError */
export async function store(
  caller: NatsCaller,
  subject: string,
  data: Uint8Array | string,
  options?: NatsRequestOptions,
): Promise<PublishAck> {
  const ack = parse<PublishAck>(await caller.request(subject, data, options));
  // Older clusters say so while the first of the same id is not stored yet.
  if (ack.seq === 0) throw new JetStreamError('the same id is being stored', SAME_ID_UNDER_WAY, 409);
  return ack;
}

/** In this time a leader has stored what it has taken, or has lost it. */
const STAGED_MS = 500;

/** A subject's newest message, as far as whoever replaces it has to know it. */
export interface Replaced {
  /** Its sequence; 0: the subject has none. */
  readonly revision: number;
  readonly data: Uint8Array;
}

/**
 * Stores a message in the place of the subject's newest one. Servers before 2.9.21, in a cluster, compare only what is
 * stored already, so that two who come at one moment would both replace the same one: then the id lets the first alone
 * through. What a leader has taken and lost keeps its id taken: then it goes without.
 * @throws JetStreamError `WRONG_LAST_SEQUENCE` where another was faster, UsercastError
 * @see https://github.com/nats-io/nats-server/issues/4320
 */
export async function replace(
  caller: NatsCaller,
  subject: string,
  data: Uint8Array | string,
  { revision, data: replaced }: Replaced,
  headers: () => NatsHeadersLike,
): Promise<PublishAck> {
  const conditional = headers();
  conditional.set('Nats-Expected-Last-Subject-Sequence', String(revision));
  // What a subject without messages had before may have had this id too.
  if (revision === 0) return store(caller, subject, data, { headers: conditional });
  const unique = headers();
  unique.set('Nats-Expected-Last-Subject-Sequence', String(revision));
  unique.set('Nats-Msg-Id', replacementId(subject, revision, replaced));
  try {
    const ack = await store(caller, subject, data, { headers: unique });
    if (!ack.duplicate) return ack;
    throw new JetStreamError('another has replaced it', WRONG_LAST_SEQUENCE, 409);
  } catch (cause) {
    if (!(cause instanceof JetStreamError && cause.code === SAME_ID_UNDER_WAY)) throw cause;
  }
  await new Promise<void>((resolve) => setTimer(resolve, STAGED_MS * (0.5 + Math.random())));
  return store(caller, subject, data, { headers: conditional });
}

/**
 * Reads a message of whichever replica answers, which may lag behind. null where there is none. A stream that was deleted
 * does not answer: then its leader is asked, so that somebody says so.
 */
export async function readDirect(
  caller: NatsCaller,
  stream: string,
  query: MessageQuery,
): Promise<StoredMessage | null> {
  const options = { withinMs: askMs(caller) };
  const asked = caller.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(query), options);
  const reply = await asked.catch((cause: unknown) => {
    if (isUnanswered(cause)) return null;
    throw cause;
  });
  if (!reply || reply.code === NO_RESPONDERS) return readLeader(caller, stream, query);
  const { code, data, headers } = reply;
  if (code !== 0) return null;
  return {
    sequence: Number(headers?.get('Nats-Sequence')),
    subject: headers?.get('Nats-Subject') ?? '',
    storedMs: Date.parse(headers?.get('Nats-Time-Stamp') ?? ''),
    data,
  };
}

interface MessageAnswer {
  readonly message: {
    readonly subject: string;
    readonly seq: number;
    readonly data?: string;
    readonly time: string;
  };
}

/** Reads a message of the stream's leader. null where there is none. */
export async function readLeader(
  caller: NatsCaller,
  stream: string,
  query: MessageQuery,
): Promise<StoredMessage | null> {
  try {
    const { message } = await askJetStream<MessageAnswer>(caller, `STREAM.MSG.GET.${stream}`, query);
    const { seq: sequence, subject, data = '', time } = message;
    return { sequence, subject, storedMs: Date.parse(time), data: Buffer.from(data, 'base64') };
  } catch (cause) {
    if (cause instanceof JetStreamError && cause.code === NO_MESSAGE_FOUND) return null;
    throw cause;
  }
}
