// A stream listener that keeps what it was told.

import type { DisconnectMark, Publication, StreamListener } from '../../src/broker/broker.ts';

export class Recorder implements StreamListener {
  readonly publications: Publication[] = [];
  readonly whispers: string[] = [];
  readonly marks: DisconnectMark[] = [];

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
