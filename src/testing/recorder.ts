// A stream listener that keeps what it was told.

import type { DisconnectMark, Publication, StreamListener } from '../index.ts';

/** Subscribe with one, and see what came. */
export class Recorder implements StreamListener {
  /** Oldest first. */
  readonly publications: Publication[] = [];
  /** Oldest first. */
  readonly whispers: string[] = [];
  /** Oldest first. */
  readonly marks: DisconnectMark[] = [];

  /** The payloads of the publications. */
  get payloads(): string[] {
    return this.publications.map(({ payload }) => payload);
  }

  publication(publication: Publication): void {
    this.publications.push(publication);
  }

  whisper(payload: string): void {
    this.whispers.push(payload);
  }

  mark(mark: DisconnectMark): void {
    this.marks.push(mark);
  }
}
