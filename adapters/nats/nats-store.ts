// The stream that all users' entries are in, as this process knows it: set up on each connect, watched for being made anew or
// for having come back older, and with it the epochs of all users.

import { UsercastError } from '../../src/index.ts';
import { setTimer, withDeadline } from '../../src/timers.ts';
import { type Generation, Generations } from './generation.ts';
import { JetStreamError, STREAM_NOT_FOUND, type StreamInfo, streamInfo } from './jetstream.ts';
import type { ResolvedNatsBrokerOptions } from './nats-broker-options.ts';
import { NO_RESPONDERS } from './nats-calls.ts';
import { type NatsCaller, type NatsLink, openNatsLink } from './nats-link.ts';
import { epochOf, type NatsNames, natsNames } from './nats-names.ts';
import { setUp } from './nats-setup.ts';
import { SeenEntries } from './seen-entries.ts';

/** How often, and how long apart, a stream with replicas is looked at before it is held to have lost something. */
const LOOKS = 10;
const LOOK_AGAIN_MS = 300;

export class NatsStore {
  readonly options: ResolvedNatsBrokerOptions;
  readonly names: NatsNames;
  readonly link: NatsLink;
  readonly seen: SeenEntries;
  /** What the epochs are made of; another one, and every position from before is refused. */
  incarnation = '';
  /** How many entries of one user are kept; the stream may have been made for more than this process asks for. */
  entriesPerUser = 0;
  /** There are replicas other than the leader, which may lag behind. */
  mayLag = false;
  readonly #generations: Generations;
  readonly #onChanged: () => void;
  #isWatching = false;
  /** An answer has proved it; nobody has acted on that yet. */
  #hasComeBackOlder = false;
  #created = '';
  #generation: Generation | null = null;
  #checking: Promise<void> | null = null;
  #refreshing: Promise<void> | null = null;

