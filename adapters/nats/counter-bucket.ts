// The key-value bucket that holds one entry per user: made where it is missing, its settings checked as the server echoes
// them, and its entries read, replaced and erased with compare-and-set.

import { monotonicMs, setTimer } from '../../src/timers.ts';
import {
  BucketError,
  counterFailureOf,
  NO_SUCH_MESSAGE,
  NO_SUCH_STREAM,
  STREAM_NAME_IN_USE,
  WRONG_LAST_SEQUENCE,
} from './counter-failures.ts';
import { type NatsReply, NO_RESPONDERS } from './nats-calls.ts';
import type { NatsHeadersLike } from './nats-connection.ts';
import type { NatsCaller } from './nats-link.ts';
import { replacementId } from './nats-names.ts';
import { SetupRefusal } from './setup-refusal.ts';

/** What `openCounterBucket` takes. */
export interface CounterBucketOptions {
  readonly bucket: string;
  readonly replicas: number;
  /** Milliseconds that one request may take. */
  readonly requestMs: number;
  /** New headers, of the client library in use. */
  readonly headers: () => NatsHeadersLike;
}

/** A user's entry as it was read. */
export interface CounterEntry {
  /** Empty where there is none. */
  readonly bytes: Uint8Array;
  /** What a replacement names as the one that it replaces; 0 where there is nothing to replace. */
  readonly revision: number;
}

/** The settings of a bucket, as far as they matter here. @see https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-8.md */
interface BucketSettings {
  readonly max_msgs_per_subject: number;
  readonly max_age: number;
  readonly max_bytes?: number;
  readonly max_msgs?: number;
  readonly max_msg_size?: number;
  readonly storage: string;
  readonly retention: string;
  readonly discard?: string;
  readonly num_replicas: number;
  readonly deny_purge?: boolean;
  readonly mirror?: unknown;
  readonly subjects?: readonly string[];
}

/** No user's: a user's key has no `=`. */
export const CLOCK_KEY = '=clock';

/** In this time a leader has stored what it has taken, or has lost it. */
const STAGED_MS = 500;

const NOTHING = new Uint8Array(0);

/** What the server counts to a message's size beside the value. */
const HEADER_BYTES = 256;

/**
 * Opens the bucket, and makes it where it is missing. Others may do the same at the same time.
 * @throws SetupRefusal when a bucket of this name has settings that would lose counts, and names the setting; or when the
 * server refuses to make it. Else as the methods of the bucket.
 */
export async function openCounterBucket(caller: NatsCaller, options: CounterBucketOptions): Promise<CounterBucket> {
  const settings = await ensureBucket(caller, options);
  checkSettings(settings, options);
  const payloadBytes = caller.connection.info?.max_payload ?? Infinity;
  const maxBytes = Math.min(payloadBytes, limitOf(settings.max_msg_size)) - HEADER_BYTES;
  const bucket = new CounterBucket(caller, options, maxBytes);
  await bucket.setClock();
  return bucket;
}

/** The bucket on one connection. Its methods throw `BucketError` for what JetStream answers, and what the link throws. */
export class CounterBucket {
  readonly #caller: NatsCaller;
  readonly #options: CounterBucketOptions;
  /** How far the server's clock is ahead of this process's monotonic one. */
  #clockAheadMs = 0;
  /** The most bytes that the server takes for one entry. */
  readonly maxBytes: number;

  constructor(caller: NatsCaller, options: CounterBucketOptions, maxBytes: number) {
    this.#caller = caller;
    this.#options = options;
    this.maxBytes = maxBytes;
  }

  /** The server's time in milliseconds. Every process counts with it, whatever its own clock says. */
  nowMs(): number {
    return monotonicMs() + this.#clockAheadMs;
  }

  /** Finds out what time it is at the server. */
  async setClock(): Promise<void> {
    const sentMs = monotonicMs();
    await this.#put(CLOCK_KEY, NOTHING);
    const { time } = await this.#last(CLOCK_KEY);
    this.#clockAheadMs = time - Math.floor((sentMs + monotonicMs()) / 2);
  }

  async read(userId: string): Promise<CounterEntry> {
    return this.#last(keyOf(userId));
  }

