// The Transport contract: one open pipe to one client. A session's send queue writes to it; it tells its session what
// comes back.

/** How a client is connected. */
export type TransportKind = 'websocket' | 'http';

export interface Transport {
  readonly kind: TransportKind;
  /** Bytes handed over and not yet taken by the operating system. */
  readonly bufferedBytes: number;
  /** The bytes that carry this message on this pipe; the caller may write them to several pipes of the same kind. */
  frame(payload: string): Uint8Array;
  /** Writes frames, joined, at once. False where the operating system did not take them all. */
  write(frames: Uint8Array): boolean;
  /** Calls `TransportOwner.drained` once, when everything written has been taken. */
  awaitDrain(): void;
  /** Asks the peer for a sign of life. */
  ping(): void;
  /** Says goodbye in the transport's way and ends; the first call wins. */
  close(code: number, reason: string): void;
  /** Ends without a word. */
  terminate(): void;
}

/** What a transport tells the session that it carries. */
export interface TransportOwner {
  /** The pipe is open: live messages may be written. */
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