  /** `onChanged` is called when the incarnation has changed while the link was ready. */
  constructor(options: ResolvedNatsBrokerOptions, onChanged: () => void) {
    this.options = options;
    this.names = natsNames(options.stream, options.prefix);
    this.seen = new SeenEntries(options.proofMs / 2);
    this.#onChanged = onChanged;
    this.#generations = new Generations(this.names.control, () => this.link);
    this.link = openNatsLink({
      servers: options.servers,
      connection: options.connection,
      deadlineMs: options.deadlineMs,
      probeMs: options.probeMs,
      prepare: (caller) => this.#prepare(caller),
      probe: (caller) => this.#refresh(caller),
    });
    this.link.onStatus((status) => {
      if (status === 'ready' && !this.#isWatching) this.#watch().catch(ignore);
    });
  }

  epochOf(token: string): string {
    return epochOf(this.incarnation, token);
  }

  /**
   * Does `work` within the deadline, and once more when the stream turned out to be gone, after making it anew.
   * @throws UsercastError
   */
  async use<T>(work: (caller: NatsCaller) => Promise<T>): Promise<T> {
    const { deadlineMs } = this.options;
    try {
      const caller = await this.link.ready();
      return await withDeadline(this.#useOnceMore(caller, work), deadlineMs, 'NATS');
    } catch (cause) {
      throw toUsercastError(cause);
    }
  }

  async #useOnceMore<T>(caller: NatsCaller, work: (caller: NatsCaller) => Promise<T>): Promise<T> {
    try {
      return await work(caller);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
      await this.recheck();
      return work(await this.link.ready());
    }
  }

  /** Looks whether somebody else has changed the incarnation. Shared by all who ask. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.link
      .ready()
      .then((caller) => this.#refresh(caller))
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  /** Sets up again: makes the stream where it is gone, and looks whether it has all that was seen of it. Shared by all who ask. */
  recheck(): Promise<void> {
    this.#checking ??= this.link
      .ready()
      .then((caller) => this.#recheck(caller))
      .finally(() => {
        this.#checking = null;
      });
    return this.#checking;
  }

  /** The stream answered with what proves that it has lost something that was seen in this incarnation. */
  async cameBackOlder(incarnation: string): Promise<void> {
    if (incarnation !== this.incarnation) return;
    this.#hasComeBackOlder = true;
    await this.recheck();
    // A look that was under way already may have come too early.
    if (this.#hasComeBackOlder) await this.recheck();
  }

  /** Listens for other processes that have changed the generation, or erased what was seen. */
  async #watch(): Promise<void> {
    this.#isWatching = true;
    await this.link.subscribe(this.names.changed, ({ data }) => {
      const subject = Buffer.from(data).toString();
      if (subject) this.seen.forget(subject);
      else this.recheck().catch(ignore);
    });
  }

  async #recheck(caller: NatsCaller): Promise<void> {
    const before = this.incarnation;
    await this.#prepare(caller);
    if (this.incarnation !== before) this.#onChanged();
  }

  async #prepare(caller: NatsCaller): Promise<void> {
    // Taken before the stream is asked where it stands: it may have moved on by the time it has answered.
    const { highest } = this.seen;
    const info = await setUp(caller, this.names, this.options, this.#created !== '');
    const generation = await this.#currentGeneration(caller, info, highest);
    this.entriesPerUser = info.config.max_msgs_per_subject ?? 0;
    this.mayLag = (info.config.num_replicas ?? 1) > 1;
    this.#created = info.created;
    this.#generation = generation;
    const incarnation = `${generation.created} ${generation.name}`;
    if (incarnation !== this.incarnation) this.#hasComeBackOlder = false;
    this.incarnation = incarnation;
  }

  async #currentGeneration(caller: NatsCaller, info: StreamInfo, highest: number): Promise<Generation> {
    const known = this.#generation;
    const there = await this.#generations.read(caller);
    const isAnother = there !== null && known !== null && there.name !== known.name;
    // What we saw was of the one before.
    if (isAnother) this.seen.clear();
    const isOlder = isAnother ? there.revision <= known.revision : this.#hasComeBackOlder;
    if (there && !isOlder && (await this.#isIntact(caller, info, there, isAnother ? 0 : highest))) return there;
    const generation = await this.#generations.replace(caller, there, info.created);
    this.seen.clear();
    caller.connection.publish(this.names.changed);
    return generation;
  }

  /** Whether the stream is the generation's, and has all that was seen of it. */
  async #isIntact(caller: NatsCaller, info: StreamInfo, { created }: Generation, highest: number): Promise<boolean> {
    // A leader that has just been elected may need a moment until it knows all that was acknowledged.
    const looks = (info.config.num_replicas ?? 1) > 1 ? LOOKS : 1;
    let latest: StreamInfo | null = info;
    for (let look = 1; latest?.created === info.created; look++) {
      const isStored = latest.state.last_seq >= highest && (await this.seen.isStored(caller, latest));
      // Of a stream that two made at one moment, old servers have two times: what was seen of it tells that it is the same.
      if (isStored || (isStored === null && latest.created === created)) return true;
      if (isStored === null || look >= looks) return false;
      await new Promise<void>((resolve) => setTimer(resolve, LOOK_AGAIN_MS));
      latest = await streamInfo(caller, this.names.stream);
    }
    throw new UsercastError('broker_unavailable', 'the stream was deleted while it was looked at');
  }

  async #refresh(caller: NatsCaller): Promise<void> {
    const { names } = this;
    const { highest } = this.seen;
    const [info, generation] = await Promise.all([
      streamInfo(caller, names.stream),
      this.#generations.read(caller).catch(nullWhereMissing),
    ]);
    const isSame =
      !this.#hasComeBackOlder &&
      info?.created === this.#created &&
      generation?.name === this.#generation?.name &&
      info.state.last_seq >= highest;
    // While the link is lost, it is set up again before it is ready.
    if (!isSame && this.link.caller) await this.recheck();
  }
}

/** Nobody takes the subject, or there is no such stream. */
export function isMissing(cause: unknown): boolean {
  return cause instanceof JetStreamError && (cause.status === NO_RESPONDERS || cause.code === STREAM_NOT_FOUND);
}

function nullWhereMissing(cause: unknown): null {
  if (isMissing(cause)) return null;
  throw cause;
}

/** What callers of the broker are given. */
export function toUsercastError(cause: unknown): UsercastError {
  if (cause instanceof UsercastError) return cause;
  const why = cause instanceof Error ? cause.message : 'unknown failure';
  return new UsercastError('broker_unavailable', `JetStream refused: ${why}`, { cause });
}

function ignore(): void {}