  /**
   * Replaces this entry, and gives the new one's revision. Servers before 2.9.21, in a cluster, compare only what is
   * stored already, so that two who come at one moment would both replace it: then the id lets the first alone through.
   * What a leader has taken and lost keeps its id taken: then it goes without.
   * @see https://github.com/nats-io/nats-server/issues/4320
   */
  async replace(userId: string, bytes: Uint8Array, { revision, bytes: replaced }: CounterEntry): Promise<number> {
    const conditional = this.#options.headers();
    conditional.set('Nats-Expected-Last-Subject-Sequence', String(revision));
    // What a key without an entry had before may have had this id too.
    if (revision > 0) {
      const unique = this.#options.headers();
      unique.set('Nats-Expected-Last-Subject-Sequence', String(revision));
      unique.set('Nats-Msg-Id', replacementId(keyOf(userId), revision, replaced));
      const { seq, duplicate } = await this.#put(keyOf(userId), bytes, unique);
      if (!duplicate && seq > 0) return seq;
      if (seq > 0) throw new BucketError(WRONG_LAST_SEQUENCE, 'another has replaced the entry');
      await new Promise<void>((resolve) => setTimer(resolve, STAGED_MS * (0.5 + Math.random())));
    }
    return (await this.#put(keyOf(userId), bytes, conditional)).seq;
  }

  /** Takes the entry of this revision away, and its key with it. */
  async erase(userId: string, revision: number): Promise<void> {
    const { bucket } = this.#options;
    const upTo = { filter: `$KV.${bucket}.${keyOf(userId)}`, seq: revision + 1 };
    const { purged } = await ask<{ purged: number }>(this.#caller, `STREAM.PURGE.KV_${bucket}`, upTo, this.#options);
    if (purged === 0) throw new BucketError(WRONG_LAST_SEQUENCE, 'the entry was replaced');
  }

  async #put(key: string, bytes: Uint8Array, headers?: NatsHeadersLike): Promise<StoreAnswer> {
    const { bucket, requestMs } = this.#options;
    const options = { withinMs: requestMs, ...(headers && { headers }) };
    return answerOf(await this.#caller.request(`$KV.${bucket}.${key}`, bytes, options));
  }

  /** Asked of the leader: a replica's answer may lack what was stored a moment ago. */
  async #last(key: string): Promise<CounterEntry & { readonly time: number }> {
    const { bucket } = this.#options;
    try {
      const question = { last_by_subj: `$KV.${bucket}.${key}` };
      const { message } = await ask<LastMessage>(this.#caller, `STREAM.MSG.GET.KV_${bucket}`, question, this.#options);
      const bytes = message.data ? Buffer.from(message.data, 'base64') : NOTHING;
      return { bytes, revision: message.seq, time: Date.parse(message.time) };
    } catch (cause) {
      if (cause instanceof BucketError && cause.code === NO_SUCH_MESSAGE)
        return { bytes: NOTHING, revision: 0, time: 0 };
      throw cause;
    }
  }
}

interface StoreAnswer {
  /** 0: one with this id was taken, and is not stored yet. */
  readonly seq: number;
  readonly duplicate?: boolean;
}

interface LastMessage {
  readonly message: { readonly seq: number; readonly time: string; readonly data?: string };
}

/** Key-value keys take few characters, and a dot would divide them. */
function keyOf(userId: string): string {
  return Buffer.from(userId).toString('base64url');
}

async function ensureBucket(caller: NatsCaller, options: CounterBucketOptions): Promise<BucketSettings> {
  const { bucket, replicas } = options;
  const name = `KV_${bucket}`;
  const look = (): Promise<{ config: BucketSettings }> => ask(caller, `STREAM.INFO.${name}`, null, options);
  try {
    return (await look()).config;
  } catch (cause) {
    if (!(cause instanceof BucketError && cause.code === NO_SUCH_STREAM)) throw cause;
  }
  const config = {
    name,
    subjects: [`$KV.${bucket}.>`],
    description: 'unread counts of usercast',
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_msgs_per_subject: 1,
    max_msgs: -1,
    max_bytes: -1,
    max_msg_size: -1,
    max_age: 0,
    max_consumers: -1,
    num_replicas: replicas,
    allow_rollup_hdrs: true,
    allow_direct: true,
  };
  try {
    return (await ask<{ config: BucketSettings }>(caller, `STREAM.CREATE.${name}`, config, options)).config;
  } catch (cause) {
    if (!(cause instanceof BucketError)) throw cause;
    // Another process was faster, with other settings.
    if (cause.code === STREAM_NAME_IN_USE) return (await look()).config;
    if (counterFailureOf(cause) !== 'final') throw cause;
    throw new SetupRefusal(`the bucket ${bucket} cannot be made with ${replicas} replicas: ${cause.message}`, cause);
  }
}

function checkSettings(settings: BucketSettings, { bucket, replicas }: CounterBucketOptions): void {
  const refuse = (setting: string, found: unknown, rule: string): never => {
    throw new SetupRefusal(`the bucket ${bucket} has ${setting} ${JSON.stringify(found)}; counts need ${rule}`);
  };
  const { max_msgs_per_subject: history, max_age, storage, retention, discard, num_replicas } = settings;
  if (history !== 1) refuse('history (max_msgs_per_subject)', history, '1');
  if (max_age !== 0) refuse('ttl (max_age, in nanoseconds)', max_age, '0, for they never expire');
  if (storage !== 'file') refuse('storage', storage, '"file"');
  if (retention !== 'limits') refuse('retention', retention, '"limits"');
  if (num_replicas < replicas) refuse('replicas (num_replicas)', num_replicas, `the ${replicas} asked for`);
  for (const limit of ['max_bytes', 'max_msgs'] as const) {
    const isLimited = limitOf(settings[limit]) < Infinity;
    if (isLimited && discard !== 'new') refuse(`discard beside ${limit}`, discard, '"new"');
  }
  if (settings.deny_purge === true) refuse('deny_purge', true, 'false, for users can be forgotten');
  const subject = `$KV.${bucket}.>`;
  if (!settings.subjects?.includes(subject)) refuse('subjects', settings.subjects, subject);
  if (settings.mirror) refuse('a mirror', settings.mirror, 'none');
}

/** What the server writes where there is no limit: -1, 0, or nothing. */
function limitOf(limit: number | undefined): number {
  return limit === undefined || limit <= 0 ? Infinity : limit;
}

async function ask<T>(
  caller: NatsCaller,
  subject: string,
  question: object | null,
  { requestMs }: CounterBucketOptions,
): Promise<T> {
  const body = question === null ? '' : JSON.stringify(question);
  return answerOf(await caller.request(`$JS.API.${subject}`, body, { withinMs: requestMs }));
}

function answerOf<T>({ code, data }: NatsReply): T {
  if (code === NO_RESPONDERS) throw new BucketError(0, 'nobody answers for JetStream: is it enabled?');
  const answer = JSON.parse(Buffer.from(data).toString()) as { error?: { err_code?: number; description?: string } };
  if (!answer.error) return answer as T;
  const { err_code = -1, description = 'of an unknown failure' } = answer.error;
  throw new BucketError(err_code, description);
}
