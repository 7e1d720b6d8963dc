// What this process has lately seen of the stream, acknowledged or arrived live: the proof, when the server comes back, that it
// came back older.

import { monotonicMs } from '../../src/timers.ts';
import { askJetStream, readLeader, type StreamInfo } from './jetstream.ts';
import { decodeEntry } from './nats-entry.ts';
import type { NatsCaller } from './nats-link.ts';

interface SeenEntry {
  readonly sequence: number;
  readonly tag: string;
  readonly seenMs: number;
}

/** Users remembered: only what was stored last can have been lost, but of one user all may have been pushed out since. */
const MAX_REMEMBERED = 256;

export class SeenEntries {
  /** The highest sequence seen. */
  highest = 0;
  /** By subject, the newest last. */
  readonly #bySubject = new Map<string, SeenEntry>();
  readonly #rememberMs: number;

  /** `rememberMs`: what is older may be gone by age. */
  constructor(rememberMs: number) {
    this.#rememberMs = rememberMs;
  }

  add(subject: string, sequence: number, tag: string): void {
    if (sequence > this.highest) this.highest = sequence;
    this.#bySubject.delete(subject);
    this.#bySubject.set(subject, { sequence, tag, seenMs: monotonicMs() });
    if (this.#bySubject.size > MAX_REMEMBERED) this.#bySubject.delete(this.#bySubject.keys().next().value!);
  }

  /** What the subject held was erased on purpose. */
  forget(subject: string): void {
    this.#bySubject.delete(subject);
  }

  /** Those sequences were of a stream that is no more. */
  clear(): void {
    this.highest = 0;
    this.#bySubject.clear();
  }

  /**
   * Whether the stream still has what was seen of it; null where nothing tells. The newest that can be told decides, for
   * what is lost is lost from the end: one that newer entries of its user may have pushed out says nothing.
   */
  async isStored(caller: NatsCaller, { config }: StreamInfo): Promise<boolean | null> {
    const oldestMs = monotonicMs() - this.#rememberMs;
    const newestFirst = [...this.#bySubject]
      .filter(([, { seenMs }]) => seenMs > oldestMs)
      .sort(([, a], [, b]) => b.sequence - a.sequence);
    for (const [subject, { sequence, tag }] of newestFirst) {
      const message = await readLeader(caller, config.name, { seq: sequence });
      if (message) return message.subject === subject && decodeEntry(sequence, message.data, 0)?.tag === tag;
      const limit = config.max_msgs_per_subject ?? 0;
      const isPushedOut = limit > 0 && (await countOf(caller, config.name, subject)) >= limit;
      // It may have been erased on purpose while the stream was asked.
      if (!isPushedOut && this.#bySubject.get(subject)?.sequence === sequence) return false;
    }
    return null;
  }
}

async function countOf(caller: NatsCaller, stream: string, subject: string): Promise<number> {
  type Counted = { readonly state: { readonly subjects?: Readonly<Record<string, number>> } };
  const { state } = await askJetStream<Counted>(caller, `STREAM.INFO.${stream}`, { subjects_filter: subject });
  return state.subjects?.[subject] ?? 0;
}
