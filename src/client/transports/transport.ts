// The client's side of a transport: one open pipe to the server, which may be of any kind. The connector opens one at a
// time; a transport reports to its sink until it is closed.

import type { Ending, Target } from '../target.ts';

/** The ways to reach a server. */
export type TransportName = 'websocket' | 'sse' | 'polling';

/** A message as it came. */
export interface Envelope {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
  /** Its place in the stream; absent for a message that is not stored. */
  readonly cursor?: string | undefined;
  readonly unread?: boolean;
}

/** What a transport reports to; once `closed`, or closed by the connector, it has nothing more to say. */
export interface TransportSink {
  /** Something came, be it no message. */
  alive(): void;
  /** @throws TypeError when it is no message. */
  message(message: Envelope): void;
  /** How long the server wants to be left alone after a drop, in milliseconds. */
  retry(delayMs: number): void;
  closed(ending: Ending): void;
}

/** An open pipe, or one that is about to open. */
export interface Pipe {
  /** Sends a message; false where it cannot any more. null: messages go by requests of their own. */
  readonly send: ((text: string) => boolean) | null;
  /** Ends it; the sink hears nothing of that. `isDead`: nobody is there to say goodbye to. */
  close(isDead: boolean): void;
}

/** Opens a pipe that carries on after `cursor`. It reports later, never before it returns. */
export type OpenTransport = (target: Target, token: string, cursor: string | undefined, sink: TransportSink) => Pipe;
