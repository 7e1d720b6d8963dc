// The Transport contract: one open pipe to one client. A session's send queue writes to it; it tells its session what
// comes back.

/** How a client is connected; `http` is a request of its own, such as for counts. */
export type TransportKind = 'websocket' | 'sse' | 'poll' | 'http';

/** A message as a pipe carries it. The same frame may be written to several pipes; its bytes are never changed. */
export interface Frame {
  readonly bytes: Uint8Array;
  /** Where the cursor's characters go in a copy of the bytes; -1: the frame has no cursor. */
  readonly stampAt: number;
}

export interface Transport {
  readonly kind: TransportKind;
  /** Bytes handed over and not yet taken by the operating system. */
  readonly bufferedBytes: number;
  /** The frame of a stored message. `unread`: it counted for this user. */
  message(payload: string, unread: boolean): Frame;
  /** The frame of a message that is not stored. `cursor`: where the client stands after it, if it says so. */
  control(payload: string, cursor: string | null): Frame;
  /** Writes frames, joined, at once. False where the operating system did not take them all. */
  write(frames: Uint8Array): boolean;
  /** Calls `TransportOwner.drained` once, when everything written has been taken. */
  awaitDrain(): void;
  /** Gives the peer a sign of life, and asks it for one where the transport can. */
  ping(): void;
  /** Says goodbye in the transport's way and ends; the first call wins. */
  close(code: number, reason: string): void;
  /** Ends without a word. */
  terminate(): void;
}

/** What a transport tells the session that it carries. */
export interface TransportOwner {
  /** The pipe is open: messages may be written. */
  start(transport: Transport): void;
  /** A text message from the client. */
  receive(text: string): void;
  /** A message that is no text. */
  receiveBinary(): void;
  /** The peer gave a sign of life. */
  alive(): void;
  drained(): void;
  /** The pipe is gone; the last call. */
  closed(code: number, reason: string): void;
}
